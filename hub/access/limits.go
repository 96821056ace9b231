package access

import (
	"errors"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const defaultLimitKeys = 10_000

// Rate is a token bucket: so many calls a second, and so many at once.
type Rate struct {
	PerSecond float64
	Burst     int
}

// LimitsOptions is what [Limits] are made of.
type LimitsOptions struct {
	Default Rate
	Of      map[string]Rate // by key, where it differs
	Keys    int             // how many buckets are kept; 0: 10,000
	Now     func() time.Time
}

// Quota is what is left to a caller.
type Quota struct {
	OK        bool
	Limit     int           // calls at once
	Remaining int           // of them, now
	Reset     time.Duration // until this call would pass, or else until all are back
}

// Limits counts calls by key: the name of a system, or the address of one
// who is not known (yet). It is safe for concurrent use.
type Limits struct {
	o        LimitsOptions
	mu       sync.Mutex
	buckets  map[string]*rate.Limiter
	overflow *rate.Limiter
}

// NewLimits checks o.
func NewLimits(o LimitsOptions) (*Limits, error) {
	for _, r := range o.Of {
		if r.PerSecond <= 0 || r.Burst < 1 {
			return nil, errors.New("rate limits: a rate and a burst must be positive")
		}
	}
	if o.Default.PerSecond <= 0 || o.Default.Burst < 1 || o.Now == nil {
		return nil, errors.New("rate limits: rate, burst and clock are required")
	}
	if o.Keys <= 0 {
		o.Keys = defaultLimitKeys
	}
	return &Limits{o: o, buckets: map[string]*rate.Limiter{}, overflow: newBucket(o.Default)}, nil
}

func newBucket(r Rate) *rate.Limiter { return rate.NewLimiter(rate.Limit(r.PerSecond), r.Burst) }

// Allow takes n calls from key's bucket if they are there. More than the
// bucket holds are allowed when it is full: otherwise they never were.
func (l *Limits) Allow(key string, n int) Quota {
	now := l.o.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucket(key, now)
	n = min(n, b.Burst())
	ok := b.AllowN(now, n)
	left := math.Max(0, b.TokensAt(now))
	missing := float64(b.Burst()) - left
	if !ok {
		missing = float64(n) - left
	}
	seconds := math.Max(0, missing) / float64(b.Limit())
	return Quota{OK: ok, Limit: b.Burst(), Remaining: int(left), Reset: time.Duration(seconds * float64(time.Second))}
}

// bucket finds or makes key's bucket. When all places are taken, buckets that
// are full again make room, for a new one would be equal to them; if none is,
// all further keys share one, so that inventing keys buys nothing.
func (l *Limits) bucket(key string, now time.Time) *rate.Limiter {
	if b, ok := l.buckets[key]; ok {
		return b
	}
	if len(l.buckets) >= l.o.Keys {
		l.makeRoom(now)
	}
	if len(l.buckets) >= l.o.Keys {
		return l.overflow
	}
	r, ok := l.o.Of[key]
	if !ok {
		r = l.o.Default
	}
	b := newBucket(r)
	l.buckets[key] = b
	return b
}

// makeRoom looks at a few buckets in the map's random order, not at all: what
// it costs must not grow with an attack.
func (l *Limits) makeRoom(now time.Time) {
	const looks = 64
	seen := 0
	for k, b := range l.buckets {
		if b.TokensAt(now) >= float64(b.Burst()) {
			delete(l.buckets, k)
		}
		if seen++; seen == looks {
			return
		}
	}
}
