package delivery

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"raccordo/connectors"
	"raccordo/hub/exchange"
)

// result is what became of one record in a send.
type result struct {
	rec    *record
	status connectors.ItemStatus
	reason exchange.Reason
	alien  bool          // there was an answer, but none for this record: repeated a few times, then parked
	after  time.Duration // asked for by the recipient
}

// deliver does the next thing for a claimed parcel: sends it, after a renewal
// unless the claim is new, and settles it, unless nothing came of the attempt.
// An error leaves the claim open; it is taken up where it was left.
func (r *recipient) deliver(ctx context.Context, p *parcel) error {
	if !p.settling {
		if !p.fresh {
			if err := r.renew(ctx, p, p.open()); err != nil {
				return err
			}
		}
		if p.seq == 0 {
			return nil
		}
		p.fresh = false
		p.results = r.bisect(ctx, p, r.send(ctx, p, p.open()))
		if p.seq == 0 { // a renewal ended what was left
			return nil
		}
		if p.settling = r.conclude(ctx, p); !p.settling {
			return nil
		}
	}
	return r.settle(ctx, p, p.results)
}

// drained settles, when the hub stops, what the last attempt came to: it waits,
// and nobody has to find out at the next start. A claim that could not be sent
// at all stays open for that.
func (r *recipient) drained() {
	p := r.open()
	if p == nil || p.results == nil {
		return
	}
	if err := r.settle(context.Background(), p, p.results); err != nil {
		r.log.Warn("a claim stays open until the next start", "system", string(r.system), "seq", p.seq, "error", err.Error())
	}
}

// send sends records within send_timeout. It never starts later than
// send_timeout after the commit that permitted it: a claim that old may no
// longer be true (protocol.md 5.3).
func (r *recipient) send(ctx context.Context, p *parcel, records []*record) []result {
	out := make([]result, len(records))
	for i, rec := range records {
		out[i] = result{rec: rec, status: connectors.ItemNotSent, reason: exchange.ReasonNotSent}
	}
	left := r.d.opt.SendTimeout - (r.d.opt.Clock.Monotonic() - p.committed)
	if left <= 0 || r.sink == nil {
		return out
	}
	items := make([]connectors.Item, len(records))
	for i, rec := range records {
		items[i] = connectors.Item{Disclosure: rec.disclosure(), Record: rec.head.Record, Flow: rec.flowID,
			Type: rec.head.Type, Sequence: rec.sequence, Attempt: int(rec.attempt), Body: rec.body, MediaType: rec.media}
	}
	// A stop of the hub does not cut what is being sent: it ends by its deadline.
	sendCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), left)
	defer cancel()
	r.d.opt.Metrics.Recipient(r.system, RecipientSending)
	began := r.d.opt.Clock.Monotonic()
	res, err := r.call(sendCtx, connectors.Parcel{Recipient: r.system, Items: items})
	r.d.opt.Metrics.Sent(r.system, outcomeLabel(res), len(records), r.d.opt.Clock.Monotonic()-began)
	if err != nil {
		r.log.Warn("send ended without a plain answer", "system", string(r.system), "outcome", res.Overall.String(),
			"records", len(records), "why", trouble(err))
	}
	r.mu.Lock() // a spill reads marks
	defer r.mu.Unlock()
	for i, rec := range records {
		it := res.For(items[i].Disclosure)
		out[i] = result{rec: rec, status: it.Status, reason: it.Reason, after: res.RetryAfter,
			alien: it.Status == connectors.ItemUnknown && (res.Overall == connectors.Answered || alien(err))}
		if it.Status != connectors.ItemNotSent {
			rec.mark = rec.mark.Raise(exchange.MarkPossibly)
		}
		if it.Status == connectors.ItemAccepted {
			rec.mark = exchange.MarkYes
		}
	}
	return out
}

// errPanic stands for a panic of a connector; its value may hold a record's.
var errPanic = errors.New("the connector panicked")

// call keeps a panic of the connector from taking the hub with it: which
// record it was is found like one that the recipient refuses.
func (r *recipient) call(ctx context.Context, p connectors.Parcel) (res connectors.Result, err error) {
	defer func() {
		if recover() != nil {
			err = errPanic
			res = connectors.Result{Items: make(map[exchange.DisclosureID]connectors.ItemResult, len(p.Items))}
			for i := range p.Items {
				res.Items[p.Items[i].Disclosure] = connectors.ItemResult{Status: connectors.ItemSuspected, Reason: exchange.ReasonPanicked}
			}
		}
	}()
	return r.sink.Send(ctx, p)
}

// trouble is why a send ended as it did, of a closed set: a connector of somebody
// else's could quote in its error what it sent.
func trouble(err error) string {
	var t connectors.Trouble
	switch {
	case errors.As(err, &t):
		return string(t)
	case errors.Is(err, errPanic):
		return "connector_panicked"
	}
	return "connector_error"
}

// alien reports whether something answered that is not what was agreed (HTML, a
// cut or oversized body), rather than nothing.
func alien(err error) bool {
	return errors.Is(err, connectors.TroubleAlien) || errors.Is(err, connectors.TroubleCut) || errors.Is(err, connectors.TroubleTooLarge)
}

func outcomeLabel(res connectors.Result) string {
	if res.Overall == connectors.Answered {
		return res.Class.String()
	}
	return res.Overall.String()
}

// bisect halves what the recipient refused as a whole until the guilty records
// stand alone (protocol.md 5.7). Each half is decided again before it is sent;
// what cannot be now waits for another time.
func (r *recipient) bisect(ctx context.Context, p *parcel, results []result) []result {
	var out, suspects []result
	for _, x := range results {
		if x.status == connectors.ItemSuspected {
			suspects = append(suspects, x)
		} else {
			out = append(out, x)
		}
	}
	switch len(suspects) {
	case 0:
		return out
	case 1:
		suspects[0].status = connectors.ItemRefused
		return append(out, suspects[0])
	}
	for _, half := range [2][]result{suspects[:len(suspects)/2], suspects[len(suspects)/2:]} {
		records := make([]*record, len(half))
		for i, x := range half {
			records[i] = x.rec
		}
		if err := r.again(ctx, p, records); err != nil {
			for _, x := range half {
				out = append(out, result{rec: x.rec, status: connectors.ItemRetry, reason: exchange.ReasonAwaitingRetry})
			}
			continue
		}
		records = slices.DeleteFunc(records, func(rec *record) bool { return !rec.claimed }) // the renewal ended it
		if len(records) > 0 {
			out = append(out, r.bisect(ctx, p, r.send(ctx, p, records))...)
		}
	}
	return out
}

// again renews records for one more send, unless the hub stops.
func (r *recipient) again(ctx context.Context, p *parcel, records []*record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return r.renew(ctx, p, records)
}

// tried counts an answer that was none for this record.
func (r *recipient) tried(rec *record) uint16 {
	r.mu.Lock() // a spill writes it down
	defer r.mu.Unlock()
	rec.tries++
	return rec.tries
}

// conclude reports whether the attempt is to be settled. It is not if nothing
// came of it: then the claim stays open, and is renewed and sent again when the
// recipient may be asked again.
func (r *recipient) conclude(ctx context.Context, p *parcel) bool {
	order := make(map[*record]int, len(p.records))
	for i, rec := range p.records {
		order[rec] = i
	}
	slices.SortFunc(p.results, func(a, b result) int { return cmp.Compare(order[a.rec], order[b.rec]) })
	asked, failed, stopped, exhausted, untouched := time.Duration(0), 0, false, false, true
	for _, x := range p.results {
		if x.status == connectors.ItemAccepted || x.status == connectors.ItemRefused {
			continue
		}
		failed++
		asked, stopped = max(asked, x.after), stopped || x.status == connectors.ItemStopped
		exhausted = exhausted || x.alien && r.tried(x.rec) >= connectors.Repeats
		untouched = untouched && x.status == connectors.ItemNotSent && x.rec.mark == exchange.MarkNo
	}
	switch {
	case r.sink == nil: // a claim of the time when it was called: it waits to be fetched
		return true
	case failed < len(p.results) || failed == 0:
		r.healthy()
		return true
	}
	r.unhealthy(stopped, asked)
	p.failures++
	r.mu.Lock()
	defer r.mu.Unlock()
	// A parcel that fails again and again is not let stand in the way of what
	// is behind it: it waits, and comes back in smaller ones.
	if untouched || len(p.ranges) == 0 || p.failures >= connectors.Repeats && !stopped {
		r.most = max(1, r.most/2)
		return true
	}
	return exhausted
}
