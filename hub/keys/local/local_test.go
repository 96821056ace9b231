package local

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"raccordo/hub/keys"
	"raccordo/hub/keys/keystest"
)

var update = flag.Bool("update", false, "write the golden files anew")

const origin = "raccordo/00112233445566778899aabbccddeeff"

var day = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)

func options(path string) Options {
	return Options{Path: path, Origin: origin, Clock: func() time.Time { return day }}
}

func TestConformance(t *testing.T) {
	keystest.Run(t, func(t *testing.T) keystest.Reopen {
		path := filepath.Join(t.TempDir(), "keyring")
		return func() (keystest.Keyring, error) { return Open(options(path)) }
	})
}

func fresh(t *testing.T) (*Keyring, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keyring")
	k, err := Open(options(path))
	if err != nil {
		t.Fatal(err)
	}
	return k, path
}

// TestGolden holds the file of version 1 and the layout of a seal: a later
// program must open this keyring and read what it sealed. The file was made by
// this test with -update; its keys protect nothing.
func TestGolden(t *testing.T) {
	file, seals := filepath.Join("testdata", "keyring.v1"), filepath.Join("testdata", "sealed.v1")
	if *update {
		writeGolden(t, file, seals)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "keyring") // git does not keep 0600
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	o := options(path)
	o.MustExist = true
	k, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(seals)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(string(text))
	sealed, err := hex.DecodeString(lines[0])
	if err != nil {
		t.Fatal(err)
	}
	if got, err := k.Open(sealed, []byte("aad")); err != nil || string(got) != "golden plaintext" {
		t.Fatalf("the golden seal does not open: %v", err)
	}
	if got := k.MAC("golden", []byte("a"), []byte("b")).String(); got != lines[1] {
		t.Fatal("the golden MAC has changed: every id ever derived would change with it")
	}
	digests := k.Digests([]byte("a"), []byte("b"))
	if len(digests) != 2 || digests[0].Digest.String() != lines[2] || digests[1].Digest.String() != lines[3] {
		t.Fatal("the golden digests have changed: no known person would be found again")
	}
	if got := k.VerifierKeys(); len(got) != 2 || got[0] != lines[4] || got[1] != lines[5] {
		t.Fatal("the golden verifier keys have changed")
	}
	if _, pending, err := k.PendingSigning(); !pending || err != nil {
		t.Fatalf("the golden rotation is not under way: %v", err)
	}
	if got := k.VoucherKeys(); len(got) != 2 || got[0].ID != lines[6] || got[1].ID != lines[7] {
		t.Fatal("the golden voucher keys have changed")
	}
	if _, err := k.Seal(keys.PlaceWaiting, day.AddDate(0, 0, -2), nil, nil); !errors.Is(err, keys.ErrDestroyed) {
		t.Fatalf("the golden floor is gone: %v", err)
	}
	// Read and written again it is the same, byte for byte.
	c, err := k.state.Load().contents()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := encodeFile(c); err != nil || !bytes.Equal(again, b) {
		t.Fatalf("the file does not come out as it went in: %v", err)
	}
}

func writeGolden(t *testing.T, file, seals string) {
	k, path := fresh(t)
	_, err := k.RotateDigest()
	r, err2 := k.RotateSigning()
	if err := errors.Join(err, err2, k.ActivateSigning(r.New), k.RotateVoucher()); err != nil {
		t.Fatal(err)
	}
	if _, err := k.RotateSigning(); err != nil {
		t.Fatal(err)
	}
	sealed, err := k.Seal(keys.PlaceStream, day, []byte("golden plaintext"), []byte("aad"))
	if err := errors.Join(err, k.DestroyBefore(keys.PlaceWaiting, keys.DayOf(day)-1)); err != nil {
		t.Fatal(err)
	}
	d, v, vk := k.Digests([]byte("a"), []byte("b")), k.VerifierKeys(), k.VoucherKeys()
	lines := []string{hex.EncodeToString(sealed), k.MAC("golden", []byte("a"), []byte("b")).String(),
		d[0].Digest.String(), d[1].Digest.String(), v[0], v[1], vk[0].ID, vk[1].ID}
	b, err := os.ReadFile(path)
	if err := errors.Join(err, os.WriteFile(file, b, 0o644),
		os.WriteFile(seals, []byte(strings.Join(lines, "\n")+"\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// TestDamage: a keyring that is not what was written is refused with an error
// that says so, and the file is left as it is.
func TestDamage(t *testing.T) {
	golden, err := os.ReadFile(filepath.Join("testdata", "keyring.v1"))
	if err != nil {
		t.Fatal(err)
	}
	head, body, _ := bytes.Cut(golden, []byte("\n"))
	join := func(c func(*contents)) []byte {
		s, err := decodeFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		k, err := s.contents()
		if err != nil {
			t.Fatal(err)
		}
		c(k)
		b, err := encodeFile(k)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"empty":             {nil, ErrDamaged},
		"zeros":             {make([]byte, 4096), ErrDamaged},
		"cut":               {golden[:len(golden)-1], ErrDamaged},
		"only a head":       {append(bytes.Clone(head), '\n'), ErrDamaged},
		"no head":           {body, ErrDamaged},
		"bytes after":       {append(bytes.Clone(golden), '\n'), ErrDamaged},
		"another version":   {bytes.Replace(golden, []byte("raccordo-keyring 1 "), []byte("raccordo-keyring 2 "), 1), ErrVersion},
		"no version":        {bytes.Replace(golden, []byte("raccordo-keyring 1 "), []byte("raccordo-keyring x "), 1), ErrDamaged},
		"another origin":    {join(func(c *contents) { c.Origin, c.Signing.Earlier = "raccordo/other", nil }), ErrOrigin},
		"no origin":         {join(func(c *contents) { c.Origin = "" }), ErrDamaged},
		"short id key":      {join(func(c *contents) { c.IDKey = c.IDKey[:31] }), ErrDamaged},
		"zero id key":       {join(func(c *contents) { c.IDKey = make([]byte, 32) }), ErrDamaged},
		"no digest key":     {join(func(c *contents) { c.DigestKeys = nil }), ErrDamaged},
		"versions mixed up": {join(func(c *contents) { c.DigestKeys[0].Version = 9 }), ErrDamaged},
		"unknown place":     {join(func(c *contents) { c.DataKeys[0].Place = "cellar" }), ErrDamaged},
		"data key twice":    {join(func(c *contents) { c.DataKeys = append(c.DataKeys, c.DataKeys[0]) }), ErrDamaged},
		"destroyed but there": {join(func(c *contents) {
			c.Destroyed["stream"] = "2030-01-01"
		}), ErrDamaged},
		"short seed":       {join(func(c *contents) { c.Signing.Current = c.Signing.Current[:31] }), ErrDamaged},
		"foreign verifier": {join(func(c *contents) { c.Signing.Earlier[0] = "x" + c.Signing.Earlier[0] }), ErrDamaged},
		"no voucher key":   {join(func(c *contents) { c.Voucher.Current = nil }), ErrDamaged},
		"bad earlier voucher": {join(func(c *contents) {
			c.Voucher.Earlier[0] = []byte{1}
		}), ErrDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keyring")
			if err := os.WriteFile(path, c.b, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Open(options(path))
			if !errors.Is(err, c.want) || !errors.Is(err, keys.ErrUnavailable) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, c.b) {
				t.Fatal("the damaged file was touched")
			}
		})
	}
	for i := range golden { // whatever byte is altered, it is noticed
		bad := bytes.Clone(golden)
		bad[i] ^= 0x10
		if _, err := decodeFile(bad); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrVersion) {
			t.Fatalf("byte %d altered: %v", i, err)
		}
	}
}

func TestPermissions(t *testing.T) {
	k, path := fresh(t)
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o660, 0o602, 0o610} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(options(path)); !errors.Is(err, ErrPermissions) {
			t.Fatalf("mode %o: %v", mode, err)
		}
		if err := k.Check(); !errors.Is(err, ErrPermissions) {
			t.Fatalf("mode %o while running: %v", mode, err)
		}
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(options(link)); !errors.Is(err, ErrPermissions) {
		t.Fatalf("a symbolic link: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the keyring was created with mode %v, %v", info.Mode(), err)
	}
}

func TestMissing(t *testing.T) {
	k, path := fresh(t)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	o := options(path)
	o.MustExist = true
	if _, err := Open(o); !errors.Is(err, ErrMissing) {
		t.Fatalf("opened nothing: %v", err)
	}
	if _, err := k.RotateDigest(); !errors.Is(err, ErrMissing) {
		t.Fatalf("wrote over nothing: %v", err)
	}
	o.MustExist, o.Origin = false, ""
	if _, err := Open(o); err == nil {
		t.Fatal("created a keyring without an origin")
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal("a file appeared")
	}
}

// TestSecondWriter: two processes on one file must not lose each other's keys.
func TestSecondWriter(t *testing.T) {
	a, path := fresh(t)
	b, err := Open(options(path))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := a.Seal(keys.PlaceStream, day, []byte("x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Seal(keys.PlaceStream, day, []byte("y"), nil); !errors.Is(err, ErrChanged) {
		t.Fatalf("the second writer overwrote the first: %v", err)
	}
	c, err := Open(options(path))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Open(sealed, nil); err != nil {
		t.Fatal(err)
	}
}

// TestUsedUpKey: a derived key that has sealed its bound is replaced, and what
// both sealed opens.
func TestUsedUpKey(t *testing.T) {
	k, _ := fresh(t)
	k.uses = 3
	salts := map[string]int{}
	for range 10 {
		s, err := k.Seal(keys.PlaceStream, day, []byte("x"), nil)
		if err != nil {
			t.Fatal(err)
		}
		salts[string(s[6:22])]++
		if _, err := k.Open(s, nil); err != nil {
			t.Fatal(err)
		}
	}
	if len(salts) != 4 {
		t.Fatalf("10 seals at 3 a key took %d keys", len(salts))
	}
	for _, n := range salts {
		if n > 3 {
			t.Fatalf("a key sealed %d times", n)
		}
	}
}

// TestOpenersBounded: the cache of derived keys never grows past its bound.
func TestOpenersBounded(t *testing.T) {
	k, _ := fresh(t)
	sealed, err := k.Seal(keys.PlaceStream, day, []byte("x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	full := map[derivation]*opener{}
	for i := range maxOpeners {
		full[derivation{slot: slot{keys.PlaceParked, keys.Day(i)}}] = &opener{}
	}
	k.openers.Store(&full)
	if _, err := k.Open(sealed, nil); err != nil {
		t.Fatal(err)
	}
	if n := len(*k.openers.Load()); n != 1 {
		t.Fatalf("%d derived keys are kept", n)
	}
}

func TestAnnouncementIsNoCheckpoint(t *testing.T) {
	k, _ := fresh(t)
	msg, err := note.Sign(&note.Note{Text: origin + "\n1\nAAAA\n"}, k.Signer())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.ReadAnnouncement(k.VerifierKeys()[0], msg); err == nil {
		t.Fatal("a checkpoint was read as an announcement")
	}
}
