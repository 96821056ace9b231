package delivery

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/mod/sumdb/note"

	"raccordo/connectors"
	"raccordo/consent"
	"raccordo/hub/exchange"
	"raccordo/hub/keys"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
	"raccordo/hub/store/sqlite"
	"raccordo/schemas"
)

// canary stands in every name of a person and must never be logged.
const canary = "SYNTHETIC"

// bench is a whole delivery on a real store and ledger, in a bubble of
// synctest: time passes only when nothing is left to do.
type bench struct {
	t      *testing.T
	clock  *stepClock
	store  *sqlite.Store
	writer *ledger.Writer
	signer note.Signer
	vkey   string
	sealer *testSealer
	intake *testSealer // with the same key
	stream *memStream
	plan   atomic.Pointer[network]
	former *formerFlows
	sinks  map[exchange.SystemID]*sink
	namer  connectors.Namer
	change func(*Options)
	worked []exchange.RecordID

	w    *witness
	life *life
	d    *Deliverer
	log  *lockedLog

	people    map[string]exchange.SubjectID
	accepted  []expected
	frames    int
	deaf      bool // a decision wakes nothing
	forgotten bool // the stream is not the one that was accepted into: no balance
	disorder  bool // the test lets records of one person arrive out of order
}

// expected is one (record, flow) that was accepted.
type expected struct {
	record exchange.RecordID
	flow   exchange.FlowID
	ref    string
	person string
	lane   store.LaneKey
	at     exchange.Position // of the lane, once it is passed
}

// formerFlows remembers where flows led; a deliverer reads it while networks
// are adopted.
type formerFlows struct {
	mu    sync.Mutex
	flows map[exchange.FlowID]exchange.SystemID
}

func (f *formerFlows) add(id exchange.FlowID, s exchange.SystemID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.flows[id] = s
}

func (f *formerFlows) find(id exchange.FlowID) (exchange.SystemID, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, ok := f.flows[id]
	return s, ok
}

func (f *formerFlows) of(id exchange.FlowID) exchange.SystemID { s, _ := f.find(id); return s }

type lockedLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// stepClock is the bubble's clock, whose wall can be set apart.
type stepClock struct {
	exchange.SystemClock
	step atomic.Int64
}

func (c *stepClock) Now() time.Time { return time.Now().Add(time.Duration(c.step.Load())) }

// run gives fn a bench with its deliverer started, and checks the invariants
// at the end.
func run(t *testing.T, fn func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.end()
		b.start()
		fn(b)
		b.stop()
		b.invariants()
	})
}

// end gives everything up, however the test ended.
func (b *bench) end() {
	b.life.dead.Store(true)
	b.d.cancel()
	b.d.wg.Wait()
	b.writer.Stop()
	b.must(b.store.Close())
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, clock: &stepClock{SystemClock: exchange.NewSystemClock()}, stream: newMemStream(), sinks: map[exchange.SystemID]*sink{},
		former: &formerFlows{flows: map[exchange.FlowID]exchange.SystemID{}}, people: map[string]exchange.SubjectID{}, log: &lockedLog{}}
	b.w = &witness{b: b}
	key, vkey, err := note.GenerateKey(rand.Reader, "raccordo/test")
	b.must(err)
	b.vkey = vkey
	b.signer, err = note.NewSigner(key)
	b.must(err)
	b.sealer, b.intake = newTestSealer(), newTestSealer()
	b.store, err = sqlite.Open(context.Background(), sqlite.Options{Dir: t.TempDir(), Rand: rand.Reader})
	b.must(err)
	b.writer = ledger.NewWriter(ledger.Options{Store: b.store, Clock: b.clock, Rand: rand.Reader})
	b.writer.Start()
	origin, err := exchange.EncodeFact(exchange.OriginFact{Hub: b.store.Hub(), Origin: "raccordo/test", Key: vkey})
	b.must(err)
	b.submit(&ledger.Change{Draft: &ledger.Draft{Kind: exchange.KindOrigin, Fact: origin}})
	b.adopt(newNetwork("1"))
	for _, s := range []exchange.SystemID{alpha, beta} {
		b.sinks[s] = &sink{w: b.w, system: s}
	}
	return b
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// submit writes a change that depends on nothing.
func (b *bench) submit(c *ledger.Change) ledger.Result {
	b.t.Helper()
	res, err := b.writer.Submit(context.Background(), &ledger.Item{Decide: func(*ledger.State) (*ledger.Change, error) { return c, nil }})
	b.must(err)
	return res
}

// adopt brings a network into force, in ledger and memory.
func (b *bench) adopt(n *network) {
	b.t.Helper()
	b.adoptLedger(n)
	b.plan.Store(n)
	if b.d != nil {
		b.d.Nudge()
	}
}

func (b *bench) adoptLedger(n *network) {
	b.t.Helper()
	fact, err := exchange.EncodeFact(n.adoption())
	b.must(err)
	b.submit(&ledger.Change{Draft: &ledger.Draft{Kind: exchange.KindAdoption, Fact: fact}, Adopt: &n.digest})
	for id, f := range n.flows {
		b.former.add(id, f.recipient.System)
	}
}

// start makes a deliverer and starts it.
func (b *bench) start() {
	b.t.Helper()
	b.life = &life{b: b}
	opt := Options{Plan: func() Plan { return b.plan.Load() }, Former: b.former.find, Views: b.life, Ledger: b.life, Side: b.life, Stream: b.stream,
		Sealer: b.sealer, Sinks: Sinks{}, Outlets: map[exchange.SystemID]*Outlet{gamma: {Namer: b.namer}}, Clock: b.clock,
		Logger: slog.New(slog.NewJSONHandler(b.log, nil)), Random: mathrand.New(mathrand.NewPCG(1, 2)), Limits: schemas.DefaultLimits(), Worked: b.worked}
	b.worked = nil
	for id, s := range b.sinks {
		s.mu.Lock()
		s.life = b.life
		s.mu.Unlock()
		opt.Sinks[id] = s
	}
	if b.change != nil {
		b.change(&opt)
	}
	b.d = New(opt)
	b.must(b.d.Start(context.Background()))
	synctest.Wait()
}

// stop drains the deliverer.
func (b *bench) stop() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	b.must(b.d.Stop(ctx))
}

// crash cuts everything the deliverer could still do, and lets it go.
func (b *bench) crash() {
	b.t.Helper()
	b.life.dead.Store(true)
	b.stop()
}

// restart starts again after a crash or a stop.
func (b *bench) restart() { b.t.Helper(); b.start() }

// pass lets time pass, and everything happen that is then due.
func (b *bench) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// until lets time pass, at most for d, until something holds.
func (b *bench) until(d time.Duration, what string, holds func() bool) {
	b.t.Helper()
	synctest.Wait()
	end := time.Now().Add(d)
	for step := 20 * time.Millisecond; !holds(); step += step / 4 {
		if time.Now().After(end) {
			b.t.Fatalf("not within %s: %s\n%s", d, what, b.log)
		}
		b.pass(step)
	}
}

// person is somebody's subject id.
func (b *bench) person(name string) exchange.SubjectID {
	if id, ok := b.people[name]; ok {
		return id
	}
	d := exchange.DigestOf([]byte(name))
	id := exchange.SubjectID(d[:16])
	b.people[name] = id
	return id
}

// rec is a record to be accepted.
type rec struct {
	ref       string
	person    string
	household []string
	alias     string // another id of the principal
	do        string
	flows     []exchange.FlowID
	class     exchange.Class
	raw       []byte // instead of the canonical form
	badSeal   bool
}

// accept puts each record into the stream in a frame of its own.
func (b *bench) accept(records ...rec) {
	b.t.Helper()
	for _, r := range records {
		b.acceptFrame(r)
	}
}

// acceptFrame puts records of one lane into one part.
func (b *bench) acceptFrame(records ...rec) {
	b.t.Helper()
	b.frames++
	class := records[0].class
	if class == 0 {
		class = exchange.ClassPrompt
	}
	h := &exchange.Header{Hub: b.store.Hub(), Frame: frameID(b.frames), System: producer, Network: b.plan.Load().digest,
		ReceivedAt: b.clock.Now().UnixMilli(), Class: class, Lane: exchange.Lane(b.person(records[0].person), 4), Part: 1, Parts: 1}
	for i, r := range records {
		h.Records = append(h.Records, b.header(h.Frame, i, r))
	}
	encoded, err := exchange.AppendHeader(nil, h)
	b.must(err)
	sealed := make([][]byte, len(records))
	for i, r := range records {
		aad := exchange.RecordAAD(h, exchange.DigestOf(encoded), i)
		if r.badSeal {
			aad = []byte("another")
		}
		sealed[i], err = b.intake.Seal(keys.PlaceStream, b.clock.Now(), r.canonical(), aad)
		b.must(err)
	}
	lane := store.LaneKey{Class: class, Lane: h.Lane}
	offset := b.stream.append(class, h.Lane, h.Frame, exchange.AppendPart(nil, encoded, nil, sealed))
	for i, r := range records {
		for _, f := range r.flows {
			b.accepted = append(b.accepted, expected{h.Records[i].Record, f, r.ref, r.person, lane, exchange.Position{Offset: offset, Passed: uint32(i + 1)}})
		}
	}
}

func (b *bench) header(frame exchange.FrameID, i int, r rec) exchange.RecordHeader {
	var mac [32]byte
	copy(mac[:], frame[:])
	binary.BigEndian.PutUint64(mac[16:], uint64(i))
	d := exchange.DigestOf(mac[:])
	out := exchange.RecordHeader{Record: exchange.RecordIDFromMAC(d), Line: uint32(i + 1), Type: recordType, Version: "1.0.0",
		Principal: b.person(r.person), Flows: r.flows}
	for j, name := range r.household {
		out.Affected = append(out.Affected, exchange.Affected{Subject: b.person(name), Place: exchange.Pointer(fmt.Sprintf("/household/%d", j))})
	}
	if r.alias != "" {
		out.Affected = append(out.Affected, exchange.Affected{Subject: b.person(r.alias), Place: "", Alias: true})
	}
	return out
}

func (r *rec) canonical() []byte {
	if r.raw != nil {
		return r.raw
	}
	household := []any{}
	for _, name := range r.household {
		household = append(household, map[string]any{"person": canary + " " + name})
	}
	v := map[string]any{"ref": r.ref, "person": canary + " " + r.person, "household": household}
	if r.do != "" {
		v["do"] = r.do
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// decide records what a person decided about a flow.
func (b *bench) decide(name string, id exchange.FlowID, what string) {
	b.t.Helper()
	b.must(b.tryDecide(name, id, what))
}

func (b *bench) tryDecide(name string, id exchange.FlowID, what string) error {
	f := b.plan.Load().flows[id]
	scope := consent.Scope{Subject: b.person(name), Purpose: f.clause.Purpose, Body: f.recipient.Body, Role: f.recipient.Role}
	_, err := b.writer.Submit(context.Background(), &ledger.Item{Needs: ledger.Needs{Subjects: []exchange.SubjectID{scope.Subject}},
		Decide: func(s *ledger.State) (*ledger.Change, error) {
			c, err := decision(s, scope, what)
			if err == nil && b.deaf {
				c.Wake = nil
			}
			return c, err
		}})
	b.d.Nudge()
	return err
}

func decision(s *ledger.State, scope consent.Scope, what string) (*ledger.Change, error) {
	var own *consent.Known
	for _, c := range s.Facts.Consents(scope.Subject) {
		if c.Subject != scope.Subject || c.Purpose != scope.Purpose || c.Body != scope.Body || c.Role != scope.Role {
			continue
		}
		k, err := consent.Read(c.Seq, c.Event)
		if err != nil {
			return nil, err
		}
		own = k
	}
	now := s.Facts.Now().UnixMilli()
	act := consent.Act{By: consent.BySubject, Method: consent.MethodPaper, At: now, RecordedBy: producer}
	id, err := exchange.NewConsentID(rand.Reader)
	if err != nil {
		return nil, err
	}
	q := &consent.GiveRequest{ID: id, Scope: scope, RecordTypes: []exchange.RecordType{recordType}, Act: act,
		Notice: consent.Notice{ID: "notice", Version: "1", Language: "en", Hash: exchange.Digest{1}}}
	var rec *consent.Record
	switch what {
	case "give":
		rec, err = consent.Give(own, q, now)
	case "refuse":
		rec, err = consent.Refuse(own, q, now)
	case "withdraw":
		rec, err = consent.Withdraw(own, &act, now)
	default:
		err = errors.New("no such decision")
	}
	if err != nil {
		return nil, err
	}
	event, err := consent.AppendEvent(nil, rec)
	if err != nil {
		return nil, err
	}
	return &ledger.Change{Draft: &ledger.Draft{Kind: exchange.KindConsent, Fact: event},
		Consents: []store.ConsentRow{{Consent: rec.ID, Subject: rec.Subject, Purpose: rec.Purpose, Body: rec.Body, Role: rec.Role,
			Status: string(rec.Status), Permits: rec.Status.Permits(), ExpiresAt: rec.ExpiresAt, Seq: s.Seq, Event: event}},
		Wake: []ledger.Wake{{Event: store.EventConsent, Subjects: s.Facts.Component(rec.Subject)}}}, nil
}

func (b *bench) give(name string, id exchange.FlowID) { b.t.Helper(); b.decide(name, id, "give") }
func (b *bench) withdraw(name string, id exchange.FlowID) {
	b.t.Helper()
	b.decide(name, id, "withdraw")
}
func (b *bench) refuse(name string, id exchange.FlowID) { b.t.Helper(); b.decide(name, id, "refuse") }

// link joins two persons' ids.
func (b *bench) link(one, other string) {
	b.t.Helper()
	x, y := b.person(one), b.person(other)
	if bytes.Compare(x[:], y[:]) > 0 {
		x, y = y, x
	}
	fact, err := exchange.EncodeFact(exchange.LinkFact{A: x, B: y, Linked: true})
	b.must(err)
	_, err = b.writer.Submit(context.Background(), &ledger.Item{Needs: ledger.Needs{Subjects: []exchange.SubjectID{x, y}},
		Decide: func(s *ledger.State) (*ledger.Change, error) {
			if s.Facts.Linked(x, y) {
				return nil, nil
			}
			both := append(append([]exchange.SubjectID(nil), s.Facts.Component(x)...), s.Facts.Component(y)...)
			return &ledger.Change{Draft: &ledger.Draft{Kind: exchange.KindLink, Fact: fact}, Links: []store.LinkRow{{A: x, B: y, Seq: s.Seq}},
				Wake: []ledger.Wake{{Event: store.EventConsent, Subjects: both}}}, nil
		}})
	b.must(err)
	b.d.Nudge()
}

// dossier opens a body's case on a person.
func (b *bench) dossier(name string, id exchange.FlowID) {
	b.t.Helper()
	f := b.plan.Load().flows[id]
	digest := exchange.DigestOf([]byte(name))
	x := exchange.DossierFact{Dossier: exchange.DossierID(digest[:16]), Subject: b.person(name), Body: f.recipient.Body,
		Role: f.recipient.Role, Capacity: f.clause.Dossier}
	fact, err := exchange.EncodeFact(x)
	b.must(err)
	_, err = b.writer.Submit(context.Background(), &ledger.Item{Decide: func(s *ledger.State) (*ledger.Change, error) {
		return &ledger.Change{Draft: &ledger.Draft{Kind: exchange.KindDossier, Fact: fact},
			Dossiers: []store.DossierRow{{Dossier: x.Dossier, Subject: x.Subject, Body: x.Body, Role: x.Role, Capacity: x.Capacity, Seq: s.Seq}}}, nil
	}})
	b.must(err)
}

// halt turns the stop switch.
func (b *bench) halt(stopped bool) {
	b.t.Helper()
	fact, err := exchange.EncodeFact(exchange.StopFact{Stopped: stopped, Reason: "test"})
	b.must(err)
	b.submit(&ledger.Change{Draft: &ledger.Draft{Kind: exchange.KindStop, Fact: fact}, Stop: &stopped})
	b.d.Nudge()
}

// life is what one run of the hub may do with the world; it can be ended
// between any two steps.
type life struct {
	b    *bench
	dead atomic.Bool
	mu   sync.Mutex
	at   func(kind exchange.EntryKind) // called before a ledger item is submitted
	past func(kind exchange.EntryKind) // and after
	once func()                        // called once before a claim is submitted: what it rests on is read already
}

// ahead has fn done between the preparing of the next claim and its entry.
func (l *life) ahead(fn func()) { l.mu.Lock(); defer l.mu.Unlock(); l.once = fn }

var errDead = errors.New("the hub is gone")

func (l *life) over() bool { return l.dead.Load() }

// before dies just before the n-th entry of a kind is written, after just
// behind it.
func (l *life) before(kind exchange.EntryKind, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at = l.count(kind, n)
}
func (l *life) after(kind exchange.EntryKind, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.past = l.count(kind, n)
}

// spare lets it live.
func (l *life) spare() { l.mu.Lock(); defer l.mu.Unlock(); l.at, l.past = nil, nil }

func (l *life) count(kind exchange.EntryKind, n int) func(exchange.EntryKind) {
	var left atomic.Int64 // submits come from several goroutines
	left.Store(int64(n))
	return func(k exchange.EntryKind) {
		if k == kind && left.Add(-1) == 0 {
			l.dead.Store(true)
		}
	}
}

func (l *life) Submit(ctx context.Context, item *ledger.Item) (ledger.Result, error) {
	if l.over() {
		return ledger.Result{}, errDead
	}
	l.mu.Lock()
	once := l.once
	if len(item.Needs.Subjects) > 0 {
		l.once = nil
	} else {
		once = nil
	}
	l.mu.Unlock()
	if once != nil {
		once()
	}
	kind := exchange.EntryKind(0)
	inner := *item
	inner.Decide = func(s *ledger.State) (*ledger.Change, error) {
		c, err := item.Decide(s)
		if err != nil || c == nil {
			return c, err
		}
		if c.Draft != nil {
			kind = c.Draft.Kind
		}
		l.mu.Lock()
		at := l.at
		l.mu.Unlock()
		if at != nil {
			at(kind)
		}
		if l.over() {
			return nil, errDead
		}
		return c, nil
	}
	res, err := l.b.writer.Submit(ctx, &inner)
	l.mu.Lock()
	past := l.past
	l.mu.Unlock()
	if past != nil && err == nil {
		past(kind)
	}
	if l.over() {
		return ledger.Result{}, errDead
	}
	return res, err
}

func (l *life) View(ctx context.Context, fn func(store.ReadTx) error) error {
	if l.over() {
		return errDead
	}
	return l.b.store.View(ctx, fn)
}

func (l *life) Side(ctx context.Context, fn func(store.SideTx) error) error {
	if l.over() {
		return errDead
	}
	return l.b.store.Side(ctx, fn)
}

// testSealer seals with one key, and can be out of reach.
type testSealer struct {
	aead cipher.AEAD
	away atomic.Bool
}

func newTestSealer() *testSealer {
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return &testSealer{aead: aead}
}

func (s *testSealer) Seal(place keys.Place, _ time.Time, plaintext, aad []byte) ([]byte, error) {
	if s.away.Load() {
		return nil, keys.ErrUnavailable
	}
	out := make([]byte, 13, 13+len(plaintext)+16)
	out[0] = byte(place)
	if _, err := rand.Read(out[1:13]); err != nil {
		return nil, err
	}
	return s.aead.Seal(out, out[1:13], plaintext, append([]byte{byte(place)}, aad...)), nil
}

func (s *testSealer) Open(sealed, aad []byte) ([]byte, error) {
	if s.away.Load() {
		return nil, keys.ErrUnavailable
	}
	if len(sealed) < 13 {
		return nil, keys.ErrBadSeal
	}
	plain, err := s.aead.Open(nil, sealed[1:13], sealed[13:], append([]byte{sealed[0]}, aad...))
	if err != nil {
		return nil, keys.ErrBadSeal
	}
	return plain, nil
}
