package intake

import (
	"encoding/json"
	"fmt"

	"raccordo/hub/exchange"
)

// Acknowledgement is what became of a push; it is kept sealed in the frame, so
// that a repeated request is answered alike.
type Acknowledgement struct {
	Frame exchange.FrameID `json:"frame"`
	Lines []Line           `json:"lines"`
}

// Line is the fate of one record: accepted if Record is not zero.
type Line struct {
	Line        int               `json:"line"`
	Record      exchange.RecordID `json:"record"`
	Recipients  []LineRecipient   `json:"recipients,omitempty"`
	NoRecipient []exchange.Role   `json:"no_recipient,omitempty"`
	Warnings    []exchange.Fault  `json:"warnings,omitempty"`
	Code        exchange.Code     `json:"code,omitempty"`
	Reason      exchange.Reason   `json:"reason,omitempty"`
	Detail      string            `json:"detail,omitempty"`
	Faults      []exchange.Fault  `json:"faults,omitempty"`
}

// LineRecipient is one flow an accepted record takes.
type LineRecipient struct {
	Flow exchange.FlowID `json:"flow"`
	Body exchange.BodyID `json:"body"`
	Role exchange.Role   `json:"role"`
}

// Accepted reports whether the line's record is in the stream.
func (l *Line) Accepted() bool { return l.Record != exchange.RecordID{} }

// Refusal is the line's refusal as an error, nil if it was accepted.
func (l *Line) Refusal() error {
	if l.Accepted() {
		return nil
	}
	return exchange.NewError(l.Code, l.Reason, l.Detail, l.Faults...)
}

// Count is how many lines were accepted and how many refused.
func (a *Acknowledgement) Count() (accepted, refused int) {
	for i := range a.Lines {
		if a.Lines[i].Accepted() {
			accepted++
		} else {
			refused++
		}
	}
	return accepted, refused
}

// refuse makes the line's fate a refusal. It names a rule even where the error
// names none, so that whoever reads line by line sees why.
func (l *Line) refuse(err error) {
	e := exchange.AsError(err)
	l.Code, l.Reason, l.Detail, l.Faults = e.Code, e.Reason, e.Detail, e.Faults
	if len(l.Faults) == 0 {
		l.Faults = []exchange.Fault{{Rule: string(e.Reason)}}
	}
}

func (a *Acknowledgement) encode() ([]byte, error) {
	b, err := json.Marshal(a)
	if err != nil {
		return nil, fmt.Errorf("encode acknowledgement: %w", err)
	}
	return b, nil
}

func decodeAcknowledgement(b []byte) (*Acknowledgement, error) {
	var a Acknowledgement
	if err := json.Unmarshal(b, &a); err != nil {
		return nil, fmt.Errorf("decode acknowledgement: %w", exchange.ErrFrame)
	}
	return &a, nil
}
