package gate_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"go.yaml.in/yaml/v3"

	"raccordo/consent"
	"raccordo/hub/exchange"
	"raccordo/hub/gate"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
)

// A matrix is a file of testdata: a world, and cases that go through stages.
// What happens in a stage stays: facts change between assertions.
type matrix struct {
	Cases []matrixCase `yaml:"cases"`
}

type matrixCase struct {
	Name      string          `yaml:"name"`
	Clause    matrixClause    `yaml:"clause"`
	Recipient matrixRecipient `yaml:"recipient"`
	Record    matrixRecord    `yaml:"record"`
	Stages    []matrixStage   `yaml:"stages"`
}

type matrixPeriod struct {
	From  string `yaml:"from"` // first day, Europe/Rome; empty: never
	Until string `yaml:"until"`
}

type matrixClause struct {
	Basis      string              `yaml:"basis"`
	Purpose    exchange.PurposeID  `yaml:"purpose"`
	Categories []exchange.Category `yaml:"categories"`
	Dossier    string              `yaml:"dossier"`
	Hold       time.Duration       `yaml:"hold"`
	InForce    matrixPeriod        `yaml:"in_force"`
	Removed    bool                `yaml:"removed"`
}

type matrixRecipient struct {
	Body exchange.BodyID `yaml:"body"`
	Role exchange.Role   `yaml:"role"`
	Held []matrixPeriod  `yaml:"held"`
}

type matrixRecord struct {
	Type     exchange.RecordType `yaml:"type"`
	Received time.Time           `yaml:"received"`
	Unmet    bool                `yaml:"condition_unmet"`
	Present  []exchange.Category `yaml:"present"`
	Subjects []matrixSubject     `yaml:"subjects"`
}

type matrixSubject struct {
	ID       string `yaml:"id"`
	Part     string `yaml:"part"`
	Prunable bool   `yaml:"prunable"`
	Of       int    `yaml:"of"`
}

type matrixStage struct {
	Name   string        `yaml:"name"`
	At     time.Time     `yaml:"at"`
	Do     []matrixEvent `yaml:"do"`
	Expect matrixExpect  `yaml:"expect"`
}

// matrixEvent is one thing that an entry of the ledger records.
type matrixEvent struct {
	Act        string                `yaml:"act"`
	Subject    string                `yaml:"subject"`
	Other      string                `yaml:"other"`
	Purpose    exchange.PurposeID    `yaml:"purpose"`
	Body       exchange.BodyID       `yaml:"body"`
	Role       exchange.Role         `yaml:"role"`
	Types      []exchange.RecordType `yaml:"types"`
	Categories []exchange.Category   `yaml:"categories"`
	Expires    time.Time             `yaml:"expires"`
	Capacity   string                `yaml:"capacity"`
}

type matrixExpect struct {
	Outcome    string              `yaml:"outcome"`
	Reason     exchange.Reason     `yaml:"reason"`
	Categories []exchange.Category `yaml:"categories"`
	Event      string              `yaml:"event"`
	Await      string              `yaml:"await"`
	Until      time.Time           `yaml:"until"`
	Pruned     []int               `yaml:"pruned"`
	// Subjects, if given, are "outcome reason" of each.
	Subjects []string `yaml:"subjects"`
	// Basis and Dossier name, per subject, the stage's or an earlier event that
	// is relied on, counted from 1 over the whole case; 0 is none.
	Basis   []uint64 `yaml:"basis"`
	Dossier []uint64 `yaml:"dossier"`
}

func TestMatrices(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no matrices", err)
	}
	outcomes, reasons := map[string]bool{}, map[exchange.Reason]bool{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var m matrix
		d := yaml.NewDecoder(bytes.NewReader(b))
		d.KnownFields(true)
		if err := d.Decode(&m); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, c := range m.Cases {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml")+"/"+c.Name, func(t *testing.T) { c.run(t) })
			for _, s := range c.Stages {
				outcomes[s.Expect.Outcome], reasons[s.Expect.Reason] = true, true
			}
		}
	}
	for _, o := range []string{"permit", "withhold", "hold"} {
		if !outcomes[o] {
			t.Errorf("no row for the outcome %s", o)
		}
	}
	for _, r := range []exchange.Reason{exchange.ReasonPermitted, exchange.ReasonConsentMissing, exchange.ReasonConsentRefused,
		exchange.ReasonConsentWithdrawn, exchange.ReasonConsentRevoked, exchange.ReasonConsentExpired, exchange.ReasonClauseNotInForce,
		exchange.ReasonRoleNotHeld, exchange.ReasonConditionNotMet, exchange.ReasonNoDossier, exchange.ReasonCategoryForbidden,
		exchange.ReasonFlowEnded, exchange.ReasonStopped, exchange.ReasonHoldExpired} {
		if !reasons[r] {
			t.Errorf("no row for the reason %s", r)
		}
	}
}

func (c *matrixCase) run(t *testing.T) {
	w := &world{zone: rome(t), seq: 1}
	q := c.question(t, w)
	for i, s := range c.Stages {
		w.now = s.At
		for _, e := range s.Do {
			w.happen(t, e)
		}
		f, err := ledger.ReadFacts(w, w.subjects(q), s.At)
		if err != nil {
			t.Fatal(err)
		}
		d := gate.Decide(q, f)
		s.Expect.check(t, fmt.Sprintf("stage %d (%s)", i+1, s.Name), q, &d)
	}
}

func (c *matrixCase) question(t *testing.T, w *world) *gate.Question {
	q := &gate.Question{RecordType: c.Record.Type, Condition: !c.Record.Unmet, ReceivedAt: c.Record.Received,
		Present:   exchange.NewCategorySet(c.Record.Present...),
		Recipient: &gate.Recipient{System: "test_system", Body: c.Recipient.Body, Role: c.Recipient.Role, Territory: "test_area"}}
	for _, h := range c.Recipient.Held {
		q.Recipient.Held = append(q.Recipient.Held, w.period(t, h))
	}
	if !c.Clause.Removed {
		q.Clause = &gate.Clause{ID: "test_clause", Number: exchange.ClauseNumber("test_clause"), InForce: w.period(t, c.Clause.InForce),
			Basis: gate.LegalBasis(c.Clause.Basis), Purpose: c.Clause.Purpose, Categories: exchange.NewCategorySet(c.Clause.Categories...),
			Dossier: c.Clause.Dossier, Hold: c.Clause.Hold}
	}
	parts := map[string]exchange.Part{"principal": exchange.PartPrincipal, "affected": exchange.PartAffected, "alias": exchange.PartAlias, "thing": exchange.PartThing}
	for _, s := range c.Record.Subjects {
		if parts[s.Part] == 0 {
			t.Fatalf("part %q", s.Part)
		}
		q.Subjects = append(q.Subjects, gate.Subject{ID: subjectOf(s.ID), Part: parts[s.Part], Prunable: s.Prunable, Of: s.Of})
	}
	return q
}

func (e *matrixExpect) check(t *testing.T, at string, q *gate.Question, d *gate.Decision) {
	t.Helper()
	same := func(what string, got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %s is %v, want %v", at, what, got, want)
		}
	}
	same("outcome", d.Outcome.String(), e.Outcome)
	same("reason", d.Reason, e.Reason)
	same("categories", d.Categories, exchange.NewCategorySet(e.Categories...))
	same("event", [...]string{"", "consent", "dossier", "resume"}[d.Event], e.Event)
	want := exchange.SubjectID{}
	if e.Await != "" {
		want = subjectOf(e.Await)
	}
	same("await", d.Await, want)
	same("until", d.Until.UnixMilli(), e.Until.UnixMilli())
	same("pruned", d.Pruned(), e.Pruned)
	if len(d.Subjects) != len(q.Subjects) {
		t.Fatalf("%s: %d of %d subjects decided", at, len(d.Subjects), len(q.Subjects))
	}
	for i, s := range e.Subjects {
		same(fmt.Sprintf("subject %d", i), fmt.Sprintf("%s %s", d.Subjects[i].Outcome, d.Subjects[i].Reason), s)
	}
	for i, b := range e.Basis {
		same(fmt.Sprintf("basis of subject %d", i), d.Subjects[i].Basis, b)
	}
	for i, b := range e.Dossier {
		same(fmt.Sprintf("dossier of subject %d", i), d.Subjects[i].Dossier, b)
	}
}

// world is what the ledger holds: rows as the store gives them to the facts.
type world struct {
	zone     *time.Location
	now      time.Time
	seq      uint64
	stopped  bool
	consents []store.ConsentRow
	dossiers []store.DossierRow
	links    []store.LinkRow
}

func rome(t *testing.T) *time.Location {
	zone, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func (w *world) period(t *testing.T, p matrixPeriod) gate.Period {
	day := func(s string, plus int) time.Time {
		if s == "" {
			return time.Time{}
		}
		d, err := time.ParseInLocation(time.DateOnly, s, w.zone)
		if err != nil {
			t.Fatal(err)
		}
		return time.Date(d.Year(), d.Month(), d.Day()+plus, 0, 0, 0, 0, w.zone)
	}
	return gate.Period{From: day(p.From, 0), Until: day(p.Until, 1)}
}

func subjectOf(name string) exchange.SubjectID {
	d := exchange.DigestOf([]byte(name))
	return exchange.SubjectID(d[:16])
}

func (w *world) subjects(q *gate.Question) []exchange.SubjectID {
	var out []exchange.SubjectID
	for _, s := range q.Subjects {
		out = append(out, s.ID)
	}
	return out
}

func (w *world) happen(t *testing.T, e matrixEvent) {
	t.Helper()
	seq := w.seq
	w.seq++
	subject := subjectOf(e.Subject)
	switch e.Act {
	case "stop", "resume":
		w.stopped = e.Act == "stop"
	case "link":
		w.links = append(w.links, store.LinkRow{A: subject, B: subjectOf(e.Other), Seq: seq})
	case "unlink":
		w.links = slices.DeleteFunc(w.links, func(l store.LinkRow) bool { return l.A == subject && l.B == subjectOf(e.Other) })
	case "open":
		row := store.DossierRow{Subject: subject, Body: e.Body, Role: e.Role, Capacity: e.Capacity, Seq: seq}
		if !e.Expires.IsZero() {
			row.Until = e.Expires.UnixMilli()
		}
		w.dossiers = append(w.dossiers, row)
	case "close":
		for i := range w.dossiers {
			if d := &w.dossiers[i]; d.Subject == subject && d.Capacity == e.Capacity {
				d.Closed, d.Seq = true, seq
			}
		}
	default:
		w.consent(t, e, seq)
	}
}

func (w *world) consent(t *testing.T, e matrixEvent, seq uint64) {
	t.Helper()
	scope := consent.Scope{Subject: subjectOf(e.Subject), Purpose: e.Purpose, Body: e.Body, Role: e.Role}
	now := w.now.UnixMilli()
	var prev *consent.Known
	at := -1
	for i := range w.consents {
		if c := &w.consents[i]; c.Subject == scope.Subject && c.Purpose == e.Purpose && c.Body == e.Body && c.Role == e.Role {
			known, err := consent.Read(c.Seq, c.Event)
			if err != nil {
				t.Fatal(err)
			}
			prev, at = known, i
		}
	}
	id := exchange.DigestOf([]byte(fmt.Sprint(seq)))
	request := &consent.GiveRequest{ID: exchange.ConsentID(id[:16]), Scope: scope, RecordTypes: e.Types, Categories: exchange.NewCategorySet(e.Categories...),
		Notice: consent.Notice{ID: "test_notice", Version: "1", Language: "it", Hash: id},
		Act:    consent.Act{By: consent.BySubject, Method: consent.MethodPaper, At: now}}
	if !e.Expires.IsZero() {
		request.ExpiresAt = e.Expires.UnixMilli()
	}
	byOther := request.Act
	byOther.By = consent.ByOperator
	acts := map[string]func() (*consent.Record, error){
		"ask":        func() (*consent.Record, error) { return consent.Request(prev, request, now) },
		"give":       func() (*consent.Record, error) { return consent.Give(prev, request, now) },
		"refuse":     func() (*consent.Record, error) { return consent.Refuse(prev, request, now) },
		"withdraw":   func() (*consent.Record, error) { return consent.Withdraw(prev, &request.Act, now) },
		"revoke":     func() (*consent.Record, error) { return consent.Revoke(prev, &byOther, now) },
		"invalidate": func() (*consent.Record, error) { return consent.Invalidate(prev, &byOther, now) },
	}
	if acts[e.Act] == nil {
		t.Fatalf("act %q", e.Act)
	}
	r, err := acts[e.Act]()
	if err != nil {
		t.Fatal(err)
	}
	event, err := consent.AppendEvent(nil, r)
	if err != nil {
		t.Fatal(err)
	}
	row := store.ConsentRow{Consent: r.ID, Subject: r.Subject, Purpose: r.Purpose, Body: r.Body, Role: r.Role, Status: string(r.Status),
		Permits: r.Status.Permits(), ExpiresAt: r.ExpiresAt, Seq: seq, Event: event}
	if at >= 0 && w.consents[at].Consent == r.ID {
		w.consents[at] = row
		return
	}
	w.consents = append(w.consents, row)
}

// The world read as a store would give it: whole components of links.

func (w *world) Head() (store.Head, error) { return store.Head{Size: w.seq, Stopped: w.stopped}, nil }

func (w *world) Links([]exchange.SubjectID) ([]store.LinkRow, error) { return w.links, nil }

func (w *world) Consents(of []exchange.SubjectID) ([]store.ConsentRow, error) {
	var out []store.ConsentRow
	for _, c := range w.consents {
		if slices.Contains(of, c.Subject) {
			out = append(out, c)
		}
	}
	return out, nil
}

func (w *world) Dossiers(of []exchange.SubjectID) ([]store.DossierRow, error) {
	var out []store.DossierRow
	for _, d := range w.dossiers {
		if slices.Contains(of, d.Subject) {
			out = append(out, d)
		}
	}
	return out, nil
}
