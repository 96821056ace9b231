package hub_test

import (
	"bytes"
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
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"raccordo/hub"
	"raccordo/hub/access"
	"raccordo/hub/control"
	"raccordo/hub/hubtest"
)

const (
	deskClient  = "ef532870-036b-411d-9d99-71a31e00ecbc"
	deskPurpose = "0b92617b-7f75-43a2-984b-e1046b28ad2f"
	deskBody    = "203f272e-5789-42f5-b3b7-fb6f3ba91fb1"
	anIssuer    = "https://issuer.example"
)

type tokenRow struct {
	ID              string
	Only, Sign      string
	Header, Payload map[string]any
}

// forger makes tokens that no encoder would.
type forger struct {
	t               *testing.T
	own, other      *rsa.PrivateKey
	header, payload map[string]any
	listener        string
}

func (f *forger) make(row tokenRow) string {
	f.t.Helper()
	h, p := f.changed(f.header, row.Header), f.changed(f.payload, row.Payload)
	enc := base64.RawURLEncoding
	input := enc.EncodeToString(f.json(h)) + "." + enc.EncodeToString(f.json(p))
	var sig []byte
	switch row.Sign {
	case "none":
	case "hmac":
		der, err := x509.MarshalPKIXPublicKey(&f.own.PublicKey)
		require.NoError(f.t, err)
		m := hmac.New(sha256.New, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
		m.Write([]byte(input))
		sig = m.Sum(nil)
	default:
		key := f.own
		if row.Sign == "other" {
			key = f.other
		}
		sum := sha256.Sum256([]byte(input))
		var err error
		sig, err = rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
		require.NoError(f.t, err)
	}
	return input + "." + enc.EncodeToString(sig)
}

func (f *forger) json(v any) []byte {
	f.t.Helper()
	b, err := json.Marshal(v)
	require.NoError(f.t, err)
	return b
}

func (f *forger) changed(base, over map[string]any) map[string]any {
	out := maps.Clone(base)
	for k, v := range over {
		if v == nil {
			delete(out, k)
			continue
		}
		out[k] = f.value(k, v)
	}
	return out
}

// value fills in what a row cannot know.
func (f *forger) value(member string, v any) any {
	f.t.Helper()
	switch x := v.(type) {
	case int:
		if member == "exp" || member == "nbf" || member == "iat" {
			return time.Now().Unix() + int64(x)
		}
	case []any:
		for i := range x {
			x[i] = f.value(member, x[i])
		}
	case string:
		switch x {
		case "LISTENER":
			return f.listener
		case "ATTACKER":
			jwk, err := access.Key{KID: "k", Public: &f.other.PublicKey}.JWK()
			require.NoError(f.t, err)
			return json.RawMessage(jwk)
		case "PAD":
			return strings.Repeat("a", 1<<20)
		}
		return strings.ReplaceAll(x, "AUDIENCE", fmt.Sprint(f.payload["aud"]))
	}
	return v
}

func rsaKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	return key
}

func tokenRows(t *testing.T, kind string) []tokenRow {
	t.Helper()
	b, err := os.ReadFile("testdata/bad/tokens.yaml")
	require.NoError(t, err)
	var file struct{ Rows []tokenRow }
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	require.NoError(t, d.Decode(&file))
	var out []tokenRow
	for _, row := range file.Rows {
		if row.Only == "" || row.Only == kind {
			out = append(out, row)
		}
	}
	require.NotEmpty(t, out)
	return out
}

// attackers' keys are offered here; nobody may come.
func trap(t *testing.T) (string, *atomic.Int32) {
	t.Helper()
	hits := &atomic.Int32{}
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	t.Cleanup(s.Close)
	return s.URL, hits
}

// B42 to B47: every wrong voucher is refused, all alike, by a hub whose vouchers
// another issuer signs.
func TestBadVouchers(t *testing.T) {
	own := rsaKey(t)
	jwk, err := access.Key{KID: "issuer-1", Public: &own.PublicKey}.JWK()
	require.NoError(t, err)
	jwks := filepath.Join(t.TempDir(), "jwks.json")
	require.NoError(t, os.WriteFile(jwks, []byte(`{"keys":[`+string(jwk)+`]}`), 0o600))
	const service, version, producer = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222", "33333333-3333-4333-8333-333333333333"
	h := hubtest.Start(t, hubtest.With(func(o *hub.Options) {
		o.Config.Vouchers = hub.VoucherConfig{Issuer: anIssuer, JWKS: jwks, Audience: "https://hub.example", EService: service, Version: version, Producer: producer}
	}))
	at, hits := trap(t)
	now := time.Now().Unix()
	f := &forger{t: t, own: own, other: rsaKey(t), listener: at, header: map[string]any{"typ": "at+jwt", "alg": "RS256", "use": "sig", "kid": "issuer-1"},
		payload: map[string]any{"jti": "one", "iss": anIssuer, "aud": "https://hub.example", "client_id": deskClient, "sub": deskClient, "iat": now, "nbf": now,
			"exp": now + 600, "purposeId": deskPurpose, "producerId": producer, "consumerId": deskBody, "eserviceId": service, "descriptorId": version}}
	b := &bench{Hub: h, names: map[string]string{}}
	present := func(t *testing.T, token string) (int, map[string]any, []byte) {
		return b.send(t, &badRow{Token: token, Key: text("key")}, 0)
	}
	var first map[string]any
	for _, row := range tokenRows(t, "voucher") {
		t.Run(row.ID, func(t *testing.T) {
			if row.ID == "B50 large" {
				return // net/http refuses a header of a megabyte by itself: next
			}
			before := look(t, h, &badRow{Reason: "token_invalid"})
			status, problem, raw := present(t, f.make(row))
			require.Equal(t, http.StatusUnauthorized, status, "%s", raw)
			if first == nil {
				first = problem
			}
			require.Equal(t, first, problem, "all are refused alike")
			after := look(t, h, &badRow{Reason: "token_invalid"})
			require.Equal(t, before.refused+1, after.refused)
			require.Equal(t, before.entries, after.entries)
			require.Equal(t, before.stream, after.stream)
		})
	}
	require.Zero(t, hits.Load(), "a key was fetched")
	status, _, raw := present(t, f.make(tokenRow{}))
	require.Equal(t, http.StatusAccepted, status, "the voucher the others are made from: %s", raw)
}

// B42 to B48: every wrong client assertion is refused, and a good one is used
// once, also across a restart.
func TestBadAssertions(t *testing.T) {
	h := hubtest.Start(t)
	own := rsaKey(t)
	addKey := func() {
		jwk, err := access.Key{KID: access.Thumbprint(&own.PublicKey), Public: &own.PublicKey}.JWK()
		require.NoError(t, err)
		hubtest.Call[control.System](h, "system/add-key", control.KeyRequest{System: "oss_livorno_desk", Key: jwk})
	}
	addKey()
	at, hits := trap(t)
	now := time.Now().Unix()
	f := &forger{t: t, own: own, other: rsaKey(t), listener: at,
		header: map[string]any{"typ": "JWT", "alg": "RS256", "kid": access.Thumbprint(&own.PublicKey)},
		payload: map[string]any{"jti": "one", "iss": deskClient, "sub": deskClient, "aud": h.TokenEndpoint(), "iat": now, "exp": now + 300,
			"purposeId": deskPurpose}}
	ask := func(t *testing.T, assertion string) (int, map[string]any) {
		t.Helper()
		form := url.Values{"client_id": {deskClient}, "client_assertion": {assertion}, "client_assertion_type": {access.AssertionType},
			"grant_type": {access.GrantType}}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.URL()+"/v1/token.oauth2", strings.NewReader(form.Encode()))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		status, out, _ := answer(t, req)
		return status, out
	}
	for _, row := range tokenRows(t, "assertion") {
		t.Run(row.ID, func(t *testing.T) {
			row.Payload = maps.Clone(row.Payload)
			if row.Payload == nil {
				row.Payload = map[string]any{}
			}
			if _, said := row.Payload["jti"]; !said {
				row.Payload["jti"] = "row-" + strconv.Itoa(len(row.ID)) + row.ID
			}
			status, problem := ask(t, f.make(row))
			if row.ID == "B50 large" {
				require.Equal(t, http.StatusRequestEntityTooLarge, status)
				return
			}
			require.Contains(t, []int{http.StatusBadRequest, http.StatusUnauthorized}, status)
			require.Contains(t, []any{"invalid_client", "invalid_request"}, problem["error"])
			require.NotContains(t, problem, "access_token")
		})
	}
	require.Zero(t, hits.Load(), "a key was fetched")
	good := f.make(tokenRow{})
	status, out := ask(t, good)
	require.Equal(t, http.StatusOK, status, "the assertion the others are made from: %v", out)
	status, again := ask(t, good)
	require.Equal(t, http.StatusUnauthorized, status, "B48: used twice: %v", again)
	// After a restart on the same address: the audience must be the same.
	listen := h.Addr()
	h.Stop()
	h2 := hubtest.Start(t, hubtest.WithDir(h.Dir), hubtest.With(func(o *hub.Options) { o.Config.Listen = listen }))
	require.Equal(t, h.TokenEndpoint(), h2.TokenEndpoint())
	status, again = ask(t, good)
	require.Equal(t, http.StatusUnauthorized, status, "B48: used again after a restart: %v", again)
	status, out = ask(t, f.make(tokenRow{Payload: map[string]any{"jti": "another"}}))
	require.Equal(t, http.StatusOK, status, "%v", out)
}
