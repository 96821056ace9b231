package hub

import (
	"context"
	"crypto"
	"crypto/rsa"
	"fmt"
	"os"
	"time"

	"raccordo/hub/access"
	"raccordo/hub/api"
	"raccordo/hub/exchange"
	"raccordo/hub/keys"
	"raccordo/hub/store"
)

// vouchers are the hub's own in a pilot, else those of the configured issuer:
// verified in the same way.
func (h *Hub) vouchers() (*access.Verifier, api.Tokens, access.EService, error) {
	v := h.cfg.Vouchers
	service := h.EService()
	o := access.VerifierOptions{Issuer: v.Issuer, Clients: h.access, Now: h.opt.Clock.Now}
	if v.Issuer != "" {
		o.Keys = h.edge.issuer
		verifier, err := access.NewVerifier(o)
		return verifier, nil, service, err
	}
	h.voucherSet = new(access.KeySet)
	if err := h.useVoucherKeys(); err != nil {
		return nil, nil, service, err
	}
	o.Issuer, o.Keys = h.URL(), h.voucherSet
	verifier, err := access.NewVerifier(o)
	if err != nil {
		return nil, nil, service, err
	}
	issuer, err := access.NewIssuer(access.IssuerOptions{Issuer: h.URL(), TokenEndpoint: h.TokenEndpoint(), EService: service,
		Directory: h.access, Once: once{h.store}, Signer: voucherSigner{h}, Now: h.opt.Clock.Now, Random: h.opt.Rand})
	return verifier, issuer, service, err
}

// issuerKeys reads the keys of an issuer that is not the hub.
func issuerKeys(file string) (*access.KeySet, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%w: vouchers.jwks: %w", ErrConfig, err)
	}
	list, err := access.ParseJWKS(b)
	if err != nil {
		return nil, fmt.Errorf("%w: vouchers.jwks: %w", ErrConfig, err)
	}
	set, err := access.NewKeySet(list...)
	if err != nil {
		return nil, fmt.Errorf("%w: vouchers.jwks: %w", ErrConfig, err)
	}
	return set, nil
}

// TokenEndpoint is the audience of client assertions in a pilot.
func (h *Hub) TokenEndpoint() string { return h.URL() + "/v1/token.oauth2" }

// EService is what vouchers must be for.
func (h *Hub) EService() access.EService {
	v := h.cfg.Vouchers
	s := access.EService{ID: v.EService, DescriptorID: v.Version, ProducerID: v.Producer, Audience: v.Audience}
	if s.ID == "" {
		s.ID, s.DescriptorID, s.ProducerID = access.PilotID("eservice", "raccordo"), access.PilotID("descriptor", "raccordo"), access.PilotID("producer", "raccordo")
	}
	if s.Audience == "" {
		s.Audience = h.URL()
	}
	return s
}

// useVoucherKeys makes vouchers verify under the keys the keyring has now.
func (h *Hub) useVoucherKeys() error {
	var set []access.Key
	for _, k := range h.keys.VoucherKeys() {
		public, ok := k.Public.(*rsa.PublicKey)
		if !ok {
			return fmt.Errorf("voucher key %s is no RSA key", k.ID)
		}
		set = append(set, access.Key{KID: k.ID, Public: public})
	}
	if err := h.voucherSet.Replace(set...); err != nil {
		return fmt.Errorf("voucher keys: %w", err)
	}
	return nil
}

type voucherSigner struct{ h *Hub }

func (v voucherSigner) VoucherSigner(context.Context) (crypto.Signer, string, error) {
	s := v.h.keys.VoucherSigner()
	kid, err := keys.Thumbprint(s.Public())
	return s, kid, err
}

// once remembers single-use ids in the store.
type once struct{ store store.Store }

func (o once) UseOnce(ctx context.Context, kind, id string, until time.Time) (fresh bool, err error) {
	err = o.store.Side(ctx, func(tx store.SideTx) error {
		fresh, err = tx.UseOnce(kind, exchange.DigestOf([]byte(id)), until.UnixMilli())
		return err
	})
	return fresh, err
}
