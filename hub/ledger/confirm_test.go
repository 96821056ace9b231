package ledger

import (
	"slices"
	"testing"

	"raccordo/hub/exchange"
)

// A jump is known at once, not when the next entry is to be written.
func TestJumpIsSeenWithoutAnEntry(t *testing.T) {
	r := newRig(t)
	r.put(stop("before"))
	r.clock.move(2*hour, 0)
	if err := r.w.Clock(); !is(err, exchange.CodeUnavailable) {
		t.Fatalf("a jump of two hours: %v", err)
	}
	r.clock.move(-2*hour, 0)
	if err := r.w.Clock(); err == nil {
		t.Fatal("a clock that jumped forth and back needs no confirmation")
	}
	r.w.ConfirmClock()
	r.put(stop("after"))
	if err := r.w.Clock(); err != nil {
		t.Fatal(err)
	}
}

// The operator's word is what is written first, whoever waited before.
func TestConfirmationIsWrittenFirst(t *testing.T) {
	r := newRig(t)
	// The clock jumps while an entry is being written; the others wait behind it.
	jump := &Item{Decide: func(*State) (*Change, error) { r.clock.move(2*hour, 0); return stop("jumping"), nil }}
	if _, err := r.w.Submit(t.Context(), jump); err != nil {
		t.Fatal(err)
	}
	if _, err := r.submit(stop("refused")); !is(err, exchange.CodeUnavailable) {
		t.Fatalf("written under a clock nobody vouches for: %v", err)
	}
	item := func(reason string, confirms bool) *pending {
		return &pending{ctx: t.Context(), ready: make(chan struct{}), item: &Item{ConfirmsClock: confirms,
			Decide: func(*State) (*Change, error) { return stop(reason), nil }}}
	}
	r.w.Stop() // the committer is this goroutine now
	items := []*pending{item("one", false), item("two", false), item("confirmed", true)}
	r.w.commit(slices.Clone(items))
	for i, p := range items {
		if <-p.ready; p.err != nil {
			t.Fatalf("item %d: %v", i, p.err)
		}
	}
	if c := items[2].res.Seq; c != 1 || items[0].res.Seq <= c || items[1].res.Seq <= c {
		t.Fatalf("the confirmation is entry %d, the others are %d and %d", c, items[0].res.Seq, items[1].res.Seq)
	}
}
