package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"raccordo/hub/exchange"
)

// Bounds of the mailbox, as the specification has them.
const (
	mostItems    = 500
	defaultItems = 100
)

type mailboxJSON struct {
	Items []mailboxItemJSON `json:"items"`
	More  bool              `json:"more"`
}

type mailboxItemJSON struct {
	Disclosure exchange.DisclosureID `json:"disclosure_id"`
	Record     exchange.RecordID     `json:"record_id"`
	Type       exchange.RecordType   `json:"record_type"`
	Flow       exchange.FlowID       `json:"flow"`
	Sequence   uint64                `json:"sequence"`
	MediaType  string                `json:"media_type"`
	JSON       json.RawMessage       `json:"record,omitempty"`
	Content    *string               `json:"content,omitempty"`
	LeaseUntil time.Time             `json:"lease_until"`
}

func (a *API) fetchMailbox(ctx context.Context, c *call) (*answer, error) {
	limit, there, err := c.number("limit", 1, mostItems)
	if err != nil {
		return nil, err
	}
	if !there {
		limit = defaultItems
	}
	page, err := a.o.Mailbox.Fetch(ctx, c.caller, int(limit))
	if err != nil {
		return nil, err
	}
	out := mailboxJSON{Items: make([]mailboxItemJSON, len(page.Items)), More: page.More}
	for i, item := range page.Items {
		out.Items[i] = mailboxItemJSON{Disclosure: item.Disclosure, Record: item.Record, Type: item.Type, Flow: item.Flow,
			Sequence: item.Sequence, MediaType: item.MediaType, LeaseUntil: item.LeaseUntil.UTC()}
		if item.MediaType == MediaJSON {
			out.Items[i].JSON = item.Content.Reveal()
		} else {
			text := string(item.Content.Reveal())
			out.Items[i].Content = &text
		}
	}
	ans, err := asJSON(http.StatusOK, out)
	if err != nil {
		// An encoder's error may quote what it stumbled over.
		return nil, errItemContent
	}
	return ans, nil
}

var errItemContent = errors.New("an item of the mailbox is not of its media type")

type mailboxResultJSON struct {
	Disclosure exchange.DisclosureID `json:"disclosure_id"`
	Result     ItemResult            `json:"result"`
}

func (a *API) acknowledgeMailbox(ctx context.Context, c *call) (*answer, error) {
	var acks []ItemAcknowledgement
	err := c.decode(func(m *members) {
		m.list("acknowledgements", mostItems, func(m *members) { acks = append(acks, acknowledgement(m)) })
	})
	if err != nil {
		return nil, err
	}
	results, err := a.o.Mailbox.Acknowledge(ctx, c.caller, acks)
	if err != nil {
		return nil, err
	}
	if len(results) != len(acks) {
		return nil, errors.New("mailbox answered another number of items than it was asked")
	}
	out := struct {
		Results []mailboxResultJSON `json:"results"`
	}{make([]mailboxResultJSON, len(acks))}
	for i := range acks {
		out.Results[i] = mailboxResultJSON{acks[i].Disclosure, results[i]}
	}
	return asJSON(http.StatusOK, out)
}

func acknowledgement(m *members) ItemAcknowledgement {
	var ack ItemAcknowledgement
	ack.Disclosure = exchange.DisclosureID(m.id("disclosure_id", func(s string) ([16]byte, error) {
		id, err := exchange.ParseDisclosureID(s)
		return id, err
	}))
	ack.Outcome = ItemOutcome(m.oneOf("outcome", true, string(ItemReceived), string(ItemRefused)))
	ack.Refusal = m.oneOf("refusal", ack.Outcome == ItemRefused, RefusalInvalid, RefusalUnknownPerson, RefusalNotCompetent)
	if ack.Refusal != "" && ack.Outcome == ItemReceived {
		m.fault(m.at.Append("refusal"), "not")
	}
	return ack
}

// id reads an identifier in its UUID form.
func (m *members) id(name string, parse func(string) ([16]byte, error)) [16]byte {
	v, ok := m.get(name, true)
	if !ok {
		return [16]byte{}
	}
	text, ok := v.(string)
	if !ok {
		m.fault(m.at.Append(name), "type")
		return [16]byte{}
	}
	id, err := parse(uuidText(text))
	if err != nil {
		m.fault(m.at.Append(name), "format")
	}
	return id
}
