package connectortest

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"raccordo/connectors"
	"raccordo/hub/exchange"
)

// System is the recipient in every test of the suite.
const System exchange.SystemID = "recipient_system"

// canary is inside every record of the suite and must never be seen in an
// error or log. It is no code of a real person.
const canary = "CNRCNR00C00C000C"

// Bench is what a connector under test is given, and what it left behind.
type Bench struct {
	t      testing.TB
	mu     sync.Mutex
	log    bytes.Buffer
	counts map[connectors.Event]int
}

// NewBench makes one and captures what is logged until the test ends, also by
// way of the standard library's own logger. At the end it fails the test if a
// canary was logged or goroutines were left.
func NewBench(t testing.TB) *Bench {
	t.Helper()
	b := &Bench{t: t, counts: map[connectors.Event]int{}}
	before := runtime.NumGoroutine()
	std := log.Writer()
	log.SetOutput(b)
	t.Cleanup(func() {
		poll(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
		log.SetOutput(std)
		if l := b.Log(); strings.Contains(strings.ToLower(l), strings.ToLower(canary)) {
			t.Errorf("the content of a record was logged")
		}
	})
	return b
}

// Write takes log output.
func (b *Bench) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.Write(p)
}

// Log is everything that was logged.
func (b *Bench) Log() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.String()
}

// Count counts an event.
func (b *Bench) Count(e connectors.Event, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counts[e] += n
}

// Counted is how often e was counted.
func (b *Bench) Counted(e connectors.Event) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.counts[e]
}

// Settings are real ones: sockets of this machine, its clock, and secrets that
// are their own reference.
func (b *Bench) Settings() connectors.Settings {
	return connectors.Settings{
		System:   System,
		Logger:   slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Clock:    time.Now,
		Dial:     (&net.Dialer{}).DialContext,
		Resolver: Names{},
		Secrets: func(r connectors.SecretRef) (exchange.Payload, error) {
			return exchange.NewPayload([]byte("secret-of-" + strings.ReplaceAll(string(r), ":", "-"))), nil
		},
		Metrics: b,
	}
}

// Names is a resolver that knows only what is in it.
type Names map[string][]netip.Addr

// LookupNetIP implements [connectors.Resolver].
func (n Names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if a, ok := n[strings.TrimSuffix(host, ".")]; ok {
		return a, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// Decode decodes YAML text with the kind and fails the test on any fault.
func Decode(t testing.TB, k connectors.Kind, text string) connectors.Config {
	t.Helper()
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(text), &n); err != nil {
		t.Fatalf("configuration is not YAML: %v", err)
	}
	c, faults := k.Decode(&n)
	if len(faults) > 0 {
		t.Fatalf("configuration of %s: %+v", k.Name(), faults)
	}
	return c
}

// Items are n JSON items of one flow, each with a canary in its body.
func Items(n int) []connectors.Item {
	out := make([]connectors.Item, n)
	for i := range out {
		out[i] = item(i, "application/json", []byte(fmt.Sprintf(`{"tax_code":%q,"number":%d}`, canary, i)))
	}
	return out
}

func item(i int, mediaType string, body []byte) connectors.Item {
	r := exchange.RecordIDFromMAC(exchange.DigestOf([]byte(fmt.Sprintf("record %d", i))))
	const flow exchange.FlowID = "benefit_flow"
	return connectors.Item{
		Disclosure: exchange.NewDisclosureID(r, flow), Record: r, Flow: flow, Type: "social_benefit",
		Sequence: uint64(i + 1), Attempt: 1, Body: exchange.NewPayload(body), MediaType: mediaType,
	}
}

// poll waits until ok, at most ten seconds.
func poll(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(10 * time.Second)
	defer end.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-end.C:
			buf := make([]byte, 1<<16)
			t.Errorf("waited too long for %s\n%s", what, buf[:runtime.Stack(buf, true)])
			return
		}
	}
}

// noCanary fails the test if err shows the content of a record.
func noCanary(t testing.TB, err error) {
	t.Helper()
	if err != nil && strings.Contains(strings.ToLower(fmt.Sprintf("%v %+v %#v", err, err, err)), strings.ToLower(canary)) {
		t.Error("the error shows the content of a record")
	}
}
