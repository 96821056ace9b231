package delivery

import (
	"context"
	"errors"
	"time"

	"raccordo/connectors"
	"raccordo/hub/exchange"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
)

// Fetch implements [connectors.Claims]: it decides and claims records for a
// system that comes to get them. Nothing it returns was disclosed before its
// entry was durable.
func (d *Deliverer) Fetch(ctx context.Context, q connectors.FetchRequest) (connectors.FetchResult, error) {
	r := d.recipients[q.System]
	if r == nil || r.unfetched() {
		return connectors.FetchResult{}, nil
	}
	if q.Max <= 0 || q.Max > connectors.MaxItems {
		q.Max = connectors.MaxItems
	}
	// A page whose rows were all ended, or taken by another fetch, is followed by
	// the next.
	for {
		if err := ctx.Err(); err != nil {
			return connectors.FetchResult{}, unavailable(err)
		}
		rows, more, err := r.fetchable(ctx, q)
		if err != nil || len(rows) == 0 {
			return connectors.FetchResult{}, unavailable(err)
		}
		p := newParcel(d.opt.Plan())
		for i := range rows {
			p.records = append(p.records, r.fromRow(&rows[i], p.plan))
		}
		items, whole, err := r.fetch(ctx, p, q)
		if err != nil {
			return connectors.FetchResult{}, unavailable(err)
		}
		more = more || !whole
		if len(items) > 0 || !more {
			return connectors.FetchResult{Items: items, More: more}, nil
		}
		if whole {
			q.Since = rows[len(rows)-1].Fetchable
		}
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

// fetchable are the next rows in the order of their times, and whether there
// are more.
func (r *recipient) fetchable(ctx context.Context, q connectors.FetchRequest) (rows []store.WaitingRow, more bool, err error) {
	w := store.WaitingQuery{System: r.system, Body: q.Producer, Limit: q.Max + 1, MaxBytes: r.d.opt.ParcelBytes, Now: r.d.opt.Clock.Now().UnixMilli()}
	err = r.d.opt.Views.View(ctx, func(tx store.ReadTx) (err error) {
		if q.Lease > 0 && q.Since == 0 {
			rows, err = tx.Fetchable(w)
		} else {
			rows, err = tx.FetchableSince(w, q.Since)
		}
		return err
	})
	sum := 0
	for i := range rows {
		sum += len(rows[i].Header) + len(rows[i].Sealed)
	}
	more = len(rows) > q.Max || sum >= w.MaxBytes
	return rows[:min(len(rows), q.Max)], more, err
}

// fetch claims what may be fetched of p and gives it encoded; whole is false if
// the list was ended because of its size.
func (r *recipient) fetch(ctx context.Context, p *parcel, q connectors.FetchRequest) (items []connectors.Fetched, whole bool, err error) {
	var k *docket
	err = r.settled(ctx, p, p.records, func() error {
		whole = r.cut(p, q.MaxBytes)
		item := &ledger.Item{Needs: r.needs(p, p.records), Decide: func(s *ledger.State) (*ledger.Change, error) {
			switch {
			case s.Head.Network != p.plan.Digest():
				return nil, errStalePlan
			case s.Head.Stopped:
				return nil, errStopped
			}
			k = r.docket(p, s, exchange.KindClaim, p.records)
			return k.fetch(q)
		}}
		_, err := r.d.opt.Ledger.Submit(ctx, item)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	k.apply()
	for i, rec := range p.records {
		if !rec.claimed {
			continue
		}
		x := connectors.Fetched{FetchableAt: k.rows[i].Fetchable, Name: k.rows[i].Name, Item: connectors.Item{
			Disclosure: rec.disclosure(), Record: rec.head.Record, Flow: rec.flowID, Type: rec.head.Type,
			Sequence: rec.sequence, Attempt: int(rec.attempt), Body: rec.body, MediaType: rec.media}}
		if q.Lease > 0 {
			x.LeasedUntil = k.s.Facts.Now().Add(q.Lease)
		}
		items = append(items, x)
	}
	r.d.opt.Metrics.Claimed(r.system, len(items))
	return items, whole, nil
}

// cut ends the list before the sum of the bodies would pass most; it reports
// whether it did not have to.
func (r *recipient) cut(p *parcel, most int) bool {
	if most <= 0 {
		return true
	}
	sum := 0
	for i, rec := range p.records {
		if sum += rec.body.Len(); sum > most && i > 0 {
			p.records = p.records[:i]
			return false
		}
	}
	return true
}

// fetch claims rows, fenced by their state: a fetch may come to any replica.
// Fetching again claims the same row again, under the same disclosure id.
func (k *docket) fetch(q connectors.FetchRequest) (*ledger.Change, error) {
	for i, rec := range k.records {
		at := k.rows[i]
		if at == nil || at.Event != store.EventFetch || at.Attempt != rec.row.Attempt || at.Fetchable != rec.row.Fetchable ||
			at.State == store.WaitingClaimed && at.Lease > k.at() {
			continue // somebody else's by now
		}
		rec.mark = at.Mark
		if _, err := k.judge(i, 0); err != nil {
			return nil, err
		}
		if k.granted[i] != nil {
			k.lend(i, q.Lease)
		}
	}
	return k.done(), nil
}

// lend makes the claim of record i one that its acknowledgement settles, and
// hides it until its lease is over. The answer is written right after the
// commit, so it may be disclosed from here on.
func (k *docket) lend(i int, lease time.Duration) {
	row := &k.change.UpdateWaiting[len(k.change.UpdateWaiting)-1]
	row.Claim, row.Lease, row.Mark = k.s.Seq, k.s.Facts.Now().Add(lease).UnixMilli(), row.Mark.Raise(exchange.MarkPossibly)
	for j := len(k.change.Draft.Rows) - 1; j >= 0; j-- {
		at := &k.change.Draft.Rows[j]
		if at.Record != k.records[i].head.Record || at.Flow != k.records[i].number {
			return
		}
		if at.State == exchange.StateClaimed {
			at.Mark = row.Mark
		}
	}
}
