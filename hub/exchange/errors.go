package exchange

import (
	"errors"
	"fmt"
	"time"
)

// Code is the class of an [Error]; the API translates each to one HTTP status.
type Code uint8

// The codes. The zero value is an internal error, the one that says nothing.
const (
	CodeInternal        Code = iota
	CodeMalformed            // 400: not what it claims to be
	CodeUnauthenticated      // 401: who is asking is not proved
	CodeForbidden            // 403: known, but may never do this
	CodeNotFound             // 404: not there, or not for this caller
	CodeConflict             // 409: the state of the thing does not allow it
	CodeTooLarge             // 413: over a bound
	CodeUnsupported          // 415: a media type that is not read here
	CodeInvalid              // 422: well-formed, against a rule
	CodeTooMany              // 429: over a rate or quota; Retry-After
	CodeUnavailable          // 503: not now; Retry-After
	CodeUnknownOutcome       // 503: may or may not have happened; repeat with the same key
)

// Fault is one thing wrong with an input: where, and against which rule. It
// never holds a value of the record.
type Fault struct {
	Pointer Pointer `json:"pointer"`
	Rule    string  `json:"rule"`
	Line    int     `json:"line,omitempty"` // of an NDJSON or CSV request, from 1
	Warning bool    `json:"warning,omitempty"`
}

// Error is the one typed error of the hub. Its text is safe to show: it is
// made of reason codes, pointers and rules, never of values. The wrapped
// cause is for logs and only holds what other packages of the hub put there.
type Error struct {
	Code       Code
	Reason     Reason
	Detail     string // one sentence, safe to show to the caller
	Faults     []Fault
	RetryAfter time.Duration
	cause      error
}

// NewError makes an error with a reason and a sentence safe to show.
func NewError(code Code, reason Reason, detail string, faults ...Fault) *Error {
	return &Error{Code: code, Reason: reason, Detail: detail, Faults: faults}
}

// Because attaches a cause for logs and for errors.Is.
func (e *Error) Because(err error) *Error { c := *e; c.cause = err; return &c }

// After says when to try again.
func (e *Error) After(d time.Duration) *Error { c := *e; c.RetryAfter = d; return &c }

func (e *Error) Error() string {
	s := string(e.Reason)
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	for i, f := range e.Faults {
		if i == 3 {
			s += fmt.Sprintf(" (and %d more)", len(e.Faults)-i)
			break
		}
		s += fmt.Sprintf(" [%s %s]", f.Pointer, f.Rule)
	}
	return s
}

func (e *Error) Unwrap() error { return e.cause }

// AsError finds the [Error] in err's chain; anything else is internal.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return (&Error{Code: CodeInternal, Reason: ReasonInternal}).Because(err)
}
