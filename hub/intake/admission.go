package intake

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

// AdmissionOptions of a [Load]. The readers and Clock are required; zero
// numbers mean the defaults named here.
type AdmissionOptions struct {
	// Lag is how many parts of each lane its slowest recipient has not passed.
	Lag func() (map[store.LaneKey]int, error)
	// Waiting counts the rows that wait, per recipient system.
	Waiting func(context.Context) (map[exchange.SystemID]int, error)
	Clock   exchange.Clock

	MaxLag     int // parts a lane may be behind: 200,000
	MaxWaiting int // quota of a recipient's waiting rows: 1,000,000
	// Arriving is what may still come to wait for a recipient when nothing more
	// is admitted: the largest lag, in records. It is taken off the quota;
	// default MaxLag, at most half the quota.
	Arriving int
	Fresh    time.Duration // how old what was read may be: 100 ms
	Stale    time.Duration // beyond which nothing is admitted: 5 s
}

// Load is the [Admission] by how far behind the hub is (protocol.md 2.9). What
// it reads it keeps for a moment, so that the hot path costs one atomic load.
type Load struct {
	opt     AdmissionOptions
	current atomic.Pointer[load]
	reading sync.Mutex
}

// load is what was read at one moment. It is not changed.
type load struct {
	at   time.Duration // monotonic
	err  error
	late map[exchange.Class]bool
	full map[exchange.SystemID]bool
}

var _ Admission = (*Load)(nil)

// NewAdmission makes an admission by load.
func NewAdmission(opt AdmissionOptions) *Load {
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	set(&opt.MaxLag, 200_000)
	set(&opt.MaxWaiting, 1_000_000)
	set(&opt.Arriving, opt.MaxLag)
	opt.Arriving = min(opt.Arriving, opt.MaxWaiting/2)
	if opt.Fresh == 0 {
		opt.Fresh = 100 * time.Millisecond
	}
	if opt.Stale == 0 {
		opt.Stale = 5 * time.Second
	}
	return &Load{opt: opt}
}

// Admit refuses a request whole while a lane of its class is too far behind, or
// what is known of the load is too old (503), and while one of its recipients
// has no room for what may still come (429).
func (l *Load) Admit(class exchange.Class, recipients []exchange.SystemID) error {
	now := l.now()
	switch {
	case now.err != nil:
		return exchange.NewError(exchange.CodeUnavailable, exchange.ReasonOverloaded, "how far behind the hub is cannot be told").
			Because(now.err).After(time.Second)
	case now.late[class]:
		return exchange.NewError(exchange.CodeUnavailable, exchange.ReasonOverloaded, "delivery is too far behind").After(2 * time.Second)
	}
	if len(now.full) == 0 {
		return nil
	}
	for _, r := range recipients {
		if now.full[r] {
			return exchange.NewError(exchange.CodeTooMany, exchange.ReasonOverloaded, "too many records wait for a recipient of this request").
				After(30 * time.Second)
		}
	}
	return nil
}

// now is the load as it was at most a moment ago. One caller reads it again;
// the others go on with what there is, unless that is too old.
func (l *Load) now() *load {
	last := l.current.Load()
	at := l.opt.Clock.Monotonic()
	if last != nil && at-last.at < l.opt.Fresh {
		return last
	}
	if last != nil && at-last.at < l.opt.Stale {
		if !l.reading.TryLock() {
			return last
		}
	} else {
		l.reading.Lock()
	}
	defer l.reading.Unlock()
	if again := l.current.Load(); again != last && l.opt.Clock.Monotonic()-again.at < l.opt.Fresh { // somebody was faster
		return again
	}
	next := l.read()
	l.current.Store(next)
	return next
}

func (l *Load) read() *load {
	out := &load{at: l.opt.Clock.Monotonic(), late: map[exchange.Class]bool{}, full: map[exchange.SystemID]bool{}}
	lag, err := l.opt.Lag()
	if err != nil {
		out.err = fmt.Errorf("lag of the lanes: %w", err)
		return out
	}
	for lane, parts := range lag {
		if parts > l.opt.MaxLag {
			out.late[lane.Class] = true
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), l.opt.Stale)
	defer cancel()
	waiting, err := l.opt.Waiting(ctx)
	if err != nil {
		out.err = fmt.Errorf("count what waits: %w", err)
		return out
	}
	for system, n := range waiting {
		if n+l.opt.Arriving >= l.opt.MaxWaiting {
			out.full[system] = true
		}
	}
	return out
}
