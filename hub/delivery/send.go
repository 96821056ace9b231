package delivery

import (
	"context"
	"errors"
	"time"

	"raccordo/connectors"
	"raccordo/hub/exchange"
)

// deliver sends a claimed parcel and settles it; it returns when the claim is
// closed, or with an error that leaves it open for the next start.
func (r *recipient) deliver(ctx context.Context, p *parcel) error {
	for p.seq != 0 {
		open := p.open()
		results := r.send(ctx, p, open)
		done, err := r.conclude(ctx, p, results)
		if err != nil || done {
			return err
		}
		if !r.wait(ctx) {
			return ctx.Err()
		}
		if err := r.renew(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// result is what became of one record in a send.
type result struct {
	rec    *record
	status connectors.ItemStatus
	reason exchange.Reason
	alien  bool          // a 2xx that is no answer: repeated a few times, then parked
	after  time.Duration // asked for by the recipient
}

// send sends records within send_timeout. It never starts later than
// send_timeout after the commit that permitted it: a claim that old may no
// longer be true (protocol.md 5.3).
func (r *recipient) send(ctx context.Context, p *parcel, records []*record) []result {
	left := r.d.opt.SendTimeout - (r.d.opt.Clock.Monotonic() - p.committed)
	out := make([]result, len(records))
	if left <= 0 {
		for i, rec := range records {
			out[i] = result{rec: rec, status: connectors.ItemNotSent, reason: exchange.ReasonNotSent}
		}
		return out
	}
	// A stop of the hub does not cut what is being sent: it ends by its deadline.
	sendCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), left)
	defer cancel()
	items := make([]connectors.Item, len(records))
	for i, rec := range records {
		items[i] = connectors.Item{Disclosure: rec.disclosure(), Record: rec.head.Record, Flow: rec.flowID,
			Type: rec.head.Type, Sequence: rec.sequence, Attempt: int(rec.attempt), Body: rec.body, MediaType: rec.media}
	}
	r.d.opt.Metrics.Recipient(r.system, RecipientSending)
	began := r.d.opt.Clock.Monotonic()
	res, err := r.sink.Send(sendCtx, connectors.Parcel{Recipient: r.system, Items: items})
	r.d.opt.Metrics.Sent(r.system, outcomeLabel(res), len(records), r.d.opt.Clock.Monotonic()-began)
	if err != nil {
		r.log.Warn("send ended without a plain answer", "system", string(r.system), "outcome", res.Overall.String(),
			"records", len(records))
	}
	for i, rec := range records {
		it := res.For(items[i].Disclosure)
		out[i] = result{rec: rec, status: it.Status, reason: it.Reason, after: res.RetryAfter,
			alien: res.Overall == connectors.Unknown && alien(err)}
		if it.Status != connectors.ItemNotSent {
			rec.mark = rec.mark.Raise(exchange.MarkPossibly)
		}
		if it.Status == connectors.ItemAccepted {
			rec.mark = exchange.MarkYes
		}
	}
	return out
}

// alien reports whether something answered that is not what was agreed (HTML, a
// cut or oversized body), rather than nothing.
func alien(err error) bool {
	return err == nil || errors.Is(err, connectors.TroubleAlien) || errors.Is(err, connectors.TroubleCut) ||
		errors.Is(err, connectors.TroubleTooLarge)
}

func outcomeLabel(res connectors.Result) string {
	if res.Overall == connectors.Answered {
		return res.Class.String()
	}
	return res.Overall.String()
}

// conclude settles what can be settled. It reports false when the claim stays
// open for another attempt.
func (r *recipient) conclude(ctx context.Context, p *parcel, results []result) (bool, error) {
	results, err := r.bisect(ctx, p, results)
	if err != nil {
		return false, err
	}
	asked, failed, stopped, sent := time.Duration(0), 0, false, false
	for _, x := range results {
		switch x.status {
		case connectors.ItemAccepted, connectors.ItemRefused:
		case connectors.ItemStopped:
			stopped = true
			failed++
		default:
			failed++
			asked = max(asked, x.after)
		}
		sent = sent || x.status != connectors.ItemNotSent
	}
	if failed == 0 {
		r.healthy()
		return true, r.settle(ctx, p, results)
	}
	r.unhealthy(stopped, asked)
	if failed == len(results) && sent && !r.exhausted(results) && r.ofLanes(p) {
		return false, nil // nothing of it is settled: renew and send again
	}
	return true, r.settle(ctx, p, results)
}

// ofLanes reports whether the parcel still holds ranges of lanes: a spill may
// have detached it.
func (r *recipient) ofLanes(p *parcel) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(p.ranges) > 0
}

// exhausted reports whether some record has had an alien answer too often.
func (r *recipient) exhausted(results []result) bool {
	for _, x := range results {
		if x.alien && x.rec.attempt >= connectors.Repeats {
			return true
		}
	}
	return false
}

func (r *recipient) healthy() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.back.ok()
	r.d.opt.Metrics.Recipient(r.system, RecipientIdle)
}

func (r *recipient) unhealthy(stopped bool, asked time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	state := RecipientBackoff
	if stopped {
		state, asked = RecipientStopped, max(asked, r.back.max)
		r.log.Error("recipient refuses the hub itself; its records wait", "system", string(r.system))
	}
	r.back.fail(r.d.opt.Clock.Monotonic(), asked)
	r.d.opt.Metrics.Recipient(r.system, state)
}

// wait lets the back-off pass; false when the hub stops meanwhile.
func (r *recipient) wait(ctx context.Context) bool {
	for r.pause(ctx) {
		if ctx.Err() != nil {
			return false
		}
	}
	return ctx.Err() == nil
}

// bisect halves what the recipient refused as a whole until the guilty records
// stand alone (protocol.md 5.7). Each half is decided again before it is sent.
func (r *recipient) bisect(ctx context.Context, p *parcel, results []result) ([]result, error) {
	var out, suspects []result
	for _, x := range results {
		if x.status == connectors.ItemSuspected {
			suspects = append(suspects, x)
		} else {
			out = append(out, x)
		}
	}
	if len(suspects) == 0 {
		return results, nil
	}
	if len(suspects) == 1 {
		suspects[0].status = connectors.ItemRefused
		return append(out, suspects[0]), nil
	}
	for _, half := range [2][]result{suspects[:len(suspects)/2], suspects[len(suspects)/2:]} {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err := r.renew(ctx, p); err != nil {
			return nil, err
		}
		var records []*record
		for _, x := range half {
			if x.rec.claimed { // the renewal may have ended it
				records = append(records, x.rec)
			}
		}
		if len(records) == 0 {
			continue
		}
		got, err := r.bisect(ctx, p, r.send(ctx, p, records))
		if err != nil {
			return nil, err
		}
		out = append(out, got...)
	}
	return out, nil
}
