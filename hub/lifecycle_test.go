package hub_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"raccordo/connectors"
	"raccordo/connectors/standard"
	"raccordo/hub"
	"raccordo/hub/control"
	"raccordo/hub/exchange"
	"raccordo/hub/hubtest"
	"raccordo/hub/store"
	"raccordo/hub/store/sqlite"
)

// scratch is a directory whose path is short enough for a socket.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hub")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// options of a hub that is made by hand, on a small network that calls nobody.
func options(t *testing.T, dir string) hub.Options {
	t.Helper()
	kinds, err := connectors.NewSet(standard.Kinds()...)
	require.NoError(t, err)
	return hub.Options{Config: hubtest.Config(dir), Kinds: kinds, Network: os.DirFS("network/testdata/small"), Version: "test"}
}

func stopped(t *testing.T, h *hub.Hub) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	require.NoError(t, h.Stop(ctx))
}

// opened counts what a process holds.
func opened(t *testing.T) (goroutines, files int) {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("open files cannot be counted here")
	}
	return runtime.NumGoroutine(), len(names)
}

// nothingLeft waits until goroutines and files are as before. Not for parallel
// tests.
func nothingLeft(t *testing.T, goroutines, files int) {
	t.Helper()
	http.DefaultClient.CloseIdleConnections()
	hubtest.Eventually(t, "everything that was opened is closed", func() bool {
		g, f := opened(t)
		return g <= goroutines && f <= files
	}, func() any {
		g, f := opened(t)
		stacks := make([]byte, 1<<20)
		return []any{g, goroutines, f, files, strings.Split(string(stacks[:runtime.Stack(stacks, true)]), "\n\n")}
	})
}

// A hub that cannot be made leaves nothing open, and in the data directory
// nothing that a later one stumbles over.
func TestNewRefusesAndLeavesNothing(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = taken.Close() }()
	for name, c := range map[string]struct {
		change func(*testing.T, *hub.Options)
		said   string
		made   bool // the data directory is there afterwards
	}{
		"configuration": {func(_ *testing.T, o *hub.Options) { o.Config.Log.Level = "loud" }, "log.level", false},
		"no network": {func(_ *testing.T, o *hub.Options) { o.Network, o.Config.Network = nil, "/nonexistent/network" },
			"network: ", false},
		"no such built-in network": {func(_ *testing.T, o *hub.Options) { o.Network, o.Config.Network = nil, "builtin:atlantis" },
			"network: there is no built-in network", false},
		"certificate": {func(_ *testing.T, o *hub.Options) {
			o.Config.TLS = hub.TLSConfig{Certificate: "/nonexistent/c.pem", Key: "/nonexistent/k.pem"}
		}, "tls: ", false},
		"keys of the issuer": {func(_ *testing.T, o *hub.Options) {
			id := "00000000-0000-4000-8000-000000000001"
			o.Config.Vouchers = hub.VoucherConfig{Issuer: "i", JWKS: "/nonexistent/jwks", EService: id, Version: id, Producer: id}
		}, "vouchers.jwks: ", false},
		"keys that are none": {func(t *testing.T, o *hub.Options) {
			file := filepath.Join(t.TempDir(), "jwks")
			require.NoError(t, os.WriteFile(file, []byte(`{"keys":[]}`), 0o600))
			id := "00000000-0000-4000-8000-000000000001"
			o.Config.Vouchers = hub.VoucherConfig{Issuer: "i", JWKS: file, EService: id, Version: id, Producer: id}
		}, "vouchers.jwks: ", false},
		"data_dir is a file": {func(t *testing.T, o *hub.Options) {
			require.NoError(t, os.WriteFile(o.Config.DataDir, nil, 0o600))
		}, "data_dir: ", true},
		"port":       {func(_ *testing.T, o *hub.Options) { o.Config.Listen = taken.Addr().String() }, "listen: ", false},
		"admin port": {func(_ *testing.T, o *hub.Options) { o.Config.Admin.Listen = taken.Addr().String() }, "admin.listen: ", false},
		"copy_to": {func(t *testing.T, o *hub.Options) {
			o.Config.Checkpoint.CopyTo = filepath.Join(t.TempDir(), "file")
			require.NoError(t, os.WriteFile(o.Config.Checkpoint.CopyTo, nil, 0o600))
		}, "checkpoint.copy_to: ", true},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t, filepath.Join(scratch(t), "d"))
			c.change(t, &o)
			goroutines, files := opened(t)
			_, err := hub.New(t.Context(), o)
			require.ErrorIs(t, err, hub.ErrConfig)
			require.ErrorContains(t, err, c.said)
			nothingLeft(t, goroutines, files)
			_, err = os.Stat(o.Config.DataDir)
			require.Equal(t, c.made, err == nil, "%v", err)
		})
	}
}

// A port that was taken is free again: the same directory is used without a word.
func TestPortThatComesFree(t *testing.T) {
	o := options(t, scratch(t))
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	o.Config.Listen = taken.Addr().String()
	_, err = hub.New(t.Context(), o)
	require.ErrorIs(t, err, hub.ErrConfig)
	require.NoError(t, taken.Close())
	h, err := hub.New(t.Context(), o)
	require.NoError(t, err)
	require.NoError(t, h.Start(t.Context()))
	require.NoError(t, h.Ready(t.Context()))
	stopped(t, h)
}

// F11: the same configuration started twice says that the directory is in use,
// not that a port is; without the first one it starts, whatever was left behind.
func TestStartedTwice(t *testing.T) {
	t.Parallel()
	o := options(t, scratch(t))
	h, err := hub.New(t.Context(), o)
	require.NoError(t, err)
	require.NoError(t, h.Start(t.Context()))
	o.Config.Listen, o.Config.Admin.Listen = h.Addr(), h.AdminAddr()
	_, err = hub.New(t.Context(), o)
	require.ErrorIs(t, err, hub.ErrInUse)
	require.ErrorContains(t, err, o.Config.DataDir)
	require.NoError(t, h.Ready(t.Context()), "the first one does not care")
	c := control.Dial(filepath.Join(o.Config.DataDir, "control.sock"))
	_, err = control.Call[control.Status](t.Context(), c, "status", control.Nothing{})
	require.NoError(t, err)
	stopped(t, h)
	require.NoError(t, os.WriteFile(filepath.Join(o.Config.DataDir, "control.sock"), nil, 0o644)) // as a kill may leave one
	h, err = hub.New(t.Context(), o)
	require.NoError(t, err)
	require.NoError(t, h.Start(t.Context()))
	stopped(t, h)
}

func TestStopBeforeStartAndAgain(t *testing.T) {
	goroutines, files := opened(t)
	o := options(t, scratch(t))
	h, err := hub.New(t.Context(), o)
	require.NoError(t, err)
	require.Error(t, h.Ready(t.Context()), "nothing runs yet")
	stopped(t, h)
	stopped(t, h)
	require.Error(t, h.Start(t.Context()), "it was stopped")
	nothingLeft(t, goroutines, files)

	h, err = hub.New(t.Context(), o)
	require.NoError(t, err)
	require.NoError(t, h.Start(t.Context()))
	require.Error(t, h.Start(t.Context()), "it was started")
	require.NoError(t, h.Ready(t.Context()))
	info, err := os.Stat(filepath.Join(o.Config.DataDir, "control.sock"))
	require.NoError(t, err)
	require.Equal(t, fs.ModeSocket|0o600, info.Mode())
	ended := make(chan error, 2)
	for range 2 {
		go func() { ended <- h.Stop(context.Background()) }()
	}
	require.NoError(t, <-ended)
	require.NoError(t, <-ended)
	require.ErrorContains(t, h.Ready(t.Context()), "stopping")
	_, err = net.Dial("tcp", h.Addr())
	require.Error(t, err)
	_, err = os.Stat(filepath.Join(o.Config.DataDir, "control.sock"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	nothingLeft(t, goroutines, files)
}

// A start that fails half-way closes what was running, and says why.
func TestFailedStartClosesEverything(t *testing.T) {
	goroutines, files := opened(t)
	o := options(t, scratch(t))
	o.Config.Checkpoint.CopyTo = t.TempDir()
	h, err := hub.New(t.Context(), o)
	require.NoError(t, err)
	second := filepath.Join(o.Config.Checkpoint.CopyTo, "checkpoint")
	require.NoError(t, os.Mkdir(second, 0o700)) // cannot be read, which says nothing of the ledger
	require.ErrorContains(t, h.Start(t.Context()), "second place")
	require.Error(t, h.Ready(t.Context()))
	stopped(t, h)
	nothingLeft(t, goroutines, files)

	require.NoError(t, os.Remove(second))
	h, err = hub.New(t.Context(), o)
	require.NoError(t, err)
	require.NoError(t, h.Start(t.Context()))
	stopped(t, h)
	_, err = os.ReadFile(second)
	require.NoError(t, err, "a stop leaves a checkpoint of everything")
	nothingLeft(t, goroutines, files)
}

// A restart goes on with the same ledger; what is in force is adopted again only
// when it is another network.
func TestRestartGoesOn(t *testing.T) {
	t.Parallel()
	files := builtin(t)
	h := hubtest.Start(t, hubtest.WithNetwork(files))
	first := h.Status()
	require.Equal(t, []exchange.EntryKind{exchange.KindOrigin, exchange.KindAdoption}, kinds(t, h))
	h.Push("oss_livorno_desk", "service_request", request(1, "LAVORO", "LI-1"))
	h.AwaitFlow("livorno_work", exchange.StateWaiting, 1)
	before := h.Status()

	h.Restart()
	again := h.Status()
	require.Equal(t, first.Hub, again.Hub)
	require.Equal(t, before.Entries, again.Entries, "the same network is not adopted again")
	require.Equal(t, first.Digest, again.Digest)
	require.EqualValues(t, 1, again.Flows["livorno_work"]["waiting"])

	h.Stop()
	edit(t, files, "network.yaml", "mailbox: 60d", "mailbox: 61d")
	h = hubtest.Start(t, hubtest.WithDir(h.Dir), hubtest.WithNetwork(files))
	changed := h.Status()
	require.Equal(t, first.Hub, changed.Hub)
	require.NotEqual(t, first.Digest, changed.Digest)
	require.Equal(t, before.Entries+1, changed.Entries)
	list := kinds(t, h)
	require.Equal(t, exchange.KindAdoption, list[len(list)-1])
	require.Len(t, h.Fetch("arti_livorno"), 1)
	h.AwaitFlow("livorno_work", exchange.StateDelivered, 1)
	verifies(t, h)
}

// Halves of two hubs, or a hub without its keys, are refused, and nothing of
// them is changed.
func TestHalvesOfHubs(t *testing.T) {
	t.Parallel()
	made := func() hub.Options {
		o := options(t, scratch(t))
		h, err := hub.New(t.Context(), o)
		require.NoError(t, err)
		require.NoError(t, h.Start(t.Context()))
		stopped(t, h)
		return o
	}
	a, b := made(), made()
	for name, c := range map[string]struct {
		take    func(t *testing.T, dir string, o *hub.Options)
		foreign bool
		said    string
	}{
		"keyring lost": {func(t *testing.T, dir string, _ *hub.Options) {
			require.NoError(t, os.Remove(filepath.Join(dir, "keyring")))
		}, false, "keyring file is missing"},
		"keyring of another": {func(t *testing.T, dir string, _ *hub.Options) {
			replace(t, filepath.Join(b.Config.DataDir, "keyring"), filepath.Join(dir, "keyring"))
		}, true, "of another hub"},
		"keyring that others can read": {func(t *testing.T, dir string, _ *hub.Options) {
			require.NoError(t, os.Chmod(filepath.Join(dir, "keyring"), 0o644))
		}, false, "not private"},
		"stream of another": {func(t *testing.T, dir string, _ *hub.Options) {
			replace(t, filepath.Join(b.Config.DataDir, "stream"), filepath.Join(dir, "stream"))
		}, true, "another hub"},
		"another origin": {func(_ *testing.T, _ string, o *hub.Options) { o.Config.Checkpoint.Origin = "other" }, true, "checkpoint.origin"},
	} {
		t.Run(name, func(t *testing.T) {
			o := a
			o.Config.DataDir = filepath.Join(scratch(t), "d")
			replace(t, a.Config.DataDir, o.Config.DataDir)
			c.take(t, o.Config.DataDir, &o)
			_, lost := os.Stat(filepath.Join(o.Config.DataDir, "keyring"))
			_, err := hub.New(t.Context(), o)
			require.ErrorContains(t, err, c.said)
			require.Equal(t, c.foreign, isForeign(err), "%v", err)
			_, still := os.Stat(filepath.Join(o.Config.DataDir, "keyring"))
			require.Equal(t, lost == nil, still == nil, "a keyring was made or removed")
		})
	}
}

// The number of lanes is fixed once something is in them.
func TestLanesStay(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	h.Push("oss_livorno_desk", "service_request", request(1, "IGIENE", "LI-1"))
	h.AwaitFlow("livorno_provider", exchange.StateDelivered, 1)
	h.Stop()
	o := options(t, h.Dir)
	o.Config.Stream.Lanes = 8
	_, err := hub.New(t.Context(), o)
	require.ErrorIs(t, err, hub.ErrConfig)
	require.ErrorContains(t, err, "stream.lanes")
}

// What callers see of a hub that is not up is a problem document that says when
// to come again; operators see why.
func TestCallersOfAHubThatIsNotUp(t *testing.T) {
	t.Parallel()
	o := options(t, scratch(t))
	o.Config.Checkpoint.CopyTo = t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(o.Config.Checkpoint.CopyTo, "checkpoint"), []byte("no note\n"), 0o600))
	h, err := hub.New(t.Context(), o)
	require.NoError(t, err)
	require.NoError(t, h.Start(t.Context()))
	defer stopped(t, h)
	for _, path := range []string{"/status", "/v1/mailbox", "/v1/token.oauth2", "/nothing"} {
		problem := unavailable(t, h.URL()+path)
		require.Equal(t, "quarantined", problem["reason"])
		require.Contains(t, problem["detail"], "second place")
	}
	require.Equal(t, http.StatusServiceUnavailable, get(t, "http://"+h.AdminAddr()+"/readyz"))
	require.Equal(t, http.StatusOK, get(t, "http://"+h.AdminAddr()+"/livez"))
	c := control.Dial(filepath.Join(o.Config.DataDir, "control.sock"))
	s, err := control.Call[control.Status](t.Context(), c, "status", control.Nothing{})
	require.NoError(t, err)
	require.False(t, s.Ready)
	require.Contains(t, s.Why, "second place")
	require.Zero(t, s.Entries, "nothing is written")
	_, err = control.Call[control.Entry](t.Context(), c, "stop-disclosures", control.StopRequest{Stopped: true, Reason: "x"})
	require.Equal(t, exchange.ReasonQuarantined, exchange.AsError(err).Reason)
}

// F21: the store's file goes while the hub runs. Nothing more is promised, and
// the hub says that it must be restarted.
func TestBrokenHubSaysSo(t *testing.T) {
	t.Parallel()
	o := options(t, scratch(t))
	h, err := hub.New(t.Context(), o)
	require.NoError(t, err)
	require.NoError(t, h.Start(t.Context()))
	select {
	case <-h.Failed():
		t.Fatal("nothing failed")
	default:
	}
	require.NoError(t, os.Remove(filepath.Join(o.Config.DataDir, sqlite.FileName)))
	c := control.Dial(filepath.Join(o.Config.DataDir, "control.sock"))
	_, err = control.Call[control.Entry](t.Context(), c, "stop-disclosures", control.StopRequest{Stopped: true, Reason: "x"})
	require.Error(t, err)
	select {
	case <-h.Failed():
	case <-time.After(20 * time.Second):
		t.Fatal("it does not say that it failed")
	}
	require.ErrorContains(t, h.Ready(t.Context()), "restart")
	_ = h.Stop(context.Background()) // what cannot be written is an error, and no reason to hang
}

func isForeign(err error) bool { return errors.Is(err, store.ErrForeign) }
