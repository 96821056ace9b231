package keys

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// announcementHead is the first line of an announcement. A checkpoint begins
// with its origin, so neither can be taken for the other.
const announcementHead = "raccordo/signing-key/1"

// Rotation is a change of the signing key under way: the new key exists and is
// announced, and becomes current when the announcement is in the ledger.
type Rotation struct {
	Old, New     string // verifier keys in the text form of sumdb/note
	Announcement []byte // signed note by the old key, a fact for the ledger
}

// Announce makes the announcement of the verifier key next, signed by the
// current signer. Its text is two lines,
//
//	raccordo/signing-key/1
//	<verifier key>
//
// and the signature that of golang.org/x/mod/sumdb/note. The same arguments
// give the same bytes.
func Announce(current note.Signer, next string) ([]byte, error) {
	if _, err := note.NewVerifier(next); err != nil {
		return nil, fmt.Errorf("announce signing key: %w", err)
	}
	msg, err := note.Sign(&note.Note{Text: announcementHead + "\n" + next + "\n"}, current)
	if err != nil {
		return nil, fmt.Errorf("announce signing key: %w", err)
	}
	return msg, nil
}

// ReadAnnouncement checks an announcement against the verifier key it must be
// signed by and gives the verifier key it announces.
func ReadAnnouncement(old string, announcement []byte) (string, error) {
	v, err := note.NewVerifier(old)
	if err != nil {
		return "", fmt.Errorf("read announcement: %w", err)
	}
	n, err := note.Open(announcement, note.VerifierList(v))
	if err != nil {
		return "", fmt.Errorf("read announcement: %w", err)
	}
	head, rest, _ := strings.Cut(n.Text, "\n")
	next, end, ok := strings.Cut(rest, "\n")
	if head != announcementHead || !ok || end != "" {
		return "", errors.New("read announcement: not an announcement of a signing key")
	}
	nv, err := note.NewVerifier(next)
	if err != nil {
		return "", fmt.Errorf("read announcement: %w", err)
	}
	if nv.Name() != v.Name() {
		return "", errors.New("read announcement: the new key has another name")
	}
	return next, nil
}

// VoucherKey is a public key that vouchers of this hub may be signed with.
type VoucherKey struct {
	ID     string // the kid: RFC 7638 thumbprint
	Public crypto.PublicKey
}

// Thumbprint is the RFC 7638 thumbprint (SHA-256, base64url without padding)
// of an RSA public key: the kid of tokens it signs.
func Thumbprint(public crypto.PublicKey) (string, error) {
	k, ok := public.(*rsa.PublicKey)
	if !ok {
		return "", errors.New("thumbprint: not an RSA public key")
	}
	b64 := base64.RawURLEncoding.EncodeToString
	sum := sha256.Sum256([]byte(`{"e":"` + b64(big.NewInt(int64(k.E)).Bytes()) +
		`","kty":"RSA","n":"` + b64(k.N.Bytes()) + `"}`))
	return b64(sum[:]), nil
}
