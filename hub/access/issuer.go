package access

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"raccordo/hub/exchange"
)

// What a token request must say (RFC 6749 4.4, RFC 7523 2.2).
const (
	GrantType     = "client_credentials"
	AssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
)

// Leeway is how far clocks may differ.
const Leeway = 60 * time.Second

const (
	defaultVoucherLife   = 10 * time.Minute
	defaultAssertionLife = time.Hour
	onceClientAssertion  = "client_assertion"
)

// SingleUse remembers what may be used once, across restarts and replicas. It
// answers fresh only after the use is durable; an error means that it is not
// known, and the caller refuses. Rows may go after until.
type SingleUse interface {
	UseOnce(ctx context.Context, kind, id string, until time.Time) (fresh bool, err error)
}

// VoucherSigner gives the RSA key that signs vouchers now, and its kid.
type VoucherSigner interface {
	VoucherSigner(ctx context.Context) (crypto.Signer, string, error)
}

// EService is what a voucher is for, as PDND's catalogue numbers it.
type EService struct {
	ID           string // eserviceId
	DescriptorID string // descriptorId: the version
	ProducerID   string // producerId: the body that offers it
	Audience     string // aud of its vouchers, compared exactly
}

// IssuerOptions is what an [Issuer] is made of; all fields without a default
// are required.
type IssuerOptions struct {
	Issuer        string // iss of vouchers
	TokenEndpoint string // aud that client assertions must carry, exactly
	EService      EService
	Directory     interface {
		Keys
		Clients
	}
	Once          SingleUse
	Signer        VoucherSigner
	Now           func() time.Time
	Random        io.Reader
	VoucherLife   time.Duration // 0: ten minutes
	AssertionLife time.Duration // longest exp - iat of an assertion; 0: one hour
}

// Issuer turns client assertions into vouchers.
type Issuer struct {
	o IssuerOptions
}

// NewIssuer checks o.
func NewIssuer(o IssuerOptions) (*Issuer, error) {
	if o.Issuer == "" || o.TokenEndpoint == "" || o.Directory == nil || o.Once == nil || o.Signer == nil || o.Now == nil || o.Random == nil {
		return nil, errors.New("issuer of vouchers: an option is missing")
	}
	for _, id := range []string{o.EService.ID, o.EService.DescriptorID, o.EService.ProducerID} {
		if !uuidShape.MatchString(id) {
			return nil, errors.New("issuer of vouchers: ids of the e-service must be lower-case UUIDs")
		}
	}
	if o.EService.Audience == "" {
		return nil, errors.New("issuer of vouchers: the e-service has no audience")
	}
	if o.VoucherLife <= 0 {
		o.VoucherLife = defaultVoucherLife
	}
	if o.AssertionLife <= 0 {
		o.AssertionLife = defaultAssertionLife
	}
	return &Issuer{o: o}, nil
}

// TokenRequest is the form of a token request.
type TokenRequest struct {
	ClientID      string // may be empty (RFC 7523): the assertion says it
	Assertion     string
	AssertionType string
	GrantType     string
}

// Voucher is what a caller sends as its bearer token until Expires.
type Voucher struct {
	Token   string
	Life    time.Duration
	Expires time.Time
}

// Issue checks a client assertion (domain.md 6.2) and gives a voucher for the
// purpose it names. A malformed request is CodeMalformed, any wrong assertion
// the same CodeUnauthenticated, an unreachable store or signer
// CodeUnavailable. The assertion's use is durable before a voucher is given.
func (i *Issuer) Issue(ctx context.Context, r TokenRequest) (Voucher, error) {
	if r.GrantType != GrantType || r.AssertionType != AssertionType || r.Assertion == "" {
		return Voucher{}, exchange.NewError(exchange.CodeMalformed, exchange.ReasonParameter,
			"grant_type, client_assertion_type or client_assertion is not what it must be")
	}
	t, err := parseToken(r.Assertion)
	if err != nil {
		return Voucher{}, refuse(err)
	}
	client, err := i.authenticate(ctx, t, r.ClientID)
	if err != nil {
		return Voucher{}, refuse(err)
	}
	now := i.o.Now()
	purpose, err := i.judge(ctx, t, client, now)
	if err != nil {
		return Voucher{}, refuse(err)
	}
	return i.sign(ctx, client, purpose, now)
}

// authenticate finds the client and checks the signature. Where the client or
// the key is not known a signature is checked all the same, under a key that
// cannot fit, so that both cost as much.
func (i *Issuer) authenticate(ctx context.Context, t *token, formID string) (Client, error) {
	id, err := t.claims.text("iss", uuidShape)
	if err != nil {
		return Client{}, err
	}
	key, client, lookup := i.find(ctx, id, t.kid)
	if errors.Is(lookup, errUnavailable) {
		return Client{}, lookup
	}
	if lookup != nil {
		signer, _, err := i.o.Signer.VoucherSigner(ctx)
		if err != nil {
			return Client{}, unavailable(err)
		}
		decoy, ok := signer.Public().(*rsa.PublicKey)
		if ok && t.verify(decoy) == nil {
			return Client{}, errTokenKey // a voucher of ours is no client assertion
		}
		return Client{}, lookup
	}
	if err := t.verify(key); err != nil {
		return Client{}, err
	}
	if formID != "" && formID != id {
		return Client{}, claimError("client_id")
	}
	return client, t.claims.equal("sub", id)
}

func (i *Issuer) find(ctx context.Context, id, kid string) (*rsa.PublicKey, Client, error) {
	if !kidShape.MatchString(kid) {
		return nil, Client{}, errTokenKey
	}
	public, system, err := i.o.Directory.ClientKey(ctx, id, kid)
	if errors.Is(err, ErrUnknownClient) {
		return nil, Client{}, errTokenKey
	}
	if err != nil {
		return nil, Client{}, unavailable(err)
	}
	client, err := i.o.Directory.Client(ctx, id)
	if errors.Is(err, ErrUnknownClient) {
		return nil, Client{}, errTokenKey
	}
	if err != nil {
		return nil, Client{}, unavailable(err)
	}
	key, ok := public.(*rsa.PublicKey)
	if !ok || !usable(key) || client.System != system {
		return nil, Client{}, errTokenKey
	}
	return key, client, nil
}

// judge checks the claims of an assertion whose signature fits, and uses it up.
func (i *Issuer) judge(ctx context.Context, t *token, client Client, now time.Time) (string, error) {
	if t.typ != "JWT" {
		return "", errTokenType
	}
	if err := t.claims.equal("aud", i.o.TokenEndpoint); err != nil {
		return "", err
	}
	exp, err := t.claims.times(now, Leeway, i.o.AssertionLife, false)
	if err != nil {
		return "", err
	}
	jti, err := t.claims.text("jti", jtiShape)
	if err != nil {
		return "", err
	}
	purpose, err := t.claims.text("purposeId", uuidShape)
	if err != nil {
		return "", err
	}
	if _, ok := client.Purposes[purpose]; !ok {
		return "", claimError("purposeId")
	}
	sum := sha256.Sum256([]byte(client.ID + "\x00" + jti))
	fresh, err := i.o.Once.UseOnce(ctx, onceClientAssertion, hex.EncodeToString(sum[:]), exp.Add(Leeway))
	if err != nil {
		return "", unavailable(err)
	}
	if !fresh {
		return "", errReplayed
	}
	return purpose, nil
}

// sign writes a voucher as PDND does (domain.md 6.2).
func (i *Issuer) sign(ctx context.Context, client Client, purpose string, now time.Time) (Voucher, error) {
	signer, kid, err := i.o.Signer.VoucherSigner(ctx)
	if err != nil {
		return Voucher{}, refuse(unavailable(err))
	}
	var jti [16]byte
	if _, err := io.ReadFull(i.o.Random, jti[:]); err != nil {
		return Voucher{}, refuse(unavailable(err))
	}
	issued := now.UTC().Truncate(time.Second)
	expires := issued.Add(i.o.VoucherLife)
	payload := map[string]any{
		"jti": hex.EncodeToString(jti[:]), "iss": i.o.Issuer, "aud": i.o.EService.Audience,
		"client_id": client.ID, "sub": client.ID,
		"iat": issued.Unix(), "nbf": issued.Unix(), "exp": expires.Unix(),
		"purposeId": purpose, "producerId": i.o.EService.ProducerID, "consumerId": client.ConsumerID,
		"eserviceId": i.o.EService.ID, "descriptorId": i.o.EService.DescriptorID,
	}
	raw, err := signCompact(i.o.Random, signer, map[string]any{"typ": voucherType, "alg": "RS256", "use": "sig", "kid": kid}, payload)
	if err != nil {
		return Voucher{}, refuse(unavailable(err))
	}
	return Voucher{Token: raw, Life: i.o.VoucherLife, Expires: expires}, nil
}

// signCompact writes a compact JWS; the signer must be an RSA one.
func signCompact(random io.Reader, signer crypto.Signer, header, payload map[string]any) (string, error) {
	h, err := json.Marshal(header)
	if err != nil {
		return "", fmt.Errorf("write token: %w", err)
	}
	p, err := json.Marshal(payload)
	if err != nil {
		return "", fmt.Errorf("write token: %w", err)
	}
	enc := base64.RawURLEncoding
	input := enc.EncodeToString(h) + "." + enc.EncodeToString(p)
	sum := sha256.Sum256([]byte(input))
	sig, err := signer.Sign(random, sum[:], crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return input + "." + enc.EncodeToString(sig), nil
}
