package delivery

import (
	"context"
	"errors"

	"raccordo/hub/exchange"
	"raccordo/hub/gate"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
)

// errSettled says that somebody else closed the claim.
var errSettled = errors.New("the claim is no longer open")

// renew decides the open records again before a new attempt (protocol.md 5.6):
// those permitted stay claimed, the others end by their mark.
func (r *recipient) renew(ctx context.Context, p *parcel) error {
	for {
		if err := r.prepare(ctx, &parcel{plan: p.plan, records: p.open()}); err != nil {
			return err
		}
		err := r.submitRenewal(ctx, p)
		switch {
		case errors.Is(err, errStalePlan):
			r.replan(p)
		case errors.Is(err, errRedecide):
		case errors.Is(err, errStopped):
			r.idle(ctx)
		default:
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

func (r *recipient) submitRenewal(ctx context.Context, p *parcel) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	open := p.open()
	needs := r.settleNeeds(p)
	needs.Subjects = subjectsOf(open)
	var f *fates
	item := &ledger.Item{Needs: needs, Decide: func(s *ledger.State) (*ledger.Change, error) {
		var err error
		f, err = r.decideRenewal(p, open, s)
		if err != nil {
			return nil, err
		}
		return f.change, nil
	}}
	if _, err := r.d.opt.Ledger.Submit(ctx, item); err != nil {
		return err
	}
	p.committed = r.d.opt.Clock.Monotonic()
	for i, rec := range open {
		if rec.claimed = f.claimed[i]; rec.claimed {
			rec.attempt++
		}
	}
	r.waits += int64(f.waits)
	if f.open == 0 {
		r.passed(p.ranges)
		p.seq, r.current = 0, nil
	}
	return nil
}

func (r *recipient) decideRenewal(p *parcel, open []*record, s *ledger.State) (*fates, error) {
	old := s.Claims[p.seq]
	switch {
	case old == nil:
		return nil, errSettled
	case s.Head.Network != p.plan.Digest():
		return nil, errStalePlan
	case s.Head.Stopped:
		return nil, errStopped
	}
	f := &fates{claimed: make([]bool, len(open)), change: &ledger.Change{Draft: &ledger.Draft{
		Kind: exchange.KindRenewal, System: r.system, Refers: p.seq, Lanes: p.ranges}}}
	env := &setAside{system: r.system, plan: p.plan, sealer: r.d.opt.Sealer, at: s.Facts.Now()}
	claim := *old
	claim.Rows, claim.At = nil, s.Facts.Now().UnixMilli()
	for i, rec := range open {
		row, err := r.renewOne(p, rec, i, s, f, env)
		if err != nil {
			return nil, err
		}
		if row != nil {
			claim.Rows = append(claim.Rows, *row)
			f.claimed[i] = true
		}
	}
	f.open = len(claim.Rows)
	if f.open > 0 {
		f.change.OpenClaims = []store.Claim{claim}
	} else {
		f.change.CloseClaims = []uint64{p.seq}
		f.change.Cursors = p.moves(r.system)
	}
	return f, nil
}

func (r *recipient) renewOne(p *parcel, rec *record, i int, s *ledger.State, f *fates, env *setAside) (*store.ClaimRow, error) {
	if rec.failure != "" {
		return nil, r.park(rec, i, s, f, env, rec.failure)
	}
	d := gate.Decide(&rec.question, s.Facts)
	switch d.Outcome {
	case exchange.OutcomePermit:
		if !rec.ahead.Same(&d) {
			return nil, errRedecide
		}
		return r.take(rec, p.seq, f, &d), nil
	case exchange.OutcomeHold:
		return nil, r.setAside(rec, i, s, f, env, eventOf(d.Event), d.Reason, &d)
	default:
		r.end(rec, f, exchange.StateWithheld, d.Reason, &d)
		return nil, nil
	}
}
