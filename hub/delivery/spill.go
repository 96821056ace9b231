package delivery

import (
	"context"
	"time"

	"raccordo/hub/exchange"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
)

// relieve keeps slow recipients from holding up the others: whoever keeps a
// window half full and does not get on is spilled (protocol.md 3.5).
func (d *Deliverer) relieve(ctx context.Context) {
	t := time.NewTicker(d.opt.SpillAfter)
	defer t.Stop()
	seen := map[store.CursorKey]int{}
	for {
		judged := false
		select {
		case <-t.C:
			judged = true
		case <-d.pressure:
		case <-ctx.Done():
			return
		}
		for _, w := range d.windows {
			if w.pressed() {
				d.relieveLane(ctx, w, judged, seen)
			}
		}
		if judged {
			d.remember(seen)
		}
	}
}

// remember notes how far everybody has come.
func (d *Deliverer) remember(seen map[store.CursorKey]int) {
	for _, w := range d.windows {
		for id := range d.recipients {
			seen[store.CursorKey{System: id, LaneKey: w.lane}] = w.count(id)
		}
	}
}

// relieveLane spills who has got through less than a quarter of a window since
// the last judgement; who was spilled and has taken nothing since is spilled at
// once.
func (d *Deliverer) relieveLane(ctx context.Context, w *window, judged bool, seen map[store.CursorKey]int) {
	for _, id := range w.laggards() {
		r := d.recipients[id]
		r.nudge() // it may only have had nothing to look for here
		before, known := seen[store.CursorKey{System: id, LaneKey: w.lane}]
		slow := judged && known && w.count(id)-before < w.maxParts/4
		if !slow && !r.still() {
			continue
		}
		for at := -1; w.pressed() && w.count(id) != at && ctx.Err() == nil; {
			at = w.count(id)
			if err := r.spill(ctx, w.lane); err != nil {
				if ctx.Err() == nil {
					d.opt.Logger.Warn("a recipient could not be spilled yet", "system", string(id), "error", err.Error())
				}
				break
			}
		}
	}
}

// still reports whether the recipient was spilled and has taken nothing since.
func (r *recipient) still() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.spilled
}

// spill empties a recipient that is too far behind out of a window: what it is
// being sent stays claimed but comes from waiting from here on, and the next
// records wait too. Nobody else waits for it.
func (r *recipient) spill(ctx context.Context, lane store.LaneKey) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.taking || r.blocked[lane] {
		return nil
	}
	p, err := r.spillable(lane)
	if err != nil || len(p.ranges) == 0 {
		return err
	}
	cur := r.current
	needs := r.needs(p, p.records)
	if cur != nil {
		needs.Claims = []uint64{cur.seq}
	}
	var k *docket
	var held []*store.WaitingRow
	item := &ledger.Item{Needs: needs, Decide: func(s *ledger.State) (*ledger.Change, error) {
		if err := r.owned(p, nil, s); err != nil {
			return nil, err
		}
		k = r.docket(p, s, exchange.KindSpill, p.records)
		var err error
		held, err = k.spill(cur)
		return k.change, err
	}}
	if _, err := r.d.opt.Ledger.Submit(ctx, item); err != nil {
		return err
	}
	if held != nil {
		for i, rec := range cur.records {
			if held[i] != nil {
				rec.row = held[i]
			}
		}
		cur.ranges = nil
	}
	r.passed(p)
	if k.waits > 0 {
		r.spilled = true
	}
	r.look()
	r.d.opt.Metrics.Spilled(r.system, k.waits)
	return nil
}

// spillable is what the recipient has not passed in a lane, up to a parcel,
// behind the ranges of the open claim; those come along whole.
func (r *recipient) spillable(lane store.LaneKey) (*parcel, error) {
	p := newParcel(r.d.opt.Plan())
	at, index := r.cursors[lane].durable, -1
	if r.current != nil {
		p.ranges = append(p.ranges, r.current.ranges...)
		for k, v := range r.current.frames {
			p.frames[k] = v
		}
	}
	for i, g := range p.ranges {
		if laneOf(g) == lane {
			at, index = g.To, i
		}
	}
	fill := &filling{p: p, most: r.d.opt.ParcelRecords, bytes: r.d.opt.ParcelBytes}
	for _, part := range r.d.byLane[lane].after(at, 2*r.d.opt.ParcelRecords) {
		i := 0
		if part.offset == at.Offset {
			i = int(at.Passed)
		}
		for ; i < len(part.Records); i++ {
			if records := r.pick(p.plan, lane, part, i); len(records) > 0 && !fill.add(records, false) {
				break
			}
		}
		at, p.frames[lane] = exchange.Position{Offset: part.offset, Passed: uint32(i)}, part.Header.Frame
		if fill.full {
			break
		}
	}
	if err := r.unseal(p.records); err != nil {
		return nil, err
	}
	switch from := r.cursors[lane].durable; {
	case index >= 0:
		p.ranges[index].To = at
	case from.Before(at):
		p.ranges = append(p.ranges, exchange.LaneRange{Class: lane.Class, Lane: lane.Lane, From: from, To: at})
	}
	return p, nil
}

// spill sets all records aside, behind those of the open claim, whose rows it
// gives.
func (k *docket) spill(cur *parcel) ([]*store.WaitingRow, error) {
	var held []*store.WaitingRow
	if cur != nil && len(cur.ranges) > 0 {
		var err error
		if held, err = k.detach(cur); err != nil {
			return nil, err
		}
	}
	for i, rec := range k.records {
		row, err := rec.waiting(store.RowID(k.s.Seq, len(held)+i), store.EventReady, exchange.ReasonSpilled, k.env)
		if err != nil {
			return nil, err
		}
		k.put(rec, row)
		k.account(rec, exchange.StateWaiting, exchange.ReasonSpilled, nil)
	}
	k.change.Cursors = k.p.moves(k.r.system)
	if held == nil {
		k.done()
	}
	return held, nil
}

// detach turns a claim of ranges into a claim of waiting rows.
func (k *docket) detach(cur *parcel) ([]*store.WaitingRow, error) {
	claim := k.s.Claims[cur.seq]
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
		row, err := rec.waiting(store.RowID(k.s.Seq, i), store.EventReady, exchange.ReasonSpilled, k.env)
		if err != nil {
			return nil, err
		}
		row.State, row.Claim = store.WaitingClaimed, cur.seq
		k.change.PutWaiting = append(k.change.PutWaiting, row)
		held[i] = &row
		for j := range c.Rows {
			if c.Rows[j].Record == rec.head.Record && c.Rows[j].Flow == rec.flowID {
				c.Rows[j].Waiting = row.ID
			}
		}
	}
	k.change.OpenClaims = []store.Claim{c}
	return held, nil
}
