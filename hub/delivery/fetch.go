package delivery

import (
	"context"
	"errors"
	"time"

	"raccordo/connectors"
	"raccordo/hub/exchange"
	"raccordo/hub/gate"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
)

// Fetch implements [connectors.Claims]: it decides and claims records for a
// system that comes to get them. Nothing it returns was disclosed before its
// entry was durable.
func (d *Deliverer) Fetch(ctx context.Context, q connectors.FetchRequest) (connectors.FetchResult, error) {
	r := d.recipients[q.System]
	if r == nil || r.outlet == nil {
		return connectors.FetchResult{}, nil
	}
	if q.Max <= 0 || q.Max > connectors.MaxItems {
		q.Max = connectors.MaxItems
	}
	for {
		rows, err := r.fetchable(ctx, q)
		if err != nil || len(rows) == 0 {
			return connectors.FetchResult{}, unavailable(err)
		}
		more := len(rows) > q.Max
		rows = rows[:min(len(rows), q.Max)]
		p := &parcel{plan: d.opt.Plan()}
		for i := range rows {
			rec, err := r.fromRow(&rows[i], p.plan)
			if err != nil {
				return connectors.FetchResult{}, unavailable(err)
			}
			p.records = append(p.records, rec)
		}
		items, err := r.fetch(ctx, p, q)
		if errors.Is(err, errRedecide) || errors.Is(err, errStalePlan) {
			continue
		}
		if err != nil {
			return connectors.FetchResult{}, unavailable(err)
		}
		if len(items) == 0 && more && ctx.Err() == nil {
			continue // all of these ended; there may be others
		}
		return connectors.FetchResult{Items: items, More: more || len(items) < len(p.open())}, nil
	}
}

func unavailable(err error) error {
	if err == nil {
		return nil
	}
	var e *exchange.Error
	if errors.As(err, &e) {
		return err
	}
	if errors.Is(err, errStopped) {
		return exchange.NewError(exchange.CodeUnavailable, exchange.ReasonStopped, "disclosures are stopped").After(time.Minute)
	}
	return exchange.NewError(exchange.CodeUnavailable, exchange.ReasonOverloaded, "try again").Because(err).After(time.Second)
}

func (r *recipient) fetchable(ctx context.Context, q connectors.FetchRequest) (rows []store.WaitingRow, err error) {
	w := store.WaitingQuery{System: r.system, Body: q.Producer, Limit: q.Max + 1, Now: r.d.opt.Clock.Now().UnixMilli()}
	err = r.d.opt.Views.View(ctx, func(tx store.ReadTx) (err error) {
		if q.Lease > 0 && q.Since == 0 {
			rows, err = tx.Fetchable(w)
		} else {
			rows, err = tx.FetchableSince(w, q.Since)
		}
		return err
	})
	return rows, err
}

// fetch claims what may be fetched of p and gives it encoded.
func (r *recipient) fetch(ctx context.Context, p *parcel, q connectors.FetchRequest) ([]connectors.Fetched, error) {
	if err := r.prepare(ctx, p); err != nil {
		return nil, err
	}
	r.bound(p)
	r.cut(p, q.MaxBytes)
	needs := r.needs(p)
	var f *fates
	item := &ledger.Item{Needs: needs, Decide: func(s *ledger.State) (*ledger.Change, error) {
		var err error
		f, err = r.decideFetch(p, s, q.Lease)
		if err != nil {
			return nil, err
		}
		return f.change, nil
	}}
	if _, err := r.d.opt.Ledger.Submit(ctx, item); err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.waits += int64(f.waits)
	r.mu.Unlock()
	var out []connectors.Fetched
	for i, rec := range p.records {
		if !f.claimed[i] {
			continue
		}
		rec.claimed = true
		x := connectors.Fetched{FetchableAt: rec.row.Fetchable, Name: rec.row.Name, Item: connectors.Item{
			Disclosure: rec.disclosure(), Record: rec.head.Record, Flow: rec.flowID, Type: rec.head.Type,
			Sequence: rec.sequence, Attempt: int(rec.attempt) + 1, Body: rec.body, MediaType: rec.media}}
		if q.Lease > 0 {
			x.LeasedUntil = r.d.opt.Clock.Now().Add(q.Lease)
		}
		out = append(out, x)
	}
	r.d.opt.Metrics.Claimed(r.system, len(out))
	return out, nil
}

// bound parks what the recipient's protocol cannot carry.
func (r *recipient) bound(p *parcel) {
	if r.outlet.MaxBody == 0 {
		return
	}
	for _, rec := range p.records {
		if rec.failure == "" && rec.body.Len() > r.outlet.MaxBody {
			rec.failure, rec.faults = exchange.ReasonFormatMismatch, []exchange.Fault{{Rule: "max_body"}}
		}
	}
}

// cut ends the list where the sum of the bodies would pass max.
func (r *recipient) cut(p *parcel, most int) {
	if most <= 0 {
		return
	}
	sum := 0
	for i, rec := range p.records {
		if sum += rec.body.Len(); sum > most && i > 0 {
			p.records = p.records[:i]
			return
		}
	}
}

// decideFetch claims rows under the head lock, fenced by their state: a fetch
// may come to any replica. Fetching again is a renewal of the same row.
func (r *recipient) decideFetch(p *parcel, s *ledger.State, lease time.Duration) (*fates, error) {
	if err := r.fenced(p, s); err != nil {
		return nil, err
	}
	f := &fates{claimed: make([]bool, len(p.records)), change: &ledger.Change{Draft: &ledger.Draft{
		Kind: exchange.KindClaim, System: r.system}}}
	env := &setAside{system: r.system, plan: p.plan, sealer: r.d.opt.Sealer, at: s.Facts.Now()}
	for i, rec := range p.records {
		at := s.Waiting[rec.row.ID]
		if at == nil || at.Event != store.EventFetch || at.Attempt != rec.row.Attempt || at.Fetchable != rec.row.Fetchable ||
			at.State == store.WaitingClaimed && at.Lease > s.Facts.Now().UnixMilli() {
			continue // somebody else's by now
		}
		rec.row, rec.mark = at, at.Mark
		if rec.failure != "" {
			if err := r.park(rec, i, s, f, env, rec.failure); err != nil {
				return nil, err
			}
			continue
		}
		if err := r.fetchOne(rec, i, s, f, env, lease); err != nil {
			return nil, err
		}
	}
	if len(f.change.Draft.Rows) == 0 {
		f.change.Draft = nil
	}
	return f, nil
}

func (r *recipient) fetchOne(rec *record, i int, s *ledger.State, f *fates, env *setAside, lease time.Duration) error {
	d := gate.Decide(&rec.question, s.Facts)
	switch d.Outcome {
	case exchange.OutcomePermit:
		if !rec.ahead.Same(&d) {
			return errRedecide
		}
		next := *rec
		next.attempt++
		next.mark = next.mark.Raise(exchange.MarkPossibly) // the answer is written right after the commit
		f.change.Draft.Rows = append(f.change.Draft.Rows, next.rows(exchange.StateClaimed, exchange.ReasonPermitted, &d)...)
		row := *rec.row
		row.State, row.Claim, row.Attempt, row.Mark = store.WaitingClaimed, s.Seq, next.attempt, next.mark
		row.Lease = s.Facts.Now().Add(lease).UnixMilli()
		f.change.UpdateWaiting = append(f.change.UpdateWaiting, row)
		f.claimed[i] = true
	case exchange.OutcomeHold:
		return r.setAside(rec, i, s, f, env, eventOf(d.Event), d.Reason, &d)
	default:
		r.end(rec, f, exchange.StateWithheld, d.Reason, &d)
	}
	return nil
}
