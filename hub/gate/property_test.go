package gate_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"raccordo/hub/exchange"
	"raccordo/hub/gate"
)

// known is a fake of the facts that counts who was asked about.
type known struct {
	now      time.Time
	stopped  bool
	standing map[exchange.SubjectID]gate.Standing
	dossiers map[exchange.SubjectID]uint64
	scope    gate.Scope // any other scope is silent
	asked    map[exchange.SubjectID]int
}

func (k *known) Now() time.Time { return k.now }
func (k *known) Stopped() bool  { return k.stopped }

func (k *known) Consent(s exchange.SubjectID, scope gate.Scope) gate.Standing {
	k.asked[s]++
	if st, ok := k.standing[s]; ok && scope == k.scope {
		return st
	}
	return gate.Standing{Reason: exchange.ReasonConsentMissing}
}

func (k *known) Dossier(s exchange.SubjectID, body exchange.BodyID, role exchange.Role, capacity string) uint64 {
	if body != k.scope.Body || role != k.scope.Role || capacity != "case_manager" {
		return 0
	}
	return k.dossiers[s]
}

var (
	day       = 24 * time.Hour
	origin    = time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC)
	standings = []exchange.Reason{exchange.ReasonPermitted, exchange.ReasonConsentMissing, exchange.ReasonConsentRefused,
		exchange.ReasonConsentWithdrawn, exchange.ReasonConsentRevoked, exchange.ReasonConsentExpired, ""}
)

func drawSet(t *rapid.T, name string) exchange.CategorySet {
	return exchange.NewCategorySet(rapid.SliceOfN(rapid.SampledFrom([]exchange.Category{1, 2, 3, 70}), 0, 4).Draw(t, name)...)
}

// usually draws the first of values more often than not; rapid favours small
// numbers, and a situation in which everything goes wrong proves little.
func usually[T any](t *rapid.T, name string, values ...T) T {
	if rapid.Uint64().Draw(t, name+"?")%4 != 3 {
		return values[0]
	}
	return rapid.SampledFrom(values).Draw(t, name)
}

// drawSituation is any question with any facts.
func drawSituation(t *rapid.T) (*gate.Question, *known) {
	at := func(name string, halfDays ...int) time.Time {
		n := usually(t, name, halfDays...)
		if n < 0 {
			return time.Time{}
		}
		return origin.Add(time.Duration(n) * day / 2)
	}
	q := &gate.Question{RecordType: "test_record", Condition: usually(t, "condition", true, false), ReceivedAt: origin, Present: drawSet(t, "present"),
		Clause: &gate.Clause{InForce: gate.Period{From: at("from", 0, 1, 2, 3, 6, -1), Until: at("until", -1, 0, 1, 2, 3, 6)}, Purpose: "test_purpose",
			Basis:      usually(t, "basis", gate.BasisConsent, gate.BasisLegalObligation, ""),
			Categories: drawSet(t, "categories").With(2), Dossier: usually(t, "dossier", "", "case_manager", "tutor"),
			Hold: usually(t, "hold", 3*day, 0, day)},
		Recipient: &gate.Recipient{Body: "test_body", Role: exchange.RoleHealthService,
			Held: []gate.Period{{From: at("held", 0, 2, 3, -1), Until: at("given up", -1, 1, 2, 6)}}}}
	if !usually(t, "has a clause", true, true, true, false) {
		q.Clause = nil
	}
	k := &known{now: origin.Add(usually(t, "now", day, day+time.Hour, 3*day-1, 3*day)), stopped: usually(t, "stopped", false, false, true),
		scope:    gate.Scope{Purpose: "test_purpose", Body: "test_body", Role: exchange.RoleHealthService, Type: "test_record"},
		standing: map[exchange.SubjectID]gate.Standing{}, dossiers: map[exchange.SubjectID]uint64{}, asked: map[exchange.SubjectID]int{}}
	n := usually(t, "subjects", 3, 0, 1, 2, 4, 6)
	for i := range n {
		id := subjectOf(fmt.Sprint(rapid.IntRange(0, 20).Draw(t, "who")))
		part := usually(t, "first", exchange.PartPrincipal, exchange.PartThing)
		if i > 0 {
			part = rapid.SampledFrom([]exchange.Part{exchange.PartAffected, exchange.PartAffected, exchange.PartAlias}).Draw(t, "part")
		}
		q.Subjects = append(q.Subjects, gate.Subject{ID: id, Part: part, Prunable: rapid.Bool().Draw(t, "prunable"), Of: rapid.IntRange(0, max(0, n-1)).Draw(t, "of")})
		if usually(t, "spoke", true, false) {
			k.standing[id] = gate.Standing{Reason: usually(t, "standing", standings...), Seq: rapid.Uint64Range(1, 99).Draw(t, "seq"),
				Categories: usually(t, "covered", exchange.CategorySet{}, exchange.NewCategorySet(2), exchange.NewCategorySet(1, 70), exchange.NewCategorySet(3))}
		}
		if usually(t, "has dossier", true, false) {
			k.dossiers[id] = rapid.Uint64Range(1, 99).Draw(t, "dossier seq")
		}
	}
	return q, k
}

// oracle says the same as the gate in another way: it collects every objection
// there is and looks at the heaviest.
func oracle(q *gate.Question, k *known) (outcome exchange.Outcome, categories exchange.CategorySet, pruned []int) {
	withhold := func() (exchange.Outcome, exchange.CategorySet, []int) {
		return exchange.OutcomeWithhold, exchange.CategorySet{}, pruned
	}
	within := func(p gate.Period) bool {
		return !p.From.IsZero() && !k.now.Before(p.From) && (p.Until.IsZero() || k.now.Before(p.Until))
	}
	if len(q.Subjects) == 0 || q.Clause == nil || q.Clause.Basis == "" || !within(q.Clause.InForce) || !within(q.Recipient.Held[0]) || !q.Condition {
		return withhold()
	}
	if k.stopped {
		return exchange.OutcomeHold, exchange.CategorySet{}, nil
	}
	refuses := map[int]bool{} // index of a person -> an objection for good
	silent := map[int]bool{}  // index of a person -> a consent is missing
	for i, s := range q.Subjects {
		if s.Part == exchange.PartThing {
			continue
		}
		st, spoke := k.standing[s.ID]
		switch no := spoke && slices.Contains([]exchange.Reason{exchange.ReasonConsentRefused, exchange.ReasonConsentWithdrawn, exchange.ReasonConsentRevoked}, st.Reason); {
		case s.Part == exchange.PartAlias:
			of := s.Of
			if q.Subjects[of].Part == exchange.PartAlias {
				of = 0
			}
			for j, other := range q.Subjects { // wherever that person stands
				if other.ID == q.Subjects[of].ID && (j == 0 || other.Part != exchange.PartAlias) {
					refuses[j] = refuses[j] || no && q.Clause.Basis == gate.BasisConsent
				}
			}
			continue
		case q.Clause.Basis != gate.BasisConsent:
		case no || spoke && (st.Reason == exchange.ReasonConsentExpired || st.Reason == ""):
			refuses[i] = true
		case !spoke || st.Reason == exchange.ReasonConsentMissing:
			silent[i] = true
			refuses[i] = refuses[i] || q.Clause.Hold == 0
		}
		if q.Clause.Dossier == "tutor" || q.Clause.Dossier == "case_manager" && k.dossiers[s.ID] == 0 {
			refuses[i] = true
		}
	}
	out := func(i int) bool { return i > 0 && q.Subjects[i].Prunable && (refuses[i] || silent[i]) }
	categories = q.Clause.Categories
	objection, question := false, false
	for i, s := range q.Subjects {
		person := i
		if s.Part == exchange.PartAlias {
			if person = s.Of; q.Subjects[person].Part == exchange.PartAlias {
				person = 0
			}
		}
		if out(person) {
			pruned = append(pruned, i)
			continue
		}
		objection = objection || refuses[person]
		question = question || silent[person]
		if c := k.standing[s.ID].Categories; s.Part != exchange.PartAlias && s.Part != exchange.PartThing && q.Clause.Basis == gate.BasisConsent &&
			k.standing[s.ID].Reason == exchange.ReasonPermitted && !c.Empty() {
			categories = categories.Intersect(c)
		}
	}
	switch {
	case objection, question && !k.now.Before(q.ReceivedAt.Add(q.Clause.Hold)):
		return withhold()
	case question:
		return exchange.OutcomeHold, exchange.CategorySet{}, pruned
	case !q.Present.Empty() && q.Present.Intersect(categories).Empty():
		return withhold()
	}
	return exchange.OutcomePermit, categories, pruned
}

func TestDecisionsEqualAnOracle(t *testing.T) {
	seen := map[exchange.Outcome]int{}
	outcomes := []exchange.Outcome{exchange.OutcomePermit, exchange.OutcomeHold, exchange.OutcomeWithhold}
	check := func(t *rapid.T) {
		q, k := drawSituation(t)
		d := gate.Decide(q, k)
		seen[d.Outcome]++
		outcome, categories, pruned := oracle(q, k)
		if d.Outcome != outcome || d.Categories != categories || !slices.Equal(d.Pruned(), pruned) {
			t.Fatalf("decided %v %v %v, the oracle says %v %v %v", d.Outcome, d.Categories, d.Pruned(), outcome, categories, pruned)
		}
		sound(t, q, k, &d)
		again := gate.Decide(q, k)
		if !d.Same(&again) {
			t.Fatal("the same question under the same facts has another answer")
		}
	}
	// A short run draws few situations: it goes on until each outcome was among them.
	for range 20 {
		rapid.Check(t, check)
		if !slices.ContainsFunc(outcomes, func(o exchange.Outcome) bool { return seen[o] == 0 }) {
			break
		}
	}
	for _, o := range outcomes {
		if seen[o] == 0 {
			t.Errorf("no situation came out as %v", o)
		}
	}
}

// sound is what must hold of every decision, whatever the facts.
func sound(t *rapid.T, q *gate.Question, k *known, d *gate.Decision) {
	if len(d.Subjects) != len(q.Subjects) {
		t.Fatal("not every subject has a decision")
	}
	if d.Reason.Number() == 0 {
		t.Fatalf("reason %q cannot stand in a row", d.Reason)
	}
	if d.Outcome != exchange.OutcomePermit && !d.Categories.Empty() {
		t.Fatal("categories without a permit")
	}
	if d.Outcome == exchange.OutcomeHold && d.Event == gate.EventNone || d.Outcome != exchange.OutcomeHold && d.Event != gate.EventNone {
		t.Fatal("a hold waits for an event, and nothing else does")
	}
	if d.Event == gate.EventConsent && (d.Await == exchange.SubjectID{} || !k.now.Before(d.Until)) {
		t.Fatal("a hold names its subject and ends")
	}
	for i, s := range d.Subjects {
		if s.Reason.Number() == 0 {
			t.Fatalf("reason %q of subject %d cannot stand in a row", s.Reason, i)
		}
		if d.Outcome != exchange.OutcomePermit || s.Pruned {
			continue
		}
		if s.Outcome != exchange.OutcomePermit {
			t.Fatalf("released although subject %d is not permitted", i)
		}
		person := q.Subjects[i].Part == exchange.PartPrincipal || q.Subjects[i].Part == exchange.PartAffected
		if person && q.Clause.Basis == gate.BasisConsent && (s.Basis == 0 || k.standing[q.Subjects[i].ID].Seq != s.Basis) {
			t.Fatalf("subject %d was released on no consent", i)
		}
		if person && q.Clause.Dossier != "" && s.Dossier == 0 {
			t.Fatalf("subject %d was released without a dossier", i)
		}
	}
}

// TestEverySubjectIsAsked is F47 of the fault list: of a batch of N persons one
// of whom withdrew, exactly N are looked up, each once, and N-1 go out; whether
// they stand in N records or in one.
func TestEverySubjectIsAsked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 40).Draw(t, "n")
		withdrew := rapid.IntRange(0, n-1).Draw(t, "withdrew")
		k := &known{now: origin.Add(day), scope: gate.Scope{Purpose: "test_purpose", Body: "test_body", Role: exchange.RoleHealthService, Type: "test_record"},
			standing: map[exchange.SubjectID]gate.Standing{}, asked: map[exchange.SubjectID]int{}}
		question := func(subjects ...gate.Subject) *gate.Question {
			return &gate.Question{RecordType: "test_record", Condition: true, ReceivedAt: origin, Subjects: subjects,
				Clause:    &gate.Clause{InForce: gate.Period{From: origin}, Purpose: "test_purpose", Basis: gate.BasisConsent, Categories: exchange.NewCategorySet(1), Hold: day * 9},
				Recipient: &gate.Recipient{Body: "test_body", Role: exchange.RoleHealthService, Held: []gate.Period{{From: origin}}}}
		}
		household := question()
		released := 0
		for i := range n {
			id := subjectOf(fmt.Sprint("person", i))
			k.standing[id] = gate.Standing{Reason: exchange.ReasonPermitted, Seq: uint64(i) + 1}
			if i == withdrew {
				k.standing[id] = gate.Standing{Reason: exchange.ReasonConsentWithdrawn, Seq: 99}
			}
			s := gate.Subject{ID: id, Part: exchange.PartPrincipal}
			d := gate.Decide(question(s), k)
			if (d.Outcome == exchange.OutcomePermit) == (i == withdrew) {
				t.Fatalf("person %d of %d, %d withdrew: %v", i, n, withdrew, d.Outcome)
			}
			if d.Outcome == exchange.OutcomePermit {
				released++
			}
			if i > 0 {
				s.Part, s.Prunable = exchange.PartAffected, true
			}
			household.Subjects = append(household.Subjects, s)
		}
		allAsked(t, k, n)
		if released != n-1 {
			t.Fatalf("%d of %d released", released, n)
		}
		clear(k.asked)
		d := gate.Decide(household, k)
		allAsked(t, k, n)
		if want := withdrew == 0; (d.Outcome == exchange.OutcomeWithhold) != want {
			t.Fatalf("the principal withdrew: %v, outcome %v", want, d.Outcome)
		}
		if withdrew > 0 && !slices.Equal(d.Pruned(), []int{withdrew}) {
			t.Fatalf("pruned %v, %d withdrew", d.Pruned(), withdrew)
		}
	})
}

func allAsked(t *rapid.T, k *known, n int) {
	if len(k.asked) != n {
		t.Fatalf("%d of %d persons were looked up", len(k.asked), n)
	}
	for _, times := range k.asked {
		if times != 1 {
			t.Fatalf("a person was looked up %d times", times)
		}
	}
}

func TestSame(t *testing.T) {
	base := func() gate.Decision {
		return gate.Decision{Outcome: exchange.OutcomePermit, Reason: exchange.ReasonPermitted, Categories: exchange.NewCategorySet(1),
			Subjects: []gate.SubjectDecision{{Outcome: exchange.OutcomePermit, Basis: 4}, {Outcome: exchange.OutcomePermit}}}
	}
	for name, c := range map[string]struct {
		change func(*gate.Decision)
		same   bool
	}{
		"equal":           {func(*gate.Decision) {}, true},
		"renewed consent": {func(d *gate.Decision) { d.Subjects[0].Basis = 9 }, true},
		"other dossier":   {func(d *gate.Decision) { d.Subjects[1].Dossier = 9 }, true},
		"outcome":         {func(d *gate.Decision) { d.Outcome = exchange.OutcomeHold }, false},
		"categories":      {func(d *gate.Decision) { d.Categories = exchange.NewCategorySet(1, 2) }, false},
		"pruned":          {func(d *gate.Decision) { d.Subjects[1].Pruned = true }, false},
		"subjects":        {func(d *gate.Decision) { d.Subjects = d.Subjects[:1] }, false},
	} {
		a, b := base(), base()
		c.change(&b)
		if a.Same(&b) != c.same || b.Same(&a) != c.same {
			t.Errorf("%s: same is %v, want %v", name, a.Same(&b), c.same)
		}
	}
}

func TestBases(t *testing.T) {
	for _, b := range []gate.LegalBasis{gate.BasisConsent, gate.BasisContract, gate.BasisLegalObligation, gate.BasisSafeguard,
		gate.BasisRuleOfLaw, gate.BasisAdministrativeAct, gate.BasisPublicInterestTask} {
		if c := (gate.Clause{Basis: b}); !b.IsValid() || c.NeedsConsent() != (b == gate.BasisConsent) {
			t.Errorf("%s", b)
		}
	}
	for _, b := range []gate.LegalBasis{"", "consent", "PUBLIC_INTEREST", "LEGITIMATE_INTEREST"} {
		if b.IsValid() {
			t.Errorf("%q is no legal basis here", b)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	k := &known{now: origin.Add(day), scope: gate.Scope{Purpose: "test_purpose", Body: "test_body", Role: exchange.RoleHealthService, Type: "test_record"},
		standing: map[exchange.SubjectID]gate.Standing{subjectOf("0"): {Reason: exchange.ReasonPermitted, Seq: 1}}, asked: map[exchange.SubjectID]int{}}
	q := &gate.Question{RecordType: "test_record", Condition: true, ReceivedAt: origin, Subjects: []gate.Subject{{ID: subjectOf("0"), Part: exchange.PartPrincipal}},
		Clause:    &gate.Clause{InForce: gate.Period{From: origin}, Purpose: "test_purpose", Basis: gate.BasisConsent, Categories: exchange.NewCategorySet(1)},
		Recipient: &gate.Recipient{Body: "test_body", Role: exchange.RoleHealthService, Held: []gate.Period{{From: origin}}}}
	b.ReportAllocs()
	for b.Loop() {
		d := gate.Decide(q, k)
		if d.Outcome != exchange.OutcomePermit {
			b.Fatal(d.Reason)
		}
	}
}
