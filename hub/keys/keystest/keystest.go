package keystest

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"raccordo/hub/exchange"
	"raccordo/hub/keys"
)

// Keyring is everything the hub asks of an engine of keys.
type Keyring interface {
	Seal(place keys.Place, at time.Time, plaintext, aad []byte) ([]byte, error)
	AppendSeal(dst []byte, place keys.Place, at time.Time, plaintext, aad []byte) ([]byte, error)
	Open(sealed, aad []byte) ([]byte, error)
	AppendOpen(dst, sealed, aad []byte) ([]byte, error)
	DestroyBefore(place keys.Place, day keys.Day) error

	MAC(purpose string, parts ...[]byte) exchange.Digest
	Digests(data ...[]byte) []keys.VersionedDigest
	RotateDigest() (uint32, error)
	RetireDigest(version uint32) error

	Signer() note.Signer
	VerifierKeys() []string
	RotateSigning() (keys.Rotation, error)
	PendingSigning() (keys.Rotation, bool, error)
	ActivateSigning(verifier string) error

	VoucherSigner() crypto.Signer
	VoucherKeys() []keys.VoucherKey
	RotateVoucher() error
	RetireVoucher(id string) error

	Check() error
}

// Reopen opens the keyring of one test: at the first call it is created, at
// every later one it is the same keyring after a restart.
type Reopen func() (Keyring, error)

// Run holds an engine to its contract. fresh gives each test a keyring of its
// own.
func Run(t *testing.T, fresh func(t *testing.T) Reopen) {
	for name, test := range map[string]func(*testing.T, Reopen){
		"seal and open":           testSeal,
		"every altered bit":       testAltered,
		"places and days":         testDestroy,
		"another keyring":         nil,
		"concurrent seals":        testConcurrent,
		"macs":                    testMAC,
		"digest versions":         testDigests,
		"signing rotation":        testSigning,
		"voucher rotation":        testVoucher,
		"nothing can be printed":  testUnprintable,
		"check of a sound engine": testCheck,
	} {
		t.Run(name, func(t *testing.T) {
			if test == nil {
				testForeign(t, fresh(t), fresh(t))
				return
			}
			test(t, fresh(t))
		})
	}
}

var noon = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)

func open(t *testing.T, reopen Reopen) Keyring {
	t.Helper()
	k, err := reopen()
	if err != nil {
		t.Fatalf("open keyring: %v", err)
	}
	return k
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func testSeal(t *testing.T, reopen Reopen) {
	k := open(t, reopen)
	for _, size := range []int{0, 1, 15, 16, 17, 1500, 1 << 20} {
		plain := make([]byte, size)
		_, _ = rand.Read(plain)
		for _, place := range keys.Places() {
			sealed := must[[]byte](t)(k.Seal(place, noon, plain, []byte("aad")))
			again := must[[]byte](t)(k.Seal(place, noon, plain, []byte("aad")))
			if bytes.Equal(sealed, again) {
				t.Fatal("two seals of the same plaintext are equal")
			}
			if size > 15 && bytes.Contains(sealed, plain) {
				t.Fatal("the plaintext stands in the seal")
			}
			for range 2 { // before and after a restart
				if got := must[[]byte](t)(k.Open(sealed, []byte("aad"))); !bytes.Equal(got, plain) {
					t.Fatal("another plaintext came out")
				}
				if _, err := k.Open(sealed, []byte("other")); !errors.Is(err, keys.ErrBadSeal) {
					t.Fatalf("opened with other additional data: %v", err)
				}
				k = open(t, reopen)
			}
		}
	}
	prefix := []byte("prefix")
	out := must[[]byte](t)(k.AppendSeal(slices.Clone(prefix), keys.PlaceStream, noon, []byte("body"), nil))
	if !bytes.HasPrefix(out, prefix) {
		t.Fatal("AppendSeal lost what was there")
	}
	back := must[[]byte](t)(k.AppendOpen(slices.Clone(prefix), out[len(prefix):], nil))
	if string(back) != "prefixbody" {
		t.Fatalf("AppendOpen gave %d bytes", len(back))
	}
	if _, err := k.Seal(0, noon, nil, nil); err == nil {
		t.Fatal("sealed for no place")
	}
}

func testAltered(t *testing.T, reopen Reopen) {
	k := open(t, reopen)
	sealed := must[[]byte](t)(k.Seal(keys.PlaceStream, noon, []byte("nine byte"), []byte("aad")))
	for i := range len(sealed) * 8 {
		bad := slices.Clone(sealed)
		bad[i/8] ^= 1 << (i % 8)
		_, err := k.Open(bad, []byte("aad"))
		if !errors.Is(err, keys.ErrBadSeal) && !errors.Is(err, keys.ErrUnknownKey) {
			t.Fatalf("bit %d altered: %v", i, err)
		}
	}
	for n := range sealed {
		if _, err := k.Open(sealed[:n], []byte("aad")); !errors.Is(err, keys.ErrBadSeal) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
}

func testForeign(t *testing.T, a, b Reopen) {
	ka, kb := open(t, a), open(t, b)
	sealed := must[[]byte](t)(ka.Seal(keys.PlaceStream, noon, []byte("x"), nil))
	if _, err := kb.Open(sealed, nil); !errors.Is(err, keys.ErrUnavailable) {
		t.Fatalf("a key that was never there must read as unavailable, not as bad data: %v", err)
	}
	_ = must[[]byte](t)(kb.Seal(keys.PlaceStream, noon, []byte("y"), nil))
	if _, err := kb.Open(sealed, nil); !errors.Is(err, keys.ErrBadSeal) {
		t.Fatalf("opened under another hub's key: %v", err)
	}
	if ka.MAC("p", []byte("x")) == kb.MAC("p", []byte("x")) {
		t.Fatal("two keyrings share the id key")
	}
}

func testDestroy(t *testing.T, reopen Reopen) {
	k := open(t, reopen)
	type sealed struct {
		place keys.Place
		day   keys.Day
		bytes []byte
	}
	var all []sealed
	for _, p := range keys.Places() {
		for d := range 4 {
			at := noon.AddDate(0, 0, d)
			all = append(all, sealed{p, keys.DayOf(at), must[[]byte](t)(k.Seal(p, at, []byte("x"), nil))})
		}
	}
	limit := keys.DayOf(noon) + 2
	if err := k.DestroyBefore(keys.PlaceWaiting, limit); err != nil {
		t.Fatal(err)
	}
	if err := k.DestroyBefore(keys.PlaceWaiting, limit-1); err != nil { // never goes back
		t.Fatal(err)
	}
	for range 2 {
		for _, s := range all {
			_, err := k.Open(s.bytes, nil)
			gone := s.place == keys.PlaceWaiting && s.day < limit
			if gone != errors.Is(err, keys.ErrDestroyed) || !gone && err != nil {
				t.Fatalf("place %s day %s, destroyed before %s: %v", s.place, s.day, limit, err)
			}
		}
		if _, err := k.Seal(keys.PlaceWaiting, noon, []byte("x"), nil); !errors.Is(err, keys.ErrDestroyed) {
			t.Fatalf("sealed under a destroyed day: %v", err)
		}
		k = open(t, reopen)
	}
}

func testConcurrent(t *testing.T, reopen Reopen) {
	k := open(t, reopen)
	const workers, each = 8, 200
	results := make([][][]byte, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				// Days differ, so that new keys are made under the others' feet.
				s, err := k.Seal(keys.PlaceStream, noon.AddDate(0, 0, i/50), fmt.Appendf(nil, "%d-%d", w, i), nil)
				if err != nil {
					t.Errorf("seal: %v", err)
					return
				}
				results[w] = append(results[w], s)
			}
		})
	}
	wg.Wait()
	k = open(t, reopen)
	for w, list := range results {
		for i, s := range list {
			if got := must[[]byte](t)(k.Open(s, nil)); string(got) != fmt.Sprintf("%d-%d", w, i) {
				t.Fatal("another plaintext came out")
			}
		}
	}
}

func testMAC(t *testing.T, reopen Reopen) {
	k := open(t, reopen)
	seen := map[exchange.Digest]string{}
	for _, c := range [][]string{
		{"p"}, {"p", ""}, {"p", "", ""}, {"p", "ab"}, {"p", "a", "b"}, {"p", "", "ab"}, {"pa", "b"}, {"q", "ab"},
		{"", "p", "ab"}, {"p", "a\x00b"},
	} {
		parts := make([][]byte, 0, len(c))
		for _, s := range c[1:] {
			parts = append(parts, []byte(s))
		}
		d := k.MAC(c[0], parts...)
		if other, twice := seen[d]; twice {
			t.Fatalf("%q and %s have the same MAC", c, other)
		}
		seen[d] = fmt.Sprintf("%q", c)
		if d != open(t, reopen).MAC(c[0], parts...) {
			t.Fatalf("%q: another MAC after a restart", c)
		}
	}
}

func testDigests(t *testing.T, reopen Reopen) {
	k := open(t, reopen)
	first := k.Digests([]byte("a"), []byte("b"))
	if len(first) != 1 || first[0].Version != 1 {
		t.Fatalf("a new keyring has versions %v", first)
	}
	if first[0] == k.Digests([]byte("ab"))[0] {
		t.Fatal("the cut into parts does not matter")
	}
	if err := k.RetireDigest(1); !errors.Is(err, keys.ErrConflict) {
		t.Fatalf("retired the only version: %v", err)
	}
	if v := must[uint32](t)(k.RotateDigest()); v != 2 {
		t.Fatalf("rotated to version %d", v)
	}
	for range 2 {
		both := k.Digests([]byte("a"), []byte("b"))
		if len(both) != 2 || both[0].Version != 2 || both[1] != first[0] || both[0].Digest == first[0].Digest {
			t.Fatal("digests must be of all live versions, newest first, the old one unchanged")
		}
		k = open(t, reopen)
	}
	if err := errors.Join(k.RetireDigest(1), k.RetireDigest(1)); err != nil {
		t.Fatal(err)
	}
	if v := must[uint32](t)(k.RotateDigest()); v != 3 {
		t.Fatalf("rotated to version %d: a number must never come again", v)
	}
	if got := open(t, reopen).Digests([]byte("a")); len(got) != 2 || got[0].Version != 3 || got[1].Version != 2 {
		t.Fatal("retired version is back, or a live one is gone")
	}
}

func testSigning(t *testing.T, reopen Reopen) {
	k := open(t, reopen)
	before := k.VerifierKeys()
	if len(before) != 1 {
		t.Fatalf("a new keyring has %d verifier keys", len(before))
	}
	signs := func(k Keyring, vkey string) bool {
		msg := must[[]byte](t)(note.Sign(&note.Note{Text: "checkpoint\n"}, k.Signer()))
		v := must[note.Verifier](t)(note.NewVerifier(vkey))
		_, err := note.Open(msg, note.VerifierList(v))
		return err == nil
	}
	if !signs(k, before[0]) {
		t.Fatal("the signer does not fit its verifier key")
	}
	if _, pending, err := k.PendingSigning(); pending || err != nil {
		t.Fatalf("a rotation is under way that nobody began: %v", err)
	}
	r := must[keys.Rotation](t)(k.RotateSigning())
	if r.Old != before[0] || r.New == r.Old {
		t.Fatal("the rotation is not from the current key to a new one")
	}
	if got := must[string](t)(keys.ReadAnnouncement(r.Old, r.Announcement)); got != r.New {
		t.Fatal("the announcement announces another key")
	}
	if _, err := keys.ReadAnnouncement(r.New, r.Announcement); err == nil {
		t.Fatal("a key announced itself")
	}
	k = open(t, reopen)
	again := must[keys.Rotation](t)(k.RotateSigning())
	if again.New != r.New || !bytes.Equal(again.Announcement, r.Announcement) {
		t.Fatal("asked again before activation, another rotation came")
	}
	if !signs(k, r.Old) {
		t.Fatal("the new key signs before it is activated")
	}
	if err := k.ActivateSigning("nobody+00000000+AA=="); !errors.Is(err, keys.ErrConflict) {
		t.Fatalf("activated a key that was not announced: %v", err)
	}
	if err := errors.Join(k.ActivateSigning(r.New), k.ActivateSigning(r.New)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if !signs(k, r.New) || signs(k, r.Old) {
			t.Fatal("after activation the new key, and only it, signs")
		}
		if !slices.Equal(k.VerifierKeys(), []string{r.New, r.Old}) {
			t.Fatal("verifier keys are not the current and the earlier one")
		}
		if _, pending, err := k.PendingSigning(); pending || err != nil {
			t.Fatalf("the rotation is still under way: %v", err)
		}
		k = open(t, reopen)
	}
}

func testVoucher(t *testing.T, reopen Reopen) {
	k := open(t, reopen)
	first := k.VoucherKeys()
	if len(first) != 1 {
		t.Fatalf("a new keyring has %d voucher keys", len(first))
	}
	sum := sha256.Sum256([]byte("signed part"))
	sig := must[[]byte](t)(k.VoucherSigner().Sign(rand.Reader, sum[:], crypto.SHA256))
	verify := func(public crypto.PublicKey) error {
		return rsa.VerifyPKCS1v15(public.(*rsa.PublicKey), crypto.SHA256, sum[:], sig)
	}
	if err := verify(first[0].Public); err != nil {
		t.Fatalf("the signer does not fit its key: %v", err)
	}
	if id := must[string](t)(keys.Thumbprint(k.VoucherSigner().Public())); id != first[0].ID {
		t.Fatal("the id is not the thumbprint of the signer's key")
	}
	if err := k.RetireVoucher(first[0].ID); !errors.Is(err, keys.ErrConflict) {
		t.Fatalf("retired the current key: %v", err)
	}
	if err := k.RotateVoucher(); err != nil {
		t.Fatal(err)
	}
	k = open(t, reopen)
	both := k.VoucherKeys()
	if len(both) != 2 || both[1].ID != first[0].ID || both[0].ID == first[0].ID {
		t.Fatal("after a rotation there must be the new key and the one before")
	}
	if verify(both[1].Public) != nil || verify(both[0].Public) == nil {
		t.Fatal("a voucher in use is no longer good, or the new key verifies it")
	}
	if err := errors.Join(k.RetireVoucher(first[0].ID), k.RetireVoucher(first[0].ID)); err != nil {
		t.Fatal(err)
	}
	if got := open(t, reopen).VoucherKeys(); len(got) != 1 || got[0].ID != both[0].ID {
		t.Fatal("the retired key is still there")
	}
}

func testUnprintable(t *testing.T, reopen Reopen) {
	k := open(t, reopen)
	want := fmt.Sprintf("%v", k)
	for _, verb := range []string{"%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if got := fmt.Sprintf(verb, k); got != want || len(got) > 64 {
			t.Fatalf("%s prints %d bytes", verb, len(got))
		}
	}
}

func testCheck(t *testing.T, reopen Reopen) {
	k := open(t, reopen)
	if err := k.Check(); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Seal(keys.PlaceParked, noon, nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := k.Check(); err != nil {
		t.Fatalf("after a change: %v", err)
	}
}
