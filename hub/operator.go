package hub

import (
	"context"
	"fmt"
	"time"

	"raccordo/hub/control"
	"raccordo/hub/delivery"
	"raccordo/hub/exchange"
	"raccordo/hub/ledger"
	"raccordo/hub/officer"
	"raccordo/hub/store"
)

// operator is the hub as its control socket shows it.

type operator struct{ h *Hub }

var _ control.Hub = (*operator)(nil)

var byOperator = officer.By{Operator: true}

// up refuses what widens disclosure while the hub is not ready. What narrows it
// (a withdrawal, a stop, a link, a closed dossier) only needs a ledger that can
// be written.
func (o *operator) up(ctx context.Context) error { return o.h.Ready(ctx) }

func (o *operator) Status(ctx context.Context, _ control.Nothing) (control.Status, error) {
	h := o.h
	s := control.Status{Version: h.opt.Version, Hub: h.store.Hub(), API: h.URL(), Admin: "http://" + h.AdminAddr(),
		Network: h.Network().Name, Digest: h.Network().Digest, Flows: map[exchange.FlowID]map[string]int64{}, Quarantined: []string{}}
	if err := h.Ready(ctx); err != nil {
		s.Why = exchange.AsError(err).Detail
	} else {
		s.Ready = true
	}
	sums, err := h.sums(ctx)
	if err != nil {
		return s, err
	}
	s.Entries, s.Behind, s.Imbalance, s.Waiting = sums.Ledger, sums.Behind, sums.Imbalance, sums.Waiting
	for f, states := range sums.States {
		s.Flows[f] = map[string]int64{}
		for state, n := range states {
			if n != 0 {
				s.Flows[f][state.String()] = n
			}
		}
	}
	s.Recipients = map[exchange.SystemID]string{}
	for system, state := range h.metrics.Recipients() {
		if state == delivery.RecipientBackoff || state == delivery.RecipientStopped {
			s.Recipients[system] = string(state)
		}
	}
	for lane, why := range h.deliverer.Quarantined() {
		s.Quarantined = append(s.Quarantined, fmt.Sprintf("%s/%d: %s", lane.Class, lane.Lane, why))
	}
	err = h.store.View(ctx, func(tx store.ReadTx) error {
		head, err := tx.Head()
		s.Stopped = head.Stopped
		return err
	})
	return s, err
}

// ConfirmClock lets the hub go on with its clock; that an operator did so is

// the first entry under it. A clock that is trusted needs no confirmation.

func (o *operator) ConfirmClock(ctx context.Context, _ control.Nothing) (control.Nothing, error) {
	if o.h.writer.Clock() == nil {
		return control.Nothing{}, nil
	}
	fact, err := exchange.EncodeFact(exchange.OperatorFact{Act: "confirm_clock", Reason: "clock_checked"})
	if err != nil {
		return control.Nothing{}, err
	}
	_, err = o.h.writer.Submit(ctx, &ledger.Item{ConfirmsClock: true, Decide: func(*ledger.State) (*ledger.Change, error) {
		return &ledger.Change{Draft: &ledger.Draft{Kind: exchange.KindClock, Fact: fact}}, nil
	}})
	return control.Nothing{}, err
}

func entry(r ledger.Result) control.Entry {
	return control.Entry{Seq: r.Seq, Time: time.UnixMilli(r.Time).UTC()}
}

func (o *operator) StopDisclosures(ctx context.Context, q control.StopRequest) (control.Entry, error) {
	if err := code(q.Reason); err != nil {
		return control.Entry{}, err
	}
	if err := o.h.writable(); err != nil {
		return control.Entry{}, err
	}
	res, err := o.h.register.Stop(ctx, q.Stopped, q.Reason)
	return entry(res), err
}

// code refuses free text where an operator's reason goes into the ledger.

func code(reason string) error {
	if !exchange.ValidName(reason) {
		return exchange.NewError(exchange.CodeInvalid, exchange.ReasonParameter,
			"a reason is a code: small letters, digits and underscores, at most 63")
	}
	return nil
}

// personOf reads who is meant.

// Export writes the ledger to a directory, as of a checkpoint signed now.

// RotateKeys makes new keys. A new signing key counts once its announcement,

// signed under the old one, stands in the ledger.

// rotateVoucher makes a new voucher key; vouchers under the old one stay good

// until they expire.
