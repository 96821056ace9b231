package delivery

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"raccordo/connectors"
	"raccordo/hub/exchange"
	"raccordo/hub/keys"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
)

// recipient takes records to one system. One parcel is in flight at a time;
// everything it writes is serialised by mu, so that a spill and the pump see
// the same claim and cursors.
type recipient struct {
	d      *Deliverer
	system exchange.SystemID
	sink   connectors.Sink // nil: an outlet
	outlet *Outlet
	log    *slog.Logger
	wake   chan struct{}

	mu      sync.Mutex
	cursors map[store.LaneKey]*cursor
	current *parcel // under an open claim
	waits   int64   // waiting rows, as far as this replica knows
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

func (r *recipient) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run delivers until ctx ends; the parcel under way is settled first.
func (r *recipient) run(ctx context.Context) {
	r.resume(ctx)
	for ctx.Err() == nil {
		if r.pause(ctx) {
			continue
		}
		drained, err := r.drain(ctx)
		r.note(ctx, err)
		if err != nil {
			continue
		}
		took, err := r.lanes(ctx)
		r.note(ctx, err)
		if err == nil && !drained && !took {
			r.idle(ctx)
		}
	}
}

// note turns what went wrong into a pause. Nothing was lost by it: what is not
// written is decided again.
func (r *recipient) note(ctx context.Context, err error) {
	switch {
	case err == nil || ctx.Err() != nil:
		return
	case errors.Is(err, errStopped):
		r.idle(ctx)
		return
	case errors.Is(err, ledger.ErrLaneLost):
		r.d.reload(r)
	}
	r.log.Warn("delivery is held up", "system", string(r.system), "error", err.Error())
	r.mu.Lock()
	r.back.fail(r.d.opt.Clock.Monotonic(), 0)
	r.mu.Unlock()
}

// pause waits while the recipient is backed off; it reports whether it did.
func (r *recipient) pause(ctx context.Context) bool {
	r.mu.Lock()
	left := r.back.left(r.d.opt.Clock.Monotonic())
	r.mu.Unlock()
	if left <= 0 {
		return false
	}
	r.sleep(ctx, left)
	return true
}

// sleep lets d pass, or ctx end.
func (r *recipient) sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// idle waits until a window changes, something wakes it, or a second has gone
// by in which a row may have become due.
func (r *recipient) idle(ctx context.Context) {
	t := time.NewTimer(r.d.opt.Sweep)
	defer t.Stop()
	select {
	case <-r.wake:
	case <-t.C:
	case <-ctx.Done():
	}
}

// lanes takes the next parcel out of the windows: prompt lanes first.
func (r *recipient) lanes(ctx context.Context) (bool, error) {
	p, err := r.gather()
	if p == nil || err != nil {
		return false, err
	}
	if len(p.records) == 0 {
		return false, r.rewound(p, r.passOver(ctx, p))
	}
	if err := r.rewound(p, r.claim(ctx, p)); err != nil {
		return false, err
	}
	return true, r.deliver(ctx, p)
}

// rewound goes back to the durable cursors if a parcel was not claimed.
func (r *recipient) rewound(p *parcel, err error) error {
	if err == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range p.ranges {
		c := r.cursors[store.LaneKey{Class: g.Class, Lane: g.Lane}]
		c.seen, c.unsaved = c.durable, 0
	}
	return err
}

// gather reads up to a parcel of records from the windows. The ranges begin at
// the durable cursors, so that they join.
func (r *recipient) gather() (*parcel, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := &parcel{plan: r.d.opt.Plan(), frames: map[store.LaneKey]exchange.FrameID{}}
	bytes, most := 0, r.d.opt.ParcelRecords
	if r.d.suspects.any() {
		most = 1 // one by one, so that the next death names the record
	}
	for _, w := range r.d.windows {
		if len(p.records) >= most || bytes >= r.d.opt.ParcelBytes {
			break
		}
		n, err := r.gatherLane(p, w, most, bytes)
		if err != nil {
			return nil, err
		}
		bytes += n
	}
	if len(p.ranges) == 0 {
		return nil, nil
	}
	return p, nil
}

func (r *recipient) gatherLane(p *parcel, w *window, most, used int) (int, error) {
	c := r.cursors[w.lane]
	at, frame, bytes, unsaved := c.seen, c.frame, 0, c.unsaved
	for _, part := range w.after(at, 4*r.d.opt.ParcelRecords) {
		i := 0
		if part.offset == at.Offset {
			i = int(at.Passed)
		} else {
			unsaved++
		}
		full := false
		for ; i < len(part.Records); i++ {
			rec, err := r.pick(p.plan, w.lane, part, i)
			if err != nil {
				return 0, err
			}
			if rec != nil {
				if len(p.records) >= most || used+bytes >= r.d.opt.ParcelBytes {
					full = true
					break
				}
				p.records = append(p.records, rec)
				bytes += len(part.Records[i])
			}
		}
		at, frame = exchange.Position{Offset: part.offset, Passed: uint32(i)}, part.Header.Frame
		if full {
			break
		}
	}
	if at == c.seen && at == c.durable {
		return 0, nil
	}
	c.seen, c.frame, c.unsaved = at, frame, unsaved
	if len(p.records) == 0 && unsaved < saveEvery {
		w.pass(r.system, at) // in memory only; the durable cursor follows
		return 0, nil
	}
	p.ranges = append(p.ranges, exchange.LaneRange{Class: w.lane.Class, Lane: w.lane.Lane, From: c.durable, To: at})
	p.frames[w.lane] = frame
	return bytes, nil
}

// pick opens record i of a part if some flow of it leads here. An error says
// that the keys cannot be reached: the record is neither passed nor parked.
func (r *recipient) pick(plan Plan, lane store.LaneKey, part *part, i int) (*record, error) {
	head := &part.Header.Records[i]
	for _, id := range head.Flows {
		flow := plan.Flow(id)
		if flow == nil && r.d.recipientOf(id) != r.system || flow != nil && flow.Recipient().System != r.system {
			continue
		}
		rec := &record{header: part.Header, head: head, flowID: id, flow: flow, lane: lane,
			sequence: sequenceOf(part.offset, i)}
		if r.d.suspects.condemned(head.Record) {
			rec.failure = exchange.ReasonSuspect
		}
		plain, err := r.d.opt.Sealer.Open(part.Records[i], exchange.RecordAAD(part.Header, part.HeaderDigest, i))
		if errors.Is(err, keys.ErrUnavailable) {
			return nil, err
		}
		if err != nil {
			rec.failure = exchange.ReasonUndecodable
		}
		rec.canonical = plain
		rec.open(r.d.opt.Limits)
		rec.ask()
		return rec, nil
	}
	return nil, nil
}

// passOver moves durable cursors over what is not this recipient's.
func (r *recipient) passOver(ctx context.Context, p *parcel) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	item := &ledger.Item{Needs: r.needs(p), Decide: func(s *ledger.State) (*ledger.Change, error) {
		if err := r.owned(p, s); err != nil {
			return nil, err
		}
		return &ledger.Change{Cursors: p.moves(r.system)}, nil
	}}
	if _, err := r.d.opt.Ledger.Submit(ctx, item); err != nil {
		return err
	}
	r.passed(p.ranges)
	return nil
}

// passed is called with mu held, once the store has the new cursors.
func (r *recipient) passed(ranges []exchange.LaneRange) {
	for _, g := range ranges {
		lane := store.LaneKey{Class: g.Class, Lane: g.Lane}
		c := r.cursors[lane]
		c.durable, c.unsaved = g.To, 0
		if c.seen.Before(g.To) {
			c.seen = g.To
		}
		r.d.window(lane).pass(r.system, g.To)
	}
}
