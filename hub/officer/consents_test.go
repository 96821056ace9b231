package officer_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"raccordo/consent"
	"raccordo/hub/exchange"
	"raccordo/hub/gate"
	"raccordo/hub/ledger"
	"raccordo/hub/officer"
	"raccordo/hub/person"
	"raccordo/hub/store"
)

func scopeOf(t exchange.RecordType) gate.Scope {
	return gate.Scope{Purpose: purpose, Body: sds, Role: health, Type: t}
}

func TestGiveRenewWithdrawGiveAgain(t *testing.T) {
	f := newFixture(t)
	p := local1(t, "PT-1")
	given := f.decide(yes(p))
	require.Equal(t, consent.StatusGiven, given.Status)
	require.Equal(t, consent.Notice{ID: "health_accompaniment", Version: "1", Language: "it", Hash: given.Notice.Hash}, given.Notice)
	require.NotZero(t, given.Notice.Hash)
	require.Equal(t, []exchange.RecordType{"service_request"}, given.RecordTypes)
	require.Equal(t, exchange.SystemID("oss_pistoia_desk"), given.RecordedBy)
	require.Equal(t, f.clock.Now().UnixMilli(), given.Time)
	subject := f.subject(p)
	require.Equal(t, exchange.ReasonPermitted, f.permits(subject))

	renewed := f.decide(yes(p))
	require.Equal(t, consent.StatusRenewed, renewed.Status)
	require.Equal(t, given.ID, renewed.ID, "one is in force per subject, purpose and recipient")
	require.Greater(t, renewed.Seq, given.Seq)

	_, err := f.officer.Decide(t.Context(), deskPT, no(p))
	refused(t, err, exchange.CodeConflict, exchange.ReasonConsentState)

	f.clock.pass(time.Second)
	end, err := f.officer.Withdraw(t.Context(), deskPT, given.ID, consent.BySubject, consent.MethodPaper)
	require.NoError(t, err)
	require.Equal(t, consent.StatusWithdrawn, end.Status)
	require.Equal(t, sendTimeout, end.Within)
	require.Zero(t, end.UnderWay)
	require.Equal(t, exchange.ReasonConsentWithdrawn, f.permits(subject))

	_, err = f.officer.Withdraw(t.Context(), deskPT, given.ID, consent.BySubject, consent.MethodPaper)
	refused(t, err, exchange.CodeConflict, exchange.ReasonConsentState)

	again := f.decide(yes(p))
	require.Equal(t, consent.StatusGiven, again.Status)
	require.NotEqual(t, given.ID, again.ID, "another consent")
	// The id of the one before does not end the one that took its place.
	_, err = f.officer.Withdraw(t.Context(), deskPT, given.ID, consent.BySubject, consent.MethodPaper)
	refused(t, err, exchange.CodeConflict, exchange.ReasonConsentState)
	require.Equal(t, exchange.ReasonPermitted, f.permits(subject))

	end, err = f.officer.Withdraw(t.Context(), salute, again.ID, consent.ByOperator, consent.MethodPaper)
	require.NoError(t, err)
	require.Equal(t, consent.StatusRevoked, end.Status, "by anyone but the person it is a revocation")
	require.Equal(t, exchange.ReasonConsentRevoked, f.permits(subject))
	require.EqualValues(t, 1+5, f.entries())
	require.EqualValues(t, 5, f.woken.Load())
}

func TestRefusal(t *testing.T) {
	f := newFixture(t)
	p := local1(t, "PT-1")
	c := f.decide(no(p))
	require.Equal(t, consent.StatusRefused, c.Status)
	require.Equal(t, exchange.ReasonConsentRefused, f.permits(f.subject(p)))
	_, err := f.officer.Decide(t.Context(), deskPT, no(p))
	refused(t, err, exchange.CodeConflict, exchange.ReasonConsentState)
	_, err = f.officer.Withdraw(t.Context(), deskPT, c.ID, consent.BySubject, consent.MethodPaper)
	refused(t, err, exchange.CodeConflict, exchange.ReasonConsentState) // of nothing
	require.Equal(t, consent.StatusGiven, f.decide(yes(p)).Status)
}

func TestWhoMayRecord(t *testing.T) {
	f := newFixture(t)
	p := local1(t, "PT-1")
	for name, by := range map[string]officer.By{
		"a desk of another territory":     deskLI,
		"the recipient itself":            salute,
		"another system of the recipient": sociale,
		"nobody":                          {},
		"a system nobody knows":           {System: "nobody", Body: "co_so"},
		"the desk's body without it":      {Body: "co_so"},
	} {
		_, err := f.officer.Decide(t.Context(), by, yes(p))
		refused(t, err, exchange.CodeForbidden, exchange.ReasonRoleMissing)
		require.EqualValues(t, 1, f.entries(), name)
	}
	found, err := f.directory.Lookup(t.Context(), p.Identifiers)
	require.NoError(t, err)
	require.Empty(t, found, "nobody was made")
	_, err = f.officer.Decide(t.Context(), operator, yes(p))
	require.NoError(t, err)

	// Its body may be a desk in Pistoia too: the system there is another one.
	f.net = network2(t)
	_, err = f.officer.Decide(t.Context(), deskLI, yes(p))
	refused(t, err, exchange.CodeForbidden, exchange.ReasonRoleMissing)

	f.clock.pass(-90 * 24 * time.Hour) // before the desk's body held its role
	_, err = f.officer.Decide(t.Context(), deskPT, yes(p))
	refused(t, err, exchange.CodeForbidden, exchange.ReasonRoleMissing)
}

func TestWhatIsRefusedMakesNobody(t *testing.T) {
	f := newFixture(t)
	p := local1(t, "PT-1")
	with := func(change func(*officer.Decision)) officer.Decision {
		d := yes(p)
		change(&d)
		return d
	}
	scope := func(pointer exchange.Pointer, rule string) []exchange.Fault {
		return []exchange.Fault{{Pointer: pointer, Rule: rule}}
	}
	for name, c := range map[string]struct {
		d      officer.Decision
		reason exchange.Reason
		faults []exchange.Fault
	}{
		"unknown purpose":         {with(func(d *officer.Decision) { d.Purpose = "marketing" }), exchange.ReasonConsentScope, scope("/purpose", "no_clause")},
		"purpose without consent": {with(func(d *officer.Decision) { d.Purpose = "social_work"; d.Role = exchange.RoleSocialService }), exchange.ReasonConsentScope, scope("/purpose", "no_clause")},
		"another body":            {with(func(d *officer.Decision) { d.Body = "inps" }), exchange.ReasonConsentScope, scope("/purpose", "no_clause")},
		"another role":            {with(func(d *officer.Decision) { d.Role = exchange.RoleSocialService }), exchange.ReasonConsentScope, scope("/purpose", "no_clause")},
		"notice superseded":       {with(func(d *officer.Decision) { d.Notice = "0" }), exchange.ReasonConsentScope, scope("/notice/version", "superseded")},
		"language without text":   {with(func(d *officer.Decision) { d.Language = "fr" }), exchange.ReasonConsentScope, scope("/notice/language", "no_text")},
		"no language":             {with(func(d *officer.Decision) { d.Language = "" }), exchange.ReasonConsentScope, scope("/notice/language", "no_text")},
		"by nobody":               {with(func(d *officer.Decision) { d.Indicated = "" }), exchange.ReasonSemantic, scope("/by", "enum")},
		"by telepathy":            {with(func(d *officer.Decision) { d.Method = "TELEPATHY" }), exchange.ReasonSemantic, scope("/method", "enum")},
		"from the future":         {with(func(d *officer.Decision) { d.At = start.Add(61 * time.Second) }), exchange.ReasonSemantic, scope("/at", "not_in_future")},
		"over before it began":    {with(func(d *officer.Decision) { d.ExpiresAt = start.Add(-time.Hour) }), exchange.ReasonSemantic, scope("/expires_at", "after_given")},
		"for ever and a day":      {with(func(d *officer.Decision) { d.ExpiresAt = start.AddDate(11, 0, 0) }), exchange.ReasonSemantic, scope("/expires_at", "max_10_years")},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.officer.Decide(t.Context(), deskPT, c.d)
			refused(t, err, exchange.CodeInvalid, c.reason, c.faults...)
		})
	}
	found, err := f.directory.Lookup(t.Context(), p.Identifiers)
	require.NoError(t, err)
	require.Empty(t, found)
	require.EqualValues(t, 1, f.entries())
	require.Zero(t, f.woken.Load())

	_, err = f.officer.Decide(t.Context(), deskPT, with(func(d *officer.Decision) { d.Person = officer.Person{} }))
	refused(t, err, exchange.CodeInvalid, exchange.ReasonBadIdentifier)
	_, err = f.officer.Decide(t.Context(), deskPT, with(func(d *officer.Decision) { d.Notice = "1"; d.Language = "en" }))
	require.NoError(t, err)
}

func TestSubjectIDsAreForOperators(t *testing.T) {
	f := newFixture(t)
	p := local1(t, "PT-1")
	f.decide(yes(p))
	byID := officer.Person{Subject: f.subject(p)}
	_, err := f.officer.Decide(t.Context(), deskPT, yes(byID))
	refused(t, err, exchange.CodeNotFound, exchange.ReasonNotFound)
	_, err = f.officer.Search(t.Context(), deskPT, byID, "")
	refused(t, err, exchange.CodeNotFound, exchange.ReasonNotFound)
	_, err = f.officer.OpenDossier(t.Context(), sociale, officer.Opening{Person: byID, Body: sds, Role: exchange.RoleSocialService, Capacity: "case_manager"})
	refused(t, err, exchange.CodeNotFound, exchange.ReasonNotFound)
	c, err := f.officer.Decide(t.Context(), operator, yes(byID))
	require.NoError(t, err)
	require.Equal(t, consent.StatusRenewed, c.Status)
	require.Empty(t, c.RecordedBy)
}

func TestConsentsOfOthersAreNotThere(t *testing.T) {
	f := newFixture(t)
	c := f.decide(yes(local1(t, "PT-1")))
	byHub, err := f.officer.Decide(t.Context(), operator, yes(local1(t, "PT-2")))
	require.NoError(t, err)
	for name, by := range map[string]officer.By{
		"another desk": deskLI, "the recipient in another role": sociale, "nobody": {}, "a body without a system": {Body: sds},
		"a system nobody knows": {System: "nobody", Body: sds},
	} {
		for _, id := range []exchange.ConsentID{c.ID, byHub.ID, {1}} {
			_, err := f.officer.Consent(t.Context(), by, id)
			e := refused(t, err, exchange.CodeNotFound, exchange.ReasonNotFound)
			_, err = f.officer.Withdraw(t.Context(), by, id, consent.BySubject, consent.MethodPaper)
			require.Equal(t, e, refused(t, err, exchange.CodeNotFound, exchange.ReasonNotFound), name)
		}
	}
	for _, by := range []officer.By{operator, deskPT, salute} {
		got, err := f.officer.Consent(t.Context(), by, c.ID)
		require.NoError(t, err)
		require.Equal(t, c.Record, got.Record)
		require.Equal(t, c.Seq, got.Seq)
	}
}

func TestSearchOverLinks(t *testing.T) {
	f := newFixture(t)
	a, b := local1(t, "PT-1"), who(t, [2]string{"STP", "STP0900010000123"})
	first := f.decide(yes(a))
	second := f.decide(no(b))
	ids := func(by officer.By, p officer.Person, of exchange.PurposeID) []exchange.ConsentID {
		t.Helper()
		list, err := f.officer.Search(t.Context(), by, p, of)
		require.NoError(t, err)
		out := []exchange.ConsentID{}
		for _, c := range list {
			out = append(out, c.ID)
		}
		return out
	}
	require.Equal(t, []exchange.ConsentID{first.ID}, ids(deskPT, a, ""))
	both := officer.Person{Identifiers: append(append([]person.Identifier{}, a.Identifiers...), b.Identifiers...)}
	require.Equal(t, []exchange.ConsentID{second.ID, first.ID}, ids(deskPT, both, ""), "of all whom the identifiers name")
	_, err := f.officer.Link(t.Context(), a, b, true)
	require.NoError(t, err)
	for _, p := range []officer.Person{a, b, both} {
		require.Equal(t, []exchange.ConsentID{second.ID, first.ID}, ids(deskPT, p, ""), "newest first, each once")
		require.Equal(t, []exchange.ConsentID{second.ID, first.ID}, ids(salute, p, purpose))
		require.Empty(t, ids(deskPT, p, "siuss"))
		require.Empty(t, ids(sociale, p, ""))
		require.Empty(t, ids(deskLI, p, ""))
	}
	require.Empty(t, ids(deskPT, local1(t, "nobody-1"), ""))
}

// TestAStaleYes: a yes that was told before a no must not lift it, whichever
// linked id each came under.
func TestAStaleYes(t *testing.T) {
	f := newFixture(t)
	a, b, third := local1(t, "PT-1"), who(t, [2]string{"STP", "STP0900010000123"}), local1(t, "PT-3")
	f.known(t, third)
	at := func(d officer.Decision, when time.Time) officer.Decision { d.At = when; return d }
	told := f.clock.Now()
	given := f.decide(yes(a))
	f.decide(yes(b))
	_, err := f.officer.Link(t.Context(), a, b, true)
	require.NoError(t, err)
	_, err = f.officer.Link(t.Context(), b, third, true)
	require.NoError(t, err)
	f.clock.pass(time.Minute)
	_, err = f.officer.Withdraw(t.Context(), deskPT, given.ID, consent.BySubject, consent.MethodPaper)
	require.NoError(t, err)
	f.clock.pass(time.Minute)
	for _, p := range []officer.Person{a, b, third} { // under the third nothing is on record
		_, err = f.officer.Decide(t.Context(), deskPT, at(yes(p), told))
		refused(t, err, exchange.CodeConflict, exchange.ReasonConsentState)
		require.Equal(t, exchange.ReasonConsentWithdrawn, f.permits(f.subject(p)))
	}
	_, err = f.officer.Decide(t.Context(), deskPT, at(yes(b), f.clock.Now()))
	require.NoError(t, err, "a yes told after it does")
	require.Equal(t, exchange.ReasonPermitted, f.permits(f.subject(a)))

	// Not linked, the other's no is another person's.
	_, err = f.officer.Link(t.Context(), a, b, false)
	require.NoError(t, err)
	_, err = f.officer.Decide(t.Context(), deskPT, at(yes(b), f.clock.Now()))
	require.NoError(t, err)
}

func TestConsentExpires(t *testing.T) {
	f := newFixture(t)
	p := local1(t, "PT-1")
	d := yes(p)
	d.ExpiresAt = start.Add(time.Hour)
	c := f.decide(d)
	require.Equal(t, d.ExpiresAt.UnixMilli(), c.ExpiresAt)
	f.clock.pass(50 * time.Minute)
	require.Equal(t, exchange.ReasonPermitted, f.permits(f.subject(p)))
	f.clock.pass(10 * time.Minute)
	require.Equal(t, exchange.ReasonConsentExpired, f.permits(f.subject(p)))
	_, err := f.officer.Withdraw(t.Context(), deskPT, c.ID, consent.BySubject, consent.MethodPaper)
	require.NoError(t, err, "a withdrawal must not fail because a clock was faster")
}

// claim opens a claim of one record of a flow on a subject's consent.
func (f *fixture) claim(flow exchange.FlowID, basis uint64, subjects ...exchange.SubjectID) uint64 {
	f.t.Helper()
	return f.submit(func(s *ledger.State) (*ledger.Change, error) {
		row := store.ClaimRow{Record: exchange.RecordID{byte(s.Seq)}, Flow: flow, Subjects: subjects, Basis: make([]uint64, len(subjects))}
		for i := range row.Basis {
			row.Basis[i] = basis
		}
		return &ledger.Change{Draft: &ledger.Draft{Kind: exchange.KindClaim, System: "sds_pistoiese_salute", Rows: []exchange.Row{{Record: row.Record,
			Subject: subjects[0], Flow: exchange.FlowNumber(flow), State: exchange.StateClaimed, Part: exchange.PartPrincipal, Reason: exchange.ReasonPermitted}}},
			OpenClaims: []store.Claim{{Seq: s.Seq, System: "sds_pistoiese_salute", At: s.Facts.Now().UnixMilli(), Rows: []store.ClaimRow{row}}}}, nil
	}).Seq
}

func TestSendsUnderWay(t *testing.T) {
	f := newFixture(t)
	a, b, other := local1(t, "PT-1"), local1(t, "PT-2"), local1(t, "PT-3")
	first := f.decide(yes(a))
	f.decide(yes(b))
	f.decide(yes(other))
	subjectA, subjectB, subjectC := f.subject(a), f.subject(b), f.subject(other)
	_, err := f.officer.Link(t.Context(), a, b, true)
	require.NoError(t, err)

	f.claim("pistoia_health", first.Seq, subjectA) // too long ago to be under way
	f.clock.pass(sendTimeout + time.Millisecond)
	f.claim("pistoia_health", first.Seq, subjectA)              // 1: on the version before the renewal
	renewed := f.decide(yes(a))                                 //
	f.claim("pistoia_health", renewed.Seq, subjectC, subjectA)  // 2: affected; one record however many persons
	f.claim("pistoia_health", renewed.Seq, subjectB)            // 3: under the linked id
	f.claim("pistoia_health", 3, subjectC)                      // somebody else's
	f.claim("pistoia_social", 0, subjectA)                      // rests on no consent
	f.claim("grosseto_health", renewed.Seq, subjectA)           // another recipient
	f.claim("flow_gone", renewed.Seq, subjectA)                 // 4: a flow of an earlier network
	settled := f.claim("pistoia_health", renewed.Seq, subjectA) // settled
	f.submit(func(*ledger.State) (*ledger.Change, error) {
		return &ledger.Change{Draft: &ledger.Draft{Kind: exchange.KindSettle, Refers: settled}, CloseClaims: []uint64{settled}}, nil
	})
	end, err := f.officer.Withdraw(t.Context(), deskPT, first.ID, consent.BySubject, consent.MethodPaper)
	require.NoError(t, err)
	require.Equal(t, 4, end.UnderWay)
	require.Equal(t, sendTimeout, end.Within)
}

func TestEvidence(t *testing.T) {
	f := newFixture(t)
	p := local1(t, "PT-1")
	with := func(d officer.Decision, e string) officer.Decision {
		d.Evidence = exchange.NewPayload([]byte(e))
		return d
	}
	first := f.decide(with(yes(p), "modulo firmato canarino 1"))
	second := f.decide(with(yes(p), "modulo firmato canarino 2"))
	require.Equal(t, first.ID, second.ID)
	require.NotEqual(t, first.Commitment, second.Commitment)
	require.NotEqual(t, exchange.DigestOf([]byte("modulo firmato canarino 1")), first.Commitment)
	for e, c := range map[string]officer.Consent{"modulo firmato canarino 1": first, "modulo firmato canarino 2": second} {
		sealed := f.evidence(c.Commitment)
		require.NotContains(t, string(sealed), "canarino")
		plain, err := f.keys.Open(sealed, c.Commitment[:])
		require.NoError(t, err)
		require.True(t, consent.Proves(c.Commitment, consent.Salt(plain[:32]), exchange.NewPayload(plain[32:])))
		require.Equal(t, e, string(plain[32:]))
		_, err = f.keys.Open(sealed, c.ID[:])
		require.Error(t, err, "bound to its commitment")
	}
	require.Zero(t, f.decide(yes(p)).Commitment, "evidence is not asked for")
}

func (f *fixture) evidence(c exchange.Digest) (sealed []byte) {
	f.t.Helper()
	require.NoError(f.t, f.store.View(f.t.Context(), func(tx store.ReadTx) (err error) {
		sealed, err = tx.Evidence(officer.EvidenceID(c))
		return err
	}))
	return sealed
}

// TestNoEntryWithoutItsEvidence: the evidence cannot be written, so nothing is.
func TestNoEntryWithoutItsEvidence(t *testing.T) {
	f := newFixture(t)
	p := local1(t, "PT-1")
	f.decide(no(p)) // known from here on
	d := yes(p)
	d.Evidence = exchange.NewPayload([]byte("canarino"))
	for _, err := range []error{store.ErrFull, store.ErrUnknownOutcome, errors.New("disk")} {
		f.side.fail = err
		before := f.entries()
		_, err := f.officer.Decide(t.Context(), deskPT, d)
		e := refused(t, err, exchange.CodeUnavailable, exchange.ReasonOverloaded)
		require.Positive(t, e.RetryAfter)
		require.NotContains(t, err.Error(), "canarino")
		require.Equal(t, before, f.entries())
		require.Equal(t, exchange.ReasonConsentRefused, f.permits(f.subject(p)))
	}
	f.side.fail = nil
	f.clock.pass(time.Second)
	c, err := f.officer.Decide(t.Context(), deskPT, d)
	require.NoError(t, err)
	require.NotEmpty(t, f.evidence(c.Commitment))
}

// TestEvidenceOfNothingIsNotKept: refused at once it is never written; refused
// because the state changed in between it is emptied.
func TestEvidenceOfNothingIsNotKept(t *testing.T) {
	f := newFixture(t)
	p := local1(t, "PT-1")
	f.decide(yes(p))
	written := 0
	f.side.hook = func() { written++ }
	d := no(p)
	d.Evidence = exchange.NewPayload([]byte("canarino"))
	_, err := f.officer.Decide(t.Context(), deskPT, d)
	refused(t, err, exchange.CodeConflict, exchange.ReasonConsentState)
	require.Zero(t, written)

	q := local1(t, "PT-2")
	f.decide(no(q))
	_, err = f.officer.Withdraw(t.Context(), operator, f.decide(yes(q)).ID, consent.BySubject, consent.MethodPaper)
	require.NoError(t, err)
	d = no(q)
	d.Evidence = exchange.NewPayload([]byte("canarino"))
	written = 0
	f.side.hook = func() { // somebody else's yes comes between evidence and entry
		if written++; written == 1 {
			_, err := f.officer.Decide(t.Context(), operator, yes(q))
			require.NoError(t, err)
		}
	}
	_, err = f.officer.Decide(t.Context(), deskPT, d)
	refused(t, err, exchange.CodeConflict, exchange.ReasonConsentState)
	require.Equal(t, 2, written, "and emptied again")
}

// waits sets a record aside that waits for an event of a subject.
func (f *fixture) waits(event store.Event, principal, of exchange.SubjectID) uint64 {
	f.t.Helper()
	res := f.submit(func(s *ledger.State) (*ledger.Change, error) {
		row := store.WaitingRow{ID: store.RowID(s.Seq, 0), Flow: "pistoia_health", Principal: principal, Record: exchange.RecordID{byte(s.Seq), 1}, System: "sds_pistoiese_salute",
			Producer: "oss_pistoia_desk", Body: "co_so", LaneKey: store.LaneKey{Class: exchange.ClassPrompt}, Disclosure: exchange.DisclosureID{byte(s.Seq)},
			Event: event, Subject: of, Reason: exchange.ReasonConsentMissing, State: store.WaitingIdle, Deadline: 1 << 50, Header: []byte{1}, Sealed: []byte{1}}
		return &ledger.Change{Draft: &ledger.Draft{Kind: exchange.KindClaim, System: "sds_pistoiese_salute", Rows: []exchange.Row{{Record: row.Record, Subject: of,
			State: exchange.StateWaiting, Part: exchange.PartPrincipal, Reason: exchange.ReasonConsentMissing}}}, PutWaiting: []store.WaitingRow{row}}, nil
	})
	return store.RowID(res.Seq, 0)
}

func (f *fixture) event(id uint64) store.Event {
	f.t.Helper()
	var rows []store.WaitingRow
	require.NoError(f.t, f.store.View(f.t.Context(), func(tx store.ReadTx) (err error) {
		rows, err = tx.Waiting([]uint64{id})
		return err
	}))
	require.Len(f.t, rows, 1)
	return rows[0].Event
}

func (f *fixture) known(t *testing.T, p officer.Person) exchange.SubjectID {
	res, err := f.directory.Resolve(t.Context(), []person.Request{{Identifiers: p.Identifiers}})
	require.NoError(t, err)
	return res[0].Subject
}

func TestWhatWaitsIsWoken(t *testing.T) {
	a, linked, stranger := local1(t, "PT-1"), local1(t, "PT-2"), local1(t, "PT-3")
	for name, act := range map[string]func(f *fixture){
		"by a yes":              func(f *fixture) { f.decide(yes(a)) },
		"by a no":               func(f *fixture) { f.decide(no(a)) },
		"under a linked id":     func(f *fixture) { f.decide(yes(linked)) },
		"by an operator":        func(f *fixture) { _, err := f.officer.Decide(t.Context(), operator, yes(a)); require.NoError(t, err) },
		"by linking":            func(f *fixture) { _, err := f.officer.Link(t.Context(), a, stranger, true); require.NoError(t, err) },
		"by parting":            func(f *fixture) { _, err := f.officer.Link(t.Context(), a, linked, false); require.NoError(t, err) },
		"not by somebody else":  func(f *fixture) { f.decide(yes(stranger)) },
		"not by what is denied": func(f *fixture) { _, err := f.officer.Decide(t.Context(), deskLI, yes(a)); require.Error(t, err) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			id, other := f.known(t, a), f.known(t, linked)
			f.known(t, stranger)
			_, err := f.officer.Link(t.Context(), a, linked, true)
			require.NoError(t, err)
			row := f.waits(store.EventConsent, other, id) // the principal is another: it waits for this one
			f.woken.Store(0)
			act(f)
			if strings.HasPrefix(name, "not ") {
				require.Equal(t, store.EventConsent, f.event(row))
				return
			}
			require.Equal(t, store.EventReady, f.event(row))
			require.EqualValues(t, 1, f.woken.Load())
		})
	}
}

func TestADossierWakes(t *testing.T) {
	f := newFixture(t)
	p := local1(t, "PT-1")
	row := f.waits(store.EventDossier, f.known(t, p), f.known(t, p))
	_, err := f.officer.OpenDossier(t.Context(), sociale, officer.Opening{Person: p, Body: sds, Role: exchange.RoleSocialService, Capacity: "case_manager"})
	require.NoError(t, err)
	require.Equal(t, store.EventReady, f.event(row))
}

func TestAConflictOfIdentifiersIsAskedAbout(t *testing.T) {
	f := newFixture(t)
	a, b := local1(t, "PT-1"), who(t, [2]string{"STP", "STP0900010000123"})
	f.decide(yes(a))
	f.decide(yes(b))
	both := officer.Person{Identifiers: append(append([]person.Identifier{}, a.Identifiers...), b.Identifiers...)}
	c := f.decide(yes(both))
	require.Equal(t, f.subject(b), c.Subject, "the strongest identifier wins")
	rows, err := f.officer.Conflicts(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, rows, 1)
	require.ElementsMatch(t, []exchange.SubjectID{f.subject(a), f.subject(b)}, []exchange.SubjectID{rows[0].A, rows[0].B})
	_, err = f.officer.Link(t.Context(), both, local1(t, "PT-1"), true)
	refused(t, err, exchange.CodeConflict, exchange.ReasonConflictUnsolved)
}

func TestALedgerThatDoesNotWrite(t *testing.T) {
	f := newFixture(t)
	f.decide(yes(local1(t, "PT-1")))
	f.writer.Stop()
	d := yes(local1(t, "PT-1"))
	d.Evidence = exchange.NewPayload([]byte("x"))
	_, err := f.officer.Decide(t.Context(), deskPT, d)
	e := refused(t, err, exchange.CodeUnavailable, exchange.ReasonOverloaded)
	require.Positive(t, e.RetryAfter)
	_, err = f.officer.Stop(t.Context(), true, "test")
	refused(t, err, exchange.CodeUnavailable, exchange.ReasonOverloaded)
}
