package ledger

import (
	"slices"
	"testing"
	"time"

	"raccordo/consent"
	"raccordo/hub/exchange"
	"raccordo/hub/gate"
	"raccordo/hub/store"
)

// record puts facts down as the register does.
func (r *rig) record(changes ...func(*State) *Change) {
	r.t.Helper()
	for _, c := range changes {
		if _, err := r.w.Submit(r.t.Context(), &Item{Decide: func(s *State) (*Change, error) { return c(s), nil }}); err != nil {
			r.t.Fatal(err)
		}
	}
}

func linking(a, b byte) func(*State) *Change {
	return func(s *State) *Change {
		c := stop("link")
		c.Links = []store.LinkRow{{A: person(a), B: person(b), Seq: s.Seq}}
		return c
	}
}

func consenting(who byte, status consent.Status) func(*State) *Change {
	return func(s *State) *Change { return consentChange(s, person(who), status, 0) }
}

func dossier(row store.DossierRow) func(*State) *Change {
	return func(s *State) *Change {
		c := stop("dossier")
		row.Seq = s.Seq
		c.Dossiers = []store.DossierRow{row}
		return c
	}
}

func (r *rig) facts(who ...byte) (f *Facts) {
	r.t.Helper()
	var subjects []exchange.SubjectID
	for _, w := range who {
		subjects = append(subjects, person(w))
	}
	r.view(func(tx store.ReadTx) (err error) { f, err = ReadFacts(tx, subjects, r.clock.Now()); return err })
	return f
}

// Facts of a person are those of all ids linked to it, over others too, though
// only one of them was asked about.
func TestFactsOverLinks(t *testing.T) {
	r := newRig(t)
	r.record(consenting(3, consent.StatusGiven), linking(1, 2), linking(2, 3), consenting(4, consent.StatusWithdrawn),
		dossier(store.DossierRow{Dossier: exchange.DossierID{1}, Subject: person(3), Body: "work", Role: exchange.RoleEmploymentService, Capacity: "tutor"}))
	f := r.facts(1)
	if st := f.Consent(person(1), scope); st.Reason != exchange.ReasonPermitted || st.Seq != 0 {
		t.Errorf("%+v", st)
	}
	if got := f.Component(person(1)); len(got) != 3 || !f.Linked(person(1), person(2)) || f.Linked(person(1), person(3)) {
		t.Errorf("%d ids", len(got))
	}
	if f.Dossier(person(2), "work", exchange.RoleEmploymentService, "tutor") != 4 {
		t.Error("no dossier over a link")
	}
	if len(f.Consents(person(2))) != 1 || len(f.Dossiers(person(1))) != 1 || len(f.Consents(person(4))) != 0 {
		t.Error("rows over links")
	}
	// a withdrawal that joins by a link stands until a later give
	r.record(linking(3, 4))
	if st := r.facts(1).Consent(person(1), scope); st.Reason != exchange.ReasonConsentWithdrawn || st.Seq != 3 {
		t.Errorf("%+v", st)
	}
	r.record(consenting(2, consent.StatusGiven))
	if st := r.facts(4).Consent(person(4), scope); st.Reason != exchange.ReasonPermitted || st.Seq != 6 {
		t.Errorf("%+v", st)
	}
	if got := r.facts(5).Component(person(5)); !slices.Equal(got, []exchange.SubjectID{person(5)}) {
		t.Errorf("a person alone: %v", got)
	}
}

func TestConsentFacts(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*consent.Record)
		scope  func(*gate.Scope)
		reason exchange.Reason
	}{
		"given":                {reason: exchange.ReasonPermitted},
		"another purpose":      {scope: func(s *gate.Scope) { s.Purpose = "purpose_else" }, reason: exchange.ReasonConsentMissing},
		"another body":         {scope: func(s *gate.Scope) { s.Body = "else" }, reason: exchange.ReasonConsentMissing},
		"another role":         {scope: func(s *gate.Scope) { s.Role = exchange.RoleObserver }, reason: exchange.ReasonConsentMissing},
		"another record type":  {change: func(r *consent.Record) { r.RecordTypes = []exchange.RecordType{"social_benefit"} }, reason: exchange.ReasonConsentMissing},
		"of its record type":   {change: func(r *consent.Record) { r.RecordTypes = []exchange.RecordType{scope.Type} }, reason: exchange.ReasonPermitted},
		"a moment before":      {change: func(r *consent.Record) { r.ExpiresAt = r.At + 1001 }, reason: exchange.ReasonPermitted},
		"at the very moment":   {change: func(r *consent.Record) { r.ExpiresAt = r.At + 1000 }, reason: exchange.ReasonConsentExpired},
		"with some categories": {change: func(r *consent.Record) { r.Categories = exchange.NewCategorySet(5) }, reason: exchange.ReasonPermitted},
	} {
		r := newRig(t)
		rec := consent.Record{ID: exchange.ConsentID{1}, Scope: consent.Scope{Subject: person(1), Purpose: scope.Purpose, Body: scope.Body, Role: scope.Role},
			Status: consent.StatusGiven, By: consent.BySubject, Method: consent.MethodPaper, At: r.clock.Now().UnixMilli(), GivenAt: r.clock.Now().UnixMilli()}
		if c.change != nil {
			c.change(&rec)
		}
		event, err := consent.AppendEvent(nil, &rec)
		if err != nil {
			t.Fatal(err)
		}
		r.put(&Change{Draft: &Draft{Kind: exchange.KindConsent, Fact: event}, Consents: []store.ConsentRow{{Consent: rec.ID, Subject: rec.Subject, Purpose: rec.Purpose,
			Body: rec.Body, Role: rec.Role, Status: string(rec.Status), Permits: true, ExpiresAt: rec.ExpiresAt, Event: event}}})
		r.clock.pass(time.Second)
		asked := scope
		if c.scope != nil {
			c.scope(&asked)
		}
		if st := r.facts(1).Consent(person(1), asked); st.Reason != c.reason || st.Reason == exchange.ReasonPermitted && st.Categories != rec.Categories {
			t.Errorf("%s: %+v, want %s", name, st, c.reason)
		}
	}
	// what cannot be read permits nothing
	r := newRig(t)
	r.put(&Change{Draft: stop("x").Draft, Consents: []store.ConsentRow{{Consent: exchange.ConsentID{1}, Subject: person(1), Purpose: scope.Purpose,
		Body: scope.Body, Role: scope.Role, Status: string(consent.StatusGiven), Permits: true, Event: []byte("x")}}})
	if st := r.facts(1).Consent(person(1), scope); st.Reason != exchange.ReasonConsentMissing {
		t.Errorf("an unreadable event: %+v", st)
	}
}

func TestDossierFacts(t *testing.T) {
	r := newRig(t)
	r.put(stop("origin")) // entry 0 is never a dossier
	now := r.clock.Now().UnixMilli()
	row := store.DossierRow{Dossier: exchange.DossierID{1}, Subject: person(1), Body: "work", Role: exchange.RoleEmploymentService, Capacity: "tutor"}
	for name, c := range map[string]struct {
		change func(*store.DossierRow)
		open   bool
	}{
		"open":             {func(*store.DossierRow) {}, true},
		"closed":           {func(d *store.DossierRow) { d.Closed = true }, false},
		"until later":      {func(d *store.DossierRow) { d.Until = now + 1 }, true},
		"until now":        {func(d *store.DossierRow) { d.Until = now }, false},
		"another capacity": {func(d *store.DossierRow) { d.Capacity = "case_manager" }, false},
		"another body":     {func(d *store.DossierRow) { d.Body = "clinic" }, false},
		"another role":     {func(d *store.DossierRow) { d.Role = exchange.RoleSocialService }, false},
		"another person":   {func(d *store.DossierRow) { d.Subject = person(2) }, false},
	} {
		d := row
		c.change(&d)
		r.record(dossier(d))
		if got := r.facts(1).Dossier(person(1), "work", exchange.RoleEmploymentService, "tutor"); (got != 0) != c.open {
			t.Errorf("%s: entry %d", name, got)
		}
	}
}
