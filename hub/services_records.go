package hub

import (
	"context"
	"errors"
	"slices"
	"time"

	"raccordo/hub/api"
	"raccordo/hub/exchange"
	"raccordo/hub/intake"
	"raccordo/hub/store"
)

type pushes struct{ h *Hub }

func (p pushes) Push(ctx context.Context, r api.PushRequest) (*api.Acknowledgement, error) {
	if err := p.h.Ready(ctx); err != nil {
		return nil, err
	}
	ack, err := p.h.intake.Push(ctx, intake.Push{System: r.Caller.System, Type: r.Type, Key: r.Key, MediaType: r.MediaType, Body: r.Body})
	if err != nil {
		return nil, err
	}
	out := &api.Acknowledgement{Lines: make([]api.LineAcknowledgement, len(ack.Lines))}
	for i := range ack.Lines {
		l := &ack.Lines[i]
		x := api.LineAcknowledgement{Line: l.Line, Record: l.Record, NoRecipient: l.NoRecipient, Warnings: l.Warnings, Faults: l.Faults}
		if !l.Accepted() && len(x.Faults) == 0 {
			x.Faults = []exchange.Fault{{Rule: string(l.Reason)}}
		}
		for _, to := range l.Recipients {
			x.Recipients = append(x.Recipients, api.Recipient{Flow: to.Flow, Body: to.Body, Role: to.Role, State: api.SenderPending})
		}
		out.Lines[i] = x
	}
	return out, nil
}

type records struct{ h *Hub }

// RecordStatus shows a sender what it may know (protocol.md 7).
func (s records) RecordStatus(ctx context.Context, c api.Caller, t exchange.RecordType, id exchange.RecordID) (api.RecordStatus, error) {
	// Memory first: a row leaves it only once it is in the store, so that a
	// record is never in neither.
	row, fresh := s.h.index.Record(id)
	var status []store.StatusRow
	err := s.h.store.View(ctx, func(tx store.ReadTx) (err error) {
		if status, err = tx.StatusOf(id); err != nil || fresh {
			return err
		}
		row, err = tx.Record(id)
		return err
	})
	if errors.Is(err, store.ErrNotFound) || err == nil && (row.Producer != c.System || row.Type != t) {
		return api.RecordStatus{}, exchange.NewError(exchange.CodeNotFound, exchange.ReasonNotFound, "")
	}
	if err != nil {
		return api.RecordStatus{}, err
	}
	out := api.RecordStatus{Record: id, Type: t, ReceivedAt: time.UnixMilli(row.ReceivedAt).UTC()}
	for _, f := range row.Flows {
		out.Recipients = append(out.Recipients, s.recipient(f, status))
	}
	return out, nil
}

func (s records) recipient(id exchange.FlowID, status []store.StatusRow) api.Recipient {
	out := api.Recipient{Flow: id, State: api.SenderPending}
	f := s.h.Network().Flow(id)
	if f != nil {
		out.Body, out.Role = f.Recipient.Body, f.Recipient.Role
	} else { // it left the network
		former := s.h.former[id]
		out.Body, out.Role = former.Body, former.Role
	}
	n := exchange.FlowNumber(id)
	i := slices.IndexFunc(status, func(r store.StatusRow) bool { return r.Flow == n })
	if i < 0 {
		return out
	}
	row := status[i]
	out.State = senderState(row.State, row.Reason)
	if f != nil && f.Clause.Sees(row.Reason) {
		out.Reason = row.Reason
	}
	return out
}

// senderState is the most a sender may know: "no dossier" would itself be a
// disclosure. It is told of a failure only where its own data do not fit; what
// else is parked is still in an operator's hands.
func senderState(s exchange.State, why exchange.Reason) api.SenderState {
	switch s {
	case exchange.StateDelivered, exchange.StateUnchanged:
		return api.SenderDelivered
	case exchange.StateDiscarded:
		return api.SenderFailed
	case exchange.StateParked:
		if slices.Contains(unfit, why) {
			return api.SenderFailed
		}
	case exchange.StateWithheld, exchange.StateExpired, exchange.StateErased, exchange.StatePossiblyDelivered:
		return api.SenderNotReleased
	}
	return api.SenderPending
}

// unfit are the reasons of parking that lie in the record.
var unfit = []exchange.Reason{exchange.ReasonFormatMismatch, exchange.ReasonMappingFailed, exchange.ReasonRefused,
	exchange.ReasonRecipientInvalid, exchange.ReasonRecipientNoData, exchange.ReasonUndecodable}
