package keys_test

import (
	"bytes"
	"math/rand"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"raccordo/hub/keys"
)

func signer(t testing.TB, seed int64, name string) (note.Signer, string) {
	t.Helper()
	private, public, err := note.GenerateKey(bytes.NewReader(randomBytes(seed)), name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return s, public
}

func randomBytes(seed int64) []byte {
	b := make([]byte, 256)
	_, _ = rand.New(rand.NewSource(seed)).Read(b)
	return b
}

// TestAnnouncement: only what the old key signed, in exactly the one shape,
// announces a key, and only one of the same name.
func TestAnnouncement(t *testing.T) {
	old, oldKey := signer(t, 1, "raccordo/a")
	_, next := signer(t, 2, "raccordo/a")
	other, otherKey := signer(t, 3, "raccordo/b")
	msg, err := keys.Announce(old, next)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := keys.ReadAnnouncement(oldKey, msg); err != nil || got != next {
		t.Fatalf("%s, %v", got, err)
	}
	sign := func(s note.Signer, text string) []byte {
		b, err := note.Sign(&note.Note{Text: text}, s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	foreign, err := keys.Announce(old, otherKey)
	if err != nil {
		t.Fatal(err)
	}
	const head = "raccordo/signing-key/1\n"
	for name, c := range map[string]struct {
		by  string
		msg []byte
	}{
		"signed by another":  {oldKey, sign(other, head+next+"\n")},
		"another head":       {oldKey, sign(old, "raccordo/a\n"+next+"\n")},
		"a line too many":    {oldKey, sign(old, head+next+"\nmore\n")},
		"no key":             {oldKey, sign(old, head)},
		"not a key":          {oldKey, sign(old, head+"raccordo/a+00000000+AAAA\n")},
		"of another name":    {oldKey, foreign},
		"no note":            {oldKey, []byte(head + next + "\n")},
		"altered":            {oldKey, bytes.Replace(msg, []byte("signing"), []byte("Signing"), 1)},
		"no verifier":        {"x", msg},
		"the other verifier": {otherKey, msg},
	} {
		if got, err := keys.ReadAnnouncement(c.by, c.msg); err == nil || got != "" {
			t.Errorf("%s: announces a key", name)
		}
	}
	if _, err := keys.Announce(old, "not a key"); err == nil {
		t.Error("announced what is no key")
	}
}

func FuzzReadAnnouncement(f *testing.F) {
	old, oldKey := signer(f, 1, "raccordo/a")
	_, next := signer(f, 2, "raccordo/a")
	msg, err := keys.Announce(old, next)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(msg)
	f.Add([]byte("raccordo/signing-key/1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := keys.ReadAnnouncement(oldKey, b); err == nil && got != next {
			t.Fatal("a key is announced that was never signed for")
		}
	})
}
