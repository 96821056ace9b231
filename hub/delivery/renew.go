package delivery

import (
	"context"

	"raccordo/hub/exchange"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
)

// renew decides open records of the claim again before a new attempt (protocol.md
// 5.6): those permitted stay claimed, the others end by their mark. Records of
// the claim that are not among them stay as they are.
func (r *recipient) renew(ctx context.Context, p *parcel, records []*record) error {
	return r.settled(ctx, p, records, func() error { return r.submitRenewal(ctx, p, records) })
}

func (r *recipient) submitRenewal(ctx context.Context, p *parcel, records []*record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var k *docket
	item := &ledger.Item{Needs: r.claimNeeds(p, records), Decide: func(s *ledger.State) (*ledger.Change, error) {
		switch {
		case s.Head.Network != p.plan.Digest():
			return nil, errStalePlan
		case s.Head.Stopped:
			return nil, errStopped
		}
		if err := r.ours(p, records, s); err != nil {
			return nil, err
		}
		k = r.docket(p, s, exchange.KindRenewal, records)
		return k.renewal()
	}}
	before := r.d.opt.Clock.Monotonic()
	if _, err := r.d.opt.Ledger.Submit(ctx, item); err != nil {
		return err
	}
	k.apply()
	p.committed, p.fresh = before, true
	p.mixed = p.mixed || len(k.open) < len(records)
	if len(p.open()) == 0 {
		p.seq, r.current = 0, nil
		r.passed(p)
		r.due.Store(true)
	}
	return nil
}

// renewal decides the records of an open claim again.
func (k *docket) renewal() (*ledger.Change, error) {
	claim := *k.s.Claims[k.p.seq]
	k.change.Draft.Refers = claim.Seq
	type key struct {
		record exchange.RecordID
		flow   exchange.FlowID
	}
	renewed := make(map[key]bool, len(k.records))
	for i, rec := range k.records {
		renewed[key{rec.head.Record, rec.flowID}] = true
		if _, err := k.judge(i, claim.Seq); err != nil {
			return nil, err
		}
	}
	rows := claim.Rows
	claim.Rows, claim.At = nil, k.at()
	for _, row := range rows {
		if !renewed[key{row.Record, row.Flow}] {
			claim.Rows = append(claim.Rows, row)
		}
	}
	if claim.Rows = append(claim.Rows, k.open...); len(claim.Rows) > 0 {
		k.change.OpenClaims = []store.Claim{claim}
	} else {
		k.change.CloseClaims, k.change.Cursors = []uint64{claim.Seq}, k.p.moves(k.r.system)
	}
	return k.change, nil
}
