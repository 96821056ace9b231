package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

func rowOf(n uint32, s exchange.State, p exchange.Part) exchange.Row {
	r := testRow(1)
	binary.BigEndian.PutUint32(r.Record[1:], n)
	r.State, r.Part, r.Mark = s, p, exchange.MarkPossibly
	return r
}

func (r *rig) rows(rows ...exchange.Row) uint64 {
	r.t.Helper()
	return r.put(&Change{Draft: &Draft{Kind: exchange.KindClaim, System: "clinic_system", Rows: rows}}).Seq
}

func (r *rig) status(n uint32) (out []store.StatusRow) {
	r.t.Helper()
	r.view(func(tx store.ReadTx) (err error) { out, err = tx.StatusOf(rowOf(n, 1, 1).Record); return err })
	return out
}

func follow(t *testing.T, s SideStore) *Follower {
	t.Helper()
	f := NewFollower(s, nil)
	if err := f.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Stop)
	return f
}

func TestFollower(t *testing.T) {
	s := open(t, t.TempDir())
	t.Cleanup(func() { _ = s.Close() })
	f := NewFollower(s, nil)
	w := NewWriter(Options{Store: s, Clock: newClock(), Rand: zeroless{}})
	w.OnCommit(f.Nudge)
	w.Start()
	t.Cleanup(w.Stop)
	r := &rig{t: t, store: s, w: w}
	r.rows(rowOf(1, exchange.StateClaimed, exchange.PartPrincipal), rowOf(1, exchange.StateWithheld, exchange.PartAffected),
		rowOf(2, exchange.StateWaiting, exchange.PartThing)) // before it starts
	if err := f.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Stop)
	r.put(stop("x"))
	last := r.rows(rowOf(1, exchange.StateDelivered, exchange.PartPrincipal))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := f.WaitFor(ctx, last); err != nil {
		t.Fatal(err)
	}
	want := store.StatusRow{Record: rowOf(1, 1, 1).Record, Flow: testRow(1).Flow, State: exchange.StateDelivered, Reason: exchange.ReasonPermitted,
		Mark: exchange.MarkPossibly, Seq: last}
	if got := r.status(1); len(got) != 1 || got[0] != want {
		t.Errorf("%+v", got)
	}
	if got := r.status(2); len(got) != 1 || got[0].State != exchange.StateWaiting || got[0].Seq != 0 {
		t.Errorf("%+v", got)
	}
	if n, err := f.Caught(); n != 3 || err != nil {
		t.Errorf("caught %d, %v", n, err)
	}
	r.view(func(tx store.ReadTx) error {
		counts, err := tx.StateCounts()
		if c := counts[testRow(1).Flow]; c[exchange.StateDelivered] != 1 || c[exchange.StateWaiting] != 1 || c[exchange.StateClaimed] != 0 || c[exchange.StateWithheld] != 0 {
			t.Errorf("sums %v", c)
		}
		return err
	})
}

// Whatever it had done before, and however often it does it again, it ends in
// the same state.
func TestFollowerRebuilds(t *testing.T) {
	r := newRig(t)
	states := exchange.States()
	for i := range 200 {
		r.rows(rowOf(uint32(i%7), states[1+i%5], exchange.PartPrincipal))
	}
	snapshot := func() (all []store.StatusRow, sums any) {
		for n := range uint32(7) {
			all = append(all, r.status(n)...)
		}
		r.view(func(tx store.ReadTx) (err error) { sums, err = tx.StateCounts(); return err })
		return all, sums
	}
	first := follow(t, r.store)
	if err := first.WaitFor(t.Context(), 199); err != nil {
		t.Fatal(err)
	}
	first.Stop()
	want, sums := snapshot()
	if len(want) != 7 {
		t.Fatalf("%d rows", len(want))
	}
	if err := first.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := NewFollower(r.store, nil)
	if n, _ := second.Caught(); n != 0 {
		t.Errorf("begins at %d", n)
	}
	if err := second.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer second.Stop()
	if err := second.WaitFor(t.Context(), 199); err != nil {
		t.Fatal(err)
	}
	got, again := snapshot()
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("row %d: %+v, was %+v", i, got[i], want[i])
		}
	}
	if !equalSums(sums, again) {
		t.Errorf("sums %v, were %v", again, sums)
	}
}

func equalSums(a, b any) bool {
	x, y := a.(map[exchange.Number]map[exchange.State]int64), b.(map[exchange.Number]map[exchange.State]int64)
	for f := range x {
		for _, s := range exchange.States() {
			if x[f][s] != y[f][s] {
				return false
			}
		}
	}
	return len(x) == len(y)
}

// flaky fails some side transactions.
type flaky struct {
	store.Store
	n atomic.Int64
}

func (f *flaky) Side(ctx context.Context, fn func(store.SideTx) error) error {
	if f.n.Add(1) == 1 {
		return errors.New("busy")
	}
	return f.Store.Side(ctx, fn)
}

func TestFollowerGoesOn(t *testing.T) {
	r := newRig(t)
	r.rows(rowOf(1, exchange.StateClaimed, exchange.PartPrincipal))
	s := &flaky{Store: r.store}
	f := follow(t, s)
	eventually(t, "it says why it is held up", func() bool { _, err := f.Caught(); return err != nil })
	if err := f.WaitFor(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Caught(); err != nil || len(r.status(1)) != 1 {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.WaitFor(ctx, 5); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	f.Stop()
	if err := f.WaitFor(t.Context(), 5); !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
}

// Steps are bounded: large entries are written in transactions of their own.
func TestFollowerSteps(t *testing.T) {
	r := newRig(t)
	n := uint32(0)
	for range 6 {
		rows := make([]exchange.Row, 700)
		for i := range rows {
			rows[i] = rowOf(n, exchange.StateClaimed, exchange.PartPrincipal)
			n++
		}
		r.rows(rows...)
	}
	s := &sizes{Store: r.store}
	f := follow(t, s)
	if err := f.WaitFor(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	if s.transactions.Load() < 6 {
		t.Errorf("%d transactions for 6 entries of 700 rows", s.transactions.Load())
	}
	r.view(func(tx store.ReadTx) error {
		counts, err := tx.StateCounts()
		if got := counts[testRow(1).Flow][exchange.StateClaimed]; got != int64(n) {
			t.Errorf("%d of %d rows", got, n)
		}
		return err
	})
}

// Of several states that are followed together the last one stands, and the
// sums count it once.
func TestFollowerGathersStates(t *testing.T) {
	r := newRig(t)
	const n = 40
	for _, state := range []exchange.State{exchange.StateWaiting, exchange.StateClaimed, exchange.StateDelivered} {
		rows := make([]exchange.Row, n)
		for i := range rows {
			rows[i] = rowOf(uint32(i), state, exchange.PartPrincipal)
		}
		r.rows(rows...)
	}
	s := &sizes{Store: r.store}
	f := follow(t, s)
	if err := f.WaitFor(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if got := s.transactions.Load(); got != 1 {
		t.Errorf("%d transactions for three small entries", got)
	}
	r.view(func(tx store.ReadTx) error {
		counts, err := tx.StateCounts()
		if got := counts[testRow(1).Flow]; len(got) != 1 || got[exchange.StateDelivered] != n {
			t.Errorf("%v", got)
		}
		return err
	})
}

type sizes struct {
	store.Store
	transactions atomic.Int64
}

func (s *sizes) Side(ctx context.Context, fn func(store.SideTx) error) error {
	s.transactions.Add(1)
	return s.Store.Side(ctx, fn)
}
