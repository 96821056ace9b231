package ledger

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"

	"raccordo/hub/store"
)

// zeroless is randomness for tests that do not care.
type zeroless struct{}

func (zeroless) Read(b []byte) (int, error) { return rand.Read(b) }

// moody is a store whose commits are answered as the test wants.
type moody struct {
	store.Store
	mu    sync.Mutex
	moods []mood // of the next ledger transactions
}

type mood int

const (
	fine    mood = iota
	landed       // it happens, and the answer is unknown
	lost         // it does not happen, and the answer is unknown
	refused      // it does not happen, and says so
	stopped      // the store takes nothing any more
)

var errRefused = errors.New("refused")

func (m *moody) next() mood {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.moods) == 0 {
		return fine
	}
	x := m.moods[0]
	m.moods = m.moods[1:]
	return x
}

func (m *moody) Ledger(ctx context.Context, fn func(store.LedgerTx) error) error {
	switch m.next() {
	case landed:
		if err := m.Store.Ledger(ctx, fn); err != nil {
			return err
		}
		return fmt.Errorf("cut: %w", store.ErrUnknownOutcome)
	case lost:
		err := m.Store.Ledger(ctx, func(tx store.LedgerTx) error {
			if err := fn(tx); err != nil {
				return err
			}
			return errRefused
		})
		return fmt.Errorf("cut: %w: %w", store.ErrUnknownOutcome, err)
	case refused:
		return m.Store.Ledger(ctx, func(tx store.LedgerTx) error {
			if err := fn(tx); err != nil {
				return err
			}
			return errRefused
		})
	case stopped:
		return store.ErrStopped
	}
	return m.Store.Ledger(ctx, fn)
}

func newMoody(t *testing.T, moods ...mood) (*moody, *rig) {
	s := open(t, t.TempDir())
	t.Cleanup(func() { _ = s.Close() })
	m := &moody{Store: s, moods: moods}
	return m, start(t, m, newClock())
}

// A commit of unknown outcome is looked up by entry id (protocol.md 4.7).
func TestUnknownOutcomes(t *testing.T) {
	t.Run("it had happened", func(t *testing.T) {
		_, r := newMoody(t, fine, landed, fine, fine)
		r.put(stop("a"))
		if res := r.put(stop("b")); res.Seq != 1 {
			t.Errorf("%+v", res)
		}
		if res := r.put(stop("c")); res.Seq != 2 || r.head().Size != 3 || r.w.Failed() != nil {
			t.Errorf("%+v, %v", res, r.w.Failed())
		}
	})
	t.Run("it had not", func(t *testing.T) {
		_, r := newMoody(t, fine, lost, fine)
		r.put(stop("a"))
		if _, err := r.submit(stop("b")); err == nil || errors.Is(err, store.ErrUnknownOutcome) {
			t.Errorf("taken for unknown, or for done: %v", err)
		}
		if res := r.put(stop("c")); res.Seq != 1 || r.head().Size != 2 || r.w.Failed() != nil {
			t.Errorf("%+v, %v", res, r.w.Failed())
		}
	})
	t.Run("nobody can tell", func(t *testing.T) {
		_, r := newMoody(t, fine, landed, stopped)
		r.put(stop("a"))
		if _, err := r.submit(stop("b")); !errors.Is(err, store.ErrUnknownOutcome) {
			t.Error(err)
		}
		// Whatever happened: nothing is written on top of it.
		if _, err := r.submit(stop("c")); !errors.Is(err, store.ErrUnknownOutcome) || r.w.Failed() == nil {
			t.Errorf("%v, %v", err, r.w.Failed())
		}
		if r.head().Size != 2 {
			t.Errorf("%d entries", r.head().Size)
		}
	})
	t.Run("the look-up's own outcome is unknown", func(t *testing.T) {
		_, r := newMoody(t, fine, landed, lost)
		r.put(stop("a"))
		if _, err := r.submit(stop("b")); !errors.Is(err, store.ErrUnknownOutcome) || r.w.Failed() == nil {
			t.Errorf("%v, %v", err, r.w.Failed())
		}
	})
	t.Run("cursors only", func(t *testing.T) {
		_, r := newMoody(t, lost)
		if _, err := r.submit(&Change{}); !errors.Is(err, store.ErrUnknownOutcome) || r.w.Failed() == nil {
			t.Errorf("%v, %v", err, r.w.Failed())
		}
	})
}

// After a certain no the next transaction goes on as if it had never been: the
// right edge of the tree too.
func TestRefusedTransactions(t *testing.T) {
	_, r := newMoody(t, fine, fine, refused, fine, refused, fine)
	for i := range 6 {
		_, err := r.submit(stop("x"))
		if refusedNow := i == 2 || i == 4; refusedNow != errors.Is(err, errRefused) {
			t.Fatalf("transaction %d: %v", i, err)
		}
	}
	if r.head().Size != 4 {
		t.Errorf("%d entries", r.head().Size)
	}
	sameTree(t, r)
}

func TestStoppedStore(t *testing.T) {
	_, r := newMoody(t, fine, stopped)
	r.put(stop("a"))
	for range 2 {
		if _, err := r.submit(stop("b")); !errors.Is(err, store.ErrStopped) || r.w.Failed() == nil {
			t.Errorf("%v", err)
		}
	}
}

// viewCount counts views.
type viewCount struct {
	store.Store
	n int
}

func (v *viewCount) View(ctx context.Context, fn func(store.ReadTx) error) error {
	v.n++
	return v.Store.View(ctx, fn)
}
