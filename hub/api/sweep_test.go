package api

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"raccordo/hub/access"
	"raccordo/hub/exchange"
)

func serve(a *API, method, path, body string) (int, string) {
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+deskToken)
	req.Header.Set("Content-Type", MediaJSON)
	req.Header.Set("Idempotency-Key", "k")
	w := httptest.NewRecorder()
	a.ServeHTTP(w, req)
	return w.Code, w.Body.String()
}

// secured is a rig whose callers are recognised by the real package access.
type secured struct {
	*rig
	keys   map[string]*rsa.PrivateKey
	issuer map[string]*access.Issuer // by what is wrong with its vouchers; "" nothing
}

type signer struct{ key *rsa.PrivateKey }

func (s signer) VoucherSigner(context.Context) (crypto.Signer, string, error) {
	return s.key, "hub", nil
}

type once struct {
	mu   sync.Mutex
	used map[string]bool
}

func (o *once) UseOnce(_ context.Context, kind, id string, _ time.Time) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	fresh := !o.used[kind+id]
	o.used[kind+id] = true
	return fresh, nil
}

var sweepKeys = sync.OnceValue(func() map[string]*rsa.PrivateKey {
	out := map[string]*rsa.PrivateKey{}
	for _, name := range []string{"hub", "desk", "other"} {
		out[name] = must(rsa.GenerateKey(rand.Reader, 2048))
	}
	return out
})

const endpoint = "https://hub.example/v1/token.oauth2"

func service(name string) access.EService {
	return access.EService{ID: access.PilotID("eservice", name), DescriptorID: access.PilotID("descriptor", name),
		ProducerID: access.PilotID("producer", "hub"), Audience: "https://hub.example/v1"}
}

func clients(keys map[string]*rsa.PrivateKey, extra string) []access.Client {
	var out []access.Client
	for _, name := range []string{"desk", "other"} {
		public := &keys[name].PublicKey
		c := access.Client{ID: access.PilotID("client", name), System: exchange.SystemID(name), Body: exchange.BodyID(name),
			ConsumerID: access.PilotID("consumer", name), Purposes: map[string]exchange.PurposeID{access.PilotID("purpose", name): "help"},
			Keys: []access.Key{{KID: access.Thumbprint(public), Public: public}}}
		if extra != "" {
			c.Purposes[access.PilotID("purpose", extra)] = "other_purpose"
		}
		out = append(out, c)
	}
	return out
}

func newSecured(t *testing.T) *secured {
	keys := sweepKeys()
	now := func() time.Time { return testTime }
	s := &secured{keys: keys, issuer: map[string]*access.Issuer{}}
	issue := func(kind string, e access.EService, extra string, iss string, life time.Duration, when func() time.Time) {
		s.issuer[kind] = must(access.NewIssuer(access.IssuerOptions{Issuer: iss, TokenEndpoint: endpoint, EService: e,
			Directory: must(access.NewDirectory(nil, clients(keys, extra)...)), Once: &once{used: map[string]bool{}},
			Signer: signer{keys["hub"]}, Now: when, Random: rand.Reader, VoucherLife: life}))
	}
	issue("", service("hub"), "", "https://hub.example", time.Minute, now)
	issue("other e-service", service("waas"), "", "https://hub.example", time.Minute, now)
	issue("wrong purpose", service("hub"), "foreign", "https://hub.example", time.Minute, now)
	issue("other issuer", service("hub"), "", "https://hub.example.evil", time.Minute, now)
	issue("expired", service("hub"), "", "https://hub.example", time.Minute, func() time.Time { return testTime.Add(-time.Hour) })
	set := must(access.NewKeySet(access.Key{KID: "hub", Public: &keys["hub"].PublicKey}))
	s.rig = newRig(t, func(o *Options) {
		o.Verifier = must(access.NewVerifier(access.VerifierOptions{Issuer: "https://hub.example", Keys: set,
			Clients: must(access.NewDirectory(nil, clients(keys, "")...)), Now: now}))
		o.Expect = access.Expect{EService: service("hub")}
		o.Tokens = s.issuer[""]
	})
	return s
}

func (s *secured) assertion(name, purpose string, at time.Time) string {
	return must(access.NewAssertion(s.keys[name], access.AssertionOptions{ClientID: access.PilotID("client", name),
		PurposeID: access.PilotID("purpose", purpose), TokenEndpoint: endpoint, Now: at, Random: rand.Reader}))
}

func (s *secured) voucher(kind, name string) string {
	purpose, at := name, testTime
	if kind == "wrong purpose" {
		purpose = "foreign"
	}
	if kind == "expired" {
		at = at.Add(-time.Hour)
	}
	v, err := s.issuer[kind].Issue(s.t.Context(), access.TokenRequest{Assertion: s.assertion(name, purpose, at),
		AssertionType: access.AssertionType, GrantType: access.GrantType})
	require.NoError(s.t, err)
	return v.Token
}

// B54, B57: each operation without a voucher and with each wrong one. Nothing
// behind the API is asked, and all wrong ones get one answer.
func TestSweepOfWrongVouchers(t *testing.T) {
	s := newSecured(t)
	wrong := map[string][]string{
		"garbage": {"Bearer garbage"}, "basic": {"Basic ZGVzazpkZXNr"}, "empty": {"Bearer "}, "bare": {s.voucher("", "desk")},
		"two": {"Bearer " + s.voucher("", "desk"), "Bearer " + s.voucher("", "other")}, "1 MB": {"Bearer " + strings.Repeat("a", 900_000)},
		"assertion": {"Bearer " + s.assertion("desk", "desk", testTime)},
	}
	for kind := range s.issuer {
		if kind != "" {
			wrong[kind] = []string{"Bearer " + s.voucher(kind, "desk")}
		}
	}
	right := s.voucher("", "desk")
	for _, o := range operations(loadSpec(t)) {
		if o.public() {
			continue
		}
		media := o.medias()[0]
		var first []byte
		for name, values := range wrong {
			req := o.example(t, s.srv.URL, media)
			req.Header["Authorization"] = values
			res := s.send(req)
			require.Equal(t, 401, res.status, "%s %s", o.name(), name)
			require.Equal(t, `Bearer realm="raccordo", error="invalid_token"`, res.header.Get("WWW-Authenticate"))
			if first == nil {
				first = res.body
			}
			require.Equal(t, string(first), string(res.body), "%s %s", o.name(), name)
		}
		req := o.example(t, s.srv.URL, media)
		req.Header.Del("Authorization")
		require.Equal(t, 401, s.send(req).status, o.name())
		require.Zero(t, s.fake.calls, o.name())
		req = o.example(t, s.srv.URL, media)
		req.Header.Set("Authorization", "Bearer "+right)
		require.Equal(t, 2, s.send(req).status/100, o.name())
		s.fake.calls = 0
	}
}

// B54: what is the desk's does not exist for the other, byte for byte, and
// costs the same calls.
func TestNotYoursIsNotFound(t *testing.T) {
	s := newSecured(t)
	desk, other := s.voucher("", "desk"), s.voucher("", "other")
	unknown := "00000000-0000-8000-8000-000000000000"
	for name, c := range map[string]struct{ method, path, body string }{
		"record":     {"GET", "/v1/records/service_request/{id}" + recordID.String(), ""},
		"consent":    {"GET", "/v1/consents/{id}" + consentID1.String(), ""},
		"withdrawal": {"POST", "/v1/consents/{id}" + consentID1.String() + "/withdrawal", `{"indicated_by":"person"}`},
		"closure":    {"POST", "/v1/dossiers/{id}" + dossierID1.String() + "/closure", `{"reason":"concluded"}`},
		"row":        {"GET", "/v1/ledger/entries/7/proof?row=0", ""},
	} {
		t.Run(name, func(t *testing.T) {
			before, id, found := strings.Cut(c.path, "{id}")
			missing := before
			if found {
				missing += unknown + id[36:]
			} else {
				missing = strings.Replace(before, "row=0", "row=5", 1)
			}
			call := func(path, token string) (reply, int) {
				s.fake.calls = 0
				return s.do(c.method, path, c.body, with("Authorization", "Bearer "+token)), s.fake.calls
			}
			mine, _ := call(before+id, desk)
			require.Equal(t, 200, mine.status)
			theirs, callsTheirs := call(before+id, other)
			nobody, callsNobody := call(missing, other)
			require.Equal(t, 404, theirs.status)
			require.Equal(t, string(nobody.body), string(theirs.body))
			require.Equal(t, callsNobody, callsTheirs)
			nobody.header.Del("Date")
			theirs.header.Del("Date")
			require.Equal(t, nobody.header, theirs.header)
			require.NotContains(t, string(theirs.body), "a detail that must not show")

			s.fake.err = exchange.NewError(exchange.CodeForbidden, exchange.ReasonConsentScope, "it is there, but not yours")
			hidden, _ := call(before+id, other)
			s.fake.err = nil
			require.Equal(t, string(nobody.body), string(hidden.body), "a refusal that knows the thing is hidden too")
		})
	}
}

// B57: a sender finds nothing in another's mailbox, and settles nothing there.
func TestMailboxIsItsSystems(t *testing.T) {
	s := newSecured(t)
	other := with("Authorization", "Bearer "+s.voucher("", "other"))
	require.JSONEq(t, `{"items":[],"more":false}`, string(s.do("GET", "/v1/mailbox", "", other).body))
	body := `{"acknowledgements":[{"disclosure_id":"` + disclosureID.String() + `","outcome":"received"}]}`
	require.JSONEq(t, `{"results":[{"disclosure_id":"`+disclosureID.String()+`","result":"not_found"}]}`,
		string(s.do("POST", "/v1/mailbox/acknowledgements", body, other).body))
}

// The whole way over TLS: assertion, voucher, push; and the assertion again.
func TestVoucherOverTheWire(t *testing.T) {
	s := newSecured(t)
	base, client := serveTLS(t, s.api)
	form := url.Values{"client_id": {access.PilotID("client", "desk")}, "client_assertion": {s.assertion("desk", "desk", testTime)},
		"client_assertion_type": {access.AssertionType}, "grant_type": {access.GrantType}}
	ask := func() *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+tokenPath, strings.NewReader(form.Encode()))
		require.NoError(t, err)
		req.Header.Set("Content-Type", mediaForm)
		res, err := client.Do(req)
		require.NoError(t, err)
		return res
	}
	res := ask()
	require.Equal(t, 200, res.StatusCode)
	require.Equal(t, 2, res.ProtoMajor)
	var v voucherJSON
	require.NoError(t, json.NewDecoder(res.Body).Decode(&v))
	res.Body.Close()
	require.Equal(t, 60, v.Life)

	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/v1/records/service_request", bytes.NewReader([]byte("{}")))
	require.NoError(t, err)
	req.Header = http.Header{"Authorization": {"Bearer " + v.Token}, "Content-Type": {MediaJSON}, "Idempotency-Key": {"k"}}
	res, err = client.Do(req)
	require.NoError(t, err)
	res.Body.Close()
	require.Equal(t, 202, res.StatusCode)
	require.Equal(t, Caller{System: "desk", Body: "desk", Purpose: "help", PurposeID: access.PilotID("purpose", "desk"),
		ClientID: access.PilotID("client", "desk"), Expires: testTime.Add(time.Minute)}, s.fake.seen.Caller)

	res = ask()
	defer res.Body.Close()
	require.Equal(t, 401, res.StatusCode)
	var p problem
	require.NoError(t, json.NewDecoder(res.Body).Decode(&p))
	require.Equal(t, "token_replayed invalid_client", p.Reason+" "+p.OAuthError)
	require.NotContains(t, s.log.String(), v.Token[:40])
}

func serveTLS(t *testing.T, h http.Handler) (string, *http.Client) {
	t.Helper()
	key := sweepKeys()["hub"]
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "hub"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der := must(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))
	log := &syncBuffer{}
	o := options(newFake(), log)
	server, err := NewServer(ServerOptions{Handler: h, Logger: o.Logger, Certificate: &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}})
	require.NoError(t, err)
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	go func() { _ = server.ServeTLS(Bound(l, 50), "", "") }()
	t.Cleanup(func() { _ = server.Close() })
	pool := x509.NewCertPool()
	pool.AddCert(must(x509.ParseCertificate(der)))
	old := &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10} // #nosec: must be refused
	_, err = tls.Dial("tcp", l.Addr().String(), old)
	require.Error(t, err, "TLS 1.1")
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return "https://" + l.Addr().String(), &http.Client{Transport: transport}
}

func TestConnectionsAreBounded(t *testing.T) {
	l := Bound(must(net.Listen("tcp", "127.0.0.1:0")), 2)
	accepted := make(chan net.Conn, 10)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	for range 3 {
		c, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		defer c.Close()
	}
	first, second := <-accepted, <-accepted
	select {
	case <-accepted:
		t.Fatal("a third connection got in")
	case <-time.After(50 * time.Millisecond):
	}
	require.NoError(t, first.Close())
	_ = first.Close() // twice frees one place only
	third := <-accepted
	require.NoError(t, l.Close())
	<-done
	_, _ = second.Close(), third.Close()
}

func BenchmarkPush(b *testing.B) {
	a := must(New(options(newFake(), new(discard))))
	body := strings.Repeat("x", 1500)
	b.ReportAllocs()
	for b.Loop() {
		if status, _ := serve(a, "POST", "/v1/records/service_request", body); status != 202 {
			b.Fatal(status)
		}
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
