package consent

import (
	"errors"
	"slices"

	"raccordo/hub/exchange"
)

// Status is the state of a consent, in the short words of design.md section 2.
// The zero value is none of them and permits nothing.
type Status string

// The states. Of DPV's, ConsentRequestDeferred is not kept apart: an answer put
// off is no answer.
const (
	StatusUnknown     Status = "unknown"     // not known, as after a restore
	StatusRequested   Status = "requested"   // asked, not answered
	StatusRefused     Status = "refused"     // by the person
	StatusGiven       Status = "given"       // permits
	StatusRenewed     Status = "renewed"     // given again; permits
	StatusExpired     Status = "expired"     // its time is over
	StatusWithdrawn   Status = "withdrawn"   // by the person
	StatusRevoked     Status = "revoked"     // by anyone else
	StatusInvalidated Status = "invalidated" // found never to have been valid
)

const dpv = "https://w3id.org/dpv#"

// statuses is the table of all states; the index plus one is the number in an
// event, so it is append only.
var statuses = []struct {
	status Status
	iri    string
}{
	{StatusUnknown, dpv + "ConsentUnknown"},
	{StatusRequested, dpv + "ConsentRequested"},
	{StatusRefused, dpv + "ConsentRefused"},
	{StatusGiven, dpv + "ConsentGiven"},
	{StatusRenewed, dpv + "RenewedConsentGiven"},
	{StatusExpired, dpv + "ConsentExpired"},
	{StatusWithdrawn, dpv + "ConsentWithdrawn"},
	{StatusRevoked, dpv + "ConsentRevoked"},
	{StatusInvalidated, dpv + "ConsentInvalidated"},
}

// Statuses are all states.
func Statuses() []Status {
	out := make([]Status, len(statuses))
	for i, s := range statuses {
		out[i] = s.status
	}
	return out
}

// ParseStatus reads a short word or a DPV IRI.
func ParseStatus(text string) (Status, error) {
	for _, s := range statuses {
		if text == string(s.status) || text == s.iri {
			return s.status, nil
		}
	}
	return "", errors.New("not a consent status")
}

// IsValid reports whether s is one of the states.
func (s Status) IsValid() bool { return s.number() > 0 }

// IRI is the term of the Data Privacy Vocabulary, "" for no state.
func (s Status) IRI() string {
	if n := s.number(); n > 0 {
		return statuses[n-1].iri
	}
	return ""
}

func (s Status) number() byte {
	for i := range statuses {
		if statuses[i].status == s {
			return byte(i + 1)
		}
	}
	return 0
}

func statusFromNumber(n byte) Status {
	if n == 0 || int(n) > len(statuses) {
		return ""
	}
	return statuses[n-1].status
}

// Permits reports whether s is given or renewed. Time is judged apart.
func (s Status) Permits() bool { return s == StatusGiven || s == StatusRenewed }

// Restricts reports whether s stands until a later give: the person said no, or
// it was said to be void.
func (s Status) Restricts() bool {
	switch s {
	case StatusRefused, StatusWithdrawn, StatusRevoked, StatusInvalidated:
		return true
	}
	return false
}

// Reason is what the gate says when a consent has status s.
func (s Status) Reason() exchange.Reason {
	switch s {
	case StatusGiven, StatusRenewed:
		return exchange.ReasonPermitted
	case StatusRefused:
		return exchange.ReasonConsentRefused
	case StatusWithdrawn:
		return exchange.ReasonConsentWithdrawn
	case StatusRevoked, StatusInvalidated:
		return exchange.ReasonConsentRevoked
	case StatusExpired:
		return exchange.ReasonConsentExpired
	}
	return exchange.ReasonConsentMissing
}

// By says who indicated a decision (domain.md, S1), not who typed it in. The
// zero value is the hub itself, which only notices that a time is over.
type By string

// Who can indicate a decision.
const (
	BySubject        By = "SUBJECT"
	ByRepresentative By = "REPRESENTATIVE"
	ByOperator       By = "OPERATOR"
)

var bys = []By{"", BySubject, ByRepresentative, ByOperator} // index = number; append only

// IsValid reports whether b is somebody.
func (b By) IsValid() bool { return slices.Index(bys, b) > 0 }

// Method says how a decision was indicated (domain.md, S1).
type Method string

// How a decision can be indicated.
const (
	MethodPaper           Method = "PAPER"
	MethodSPID            Method = "SPID"
	MethodCIE             Method = "CIE"
	MethodVerbalRecorded  Method = "VERBAL_RECORDED"
	MethodSignatureTablet Method = "SIGNATURE_TABLET"
)

var methods = []Method{"", MethodPaper, MethodSPID, MethodCIE, MethodVerbalRecorded, MethodSignatureTablet} // as bys

// IsValid reports whether m is one of the methods.
func (m Method) IsValid() bool { return slices.Index(methods, m) > 0 }
