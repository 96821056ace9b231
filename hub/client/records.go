package client

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"raccordo/hub/exchange"
)

// MediaNDJSON is the media type of many records, one a line.
const MediaNDJSON = "application/x-ndjson"

// Push is one request with one record, or many in NDJSON.
type Push struct {
	Type      exchange.RecordType
	Key       string // Idempotency-Key, 1 to 128 printable ASCII characters
	MediaType string // application/json, application/x-ndjson or application/xml
	Body      exchange.Payload
}

// Acknowledgement says what was accepted, durably, and what was refused. One
// record is one line.
type Acknowledgement struct {
	Accepted int    `json:"accepted"`
	Refused  int    `json:"refused"`
	Lines    []Line `json:"lines"`
}

// Line is one record's.
type Line struct {
	Line        int                `json:"line"`
	Record      *exchange.RecordID `json:"record_id,omitempty"` // nil: refused
	Recipients  []Recipient        `json:"recipients,omitempty"`
	NoRecipient []exchange.Role    `json:"no_recipient,omitempty"`
	Warnings    []exchange.Fault   `json:"warnings,omitempty"`
	Errors      []exchange.Fault   `json:"errors,omitempty"`
}

// Recipient is where a record is, as far as its sender may know.
type Recipient struct {
	Flow   exchange.FlowID `json:"flow"`
	Body   exchange.BodyID `json:"body"`
	Role   exchange.Role   `json:"role"`
	State  string          `json:"state"`
	Reason exchange.Reason `json:"reason,omitempty"`
}

// Push hands records over. On a nil error what the acknowledgement names is
// durable. After [exchange.CodeUnknownOutcome], [exchange.CodeUnavailable] or
// [exchange.CodeTooMany] the same push may be made again with the same key.
func (c *Client) Push(ctx context.Context, p Push) (*Acknowledgement, error) {
	r := request{method: http.MethodPost, url: c.o.URL + "/v1/records/" + string(p.Type), media: p.MediaType, key: p.Key,
		body: p.Body.Reveal()}
	if p.MediaType == MediaNDJSON {
		out := &Acknowledgement{}
		return out, c.authorised(ctx, r, out)
	}
	var one struct {
		Record      exchange.RecordID `json:"record_id"`
		Recipients  []Recipient       `json:"recipients"`
		NoRecipient []exchange.Role   `json:"no_recipient"`
		Warnings    []exchange.Fault  `json:"warnings"`
	}
	if err := c.authorised(ctx, r, &one); err != nil {
		return nil, err
	}
	return &Acknowledgement{Accepted: 1, Lines: []Line{{Line: 1, Record: &one.Record, Recipients: one.Recipients,
		NoRecipient: one.NoRecipient, Warnings: one.Warnings}}}, nil
}

// RecordStatus is where a record that this system pushed is.
type RecordStatus struct {
	Record     exchange.RecordID   `json:"record_id"`
	Type       exchange.RecordType `json:"record_type"`
	ReceivedAt time.Time           `json:"received_at"`
	Recipients []Recipient         `json:"recipients"`
}

// RecordStatus asks where a record is.
func (c *Client) RecordStatus(ctx context.Context, t exchange.RecordType, id exchange.RecordID) (RecordStatus, error) {
	var out RecordStatus
	err := c.JSON(ctx, http.MethodGet, "/v1/records/"+string(t)+"/"+id.String(), nil, &out)
	return out, err
}

// Item is one record of a mailbox, in the recipient's own format.
type Item struct {
	Disclosure exchange.DisclosureID
	Record     exchange.RecordID
	Type       exchange.RecordType
	Flow       exchange.FlowID
	Sequence   uint64 // rises per flow and person
	MediaType  string
	Content    exchange.Payload
	LeaseUntil time.Time // until then no other fetch gives it
}

// Page is what one fetch gives.
type Page struct {
	Items []Item
	More  bool
}

// Fetch takes up to limit items; 0 leaves the number to the hub. What it
// returns is claimed for this system, and is offered again unless it is
// acknowledged.
func (c *Client) Fetch(ctx context.Context, limit int) (Page, error) {
	path := "/v1/mailbox"
	if limit > 0 {
		path += "?limit=" + strconv.Itoa(limit)
	}
	var in struct {
		Items []struct {
			Disclosure exchange.DisclosureID `json:"disclosure_id"`
			Record     exchange.RecordID     `json:"record_id"`
			Type       exchange.RecordType   `json:"record_type"`
			Flow       exchange.FlowID       `json:"flow"`
			Sequence   uint64                `json:"sequence"`
			MediaType  string                `json:"media_type"`
			JSON       json.RawMessage       `json:"record"`
			Content    string                `json:"content"`
			LeaseUntil time.Time             `json:"lease_until"`
		} `json:"items"`
		More bool `json:"more"`
	}
	if err := c.JSON(ctx, http.MethodGet, path, nil, &in); err != nil {
		return Page{}, err
	}
	out := Page{More: in.More, Items: make([]Item, len(in.Items))}
	for i, x := range in.Items {
		content := []byte(x.JSON)
		if content == nil {
			content = []byte(x.Content)
		}
		out.Items[i] = Item{Disclosure: x.Disclosure, Record: x.Record, Type: x.Type, Flow: x.Flow, Sequence: x.Sequence,
			MediaType: x.MediaType, Content: exchange.NewPayload(content), LeaseUntil: x.LeaseUntil}
	}
	return out, nil
}

// ItemAcknowledgement is the answer to an item: received, unless Refusal says why not.
type ItemAcknowledgement struct {
	Disclosure exchange.DisclosureID
	Refusal    string // "", or invalid, unknown_person, not_competent
}

// ItemResult is what became of an acknowledgement: settled, already_settled or
// not_found.
type ItemResult struct {
	Disclosure exchange.DisclosureID `json:"disclosure_id"`
	Result     string                `json:"result"`
}

// Acknowledge settles items that this system fetched.
func (c *Client) Acknowledge(ctx context.Context, acks ...ItemAcknowledgement) ([]ItemResult, error) {
	type ackJSON struct {
		Disclosure exchange.DisclosureID `json:"disclosure_id"`
		Outcome    string                `json:"outcome"`
		Refusal    string                `json:"refusal,omitempty"`
	}
	var in struct {
		Acknowledgements []ackJSON `json:"acknowledgements"`
	}
	for _, a := range acks {
		outcome := "received"
		if a.Refusal != "" {
			outcome = "refused"
		}
		in.Acknowledgements = append(in.Acknowledgements, ackJSON{a.Disclosure, outcome, a.Refusal})
	}
	var out struct {
		Results []ItemResult `json:"results"`
	}
	err := c.JSON(ctx, http.MethodPost, "/v1/mailbox/acknowledgements", in, &out)
	return out.Results, err
}
