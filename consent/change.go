package consent

import (
	"slices"
	"time"

	"raccordo/hub/exchange"
)

// Bounds of what may be recorded.
const (
	// Leeway is how far a clock that dated a decision may run ahead of ours.
	Leeway = 60 * time.Second
	// MaxYears is how long a consent may be given for.
	MaxYears = 10
)

// Known is a record and the sequence of the ledger entry its newest event
// stands in.
type Known struct {
	Record
	Seq uint64
}

// givenSeq is the sequence of the last give, 0 if there was none.
func (k *Known) givenSeq() uint64 {
	if k.Status.Permits() {
		return k.Seq
	}
	return k.GivenSeq
}

// Read makes a Known of an event as the ledger holds it. Of several consents of
// one scope the one with the highest sequence is the one to go on from.
func Read(seq uint64, event []byte) (*Known, error) {
	r, err := DecodeEvent(event)
	if err != nil {
		return nil, err
	}
	return &Known{Record: *r, Seq: seq}, nil
}

// decidedAt is when somebody last said yes or no. That the person was asked, or
// that a time was over, is no decision.
func (k *Known) decidedAt() int64 {
	if k.Status.Permits() || k.Status.Restricts() {
		return k.At
	}
	return k.GivenAt
}

// State is k in the shape [Effective] takes.
func (k *Known) State() (State, error) {
	b, err := AppendEvent(nil, &k.Record)
	if err != nil {
		return State{}, err
	}
	return State{Subject: k.Subject, Status: k.Status, Seq: k.Seq, ExpiresAt: k.ExpiresAt, Event: b}, nil
}

// Act is one decision or act, as somebody reports it.
type Act struct {
	By         By
	Method     Method
	At         int64           // when it happened, Unix milliseconds
	Commitment exchange.Digest // of the evidence; zero is none
	RecordedBy exchange.SystemID
}

// GiveRequest is a person's yes, or the question that waits for one.
type GiveRequest struct {
	ID          exchange.ConsentID // of a new record; unused where one is renewed
	Scope       Scope
	Categories  exchange.CategorySet
	RecordTypes []exchange.RecordType // in any order
	Notice      Notice
	ExpiresAt   int64 // 0 is never
	Act         Act
}

// Validate reports everything wrong with q at now as one [exchange.Error]
// (422), with pointers into the request's document.
func (q *GiveRequest) Validate(now int64) error {
	f := q.Act.faults(now)
	f = append(f, q.Scope.faults()...)
	wrong := func(bad bool, p exchange.Pointer, rule string) {
		if bad {
			f = append(f, exchange.Fault{Pointer: p, Rule: rule})
		}
	}
	wrong(q.ID == exchange.ConsentID{}, "/consent_id", "required")
	wrong(!validTypes(sorted(q.RecordTypes)), "/record_types", "record_types")
	wrong(!exchange.ValidName(q.Notice.ID), "/notice/id", "name")
	wrong(!validVersion(q.Notice.Version), "/notice/version", "version")
	wrong(!validLanguage(q.Notice.Language), "/notice/language", "language")
	wrong(q.Notice.Hash == exchange.Digest{}, "/notice/hash", "required")
	if q.ExpiresAt != 0 {
		given := time.UnixMilli(q.Act.At).UTC()
		wrong(q.ExpiresAt <= q.Act.At || q.ExpiresAt <= now, "/expires_at", "after_given")
		wrong(q.ExpiresAt > given.AddDate(MaxYears, 0, 0).UnixMilli(), "/expires_at", "max_10_years")
	}
	return invalid(f)
}

func (s *Scope) faults() []exchange.Fault {
	var f []exchange.Fault
	wrong := func(bad bool, p exchange.Pointer, rule string) {
		if bad {
			f = append(f, exchange.Fault{Pointer: p, Rule: rule})
		}
	}
	wrong(s.Subject == exchange.SubjectID{}, "/subject", "required")
	wrong(!exchange.ValidName(string(s.Purpose)), "/purpose", "name")
	wrong(!exchange.ValidName(string(s.Body)), "/recipient/body", "name")
	wrong(!s.Role.IsValid(), "/recipient/role", "role")
	return f
}

func (a *Act) faults(now int64) []exchange.Fault {
	var f []exchange.Fault
	wrong := func(bad bool, p exchange.Pointer, rule string) {
		if bad {
			f = append(f, exchange.Fault{Pointer: p, Rule: rule})
		}
	}
	wrong(!a.By.IsValid(), "/by", "enum")
	wrong(!a.Method.IsValid(), "/method", "enum")
	wrong(a.At <= 0, "/at", "required")
	wrong(a.At > now+Leeway.Milliseconds(), "/at", "not_in_future")
	wrong(a.RecordedBy != "" && !exchange.ValidName(string(a.RecordedBy)), "/recorded_by", "name")
	return f
}

func invalid(f []exchange.Fault) error {
	if len(f) == 0 {
		return nil
	}
	return exchange.NewError(exchange.CodeInvalid, exchange.ReasonSemantic, "the consent breaks a rule", f...)
}

func sorted(types []exchange.RecordType) []exchange.RecordType {
	if len(types) == 0 {
		return nil
	}
	out := slices.Clone(types)
	slices.Sort(out)
	return out
}

// conflict is the answer to an act that the state does not allow.
func conflict(detail string) error {
	return exchange.NewError(exchange.CodeConflict, exchange.ReasonConsentState, detail)
}

// The functions below are the state machine. Each takes what is known of the
// scope (nil if nothing ever was) and an act, and gives the record after it,
// which the caller appends to the ledger; or an [exchange.Error]: 422 for what
// is malformed, 409 consent_state for what the state does not allow.
//
//	from                            request    give     refuse   withdraw   revoke      invalidate   expire
//	nothing, unknown                requested  given    refused  -          -           -            -
//	requested                       -          given    refused  -          -           -            -
//	given, renewed                  -          renewed  -        withdrawn  revoked     invalidated  expired (when its time is over)
//	expired, or its time over       requested  renewed  refused  withdrawn  revoked     invalidated  -
//	refused                         -          given    -        -          -           -            -
//	withdrawn, revoked, invalidated -          given    refused  -          -           -            -

// Request records that the person was asked. A refusal or withdrawal stands
// until the person gives: asking again changes nothing, so it is not recorded.
func Request(prev *Known, q *GiveRequest, now int64) (*Record, error) {
	if err := q.Validate(now); err != nil {
		return nil, err
	}
	switch status(prev, now) {
	case "", StatusUnknown, StatusExpired:
	default:
		return nil, conflict("the person has been asked or has decided")
	}
	r := q.record(prev, now)
	r.Status, r.GivenAt, r.GivenSeq = StatusRequested, 0, 0
	if prev != nil { // the give it goes back on still counts over linked ids
		r.GivenAt, r.GivenSeq = prev.GivenAt, prev.givenSeq()
	}
	return r, nil
}

// Give records a yes: a new consent, or the renewal of one that is in force or
// whose time was over. Its scope, categories, notice and expiry replace the
// former ones. A yes that is older than what is on record is refused: it may
// have been overtaken by a withdrawal on its way here.
func Give(prev *Known, q *GiveRequest, now int64) (*Record, error) {
	if err := q.Validate(now); err != nil {
		return nil, err
	}
	if prev != nil && q.Act.At < prev.decidedAt() {
		return nil, conflict("a later decision is on record")
	}
	r := q.record(prev, now)
	r.Status, r.GivenAt = StatusGiven, q.Act.At
	switch status(prev, now) {
	case StatusGiven, StatusRenewed, StatusExpired:
		r.Status = StatusRenewed
	}
	return r, nil
}

// record is a record of q's content: under the id of prev where it is the same
// consent going on, else under q's.
func (q *GiveRequest) record(prev *Known, now int64) *Record {
	r := &Record{ID: q.ID, Scope: q.Scope, Categories: q.Categories, RecordTypes: sorted(q.RecordTypes),
		Notice: q.Notice, ExpiresAt: q.ExpiresAt}
	r.act(&q.Act)
	switch status(prev, now) {
	case StatusRequested, StatusGiven, StatusRenewed, StatusExpired:
		r.ID = prev.ID
	}
	return r
}

func (r *Record) act(a *Act) {
	r.By, r.Method, r.At, r.Commitment, r.RecordedBy = a.By, a.Method, a.At, a.Commitment, a.RecordedBy
}

// status is that of prev at now, "" if nothing is known.
func status(prev *Known, now int64) Status {
	if prev == nil {
		return ""
	}
	return statusAt(prev.Status, prev.ExpiresAt, now)
}

// Refuse records a no to a question. What is in force is not refused but
// withdrawn.
func Refuse(prev *Known, q *GiveRequest, now int64) (*Record, error) {
	refusal := *q
	refusal.ExpiresAt = 0 // a no has no end
	if err := refusal.Validate(now); err != nil {
		return nil, err
	}
	switch status(prev, now) {
	case StatusGiven, StatusRenewed:
		return nil, conflict("the consent is in force: it can be withdrawn")
	case StatusRefused:
		return nil, conflict("it is refused already")
	}
	r := refusal.record(prev, now)
	r.Status = StatusRefused
	if prev != nil {
		r.GivenAt, r.GivenSeq = prev.GivenAt, prev.givenSeq()
	}
	return r, nil
}

// Withdraw records that the person takes a consent back. One whose time is over
// can be withdrawn too: a withdrawal must not fail because a clock was faster.
// It may be dated before what is on record; a no counts in any order.
func Withdraw(prev *Known, a *Act, now int64) (*Record, error) {
	if a.By != BySubject {
		return nil, invalid([]exchange.Fault{{Pointer: "/by", Rule: "only_subject_withdraws"}})
	}
	return end(prev, a, now, StatusWithdrawn)
}

// Revoke records that anyone else than the person ends a consent.
func Revoke(prev *Known, a *Act, now int64) (*Record, error) {
	if a.By == BySubject {
		return nil, invalid([]exchange.Fault{{Pointer: "/by", Rule: "subject_withdraws"}})
	}
	return end(prev, a, now, StatusRevoked)
}

// Invalidate records that a consent was found never to have been valid, as when
// a representative had no power (domain.md 7.4).
func Invalidate(prev *Known, a *Act, now int64) (*Record, error) {
	if a.By == BySubject {
		return nil, invalid([]exchange.Fault{{Pointer: "/by", Rule: "subject_withdraws"}})
	}
	return end(prev, a, now, StatusInvalidated)
}

func end(prev *Known, a *Act, now int64, to Status) (*Record, error) {
	if err := invalid(a.faults(now)); err != nil {
		return nil, err
	}
	switch status(prev, now) {
	case StatusGiven, StatusRenewed, StatusExpired:
	default:
		return nil, conflict("no consent is in force")
	}
	r := prev.Record
	r.RecordTypes = slices.Clone(r.RecordTypes)
	r.act(a)
	r.Status, r.GivenSeq = to, prev.givenSeq()
	return &r, nil
}

// Expire records that the time of a consent is over at now, ledger time. The
// gate does not wait for it: [Record.Permits] judges the time itself.
func Expire(prev *Known, now int64) (*Record, error) {
	if prev == nil || !prev.Status.Permits() || !prev.Expired(now) {
		return nil, conflict("no consent whose time is over")
	}
	r := prev.Record
	r.RecordTypes = slices.Clone(r.RecordTypes)
	r.act(&Act{At: now})
	r.Status, r.GivenSeq = StatusExpired, prev.Seq
	return &r, nil
}
