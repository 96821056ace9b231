package hub

import (
	"context"
	"time"

	"raccordo/hub/control"
	"raccordo/hub/delivery"
	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

func (o *operator) ListParked(ctx context.Context, q control.ParkedQuery) (control.ParkedPage, error) {
	if q.Limit <= 0 || q.Limit > 500 {
		q.Limit = 100
	}
	page := control.ParkedPage{Parked: []control.Parked{}}
	err := o.h.store.View(ctx, func(tx store.ReadTx) error {
		rows, err := tx.ParkedList(q.After, q.Limit+1)
		for i := range rows {
			if i == q.Limit {
				page.Next = page.Parked[i-1].ID
				break
			}
			page.Parked = append(page.Parked, parkedShown(&rows[i]))
		}
		return err
	})
	return page, err
}

func parkedShown(r *store.ParkedRow) control.Parked {
	return control.Parked{ID: r.ID, Record: r.Record, Flow: r.Flow, System: r.System, Producer: r.Producer, Reason: r.Reason,
		Faults: r.Faults, Mark: r.Mark.String(), Attempt: int(r.Attempt), Received: time.UnixMilli(r.ReceivedAt).UTC(),
		Parked: time.UnixMilli(r.ParkedAt).UTC()}
}

func (o *operator) ShowParked(ctx context.Context, q control.ParkedRef) (control.Parked, error) {
	var out control.Parked
	err := o.h.store.View(ctx, func(tx store.ReadTx) error {
		rows, err := tx.Parked([]uint64{q.ID})
		if err == nil && len(rows) == 0 {
			err = exchange.NewError(exchange.CodeNotFound, exchange.ReasonNotFound, "no such parked record")
		}
		if err == nil {
			out = parkedShown(&rows[0])
		}
		return err
	})
	return out, err
}

func (o *operator) ReplayParked(ctx context.Context, q control.ParkedAct) (control.Nothing, error) {
	return control.Nothing{}, o.reopen(ctx, q, o.h.deliverer.Replay)
}

func (o *operator) DiscardParked(ctx context.Context, q control.ParkedAct) (control.Nothing, error) {
	return control.Nothing{}, o.reopen(ctx, q, o.h.deliverer.Discard)
}

func (o *operator) reopen(ctx context.Context, q control.ParkedAct, act func(context.Context, delivery.Reopen) error) error {
	if err := code(q.Reason); err != nil {
		return err
	}
	if err := o.up(ctx); err != nil {
		return err
	}
	return act(ctx, delivery.Reopen{IDs: q.IDs, Reason: q.Reason, OutOfOrder: q.OutOfOrder})
}
