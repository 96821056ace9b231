package delivery

import (
	"context"

	"raccordo/connectors"
	"raccordo/hub/exchange"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
)

// settle closes the claim once: an outcome per record, and the range passed
// (protocol.md 5.4). What the recipient has not taken yet waits for a retry. If
// certainly nothing left, and nothing else in the ranges was given a fate, they
// are decided again from where they came.
func (r *recipient) settle(ctx context.Context, p *parcel, results []result) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	records := make([]*record, 0, len(results))
	live := make([]result, 0, len(results))
	again := len(p.ranges) > 0 && !p.mixed
	for _, x := range results {
		if !x.rec.claimed {
			continue // a renewal ended it and accounted for it
		}
		records, live = append(records, x.rec), append(live, x)
		again = again && x.status == connectors.ItemNotSent && x.rec.mark == exchange.MarkNo
	}
	var k *docket
	item := &ledger.Item{Needs: r.claimNeeds(p, records), Decide: func(s *ledger.State) (*ledger.Change, error) {
		if err := r.ours(p, records, s); err != nil {
			return nil, err
		}
		k = r.docket(p, s, exchange.KindSettle, records)
		k.change.Draft.Refers, k.change.CloseClaims = p.seq, []uint64{p.seq}
		if !again {
			k.change.Cursors = p.moves(r.system)
		}
		for i, x := range live {
			if err := k.settle(i, x, again); err != nil {
				return nil, err
			}
		}
		return k.done(), nil
	}}
	// The commit is not cut by a stop of the hub: what was sent is settled.
	if _, err := r.d.opt.Ledger.Submit(context.WithoutCancel(ctx), item); err != nil {
		return err
	}
	k.apply()
	p.seq, r.current = 0, nil
	if again {
		r.rewind(p.ranges)
	} else {
		r.passed(p)
	}
	r.due.Store(true) // rows behind those that are settled
	return nil
}

// claimNeeds are the needs of an entry that answers the open claim.
func (r *recipient) claimNeeds(p *parcel, records []*record) ledger.Needs {
	n := r.needs(p, records)
	n.Queues, n.Claims = nil, []uint64{p.seq}
	return n
}

// ours refuses to write about a claim that somebody else has closed, or owns.
func (r *recipient) ours(p *parcel, records []*record, s *ledger.State) error {
	if s.Claims[p.seq] == nil {
		return errSettled
	}
	return r.owned(p, records, s)
}

// settle accounts what became of record i.
func (k *docket) settle(i int, x result, again bool) error {
	switch x.status {
	case connectors.ItemAccepted:
		k.end(i, exchange.StateDelivered, exchange.ReasonDelivered, nil)
		return nil
	case connectors.ItemRefused:
		return k.park(i, reasonOr(x.reason, exchange.ReasonRefused))
	case connectors.ItemNotSent:
		if again {
			k.account(x.rec, exchange.StatePending, exchange.ReasonNotSent, nil)
			return nil
		}
		return k.retry(i, x, exchange.ReasonNotSent)
	case connectors.ItemUnknown:
		if x.alien && x.rec.tries >= connectors.Repeats {
			return k.park(i, exchange.ReasonUnknownOutcome)
		}
		return k.retry(i, x, exchange.ReasonUnknownOutcome)
	}
	return k.retry(i, x, exchange.ReasonAwaitingRetry)
}

// retry lets record i wait until the recipient may take it: at least until the
// breaker closes, and longer each time.
func (k *docket) retry(i int, x result, why exchange.Reason) error {
	rec := k.current(i)
	row, err := rec.waiting(store.RowID(k.s.Seq, i), store.EventRetry, why, k.env)
	if err != nil {
		return err
	}
	o := &k.r.d.opt
	wait := o.BackoffMin << min(max(int(rec.attempt), 1)-1, 16)
	wait = max(min(wait, o.BackoffMax), min(x.after, connectors.MaxRetryAfter), k.r.back.left(o.Clock.Monotonic()))
	row.NotBefore = k.s.Facts.Now().Add(wait).UnixMilli()
	k.put(rec, row)
	k.account(rec, exchange.StateWaiting, why, nil)
	return nil
}

func reasonOr(r, otherwise exchange.Reason) exchange.Reason {
	if r.Number() == 0 {
		return otherwise
	}
	return r
}
