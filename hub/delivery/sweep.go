package delivery

import (
	"context"
	"time"

	"raccordo/hub/exchange"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
)

const sweepBatch = 500

// sweep ends what has come to its deadline and releases what waits for an
// event that has already happened (protocol.md 6.1).
func (d *Deliverer) sweep(ctx context.Context) {
	t := time.NewTicker(d.opt.Sweep)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		if err := d.expire(ctx); err != nil && ctx.Err() == nil {
			d.opt.Logger.Warn("sweep of deadlines is held up", "error", err.Error())
		}
		if err := d.rouse(ctx); err != nil && ctx.Err() == nil {
			d.opt.Logger.Warn("sweep of events is held up", "error", err.Error())
		}
	}
}

// expire ends rows whose deadline has come: expired, or, where a byte may have
// left, possibly delivered.
func (d *Deliverer) expire(ctx context.Context) error {
	var rows []store.WaitingRow
	err := d.opt.Views.View(ctx, func(tx store.ReadTx) (err error) {
		rows, err = tx.Expired(d.opt.Clock.Now().UnixMilli(), sweepBatch)
		return err
	})
	if err != nil || len(rows) == 0 {
		return err
	}
	bySystem := map[exchange.SystemID][]*store.WaitingRow{}
	for i := range rows {
		bySystem[rows[i].System] = append(bySystem[rows[i].System], &rows[i])
	}
	for system, rows := range bySystem {
		if err := d.expireOf(ctx, system, rows); err != nil {
			return err
		}
	}
	return nil
}

func (d *Deliverer) expireOf(ctx context.Context, system exchange.SystemID, rows []*store.WaitingRow) error {
	r := d.recipients[system]
	plan := d.opt.Plan()
	var records []*record
	needs := ledger.Needs{}
	for _, row := range rows {
		rec, err := openRow(row, plan, d.opt.Sealer)
		if err != nil {
			return err
		}
		rec.ask()
		records = append(records, rec)
		needs.Waiting = append(needs.Waiting, row.ID)
	}
	var f *fates
	item := &ledger.Item{Needs: needs, Decide: func(s *ledger.State) (*ledger.Change, error) {
		f = &fates{change: &ledger.Change{Draft: &ledger.Draft{Kind: exchange.KindExpiry, System: system}}}
		now := s.Facts.Now().UnixMilli()
		for _, rec := range records {
			at := s.Waiting[rec.row.ID]
			if at == nil || at.State == store.WaitingClaimed && at.Lease > now || at.Deadline == 0 || at.Deadline > now {
				continue
			}
			rec.row, rec.mark, rec.attempt = at, at.Mark, at.Attempt
			r.end(rec, f, exchange.StateExpired, endReason(at), nil)
		}
		if len(f.change.Draft.Rows) == 0 {
			return nil, nil
		}
		return f.change, nil
	}}
	if _, err := d.opt.Ledger.Submit(ctx, item); err != nil {
		return err
	}
	if r != nil {
		r.mu.Lock()
		r.waits += int64(f.waits)
		r.mu.Unlock()
		r.nudge()
	}
	return nil
}

func endReason(row *store.WaitingRow) exchange.Reason {
	if row.Event == store.EventFetch {
		return exchange.ReasonLeaseExpired
	}
	return exchange.ReasonHoldExpired
}

// rouse makes rows ready whose event happened without waking them.
func (d *Deliverer) rouse(ctx context.Context) error {
	var rows []store.WaitingRow
	err := d.opt.Views.View(ctx, func(tx store.ReadTx) (err error) {
		rows, err = tx.StaleConsentWaits(d.opt.Clock.Now().UnixMilli(), 0, sweepBatch)
		return err
	})
	if err != nil || len(rows) == 0 {
		return err
	}
	ids := make([]uint64, len(rows))
	for i := range rows {
		ids[i] = rows[i].ID
	}
	item := &ledger.Item{Needs: ledger.Needs{Waiting: ids}, Decide: func(s *ledger.State) (*ledger.Change, error) {
		c := &ledger.Change{}
		for _, id := range ids {
			if at := s.Waiting[id]; at != nil && at.Event == store.EventConsent && at.State == store.WaitingIdle {
				row := *at
				row.Event = store.EventReady
				c.UpdateWaiting = append(c.UpdateWaiting, row)
			}
		}
		return c, nil
	}}
	if _, err := d.opt.Ledger.Submit(ctx, item); err != nil {
		return err
	}
	d.Nudge()
	return nil
}

// unstick spills recipients that hold a nearly full window and do not get on.
func (d *Deliverer) unstick(ctx context.Context) {
	t := time.NewTicker(d.opt.SpillAfter)
	defer t.Stop()
	last := map[exchange.SystemID]map[store.LaneKey]exchange.Position{}
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		for _, w := range d.windows {
			for _, system := range w.laggards() {
				r := d.recipients[system]
				at := w.position(system)
				if last[system] == nil {
					last[system] = map[store.LaneKey]exchange.Position{}
				}
				before, seen := last[system][w.lane]
				last[system][w.lane] = at
				if !seen || w.progress(before, at) >= w.maxParts/8 {
					continue
				}
				if err := r.spill(ctx, w.lane); err != nil && ctx.Err() == nil {
					d.opt.Logger.Warn("a recipient could not be spilled yet", "system", string(system), "error", err.Error())
				}
			}
		}
	}
}
