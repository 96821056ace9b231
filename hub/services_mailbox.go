package hub

import (
	"context"

	"raccordo/connectors"
	"raccordo/connectors/mailbox"
	"raccordo/hub/api"
	"raccordo/hub/exchange"
)

type mailboxes struct{ h *Hub }

func (m mailboxes) box(c api.Caller) (*mailbox.Mailbox, error) {
	box, ok := m.h.outlets[c.System].(*mailbox.Mailbox)
	if !ok {
		return nil, exchange.NewError(exchange.CodeNotFound, exchange.ReasonNotFound, "the system has no mailbox")
	}
	return box, nil
}

func (m mailboxes) Fetch(ctx context.Context, c api.Caller, limit int) (api.MailboxPage, error) {
	box, err := m.box(c)
	if err != nil {
		return api.MailboxPage{}, err
	}
	got, err := box.Fetch(ctx, limit)
	if err != nil {
		return api.MailboxPage{}, err
	}
	page := api.MailboxPage{More: got.More}
	for _, x := range got.Items {
		page.Items = append(page.Items, api.MailboxItem{Disclosure: x.Disclosure, Record: x.Record, Type: x.Type, Flow: x.Flow,
			Sequence: x.Sequence, MediaType: x.MediaType, Content: x.Body, LeaseUntil: x.LeasedUntil})
	}
	return page, nil
}

func (m mailboxes) Acknowledge(ctx context.Context, c api.Caller, acks []api.ItemAcknowledgement) ([]api.ItemResult, error) {
	box, err := m.box(c)
	if err != nil {
		return nil, err
	}
	list := make([]mailbox.Acknowledgement, len(acks))
	for i, a := range acks {
		list[i] = mailbox.Acknowledgement{Disclosure: a.Disclosure.String(), Result: "accepted"}
		if a.Outcome == api.ItemRefused {
			list[i].Result, list[i].Reason = "refused", refusalReason(a.Refusal)
		}
	}
	got, err := box.Acknowledge(ctx, list)
	if err != nil {
		return nil, err
	}
	out := make([]api.ItemResult, len(got))
	for i, r := range got {
		out[i] = map[connectors.AckResult]api.ItemResult{connectors.AckSettled: api.ItemSettled,
			connectors.AckRepeated: api.ItemAlready, connectors.AckUnknown: api.ItemNotFound}[r]
	}
	return out, nil
}

func refusalReason(r string) string {
	switch r {
	case api.RefusalInvalid:
		return string(exchange.ReasonRecipientInvalid)
	case api.RefusalUnknownPerson:
		return string(exchange.ReasonRecipientNoData)
	}
	return string(exchange.ReasonRefused)
}
