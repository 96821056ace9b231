package verify_test

import (
	"context"
	"crypto/rand"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/mod/sumdb/note"

	"raccordo/consent"
	"raccordo/hub/exchange"
	"raccordo/hub/keys"
	"raccordo/hub/ledger"
	"raccordo/hub/ledger/verify"
	"raccordo/hub/store/sqlite"
)

// clock is set by hand.
type clock struct {
	mu   sync.Mutex
	now  time.Time
	mono time.Duration
}

func (c *clock) Now() time.Time           { c.mu.Lock(); defer c.mu.Unlock(); return c.now }
func (c *clock) Monotonic() time.Duration { c.mu.Lock(); defer c.mu.Unlock(); return c.mono }

// pass lets time pass, on both clocks.
func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.mono = c.now.Add(d), c.mono+d
}

// key is a signing key.
type key struct {
	signer note.Signer
	public string
}

func newKey(t testing.TB, name string) key {
	t.Helper()
	private, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return key{s, public}
}

const origin = "test.example/ledger"

// book writes a ledger with the real writer, whatever it is told to write: it
// decides nothing.
type book struct {
	t     testing.TB
	clock *clock
	store *sqlite.Store
	w     *ledger.Writer
	keys  []key
	net   exchange.Digest
	last  exchange.RecordID
}

func newBook(t testing.TB) *book {
	t.Helper()
	b := &book{t: t, clock: &clock{now: time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)}, keys: []key{newKey(t, origin)}}
	var err error
	b.store, err = sqlite.Open(context.Background(), sqlite.Options{Dir: t.TempDir(), Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	b.w = ledger.NewWriter(ledger.Options{Store: b.store, Clock: b.clock, Rand: rand.Reader})
	b.w.Start()
	t.Cleanup(func() {
		b.w.Stop()
		if err := b.store.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// began is a book with origin and network.
func began(t testing.TB) *book {
	b := newBook(t)
	b.fact(exchange.KindOrigin, exchange.OriginFact{Hub: b.store.Hub(), Origin: origin, Key: b.keys[0].public})
	b.adopt(network())
	return b
}

func (b *book) put(c *ledger.Change) uint64 {
	b.t.Helper()
	b.clock.pass(time.Second)
	res, err := b.w.Submit(context.Background(), &ledger.Item{Decide: func(*ledger.State) (*ledger.Change, error) { return c, nil }})
	if err != nil {
		b.t.Fatal(err)
	}
	return res.Seq
}

func (b *book) draft(d ledger.Draft) uint64 { b.t.Helper(); return b.put(&ledger.Change{Draft: &d}) }

func (b *book) fact(k exchange.EntryKind, f any) uint64 {
	b.t.Helper()
	enc, err := exchange.EncodeFact(f)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.draft(ledger.Draft{Kind: k, Fact: enc})
}

func (b *book) adopt(f exchange.AdoptionFact) uint64 {
	b.t.Helper()
	enc, err := exchange.EncodeFact(f)
	if err != nil {
		b.t.Fatal(err)
	}
	b.net = f.Network
	return b.put(&ledger.Change{Draft: &ledger.Draft{Kind: exchange.KindAdoption, Fact: enc}, Adopt: &f.Network})
}

// rotate announces a new key under the last one.
func (b *book) rotate() uint64 {
	b.t.Helper()
	next := newKey(b.t, origin)
	ann, err := keys.Announce(b.keys[len(b.keys)-1].signer, next.public)
	if err != nil {
		b.t.Fatal(err)
	}
	b.keys = append(b.keys, next)
	return b.fact(exchange.KindSigningKey, exchange.KeyFact{Key: next.public, Announcement: ann})
}

// sign makes a checkpoint of the ledger as it is, by the newest key.
func (b *book) sign() []byte { b.t.Helper(); return b.signBy(b.keys[len(b.keys)-1]) }

func (b *book) signBy(k key) []byte {
	b.t.Helper()
	c := ledger.NewCheckpointer(ledger.CheckpointOptions{Store: b.store, Clock: b.clock, Signer: func() note.Signer { return k.signer },
		Keys: func() []string { return []string{k.public} }})
	n, err := c.Sign(context.Background())
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// export signs and exports.
func (b *book) export() fstest.MapFS { b.t.Helper(); b.sign(); return b.files() }

func (b *book) files() fstest.MapFS {
	b.t.Helper()
	dir := b.t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	if _, err := ledger.NewReader(b.store).Export(context.Background(), root); err != nil {
		b.t.Fatal(err)
	}
	out := fstest.MapFS{}
	names, err := os.ReadDir(dir)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, n := range names {
		data, err := root.ReadFile(n.Name())
		if err != nil {
			b.t.Fatal(err)
		}
		out[n.Name()] = &fstest.MapFile{Data: data}
	}
	return out
}

func (b *book) verify() *verify.Report {
	b.t.Helper()
	return check(b.t, b.export(), b.keys[0].public, nil)
}

func check(t testing.TB, files fstest.MapFS, vkey string, outside []byte) *verify.Report {
	t.Helper()
	r, err := verify.Verify(files, vkey, verify.Options{Checkpoint: outside})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The network of the tests: three recipients, of which one is sent whatever the
// clause says, one what persons consent to, one what it has a case for.
const (
	territory = exchange.Territory("area_north")
	plain     = exchange.FlowID("plain_flow")
	health    = exchange.FlowID("health_flow")
	cases     = exchange.FlowID("cases_flow")
	sink      = exchange.SystemID("social_system")
	clinic    = exchange.SystemID("clinic_system")
	box       = exchange.SystemID("work_mailbox")
)

var (
	wide   = exchange.NewCategorySet(1, 2, 3)
	narrow = exchange.NewCategorySet(1)
)

func network() exchange.AdoptionFact {
	f := exchange.AdoptionFact{Network: exchange.Digest{7}, Name: "test", Categories: []exchange.CategoryFact{{Number: 1, Name: "name", IRI: "x"}},
		Agreements: []exchange.AgreementFact{{Agreement: "accord", From: "2026-01-01", Until: "2026-06-30",
			Signed: []exchange.SignatureFact{{Body: "clinic", On: "2026-01-01"}, {Body: "desk", On: "2026-01-01"}, {Body: "social", On: "2026-01-02"}, {Body: "work", On: "2026-01-01"}}}}}
	for _, x := range []struct {
		body    exchange.BodyID
		role    exchange.Role
		system  exchange.SystemID
		flow    exchange.FlowID
		clause  exchange.ClauseID
		consent bool
		dossier string
	}{
		{"clinic", exchange.RoleHealthService, clinic, health, "health_clause", true, ""},
		{"social", exchange.RoleSocialService, sink, plain, "plain_clause", false, ""},
		{"work", exchange.RoleEmploymentService, box, cases, "cases_clause", false, "case_manager"},
	} {
		f.Bodies = append(f.Bodies, exchange.BodyFact{Body: x.body, Roles: []exchange.RoleFact{{Role: x.role, Territory: territory, From: "2026-01-01"}},
			Systems: []exchange.SystemID{x.system}})
		f.Clauses = append(f.Clauses, exchange.ClauseFact{Clause: x.clause, Number: exchange.ClauseNumber(x.clause), Agreement: "accord",
			RecordType: "service_request", Purpose: "purpose_" + exchange.PurposeID(x.body), Basis: "X", Consent: x.consent, Dossier: x.dossier,
			Categories: wide.String(), From: []exchange.Role{exchange.RoleDeskOperator}, To: []exchange.Role{x.role}})
		f.Flows = append(f.Flows, exchange.FlowFact{Flow: x.flow, Number: exchange.FlowNumber(x.flow), Clause: x.clause, Territory: territory,
			Producers: []exchange.SystemID{"desk_system"}, Recipient: x.system, Body: x.body, Role: x.role})
	}
	return f
}

func clauseOf(f exchange.FlowID) exchange.Number {
	return exchange.ClauseNumber(map[exchange.FlowID]exchange.ClauseID{plain: "plain_clause", health: "health_clause", cases: "cases_clause"}[f])
}

func person(n byte) exchange.SubjectID { return exchange.SubjectID{n, 0xaa} }

func (b *book) record() exchange.RecordID { b.last[15]++; b.last[0] = 9; return b.last }

// row is a claimed row of a new record; opts change it.
func (b *book) row(f exchange.FlowID, s exchange.SubjectID, opts ...func(*exchange.Row)) exchange.Row {
	r := exchange.Row{Record: b.record(), Subject: s, Flow: exchange.FlowNumber(f), Clause: clauseOf(f), State: exchange.StateClaimed,
		Part: exchange.PartPrincipal, Attempt: 1, Reason: exchange.ReasonPermitted, Categories: narrow, Sequence: 1}
	for _, o := range opts {
		o(&r)
	}
	return r
}

func with(r exchange.Row, opts ...func(*exchange.Row)) exchange.Row {
	r.Categories = exchange.CategorySet{}
	for _, o := range opts {
		o(&r)
	}
	return r
}

func state(s exchange.State, why exchange.Reason, m exchange.Mark) func(*exchange.Row) {
	return func(r *exchange.Row) { r.State, r.Reason, r.Mark = s, why, m }
}

func basis(seq uint64) func(*exchange.Row)     { return func(r *exchange.Row) { r.Basis = seq } }
func onCase(seq uint64) func(*exchange.Row)    { return func(r *exchange.Row) { r.Dossier = seq } }
func part(p exchange.Part) func(*exchange.Row) { return func(r *exchange.Row) { r.Part = p } }

var (
	delivered = state(exchange.StateDelivered, exchange.ReasonDelivered, exchange.MarkYes)
	fetchable = state(exchange.StateWaiting, exchange.ReasonAwaitingFetch, exchange.MarkNo)
	withheld  = state(exchange.StateWithheld, exchange.ReasonConsentWithdrawn, exchange.MarkNo)
	held      = state(exchange.StateWaiting, exchange.ReasonConsentMissing, exchange.MarkNo)
	parked    = state(exchange.StateParked, exchange.ReasonRefused, exchange.MarkPossibly)
	unsent    = state(exchange.StatePending, exchange.ReasonNotSent, exchange.MarkNo)
)

func lanes(from, to int64) []exchange.LaneRange {
	p := func(o int64) exchange.Position {
		if o < 0 {
			return exchange.Start()
		}
		return exchange.Position{Offset: o, Passed: 1}
	}
	return []exchange.LaneRange{{Class: exchange.ClassPrompt, Lane: 1, From: p(from), To: p(to)}}
}

func (b *book) claim(s exchange.SystemID, l []exchange.LaneRange, rows ...exchange.Row) uint64 {
	b.t.Helper()
	return b.draft(ledger.Draft{Kind: exchange.KindClaim, System: s, Lanes: l, Rows: rows})
}

func (b *book) settle(s exchange.SystemID, refers uint64, l []exchange.LaneRange, rows ...exchange.Row) uint64 {
	b.t.Helper()
	return b.draft(ledger.Draft{Kind: exchange.KindSettle, System: s, Refers: refers, Lanes: l, Rows: rows})
}

func (b *book) renew(s exchange.SystemID, refers uint64, l []exchange.LaneRange, rows ...exchange.Row) uint64 {
	b.t.Helper()
	return b.draft(ledger.Draft{Kind: exchange.KindRenewal, System: s, Refers: refers, Lanes: l, Rows: rows})
}

// consents keep what is known per person.
func (b *book) give(s exchange.SubjectID, opts ...func(*consent.Record)) (uint64, consent.Record) {
	b.t.Helper()
	r := consent.Record{ID: exchange.ConsentID{s[0], 1}, Scope: consent.Scope{Subject: s, Purpose: "purpose_clinic", Body: "clinic", Role: exchange.RoleHealthService},
		Status: consent.StatusGiven, By: consent.BySubject, Method: consent.MethodPaper, At: b.clock.Now().UnixMilli(), GivenAt: b.clock.Now().UnixMilli()}
	for _, o := range opts {
		o(&r)
	}
	return b.event(r), r
}

func (b *book) event(r consent.Record) uint64 {
	b.t.Helper()
	enc, err := consent.AppendEvent(nil, &r)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.draft(ledger.Draft{Kind: exchange.KindConsent, Fact: enc})
}

func (b *book) withdraw(given uint64, r consent.Record) uint64 {
	b.t.Helper()
	r.Status, r.GivenSeq = consent.StatusWithdrawn, given
	return b.event(r)
}

func (b *book) open(s exchange.SubjectID, opts ...func(*exchange.DossierFact)) uint64 {
	b.t.Helper()
	f := exchange.DossierFact{Dossier: exchange.DossierID{s[0], 2}, Subject: s, Body: "work", Role: exchange.RoleEmploymentService, Capacity: "case_manager"}
	for _, o := range opts {
		o(&f)
	}
	return b.fact(exchange.KindDossier, f)
}

func (b *book) join(x, y exchange.SubjectID, linked bool) uint64 {
	b.t.Helper()
	return b.fact(exchange.KindLink, exchange.LinkFact{A: x, B: y, Linked: linked})
}

func rules(r *verify.Report) []string {
	var out []string
	for _, f := range r.Findings {
		if !slices.Contains(out, f.Rule) {
			out = append(out, f.Rule)
		}
	}
	return out
}
