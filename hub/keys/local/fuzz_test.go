package local

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"raccordo/hub/keys"
)

// FuzzDecodeFile: whatever stands in the file, it is a keyring or an error that
// says the keys are not available, never a panic. The checksum is made to fit,
// or nothing behind it would be reached.
func FuzzDecodeFile(f *testing.F) {
	b, err := os.ReadFile(filepath.Join("testdata", "keyring.v1"))
	if err != nil {
		f.Fatal(err)
	}
	s, err := decodeFile(b)
	if err != nil {
		f.Fatal(err)
	}
	c, err := s.contents()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(c.Origin, c.IDKey, uint32(1), c.DigestKeys[0].Key, "stream", "2026-03-14", c.Signing.Current, c.Signing.Earlier[0], c.Voucher.Current,
		c.Voucher.Earlier[0])
	f.Add("", []byte(nil), uint32(0), []byte(nil), "", "", []byte(nil), "", []byte(nil), []byte(nil))
	f.Fuzz(func(t *testing.T, origin string, id []byte, version uint32, digest []byte, place, date string, seed []byte, vkey string,
		voucher, earlier []byte) {
		b, err := encodeFile(&contents{Origin: origin, IDKey: id,
			DigestKeys: []digestKey{{Version: version, Created: date, Key: digest}},
			DataKeys:   []dataKey{{Place: place, Day: date, Key: id}}, Destroyed: map[string]string{place: date},
			Signing: signingKeys{Current: seed, Earlier: []string{vkey}}, Voucher: voucherKeys{Current: voucher, Earlier: [][]byte{earlier}}})
		if err != nil {
			return
		}
		if _, err := decodeFile(b); err != nil && !errors.Is(err, keys.ErrUnavailable) {
			t.Fatalf("another error: %v", err)
		}
	})
}

// FuzzOpen: no bytes that this keyring did not seal can be opened.
func FuzzOpen(f *testing.F) {
	k, err := Open(options(filepath.Join(f.TempDir(), "keyring")))
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := k.Seal(keys.PlaceStream, day, []byte("x"), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed[:len(sealed)-1], []byte("aad"))
	f.Add([]byte{}, []byte{})
	f.Add(sealed, []byte("aad"))
	f.Fuzz(func(t *testing.T, b, aad []byte) {
		_, err := k.Open(b, aad)
		genuine := string(b) == string(sealed) && len(aad) == 0
		if (err == nil) != genuine {
			t.Fatalf("opened %d bytes: %v", len(b), err)
		}
	})
}
