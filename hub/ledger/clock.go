package ledger

import (
	"sync"
	"time"

	"raccordo/hub/exchange"
)

// maxJump is how far the wall clock may run away from the monotonic one while
// running (protocol.md 4.3).
const maxJump = time.Hour

// clockGuard gives ledger time and refuses to when the clock cannot be
// trusted, until an operator confirms it. Nothing is written meanwhile.
type clockGuard struct {
	clock       exchange.Clock
	maxDowntime time.Duration

	mu        sync.Mutex
	started   bool
	wall      time.Time
	mono      time.Duration
	reason    string
	confirmed bool
}

func newClockGuard(c exchange.Clock, maxDowntime time.Duration) *clockGuard {
	return &clockGuard{clock: c, maxDowntime: maxDowntime}
}

// ledgerTime is max(prev, clock now); prev is the last entry's in Unix
// milliseconds, 0 if there is none.
func (g *clockGuard) ledgerTime(prev int64) (time.Time, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now, mono := g.clock.Now(), g.clock.Monotonic()
	g.check(now, mono, prev)
	if g.reason != "" && !g.confirmed {
		return time.Time{}, untrusted(g.reason)
	}
	g.started, g.wall, g.mono, g.reason, g.confirmed = true, now, mono, "", false
	if ms := now.UnixMilli(); ms > prev {
		return time.UnixMilli(ms).UTC(), nil
	}
	return time.UnixMilli(prev).UTC(), nil
}

func (g *clockGuard) check(now time.Time, mono time.Duration, prev int64) {
	if g.reason != "" {
		return
	}
	last := time.UnixMilli(prev)
	switch {
	case g.started && (now.Sub(g.wall)-(mono-g.mono)).Abs() > maxJump:
		g.reason = "the clock jumped by more than an hour while running"
	case !g.started && prev > 0 && now.Before(last):
		g.reason = "the clock is behind the last entry of the ledger"
	case !g.started && prev > 0 && now.Sub(last) > g.maxDowntime:
		g.reason = "the clock is further ahead of the last entry than max_downtime"
	}
}

// distrust is how the expiry check stops the writer.
func (g *clockGuard) distrust(reason string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.reason == "" {
		g.reason, g.confirmed = reason, false
	}
}

// err looks at the clocks too: a jump is known before anything is written.
func (g *clockGuard) err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.started {
		g.check(g.clock.Now(), g.clock.Monotonic(), 0)
	}
	if g.reason == "" || g.confirmed {
		return nil
	}
	return untrusted(g.reason)
}

func (g *clockGuard) confirm() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.confirmed = g.reason != ""
}

func untrusted(reason string) error {
	return exchange.NewError(exchange.CodeUnavailable, exchange.ReasonClockJump,
		reason+"; an operator must confirm it: raccordo status --confirm-clock").After(time.Minute)
}
