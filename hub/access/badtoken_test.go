package access

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"
)

// forge writes a compact token from raw header and payload texts, so that a
// test can say what no encoder would.
func forge(header, payload string, sign func(input string) []byte) string {
	enc := base64.RawURLEncoding
	input := enc.EncodeToString([]byte(header)) + "." + enc.EncodeToString([]byte(payload))
	return input + "." + enc.EncodeToString(sign(input))
}

func rs256(key *rsa.PrivateKey) func(string) []byte {
	return func(input string) []byte {
		sum := sha256.Sum256([]byte(input))
		sig, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
		if err != nil {
			panic(err)
		}
		return sig
	}
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

type change struct {
	name    string
	header  map[string]any // nil value: member removed
	payload map[string]any
	sign    func(string) []byte
}

func apply(base, over map[string]any) map[string]any {
	out := maps.Clone(base)
	for k, v := range over {
		if v == nil {
			delete(out, k)
		} else {
			out[k] = v
		}
	}
	return out
}

func (b *bench) voucherParts() (header, payload map[string]any) {
	now := b.clock.Now().Unix()
	return map[string]any{"typ": "at+jwt", "alg": "RS256", "use": "sig", "kid": "hub-1"},
		map[string]any{
			"jti": "one", "iss": testIssuer, "aud": testService.Audience, "client_id": PilotID("client", "desk"),
			"sub": PilotID("client", "desk"), "iat": now, "nbf": now, "exp": now + 600, "purposeId": PilotID("purpose", "desk"),
			"producerId": testService.ProducerID, "consumerId": PilotID("consumer", "desk"),
			"eserviceId": testService.ID, "descriptorId": testService.DescriptorID,
		}
}

func (b *bench) assertionParts() (header, payload map[string]any) {
	now := b.clock.Now().Unix()
	return map[string]any{"typ": "JWT", "alg": "RS256", "kid": Thumbprint(&deskKey().PublicKey)},
		map[string]any{
			"iss": PilotID("client", "desk"), "sub": PilotID("client", "desk"), "aud": testEndpoint, "jti": "one",
			"iat": now, "exp": now + 60, "purposeId": PilotID("purpose", "desk"),
		}
}

// commonChanges are wrong for a voucher and for a client assertion alike:
// B42, B43, B44, B47 and part of B45.
func commonChanges(now int64, own *rsa.PrivateKey) []change {
	pemKey := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(&own.PublicKey))})
	empty := func(string) []byte { return []byte{} }
	attacker := text(jose.JSONWebKey{Key: &otherKey().PublicKey})
	return []change{
		{name: "B42 alg none", header: map[string]any{"alg": "none"}, sign: empty},
		{name: "B42 alg None", header: map[string]any{"alg": "None"}, sign: empty},
		{name: "B42 alg none with a signature", header: map[string]any{"alg": "none"}},
		{name: "B42 alg missing", header: map[string]any{"alg": nil}},
		{name: "B42 no signature", sign: empty},
		{name: "B43 HS256 under the public key", header: map[string]any{"alg": "HS256"}, sign: func(in string) []byte {
			m := hmac.New(sha256.New, pemKey)
			m.Write([]byte(in))
			return m.Sum(nil)
		}},
		{name: "B43 PS256", header: map[string]any{"alg": "PS256"}, sign: func(in string) []byte {
			sum := sha256.Sum256([]byte(in))
			return must(rsa.SignPSS(rand.Reader, own, crypto.SHA256, sum[:], nil))
		}},
		{name: "B43 rs256", header: map[string]any{"alg": "rs256"}},
		{name: "signed by another", sign: rs256(otherKey())},
		{name: "B44 kid is a path", header: map[string]any{"kid": "../../../../dev/null"}},
		{name: "B44 kid is SQL", header: map[string]any{"kid": "x' UNION SELECT 'key"}},
		{name: "B44 kid is a URL", header: map[string]any{"kid": "https://attacker.example/key"}},
		{name: "B44 kid missing", header: map[string]any{"kid": nil}},
		{name: "B44 kid is a number", header: map[string]any{"kid": 1}},
		{name: "B44 jwk", header: map[string]any{"jwk": json.RawMessage(attacker)}, sign: rs256(otherKey())},
		{name: "B44 x5c", header: map[string]any{"x5c": []string{"MIIB"}}},
		{name: "B44 crit", header: map[string]any{"crit": []string{"exp"}}},
		{name: "B44 b64", header: map[string]any{"b64": false}},
		{name: "B50 zip", header: map[string]any{"zip": "DEF"}},
		{name: "B45 typ missing", header: map[string]any{"typ": nil}},
		{name: "B45 typ dpop+jwt", header: map[string]any{"typ": "dpop+jwt"}},
		{name: "B45 typ in capitals", header: map[string]any{"typ": "AT+JWT"}},
		{name: "use enc", header: map[string]any{"use": "enc"}},
		{name: "B46 aud of another", payload: map[string]any{"aud": "https://elsewhere.example"}},
		{name: "B46 aud array", payload: map[string]any{"aud": []string{testService.Audience, testEndpoint}}},
		{name: "B46 aud prefix", payload: map[string]any{"aud": "https://hub.example"}},
		{name: "B46 aud longer", payload: map[string]any{"aud": testEndpoint + "/"}},
		{name: "B46 aud missing", payload: map[string]any{"aud": nil}},
		{name: "B46 iss missing", payload: map[string]any{"iss": nil}},
		{name: "B46 sub of another", payload: map[string]any{"sub": PilotID("client", "other")}},
		{name: "B46 sub missing", payload: map[string]any{"sub": nil}},
		{name: "B46 purpose of another", payload: map[string]any{"purposeId": PilotID("purpose", "other")}},
		{name: "B46 purpose missing", payload: map[string]any{"purposeId": nil}},
		{name: "B46 purpose in capitals", payload: map[string]any{"purposeId": strings.ToUpper(PilotID("purpose", "desk"))}},
		{name: "B47 exp missing", payload: map[string]any{"exp": nil}},
		{name: "B47 exp is a fraction", payload: map[string]any{"exp": json.RawMessage(fmt.Sprint(now+60) + ".5")}},
		{name: "B47 exp with .0", payload: map[string]any{"exp": json.RawMessage(fmt.Sprint(now+60) + ".0")}},
		{name: "B47 exp with exponent", payload: map[string]any{"exp": json.RawMessage("1.8e9")}},
		{name: "B47 exp is text", payload: map[string]any{"exp": fmt.Sprint(now + 60)}},
		{name: "B47 exp in ten years", payload: map[string]any{"exp": now + 10*365*86400}},
		{name: "B47 exp past every number", payload: map[string]any{"exp": json.RawMessage("99999999999999999999999")}},
		{name: "B47 exp negative", payload: map[string]any{"exp": -1}},
		{name: "B47 exp far past", payload: map[string]any{"iat": now - 7200, "nbf": now - 7200, "exp": now - 3600}},
		{name: "B47 exp just past", payload: map[string]any{"iat": now - 120, "nbf": now - 120, "exp": now - 60}},
		{name: "B47 exp before iat", payload: map[string]any{"iat": now + 50, "exp": now + 40}},
		{name: "B47 iat missing", payload: map[string]any{"iat": nil}},
		{name: "B47 iat old", payload: map[string]any{"iat": now - 2*86400, "exp": now + 60}},
		{name: "B47 iat future", payload: map[string]any{"iat": now + 61, "exp": now + 120}},
		{name: "B47 nbf future", payload: map[string]any{"nbf": now + 61, "exp": now + 600}},
		{name: "B47 nbf is text", payload: map[string]any{"nbf": "now"}},
		{name: "jti missing", payload: map[string]any{"jti": nil}},
		{name: "jti empty", payload: map[string]any{"jti": ""}},
		{name: "jti long", payload: map[string]any{"jti": strings.Repeat("a", 129)}},
		{name: "jti with a line end", payload: map[string]any{"jti": "a\nb"}},
		{name: "jti is a number", payload: map[string]any{"jti": 7}},
		{name: "B50 over 8 KiB", payload: map[string]any{"pad": strings.Repeat("a", MaxTokenBytes)}},
		{name: "B50 1 MB", payload: map[string]any{"pad": strings.Repeat("a", 1<<20)}},
		{name: "deep claim", payload: map[string]any{"deep": json.RawMessage(strings.Repeat("[", 200) + strings.Repeat("]", 200))}},
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// malformed are texts that are not one compact token of ours at all (B50).
func malformed(t *testing.T, good string, own *rsa.PrivateKey, header, payload map[string]any) map[string]string {
	parts := strings.Split(good, ".")
	enc := base64.RawURLEncoding
	flat := text(map[string]any{"protected": parts[0], "payload": parts[1], "signature": parts[2]})
	general := text(map[string]any{"payload": parts[1], "signatures": []any{map[string]any{"protected": parts[0], "signature": parts[2]}}})
	encrypter, err := jose.NewEncrypter(jose.A128GCM, jose.Recipient{Algorithm: jose.RSA_OAEP_256, Key: &own.PublicKey}, nil)
	require.NoError(t, err)
	jwe := must(must(encrypter.Encrypt([]byte(good))).CompactSerialize())
	h, p := text(header), text(payload)
	return map[string]string{
		"empty": "", "dots": "..", "one part": parts[0], "two parts": parts[0] + "." + parts[1],
		"four parts": good + ".x", "flattened JSON": flat, "general JSON": general, "JWE": jwe,
		"empty-key JWE":        "eyJhbGciOiJBMTI4S1ciLCJlbmMiOiJBMTI4R0NNIn0..AAAA.AAAA.AAAA",
		"padding":              parts[0] + "=." + parts[1] + "." + parts[2],
		"line end inside":      parts[0] + "\n." + parts[1] + "." + parts[2],
		"space before":         " " + good,
		"plain base64":         strings.ReplaceAll(good, "_", "/") + "+",
		"header twice alg":     forge(`{"alg":"none",`+h[1:], p, rs256(own)),
		"claim twice":          forge(h, p[:len(p)-1]+`,"sub":"x"}`, rs256(own)),
		"claim in claim twice": forge(h, p[:len(p)-1]+`,"digest":{"alg":"a","alg":"b"}}`, rs256(own)),
		"second value":         forge(h, p+"{}", rs256(own)),
		"not UTF-8":            forge(h, p[:len(p)-1]+",\"x\":\"\xff\"}", rs256(own)),
		"payload is an array":  forge(h, "["+p+"]", rs256(own)),
		"payload is null":      forge(h, "null", rs256(own)),
		"header is a number":   forge("1", p, rs256(own)),
		"nested token":         forge(h, good, rs256(own)),
		"claims changed after": parts[0] + "." + enc.EncodeToString([]byte(strings.Replace(p, "one", "two", 1))) + "." + parts[2],
	}
}

func TestWrongVouchersAreAllRefusedAlike(t *testing.T) {
	b := newBench(t)
	header, payload := b.voucherParts()
	good := forge(text(header), text(payload), rs256(hubKey()))
	_, err := b.verifier.Verify(t.Context(), good, Expect{testService})
	require.NoError(t, err, "the token the others are made from")
	now := b.clock.Now().Unix()
	cases := append(commonChanges(now, hubKey()),
		change{name: "B45 a client assertion's type", header: map[string]any{"typ": "JWT"}},
		change{name: "B45 an ID token's type", header: map[string]any{"typ": "id+jwt"}},
		change{name: "B46 iss look-alike", payload: map[string]any{"iss": testIssuer + "/"}},
		change{name: "B46 eserviceId", payload: map[string]any{"eserviceId": PilotID("eservice", "other")}},
		change{name: "B46 eserviceId missing", payload: map[string]any{"eserviceId": nil}},
		change{name: "B46 descriptorId", payload: map[string]any{"descriptorId": PilotID("descriptor", "other")}},
		change{name: "B46 producerId", payload: map[string]any{"producerId": PilotID("producer", "other")}},
		change{name: "B46 consumerId", payload: map[string]any{"consumerId": PilotID("consumer", "other")}},
		change{name: "B46 client of nobody", payload: map[string]any{"client_id": PilotID("client", "x"), "sub": PilotID("client", "x")}},
		change{name: "B46 client of another", payload: map[string]any{"client_id": PilotID("client", "other"), "sub": PilotID("client", "other")}},
		change{name: "B47 nbf missing", payload: map[string]any{"nbf": nil}},
		change{name: "B49 bound to a key", payload: map[string]any{"cnf": map[string]any{"jkt": "x"}}},
	)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			raw := c.forge(header, payload, hubKey())
			for range 2 { // a refusal is never remembered as something else
				_, err := b.verifier.Verify(t.Context(), raw, Expect{testService})
				requireRefused(t, err, raw)
			}
		})
	}
	for name, raw := range malformed(t, good, hubKey(), header, payload) {
		t.Run("B50 "+name, func(t *testing.T) {
			_, err := b.verifier.Verify(t.Context(), raw, Expect{testService})
			requireRefused(t, err, raw)
		})
	}
	t.Run("B45 a client assertion", func(t *testing.T) {
		raw := b.assertion()
		_, err := b.verifier.Verify(t.Context(), raw, Expect{testService})
		requireRefused(t, err, raw)
	})
}

func (c change) forge(header, payload map[string]any, own *rsa.PrivateKey) string {
	sign := c.sign
	if sign == nil {
		sign = rs256(own)
	}
	return forge(text(apply(header, c.header)), text(apply(payload, c.payload)), sign)
}

func TestWrongAssertionsAreAllRefusedAlike(t *testing.T) {
	b := newBench(t)
	header, payload := b.assertionParts()
	good := forge(text(header), text(payload), rs256(deskKey()))
	now := b.clock.Now().Unix()
	cases := append(commonChanges(now, deskKey()),
		change{name: "B45 a voucher's type", header: map[string]any{"typ": "at+jwt"}},
		change{name: "kid of another client", header: map[string]any{"kid": Thumbprint(&otherKey().PublicKey)}, sign: rs256(otherKey())},
		change{name: "client of another", payload: map[string]any{"iss": PilotID("client", "other"), "sub": PilotID("client", "other")}},
		change{name: "client of nobody", payload: map[string]any{"iss": PilotID("client", "x"), "sub": PilotID("client", "x")}},
		change{name: "B47 over the longest life", payload: map[string]any{"exp": now + 3601}},
	)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			raw := c.forge(header, payload, deskKey())
			_, err := b.issuer.Issue(t.Context(), request(raw))
			requireRefused(t, err, raw)
		})
	}
	for name, raw := range malformed(t, good, deskKey(), header, payload) {
		if raw == "" {
			continue // a malformed request, not a wrong assertion
		}
		t.Run("B50 "+name, func(t *testing.T) {
			_, err := b.issuer.Issue(t.Context(), request(raw))
			requireRefused(t, err, raw)
		})
	}
	t.Run("B45 a voucher", func(t *testing.T) {
		raw := b.voucher()
		_, err := b.issuer.Issue(t.Context(), request(raw))
		requireRefused(t, err, raw)
	})
	t.Run("form names another client", func(t *testing.T) {
		r := request(good)
		r.ClientID = PilotID("client", "other")
		_, err := b.issuer.Issue(t.Context(), r)
		requireRefused(t, err, good)
	})
	t.Run("none of them used the good one up", func(t *testing.T) {
		r := request(good)
		r.ClientID = PilotID("client", "desk")
		_, err := b.issuer.Issue(t.Context(), r)
		require.NoError(t, err)
	})
}

// B44: key locations of the attacker's are refused without being looked at.
func TestNoKeyIsEverFetched(t *testing.T) {
	var hits atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer srv.Close()
	b := newBench(t)
	vh, vp := b.voucherParts()
	ah, ap := b.assertionParts()
	for _, member := range []string{"jku", "x5u"} {
		over := change{header: map[string]any{member: srv.URL + "/keys.json"}}
		raw := over.forge(vh, vp, otherKey())
		_, err := b.verifier.Verify(t.Context(), raw, Expect{testService})
		requireRefused(t, err, raw)
		raw = over.forge(ah, ap, otherKey())
		_, err = b.issuer.Issue(t.Context(), request(raw))
		requireRefused(t, err, raw)
	}
	require.Zero(t, hits.Load())
}

// B48: at once, after a restart, on a second replica, and near the end of its
// life; the row must outlive the assertion.
func TestAssertionIsUsedOnce(t *testing.T) {
	b := newBench(t)
	raw := b.assertion()
	_, err := b.issuer.Issue(t.Context(), request(raw))
	require.NoError(t, err)
	for name, issuer := range map[string]*Issuer{"at once": b.issuer, "after a restart": b.newIssuer(), "second replica": b.newIssuer()} {
		t.Run(name, func(t *testing.T) {
			_, err := issuer.Issue(t.Context(), request(raw))
			require.Equal(t, "token_replayed", string(exchangeReason(err)))
		})
	}
	last := b.clock.Now().Add(time.Minute + Leeway)
	for _, until := range b.once.used {
		require.False(t, until.Before(last), "the row goes before the assertion does")
	}
	b.clock.step(time.Minute + Leeway - time.Second)
	_, err = b.issuer.Issue(t.Context(), request(raw))
	require.Equal(t, "token_replayed", string(exchangeReason(err)))
	b.clock.step(time.Second)
	_, err = b.issuer.Issue(t.Context(), request(raw))
	requireRefused(t, err, raw)
}

func TestSameIDOfAnotherClientIsItsOwn(t *testing.T) {
	b := newBench(t)
	header, payload := b.assertionParts()
	_, err := b.issuer.Issue(t.Context(), request(forge(text(header), text(payload), rs256(deskKey()))))
	require.NoError(t, err)
	header["kid"] = Thumbprint(&otherKey().PublicKey)
	payload["iss"], payload["sub"] = PilotID("client", "other"), PilotID("client", "other")
	payload["purposeId"] = PilotID("purpose", "other")
	_, err = b.issuer.Issue(t.Context(), request(forge(text(header), text(payload), rs256(otherKey()))))
	require.NoError(t, err)
}

func TestMalformedTokenRequests(t *testing.T) {
	b := newBench(t)
	good := request(b.assertion())
	for name, r := range map[string]TokenRequest{
		"no assertion": {AssertionType: AssertionType, GrantType: GrantType},
		"other grant":  {Assertion: good.Assertion, AssertionType: AssertionType, GrantType: "password"},
		"other type":   {Assertion: good.Assertion, AssertionType: "urn:x", GrantType: GrantType},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := b.issuer.Issue(t.Context(), r)
			require.Equal(t, "parameter", string(exchangeReason(err)))
		})
	}
}
