package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

// errGap says that an open claim names what the stream does not hold.
var errGap = errors.New("an open claim names records that the stream does not hold")

// claimed names a record of a claim.
type claimed struct {
	record exchange.RecordID
	flow   exchange.FlowID
}

// resume takes up the claims that were open when the lanes were taken: what
// became of their sends is unknown, so once send_timeout has passed they are
// decided again, and sent again under the same disclosure ids (protocol.md
// 5.6). Its error is that of ctx.
func (r *recipient) resume(ctx context.Context) error {
	if len(r.left) == 0 {
		return nil
	}
	r.mu.Lock()
	r.taking = true
	r.mu.Unlock()
	var parcels []*parcel
	for i := range r.left {
		p, err := r.takeUp(ctx, &r.left[i])
		if err != nil {
			return err
		}
		if p != nil {
			parcels = append(parcels, p)
		}
	}
	// One at most holds ranges, since those are passed before more is claimed.
	slices.SortStableFunc(parcels, func(a, b *parcel) int { return len(b.ranges) - len(a.ranges) })
	r.mu.Lock()
	r.left, r.taking = nil, false
	if len(parcels) > 0 {
		r.current = parcels[0]
	}
	r.mu.Unlock()
	sleep(ctx, r.d.taken+r.d.opt.SendTimeout-r.d.opt.Clock.Monotonic())
	for _, p := range parcels {
		if err := r.finish(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// finish resolves a claim that was taken up.
func (r *recipient) finish(ctx context.Context, p *parcel) error {
	r.mu.Lock()
	r.current = p
	r.mu.Unlock()
	for r.open() == p {
		if err := ctx.Err(); err != nil {
			return err
		}
		if r.pause(ctx) {
			continue
		}
		if err := r.deliver(ctx, p); err != nil {
			r.note(ctx, err)
		}
	}
	return nil
}

// takeUp finds the records of an open claim again, in the lanes or in waiting.
// It gives nil for a claim that cannot be resolved before an operator has
// looked: then its lanes are closed to this recipient.
func (r *recipient) takeUp(ctx context.Context, c *store.Claim) (*parcel, error) {
	r.log.Info("resolving a claim left open", "system", string(r.system), "seq", c.Seq, "records", len(c.Rows))
	for _, g := range c.Lanes {
		if r.d.Quarantined()[laneOf(g)] != "" {
			r.block(c)
			return nil, nil
		}
	}
	var p *parcel
	for {
		var err error
		if p == nil {
			p, err = r.rebuild(ctx, c)
		}
		if err == nil {
			if err = r.unseal(p.records); err == nil {
				return p, nil
			}
		}
		if errors.Is(err, errGap) {
			r.log.Error("a claim cannot be resolved", "system", string(r.system), "seq", c.Seq, "error", err.Error())
			for _, g := range c.Lanes {
				r.d.isolate(laneOf(g), err.Error())
			}
			r.block(c)
			return nil, nil
		}
		r.note(ctx, err)
		r.pause(ctx)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

// block closes the lanes of a claim to this recipient, whose cursors stay where
// they are; the others go on.
func (r *recipient) block(c *store.Claim) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range c.Lanes {
		if r.blocked == nil {
			r.blocked = map[store.LaneKey]bool{}
		}
		r.blocked[laneOf(g)] = true
		r.d.byLane[laneOf(g)].leave(r.system)
	}
}

// unseal opens all records; an error says that the keys cannot be reached.
func (r *recipient) unseal(records []*record) error {
	for _, rec := range records {
		if err := rec.unseal(r.d.opt.Sealer); err != nil {
			return err
		}
	}
	return nil
}

func (r *recipient) rebuild(ctx context.Context, c *store.Claim) (*parcel, error) {
	p := newParcel(r.d.opt.Plan())
	p.seq, p.ranges = c.Seq, c.Lanes
	p.mixed = true // what else was decided of the ranges is not known
	wanted := make(map[claimed]*store.ClaimRow, len(c.Rows))
	var ids []uint64
	for i := range c.Rows {
		if c.Rows[i].Waiting != 0 {
			ids = append(ids, c.Rows[i].Waiting)
		}
		wanted[claimed{c.Rows[i].Record, c.Rows[i].Flow}] = &c.Rows[i]
	}
	if len(ids) > 0 {
		if err := r.rebuildWaiting(ctx, p, ids); err != nil {
			return nil, err
		}
	}
	for _, g := range c.Lanes {
		if err := r.rebuildRange(ctx, p, g, wanted); err != nil {
			return nil, err
		}
	}
	if len(p.records) != len(wanted) {
		return nil, errGap
	}
	for _, rec := range p.records {
		row := wanted[claimed{rec.head.Record, rec.flowID}]
		if row == nil {
			return nil, errGap
		}
		rec.claimed, rec.attempt, rec.mark = true, row.Attempt, row.Mark.Raise(exchange.MarkPossibly)
		rec.granted.Subjects = rec.shown(row.Subjects)
	}
	return p, nil
}

// rebuildWaiting reads rows that were claimed.
func (r *recipient) rebuildWaiting(ctx context.Context, p *parcel, ids []uint64) error {
	var rows []store.WaitingRow
	err := r.d.opt.Views.View(ctx, func(tx store.ReadTx) (err error) {
		rows, err = tx.Waiting(ids)
		return err
	})
	if err != nil {
		return fmt.Errorf("read claimed rows: %w", err)
	}
	for i := range rows {
		p.records = append(p.records, r.fromRow(&rows[i], p.plan))
	}
	return nil
}

// rebuildRange reads a range in the window, passing it over as it goes, so that
// a long one does not have to fit.
func (r *recipient) rebuildRange(ctx context.Context, p *parcel, g exchange.LaneRange, wanted map[claimed]*store.ClaimRow) error {
	w := r.d.byLane[laneOf(g)]
	at := g.From
	for at.Before(g.To) {
		changed := w.wait()
		parts := w.after(at, 256)
		for _, part := range parts {
			if part.offset > g.To.Offset {
				return errGap
			}
			r.pickRange(p, part, g, at, wanted)
			at = part.end()
			if part.offset == g.To.Offset {
				at = g.To
				p.frames[w.lane] = part.Header.Frame
				break
			}
		}
		w.pass(r.system, at)
		if len(parts) > 0 {
			continue
		}
		if why := r.d.Quarantined()[w.lane]; why != "" {
			return errGap
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.cursors[w.lane]; c.seen.Before(g.To) { // never decided as new
		c.seen, c.frame = g.To, p.frames[w.lane]
	}
	return nil
}

func (r *recipient) pickRange(p *parcel, part *part, g exchange.LaneRange, at exchange.Position, wanted map[claimed]*store.ClaimRow) {
	i := 0
	if part.offset == at.Offset {
		i = int(at.Passed)
	}
	for ; i < len(part.Records) && (part.offset < g.To.Offset || i < int(g.To.Passed)); i++ {
		head := &part.Header.Records[i]
		for _, id := range head.Flows {
			row := wanted[claimed{head.Record, id}]
			if row == nil || row.Waiting != 0 {
				continue
			}
			rec := fromPart(part, i, id, p.plan, laneOf(g), r.system)
			r.d.condemn(rec)
			p.records = append(p.records, rec)
		}
	}
}
