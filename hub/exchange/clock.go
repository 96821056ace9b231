package exchange

import "time"

// Clock is injected wherever time is read. Wall time judges bases and
// deadlines through ledger time; time-outs use the monotonic reading.
type Clock interface {
	// Now is the wall clock.
	Now() time.Time
	// Monotonic is the time since some fixed moment, never set back.
	Monotonic() time.Duration
}

// SystemClock reads the machine's clocks.
type SystemClock struct{ start time.Time }

// NewSystemClock starts the monotonic reading at zero.
func NewSystemClock() SystemClock { return SystemClock{start: time.Now()} }

// Now is the wall clock.
func (SystemClock) Now() time.Time { return time.Now() }

// Monotonic is the time since NewSystemClock.
func (c SystemClock) Monotonic() time.Duration { return time.Since(c.start) }
