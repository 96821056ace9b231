package delivery

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"raccordo/connectors"
	"raccordo/hub/exchange"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
)

// recipient takes records to one system. One parcel is in flight at a time;
// everything it writes is serialised by mu, so that a spill and the pump see
// the same claim and cursors.
type recipient struct {
	d       *Deliverer
	system  exchange.SystemID
	sink    connectors.Sink // nil: an outlet
	outlet  *Outlet
	gone    bool // in no network any more: nobody fetches
	maxBody int
	log     *slog.Logger
	wake    chan struct{}
	due     atomic.Bool   // something that waits may be due
	left    []store.Claim // open when the lanes were taken
	saved   time.Duration // monotonic, when cursors were last saved for their own sake

	mu      sync.Mutex
	cursors map[store.LaneKey]*cursor
	current *parcel // under an open claim
	taking  bool    // claims of an earlier owner are not read yet
	blocked map[store.LaneKey]bool
	spilled bool // since the recipient last took something
	most    int  // records of the next parcel
	turn    int  // parcels gathered, for whose turn it is among lanes
	back    backoff
}

// cursor is how far the recipient has come in a lane: durable in the store,
// and seen in the window, where nothing of its own lies between the two.
type cursor struct {
	durable exchange.Position
	seen    exchange.Position
	frame   exchange.FrameID // of the part at seen
	unsaved int              // parts passed over since durable
}

// saveEvery is how many parts a recipient may pass over without moving its
// durable cursor (protocol.md 3.5).
const saveEvery = 1000

// saveAfter is how long an idle recipient may keep to itself how far it has
// come, so that it does not hold up the clean-up of the stream.
const saveAfter = time.Minute

// nudge wakes the recipient: there is something in a window.
func (r *recipient) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// look wakes it, because something that waits may be due.
func (r *recipient) look() {
	r.due.Store(true)
	r.nudge()
}

// run delivers until ctx ends; the parcel under way is settled first.
func (r *recipient) run(ctx context.Context) {
	if err := r.resume(ctx); err != nil {
		return // ctx ended
	}
	for ctx.Err() == nil {
		if r.pause(ctx) {
			continue
		}
		worked, err := r.step(ctx)
		if err != nil {
			r.note(ctx, err)
		} else if !worked {
			r.idle(ctx)
		}
	}
	r.drained()
}

// step does one thing; it reports whether there was one. A claim that is open
// comes first, then what waited, then the lanes' new records (protocol.md 6.1).
func (r *recipient) step(ctx context.Context) (bool, error) {
	if p := r.open(); p != nil {
		return true, r.deliver(ctx, p)
	}
	drained, err := r.drain(ctx)
	if err != nil {
		return false, err
	}
	took, err := r.lanes(ctx)
	return drained || took, err
}

func (r *recipient) open() *parcel {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current
}

// note turns what went wrong into a pause. Nothing was lost by it: what is not
// written is decided again.
func (r *recipient) note(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil || errors.Is(err, errMoved):
		return
	case errors.Is(err, errStopped):
		r.idle(ctx)
		return
	case errors.Is(err, errSettled):
		r.drop()
	case errors.Is(err, ledger.ErrLaneLost):
		r.drop()
		if e := r.d.recheck(ctx); e != nil {
			err = errors.Join(err, e)
		}
	}
	r.log.Warn("delivery is held up", "system", string(r.system), "error", err.Error())
	r.mu.Lock()
	r.back.fail(r.d.opt.Clock.Monotonic(), 0)
	r.mu.Unlock()
}

// drop lets go of a claim that is somebody else's to resolve by now, and goes
// back to what the store knows.
func (r *recipient) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.current; p != nil {
		r.current = nil
		r.rewind(p.ranges)
	}
}

// rewind goes back to the durable cursors; mu is held.
func (r *recipient) rewind(ranges []exchange.LaneRange) {
	for _, g := range ranges {
		c := r.cursors[laneOf(g)]
		c.seen, c.unsaved = c.durable, 0
	}
}

func laneOf(g exchange.LaneRange) store.LaneKey { return store.LaneKey{Class: g.Class, Lane: g.Lane} }

// pause waits while the recipient is backed off; it reports whether it did.
func (r *recipient) pause(ctx context.Context) bool {
	r.mu.Lock()
	left := r.back.left(r.d.opt.Clock.Monotonic())
	r.mu.Unlock()
	if left <= 0 {
		return false
	}
	sleep(ctx, left)
	return true
}

// sleep lets d pass, or ctx end.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// idle waits until something wakes the recipient, or so much time has gone by
// that a row may have become due.
func (r *recipient) idle(ctx context.Context) {
	t := time.NewTimer(r.d.opt.Sweep)
	defer t.Stop()
	select {
	case <-r.wake:
	case <-t.C:
		r.due.Store(true)
	case <-ctx.Done():
	}
}

// healthy closes the breaker: the recipient took something, or said what it
// thinks of it.
func (r *recipient) healthy() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.back.ok()
	r.spilled, r.most = false, min(2*r.most, r.d.opt.ParcelRecords)
	r.d.opt.Metrics.Recipient(r.system, RecipientIdle)
}

// unhealthy opens it, for at least as long as the recipient asked.
func (r *recipient) unhealthy(stopped bool, asked time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	state := RecipientBackoff
	if stopped {
		state, asked = RecipientStopped, max(asked, r.back.max)
		r.log.Error("recipient refuses the hub itself; its records wait", "system", string(r.system))
	}
	r.back.fail(r.d.opt.Clock.Monotonic(), min(asked, connectors.MaxRetryAfter))
	r.d.opt.Metrics.Recipient(r.system, state)
}
