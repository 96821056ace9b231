package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"raccordo/hub/exchange"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
)

// Errors that mean that nothing was written.
var (
	errRedecide  = errors.New("the facts changed since the parcel was prepared")
	errStalePlan = errors.New("the network changed since the parcel was prepared")
	errStopped   = errors.New("disclosures are stopped")
	errMoved     = errors.New("the cursor was moved meanwhile")
	errSettled   = errors.New("the claim is no longer open")
)

// redecisions bounds how often a parcel is decided again at once; whatever
// changes faster than that is waited out.
const redecisions = 16

// parcel is what is claimed, sent and settled together.
type parcel struct {
	plan    Plan
	records []*record            // of the recipient, in lane order
	ranges  []exchange.LaneRange // what the claim gives its fate to; empty if out of waiting
	frames  map[store.LaneKey]exchange.FrameID

	seq       uint64        // of the open claim, 0 if there is none
	committed time.Duration // monotonic, not after the claim or renewal was durable
	fresh     bool          // claimed or renewed, and not sent since
	mixed     bool          // some record of the ranges had another fate
	failures  int           // attempts that nothing came of
	results   []result      // of the last attempt
	settling  bool          // what is left to do is to settle them
}

func newParcel(plan Plan) *parcel {
	return &parcel{plan: plan, frames: map[store.LaneKey]exchange.FrameID{}}
}

// open are the claimed records that are not settled.
func (p *parcel) open() []*record {
	out := make([]*record, 0, len(p.records))
	for _, r := range p.records {
		if r.claimed {
			out = append(out, r)
		}
	}
	return out
}

// moves pass the parcel's ranges.
func (p *parcel) moves(system exchange.SystemID) []store.CursorMove {
	out := make([]store.CursorMove, 0, len(p.ranges))
	for _, g := range p.ranges {
		out = append(out, store.CursorMove{Key: store.CursorKey{System: system, LaneKey: laneOf(g)}, Expect: g.From,
			To: store.Cursor{Position: g.To, Frame: p.frames[laneOf(g)]}})
	}
	return out
}

// claim gives every record of the parcel its fate in one entry (protocol.md
// 5.2). It prepares and tries again while facts or network change under it.
func (r *recipient) claim(ctx context.Context, p *parcel) error {
	return r.settled(ctx, p, p.records, func() error { return r.submitClaim(ctx, p) })
}

// settled prepares records and submits, again and again until facts and
// network hold still in between.
func (r *recipient) settled(ctx context.Context, p *parcel, records []*record, submit func() error) error {
	for range redecisions {
		if err := r.prepare(ctx, records); err != nil {
			return err
		}
		err := submit()
		switch {
		case errors.Is(err, errStalePlan):
			if !r.replan(p) {
				return err // this replica does not have the new one yet
			}
		case errors.Is(err, errRedecide):
		default:
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return errRedecide
}

// replan puts the parcel under the network in force now; false if that is the
// one it was under.
func (r *recipient) replan(p *parcel) bool {
	plan := r.d.opt.Plan()
	if plan.Digest() == p.plan.Digest() {
		return false
	}
	r.mu.Lock() // a spill reads the records of an open claim
	defer r.mu.Unlock()
	p.plan = plan
	for _, rec := range p.records {
		rec.under(plan)
	}
	return true
}

// prepare opens records, decides ahead and makes the bytes, outside any lock.
// While disclosures are stopped nothing is opened.
func (r *recipient) prepare(ctx context.Context, records []*record) error {
	var f *ledger.Facts
	err := r.d.opt.Views.View(ctx, func(tx store.ReadTx) (err error) {
		f, err = facts(tx, records, r.d.opt.Clock.Now())
		return err
	})
	if err != nil {
		return fmt.Errorf("read facts ahead: %w", err)
	}
	if f.Stopped() && len(records) > 0 {
		return errStopped
	}
	if err := r.unseal(records); err != nil {
		return err
	}
	for _, rec := range records {
		if rec.name == "" && r.outlet != nil && rec.flow != nil {
			rec.name = r.sampleName(rec)
		}
	}
	done, err := r.d.suspects.begin(records)
	if err != nil {
		return err
	}
	for _, rec := range records {
		rec.prepare(f, r.d.gate, r.maxBody)
	}
	return done(context.WithoutCancel(ctx))
}

func (r *recipient) submitClaim(ctx context.Context, p *parcel) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var k *docket
	item := &ledger.Item{Needs: r.needs(p, p.records), Decide: func(s *ledger.State) (*ledger.Change, error) {
		if err := r.fenced(p, p.records, s); err != nil {
			return nil, err
		}
		k = r.docket(p, s, exchange.KindClaim, p.records)
		return k.claims()
	}}
	before := r.d.opt.Clock.Monotonic()
	res, err := r.d.opt.Ledger.Submit(ctx, item)
	if err != nil {
		return err
	}
	k.apply()
	if len(k.open) == 0 {
		r.passed(p)
		return nil
	}
	p.seq, p.committed, p.fresh, r.current = res.Seq, before, true, p
	p.mixed = len(k.open) < len(p.records)
	r.d.opt.Metrics.Claimed(r.system, len(k.open))
	return nil
}

// needs are what a claim of these records reads under the lock: for those from
// a lane whether their persons have a queue, for the others their rows.
func (r *recipient) needs(p *parcel, records []*record) ledger.Needs {
	n := ledger.Needs{Subjects: subjectsOf(records)}
	for _, g := range p.ranges {
		n.Lanes = append(n.Lanes, laneOf(g))
		n.Cursors = append(n.Cursors, store.CursorKey{System: r.system, LaneKey: laneOf(g)})
	}
	for _, rec := range records {
		if rec.row == nil {
			n.Queues = append(n.Queues, rec.queue())
			continue
		}
		n.Waiting = append(n.Waiting, rec.row.ID)
		if !slices.Contains(n.Lanes, rec.lane) {
			n.Lanes = append(n.Lanes, rec.lane)
		}
	}
	return n
}

// fenced refuses a parcel decided under another network or while disclosures
// are stopped, and what [recipient.owned] refuses.
func (r *recipient) fenced(p *parcel, records []*record, s *ledger.State) error {
	switch {
	case s.Head.Network != p.plan.Digest():
		return errStalePlan
	case s.Head.Stopped && len(records) > 0:
		return errStopped
	}
	return r.owned(p, records, s)
}

// owned refuses what an owner the lane no longer has, or one that believes
// itself elsewhere, wants to write.
func (r *recipient) owned(p *parcel, records []*record, s *ledger.State) error {
	for _, rec := range records {
		if rec.row != nil && s.Epochs[rec.lane] != r.d.epochs[rec.lane] {
			return ledger.ErrLaneLost
		}
	}
	for _, g := range p.ranges {
		lane := laneOf(g)
		at, ok := s.Cursors[store.CursorKey{System: r.system, LaneKey: lane}]
		if !ok {
			at.Position = exchange.Start()
		}
		if s.Epochs[lane] != r.d.epochs[lane] {
			return ledger.ErrLaneLost
		}
		if at.Position != g.From {
			return errMoved
		}
	}
	return nil
}
