package delivery

import (
	"context"

	"raccordo/connectors"
	"raccordo/hub/exchange"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
)

// Acknowledge implements [connectors.Claims]: it settles what a system says of
// records it fetched, once each and only its own.
func (d *Deliverer) Acknowledge(ctx context.Context, q connectors.AckRequest) ([]connectors.AckResult, error) {
	out := make([]connectors.AckResult, len(q.Acks))
	r := d.recipients[q.System]
	if r == nil || r.outlet == nil || len(q.Acks) == 0 {
		return out, nil
	}
	rows, err := r.named(ctx, q.Acks)
	if err != nil {
		return nil, unavailable(err)
	}
	plan := d.opt.Plan()
	records := make([]*record, len(q.Acks))
	needs := ledger.Needs{}
	for i, a := range q.Acks {
		row := rows.find(a)
		if row == nil || q.Producer != "" && row.Body != q.Producer {
			continue
		}
		if records[i], err = r.fromRow(row, plan); err != nil {
			return nil, unavailable(err)
		}
		needs.Waiting = append(needs.Waiting, row.ID)
	}
	if len(needs.Waiting) == 0 {
		return out, nil
	}
	var f *fates
	item := &ledger.Item{Needs: needs, Decide: func(s *ledger.State) (*ledger.Change, error) {
		f, err = r.decideAcks(q.Acks, records, out, s, plan)
		if err != nil {
			return nil, err
		}
		return f.change, nil
	}}
	if _, err := d.opt.Ledger.Submit(ctx, item); err != nil {
		return nil, unavailable(err)
	}
	r.mu.Lock()
	r.waits += int64(f.waits)
	r.mu.Unlock()
	r.nudge()
	return out, nil
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

func (r *recipient) decideAcks(acks []connectors.Ack, records []*record, out []connectors.AckResult, s *ledger.State, plan Plan) (*fates, error) {
	f := &fates{change: &ledger.Change{Draft: &ledger.Draft{Kind: exchange.KindSettle, System: r.system}}}
	env := &setAside{system: r.system, plan: plan, sealer: r.d.opt.Sealer, at: s.Facts.Now()}
	done := map[uint64]bool{}
	for i, rec := range records {
		out[i] = connectors.AckUnknown
		if rec == nil {
			continue
		}
		at := s.Waiting[rec.row.ID]
		switch {
		case at == nil || done[at.ID]:
			out[i] = connectors.AckRepeated
			continue
		case at.Claim == 0: // never fetched: not this system's to answer for
			continue
		case acks[i].Result != connectors.AckAccepted && acks[i].FetchableAt != 0 && acks[i].FetchableAt != at.Fetchable:
			out[i] = connectors.AckRepeated
			continue
		}
		done[at.ID] = true
		rec.row, rec.mark, rec.attempt = at, at.Mark, at.Attempt
		if err := r.ackOne(acks[i], rec, i, s, f, env); err != nil {
			return nil, err
		}
		out[i] = connectors.AckSettled
	}
	if len(f.change.Draft.Rows) == 0 {
		f.change.Draft = nil
	}
	return f, nil
}

func (r *recipient) ackOne(a connectors.Ack, rec *record, i int, s *ledger.State, f *fates, env *setAside) error {
	switch {
	case a.Result == connectors.AckAccepted:
		rec.mark = exchange.MarkYes
		r.end(rec, f, exchange.StateDelivered, exchange.ReasonDelivered, nil)
		return nil
	case a.Result == connectors.AckRetry && rec.attempt < connectors.Repeats:
		row := *rec.row
		row.State, row.Claim, row.Lease = store.WaitingIdle, 0, 0
		if err := r.makeFetchable(&row, rec, s); err != nil {
			return err
		}
		f.change.UpdateWaiting = append(f.change.UpdateWaiting, row)
		f.change.Draft.Rows = append(f.change.Draft.Rows, rec.rows(exchange.StateWaiting, exchange.ReasonAwaitingRetry, nil)...)
		return nil
	}
	return r.park(rec, i, s, f, env, reasonOr(a.Reason, exchange.ReasonRefused))
}
