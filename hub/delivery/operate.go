package delivery

import (
	"context"
	"fmt"

	"raccordo/hub/exchange"
	"raccordo/hub/keys"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
)

// Reopen is an operator's word on parked records: replay or discard.
type Reopen struct {
	IDs        []uint64
	Reason     string // an operator's code, [a-z0-9_]
	OutOfOrder bool   // replay although a newer record of that person was delivered
}

// Replay puts parked records back at the end of their queues; they are decided
// again like any other. A record behind a newer delivery needs OutOfOrder.
//
// Durable on return. Errors: CodeNotFound if one is not parked (nothing is
// done then); CodeConflict for one out of order.
func (d *Deliverer) Replay(ctx context.Context, q Reopen) error {
	rows, err := d.parked(ctx, q.IDs)
	if err != nil {
		return err
	}
	if !q.OutOfOrder {
		if err := d.inOrder(ctx, rows); err != nil {
			return err
		}
	}
	plain := make([][]byte, len(rows))
	for i := range rows {
		if plain[i], err = d.opt.Sealer.Open(rows[i].Sealed, rows[i].Header); err != nil {
			return fmt.Errorf("open a parked record: %w", err)
		}
	}
	fact, err := exchange.EncodeFact(exchange.OperatorFact{Act: "replay", Reason: q.Reason})
	if err != nil {
		return err
	}
	_, err = d.opt.Ledger.Submit(ctx, &ledger.Item{Needs: ledger.Needs{Parked: q.IDs}, Decide: func(s *ledger.State) (*ledger.Change, error) {
		c := &ledger.Change{Draft: &ledger.Draft{Kind: exchange.KindOperator, Fact: fact}}
		for i := range rows {
			if s.Parked[rows[i].ID] == nil {
				return nil, notParked()
			}
			w, err := d.fromParked(&rows[i], plain[i], store.RowID(s.Seq, i), s)
			if err != nil {
				return nil, err
			}
			c.PutWaiting = append(c.PutWaiting, w)
			c.DeleteParked = append(c.DeleteParked, rows[i].ID)
			c.Draft.Rows = append(c.Draft.Rows, parkedRows(&rows[i], exchange.StateWaiting, exchange.ReasonReplayed)...)
		}
		return c, nil
	}})
	if err != nil {
		return err
	}
	for i := range rows {
		if r := d.recipients[rows[i].System]; r != nil {
			r.mu.Lock()
			r.waits++
			r.mu.Unlock()
			r.nudge()
		}
	}
	return nil
}

// Discard ends parked records for good; the ledger keeps who asked why.
// Errors as [Deliverer.Replay].
func (d *Deliverer) Discard(ctx context.Context, q Reopen) error {
	rows, err := d.parked(ctx, q.IDs)
	if err != nil {
		return err
	}
	fact, err := exchange.EncodeFact(exchange.OperatorFact{Act: "discard", Reason: q.Reason})
	if err != nil {
		return err
	}
	_, err = d.opt.Ledger.Submit(ctx, &ledger.Item{Needs: ledger.Needs{Parked: q.IDs}, Decide: func(s *ledger.State) (*ledger.Change, error) {
		c := &ledger.Change{DeleteParked: q.IDs, Draft: &ledger.Draft{Kind: exchange.KindOperator, Fact: fact}}
		for i := range rows {
			if s.Parked[rows[i].ID] == nil {
				return nil, notParked()
			}
			c.Draft.Rows = append(c.Draft.Rows, parkedRows(&rows[i], exchange.StateDiscarded, exchange.ReasonDiscarded)...)
		}
		return c, nil
	}})
	return err
}

func (d *Deliverer) parked(ctx context.Context, ids []uint64) ([]store.ParkedRow, error) {
	var rows []store.ParkedRow
	err := d.opt.Views.View(ctx, func(tx store.ReadTx) (err error) {
		rows, err = tx.Parked(ids)
		return err
	})
	if err == nil && len(rows) != len(ids) {
		err = notParked()
	}
	return rows, err
}

func notParked() error {
	return exchange.NewError(exchange.CodeNotFound, exchange.ReasonNotFound, "no such parked record")
}

// inOrder looks through the ledger since a record was parked for a newer one
// of the same person and flow that was delivered.
func (d *Deliverer) inOrder(ctx context.Context, rows []store.ParkedRow) error {
	type key struct {
		flow    exchange.Number
		subject exchange.SubjectID
	}
	oldest, sequences := ^uint64(0), map[key]uint64{}
	for i := range rows {
		oldest = min(oldest, rows[i].ID>>16)
		sequences[key{exchange.FlowNumber(rows[i].Flow), rows[i].Principal}] = rows[i].Sequence
	}
	return d.opt.Views.View(ctx, func(tx store.ReadTx) error {
		for from := oldest; ; {
			entries, err := tx.Entries(from, 256)
			if err != nil || len(entries) == 0 {
				return err
			}
			for _, e := range entries {
				got, err := exchange.DecodeRows(e.Rows)
				if err != nil {
					return err
				}
				for _, row := range got {
					mine, ok := sequences[key{row.Flow, row.Subject}]
					if ok && row.Part == exchange.PartPrincipal && row.State == exchange.StateDelivered && row.Sequence > mine {
						return exchange.NewError(exchange.CodeConflict, exchange.ReasonQueued,
							"a newer record of this person was delivered through this flow; replay it with --out-of-order")
					}
				}
			}
			from = entries[len(entries)-1].Seq + 1
		}
	})
}

func (d *Deliverer) fromParked(p *store.ParkedRow, plain []byte, id uint64, s *ledger.State) (store.WaitingRow, error) {
	plan := d.opt.Plan()
	sealed, err := d.opt.Sealer.Seal(keys.PlaceWaiting, s.Facts.Now(), plain, p.Header)
	if err != nil {
		return store.WaitingRow{}, fmt.Errorf("seal a replayed record: %w", err)
	}
	w := store.WaitingRow{ID: id, Flow: p.Flow, Principal: p.Principal, Record: p.Record, System: p.System,
		Producer: p.Producer, Body: plan.BodyOf(p.Producer), LaneKey: p.LaneKey,
		Disclosure: exchange.NewDisclosureID(p.Record, p.Flow), Event: store.EventReady, Reason: exchange.ReasonReplayed,
		State: store.WaitingIdle, Mark: p.Mark, Sequence: p.Sequence, ReceivedAt: p.ReceivedAt, Header: p.Header, Sealed: sealed}
	if f := plan.Flow(p.Flow); f != nil {
		w.Deadline = s.Facts.Now().Add(f.Keep()).UnixMilli()
	}
	return w, nil
}

// parkedRows account a parked record; the subjects come from its header.
func parkedRows(p *store.ParkedRow, state exchange.State, reason exchange.Reason) []exchange.Row {
	base := exchange.Row{Record: p.Record, Subject: p.Principal, Flow: exchange.FlowNumber(p.Flow), State: state,
		Mark: p.Mark, Part: exchange.PartPrincipal, Attempt: p.Attempt, Reason: reason, Sequence: p.Sequence}
	rows := []exchange.Row{base}
	h, _, err := exchange.DecodeHeader(p.Header)
	if err != nil {
		return rows
	}
	if h.Records[0].Thing {
		rows[0].Part = exchange.PartThing
	}
	for _, a := range h.Records[0].Affected {
		r := base
		r.Subject, r.Part = a.Subject, exchange.PartAffected
		if a.Alias {
			r.Part = exchange.PartAlias
		}
		rows = append(rows, r)
	}
	return rows
}
