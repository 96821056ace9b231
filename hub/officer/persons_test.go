package officer_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"raccordo/consent"
	"raccordo/hub/exchange"
	"raccordo/hub/ledger"
	"raccordo/hub/officer"
	"raccordo/hub/store"
)

const social = exchange.RoleSocialService

func opening(p officer.Person) officer.Opening {
	return officer.Opening{Person: p, Body: sds, Role: social, Capacity: "case_manager"}
}

func (f *fixture) dossier(s exchange.SubjectID) uint64 {
	f.t.Helper()
	var facts *ledger.Facts
	require.NoError(f.t, f.store.View(f.t.Context(), func(tx store.ReadTx) (err error) {
		facts, err = ledger.ReadFacts(tx, []exchange.SubjectID{s}, f.clock.Now())
		return err
	}))
	return facts.Dossier(s, sds, social, "case_manager")
}

func TestDossiers(t *testing.T) {
	f := newFixture(t)
	p := local1(t, "PT-1")
	d, err := f.officer.OpenDossier(t.Context(), sociale, opening(p))
	require.NoError(t, err)
	require.Equal(t, f.clock.Now().UnixMilli(), d.Time)
	require.Equal(t, d.Seq, f.dossier(f.subject(p)))
	_, err = f.officer.OpenDossier(t.Context(), sociale, opening(p))
	refused(t, err, exchange.CodeConflict, exchange.ReasonDossierState)
	other := opening(p)
	other.Capacity = "tutor"
	_, err = f.officer.OpenDossier(t.Context(), sociale, other)
	refused(t, err, exchange.CodeInvalid, exchange.ReasonSemantic) // no clause asks for it: most likely misspelt

	for _, by := range []officer.By{deskPT, salute, {System: "sisoc_livorno", Body: "comune_livorno"}, {}, {Body: sds}} {
		_, err = f.officer.CloseDossier(t.Context(), by, d.Dossier)
		refused(t, err, exchange.CodeNotFound, exchange.ReasonNotFound)
	}
	_, err = f.officer.CloseDossier(t.Context(), sociale, exchange.DossierID{1})
	refused(t, err, exchange.CodeNotFound, exchange.ReasonNotFound)
	closed, err := f.officer.CloseDossier(t.Context(), sociale, d.Dossier)
	require.NoError(t, err)
	require.True(t, closed.Closed)
	require.Greater(t, closed.Seq, d.Seq)
	require.Zero(t, f.dossier(f.subject(p)))
	_, err = f.officer.CloseDossier(t.Context(), sociale, d.Dossier)
	refused(t, err, exchange.CodeConflict, exchange.ReasonDossierState)
	again, err := f.officer.OpenDossier(t.Context(), operator, opening(p))
	require.NoError(t, err)
	require.NotEqual(t, d.Dossier, again.Dossier)
	list, err := f.officer.Dossiers(t.Context(), p)
	require.NoError(t, err)
	require.Len(t, list, 2)
	list, err = f.officer.Dossiers(t.Context(), local1(t, "nobody-1"))
	require.NoError(t, err)
	require.Empty(t, list)
}

func TestDossiersOverLinksAndTime(t *testing.T) {
	f := newFixture(t)
	a, b := local1(t, "PT-1"), local1(t, "PT-2")
	o := opening(a)
	o.Until = start.Add(time.Hour)
	_, err := f.officer.OpenDossier(t.Context(), sociale, o)
	require.NoError(t, err)
	f.known(t, b)
	require.Zero(t, f.dossier(f.subject(b)))
	_, err = f.officer.Link(t.Context(), a, b, true)
	require.NoError(t, err)
	require.NotZero(t, f.dossier(f.subject(b)))
	_, err = f.officer.OpenDossier(t.Context(), sociale, opening(b))
	refused(t, err, exchange.CodeConflict, exchange.ReasonDossierState) // it is the same person
	list, err := f.officer.Dossiers(t.Context(), b)
	require.NoError(t, err)
	require.Len(t, list, 1)
	f.clock.pass(time.Hour)
	require.Zero(t, f.dossier(f.subject(b)))
	_, err = f.officer.OpenDossier(t.Context(), sociale, opening(b))
	require.NoError(t, err, "the first one's time is over")
}

func TestDossiersThatAreRefused(t *testing.T) {
	f := newFixture(t)
	p := local1(t, "PT-1")
	with := func(change func(*officer.Opening)) officer.Opening { o := opening(p); change(&o); return o }
	for name, c := range map[string]struct {
		by     officer.By
		o      officer.Opening
		code   exchange.Code
		reason exchange.Reason
	}{
		"no capacity":             {sociale, with(func(o *officer.Opening) { o.Capacity = "" }), exchange.CodeInvalid, exchange.ReasonSemantic},
		"free text":               {sociale, with(func(o *officer.Opening) { o.Capacity = "per Mario Rossi" }), exchange.CodeInvalid, exchange.ReasonSemantic},
		"over before it begins":   {sociale, with(func(o *officer.Opening) { o.Until = start }), exchange.CodeInvalid, exchange.ReasonSemantic},
		"in another's name":       {sociale, with(func(o *officer.Opening) { o.Body = "comune_livorno" }), exchange.CodeForbidden, exchange.ReasonRoleMissing},
		"in another role":         {sociale, with(func(o *officer.Opening) { o.Role = health }), exchange.CodeForbidden, exchange.ReasonRoleMissing},
		"a system that may not":   {salute, with(func(o *officer.Opening) { o.Role = health }), exchange.CodeForbidden, exchange.ReasonRoleMissing},
		"a desk":                  {deskPT, opening(p), exchange.CodeForbidden, exchange.ReasonRoleMissing},
		"nobody":                  {officer.By{}, opening(p), exchange.CodeForbidden, exchange.ReasonRoleMissing},
		"a role the body has not": {operator, with(func(o *officer.Opening) { o.Role = exchange.RoleObserver }), exchange.CodeForbidden, exchange.ReasonRoleMissing},
		"a body nobody knows":     {operator, with(func(o *officer.Opening) { o.Body = "nobody" }), exchange.CodeForbidden, exchange.ReasonRoleMissing},
		"no identifier":           {sociale, with(func(o *officer.Opening) { o.Person = officer.Person{} }), exchange.CodeInvalid, exchange.ReasonBadIdentifier},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.officer.OpenDossier(t.Context(), c.by, c.o)
			refused(t, err, c.code, c.reason)
		})
	}
	found, err := f.directory.Lookup(t.Context(), p.Identifiers)
	require.NoError(t, err)
	require.Empty(t, found, "nobody was made")
	require.EqualValues(t, 1, f.entries())
}

func TestLinks(t *testing.T) {
	f := newFixture(t)
	a, b, c := local1(t, "PT-1"), local1(t, "PT-2"), local1(t, "PT-3")
	f.decide(yes(a))
	given := f.decide(yes(b))
	_, err := f.officer.Link(t.Context(), a, c, true)
	refused(t, err, exchange.CodeNotFound, exchange.ReasonNotFound)
	_, err = f.officer.Link(t.Context(), a, a, true)
	refused(t, err, exchange.CodeConflict, exchange.ReasonSemantic)
	_, err = f.officer.Link(t.Context(), a, b, false)
	refused(t, err, exchange.CodeConflict, exchange.ReasonSemantic)
	res, err := f.officer.Link(t.Context(), a, b, true)
	require.NoError(t, err)
	require.NotZero(t, res.Seq)
	_, err = f.officer.Link(t.Context(), b, a, true)
	refused(t, err, exchange.CodeConflict, exchange.ReasonSemantic)

	// Known by one code yesterday and by another today: a withdrawal under one
	// stops the other.
	_, err = f.officer.Withdraw(t.Context(), deskPT, given.ID, consent.BySubject, consent.MethodPaper)
	require.NoError(t, err)
	require.Equal(t, exchange.ReasonConsentWithdrawn, f.permits(f.subject(a)))
	_, err = f.officer.Link(t.Context(), officer.Person{Subject: f.subject(b)}, officer.Person{Subject: f.subject(a)}, false)
	require.NoError(t, err)
	require.Equal(t, exchange.ReasonPermitted, f.permits(f.subject(a)))
	require.Equal(t, exchange.ReasonConsentWithdrawn, f.permits(f.subject(b)))
}

func TestConflicts(t *testing.T) {
	f := newFixture(t)
	a, b, c := f.known(t, local1(t, "PT-1")), f.known(t, local1(t, "PT-2")), f.known(t, local1(t, "PT-3"))
	row := func(x, y exchange.SubjectID, at int64) store.ConflictRow {
		if string(x[:]) > string(y[:]) {
			x, y = y, x
		}
		return store.ConflictRow{A: x, B: y, Record: exchange.RecordID{1}, SeenAt: at}
	}
	want := []store.ConflictRow{row(a, b, 1), row(b, c, 2), row(a, c, 3)}
	require.NoError(t, f.store.Side(t.Context(), func(tx store.SideTx) error { return tx.PutConflicts(want) }))
	rows, err := f.officer.Conflicts(t.Context(), 10)
	require.NoError(t, err)
	require.Equal(t, want, rows)
	rows, err = f.officer.Conflicts(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, want[:1], rows)

	f.side.fail = store.ErrFull // the row of the answered question stays: it is no question any more
	_, err = f.officer.Link(t.Context(), officer.Person{Subject: b}, officer.Person{Subject: a}, true)
	require.NoError(t, err)
	f.side.fail = nil
	rows, err = f.officer.Conflicts(t.Context(), 10)
	require.NoError(t, err)
	require.Equal(t, want[1:], rows)
	_, err = f.officer.Link(t.Context(), officer.Person{Subject: b}, officer.Person{Subject: c}, true)
	require.NoError(t, err)
	rows, err = f.officer.Conflicts(t.Context(), 10)
	require.NoError(t, err)
	require.Empty(t, rows, "a and c are one over b")
}

func TestStop(t *testing.T) {
	f := newFixture(t)
	for _, reason := range []string{"", "perché sì", "A", "un motivo"} {
		_, err := f.officer.Stop(t.Context(), true, reason)
		refused(t, err, exchange.CodeInvalid, exchange.ReasonParameter)
	}
	_, err := f.officer.Stop(t.Context(), false, "all_well")
	refused(t, err, exchange.CodeConflict, exchange.ReasonSemantic)
	res, err := f.officer.Stop(t.Context(), true, "wrong_mapping")
	require.NoError(t, err)
	require.NotZero(t, res.Seq)
	stopped := func() (s bool) {
		require.NoError(t, f.store.View(t.Context(), func(tx store.ReadTx) error {
			h, err := tx.Head()
			s = h.Stopped
			return err
		}))
		return s
	}
	require.True(t, stopped())
	_, err = f.officer.Stop(t.Context(), true, "wrong_mapping")
	refused(t, err, exchange.CodeConflict, exchange.ReasonSemantic)
	_, err = f.officer.Stop(t.Context(), false, "mended")
	require.NoError(t, err)
	require.False(t, stopped())
	require.EqualValues(t, 2, f.woken.Load())
}
