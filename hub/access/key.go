package access

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/go-jose/go-jose/v4"
)

// Bounds of an RSA key: below, it is too weak (PDND asks for 2048 bits);
// above, one verification costs too much.
const (
	MinKeyBits = 2048
	MaxKeyBits = 8192
	minKeyE    = 65537
	maxKeyText = 16 << 10
)

// ErrBadKey says that bytes are not a public RSA key that may be used here.
var ErrBadKey = errors.New("not a public RSA key of 2048 to 8192 bits")

// Key is a public key of a system or of an issuer.
type Key struct {
	KID    string // of a system: the RFC 7638 thumbprint, 43 characters
	Public *rsa.PublicKey
}

// ParseKey reads a system's public key from a JWK (RFC 7517) or from PEM
// ("PUBLIC KEY" or "RSA PUBLIC KEY"). A private key is refused, so that nobody
// hands one over by mistake; the kid is always the thumbprint, whatever the
// JWK says.
func ParseKey(b []byte) (Key, error) {
	if len(b) > maxKeyText {
		return Key{}, ErrBadKey
	}
	var public any
	if block, _ := pem.Decode(b); block != nil {
		var err error
		switch block.Type {
		case "PUBLIC KEY":
			public, err = x509.ParsePKIXPublicKey(block.Bytes)
		case "RSA PUBLIC KEY":
			public, err = x509.ParsePKCS1PublicKey(block.Bytes)
		}
		if err != nil {
			return Key{}, ErrBadKey
		}
	} else {
		var jwk jose.JSONWebKey
		if err := jwk.UnmarshalJSON(b); err != nil || !jwk.IsPublic() {
			return Key{}, ErrBadKey
		}
		public = jwk.Key
	}
	key, ok := public.(*rsa.PublicKey)
	if !ok || !usable(key) {
		return Key{}, ErrBadKey
	}
	return Key{KID: Thumbprint(key), Public: key}, nil
}

func usable(k *rsa.PublicKey) bool {
	bits := k.N.BitLen()
	return bits >= MinKeyBits && bits <= MaxKeyBits && k.E >= minKeyE && k.E%2 == 1 && k.N.Bit(0) == 1
}

// Thumbprint is the RFC 7638 thumbprint of k, base64url without padding.
func Thumbprint(k *rsa.PublicKey) string {
	sum, err := (&jose.JSONWebKey{Key: k}).Thumbprint(crypto.SHA256)
	if err != nil { // never for an RSA key
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

// JWK is k as a public JWK with its kid, alg RS256 and use sig: the form in
// which a store keeps a system's key and a hub publishes its own.
func (k Key) JWK() ([]byte, error) {
	jwk := jose.JSONWebKey{Key: k.Public, KeyID: k.KID, Algorithm: string(jose.RS256), Use: "sig"}
	b, err := jwk.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("write key: %w", err)
	}
	return b, nil
}

// KeySet is an issuer's published keys. It is safe for concurrent use.
type KeySet struct {
	keys atomic.Pointer[map[string]*rsa.PublicKey]
}

// NewKeySet holds the given keys; two with one kid are an error.
func NewKeySet(keys ...Key) (*KeySet, error) {
	s := &KeySet{}
	return s, s.Replace(keys...)
}

// Replace swaps all keys at once. Vouchers verified before stay in a
// [Verifier]'s memory until [Verifier.Forget].
func (s *KeySet) Replace(keys ...Key) error {
	m := make(map[string]*rsa.PublicKey, len(keys))
	for _, k := range keys {
		if _, twice := m[k.KID]; twice || k.KID == "" || k.Public == nil || !usable(k.Public) {
			return fmt.Errorf("key set: %w", ErrBadKey)
		}
		m[k.KID] = k.Public
	}
	s.keys.Store(&m)
	return nil
}

// VoucherKey is the key with this kid; ok is false if there is none.
func (s *KeySet) VoucherKey(kid string) (*rsa.PublicKey, bool) {
	k, ok := (*s.keys.Load())[kid]
	return k, ok
}

// ParseJWKS reads a JWKS document such as PDND's: every RSA key that may sign
// is taken, others are passed over, a document without any is an error.
func ParseJWKS(b []byte) ([]Key, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if len(b) > 1<<20 || json.Unmarshal(b, &set) != nil {
		return nil, fmt.Errorf("JWKS: %w", ErrBadKey)
	}
	var out []Key
	for _, raw := range set.Keys {
		var jwk jose.JSONWebKey
		if jwk.UnmarshalJSON(raw) != nil || !jwk.IsPublic() || jwk.KeyID == "" || (jwk.Use != "" && jwk.Use != "sig") {
			continue
		}
		if k, ok := jwk.Key.(*rsa.PublicKey); ok && usable(k) {
			out = append(out, Key{KID: jwk.KeyID, Public: k})
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("JWKS holds no usable key: %w", ErrBadKey)
	}
	return out, nil
}

// PilotID is the id that stands in for one of PDND's where the hub issues the
// vouchers itself: a UUID (RFC 9562 version 8) derived from kind ("client",
// "consumer", "purpose", "eservice", "descriptor", "producer") and the name in
// the network, so that a pilot's network need not spell ids out.
func PilotID(kind, name string) string {
	sum := sha256.Sum256([]byte("raccordo/pilot/1\x00" + kind + "\x00" + name))
	b := sum[:16]
	b[6] = b[6]&0x0f | 0x80
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}
