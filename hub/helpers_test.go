package hub_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"raccordo/hub"
	"raccordo/hub/client"
	"raccordo/hub/control"
	"raccordo/hub/exchange"
	"raccordo/hub/hubtest"
)

const (
	livorno  = exchange.SystemID("oss_livorno_desk")
	provider = exchange.SystemID("centro_servizi_livorno")
)

// request is what the desk of Livorno sends about a synthetic person.
func request(number int, service, code string) string {
	return fmt.Sprintf(`{"ente":"il_simbolo","numero":"N-%d","registrata_il":"2026-03-02T09:00:00+01:00","data_ora":"2026-03-02T09:00:00+01:00",
	"servizio":%q,"urgenza":"ORDINARIA","operatore":"op-7","persone":[{"ruolo":"RICHIEDENTE","codici":[{"tipo":"SPORTELLO","valore":%q}],"nome":"Prova"}]}`,
		number, service, code)
}

// testClock goes with the machine's, from where a test puts it.
type testClock struct {
	real exchange.SystemClock

	mu         sync.Mutex
	wall, mono time.Duration
}

func newTestClock() *testClock { return &testClock{real: exchange.NewSystemClock()} }

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.real.Now().Add(c.wall)
}

func (c *testClock) Monotonic() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.real.Monotonic() + c.mono
}

// pass lets time go by.
func (c *testClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.mono = c.wall+d, c.mono+d
}

// jump sets the wall clock forth or back.
func (c *testClock) jump(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall += d
}

func withClock(c *testClock) hubtest.Option {
	return hubtest.With(func(o *hub.Options) { o.Clock = c })
}

// kinds are the kinds of the ledger's entries, in order.
func kinds(t *testing.T, h *hubtest.Hub) []exchange.EntryKind {
	t.Helper()
	var out []exchange.EntryKind
	for _, e := range entries(t, h) {
		out = append(out, e.Kind)
	}
	return out
}

func entries(t *testing.T, h *hubtest.Hub) []*exchange.Leaf {
	t.Helper()
	files, _ := export(t, h)
	var names []string
	for name := range files {
		if ok, _ := path.Match("entries-*.ndjson", name); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var out []*exchange.Leaf
	for _, name := range names {
		for line := range bytes.Lines(files[name].Data) {
			var e struct {
				Leaf []byte `json:"leaf"`
			}
			require.NoError(t, json.Unmarshal(line, &e))
			leaf, err := exchange.DecodeLeaf(e.Leaf)
			require.NoError(t, err)
			out = append(out, leaf)
		}
	}
	return out
}

// replace makes to, a file or directory, a copy of from.
func replace(t *testing.T, from, to string) {
	t.Helper()
	require.NoError(t, os.RemoveAll(to))
	info, err := os.Stat(from)
	require.NoError(t, err)
	if info.IsDir() {
		require.NoError(t, os.CopyFS(to, os.DirFS(from)))
		// CopyFS widens what only the owner may read.
		if _, err := os.Stat(path.Join(to, "keyring")); err == nil {
			require.NoError(t, os.Chmod(path.Join(to, "keyring"), 0o600))
		}
		return
	}
	b, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, b, 0o600))
}

func get(t *testing.T, url string) int {
	t.Helper()
	resp, err := http.Get(url)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

// unavailable asks and wants a problem document that says when to come again.
func unavailable(t *testing.T, url string) map[string]any {
	t.Helper()
	resp, err := http.Get(url)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	require.Equal(t, "application/problem+json", resp.Header.Get("Content-Type"))
	require.NotEmpty(t, resp.Header.Get("Retry-After"))
	var problem map[string]any
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&problem))
	require.EqualValues(t, http.StatusServiceUnavailable, problem["status"])
	require.True(t, strings.HasPrefix(problem["type"].(string), "urn:raccordo:problem:"))
	return problem
}

// refused pushes a record that must be refused for now.
func refused(t *testing.T, h *hubtest.Hub, number int, why exchange.Reason) {
	t.Helper()
	before := h.Status().Entries
	_, err := h.TryPush(livorno, "service_request", "application/json", request(number, "IGIENE", "LI-1"))
	e := exchange.AsError(err)
	require.Equal(t, why, e.Reason, "%v", err)
	require.Equal(t, exchange.CodeUnavailable, e.Code)
	require.Positive(t, e.RetryAfter)
	require.Equal(t, before, h.Status().Entries)
}

// notReady waits until the hub says that it does not serve, and why.
func notReady(t *testing.T, h *hubtest.Hub, why string) {
	t.Helper()
	h.Await("not ready: "+why, func(s control.Status) bool { return !s.Ready && strings.Contains(s.Why, why) })
	require.Equal(t, http.StatusServiceUnavailable, get(t, "http://"+h.AdminAddr()+"/readyz"))
	require.Equal(t, http.StatusOK, get(t, "http://"+h.AdminAddr()+"/livez"))
}

// fetched are what a system gets until it has n.
func fetched(t *testing.T, h *hubtest.Hub, system exchange.SystemID, n int) []client.Item {
	t.Helper()
	var got []client.Item
	hubtest.Eventually(t, fmt.Sprintf("%s has fetched %d", system, n), func() bool {
		got = append(got, h.Fetch(system)...)
		return len(got) >= n
	}, func() any { return h.Status() })
	require.Len(t, got, n)
	return got
}
