package delivery

import (
	"context"
	"errors"
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
// done then); CodeConflict for one out of order, or that can never be opened
// again; CodeUnavailable while the keys cannot be reached.
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
	condemned := []exchange.RecordID{}
	for i := range rows {
		if plain[i], err = d.reveal(&rows[i]); err != nil {
			return err
		}
		if rows[i].Reason == exchange.ReasonSuspect {
			condemned = append(condemned, rows[i].Record)
		}
	}
	if err := d.suspects.forgive(ctx, condemned); err != nil {
		return unavailable(err)
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
		return unavailable(err)
	}
	d.Nudge()
	return nil
}

// reveal opens a parked record.
func (d *Deliverer) reveal(row *store.ParkedRow) ([]byte, error) {
	plain, err := d.opt.Sealer.Open(row.Sealed, row.Header)
	switch {
	case errors.Is(err, keys.ErrUnavailable):
		return nil, unavailable(fmt.Errorf("open a parked record: %w", err))
	case err != nil:
		return nil, exchange.NewError(exchange.CodeConflict, exchange.ReasonUndecodable,
			"what the record was sealed with cannot open it any more; it can only be discarded").Because(err)
	}
	return plain, nil
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
	return unavailable(err)
}

// maxReopened bounds the records of one act: each needs rows in one entry.
const maxReopened = 500

func (d *Deliverer) parked(ctx context.Context, ids []uint64) ([]store.ParkedRow, error) {
	if len(ids) == 0 || len(ids) > maxReopened {
		return nil, exchange.NewError(exchange.CodeInvalid, exchange.ReasonParameter, "name 1 to 500 parked records at a time")
	}
	var rows []store.ParkedRow
	err := d.opt.Views.View(ctx, func(tx store.ReadTx) (err error) {
		rows, err = tx.Parked(ids)
		return err
	})
	if err != nil {
		return nil, unavailable(err)
	}
	if len(rows) != len(ids) {
		return nil, notParked()
	}
	return rows, nil
}

func notParked() error {
	return exchange.NewError(exchange.CodeNotFound, exchange.ReasonNotFound, "no such parked record")
}

// personFlow names the queue of a parked record as rows of the ledger do.
type personFlow struct {
	flow    exchange.Number
	subject exchange.SubjectID
}

// inOrder looks through the ledger since the records were received for a newer
// one of the same person and flow that the recipient has, or may have.
func (d *Deliverer) inOrder(ctx context.Context, rows []store.ParkedRow) error {
	received, newest := rows[0].ReceivedAt, map[personFlow]uint64{}
	for i := range rows {
		received = min(received, rows[i].ReceivedAt)
		key := personFlow{exchange.FlowNumber(rows[i].Flow), rows[i].Principal}
		if was, ok := newest[key]; !ok || rows[i].Sequence < was {
			newest[key] = rows[i].Sequence
		}
	}
	from, err := d.since(ctx, received)
	for err == nil {
		var entries []store.StoredEntry
		err = d.opt.Views.View(ctx, func(tx store.ReadTx) (err error) {
			entries, err = tx.Entries(from, 256)
			return err
		})
		if err != nil || len(entries) == 0 {
			break
		}
		for _, e := range entries {
			if err = passedBy(e.Rows, newest); err != nil {
				return err
			}
		}
		from = entries[len(entries)-1].Seq + 1
	}
	return unavailable(err)
}

func passedBy(encoded []byte, newest map[personFlow]uint64) error {
	rows, err := exchange.DecodeRows(encoded)
	if err != nil {
		return fmt.Errorf("read the ledger: %w", err)
	}
	for i := range rows {
		row := &rows[i]
		mine, ok := newest[personFlow{row.Flow, row.Subject}]
		if ok && row.Part != exchange.PartAffected && row.Part != exchange.PartAlias && row.Sequence > mine && row.Mark != exchange.MarkNo {
			return exchange.NewError(exchange.CodeConflict, exchange.ReasonQueued,
				"the recipient has, or may have, a newer record of this person through this flow; replay it with --out-of-order")
		}
	}
	return nil
}

// since is the first entry written at or after a moment: ledger time never goes
// back.
func (d *Deliverer) since(ctx context.Context, at int64) (uint64, error) {
	var found uint64
	err := d.opt.Views.View(ctx, func(tx store.ReadTx) error {
		head, err := tx.Head()
		if err != nil {
			return err
		}
		lo, hi := uint64(0), head.Size
		for lo < hi {
			mid := lo + (hi-lo)/2
			entries, err := tx.Entries(mid, 1)
			if err != nil {
				return err
			}
			if len(entries) == 0 {
				return store.ErrNotFound
			}
			leaf, err := exchange.DecodeLeaf(entries[0].Leaf)
			if err != nil {
				return err
			}
			if leaf.Time < at {
				lo = mid + 1
			} else {
				hi = mid
			}
		}
		found = lo
		return nil
	})
	return found, err
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
		State: store.WaitingIdle, Mark: p.Mark, Attempt: p.Attempt, Sequence: p.Sequence, ReceivedAt: p.ReceivedAt, Header: p.Header, Sealed: sealed}
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
