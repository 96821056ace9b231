package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"raccordo/deploy/networks"
	"raccordo/hub"
	"raccordo/hub/client"
	"raccordo/hub/exchange"
	"raccordo/hub/hubtest"
	"raccordo/hub/network/endpoints"
	"raccordo/hub/telemetry"
)

// Scenario is how a caller pushes.
type Scenario struct {
	Name        string
	Records     int // of one request: 1 is JSON, more are NDJSON
	Connections int
}

// Options of a run.
type Options struct {
	Duration time.Duration // of pushing
	Dir      string        // where data directories are made; "": the system's for temporary files
	Backlog  int64         // disclosures that may be under way; more are not pushed, so that the rate is one that lasts
}

// run is one scenario under way.
type run struct {
	hub     *hubtest.Hub
	desk    *client.Client
	backlog int64

	accepted     atomic.Int64 // records acknowledged
	disclosures  atomic.Int64 // that must come of them
	received     atomic.Int64 // disclosures that recipients have
	turnedAway   atomic.Int64 // answers 429 and 503
	acknowledged histogram
	watch        watch
}

// Run pushes for a while, waits until everything is accounted for, and reports.
func Run(tb testing.TB, s Scenario, o Options) Report {
	tb.Helper()
	r := &run{backlog: o.Backlog}
	to := &recipients{run: r}
	r.start(tb, o, to)
	r.desk = r.hub.As(desk)
	fetching, stop := context.WithCancel(context.Background())
	var fetchers sync.WaitGroup
	box := r.hub.As(work)
	fetchers.Go(func() {
		if err := to.fetch(fetching, box); err != nil {
			tb.Errorf("mailbox: %v", err)
		}
	})
	ended := func() { stop(); fetchers.Wait() }
	defer ended()

	before := used(r.hub.Dir)
	memory := follow()
	pushing := r.push(tb, s, o.Duration)
	r.settle(tb)
	after := used(r.hub.Dir)
	return r.report(s, pushing, before, after, memory())
}

// start runs the hub as a pilot has it: default configuration and log, with
// bounds that the load does not meet.
func (r *run) start(tb testing.TB, o Options, to *recipients) {
	tb.Helper()
	builtin, err := networks.FS()
	require.NoError(tb, err)
	network, err := endpoints.Override(unlimited{builtin["reticulate"]},
		map[exchange.SystemID]string{provider: to.serve(tb), social: to.serve(tb)})
	require.NoError(tb, err)
	dir, err := os.MkdirTemp(o.Dir, "bench")
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	file, err := os.Create(filepath.Join(dir, "log"))
	require.NoError(tb, err)
	logger, closer := telemetry.NewLogger(file, slog.LevelInfo, nil)
	tb.Cleanup(func() { _ = closer.Close(); _ = file.Close() })
	r.hub = hubtest.Start(tb, hubtest.WithDir(filepath.Join(dir, "data")), hubtest.With(func(opt *hub.Options) {
		c := hub.DefaultConfig()
		c.DataDir, c.Network, c.Listen, c.Admin.Listen = opt.Config.DataDir, "given", "127.0.0.1:0", "127.0.0.1:0"
		c.Limits.PerSecond, c.Limits.Burst = 100_000, 100_000
		opt.Config, opt.Network, opt.Logger = c, network, logger
	}))
}

// push keeps every connection pushing for d and gives how long that took.
func (r *run) push(tb testing.TB, s Scenario, d time.Duration) time.Duration {
	tb.Helper()
	pool, err := newPool()
	require.NoError(tb, err)
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	faults := make(chan error, s.Connections)
	var lines sync.WaitGroup
	for i := range s.Connections {
		lines.Go(func() {
			l := &line{run: r, traffic: traffic{random: rand.New(rand.NewPCG(7, uint64(i))), name: strconv.Itoa(i), pool: pool}}
			defer l.close()
			for r.room(ctx) {
				// The request under way when the time is up is answered, and counts.
				if err := l.push(context.WithoutCancel(ctx), s.Records); err != nil {
					faults <- fmt.Errorf("connection %d: %w", i, err)
					return
				}
			}
		})
	}
	lines.Wait()
	close(faults)
	var all error
	for err := range faults {
		all = errors.Join(all, err)
	}
	require.NoError(tb, all)
	return time.Since(began)
}

// room waits while too much is under way; false when the time is up.
func (r *run) room(ctx context.Context) bool {
	for ctx.Err() == nil && r.backlog > 0 && r.disclosures.Load()-r.received.Load() > r.backlog {
		time.Sleep(time.Millisecond)
	}
	return ctx.Err() == nil
}

// settle waits until recipients and the hub's own sums agree with what was
// acknowledged.
func (r *run) settle(tb testing.TB) {
	tb.Helper()
	want := r.disclosures.Load()
	limit := time.Now().Add(max(time.Minute, time.Duration(want/200)*time.Second/10))
	var delivered, others int64
	for {
		s := r.hub.Status()
		delivered, others = 0, 0
		for _, states := range s.Flows {
			for state, n := range states {
				if state == exchange.StateDelivered.String() {
					delivered += n
				} else {
					others += n
				}
			}
		}
		if s.Behind == 0 && s.Imbalance == 0 && delivered == want && others == 0 && r.received.Load() == want {
			return
		}
		if time.Now().After(limit) {
			tb.Fatalf("not settled: %d disclosures were due, %d are delivered, %d are in other states, recipients have %d, imbalance %d",
				want, delivered, others, r.received.Load(), s.Imbalance)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// follow looks at the resident memory every second until it is asked for what
// it saw.
func follow() func() []int64 {
	quit, done := make(chan struct{}), make(chan struct{})
	seen := []int64{resident()}
	go func() {
		defer close(done)
		t := time.NewTicker(time.Second)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				seen = append(seen, resident())
			case <-quit:
				seen = append(seen, resident())
				return
			}
		}
	}()
	return func() []int64 { close(quit); <-done; return seen }
}
