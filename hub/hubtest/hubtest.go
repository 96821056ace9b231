package hubtest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"raccordo/connectors"
	"raccordo/connectors/standard"
	"raccordo/deploy/networks"
	"raccordo/hub"
	"raccordo/hub/client"
	"raccordo/hub/control"
	"raccordo/hub/exchange"
	"raccordo/hub/network/endpoints"
)

const (
	patience = 30 * time.Second // for a condition
	between  = 5 * time.Millisecond
	ending   = 20 * time.Second
)

// Hub is a running hub and what stands around it.
type Hub struct {
	*hub.Hub
	Dir     string // the data directory
	Control *control.Client

	tb         testing.TB
	options    hub.Options
	key        crypto.Signer
	recipients map[exchange.SystemID]*Recipient
	log        *lockedBuffer

	mu      sync.Mutex
	callers map[caller]*client.Client
	pushes  int
	run     string // in the keys of pushes, which a data directory remembers
}

// Option changes what is started.
type Option func(*setting)

type setting struct {
	network fs.FS
	dir     string
	changes []func(*hub.Options)
}

// WithNetwork takes another network than the built-in reticulate.
func WithNetwork(fsys fs.FS) Option { return func(s *setting) { s.network = fsys } }

// WithDir takes a data directory that is there, or is to stay.
func WithDir(dir string) Option { return func(s *setting) { s.dir = dir } }

// With changes anything else before the hub is made.
func With(change func(*hub.Options)) Option {
	return func(s *setting) { s.changes = append(s.changes, change) }
}

// Start runs a hub until the test ends. It is ready on return, unless what was
// changed keeps it from it.
func Start(tb testing.TB, opts ...Option) *Hub {
	tb.Helper()
	var s setting
	for _, o := range opts {
		o(&s)
	}
	h := &Hub{tb: tb, recipients: map[exchange.SystemID]*Recipient{}, log: &lockedBuffer{}, Dir: s.dir, run: rand.Text()}
	if h.Dir == "" {
		// Not tb.TempDir: the path of a Unix socket has at most 107 bytes, and a
		// test's name may be long.
		dir, err := os.MkdirTemp("", "hub")
		require.NoError(tb, err)
		tb.Cleanup(func() { _ = os.RemoveAll(dir) })
		h.Dir = dir
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(tb, err)
	h.key = key
	if s.network == nil {
		all, err := networks.FS()
		require.NoError(tb, err)
		s.network = all["reticulate"]
	}
	kinds, err := connectors.NewSet(standard.Kinds()...)
	require.NoError(tb, err)
	h.options = hub.Options{Config: Config(h.Dir), Kinds: kinds, Network: h.surround(s.network), Version: "test",
		Logger: slog.New(slog.NewJSONHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	for _, change := range s.changes {
		change(&h.options)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("log of the hub:\n%s", h.log.String())
		}
	})
	tb.Cleanup(h.Stop) // before the log is shown
	h.start()
	return h
}

// Config is a configuration for a test: free ports, small files, short pauses.
func Config(dir string) hub.Config {
	c := hub.DefaultConfig()
	c.DataDir, c.Network = dir, "given"
	c.Listen, c.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0"
	c.Checkpoint.Every = 200 * time.Millisecond
	c.Stream.SegmentBytes, c.Stream.MaxBytes = 4<<20, 256<<20
	c.Delivery.SendTimeout = 5 * time.Second
	c.Delivery.BackoffMin, c.Delivery.BackoffMax = 20*time.Millisecond, 200*time.Millisecond
	c.Delivery.SpillAfter = time.Second
	c.Limits.PerSecond, c.Limits.Burst = 100_000, 100_000
	return c
}

// surround puts a fake where the network calls a system.
func (h *Hub) surround(network fs.FS) fs.FS {
	h.tb.Helper()
	called, err := endpoints.Of(network)
	require.NoError(h.tb, err)
	addresses := map[exchange.SystemID]string{}
	for _, id := range called {
		r := newRecipient(h.tb)
		h.recipients[id], addresses[id] = r, r.URL()
	}
	out, err := endpoints.Override(network, addresses)
	require.NoError(h.tb, err)
	return out
}

func (h *Hub) start() {
	h.tb.Helper()
	made, err := hub.New(context.Background(), h.options)
	require.NoError(h.tb, err)
	h.Hub = made
	h.Control = control.Dial(filepath.Join(h.Dir, "control.sock"))
	h.callers = map[caller]*client.Client{}
	require.NoError(h.tb, made.Start(context.Background()))
}

// Stop ends the hub and waits until everything under way has ended; it may be
// called again.
func (h *Hub) Stop() {
	h.tb.Helper()
	if h.Hub == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), ending)
	defer cancel()
	require.NoError(h.tb, h.Hub.Stop(ctx))
}

// Restart ends the hub and starts another one on the same data directory, with
// the same recipients. Clients made before call the old one: ask for new ones.
func (h *Hub) Restart() {
	h.tb.Helper()
	h.Stop()
	h.start()
}

// Log is what the hub has logged so far.
func (h *Hub) Log() string { return h.log.String() }

// Status asks the hub how it fares.
func (h *Hub) Status() control.Status {
	h.tb.Helper()
	s, err := control.Call[control.Status](context.Background(), h.Control, "status", control.Nothing{})
	require.NoError(h.tb, err)
	return s
}

// Await asks for the status until it is as wanted, and fails the test when that
// takes too long.
func (h *Hub) Await(what string, wanted func(control.Status) bool) control.Status {
	h.tb.Helper()
	var s control.Status
	Eventually(h.tb, what, func() bool {
		s = h.Status()
		return wanted(s)
	}, func() any { return s })
	return s
}

// AwaitFlow waits until a flow has n records in a state, and the ledger has
// counted everything.
func (h *Hub) AwaitFlow(flow exchange.FlowID, state exchange.State, n int64) {
	h.tb.Helper()
	h.Await(string(flow)+" "+state.String(), func(s control.Status) bool {
		return s.Behind == 0 && s.Flows[flow][state.String()] == n
	})
}

// Eventually asks until a condition holds. seen, which may be nil, is shown
// when it never does.
func Eventually(tb testing.TB, what string, holds func() bool, seen func() any) {
	tb.Helper()
	tick := time.NewTicker(between)
	defer tick.Stop()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-limit.C:
			var last []byte
			if seen != nil {
				last, _ = json.MarshalIndent(seen(), "", "  ")
			}
			tb.Fatalf("not within %s: %s\n%s", patience, what, last)
		}
	}
}

// lockedBuffer takes the log of many goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
