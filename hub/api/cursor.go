package api

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// cursorLife is how long a page's cursor is good.
const cursorLife = time.Hour

// errCursor says that a text is no cursor of this search, or no longer.
var errCursor = errors.New("not a cursor of this search")

// cursorSeal makes cursors that say nothing to who holds them and are good
// only for the caller and the search they were made for (B55).
type cursorSeal struct {
	aead   cipher.AEAD
	random io.Reader
	now    func() time.Time
}

func newCursorSeal(key [32]byte, random io.Reader, now func() time.Time) (*cursorSeal, error) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, fmt.Errorf("seal of cursors: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("seal of cursors: %w", err)
	}
	return &cursorSeal{aead, random, now}, nil
}

// bound is one text of all parts, each with its length, so that two lists of
// parts are never one text.
func bound(parts [][]byte) []byte {
	h := sha256.New()
	for _, p := range parts {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write(p)
	}
	return h.Sum(nil)
}

func (s *cursorSeal) seal(position string, binding [][]byte) (string, error) {
	nonce := make([]byte, s.aead.NonceSize(), 256)
	if _, err := io.ReadFull(s.random, nonce); err != nil {
		return "", fmt.Errorf("seal cursor: %w", err)
	}
	plain := binary.BigEndian.AppendUint64(nil, uint64(s.now().Add(cursorLife).Unix()))
	plain = append(plain, position...)
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nonce, nonce, plain, bound(binding))), nil
}

func (s *cursorSeal) open(cursor string, binding [][]byte) (string, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(b) < s.aead.NonceSize() {
		return "", errCursor
	}
	plain, err := s.aead.Open(nil, b[:s.aead.NonceSize()], b[s.aead.NonceSize():], bound(binding))
	if err != nil || len(plain) < 8 {
		return "", errCursor
	}
	if s.now().Unix() >= int64(binary.BigEndian.Uint64(plain)) {
		return "", errCursor
	}
	return string(plain[8:]), nil
}
