package verify

import (
	"slices"

	"raccordo/consent"
	"raccordo/hub/exchange"
)

// basis judges one claimed row by what stood before its entry.
func (v *verifier) basis(e *entry, i int) {
	r := &e.rows[i]
	wrong := func(rule, format string, args ...any) { v.find(e.seq, i, rule, format, args...) }
	if v.stopped {
		wrong(RuleStopped, "claimed while disclosures were stopped")
	}
	f := v.networks.flows[r.Flow]
	switch {
	case f == nil || f.clause == nil:
		wrong(RuleFlow, "the network in force has no such flow with a clause")
		return
	case f.Recipient != e.System:
		wrong(RuleFlow, "flow %s leads to %s", f.Flow, f.Recipient)
	case f.clause.Number != r.Clause:
		wrong(RuleFlow, "flow %s rests on clause %s, the row on another", f.Flow, f.clause.Clause)
	}
	day := v.days.of(e.Time)
	if a := f.clause.agreement; a == nil || !inForce(a, day) || !party(a, f.Body) {
		wrong(RuleAgreement, "clause %s: agreement %s was not in force for %s on %s", f.clause.Clause, f.clause.Agreement, f.Body, day)
	}
	if !holds(f.held, day) || !slices.Contains(f.clause.To, f.Role) {
		wrong(RuleRole, "%s did not hold the role %s in %s on %s, or clause %s does not name it", f.Body, f.Role, f.Territory, day, f.clause.Clause)
	}
	permitted := f.clause.categories
	switch r.Part {
	case exchange.PartThing:
	case exchange.PartAlias:
		v.alias(e, i, f)
	default:
		if f.clause.Consent {
			permitted = v.person(e, i, f)
		}
		if f.clause.Dossier != "" {
			v.hasDossier(e, i, f)
		}
	}
	if !r.Categories.Within(permitted) {
		wrong(RuleCategories, "categories %v are not permitted by clause %s or the consent", r.Categories.Minus(permitted).Each(), f.clause.Clause)
	}
}

func scopeOf(s exchange.SubjectID, f *flow) consent.Scope {
	return consent.Scope{Subject: s, Purpose: f.clause.Purpose, Body: f.Body, Role: f.Role}
}

// person holds a row to its consent and gives the categories that permits.
func (v *verifier) person(e *entry, i int, f *flow) exchange.CategorySet {
	r, p := &e.rows[i], &v.persons
	wrong := func(format string, args ...any) { v.find(e.seq, i, RuleConsent, format, args...) }
	scope := scopeOf(r.Subject, f)
	group := p.component(r.Subject)
	switch b := p.given[r.Basis]; {
	case r.Basis == 0:
		wrong("clause %s needs a consent, the row names none", f.clause.Clause)
	case b == nil:
		wrong("entry %d is no earlier consent", r.Basis)
	case !slices.Contains(group, b.scope.Subject):
		wrong("entry %d is another person's consent", r.Basis)
	case b.scope.Purpose != scope.Purpose || b.scope.Body != scope.Body || b.scope.Role != scope.Role:
		wrong("entry %d is a consent for another purpose or recipient", r.Basis)
	}
	h := p.effective(group, scope)
	switch {
	case h == nil:
		wrong("no consent for %s to %s as %s was ever recorded", scope.Purpose, scope.Body, scope.Role)
		return exchange.CategorySet{}
	case !h.state.Permits(e.Time):
		wrong("the consent was not in force: %s, by entry %d", h.state.Reason(e.Time), h.state.Seq)
		return exchange.CategorySet{}
	case h.state.Seq != r.Basis:
		wrong("entry %d decided, the row names %d", h.state.Seq, r.Basis)
	case !h.record.Covers(f.clause.RecordType):
		wrong("the consent of entry %d does not cover records of type %s", h.state.Seq, f.clause.RecordType)
	}
	return h.record.Narrow(f.clause.categories)
}

// alias holds another known id of a person to its restrictions: silence under
// it restricts nothing (protocol.md 2.3).
func (v *verifier) alias(e *entry, i int, f *flow) {
	if !f.clause.Consent {
		return
	}
	h := v.persons.effective(v.persons.component(e.rows[i].Subject), scopeOf(e.rows[i].Subject, f))
	if h != nil && h.state.Status.Restricts() {
		v.find(e.seq, i, RuleConsent, "another id of the person restricts it: %s, by entry %d", h.state.Status, h.state.Seq)
	}
}

func (v *verifier) hasDossier(e *entry, i int, f *flow) {
	r := &e.rows[i]
	d := v.persons.dossiers[r.Dossier]
	switch {
	case r.Dossier == 0 || d == nil:
		v.find(e.seq, i, RuleDossier, "clause %s needs a dossier, the row names none", f.clause.Clause)
	case d.seq != r.Dossier || d.Closed || d.Until != 0 && e.Time >= d.Until:
		v.find(e.seq, i, RuleDossier, "the dossier of entry %d was not open", r.Dossier)
	case d.Body != f.Body || d.Role != f.Role || d.Capacity != f.clause.Dossier:
		v.find(e.seq, i, RuleDossier, "the dossier of entry %d is another body's, or in another capacity", r.Dossier)
	case !slices.Contains(v.persons.component(r.Subject), d.Subject):
		v.find(e.seq, i, RuleDossier, "the dossier of entry %d is on another person", r.Dossier)
	}
}
