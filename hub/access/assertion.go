package access

import (
	"crypto"
	"crypto/rsa"
	"encoding/hex"
	"fmt"
	"io"
	"time"
)

// AssertionOptions is what a system says of itself when it asks for a voucher.
type AssertionOptions struct {
	ClientID      string
	PurposeID     string
	TokenEndpoint string
	Life          time.Duration // 0: one minute
	Now           time.Time
	Random        io.Reader
}

// NewAssertion signs a client assertion (domain.md 6.2) with a system's own
// RSA key. The hub never does so for itself: it is for those who call it, the
// command line and simulated systems among them.
func NewAssertion(signer crypto.Signer, o AssertionOptions) (string, error) {
	public, ok := signer.Public().(*rsa.PublicKey)
	if !ok || !usable(public) {
		return "", fmt.Errorf("client assertion: %w", ErrBadKey)
	}
	if o.Life <= 0 {
		o.Life = time.Minute
	}
	var jti [16]byte
	if _, err := io.ReadFull(o.Random, jti[:]); err != nil {
		return "", fmt.Errorf("client assertion: %w", err)
	}
	return signCompact(o.Random, signer,
		map[string]any{"typ": "JWT", "alg": "RS256", "kid": Thumbprint(public)},
		map[string]any{
			"iss": o.ClientID, "sub": o.ClientID, "aud": o.TokenEndpoint, "jti": hex.EncodeToString(jti[:]),
			"iat": o.Now.Unix(), "exp": o.Now.Add(o.Life).Unix(), "purposeId": o.PurposeID,
		})
}
