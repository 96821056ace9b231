package gate

import (
	"time"

	"raccordo/hub/exchange"
)

// Question is everything about one record and one flow that a decision may
// depend on, apart from facts.
type Question struct {
	Clause     *Clause // nil: the flow is no longer in the network
	RecordType exchange.RecordType
	Recipient  *Recipient
	Subjects   []Subject            // the principal first
	Present    exchange.CategorySet // categories in the record that the mapping reads, of code values too
	Condition  bool                 // the clause's own condition, evaluated on the record
	ReceivedAt time.Time            // holds count from here
}

// Subject is one person of the record, or the thing it is about. Only the
// first can be a thing; only others can be aliases.
type Subject struct {
	ID       exchange.SubjectID
	Part     exchange.Part
	Prunable bool // the mapping can leave this affected person out
	Of       int  // of an alias: the index of the person it is another id of
}

// Scope names what one consent is about: one is in force per subject, purpose
// and recipient body in a role (protocol.md 8.2).
type Scope struct {
	Purpose exchange.PurposeID
	Body    exchange.BodyID
	Role    exchange.Role
	Type    exchange.RecordType // must be among those the person agreed to
}

// Standing is how a consent stands, over linked ids, at one moment.
type Standing struct {
	Reason     exchange.Reason      // permitted, or why not
	Seq        uint64               // of the entry it rests on, 0 if none was ever recorded
	Categories exchange.CategorySet // what a permitting consent covers; empty covers the clause's
}

// Facts are read inside the transaction that writes the claim, and ahead of it
// on a snapshot.
type Facts interface {
	// Now is ledger time.
	Now() time.Time
	// Stopped reports the stop switch.
	Stopped() bool
	// Consent is the standing of s's consent for a scope.
	Consent(s exchange.SubjectID, scope Scope) Standing
	// Dossier is the sequence of an open dossier of body in a role on s with
	// the capacity, 0 if there is none.
	Dossier(s exchange.SubjectID, body exchange.BodyID, role exchange.Role, capacity string) uint64
}

// Event is what a held record waits for.
type Event uint8

// The events. The zero value waits for nothing.
const (
	EventNone Event = iota
	EventConsent
	EventDossier
	EventResume // disclosures are stopped
)

// Decision is the outcome for the record and for each subject, in the order of
// the question. It is a value: the ledger stores it.
type Decision struct {
	Outcome    exchange.Outcome
	Reason     exchange.Reason
	Categories exchange.CategorySet // what may leave; empty unless permitted
	Subjects   []SubjectDecision
	Event      Event              // if held
	Await      exchange.SubjectID // whose event
	Until      time.Time          // deadline of the hold; zero: it has none
}

// SubjectDecision is the part of one subject.
type SubjectDecision struct {
	Outcome exchange.Outcome
	Reason  exchange.Reason
	Basis   uint64 // sequence of the consent entry relied on
	Dossier uint64 // sequence of the dossier entry relied on
	Pruned  bool   // left out of what is disclosed
}

// Pruned are the indexes into Question.Subjects that must be left out.
func (d *Decision) Pruned() []int {
	var out []int
	for i := range d.Subjects {
		if d.Subjects[i].Pruned {
			out = append(out, i)
		}
	}
	return out
}

// Same reports whether two decisions release the same to the same end, so that
// what was prepared under one may leave under the other. Sequences of bases
// may differ: a renewed consent permits the same bytes.
func (d *Decision) Same(o *Decision) bool {
	if d.Outcome != o.Outcome || d.Categories != o.Categories || len(d.Subjects) != len(o.Subjects) {
		return false
	}
	for i := range d.Subjects {
		if d.Subjects[i].Pruned != o.Subjects[i].Pruned {
			return false
		}
	}
	return true
}

// Decide answers q under facts. Every subject is looked up, whatever the
// others' answers are. Over several subjects withhold beats hold beats permit; a
// prunable person who is not permitted is pruned instead.
func Decide(q *Question, facts Facts) Decision {
	now := facts.Now()
	if d, done := whole(q, facts, now); done {
		return d
	}
	d := Decision{Outcome: exchange.OutcomePermit, Reason: exchange.ReasonPermitted, Categories: q.Clause.Categories,
		Subjects: make([]SubjectDecision, len(q.Subjects))}
	covered := make([]exchange.CategorySet, len(q.Subjects))
	for i := range q.Subjects {
		d.Subjects[i], covered[i] = subject(q, i, facts)
	}
	bindAliases(q, d.Subjects)
	prune(q, d.Subjects)
	for i := range d.Subjects {
		s := &d.Subjects[i]
		if s.Pruned {
			continue
		}
		if worse(s.Outcome, d.Outcome) {
			d.Outcome, d.Reason = s.Outcome, s.Reason
			if s.Outcome == exchange.OutcomeHold {
				d.Event, d.Await = EventConsent, q.Subjects[i].ID
			}
		}
		if !covered[i].Empty() {
			d.Categories = d.Categories.Intersect(covered[i])
		}
	}
	finish(q, &d, now)
	return d
}

// whole decides what holds for every subject alike.
func whole(q *Question, facts Facts, now time.Time) (Decision, bool) {
	switch {
	case len(q.Subjects) == 0: // about nobody: nobody's basis can be found
		return same(q, exchange.OutcomeWithhold, exchange.ReasonUndecodable), true
	case q.Clause == nil || q.Recipient == nil:
		return same(q, exchange.OutcomeWithhold, exchange.ReasonFlowEnded), true
	case !q.Clause.InForce.Contains(now) || !q.Clause.Basis.IsValid():
		return same(q, exchange.OutcomeWithhold, exchange.ReasonClauseNotInForce), true
	case !q.Recipient.Holds(now):
		return same(q, exchange.OutcomeWithhold, exchange.ReasonRoleNotHeld), true
	case !q.Condition:
		return same(q, exchange.OutcomeWithhold, exchange.ReasonConditionNotMet), true
	case facts.Stopped():
		// Not withheld: the switch is an emergency brake, nothing is lost by it,
		// and no deadline runs against it.
		d := same(q, exchange.OutcomeHold, exchange.ReasonStopped)
		d.Event = EventResume
		return d, true
	}
	return Decision{}, false
}

func same(q *Question, o exchange.Outcome, r exchange.Reason) Decision {
	d := Decision{Outcome: o, Reason: r, Subjects: make([]SubjectDecision, len(q.Subjects))}
	for i := range d.Subjects {
		d.Subjects[i] = SubjectDecision{Outcome: o, Reason: r}
	}
	return d
}

// subject decides one of them; covered are the categories a consent names,
// empty if it names none.
func subject(q *Question, i int, facts Facts) (SubjectDecision, exchange.CategorySet) {
	s := &q.Subjects[i]
	switch {
	case s.Part == exchange.PartThing && i == 0: // clause and role alone count
		return SubjectDecision{Outcome: exchange.OutcomePermit, Reason: exchange.ReasonPermitted}, exchange.CategorySet{}
	case s.Part == exchange.PartAlias && i > 0:
		return alias(q, s, facts), exchange.CategorySet{}
	}
	return person(q, s, facts)
}

func (q *Question) scope() Scope {
	return Scope{q.Clause.Purpose, q.Recipient.Body, q.Recipient.Role, q.RecordType}
}

func person(q *Question, s *Subject, facts Facts) (SubjectDecision, exchange.CategorySet) {
	d := SubjectDecision{Outcome: exchange.OutcomePermit, Reason: exchange.ReasonPermitted}
	var covered exchange.CategorySet
	if q.Clause.NeedsConsent() {
		standing := facts.Consent(s.ID, q.scope())
		d.Basis, d.Reason = standing.Seq, standing.Reason
		switch {
		case standing.Reason == exchange.ReasonPermitted && standing.Seq != 0:
			covered = standing.Categories
		case standing.Reason == exchange.ReasonConsentMissing && q.Clause.Hold > 0:
			d.Outcome = exchange.OutcomeHold
		default:
			d.Outcome = exchange.OutcomeWithhold
			if !consentReason(standing.Reason) { // nothing that can be relied on
				d.Reason = exchange.ReasonConsentMissing
			}
			return d, covered
		}
	}
	if q.Clause.Dossier != "" {
		d.Dossier = facts.Dossier(s.ID, q.Recipient.Body, q.Recipient.Role, q.Clause.Dossier)
		if d.Dossier == 0 { // no dossier, no data: final, also where a consent could be waited for
			d.Outcome, d.Reason = exchange.OutcomeWithhold, exchange.ReasonNoDossier
		}
	}
	return d, covered
}

// alias decides another id of somebody who is among the subjects: only a
// restriction recorded under it binds, not silence (protocol.md 2.3).
func alias(q *Question, s *Subject, facts Facts) SubjectDecision {
	d := SubjectDecision{Outcome: exchange.OutcomePermit, Reason: exchange.ReasonPermitted}
	if !q.Clause.NeedsConsent() {
		return d
	}
	if standing := facts.Consent(s.ID, q.scope()); restricts(standing.Reason) {
		d.Outcome, d.Reason, d.Basis = exchange.OutcomeWithhold, standing.Reason, standing.Seq
	}
	return d
}

// bindAliases gives persons the restrictions found under their other ids, at
// every place where they stand.
func bindAliases(q *Question, ds []SubjectDecision) {
	for i := 1; i < len(ds); i++ {
		if q.Subjects[i].Part != exchange.PartAlias || ds[i].Outcome == exchange.OutcomePermit {
			continue
		}
		of := q.Subjects[q.owner(i)].ID
		for j := range ds {
			if s := &q.Subjects[j]; s.ID == of && (j == 0 || s.Part != exchange.PartAlias) && worse(ds[i].Outcome, ds[j].Outcome) {
				ds[j].Outcome, ds[j].Reason = ds[i].Outcome, ds[i].Reason
			}
		}
	}
}

// owner is the index of the person that the alias i is another id of; the
// principal where the question does not say.
func (q *Question) owner(i int) int {
	of := q.Subjects[i].Of
	if of < 0 || of >= len(q.Subjects) || of > 0 && q.Subjects[of].Part == exchange.PartAlias {
		return 0
	}
	return of
}

// prune leaves out prunable persons who are not permitted, with their aliases.
func prune(q *Question, ds []SubjectDecision) {
	cut := func(i int) {
		ds[i].Outcome, ds[i].Reason, ds[i].Pruned = exchange.OutcomeWithhold, exchange.ReasonPruned, true
	}
	for i := 1; i < len(ds); i++ {
		if q.Subjects[i].Part != exchange.PartAlias && q.Subjects[i].Prunable && ds[i].Outcome != exchange.OutcomePermit {
			cut(i)
		}
	}
	for i := 1; i < len(ds); i++ {
		if q.Subjects[i].Part == exchange.PartAlias && ds[q.owner(i)].Pruned {
			cut(i)
		}
	}
}

// consentReason reports whether r says why a consent does not permit.
func consentReason(r exchange.Reason) bool { return r == exchange.ReasonConsentExpired || restricts(r) }

func restricts(r exchange.Reason) bool {
	switch r {
	case exchange.ReasonConsentRefused, exchange.ReasonConsentWithdrawn, exchange.ReasonConsentRevoked:
		return true
	}
	return false
}

// worse reports whether a outweighs b: withhold beats hold beats permit.
func worse(a, b exchange.Outcome) bool {
	rank := [...]int{exchange.OutcomePermit: 0, exchange.OutcomeHold: 1, exchange.OutcomeWithhold: 2, exchange.OutcomeDeny: 3}
	return rank[a] > rank[b]
}

// finish judges the deadline of a hold and the categories of a permit.
func finish(q *Question, d *Decision, now time.Time) {
	switch d.Outcome {
	case exchange.OutcomeHold:
		d.Categories = exchange.CategorySet{}
		d.Until = q.ReceivedAt.Add(q.Clause.Hold)
		if now.Before(d.Until) {
			return
		}
		d.Outcome, d.Reason = exchange.OutcomeWithhold, exchange.ReasonHoldExpired
		d.Event, d.Await, d.Until = EventNone, exchange.SubjectID{}, time.Time{}
		for i := range d.Subjects {
			if s := &d.Subjects[i]; s.Outcome == exchange.OutcomeHold {
				s.Outcome, s.Reason = exchange.OutcomeWithhold, exchange.ReasonHoldExpired
			}
		}
	case exchange.OutcomePermit:
		if !q.Present.Empty() && q.Present.Intersect(d.Categories).Empty() {
			d.Outcome, d.Reason, d.Categories = exchange.OutcomeWithhold, exchange.ReasonCategoryForbidden, exchange.CategorySet{}
		}
	default:
		d.Categories, d.Event, d.Await = exchange.CategorySet{}, EventNone, exchange.SubjectID{}
	}
}
