package delivery

import (
	"context"
	"fmt"

	"raccordo/hub/store"
)

// drain takes what waited and may go now: the heads of this recipient's
// queues, before the lanes' new records (protocol.md 6.1).
func (r *recipient) drain(ctx context.Context) (bool, error) {
	r.mu.Lock()
	none := r.waits <= 0
	r.mu.Unlock()
	if none {
		return false, nil
	}
	var rows []store.WaitingRow
	err := r.d.opt.Views.View(ctx, func(tx store.ReadTx) (err error) {
		rows, err = tx.Due(store.WaitingQuery{System: r.system, Limit: r.d.opt.ParcelRecords, Now: r.d.opt.Clock.Now().UnixMilli()})
		return err
	})
	if err != nil {
		return false, fmt.Errorf("read what is due: %w", err)
	}
	if len(rows) == 0 {
		return false, nil
	}
	p := &parcel{plan: r.d.opt.Plan()}
	for i := range rows {
		rec, err := r.fromRow(&rows[i], p.plan)
		if err != nil {
			return false, err
		}
		p.records = append(p.records, rec)
	}
	if err := r.claim(ctx, p); err != nil {
		return false, err
	}
	return true, r.deliver(ctx, p)
}

// fromRow opens a waiting row. One that cannot be opened is parked; keys that
// cannot be reached are an error.
func (r *recipient) fromRow(row *store.WaitingRow, plan Plan) (*record, error) {
	rec, err := openRow(row, plan, r.d.opt.Sealer)
	if err != nil {
		return nil, err
	}
	rec.open(r.d.opt.Limits)
	rec.ask()
	return rec, nil
}
