package webhook_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"raccordo/connectors"
	"raccordo/connectors/connectortest"
	"raccordo/connectors/webhook"
	"raccordo/hub/exchange"
)

// taken is one request as the recipient saw it.
type taken struct {
	header http.Header
	body   string
}

// desk is a recipient that answers request n with answers[n], else with 204.
type desk struct {
	*httptest.Server
	mu      sync.Mutex
	taken   []taken
	answers []string // "status body"
}

func newDesk(t *testing.T, tls bool, answers ...string) *desk {
	t.Helper()
	d := &desk{answers: answers}
	d.Server = httptest.NewUnstartedServer(d)
	d.Config.ErrorLog = log.New(io.Discard, "", 0)
	if tls {
		d.StartTLS()
	} else {
		d.Start()
	}
	t.Cleanup(d.Close)
	return d
}

func (d *desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	d.mu.Lock()
	defer d.mu.Unlock()
	n := len(d.taken)
	d.taken = append(d.taken, taken{r.Header.Clone(), string(b)})
	if err != nil || n >= len(d.answers) {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	var status int
	_, _ = fmt.Sscanf(d.answers[n], "%d", &status)
	_, body, _ := strings.Cut(d.answers[n], " ")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func (d *desk) address() string { return d.Listener.Addr().String() }

func open(t *testing.T, b *connectortest.Bench, d *desk, more string) connectors.Sink {
	t.Helper()
	text := "endpoint: " + d.URL + "/in\nallow: ['" + d.address() + "']\n" + more
	sink, err := webhook.Kind().OpenSink(connectortest.Decode(t, webhook.Kind(), text), b.Settings())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sink.Close(context.Background()) })
	return sink
}

func send(t *testing.T, sink connectors.Sink, items []connectors.Item) (connectors.Result, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return sink.Send(ctx, connectors.Parcel{Recipient: connectortest.System, Items: items})
}

func xml(i connectors.Item) connectors.Item {
	i.Body, i.MediaType = exchange.NewPayload([]byte("<a>è</a>")), "application/xml; charset=utf-8"
	return i
}

func statuses(r connectors.Result, items []connectors.Item) string {
	var out []string
	for _, i := range items {
		out = append(out, r.For(i.Disclosure).Status.String())
	}
	return strings.Join(out, " ")
}

func TestBatchBody(t *testing.T) {
	d := newDesk(t, false)
	items := connectortest.Items(3)
	items[1].MediaType = "application/fhir+json; charset=utf-8"
	items[2].Attempt, items[2].Sequence = 4, 1<<63
	if _, err := send(t, open(t, connectortest.NewBench(t), d, ""), items); err != nil {
		t.Fatal(err)
	}
	var body struct {
		Recipient   string `json:"recipient"`
		Disclosures []struct {
			Disclosure exchange.DisclosureID `json:"disclosure_id"`
			Record     exchange.RecordID     `json:"record_id"`
			Type       string                `json:"record_type"`
			Flow       string                `json:"flow"`
			Sequence   uint64                `json:"sequence"`
			Attempt    int                   `json:"attempt"`
			Content    json.RawMessage       `json:"record"`
		} `json:"disclosures"`
	}
	decoder := json.NewDecoder(strings.NewReader(d.taken[0].body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&body); err != nil || len(d.taken) != 1 || len(body.Disclosures) != 3 {
		t.Fatalf("%v, %d requests, %d disclosures", err, len(d.taken), len(body.Disclosures))
	}
	for n, have := range body.Disclosures {
		i := items[n]
		if have.Disclosure != i.Disclosure || have.Record != i.Record || have.Type != string(i.Type) || have.Flow != string(i.Flow) ||
			have.Sequence != i.Sequence || have.Attempt != i.Attempt || string(have.Content) != string(i.Body.Reveal()) {
			t.Errorf("disclosure %d differs", n)
		}
	}
	h := d.taken[0].header
	if body.Recipient != string(connectortest.System) || h.Get("Content-Type") != "application/json" || h.Get("Authorization") != "" || h.Get("Raccordo-Signature") != "" {
		t.Errorf("recipient %q, headers %v", body.Recipient, h)
	}
}

func TestRequestsOfAParcel(t *testing.T) {
	d := newDesk(t, false)
	items := connectortest.Items(9)
	items[3] = xml(items[3])
	items[6].Body = exchange.NewPayload(nil) // says it is JSON and is nothing
	items[7].MediaType, items[7].Body = "text/csv", exchange.NewPayload(nil)
	r, err := send(t, open(t, connectortest.NewBench(t), d, "batch: 2"), items)
	if err != nil {
		t.Fatal(err)
	}
	if have := statuses(r, items); have != "accepted accepted accepted accepted accepted accepted refused refused accepted" {
		t.Error(have)
	}
	var shape []string
	for _, q := range d.taken {
		shape = append(shape, fmt.Sprintf("%s:%d", q.header.Get("Content-Type"), strings.Count(q.body, "disclosure_id")))
	}
	want := "application/json:2 application/json:1 application/xml; charset=utf-8:0 application/json:2 application/json:1"
	if have := strings.Join(shape, " "); have != want {
		t.Error(have)
	}
	raw := d.taken[2]
	if raw.body != "<a>è</a>" || raw.header.Get("Raccordo-Disclosure-Id") != items[3].Disclosure.String() ||
		raw.header.Get("Raccordo-Record-Id") != items[3].Record.String() || raw.header.Get("Raccordo-Sequence") != "4" ||
		raw.header.Get("Raccordo-Attempt") != "1" || raw.header.Get("Raccordo-Flow") != "benefit_flow" ||
		raw.header.Get("Raccordo-Record-Type") != "social_benefit" || raw.header.Get("Raccordo-Recipient") != string(connectortest.System) {
		t.Errorf("raw request: %v", raw.header)
	}
}

func TestBatchSize(t *testing.T) {
	d := newDesk(t, false)
	items := connectortest.Items(6)
	for i := range items {
		items[i].Body = exchange.NewPayload([]byte(`{"filler":"` + strings.Repeat("x", 30_000) + `"}`))
	}
	items[5].Body = exchange.NewPayload([]byte(`{"filler":"` + strings.Repeat("x", 100_000) + `"}`)) // alone above the bound
	if _, err := send(t, open(t, connectortest.NewBench(t), d, "batch_size: 65536"), items); err != nil {
		t.Fatal(err)
	}
	var counts []int
	for _, q := range d.taken {
		counts = append(counts, strings.Count(q.body, "disclosure_id"))
		if len(q.body) > 65536 && counts[len(counts)-1] > 1 {
			t.Errorf("a body of several items has %d bytes", len(q.body))
		}
	}
	if fmt.Sprint(counts) != "[2 2 1 1]" {
		t.Error(counts)
	}
}

func TestTroubleEndsTheParcel(t *testing.T) {
	items := connectortest.Items(6)
	named := func(n int, result string) string {
		return fmt.Sprintf(`{"disclosure_id":%q,"result":%q}`, items[n].Disclosure, result)
	}
	for answer, want := range map[string]string{ // to the second of three requests
		"503":    "accepted accepted retry retry not_sent not_sent",
		"401":    "accepted accepted stopped stopped not_sent not_sent",
		"422":    "accepted accepted suspected suspected not_sent not_sent",
		"200 ok": "accepted accepted unknown unknown not_sent not_sent",
		"200 {\"results\":[" + named(2, "refused") + "," + named(3, "accepted") + "]}": "accepted accepted refused accepted accepted accepted",
		"200 {\"results\":[" + named(2, "retry") + "," + named(3, "accepted") + "]}":   "accepted accepted retry accepted not_sent not_sent",
		"200 {\"results\":[" + named(2, "accepted") + "]}":                             "accepted accepted accepted unknown not_sent not_sent",
	} {
		d := newDesk(t, false, "204", answer)
		r, err := send(t, open(t, connectortest.NewBench(t), d, "batch: 2"), items)
		if have := statuses(r, items); have != want {
			t.Errorf("%s: %s, want %s (%v)", answer, have, want, err)
		}
	}
}

func TestARawItemRefusedForEverIsGuiltyAlone(t *testing.T) {
	d := newDesk(t, false, "204", "422", "204")
	items := connectortest.Items(3)
	for i := range items {
		items[i] = xml(items[i])
	}
	r, err := send(t, open(t, connectortest.NewBench(t), d, ""), items)
	if have := statuses(r, items); err != nil || have != "accepted refused accepted" {
		t.Errorf("%s, %v", have, err)
	}
}

func TestAuthAndSignature(t *testing.T) {
	d := newDesk(t, false)
	b := connectortest.NewBench(t)
	sink := open(t, b, d, "auth: {scheme: header, header: X-Api-Key, secret: 'env:TOKEN'}\nsignature: 'env:KEY'\n")
	items := connectortest.Items(2)
	items[1] = xml(items[1])
	if _, err := send(t, sink, items); err != nil {
		t.Fatal(err)
	}
	for n, q := range d.taken {
		if q.header.Get("X-Api-Key") != "secret-of-env-TOKEN" || q.header.Get("Authorization") != "" {
			t.Errorf("request %d: the key was not sent as said", n)
		}
		stamp, mac, ok := strings.Cut(strings.TrimPrefix(q.header.Get("Raccordo-Signature"), "t="), ",v1=")
		text := stamp + "\n"
		if n == 1 {
			for _, name := range []string{"Recipient", "Disclosure-Id", "Record-Id", "Record-Type", "Flow", "Sequence", "Attempt"} {
				text += q.header.Get("Raccordo-"+name) + "\n"
			}
		}
		m := hmac.New(sha256.New, []byte("secret-of-env-KEY"))
		m.Write([]byte(text + q.body))
		if !ok || mac != hex.EncodeToString(m.Sum(nil)) {
			t.Errorf("request %d: the signature does not verify", n)
		}
	}
	if strings.Contains(b.Log(), "secret-of") {
		t.Error("a secret was logged")
	}
}

func TestSecretsAreReadAnewAndTheirLossSendsNothing(t *testing.T) {
	d := newDesk(t, false)
	s := connectortest.NewBench(t).Settings()
	current := "one"
	s.Secrets = func(connectors.SecretRef) (exchange.Payload, error) {
		if current == "" {
			return exchange.Payload{}, connectors.ErrNoSecret
		}
		return exchange.NewPayload([]byte(current)), nil
	}
	config := connectortest.Decode(t, webhook.Kind(), "endpoint: "+d.URL+"\nallow: ['"+d.address()+"']\nauth: {scheme: bearer, secret: 'env:TOKEN'}")
	sink, err := webhook.Kind().OpenSink(config, s)
	if err != nil {
		t.Fatal(err)
	}
	items := connectortest.Items(1)
	for _, current = range []string{"one", "two"} {
		if _, err := send(t, sink, items); err != nil {
			t.Error(err)
		}
		if have := d.taken[len(d.taken)-1].header.Get("Authorization"); have != "Bearer "+current {
			t.Errorf("with secret %s: %s", current, have)
		}
	}
	current = ""
	if r, err := send(t, sink, items); statuses(r, items) != "not_sent" || err == nil || len(d.taken) != 2 {
		t.Errorf("without the secret: %s, %v", statuses(r, items), err)
	}
	if _, err := webhook.Kind().OpenSink(config, s); err == nil {
		t.Error("opened without its secret")
	}
}

func TestCertificates(t *testing.T) {
	d := newDesk(t, true)
	items := connectortest.Items(1)
	port := d.address()[strings.LastIndex(d.address(), ":")+1:]
	for name, c := range map[string]struct {
		host string
		own  bool // the recipient's CA is configured
		want string
	}{
		"right":      {"example.com", true, "accepted"}, // the name in httptest's certificate
		"wrong name": {"example.org", true, "not_sent"},
		"unknown CA": {"example.com", false, "not_sent"},
	} {
		t.Run(name, func(t *testing.T) {
			s := connectortest.NewBench(t).Settings()
			s.Resolver = connectortest.Names{c.host: {netip.MustParseAddr("127.0.0.1")}}
			s.Secrets = func(connectors.SecretRef) (exchange.Payload, error) {
				return exchange.NewPayload(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: d.Certificate().Raw})), nil
			}
			text := "endpoint: https://" + net.JoinHostPort(c.host, port) + "\nallow: ['" + net.JoinHostPort(c.host, port) + "']\n"
			if c.own {
				text += "ca: 'file:/etc/ca.pem'\n"
			}
			sink, err := webhook.Kind().OpenSink(connectortest.Decode(t, webhook.Kind(), text), s)
			if err != nil {
				t.Fatal(err)
			}
			r, err := send(t, sink, items)
			if have := statuses(r, items); have != c.want || (c.want == "not_sent") != (err != nil) {
				t.Errorf("%s, %v", have, err)
			}
		})
	}
}

func TestConfigFaults(t *testing.T) {
	good := func() webhook.Config {
		return webhook.Config{Endpoint: "https://recipient.example/in", Batch: 1, BatchSize: 1 << 20, Timeout: time.Second, Auth: webhook.Auth{Scheme: "none"}}
	}
	if f := good().Validate(); len(f) > 0 {
		t.Fatal(f)
	}
	for want, spoil := range map[exchange.Pointer]func(*webhook.Config){
		"/endpoint":    func(c *webhook.Config) { c.Endpoint = "http://recipient.example/in" },
		"/allow":       func(c *webhook.Config) { c.Allow = []string{"10.0.0.1"} },
		"/batch":       func(c *webhook.Config) { c.Batch = 501 },
		"/batch_size":  func(c *webhook.Config) { c.BatchSize = 1 },
		"/timeout":     func(c *webhook.Config) { c.Timeout = time.Hour },
		"/auth/scheme": func(c *webhook.Config) { c.Auth.Scheme = "basic" },
		"/auth/secret": func(c *webhook.Config) { c.Auth.Scheme = "bearer" },
		"/auth/header": func(c *webhook.Config) {
			c.Auth = webhook.Auth{Scheme: "header", Header: "raccordo-flow", Secret: "env:A"}
		},
	} {
		c := good()
		spoil(&c)
		if f := c.Validate(); len(f) != 1 || f[0].Pointer != want {
			t.Errorf("%s: %v", want, f)
		}
	}
}

func BenchmarkSend500(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()
	s := connectors.Settings{System: connectortest.System, Clock: time.Now, Dial: (&net.Dialer{}).DialContext}
	config := connectortest.Decode(b, webhook.Kind(), "endpoint: "+server.URL+"\nallow: ['"+server.Listener.Addr().String()+"']")
	sink, err := webhook.Kind().OpenSink(config, s)
	if err != nil {
		b.Fatal(err)
	}
	items := connectortest.Items(500)
	for i := range items {
		items[i].Body = exchange.NewPayload([]byte(`{"filler":"` + strings.Repeat("x", 1500) + `"}`))
	}
	b.ReportAllocs()
	for b.Loop() {
		r, err := sink.Send(b.Context(), connectors.Parcel{Recipient: connectortest.System, Items: items})
		if err != nil || r.For(items[0].Disclosure).Status != connectors.ItemAccepted {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*500/b.Elapsed().Seconds(), "records/s")
}
