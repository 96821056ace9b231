package ledger

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"raccordo/consent"
	"raccordo/hub/exchange"
)

const hour = time.Hour

// TestClockGuard is protocol.md 4.3: nothing is written at a time nobody vouches
// for.
func TestClockGuard(t *testing.T) {
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		stopped time.Duration // between the last entry and this start
		drift   time.Duration // of the wall clock while it ran an hour
		why     string
	}{
		"all is well":              {stopped: day},
		"short and back":           {drift: -59 * time.Minute},
		"within the hour":          {drift: 59 * time.Minute},
		"an hour ahead":            {drift: hour + time.Minute, why: "jumped"},
		"an hour back":             {drift: -hour - time.Minute, why: "jumped"},
		"behind at start":          {stopped: -time.Minute, why: "behind the last entry"},
		"just within max_downtime": {stopped: 30*day - time.Minute},
		"beyond max_downtime":      {stopped: 30*day + time.Minute, why: "max_downtime"},
	} {
		t.Run(name, func(t *testing.T) {
			clock := newClock()
			s := open(t, t.TempDir())
			t.Cleanup(func() { _ = s.Close() })
			first := start(t, s, clock)
			first.put(stop("x"))
			first.w.Stop()
			clock.pass(c.stopped)
			r := start(t, s, clock)
			if c.drift != 0 {
				r.put(stop("x"))
				clock.pass(hour)
				clock.move(c.drift, 0)
			}
			before := r.head()
			_, err := r.submit(stop("y"))
			if c.why == "" {
				if err != nil || r.w.Clock() != nil {
					t.Fatalf("%v, %v", err, r.w.Clock())
				}
				return
			}
			e := exchange.AsError(err)
			if e.Code != exchange.CodeUnavailable || e.Reason != exchange.ReasonClockJump || !strings.Contains(e.Detail, c.why) || r.w.Clock() == nil {
				t.Fatalf("%v, %v", err, r.w.Clock())
			}
			if _, err := r.submit(&Change{}); err == nil {
				t.Error("cursors moved at a time nobody vouches for")
			}
			// A clock put right by itself is not trusted either: it was wrong.
			if r.head() != before {
				t.Error("something was written")
			}
			r.w.ConfirmClock()
			if r.w.Clock() != nil {
				t.Error("confirmed, and still in doubt")
			}
			res := r.put(stop("z"))
			if res.Time < before.Time || res.Time < clock.Now().UnixMilli() {
				t.Errorf("ledger time %d after %d, clock %d", res.Time, before.Time, clock.Now().UnixMilli())
			}
			r.put(stop("z"))
		})
	}
}

// A confirmation without a doubt confirms nothing that comes later.
func TestConfirmInAdvance(t *testing.T) {
	r := newRig(t)
	r.put(stop("x"))
	r.w.ConfirmClock()
	r.clock.move(2*hour, 0)
	if _, err := r.submit(stop("y")); !is(err, exchange.CodeUnavailable) {
		t.Errorf("%v", err)
	}
}

// Ledger time never goes back, whatever the clock does within bounds.
func TestLedgerTimeIsMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clock := newClock()
		g := newClockGuard(clock, 30*24*hour)
		last := int64(0)
		for range rapid.IntRange(1, 50).Draw(t, "entries") {
			mono := time.Duration(rapid.Int64Range(0, int64(10*time.Minute)).Draw(t, "passes"))
			clock.move(mono+time.Duration(rapid.Int64Range(-int64(50*time.Minute), int64(50*time.Minute)).Draw(t, "drift")), mono)
			at, err := g.ledgerTime(last)
			if err != nil { // too far
				g.confirm()
				continue
			}
			ms := at.UnixMilli()
			if ms < last || ms < clock.Now().UnixMilli() || ms != max(last, clock.Now().UnixMilli()) || at.Location() != time.UTC {
				t.Fatalf("%d after %d", ms, last)
			}
			last = ms
		}
	})
}

// give records n consents that expire at a time.
func (r *rig) give(from, n int, expires time.Time) {
	r.t.Helper()
	item := &Item{Decide: func(s *State) (*Change, error) {
		c := stop("consents")
		for i := range n {
			who := exchange.SubjectID{byte(from), byte(i), byte(i >> 8)}
			rec := consentChange(s, who, consent.StatusGiven, 0).Consents[0]
			rec.Consent = exchange.ConsentID{byte(from), byte(i), byte(i >> 8)}
			if rec.ExpiresAt = 0; !expires.IsZero() {
				rec.ExpiresAt = expires.UnixMilli()
			}
			c.Consents = append(c.Consents, rec)
		}
		return c, nil
	}}
	if _, err := r.w.Submit(r.t.Context(), item); err != nil {
		r.t.Fatal(err)
	}
}

// TestExpiryGuard: a step of the clock that would end many consents at once is
// not taken for granted.
func TestExpiryGuard(t *testing.T) {
	for _, c := range []struct {
		expiring, others int
		suspect          bool
	}{{100, 1800, true}, {100, 1900, false}, {99, 0, false}, {200, 3700, true}, {0, 500, false}} {
		t.Run(fmt.Sprint(c.expiring, " of ", c.expiring+c.others), func(t *testing.T) {
			r := newRig(t)
			soon := r.clock.Now().Add(50 * time.Minute)
			r.give(1, c.expiring, soon)
			r.give(2, c.others, time.Time{})
			r.clock.pass(40 * time.Minute)
			r.put(stop("before"))
			r.clock.pass(30 * time.Minute)
			_, err := r.submit(stop("after"))
			if !c.suspect {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if e := exchange.AsError(err); e.Reason != exchange.ReasonClockJump || !strings.Contains(e.Detail, fmt.Sprintf("%d of %d consents", c.expiring, c.expiring+c.others)) {
				t.Fatalf("%v", err)
			}
			if _, err := r.submit(stop("again")); err == nil {
				t.Fatal("written without confirmation")
			}
			r.w.ConfirmClock()
			r.put(stop("confirmed"))
			r.clock.pass(20 * time.Minute)
			r.put(stop("and on"))
		})
	}
}

// At start the step is that since the last entry; small steps add up.
func TestExpiryGuardAtStart(t *testing.T) {
	clock := newClock()
	s := open(t, t.TempDir())
	t.Cleanup(func() { _ = s.Close() })
	r := start(t, s, clock)
	r.give(1, 150, clock.Now().Add(9*time.Minute))
	r.w.Stop()
	clock.pass(9 * time.Minute)
	again := start(t, s, clock)
	if _, err := again.submit(stop("x")); !is(err, exchange.CodeUnavailable) {
		t.Errorf("at start: %v", err)
	}
	again.w.Stop()

	clock.move(-9*time.Minute, 0) // the clock had been wrong, and was put right
	third := start(t, s, clock)
	for range 8 {
		clock.pass(time.Minute)
		third.put(stop("x"))
	}
	clock.pass(4 * time.Minute) // eleven minutes since the check, in small steps
	if _, err := third.submit(stop("x")); !is(err, exchange.CodeUnavailable) {
		t.Errorf("in small steps: %v", err)
	}
}

// A clock that is put right after a doubt is looked at again.
func TestExpiryGuardLooksBack(t *testing.T) {
	r := newRig(t)
	r.give(1, 150, r.clock.Now().Add(30*time.Minute))
	r.clock.pass(45 * time.Minute)
	if _, err := r.submit(stop("x")); err == nil {
		t.Fatal("taken for granted")
	}
	r.clock.move(-45*time.Minute, 0)
	r.w.ConfirmClock()
	r.put(stop("right again"))
	r.clock.pass(40 * time.Minute)
	if _, err := r.submit(stop("x")); !is(err, exchange.CodeUnavailable) {
		t.Errorf("the second time: %v", err)
	}
}

// The guard asks the store rarely.
func TestExpiryGuardIsCheap(t *testing.T) {
	s := open(t, t.TempDir())
	t.Cleanup(func() { _ = s.Close() })
	v := &viewCount{Store: s}
	r := start(t, v, newClock())
	for range 100 {
		r.clock.pass(5 * time.Second)
		r.put(stop("x"))
	}
	if v.n > 2 {
		t.Errorf("%d views for 100 entries in 500 s", v.n)
	}
}
