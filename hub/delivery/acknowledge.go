package delivery

import (
	"context"

	"raccordo/connectors"
	"raccordo/hub/exchange"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
)

// Acknowledge implements [connectors.Claims]: it settles what a system says of
// records it fetched, once each and only its own. What was settled by an
// earlier request is gone, and answered like what never was.
func (d *Deliverer) Acknowledge(ctx context.Context, q connectors.AckRequest) ([]connectors.AckResult, error) {
	out := make([]connectors.AckResult, len(q.Acks))
	r := d.recipients[q.System]
	if r == nil || r.unfetched() || len(q.Acks) == 0 {
		return out, nil
	}
	named, err := r.named(ctx, q.Acks)
	if err != nil {
		return nil, unavailable(err)
	}
	// Each row is judged once: by the first that says something about it.
	p, acks, place := newParcel(d.opt.Plan()), []connectors.Ack{}, []int{}
	needs, first := ledger.Needs{}, map[uint64]bool{}
	for i, a := range q.Acks {
		row := named.find(a)
		if row == nil || q.Producer != "" && row.Body != q.Producer || row.Attempt == 0 {
			continue
		}
		if first[row.ID] {
			out[i] = connectors.AckRepeated
			continue
		}
		first[row.ID] = true
		rec := fromRow(row, p.plan)
		if parks(a, row) {
			if err := rec.unseal(d.opt.Sealer); err != nil {
				return nil, unavailable(err)
			}
		}
		p.records, acks, place = append(p.records, rec), append(acks, a), append(place, i)
		needs.Waiting = append(needs.Waiting, row.ID)
	}
	if len(p.records) == 0 {
		return out, nil
	}
	_, err = d.opt.Ledger.Submit(ctx, &ledger.Item{Needs: needs, Decide: func(s *ledger.State) (*ledger.Change, error) {
		k := r.docket(p, s, exchange.KindSettle, p.records)
		for i := range p.records {
			var err error
			if out[place[i]], err = k.acknowledge(i, acks[i]); err != nil {
				return nil, err
			}
		}
		return k.done(), nil
	}})
	if err != nil {
		return nil, unavailable(err)
	}
	r.look()
	return out, nil
}

// parks reports whether an acknowledgement sets its record aside for a human.
func parks(a connectors.Ack, row *store.WaitingRow) bool {
	return a.Result == connectors.AckRefused || a.Result == connectors.AckRetry && row.Tries >= connectors.Repeats
}

// namedRows finds rows by what an acknowledgement calls them.
type namedRows struct {
	byID   map[exchange.DisclosureID]*store.WaitingRow
	byName map[string]*store.WaitingRow
}

func (n *namedRows) find(a connectors.Ack) *store.WaitingRow {
	if a.Disclosure != (exchange.DisclosureID{}) {
		return n.byID[a.Disclosure]
	}
	return n.byName[a.Name]
}

func (r *recipient) named(ctx context.Context, acks []connectors.Ack) (*namedRows, error) {
	var ids []exchange.DisclosureID
	var names []string
	for _, a := range acks {
		if a.Disclosure != (exchange.DisclosureID{}) {
			ids = append(ids, a.Disclosure)
		} else if a.Name != "" {
			names = append(names, a.Name)
		}
	}
	var rows []store.WaitingRow
	err := r.d.opt.Views.View(ctx, func(tx store.ReadTx) (err error) {
		rows, err = tx.WaitingNamed(r.system, ids, names)
		return err
	})
	n := &namedRows{byID: map[exchange.DisclosureID]*store.WaitingRow{}, byName: map[string]*store.WaitingRow{}}
	for i := range rows {
		n.byID[rows[i].Disclosure] = &rows[i]
		if rows[i].Name != "" {
			n.byName[rows[i].Name] = &rows[i]
		}
	}
	return n, err
}

// acknowledge settles record i. An acceptance counts whenever the record was
// fetched once and is not settled; anything else only about what is fetched now.
func (k *docket) acknowledge(i int, a connectors.Ack) (connectors.AckResult, error) {
	at, rec := k.rows[i], k.records[i]
	if at == nil {
		return connectors.AckRepeated, nil // settled since it was looked up
	}
	rec.mark, rec.attempt, rec.tries = at.Mark, at.Attempt, at.Tries
	if a.Result == connectors.AckAccepted {
		rec.mark = exchange.MarkYes
		k.end(i, exchange.StateDelivered, exchange.ReasonDelivered, nil)
		return connectors.AckSettled, nil
	}
	if at.State != store.WaitingClaimed || at.Event != store.EventFetch || a.FetchableAt != 0 && a.FetchableAt < at.Fetchable {
		return connectors.AckRepeated, nil
	}
	if !parks(a, at) && a.Result == connectors.AckRetry {
		return connectors.AckSettled, k.offerAgain(i)
	}
	if rec.canonical == nil && rec.broken == "" { // counted up since it was looked up
		if err := rec.unseal(k.r.d.opt.Sealer); err != nil {
			return connectors.AckUnknown, err
		}
	}
	return connectors.AckSettled, k.park(i, reasonOr(a.Reason, exchange.ReasonRefused))
}

// offerAgain gives the record a new time, because the recipient could not
// process it.
func (k *docket) offerAgain(i int) error {
	row := *k.rows[i]
	row.State, row.Claim, row.Lease, row.Reason = store.WaitingIdle, 0, 0, exchange.ReasonAwaitingRetry
	row.Tries++
	if err := k.r.makeFetchable([]*store.WaitingRow{&row}, func(int) *record { return k.records[i] }, k.s); err != nil {
		return err
	}
	k.change.UpdateWaiting = append(k.change.UpdateWaiting, row)
	k.account(k.records[i], exchange.StateWaiting, exchange.ReasonAwaitingRetry, nil)
	return nil
}
