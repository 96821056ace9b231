package delivery

import (
	"context"
	"time"

	"raccordo/hub/exchange"
	"raccordo/hub/gate"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
)

const sweepBatch = 500

// sweep ends what has come to its deadline, releases what waits for an event
// that has already happened (protocol.md 6.1) and counts what waits.
func (d *Deliverer) sweep(ctx context.Context) {
	t := time.NewTicker(d.opt.Sweep)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		for what, fn := range map[string]func(context.Context) error{"deadlines": d.expire, "events": d.rouse, "counts": d.countWaiting} {
			if err := fn(ctx); err != nil && ctx.Err() == nil {
				d.opt.Logger.Warn("a sweep is held up", "of", what, "error", err.Error())
			}
		}
	}
}

func (d *Deliverer) countWaiting(ctx context.Context) error {
	var counts map[exchange.SystemID]int
	err := d.opt.Views.View(ctx, func(tx store.ReadTx) (err error) {
		counts, err = tx.WaitingCount()
		return err
	})
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting = counts
	return nil
}

// expire ends rows whose deadline has come: expired, or, where a byte may have
// left, possibly delivered. Nothing expires while disclosures are stopped:
// nothing is lost by that switch.
func (d *Deliverer) expire(ctx context.Context) error {
	for ctx.Err() == nil {
		var rows []store.WaitingRow
		var stopped bool
		err := d.opt.Views.View(ctx, func(tx store.ReadTx) error {
			head, err := tx.Head()
			if err != nil {
				return err
			}
			stopped = head.Stopped
			rows, err = tx.Expired(d.opt.Clock.Now().UnixMilli(), sweepBatch)
			return err
		})
		if err != nil || stopped || len(rows) == 0 {
			return err
		}
		bySystem := map[exchange.SystemID][]*store.WaitingRow{}
		for i := range rows {
			bySystem[rows[i].System] = append(bySystem[rows[i].System], &rows[i])
		}
		ended := 0
		for system, rows := range bySystem {
			n, err := d.expireOf(ctx, system, rows)
			if err != nil {
				return err
			}
			ended += n
		}
		if len(rows) < sweepBatch || ended == 0 {
			return nil
		}
	}
	return ctx.Err()
}

// expireOf needs no payload: the header says who is accounted.
func (d *Deliverer) expireOf(ctx context.Context, system exchange.SystemID, rows []*store.WaitingRow) (int, error) {
	r := d.recipients[system]
	if r == nil {
		return 0, nil
	}
	p := newParcel(d.opt.Plan())
	needs := ledger.Needs{}
	for _, row := range rows {
		p.records = append(p.records, fromRow(row, p.plan))
		needs.Waiting = append(needs.Waiting, row.ID)
	}
	var k *docket
	_, err := d.opt.Ledger.Submit(ctx, &ledger.Item{Needs: needs, Decide: func(s *ledger.State) (*ledger.Change, error) {
		k = r.docket(p, s, exchange.KindExpiry, p.records)
		if s.Head.Stopped {
			return nil, nil
		}
		for i, rec := range p.records {
			at := k.rows[i]
			if at == nil || at.Deadline == 0 || at.Deadline > k.at() || at.State == store.WaitingClaimed && (at.Event != store.EventFetch || at.Lease > k.at()) {
				continue
			}
			rec.mark, rec.attempt = at.Mark, at.Attempt
			k.end(i, exchange.StateExpired, endReason(at), nil)
		}
		return k.done(), nil
	}})
	if err != nil {
		return 0, err
	}
	r.look()
	return len(k.change.DeleteWaiting), nil
}

func endReason(row *store.WaitingRow) exchange.Reason {
	if row.Event == store.EventFetch {
		return exchange.ReasonLeaseExpired
	}
	return exchange.ReasonHoldExpired
}

// rouse makes rows ready whose event happened without waking them. A consent to
// something else is no such event.
func (d *Deliverer) rouse(ctx context.Context) error {
	after := uint64(0)
	for ctx.Err() == nil {
		var rows []store.WaitingRow
		var ids []uint64
		plan := d.opt.Plan()
		err := d.opt.Views.View(ctx, func(tx store.ReadTx) (err error) {
			now := d.opt.Clock.Now()
			if rows, err = tx.StaleConsentWaits(now.UnixMilli(), after, sweepBatch); err != nil || len(rows) == 0 {
				return err
			}
			subjects := make([]exchange.SubjectID, len(rows))
			for i := range rows {
				subjects[i] = rows[i].Subject
			}
			f, err := ledger.ReadFacts(tx, subjects, now)
			for i := range rows {
				if err == nil && answered(&rows[i], plan, f) {
					ids = append(ids, rows[i].ID)
				}
			}
			return err
		})
		if err != nil || len(rows) == 0 {
			return err
		}
		if err := d.wake(ctx, ids); err != nil {
			return err
		}
		after = rows[len(rows)-1].ID
	}
	return ctx.Err()
}

// answered reports whether the person whose consent a row waits for has decided
// about what the row is for, or the flow is gone.
func answered(row *store.WaitingRow, plan Plan, f *ledger.Facts) bool {
	flow := plan.Flow(row.Flow)
	h, _, err := exchange.DecodeHeader(row.Header)
	if flow == nil || err != nil || len(h.Records) != 1 || flow.Recipient().System != row.System || !flow.Clause().NeedsConsent() {
		return true
	}
	to := flow.Recipient()
	standing := f.Consent(row.Subject, gate.Scope{Purpose: flow.Clause().Purpose, Body: to.Body, Role: to.Role, Type: h.Records[0].Type})
	return standing.Reason != exchange.ReasonConsentMissing
}

func (d *Deliverer) wake(ctx context.Context, ids []uint64) error {
	if len(ids) == 0 {
		return nil
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
