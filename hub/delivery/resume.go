package delivery

import (
	"context"
	"errors"
	"fmt"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

// resume takes up the claims that were open when the hub stopped: what became
// of their sends is unknown, so they wait send_timeout, are decided again, and
// are sent again under the same disclosure ids (protocol.md 5.6).
func (r *recipient) resume(ctx context.Context) {
	if r.sink == nil {
		return
	}
	var claims []store.Claim
	for {
		err := r.d.opt.Views.View(ctx, func(tx store.ReadTx) (err error) {
			claims, err = tx.OpenClaims()
			return err
		})
		if err == nil {
			break
		}
		r.note(ctx, err)
		if r.pause(ctx); ctx.Err() != nil {
			return
		}
	}
	for _, c := range claims {
		if c.System != r.system || c.Fetch {
			continue
		}
		r.takeUp(ctx, &c)
	}
}

func (r *recipient) takeUp(ctx context.Context, c *store.Claim) {
	r.log.Info("resolving a claim left open", "system", string(r.system), "seq", c.Seq, "records", len(c.Rows))
	for ctx.Err() == nil {
		p, err := r.rebuild(ctx, c)
		if err == nil {
			r.mu.Lock()
			r.current = p
			r.mu.Unlock()
			r.sleep(ctx, r.d.opt.SendTimeout)
			if err = r.renew(ctx, p); err == nil {
				err = r.deliver(ctx, p)
			}
		}
		if err == nil || errors.Is(err, errSettled) {
			return
		}
		r.note(ctx, err)
		r.pause(ctx)
	}
}

// rebuild finds the records of an open claim again, in the lanes or in waiting.
func (r *recipient) rebuild(ctx context.Context, c *store.Claim) (*parcel, error) {
	p := &parcel{plan: r.d.opt.Plan(), seq: c.Seq, ranges: c.Lanes, frames: map[store.LaneKey]exchange.FrameID{}}
	wanted := make(map[exchange.RecordID]*store.ClaimRow, len(c.Rows))
	var ids []uint64
	for i := range c.Rows {
		if c.Rows[i].Waiting != 0 {
			ids = append(ids, c.Rows[i].Waiting)
		}
		wanted[c.Rows[i].Record] = &c.Rows[i]
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
	for _, rec := range p.records {
		rec.claimed = true
		rec.attempt = wanted[rec.head.Record].Attempt
		rec.mark = wanted[rec.head.Record].Mark.Raise(exchange.MarkPossibly)
	}
	return p, nil
}

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
		rec, err := r.fromRow(&rows[i], p.plan)
		if err != nil {
			return err
		}
		p.records = append(p.records, rec)
	}
	return nil
}

// rebuildRange waits until the window has read the whole range.
func (r *recipient) rebuildRange(ctx context.Context, p *parcel, g exchange.LaneRange, wanted map[exchange.RecordID]*store.ClaimRow) error {
	lane := store.LaneKey{Class: g.Class, Lane: g.Lane}
	w := r.d.window(lane)
	for {
		changed := w.wait()
		parts := w.after(g.From, 1<<20)
		if n := len(parts); n > 0 && parts[n-1].offset >= g.To.Offset {
			return r.pickRange(p, lane, g, parts, wanted)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *recipient) pickRange(p *parcel, lane store.LaneKey, g exchange.LaneRange, parts []*part, wanted map[exchange.RecordID]*store.ClaimRow) error {
	for _, part := range parts {
		for i := range part.Records {
			at := exchange.Position{Offset: part.offset, Passed: uint32(i + 1)}
			if !g.From.Before(at) || g.To.Before(at) || wanted[part.Header.Records[i].Record] == nil {
				continue
			}
			rec, err := r.pick(p.plan, lane, part, i)
			if err != nil {
				return err
			}
			if rec != nil {
				p.records = append(p.records, rec)
			}
		}
		if part.offset == g.To.Offset {
			p.frames[lane] = part.Header.Frame
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.cursors[lane]; c.seen.Before(g.To) { // never decided as new
		c.seen = g.To
	}
	return nil
}
