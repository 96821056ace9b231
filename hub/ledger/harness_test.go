package ledger

import (
	"context"
	"crypto/rand"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
	"raccordo/hub/store/sqlite"
)

// clock is set by hand.
type clock struct {
	mu   sync.Mutex
	now  time.Time
	mono time.Duration
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time           { c.mu.Lock(); defer c.mu.Unlock(); return c.now }
func (c *clock) Monotonic() time.Duration { c.mu.Lock(); defer c.mu.Unlock(); return c.mono }

// move moves the two clocks apart, or together.
func (c *clock) move(wall, mono time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.mono = c.now.Add(wall), c.mono+mono
}

func (c *clock) pass(d time.Duration) { c.move(d, d) }

// open opens a store in a directory; it is closed by the test.
func open(t testing.TB, dir string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(context.Background(), sqlite.Options{Dir: dir, Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// rig is a writer on a store.
type rig struct {
	t     testing.TB
	clock *clock
	store store.Store
	w     *Writer
}

func newRig(t testing.TB) *rig {
	t.Helper()
	s := open(t, t.TempDir())
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return start(t, s, newClock())
}

func start(t testing.TB, s store.Store, c *clock) *rig {
	t.Helper()
	r := &rig{t: t, clock: c, store: s, w: NewWriter(Options{Store: s, Clock: c, Rand: rand.Reader})}
	r.w.Start()
	t.Cleanup(r.w.Stop)
	return r
}

// submit decides c.
func (r *rig) submit(c *Change) (Result, error) {
	return r.w.Submit(context.Background(), &Item{Decide: func(*State) (*Change, error) { return c, nil }})
}

func (r *rig) put(c *Change) Result {
	r.t.Helper()
	res, err := r.submit(c)
	if err != nil {
		r.t.Fatal(err)
	}
	return res
}

// stop is a change that writes an entry and nothing else of interest.
func stop(reason string) *Change {
	b, err := exchange.EncodeFact(exchange.StopFact{Reason: reason})
	if err != nil {
		panic(err)
	}
	return &Change{Draft: &Draft{Kind: exchange.KindStop, Fact: b}}
}

func (r *rig) view(fn func(store.ReadTx) error) {
	r.t.Helper()
	if err := r.store.View(context.Background(), fn); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) head() (h store.Head) {
	r.t.Helper()
	r.view(func(tx store.ReadTx) (err error) { h, err = tx.Head(); return err })
	return h
}

func (r *rig) entries() (out []store.StoredEntry) {
	r.t.Helper()
	r.view(func(tx store.ReadTx) (err error) { out, err = tx.Entries(0, 1000); return err })
	return out
}

// together submits items so that they share one transaction: the committer is
// held in an item of its own until all of them are queued.
func (r *rig) together(items ...*Item) ([]Result, []error) {
	r.t.Helper()
	held, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = r.w.Submit(context.Background(), &Item{Decide: func(*State) (*Change, error) {
			close(held)
			<-release
			return nil, nil
		}})
	})
	<-held
	results, errs := make([]Result, len(items)), make([]error, len(items))
	for i, it := range items {
		wg.Go(func() { results[i], errs[i] = r.w.Submit(context.Background(), it) })
		eventually(r.t, "queued", func() bool { return len(r.w.queue) == i+1 })
	}
	close(release)
	wg.Wait()
	return results, errs
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(20 * time.Second)
	for tries := 0; time.Now().Before(end); tries++ {
		if ok() {
			return
		}
		if runtime.Gosched(); tries > 100 {
			time.Sleep(time.Millisecond)
		}
	}
	t.Fatalf("not within 20 s: %s", what)
}

func is(err error, code exchange.Code) bool {
	var e *exchange.Error
	return errors.As(err, &e) && e.Code == code
}
