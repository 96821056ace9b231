package delivery

import (
	"math/rand/v2"
	"time"
)

// backoff is the breaker of one recipient: after each failure it waits twice
// as long, with jitter so that recipients do not come back in step, and at
// least what the recipient asked for.
type backoff struct {
	min, max time.Duration
	next     time.Duration
	until    time.Duration // monotonic
	random   *rand.Rand
}

// fail waits from now (monotonic); asked is the recipient's Retry-After.
func (b *backoff) fail(now, asked time.Duration) time.Duration {
	if b.next == 0 {
		b.next = b.min
	}
	wait := b.next/2 + time.Duration(b.random.Int64N(int64(b.next/2)+1))
	b.next = min(2*b.next, b.max)
	wait = max(wait, asked)
	b.until = now + wait
	return wait
}

// ok closes the breaker.
func (b *backoff) ok() { b.next, b.until = 0, 0 }

// left is how long to wait still.
func (b *backoff) left(now time.Duration) time.Duration { return b.until - now }
