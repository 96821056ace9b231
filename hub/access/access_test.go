package access

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"raccordo/hub/exchange"
)

const (
	testIssuer   = "https://issuer.example"
	testEndpoint = "https://hub.example/v1/token.oauth2"
)

var testService = EService{
	ID: PilotID("eservice", "hub"), DescriptorID: PilotID("descriptor", "hub"),
	ProducerID: PilotID("producer", "hub"), Audience: "https://hub.example/v1",
}

// Keys are made once: each takes a tenth of a second.
var testKeys = sync.OnceValue(func() [3]*rsa.PrivateKey {
	var out [3]*rsa.PrivateKey
	for i := range out {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		out[i] = k
	}
	return out
})

func hubKey() *rsa.PrivateKey   { return testKeys()[0] }
func deskKey() *rsa.PrivateKey  { return testKeys()[1] }
func otherKey() *rsa.PrivateKey { return testKeys()[2] }

func client(name string, keys ...*rsa.PrivateKey) Client {
	c := Client{
		ID: PilotID("client", name), System: exchange.SystemID(name), Body: exchange.BodyID(name + "_body"),
		ConsumerID: PilotID("consumer", name), Purposes: map[string]exchange.PurposeID{PilotID("purpose", name): "help"},
	}
	for _, k := range keys {
		c.Keys = append(c.Keys, Key{Thumbprint(&k.PublicKey), &k.PublicKey})
	}
	return c
}

type fixedSigner struct {
	key crypto.Signer
	kid string
	err error
}

func (s fixedSigner) VoucherSigner(context.Context) (crypto.Signer, string, error) {
	return s.key, s.kid, s.err
}

// onceStore stands for the store: what it holds outlives issuers.
type onceStore struct {
	mu   sync.Mutex
	used map[string]time.Time
	err  error
}

func (s *onceStore) UseOnce(_ context.Context, kind, id string, until time.Time) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return false, s.err
	}
	if _, there := s.used[kind+id]; there {
		return false, nil
	}
	s.used[kind+id] = until
	return true, nil
}

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) step(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// bench is a hub's side of access with two clients, desk and other.
type bench struct {
	t         *testing.T
	clock     *clock
	once      *onceStore
	directory *Directory
	keys      *KeySet
	issuer    *Issuer
	verifier  *Verifier
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, clock: &clock{t: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)}, once: &onceStore{used: map[string]time.Time{}}}
	var err error
	b.directory, err = NewDirectory(nil, client("desk", deskKey()), client("other", otherKey()))
	require.NoError(t, err)
	b.keys, err = NewKeySet(Key{"hub-1", &hubKey().PublicKey})
	require.NoError(t, err)
	b.issuer = b.newIssuer()
	b.verifier, err = NewVerifier(VerifierOptions{Issuer: testIssuer, Keys: b.keys, Clients: b.directory, Now: b.clock.Now})
	require.NoError(t, err)
	return b
}

// newIssuer is the hub started anew, or a second replica: only the store is
// the same.
func (b *bench) newIssuer() *Issuer {
	i, err := NewIssuer(IssuerOptions{
		Issuer: testIssuer, TokenEndpoint: testEndpoint, EService: testService, Directory: b.directory,
		Once: b.once, Signer: fixedSigner{key: hubKey(), kid: "hub-1"}, Now: b.clock.Now, Random: rand.Reader,
	})
	require.NoError(b.t, err)
	return i
}

func request(assertion string) TokenRequest {
	return TokenRequest{Assertion: assertion, AssertionType: AssertionType, GrantType: GrantType}
}

func (b *bench) assertion() string {
	raw, err := NewAssertion(deskKey(), AssertionOptions{ClientID: PilotID("client", "desk"),
		PurposeID: PilotID("purpose", "desk"), TokenEndpoint: testEndpoint, Now: b.clock.Now(), Random: rand.Reader})
	require.NoError(b.t, err)
	return raw
}

func (b *bench) voucher() string {
	v, err := b.issuer.Issue(b.t.Context(), request(b.assertion()))
	require.NoError(b.t, err)
	return v.Token
}

// requireRefused wants the one answer wrong callers get, and no byte of the
// token in anything that could be logged.
func requireRefused(t *testing.T, err error, token string) {
	t.Helper()
	require.Error(t, err)
	e := exchange.AsError(err)
	require.Equal(t, exchange.CodeUnauthenticated, e.Code)
	require.Equal(t, exchange.ReasonTokenInvalid, e.Reason)
	require.Equal(t, "the token is not valid here", e.Detail)
	texts := e.Error()
	for cause := errors.Unwrap(err); cause != nil; cause = errors.Unwrap(cause) {
		texts += cause.Error()
	}
	for _, part := range strings.Split(token, ".") {
		if len(part) > 16 {
			require.NotContains(t, texts, part[:16])
		}
	}
}

func TestVoucherOfAnAssertionIsVerified(t *testing.T) {
	b := newBench(t)
	v, err := b.issuer.Issue(t.Context(), request(b.assertion()))
	require.NoError(t, err)
	require.Equal(t, 10*time.Minute, v.Life)
	for range 2 { // the second time from memory
		c, err := b.verifier.Verify(t.Context(), v.Token, Expect{testService})
		require.NoError(t, err)
		require.Equal(t, Caller{System: "desk", Body: "desk_body", Purpose: "help", PurposeID: PilotID("purpose", "desk"),
			ClientID: PilotID("client", "desk"), Expires: b.clock.Now().Add(10 * time.Minute)}, c)
	}
}

func TestVoucherEndsAlsoInMemory(t *testing.T) {
	b := newBench(t)
	raw := b.voucher()
	_, err := b.verifier.Verify(t.Context(), raw, Expect{testService})
	require.NoError(t, err)
	b.clock.step(10*time.Minute + Leeway - time.Second)
	_, err = b.verifier.Verify(t.Context(), raw, Expect{testService})
	require.NoError(t, err)
	b.clock.step(time.Second)
	_, err = b.verifier.Verify(t.Context(), raw, Expect{testService})
	requireRefused(t, err, raw)
}

func TestRememberedVoucherIsOnlyGoodForItsService(t *testing.T) {
	b := newBench(t)
	raw := b.voucher()
	_, err := b.verifier.Verify(t.Context(), raw, Expect{testService})
	require.NoError(t, err)
	other := testService
	other.ID = PilotID("eservice", "waas")
	_, err = b.verifier.Verify(t.Context(), raw, Expect{other})
	requireRefused(t, err, raw)
}

func TestForgetShutsOut(t *testing.T) {
	b := newBench(t)
	raw := b.voucher()
	_, err := b.verifier.Verify(t.Context(), raw, Expect{testService})
	require.NoError(t, err)
	require.NoError(t, b.directory.Replace(client("other", otherKey())))
	b.verifier.Forget()
	_, err = b.verifier.Verify(t.Context(), raw, Expect{testService})
	requireRefused(t, err, raw)
}

func TestMemoryIsBounded(t *testing.T) {
	b := newBench(t)
	v, err := NewVerifier(VerifierOptions{Issuer: testIssuer, Keys: b.keys, Clients: b.directory, Now: b.clock.Now, Remembered: 4})
	require.NoError(t, err)
	first := b.voucher()
	for i := range 20 {
		raw := first
		if i > 0 {
			raw = b.voucher()
		}
		_, err := v.Verify(t.Context(), raw, Expect{testService})
		require.NoError(t, err)
		require.LessOrEqual(t, len(v.young)+len(v.old), 4)
	}
	_, err = v.Verify(t.Context(), first, Expect{testService})
	require.NoError(t, err, "what was forgotten is verified again")
}

func TestUnreachableStoresRefuseWithoutBlame(t *testing.T) {
	b := newBench(t)
	b.once.err = errors.New("disk on fire")
	_, err := b.issuer.Issue(t.Context(), request(b.assertion()))
	e := exchange.AsError(err)
	require.Equal(t, exchange.CodeUnavailable, e.Code)
	require.Positive(t, e.RetryAfter)

	b.once.err = nil
	b.issuer.o.Signer = fixedSigner{err: errors.New("sealed")}
	_, err = b.issuer.Issue(t.Context(), request(b.assertion()))
	require.Equal(t, exchange.CodeUnavailable, exchange.AsError(err).Code)
}

type keyRows struct {
	rows map[string][]byte
	err  error
}

func (r keyRows) SystemKey(_ context.Context, s exchange.SystemID, kid string) ([]byte, error) {
	return r.rows[string(s)+kid], r.err
}

func TestStoredKeyCountsLikeADeclaredOne(t *testing.T) {
	b := newBench(t)
	jwk, err := Key{Thumbprint(&deskKey().PublicKey), &deskKey().PublicKey}.JWK()
	require.NoError(t, err)
	rows := keyRows{rows: map[string][]byte{"desk" + Thumbprint(&deskKey().PublicKey): jwk}}
	b.directory, err = NewDirectory(rows, client("desk"))
	require.NoError(t, err)
	_, err = b.newIssuer().Issue(t.Context(), request(b.assertion()))
	require.NoError(t, err)

	swapped, err := Key{Public: &otherKey().PublicKey}.JWK()
	require.NoError(t, err)
	for _, row := range [][]byte{swapped, []byte("{}")} {
		wrong := keyRows{rows: map[string][]byte{"desk" + Thumbprint(&deskKey().PublicKey): row}}
		b.directory, err = NewDirectory(wrong, client("desk"))
		require.NoError(t, err)
		_, _, err = b.directory.ClientKey(t.Context(), PilotID("client", "desk"), Thumbprint(&deskKey().PublicKey))
		require.ErrorIs(t, err, ErrBadKey, "a row that is another key")
	}

	rows.err = errors.New("no disk")
	b.directory, err = NewDirectory(rows, client("desk"))
	require.NoError(t, err)
	_, err = b.newIssuer().Issue(t.Context(), request(b.assertion()))
	require.Equal(t, exchange.CodeUnavailable, exchange.AsError(err).Code, "not known is not a no")
}

func TestDirectoryRefusesBadClients(t *testing.T) {
	bad := client("desk")
	bad.ID = "desk"
	_, err := NewDirectory(nil, bad)
	require.Error(t, err)
	_, err = NewDirectory(nil, client("desk"), client("desk"))
	require.Error(t, err)
	lying := client("desk", deskKey())
	lying.Keys[0].KID = Thumbprint(&otherKey().PublicKey)
	_, err = NewDirectory(nil, lying)
	require.ErrorIs(t, err, ErrBadKey)
}

// The hot path: a request of a caller who was seen before costs a digest.
func BenchmarkVerifyRemembered(b *testing.B) {
	h := newBench(&testing.T{})
	raw := h.voucher()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.verifier.Verify(b.Context(), raw, Expect{testService}); err != nil {
			b.Fatal(err)
		}
	}
}
