package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"raccordo/hub/exchange"
)

// Bounds of answers, as the specification has them.
const (
	maxLineFaults = 100
	maxWarnings   = 1_000
)

type recipientJSON struct {
	Flow   exchange.FlowID `json:"flow"`
	Body   exchange.BodyID `json:"body"`
	Role   exchange.Role   `json:"role"`
	State  SenderState     `json:"state"`
	Reason exchange.Reason `json:"reason,omitempty"`
}

type acknowledgementJSON struct {
	Record      exchange.RecordID   `json:"record_id"`
	Type        exchange.RecordType `json:"record_type"`
	Recipients  []recipientJSON     `json:"recipients"`
	NoRecipient []exchange.Role     `json:"no_recipient"`
	Warnings    []fault             `json:"warnings"`
}

type batchJSON struct {
	Accepted int        `json:"accepted"`
	Refused  int        `json:"refused"`
	Lines    []lineJSON `json:"lines"`
}

type lineJSON struct {
	Line        int                `json:"line"`
	Record      *exchange.RecordID `json:"record_id,omitempty"`
	NoRecipient []exchange.Role    `json:"no_recipient,omitempty"`
	Warnings    []fault            `json:"warnings,omitempty"`
	Errors      []fault            `json:"errors,omitempty"`
}

func recipients(in []Recipient) []recipientJSON {
	out := make([]recipientJSON, len(in))
	for i, r := range in {
		out[i] = recipientJSON(r)
	}
	return out
}

func (a *API) pushRecords(ctx context.Context, c *call) (*answer, error) {
	t, err := recordType(c)
	if err != nil {
		return nil, err
	}
	ack, err := a.o.Intake.Push(ctx, PushRequest{
		Caller: c.caller, Type: t, Key: c.key, MediaType: c.media, Body: exchange.NewPayload(c.body),
	})
	if err != nil {
		return nil, err
	}
	if c.media == MediaNDJSON {
		return batchAnswer(ack)
	}
	return singleAnswer(t, ack)
}

// recordType is that of the path; a text that is no name is a type nobody has.
func recordType(c *call) (exchange.RecordType, error) {
	t, err := exchange.ParseName[exchange.RecordType](c.r.PathValue("record_type"))
	if err != nil {
		return "", errNotFound
	}
	return t, nil
}

var errAcknowledgement = errors.New("intake gave an acknowledgement that fits no request")

func singleAnswer(t exchange.RecordType, ack *Acknowledgement) (*answer, error) {
	if ack == nil || len(ack.Lines) != 1 {
		return nil, errAcknowledgement
	}
	line := ack.Lines[0]
	if len(line.Faults) > 0 {
		return nil, exchange.NewError(exchange.CodeInvalid, exchange.ReasonSchema, "the record breaks a rule", line.Faults...)
	}
	out := acknowledgementJSON{Record: line.Record, Type: t, Recipients: recipients(line.Recipients),
		NoRecipient: line.NoRecipient, Warnings: faults(line.Warnings, maxWarnings)}
	if out.NoRecipient == nil {
		out.NoRecipient = []exchange.Role{}
	}
	if out.Warnings == nil {
		out.Warnings = []fault{}
	}
	ans, err := asJSON(http.StatusAccepted, out)
	if err != nil {
		return nil, err
	}
	ans.location = "/v1/records/" + string(t) + "/" + line.Record.String()
	return ans, nil
}

// batchAnswer answers per line: 202 when at least one was accepted, 422 with
// every line's faults when none was (design.md 5.9).
func batchAnswer(ack *Acknowledgement) (*answer, error) {
	if ack == nil {
		return nil, errAcknowledgement
	}
	out := batchJSON{Lines: make([]lineJSON, len(ack.Lines))}
	var all []exchange.Fault
	for i := range ack.Lines {
		in, line := &ack.Lines[i], &out.Lines[i]
		line.Line = in.Line
		if len(in.Faults) > 0 {
			out.Refused++
			line.Errors = faults(withoutLine(in.Faults), maxLineFaults)
			for _, f := range in.Faults {
				f.Line = in.Line
				all = append(all, f)
			}
			continue
		}
		out.Accepted++
		line.Record, line.NoRecipient = &in.Record, in.NoRecipient
		line.Warnings = faults(withoutLine(in.Warnings), maxLineFaults)
	}
	if out.Accepted == 0 {
		return nil, exchange.NewError(exchange.CodeInvalid, exchange.ReasonSchema, "no line was accepted", all...)
	}
	return asJSON(http.StatusAccepted, out)
}

// withoutLine drops from faults what their line says already.
func withoutLine(in []exchange.Fault) []exchange.Fault {
	if len(in) == 0 {
		return nil
	}
	out := make([]exchange.Fault, len(in))
	for i, f := range in {
		f.Line = 0
		out[i] = f
	}
	return out
}

type recordStatusJSON struct {
	Record     exchange.RecordID   `json:"record_id"`
	Type       exchange.RecordType `json:"record_type"`
	ReceivedAt time.Time           `json:"received_at"`
	Recipients []recipientJSON     `json:"recipients"`
}

func (a *API) readRecordStatus(ctx context.Context, c *call) (*answer, error) {
	t, err := recordType(c)
	if err != nil {
		return nil, err
	}
	id, err := exchange.ParseRecordID(uuidText(c.r.PathValue("record_id")))
	if err != nil {
		return nil, errNotFound
	}
	s, err := a.o.Records.RecordStatus(ctx, c.caller, t, id)
	if err != nil {
		return nil, err
	}
	return asJSON(http.StatusOK, recordStatusJSON{s.Record, s.Type, s.ReceivedAt.UTC(), recipients(s.Recipients)})
}

// uuidText lets only the one spelling of an id through that the specification
// has; the constructors also read one without hyphens.
func uuidText(s string) string {
	if len(s) != 36 {
		return ""
	}
	return s
}
