package access

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"raccordo/hub/exchange"
)

const (
	voucherType        = "at+jwt" // RFC 9068
	defaultLongestLife = 24 * time.Hour
	defaultRemembered  = 10_000
)

// Caller is who a verified voucher speaks for.
type Caller struct {
	System    exchange.SystemID
	Body      exchange.BodyID
	Purpose   exchange.PurposeID // of the network
	PurposeID string             // as the voucher says it
	ClientID  string
	Expires   time.Time
}

// Expect is what a voucher must be for: the e-service it is presented to.
type Expect struct {
	EService EService
}

// VoucherKeys finds an issuer's key by kid; see [KeySet].
type VoucherKeys interface {
	VoucherKey(kid string) (*rsa.PublicKey, bool)
}

// VerifierOptions is what a [Verifier] is made of; all fields without a
// default are required.
type VerifierOptions struct {
	Issuer      string // iss, compared exactly
	Keys        VoucherKeys
	Clients     Clients
	Now         func() time.Time
	LongestLife time.Duration // longest exp - iat accepted; 0: PDND's longest, 24 hours
	Remembered  int           // bound of verified vouchers kept; 0: 10,000
}

// Verifier verifies vouchers and remembers those it has verified until they
// expire, so that a caller's next request costs a digest and no signature.
// It is safe for concurrent use.
type Verifier struct {
	o      VerifierOptions
	mu     sync.RWMutex
	young  map[memoryKey]Caller
	old    map[memoryKey]Caller
	epoch  uint64 // rises with every Forget
	bucket int    // how many one generation holds
}

type memoryKey struct {
	digest [sha256.Size]byte
	expect Expect
}

// NewVerifier checks o.
func NewVerifier(o VerifierOptions) (*Verifier, error) {
	if o.Issuer == "" || o.Keys == nil || o.Clients == nil || o.Now == nil {
		return nil, errors.New("verifier of vouchers: an option is missing")
	}
	if o.LongestLife <= 0 {
		o.LongestLife = defaultLongestLife
	}
	if o.Remembered <= 0 {
		o.Remembered = defaultRemembered
	}
	v := &Verifier{o: o, bucket: max(1, o.Remembered/2)}
	v.Forget()
	return v, nil
}

// Forget drops every remembered voucher. Call it when clients, purposes or
// issuer's keys have changed, or a system must be shut out.
func (v *Verifier) Forget() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.young, v.old = make(map[memoryKey]Caller), nil
	v.epoch++
}

// Verify says whom raw speaks for. Whatever is wrong with it, the error is the
// same CodeUnauthenticated; CodeUnavailable means that it is not known.
func (v *Verifier) Verify(ctx context.Context, raw string, expect Expect) (Caller, error) {
	if len(raw) > MaxTokenBytes {
		return Caller{}, refuse(errTokenShape)
	}
	now := v.o.Now()
	key := memoryKey{sha256.Sum256([]byte(raw)), expect}
	c, ok, epoch := v.recall(key)
	if ok {
		if !c.Expires.After(now.Add(-Leeway)) {
			return Caller{}, refuse(claimError("exp"))
		}
		return c, nil
	}
	c, err := v.verify(ctx, raw, expect.EService, now)
	if err != nil {
		return Caller{}, refuse(err)
	}
	v.remember(key, c, epoch)
	return c, nil
}

func (v *Verifier) recall(k memoryKey) (Caller, bool, uint64) {
	v.mu.RLock()
	c, young := v.young[k]
	o, old := v.old[k]
	epoch := v.epoch
	v.mu.RUnlock()
	if young {
		return c, true, epoch
	}
	if old {
		v.remember(k, o, epoch)
	}
	return o, old, epoch
}

// remember keeps two generations, the older of which is dropped whole: a
// bound without a list to maintain on every request. What was verified before
// the last Forget is not kept.
func (v *Verifier) remember(k memoryKey, c Caller, epoch uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if epoch != v.epoch {
		return
	}
	if len(v.young) >= v.bucket {
		v.young, v.old = make(map[memoryKey]Caller, v.bucket), v.young
	}
	v.young[k] = c
}

func (v *Verifier) verify(ctx context.Context, raw string, e EService, now time.Time) (Caller, error) {
	t, err := parseToken(raw)
	if err != nil {
		return Caller{}, err
	}
	if t.typ != voucherType {
		return Caller{}, errTokenType
	}
	key, ok := v.o.Keys.VoucherKey(t.kid)
	if !ok {
		return Caller{}, errTokenKey
	}
	if err := t.verify(key); err != nil {
		return Caller{}, err
	}
	return v.judge(ctx, t.claims, e, now)
}

// judge checks every claim of a voucher whose signature fits.
func (v *Verifier) judge(ctx context.Context, c claims, e EService, now time.Time) (Caller, error) {
	for _, want := range []struct{ name, value string }{
		{"iss", v.o.Issuer}, {"aud", e.Audience}, {"eserviceId", e.ID},
		{"descriptorId", e.DescriptorID}, {"producerId", e.ProducerID},
	} {
		if err := c.equal(want.name, want.value); err != nil {
			return Caller{}, err
		}
	}
	if _, bound := c["cnf"]; bound {
		// Bound to a key whose proof (RFC 9449) this version does not check:
		// as a plain bearer token it would be worth more than it may be.
		return Caller{}, claimError("cnf")
	}
	exp, err := c.times(now, Leeway, v.o.LongestLife, true)
	if err != nil {
		return Caller{}, err
	}
	if _, err := c.text("jti", jtiShape); err != nil {
		return Caller{}, err
	}
	id, err := c.text("client_id", uuidShape)
	if err != nil {
		return Caller{}, err
	}
	client, err := v.o.Clients.Client(ctx, id)
	if errors.Is(err, ErrUnknownClient) {
		return Caller{}, claimError("client_id")
	}
	if err != nil {
		return Caller{}, unavailable(err)
	}
	if err := errors.Join(c.equal("sub", id), c.equal("consumerId", client.ConsumerID)); err != nil {
		return Caller{}, err
	}
	purposeID, err := c.text("purposeId", uuidShape)
	if err != nil {
		return Caller{}, err
	}
	purpose, ok := client.Purposes[purposeID]
	if !ok {
		return Caller{}, claimError("purposeId")
	}
	return Caller{System: client.System, Body: client.Body, Purpose: purpose, PurposeID: purposeID,
		ClientID: id, Expires: exp}, nil
}
