package delivery

import (
	"context"
	"fmt"

	"raccordo/hub/store"
)

// drain takes what waited and may go now: the heads of this recipient's
// queues, before the lanes' new records (protocol.md 6.1).
func (r *recipient) drain(ctx context.Context) (bool, error) {
	if !r.due.Swap(false) {
		return false, nil
	}
	rows, err := r.dueRows(ctx)
	if err != nil {
		r.due.Store(true)
		return false, err
	}
	p := newParcel(r.d.opt.Plan())
	for i := range rows {
		rec := r.fromRow(&rows[i], p.plan)
		if r.d.suspects.suspected(rec.head.Record) {
			if len(p.records) == 0 {
				p.records = append(p.records, rec)
			}
			break
		}
		p.records = append(p.records, rec)
	}
	if len(p.records) == 0 {
		return false, nil
	}
	r.due.Store(true) // there may be more
	if err := r.claim(ctx, p); err != nil {
		return false, err
	}
	if r.open() == nil {
		return true, nil
	}
	return true, r.deliver(ctx, p)
}

// dueRows are the heads that may go. Where nobody fetches (any more), what
// waits for a fetch may too.
func (r *recipient) dueRows(ctx context.Context) (rows []store.WaitingRow, err error) {
	r.mu.Lock()
	q := store.WaitingQuery{System: r.system, Limit: r.most, MaxBytes: r.d.opt.ParcelBytes, Now: r.d.opt.Clock.Now().UnixMilli()}
	r.mu.Unlock()
	err = r.d.opt.Views.View(ctx, func(tx store.ReadTx) (err error) {
		rows, err = tx.Due(q)
		if err == nil && len(rows) == 0 && r.unfetched() {
			rows, err = tx.Fetchable(q)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read what is due: %w", err)
	}
	owned := rows[:0]
	for i := range rows {
		if !r.d.given(rows[i].LaneKey) {
			owned = append(owned, rows[i])
		}
	}
	return owned, nil
}

// fromRow is a waiting row on its way again; nothing is opened yet.
func (r *recipient) fromRow(row *store.WaitingRow, plan Plan) *record {
	rec := fromRow(row, plan)
	r.d.condemn(rec)
	return rec
}
