package delivery

import (
	"context"

	"raccordo/hub/exchange"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
)

// spill empties a recipient that is too far behind out of the windows: what it
// was sent stays claimed but comes from waiting from here on, and the next
// records of the range wait too (protocol.md 3.5). Nobody else waits for it.
func (r *recipient) spill(ctx context.Context, lane store.LaneKey) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, err := r.spillable(lane)
	if err != nil || len(p.ranges) == 0 {
		return err
	}
	var f *fates
	var held []*store.WaitingRow
	cur := r.current
	item := &ledger.Item{Needs: r.needs(p), Decide: func(s *ledger.State) (*ledger.Change, error) {
		var err error
		f, held, err = r.decideSpill(p, cur, s)
		if err != nil {
			return nil, err
		}
		return f.change, nil
	}}
	if cur != nil {
		item.Needs.Claims = []uint64{cur.seq}
	}
	if _, err := r.d.opt.Ledger.Submit(ctx, item); err != nil {
		return err
	}
	if cur != nil && held != nil {
		for i, rec := range cur.records {
			if held[i] != nil {
				rec.row = held[i]
			}
		}
		cur.ranges = nil
	}
	r.waits += int64(f.waits)
	r.passed(p.ranges)
	r.d.opt.Metrics.Spilled(r.system, f.waits)
	return nil
}

// spillable is what the recipient has not passed in a lane, up to a few
// parcels, behind the ranges of the open claim; those come along whole.
func (r *recipient) spillable(lane store.LaneKey) (*parcel, error) {
	p := &parcel{plan: r.d.opt.Plan(), frames: map[store.LaneKey]exchange.FrameID{}}
	if r.current != nil {
		p.ranges = append(p.ranges, r.current.ranges...)
		for k, v := range r.current.frames {
			p.frames[k] = v
		}
	}
	c := r.cursors[lane]
	from := c.durable
	at, index := from, -1
	for i, g := range p.ranges {
		if g.Class == lane.Class && g.Lane == lane.Lane {
			at, index = g.To, i
		}
	}
	for _, part := range r.d.window(lane).after(at, 2*r.d.opt.ParcelRecords) {
		i := 0
		if part.offset == at.Offset {
			i = int(at.Passed)
		}
		for ; i < len(part.Records); i++ {
			rec, err := r.pick(p.plan, lane, part, i)
			if err != nil {
				return nil, err
			}
			if rec != nil {
				p.records = append(p.records, rec)
			}
		}
		at, p.frames[lane] = exchange.Position{Offset: part.offset, Passed: uint32(len(part.Records))}, part.Header.Frame
		if len(p.records) >= 2*r.d.opt.ParcelRecords {
			break
		}
	}
	switch {
	case index >= 0:
		p.ranges[index].To = at
	case from.Before(at):
		p.ranges = append(p.ranges, exchange.LaneRange{Class: lane.Class, Lane: lane.Lane, From: from, To: at})
	}
	return p, nil
}

func (r *recipient) decideSpill(p, cur *parcel, s *ledger.State) (*fates, []*store.WaitingRow, error) {
	if err := r.owned(p, s); err != nil {
		return nil, nil, err
	}
	f := &fates{change: &ledger.Change{Draft: &ledger.Draft{Kind: exchange.KindSpill, System: r.system, Lanes: p.ranges}}}
	env := &setAside{system: r.system, plan: p.plan, sealer: r.d.opt.Sealer, at: s.Facts.Now()}
	var held []*store.WaitingRow
	if cur != nil && len(cur.ranges) > 0 {
		var err error
		if held, err = r.detach(cur, s, f, env); err != nil {
			return nil, nil, err
		}
	}
	for i, rec := range p.records {
		row, err := rec.waiting(store.RowID(s.Seq, len(held)+i), store.EventReady, exchange.ReasonSpilled, env)
		if err != nil {
			return nil, nil, err
		}
		r.putWaiting(rec, row, f)
		f.change.Draft.Rows = append(f.change.Draft.Rows, rec.rows(exchange.StateWaiting, exchange.ReasonSpilled, nil)...)
	}
	f.change.Cursors = p.moves(r.system)
	if len(f.change.Draft.Rows) == 0 && held == nil {
		f.change.Draft = nil
	}
	return f, held, nil
}

// detach turns a claim of ranges into a claim of waiting rows.
func (r *recipient) detach(cur *parcel, s *ledger.State, f *fates, env *setAside) ([]*store.WaitingRow, error) {
	claim := s.Claims[cur.seq]
	if claim == nil {
		return nil, errSettled
	}
	c := *claim
	c.Lanes, c.Rows = nil, append([]store.ClaimRow(nil), claim.Rows...)
	held := make([]*store.WaitingRow, len(cur.records))
	for i, rec := range cur.records {
		if !rec.claimed || rec.row != nil {
			continue
		}
		row, err := rec.waiting(store.RowID(s.Seq, i), store.EventReady, exchange.ReasonSpilled, env)
		if err != nil {
			return nil, err
		}
		row.State, row.Claim = store.WaitingClaimed, cur.seq
		f.waits++
		f.change.PutWaiting = append(f.change.PutWaiting, row)
		held[i] = &row
		for j := range c.Rows {
			if c.Rows[j].Record == rec.head.Record && c.Rows[j].Flow == rec.flowID {
				c.Rows[j].Waiting = row.ID
			}
		}
	}
	f.change.OpenClaims = []store.Claim{c}
	return held, nil
}
