package officer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"raccordo/consent"
	"raccordo/hub/exchange"
	"raccordo/hub/keys"
	"raccordo/hub/ledger"
	"raccordo/hub/network"
	"raccordo/hub/store"
)

// Decision is a person's yes or no, as it was told to whoever records it.
type Decision struct {
	Person    Person
	Purpose   exchange.PurposeID
	Body      exchange.BodyID // recipient
	Role      exchange.Role
	Given     bool
	Notice    string // version of the notice the person was told; "" is the one in force
	Language  string
	Indicated consent.By
	Method    consent.Method
	ExpiresAt time.Time // zero: never
	Evidence  exchange.Payload
}

// Consent is one consent in its newest version.
type Consent struct {
	consent.Record
	Seq  uint64
	Time int64 // ledger time of the newest entry, Unix milliseconds; 0 if not known
}

// End says how a consent ended.
type End struct {
	Consent
	UnderWay int           // sends claimed before that have not been settled
	Within   time.Duration // each of them ends within this
}

// Decide records a yes or a no. Errors (*exchange.Error): CodeInvalid with
// ReasonConsentScope where no clause needs such a consent, with ReasonSemantic
// for what the record refuses; CodeForbidden with ReasonRoleMissing where the
// caller may not record it; CodeConflict with ReasonConsentState.
func (r *Register) Decide(ctx context.Context, by By, d Decision) (Consent, error) {
	clauses := r.clauses(d.Purpose, d.Body, d.Role)
	if len(clauses) == 0 {
		return Consent{}, exchange.NewError(exchange.CodeInvalid, exchange.ReasonConsentScope,
			"no clause needs a consent for this purpose and recipient", exchange.Fault{Pointer: "/purpose", Rule: "no_clause"})
	}
	if !r.mayRecord(by, clauses) {
		return Consent{}, exchange.NewError(exchange.CodeForbidden, exchange.ReasonRoleMissing, "no clause names a role of this system for recording this consent")
	}
	q, err := r.request(d, clauses, by)
	if err != nil {
		return Consent{}, err
	}
	if q.Scope.Subject, _, err = r.subject(ctx, d.Person, true); err != nil {
		return Consent{}, err
	}
	if q.ID, err = exchange.NewConsentID(r.opt.Rand); err != nil {
		return Consent{}, err
	}
	sealed, err := r.evidence(q, d.Evidence)
	if err != nil {
		return Consent{}, err
	}
	apply := consent.Refuse
	if d.Given {
		apply = consent.Give
	}
	made, err := r.record(ctx, q.Scope, func(prev *consent.Known, now int64) (*consent.Record, error) { return apply(prev, q, now) })
	if err != nil {
		return Consent{}, err
	}
	if sealed != nil {
		err = r.opt.Store.Side(ctx, func(tx store.SideTx) error { return tx.PutEvidence(made.ID, sealed) })
	}
	r.opt.Woken()
	return made, unavailable(err)
}

// clauses are those that rest on a consent for a purpose and recipient.
func (r *Register) clauses(p exchange.PurposeID, b exchange.BodyID, role exchange.Role) []*network.Clause {
	var out []*network.Clause
	for _, f := range r.opt.Network().Flows() {
		if f.Clause.NeedsConsent() && f.Clause.Purpose == p && f.Recipient.Body == b && f.Recipient.Role == role && !slices.Contains(out, f.Clause) {
			out = append(out, f.Clause)
		}
	}
	return out
}

// mayRecord: an operator at the hub, or a system set up to record consents that
// acts in a role one of the clauses names.
func (r *Register) mayRecord(by By, clauses []*network.Clause) bool {
	if by.Operator {
		return true
	}
	s := r.opt.Network().System(by.System)
	if s == nil || !s.RecordsConsents {
		return false
	}
	for _, c := range clauses {
		for _, role := range c.ConsentRecorders {
			if s.ActsIn(role) {
				return true
			}
		}
	}
	return false
}

func (r *Register) request(d Decision, clauses []*network.Clause, by By) (*consent.GiveRequest, error) {
	notice := r.opt.Network().Purpose(d.Purpose).Notice
	version := strconv.Itoa(notice.Version)
	if d.Notice != "" && d.Notice != version {
		return nil, exchange.NewError(exchange.CodeInvalid, exchange.ReasonConsentScope, "the notice in force has another version",
			exchange.Fault{Pointer: "/notice/version", Rule: "superseded"})
	}
	if _, ok := notice.Text[d.Language]; !ok {
		return nil, exchange.NewError(exchange.CodeInvalid, exchange.ReasonConsentScope, "the notice has no text in this language",
			exchange.Fault{Pointer: "/notice/language", Rule: "no_text"})
	}
	q := &consent.GiveRequest{Scope: consent.Scope{Purpose: d.Purpose, Body: d.Body, Role: d.Role},
		Notice: consent.Notice{ID: notice.ID, Version: version, Language: d.Language, Hash: notice.Digest},
		Act:    consent.Act{By: d.Indicated, Method: d.Method, At: r.opt.Clock.Now().UnixMilli(), RecordedBy: by.System}}
	if !d.ExpiresAt.IsZero() {
		q.ExpiresAt = d.ExpiresAt.UnixMilli()
	}
	for _, c := range clauses { // what the person agreed to is what the notice said today
		q.Categories = q.Categories.Union(c.Categories)
		if !slices.Contains(q.RecordTypes, c.RecordType) {
			q.RecordTypes = append(q.RecordTypes, c.RecordType)
		}
	}
	return q, nil
}

// evidence seals what proves the decision; only a salted commitment goes into
// the ledger.
func (r *Register) evidence(q *consent.GiveRequest, e exchange.Payload) ([]byte, error) {
	if e.Len() == 0 {
		return nil, nil
	}
	salt, err := consent.NewSalt(r.opt.Rand)
	if err != nil {
		return nil, err
	}
	q.Act.Commitment = consent.Commit(salt, e)
	sealed, err := r.opt.Sealer.Seal(keys.PlaceEvidence, r.opt.Clock.Now(), append(salt[:], e.Reveal()...), q.ID[:])
	if err != nil {
		return nil, unavailable(fmt.Errorf("seal evidence: %w", err))
	}
	return sealed, nil
}

// record appends one event of a scope; apply is the transition.
func (r *Register) record(ctx context.Context, scope consent.Scope, apply func(*consent.Known, int64) (*consent.Record, error)) (Consent, error) {
	var out Consent
	item := &ledger.Item{Needs: ledger.Needs{Subjects: []exchange.SubjectID{scope.Subject}}, Decide: func(s *ledger.State) (*ledger.Change, error) {
		prev, err := newest(s.Facts, scope)
		if err != nil {
			return nil, err
		}
		rec, err := apply(prev, s.Facts.Now().UnixMilli())
		if err != nil {
			return nil, err
		}
		c, err := change(rec, s)
		out.Record = *rec
		return c, err
	}}
	res, err := r.opt.Ledger.Submit(ctx, item)
	if err != nil {
		return Consent{}, passOn(err)
	}
	out.Seq, out.Time = res.Seq, res.Time
	return out, nil
}

func change(rec *consent.Record, s *ledger.State) (*ledger.Change, error) {
	event, err := consent.AppendEvent(nil, rec)
	if err != nil {
		return nil, fmt.Errorf("encode consent: %w", err)
	}
	row := store.ConsentRow{Consent: rec.ID, Subject: rec.Subject, Purpose: rec.Purpose, Body: rec.Body, Role: rec.Role,
		Status: string(rec.Status), Permits: rec.Status.Permits(), ExpiresAt: rec.ExpiresAt, Seq: s.Seq, Event: event}
	return &ledger.Change{Draft: &ledger.Draft{Kind: exchange.KindConsent, Fact: event}, Consents: []store.ConsentRow{row},
		Wake: []ledger.Wake{{Event: store.EventConsent, Subjects: s.Facts.Component(rec.Subject)}}}, nil
}

// newest is the newest event of a scope under its own subject id.
func newest(f *ledger.Facts, scope consent.Scope) (*consent.Known, error) {
	var best *store.ConsentRow
	rows := f.Consents(scope.Subject)
	for i := range rows {
		c := &rows[i]
		if c.Subject == scope.Subject && c.Purpose == scope.Purpose && c.Body == scope.Body && c.Role == scope.Role && (best == nil || c.Seq > best.Seq) {
			best = c
		}
	}
	if best == nil {
		return nil, nil
	}
	return consent.Read(best.Seq, best.Event)
}

// passOn gives typed errors as they are; anything else is "try again".
func passOn(err error) error {
	var e *exchange.Error
	if errors.As(err, &e) {
		return err
	}
	return unavailable(err)
}

// Withdraw ends a consent: by the person, or as a revocation by anyone else.
// From its commit on no claim relies on it. A system may end what it recorded
// or what its body receives under; else CodeNotFound.
func (r *Register) Withdraw(ctx context.Context, by By, id exchange.ConsentID, indicated consent.By, method consent.Method) (End, error) {
	known, err := r.consent(ctx, by, id)
	if err != nil {
		return End{}, err
	}
	act := &consent.Act{By: indicated, Method: method, At: r.opt.Clock.Now().UnixMilli(), RecordedBy: by.System}
	apply := consent.Revoke
	if indicated == consent.BySubject {
		apply = consent.Withdraw
	}
	out := End{Within: r.opt.SendTimeout}
	item := &ledger.Item{Needs: ledger.Needs{Subjects: []exchange.SubjectID{known.Subject}, AllClaims: true},
		Decide: func(s *ledger.State) (*ledger.Change, error) {
			prev, err := newest(s.Facts, known.Scope)
			if err != nil {
				return nil, err
			}
			rec, err := apply(prev, act, s.Facts.Now().UnixMilli())
			if err != nil {
				return nil, err
			}
			out.Record, out.UnderWay = *rec, underWay(s, rec.Subject, known.Scope, r.opt.SendTimeout)
			return change(rec, s)
		}}
	res, err := r.opt.Ledger.Submit(ctx, item)
	if err != nil {
		return End{}, passOn(err)
	}
	out.Seq, out.Time = res.Seq, res.Time
	r.opt.Woken()
	return out, nil
}

// underWay counts records that were claimed on a consent of the scope, under
// any linked id, and whose sends may still be going on.
func underWay(s *ledger.State, subject exchange.SubjectID, scope consent.Scope, timeout time.Duration) int {
	bases := map[uint64]bool{}
	for _, c := range s.Facts.Consents(subject) {
		if c.Purpose == scope.Purpose && c.Body == scope.Body && c.Role == scope.Role {
			bases[c.Seq] = true
		}
	}
	n := 0
	since := s.Facts.Now().Add(-timeout).UnixMilli()
	for _, c := range s.Claims {
		if c.At < since {
			continue
		}
		for _, row := range c.Rows {
			for _, b := range row.Basis {
				if bases[b] {
					n++
					break
				}
			}
		}
	}
	return n
}

// Consent is one consent; see [Register.Withdraw] for who may see it.
func (r *Register) Consent(ctx context.Context, by By, id exchange.ConsentID) (Consent, error) {
	return r.consent(ctx, by, id)
}

func (r *Register) consent(ctx context.Context, by By, id exchange.ConsentID) (Consent, error) {
	var row store.ConsentRow
	err := r.opt.Store.View(ctx, func(tx store.ReadTx) (err error) {
		row, err = tx.ConsentByID(id)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return Consent{}, notFound()
	}
	if err != nil {
		return Consent{}, unavailable(err)
	}
	known, err := consent.Read(row.Seq, row.Event)
	if err != nil {
		return Consent{}, err
	}
	if !r.maySee(by, &known.Record) {
		return Consent{}, notFound()
	}
	return Consent{Record: known.Record, Seq: known.Seq}, nil
}

// maySee: whoever may record it, recorded it, or receives under it.
func (r *Register) maySee(by By, rec *consent.Record) bool {
	return by.Operator || rec.RecordedBy == by.System || rec.Body == by.Body ||
		r.mayRecord(by, r.clauses(rec.Purpose, rec.Body, rec.Role))
}

// Search lists a person's consents that the caller may see, over linked ids,
// newest first. A person nobody knows has none.
func (r *Register) Search(ctx context.Context, by By, p Person, purpose exchange.PurposeID) ([]Consent, error) {
	subject, found, err := r.subject(ctx, p, false)
	if err != nil || !found {
		return nil, err
	}
	f, err := r.facts(ctx, subject)
	if err != nil {
		return nil, err
	}
	var out []Consent
	for _, row := range f.Consents(subject) {
		known, err := consent.Read(row.Seq, row.Event)
		if err != nil {
			return nil, err
		}
		if (purpose == "" || known.Purpose == purpose) && r.maySee(by, &known.Record) {
			out = append(out, Consent{Record: known.Record, Seq: known.Seq})
		}
	}
	slices.SortFunc(out, func(a, b Consent) int { return int(int64(b.Seq) - int64(a.Seq)) })
	return out, nil
}
