package delivery

import (
	"context"

	"raccordo/connectors"
	"raccordo/hub/exchange"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
)

// settle closes the claim once: an outcome per record, and the range passed
// (protocol.md 5.4). What the recipient has not taken yet waits for a retry;
// what was certainly not sent is decided again from where it came.
func (r *recipient) settle(ctx context.Context, p *parcel, results []result) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	notSent := len(p.ranges) > 0
	for _, x := range results {
		notSent = notSent && x.status == connectors.ItemNotSent
	}
	var waits int
	item := &ledger.Item{Needs: r.settleNeeds(p), Decide: func(s *ledger.State) (*ledger.Change, error) {
		if s.Claims[p.seq] == nil {
			return nil, errSettled
		}
		f := &fates{change: &ledger.Change{CloseClaims: []uint64{p.seq}, Draft: &ledger.Draft{Kind: exchange.KindSettle,
			System: r.system, Refers: p.seq, Lanes: p.ranges}}}
		if !notSent {
			f.change.Cursors = p.moves(r.system)
		}
		env := &setAside{system: r.system, plan: p.plan, sealer: r.d.opt.Sealer, at: s.Facts.Now()}
		for i, x := range results {
			if !x.rec.claimed {
				continue // a renewal ended it and accounted for it
			}
			if err := r.settleOne(x, i, s, f, env, notSent); err != nil {
				return nil, err
			}
		}
		waits = f.waits
		return f.change, nil
	}}
	// The commit is not cut by a stop of the hub: what was sent is settled.
	if _, err := r.d.opt.Ledger.Submit(context.WithoutCancel(ctx), item); err != nil {
		return err
	}
	r.waits += int64(waits)
	if notSent {
		for _, g := range p.ranges {
			c := r.cursors[store.LaneKey{Class: g.Class, Lane: g.Lane}]
			c.seen, c.unsaved = c.durable, 0
		}
	} else {
		r.passed(p.ranges)
	}
	p.seq, r.current = 0, nil
	return nil
}

func (r *recipient) settleNeeds(p *parcel) ledger.Needs {
	n := ledger.Needs{Claims: []uint64{p.seq}}
	for _, g := range p.ranges {
		lane := store.LaneKey{Class: g.Class, Lane: g.Lane}
		n.Lanes = append(n.Lanes, lane)
		n.Cursors = append(n.Cursors, store.CursorKey{System: r.system, LaneKey: lane})
	}
	for _, rec := range p.records {
		if rec.row != nil {
			n.Waiting = append(n.Waiting, rec.row.ID)
		}
	}
	return n
}

func (r *recipient) settleOne(x result, i int, s *ledger.State, f *fates, env *setAside, notSent bool) error {
	rec := x.rec
	switch x.status {
	case connectors.ItemAccepted:
		r.end(rec, f, exchange.StateDelivered, exchange.ReasonDelivered, nil)
	case connectors.ItemRefused:
		return r.park(rec, i, s, f, env, reasonOr(x.reason, exchange.ReasonRefused))
	case connectors.ItemUnknown:
		if x.alien && rec.attempt >= connectors.Repeats {
			return r.park(rec, i, s, f, env, exchange.ReasonUnknownOutcome)
		}
		return r.retry(rec, i, s, f, env, exchange.ReasonUnknownOutcome)
	case connectors.ItemNotSent:
		if notSent {
			f.change.Draft.Rows = append(f.change.Draft.Rows, rec.rows(exchange.StatePending, exchange.ReasonNotSent, nil)...)
			return nil
		}
		return r.retry(rec, i, s, f, env, exchange.ReasonNotSent)
	default:
		return r.retry(rec, i, s, f, env, exchange.ReasonAwaitingRetry)
	}
	return nil
}

// retry lets a record wait until the recipient may take it.
func (r *recipient) retry(rec *record, i int, s *ledger.State, f *fates, env *setAside, why exchange.Reason) error {
	row, err := rec.waiting(store.RowID(s.Seq, i), store.EventRetry, why, env)
	if err != nil {
		return err
	}
	wait := max(r.back.left(r.d.opt.Clock.Monotonic()), r.d.opt.BackoffMin)
	row.NotBefore = s.Facts.Now().Add(wait).UnixMilli()
	r.putWaiting(rec, row, f)
	f.change.Draft.Rows = append(f.change.Draft.Rows, rec.rows(exchange.StateWaiting, why, nil)...)
	return nil
}

func reasonOr(r, otherwise exchange.Reason) exchange.Reason {
	if r.Number() == 0 {
		return otherwise
	}
	return r
}
