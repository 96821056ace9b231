package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"raccordo/hub/exchange"
	"raccordo/hub/gate"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
)

// Errors that mean "decide again": nothing was written.
var (
	errRedecide  = errors.New("the facts changed since the parcel was prepared")
	errStalePlan = errors.New("the network changed since the parcel was prepared")
	errStopped   = errors.New("disclosures are stopped")
)

// parcel is what is claimed, sent and settled together.
type parcel struct {
	plan    Plan
	records []*record            // of the recipient, in lane order
	ranges  []exchange.LaneRange // what the claim gives its fate to; empty if out of waiting
	frames  map[store.LaneKey]exchange.FrameID

	seq       uint64        // of the open claim, 0 if there is none
	committed time.Duration // monotonic, when the claim or renewal was durable
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
		lane := store.LaneKey{Class: g.Class, Lane: g.Lane}
		out = append(out, store.CursorMove{Key: store.CursorKey{System: system, LaneKey: lane}, Expect: g.From,
			To: store.Cursor{Position: g.To, Frame: p.frames[lane]}})
	}
	return out
}

// claim gives every record of the parcel its fate in one entry (protocol.md
// 5.2). It prepares and tries again while facts or network change under it.
func (r *recipient) claim(ctx context.Context, p *parcel) error {
	if err := r.d.suspects.begin(r.system, p.records); err != nil {
		return err
	}
	defer r.d.suspects.end(r.system)
	for {
		if err := r.prepare(ctx, p); err != nil {
			return err
		}
		err := r.submitClaim(ctx, p)
		switch {
		case errors.Is(err, errStalePlan):
			r.replan(p)
		case errors.Is(err, errRedecide):
		default:
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// replan puts the parcel under the network in force now.
func (r *recipient) replan(p *parcel) {
	p.plan = r.d.opt.Plan()
	for _, rec := range p.records {
		rec.flow = p.plan.Flow(rec.flowID)
		if rec.failure == exchange.ReasonFormatMismatch || rec.failure == exchange.ReasonMappingFailed {
			rec.failure, rec.faults = "", nil
		}
		rec.ask()
	}
}

// prepare decides ahead and makes the bytes, outside any lock.
func (r *recipient) prepare(ctx context.Context, p *parcel) error {
	var f *ledger.Facts
	err := r.d.opt.Views.View(ctx, func(tx store.ReadTx) (err error) {
		f, err = facts(tx, p.records, r.d.opt.Clock.Now())
		return err
	})
	if err != nil {
		return fmt.Errorf("read facts ahead: %w", err)
	}
	for _, rec := range p.records {
		if rec.name == "" && r.outlet != nil {
			rec.name = r.sampleName(rec)
		}
		rec.prepare(f)
	}
	return nil
}

func (r *recipient) submitClaim(ctx context.Context, p *parcel) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var fates *fates
	item := &ledger.Item{Needs: r.needs(p), Decide: func(s *ledger.State) (*ledger.Change, error) {
		var err error
		fates, err = r.decide(p, s)
		if err != nil {
			return nil, err
		}
		return fates.change, nil
	}}
	res, err := r.d.opt.Ledger.Submit(ctx, item)
	if err != nil {
		return err
	}
	p.committed = r.d.opt.Clock.Monotonic()
	for i, rec := range p.records {
		if rec.claimed = fates.claimed[i]; rec.claimed {
			rec.attempt++
		}
	}
	if fates.open > 0 {
		p.seq, r.current = res.Seq, p
		r.d.opt.Metrics.Claimed(r.system, fates.open)
	} else {
		r.passed(p.ranges)
	}
	r.waits += int64(fates.waits)
	return nil
}

func (r *recipient) needs(p *parcel) ledger.Needs {
	n := ledger.Needs{Subjects: subjectsOf(p.records)}
	for _, g := range p.ranges {
		lane := store.LaneKey{Class: g.Class, Lane: g.Lane}
		n.Lanes = append(n.Lanes, lane)
		n.Cursors = append(n.Cursors, store.CursorKey{System: r.system, LaneKey: lane})
	}
	for _, rec := range p.records {
		if rec.row != nil {
			n.Waiting = append(n.Waiting, rec.row.ID)
		} else {
			n.Queues = append(n.Queues, rec.queue())
		}
	}
	return n
}

// fates is what a claim decides for every record.
type fates struct {
	change  *ledger.Change
	claimed []bool
	open    int
	waits   int // rows that began to wait less those that ended
}

// decide runs under the lock of the head. It is pure but for sealing what is
// set aside.
func (r *recipient) decide(p *parcel, s *ledger.State) (*fates, error) {
	if err := r.fenced(p, s); err != nil {
		return nil, err
	}
	f := &fates{claimed: make([]bool, len(p.records)), change: &ledger.Change{Draft: &ledger.Draft{
		Kind: exchange.KindClaim, System: r.system, Lanes: p.ranges}}}
	env := &setAside{system: r.system, plan: p.plan, sealer: r.d.opt.Sealer, at: s.Facts.Now()}
	queued := map[store.QueueKey]bool{}
	claim := store.Claim{Seq: s.Seq, System: r.system, Lanes: p.ranges, At: s.Facts.Now().UnixMilli()}
	for i, rec := range p.records {
		c, err := r.decideOne(rec, i, s, f, env, queued)
		if err != nil {
			return nil, err
		}
		if c != nil {
			claim.Rows = append(claim.Rows, *c)
			f.claimed[i] = true
		}
	}
	f.open = len(claim.Rows)
	if f.open > 0 {
		f.change.OpenClaims = []store.Claim{claim}
	} else {
		f.change.Cursors = p.moves(r.system)
	}
	if len(f.change.Draft.Rows) == 0 {
		f.change.Draft = nil // nothing of this recipient: passing over is no fact
	}
	return f, nil
}

// fenced refuses a parcel decided under another network or while disclosures
// are stopped, and what [recipient.owned] refuses.
func (r *recipient) fenced(p *parcel, s *ledger.State) error {
	switch {
	case s.Head.Network != p.plan.Digest():
		return errStalePlan
	case s.Head.Stopped && len(p.records) > 0:
		return errStopped
	}
	return r.owned(p, s)
}

// owned refuses what an owner the lane no longer has, or one that believes
// itself elsewhere, wants to write.
func (r *recipient) owned(p *parcel, s *ledger.State) error {
	for _, g := range p.ranges {
		lane := store.LaneKey{Class: g.Class, Lane: g.Lane}
		at, ok := s.Cursors[store.CursorKey{System: r.system, LaneKey: lane}]
		if !ok {
			at.Position = exchange.Start()
		}
		if s.Epochs[lane] != r.d.epochs[lane] || at.Position != g.From {
			return ledger.ErrLaneLost
		}
	}
	return nil
}

// decideOne adds the fate of one record to f; a claimed one gives its row.
func (r *recipient) decideOne(rec *record, i int, s *ledger.State, f *fates, env *setAside, queued map[store.QueueKey]bool) (*store.ClaimRow, error) {
	if rec.row != nil {
		at := s.Waiting[rec.row.ID]
		if at == nil || at.State != store.WaitingIdle || at.Attempt != rec.row.Attempt {
			return nil, nil // somebody else took it
		}
		rec.row = at
	} else if key := rec.queue(); s.Queues[key].Rows > 0 || queued[key] {
		queued[key] = true
		return nil, r.setAside(rec, i, s, f, env, store.EventReady, exchange.ReasonQueued, nil)
	}
	if rec.failure != "" && rec.failure != exchange.ReasonFormatMismatch {
		return nil, r.park(rec, i, s, f, env, rec.failure)
	}
	d := gate.Decide(&rec.question, s.Facts)
	switch d.Outcome {
	case exchange.OutcomePermit:
		if !rec.ahead.Same(&d) {
			return nil, errRedecide
		}
		if rec.failure != "" {
			return nil, r.park(rec, i, s, f, env, rec.failure)
		}
		if r.outlet != nil {
			queued[rec.queue()] = true
			return nil, r.offer(rec, i, s, f, env, &d)
		}
		return r.take(rec, s.Seq, f, &d), nil
	case exchange.OutcomeHold:
		queued[rec.queue()] = true
		return nil, r.setAside(rec, i, s, f, env, eventOf(d.Event), d.Reason, &d)
	default:
		r.end(rec, f, exchange.StateWithheld, d.Reason, &d)
		return nil, nil
	}
}

// take claims a record that is about to be sent, under the claim seq. The
// record itself counts the attempt only once that is durable.
func (r *recipient) take(rec *record, seq uint64, f *fates, d *gate.Decision) *store.ClaimRow {
	next := *rec
	next.attempt++
	f.change.Draft.Rows = append(f.change.Draft.Rows, next.rows(exchange.StateClaimed, exchange.ReasonPermitted, d)...)
	c := &store.ClaimRow{Record: rec.head.Record, Flow: rec.flowID, Subjects: rec.subjects(), Attempt: next.attempt,
		Sequence: rec.sequence, Mark: rec.mark, Basis: make([]uint64, len(d.Subjects))}
	for j := range d.Subjects {
		c.Basis[j] = d.Subjects[j].Basis
	}
	if rec.row != nil {
		c.Waiting = rec.row.ID
		row := *rec.row
		row.State, row.Claim, row.Attempt, row.Mark = store.WaitingClaimed, seq, next.attempt, rec.mark
		f.change.UpdateWaiting = append(f.change.UpdateWaiting, row)
	}
	return c
}

// setAside lets a record wait for an event.
func (r *recipient) setAside(rec *record, i int, s *ledger.State, f *fates, env *setAside, ev store.Event, why exchange.Reason, d *gate.Decision) error {
	row, err := rec.waiting(store.RowID(s.Seq, i), ev, why, env)
	if err != nil {
		return err
	}
	if d != nil {
		row.Subject, row.Deadline = d.Await, d.Until.UnixMilli()
	}
	r.putWaiting(rec, row, f)
	f.change.Draft.Rows = append(f.change.Draft.Rows, rec.rows(exchange.StateWaiting, why, d)...)
	return nil
}

func (r *recipient) putWaiting(rec *record, row store.WaitingRow, f *fates) {
	if rec.row != nil {
		f.change.UpdateWaiting = append(f.change.UpdateWaiting, row)
		return
	}
	f.waits++
	f.change.PutWaiting = append(f.change.PutWaiting, row)
}

// park sets a record aside for a human.
func (r *recipient) park(rec *record, i int, s *ledger.State, f *fates, env *setAside, why exchange.Reason) error {
	row, err := rec.parked(store.RowID(s.Seq, i), why, env)
	if err != nil {
		return err
	}
	f.change.PutParked = append(f.change.PutParked, row)
	r.end(rec, f, exchange.StateParked, why, nil)
	return nil
}

// end accounts the end of a record, by its mark.
func (r *recipient) end(rec *record, f *fates, state exchange.State, why exchange.Reason, d *gate.Decision) {
	f.change.Draft.Rows = append(f.change.Draft.Rows, rec.rows(rec.mark.End(state), why, d)...)
	if rec.row != nil {
		f.waits--
		f.change.DeleteWaiting = append(f.change.DeleteWaiting, rec.row.ID)
	}
}

func eventOf(e gate.Event) store.Event {
	switch e {
	case gate.EventConsent:
		return store.EventConsent
	case gate.EventDossier:
		return store.EventDossier
	}
	return store.EventReady
}
