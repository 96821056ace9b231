package access

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"raccordo/hub/exchange"
)

func exchangeReason(err error) exchange.Reason { return exchange.AsError(err).Reason }

func TestParseKey(t *testing.T) {
	key := deskKey()
	public := Key{Thumbprint(&key.PublicKey), &key.PublicKey}
	spki := must(x509.MarshalPKIXPublicKey(&key.PublicKey))
	for name, b := range map[string][]byte{
		"JWK":            must(public.JWK()),
		"SPKI":           pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}),
		"PKCS1":          pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&key.PublicKey)}),
		"kid of its own": must((&jose.JSONWebKey{Key: &key.PublicKey, KeyID: "../x"}).MarshalJSON()),
	} {
		t.Run(name, func(t *testing.T) {
			k, err := ParseKey(b)
			require.NoError(t, err)
			require.Equal(t, public.KID, k.KID)
			require.True(t, k.Public.Equal(&key.PublicKey))
			require.Regexp(t, kidShape, k.KID)
		})
	}
}

func TestParseKeyRefuses(t *testing.T) {
	key := deskKey()
	short := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 2046, 1), E: 65537}
	lowE := &rsa.PublicKey{N: key.N, E: 3}
	curve := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	jwk := func(k any) []byte { return must((&jose.JSONWebKey{Key: k}).MarshalJSON()) }
	for name, b := range map[string][]byte{
		"nothing": nil, "text": []byte("key"), "empty object": []byte("{}"),
		"private JWK": jwk(key), "symmetric": jwk([]byte("secret")), "2047 bits": jwk(short), "exponent 3": jwk(lowE), "EC": jwk(&curve.PublicKey),
		"private PEM": pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}),
		"lying PEM":   pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")}),
		"long":        []byte(strings.Repeat("a", maxKeyText+1)),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseKey(b)
			require.ErrorIs(t, err, ErrBadKey)
		})
	}
}

func TestParseJWKS(t *testing.T) {
	sig := must((&jose.JSONWebKey{Key: &hubKey().PublicKey, KeyID: "k1", Use: "sig"}).MarshalJSON())
	enc := must((&jose.JSONWebKey{Key: &deskKey().PublicKey, KeyID: "k2", Use: "enc"}).MarshalJSON())
	keys, err := ParseJWKS([]byte(`{"keys":[` + string(sig) + `,` + string(enc) + `,{"kty":"oct","k":"AA","kid":"k3"}]}`))
	require.NoError(t, err)
	require.Len(t, keys, 1)
	require.Equal(t, "k1", keys[0].KID)
	set, err := NewKeySet(keys...)
	require.NoError(t, err)
	_, ok := set.VoucherKey("k2")
	require.False(t, ok)
	_, err = NewKeySet(keys[0], keys[0])
	require.ErrorIs(t, err, ErrBadKey)
	_, err = ParseJWKS([]byte(`{"keys":[]}`))
	require.ErrorIs(t, err, ErrBadKey)
}

func TestPilotIDsAreUUIDs(t *testing.T) {
	require.Regexp(t, uuidShape, PilotID("client", "desk"))
	require.NotEqual(t, PilotID("client", "desk"), PilotID("consumer", "desk"))
	require.Equal(t, PilotID("client", "desk"), PilotID("client", "desk"))
}

func TestLimits(t *testing.T) {
	c := &clock{t: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
	l, err := NewLimits(LimitsOptions{Default: Rate{PerSecond: 2, Burst: 4}, Of: map[string]Rate{"big": {PerSecond: 100, Burst: 100}}, Keys: 3, Now: c.Now})
	require.NoError(t, err)
	require.Equal(t, Quota{OK: true, Limit: 4, Remaining: 3, Reset: 500 * time.Millisecond}, l.Allow("desk", 1))
	require.True(t, l.Allow("desk", 3).OK)
	require.Equal(t, Quota{OK: false, Limit: 4, Remaining: 0, Reset: 500 * time.Millisecond}, l.Allow("desk", 1))
	require.True(t, l.Allow("other", 1).OK, "one system's rate is not another's")
	require.Equal(t, 100, l.Allow("big", 1).Limit)
	c.step(500 * time.Millisecond)
	require.True(t, l.Allow("desk", 1).OK)
	require.False(t, l.Allow("desk", 1).OK)
	c.step(time.Hour)
	require.True(t, l.Allow("desk", 1_000_000).OK, "a full bucket serves what is larger than it")
}

func TestLimitsAreBounded(t *testing.T) {
	c := &clock{t: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
	l, err := NewLimits(LimitsOptions{Default: Rate{PerSecond: 1, Burst: 2}, Keys: 10, Now: c.Now})
	require.NoError(t, err)
	allowed := 0
	for i := range 1_000 {
		if l.Allow(PilotID("client", string(rune(i))), 1).OK {
			allowed++
		}
		require.LessOrEqual(t, len(l.buckets), 10)
	}
	require.Equal(t, 12, allowed, "ten with their own bucket, two of the shared one")
	c.step(time.Minute)
	require.True(t, l.Allow("late", 1).OK)
	require.Contains(t, l.buckets, "late", "idle buckets make room")
}

func TestLimitsNeverAllowMoreThanTheRate(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := &clock{t: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
		burst := rapid.IntRange(1, 20).Draw(rt, "burst")
		l, err := NewLimits(LimitsOptions{Default: Rate{PerSecond: 5, Burst: burst}, Now: c.Now})
		require.NoError(rt, err)
		start, taken := c.Now(), 0
		for range rapid.IntRange(1, 50).Draw(rt, "calls") {
			c.step(time.Duration(rapid.IntRange(0, 900).Draw(rt, "ms")) * time.Millisecond)
			n := rapid.IntRange(1, burst).Draw(rt, "n")
			q := l.Allow("desk", n)
			if q.OK {
				taken += n
			} else {
				require.Positive(rt, q.Reset)
			}
			require.True(rt, q.Remaining >= 0 && q.Remaining <= q.Limit)
			most := float64(burst) + 5*c.Now().Sub(start).Seconds() + 1e-6
			require.LessOrEqual(rt, float64(taken), most)
		}
	})
}

func FuzzVerify(f *testing.F) {
	f.Add("a.b.c")
	f.Add(forge(`{"alg":"RS256","typ":"at+jwt","kid":"hub-1"}`, `{"iss":"x"}`, func(string) []byte { return []byte("s") }))
	f.Add(forge(`{"alg":"none"}`, `{}`, func(string) []byte { return []byte("s") }))
	b := newBench(&testing.T{})
	f.Fuzz(func(t *testing.T, raw string) {
		if _, err := b.verifier.Verify(t.Context(), raw, Expect{testService}); err == nil {
			t.Fatal("accepted what nobody signed")
		}
	})
}
