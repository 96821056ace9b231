package delivery

import (
	"context"

	"raccordo/hub/exchange"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
)

// lanes takes the next parcel out of the windows: prompt lanes first.
func (r *recipient) lanes(ctx context.Context) (bool, error) {
	p := r.gather(false)
	if p == nil && r.d.opt.Clock.Monotonic()-r.saved >= saveAfter {
		r.saved = r.d.opt.Clock.Monotonic()
		p = r.gather(true)
	}
	if p == nil {
		return false, nil
	}
	if len(p.records) == 0 {
		return false, r.rewound(p, r.passOver(ctx, p))
	}
	if err := r.rewound(p, r.claim(ctx, p)); err != nil {
		return false, err
	}
	if r.open() == nil {
		return true, nil
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
	r.rewind(p.ranges)
	return err
}

// gather reads up to a parcel of records from the windows; none is opened yet.
// The ranges begin at the durable cursors, so that they join; with save also
// those in which there is nothing. Nil is nothing to be done.
func (r *recipient) gather(save bool) *parcel {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := newParcel(r.d.opt.Plan())
	fill := &filling{p: p, most: r.most, bytes: r.d.opt.ParcelBytes, save: save}
	for i := range r.d.windows {
		if fill.full {
			break
		}
		if w := r.d.windows[r.inTurn(i)]; !r.blocked[w.lane] {
			r.gatherLane(w, fill)
		}
	}
	r.turn++
	if len(p.ranges) == 0 {
		return nil
	}
	return p
}

// inTurn is the window that comes i-th in this parcel: prompt lanes stay before
// bulk ones, and among each the first is another one every time, so that lanes
// that fill every parcel leave room for the others.
func (r *recipient) inTurn(i int) int {
	n := r.d.opt.Lanes
	return i/n*n + (i%n+r.turn)%n
}

// filling is a parcel that is being filled.
type filling struct {
	p     *parcel
	most  int // records, and bytes of them, that still fit
	bytes int
	full  bool
	save  bool
}

// add takes the records that come of one place, all or none; the first ones
// always fit.
func (f *filling) add(records []*record, suspect bool) bool {
	if len(f.p.records) > 0 && (suspect || len(records) > f.most || f.bytes <= 0) {
		f.full = true
	}
	if f.full {
		return false
	}
	for _, rec := range records {
		f.bytes -= len(rec.sealed)
	}
	f.p.records = append(f.p.records, records...)
	f.most -= len(records)
	f.full = suspect || f.most <= 0 // a suspect goes alone, so that the next death names it
	return true
}

func (r *recipient) gatherLane(w *window, f *filling) {
	c := r.cursors[w.lane]
	at, frame, unsaved, took := c.seen, c.frame, c.unsaved, false
	for _, part := range w.after(at, 2*r.d.opt.ParcelRecords) {
		i := 0
		if part.offset == at.Offset {
			i = int(at.Passed)
		} else {
			unsaved++
		}
		stuck := false
		for ; i < len(part.Records); i++ {
			records := r.pick(f.p.plan, w.lane, part, i)
			if len(records) == 0 {
				continue
			}
			if !f.add(records, r.d.suspects.suspected(records[0].head.Record)) {
				stuck = true
				break
			}
			took = true
		}
		at, frame = exchange.Position{Offset: part.offset, Passed: uint32(i)}, part.Header.Frame
		if stuck {
			break
		}
	}
	if f.save && !took {
		if further, other, ok := r.d.beyond(w, at); ok {
			at, frame = further, other
		}
	}
	if at == c.seen && at == c.durable {
		return
	}
	moved := at != c.seen
	c.seen, c.frame, c.unsaved = at, frame, unsaved
	if !took && !f.save && unsaved < saveEvery {
		if moved {
			w.pass(r.system, at) // in memory only; the durable cursor follows
		}
		return
	}
	f.p.ranges = append(f.p.ranges, exchange.LaneRange{Class: w.lane.Class, Lane: w.lane.Lane, From: c.durable, To: at})
	f.p.frames[w.lane] = frame
}

// pick is record i of a part once for each of its flows that leads here.
func (r *recipient) pick(plan Plan, lane store.LaneKey, part *part, i int) []*record {
	var out []*record
	head := &part.Header.Records[i]
	for _, id := range head.Flows {
		if system, ok := r.d.leads(plan, id); !ok || system != r.system {
			continue
		}
		rec := fromPart(part, i, id, plan, lane, r.system)
		r.d.condemn(rec)
		out = append(out, rec)
	}
	return out
}

// passOver moves durable cursors over what is not this recipient's.
func (r *recipient) passOver(ctx context.Context, p *parcel) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	item := &ledger.Item{Needs: r.needs(p, nil), Decide: func(s *ledger.State) (*ledger.Change, error) {
		if err := r.owned(p, nil, s); err != nil {
			return nil, err
		}
		return &ledger.Change{Cursors: p.moves(r.system)}, nil
	}}
	if _, err := r.d.opt.Ledger.Submit(ctx, item); err != nil {
		return err
	}
	r.passed(p)
	return nil
}

// passed is called with mu held, once the store has the new cursors.
func (r *recipient) passed(p *parcel) {
	for _, g := range p.ranges {
		c := r.cursors[laneOf(g)]
		c.durable, c.unsaved = g.To, 0
		if c.seen.Before(g.To) {
			c.seen, c.frame = g.To, p.frames[laneOf(g)]
		}
		r.d.byLane[laneOf(g)].pass(r.system, g.To)
	}
}
