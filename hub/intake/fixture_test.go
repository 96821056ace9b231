package intake_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"raccordo/hub/codec"
	"raccordo/hub/exchange"
	"raccordo/hub/intake"
	"raccordo/hub/keys/local"
	"raccordo/hub/mapping"
	"raccordo/hub/network"
	"raccordo/hub/person"
	"raccordo/hub/person/rowstore"
	"raccordo/hub/store"
	"raccordo/hub/store/sqlite"
	"raccordo/hub/stream"
	"raccordo/hub/stream/embedded"
	"raccordo/schemas"
	"raccordo/schemas/catalog"
)

// start is when every test begins.
var start = time.Date(2026, 3, 2, 18, 40, 0, 0, time.UTC)

// clock is set by hand.
type clock struct {
	mu   sync.Mutex
	wall time.Time
	mono time.Duration
}

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.wall }

func (c *clock) Monotonic() time.Duration { c.mu.Lock(); defer c.mu.Unlock(); return c.mono }

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.mono = c.wall.Add(d), c.mono+d
}

// fixture is intake over a real store, stream, keyring and person directory.
type fixture struct {
	t   testing.TB
	dir string

	clock     *clock
	plan      intake.Plan
	limits    codec.LineLimits
	maxKeys   int
	wrap      func(intake.Publisher) intake.Publisher
	directory func(intake.Directory) intake.Directory
	admission intake.Admission
	noIndex   bool // the index is not written
	lanes     int

	store   *sqlite.Store
	log     *embedded.Log
	keys    *local.Keyring
	index   *intake.Index
	intake  *intake.Intake
	metrics *counter
	logged  *bytes.Buffer
}

func newFixture(t testing.TB, options ...func(*fixture)) *fixture {
	f := &fixture{t: t, dir: t.TempDir(), clock: &clock{wall: start}, metrics: &counter{}, logged: &bytes.Buffer{}, lanes: 4,
		wrap: func(p intake.Publisher) intake.Publisher { return p }, admission: admitAll{},
		directory: func(d intake.Directory) intake.Directory { return d }}
	for _, o := range options {
		o(f)
	}
	if f.plan == nil {
		f.plan = &testPlan{net: reticulate(t)}
	}
	require.NoError(t, os.WriteFile(filepath.Join(f.dir, "keyring"), keyring(t), 0o600))
	f.open()
	t.Cleanup(func() { f.close() })
	return f
}

// open starts the hub's half that accepts, as after a restart.
func (f *fixture) open() int {
	t := f.t
	var err error
	f.store, err = sqlite.Open(context.Background(), sqlite.Options{Dir: f.dir, Rand: rand.Reader})
	require.NoError(t, err)
	f.keys, err = local.Open(local.Options{Path: filepath.Join(f.dir, "keyring"), MustExist: true})
	require.NoError(t, err)
	logger := slog.New(slog.NewJSONHandler(f.logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	f.log, err = embedded.Open(embedded.Options{Dir: filepath.Join(f.dir, "stream"), Hub: f.store.Hub(), Lanes: f.lanes,
		SegmentBytes: 1 << 20, MaxBytes: 512 << 20, Logger: logger})
	require.NoError(t, err)
	f.index = intake.NewIndex(intake.IndexOptions{Store: f.store, Clock: f.clock, Logger: logger, MaxKeys: f.maxKeys})
	found, err := f.index.Rebuild(context.Background(), f.log)
	require.NoError(t, err)
	if !f.noIndex {
		go f.index.Run()
	}
	directory := person.NewDirectory(person.Options{Store: rowstore.New(f.store), Digester: f.keys, Rand: rand.Reader})
	f.intake = intake.New(intake.Options{Plan: func() intake.Plan { return f.plan }, Publisher: f.wrap(frames{f.log}), Keys: f.keys,
		Directory: f.directory(directory), Admission: f.admission, Index: f.index, Clock: f.clock, Metrics: f.metrics,
		Logger: logger, Lanes: f.lanes, Limits: f.limits})
	return found
}

func (f *fixture) close() {
	f.index.Stop()
	require.NoError(f.t, f.log.Close())
	require.NoError(f.t, f.store.Close())
}

// frames is the embedded stream as intake wants it.
type frames struct{ *embedded.Log }

func (f frames) Message(topic string, o stream.Offset) (*message.Message, error) {
	return f.ReadAt(topic, o)
}

type admitAll struct{}

func (admitAll) Admit(exchange.Class, []exchange.SystemID) error { return nil }

// counter remembers what the metrics were told.
type counter struct {
	mu       sync.Mutex
	accepted map[exchange.FlowID]int
	refused  map[exchange.Reason]int
}

func (c *counter) Accepted(f exchange.FlowID, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.accepted == nil {
		c.accepted = map[exchange.FlowID]int{}
	}
	c.accepted[f] += n
}

func (c *counter) Refused(_ exchange.SystemID, r exchange.Reason, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refused == nil {
		c.refused = map[exchange.Reason]int{}
	}
	c.refused[r] += n
}

// keyring is the file of one keyring for all tests: its RSA keys are slow to
// make.
func keyring(t testing.TB) []byte {
	b, err := keyringOnce()
	require.NoError(t, err)
	return b
}

var keyringOnce = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "keyring")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "keyring")
	if _, err := local.Open(local.Options{Path: path, Origin: "raccordo/test"}); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// reticulate is the built-in network.
func reticulate(t testing.TB) *network.Network {
	n, err := networkOnce()
	require.NoError(t, err)
	return n
}

var networkOnce = sync.OnceValues(func() (*network.Network, error) {
	c, err := catalog.Load()
	if err != nil {
		return nil, err
	}
	n, faults := network.Load(os.DirFS("../../deploy/networks/reticulate"), network.Options{Catalog: c})
	if len(faults) > 0 {
		return nil, fmt.Errorf("%d faults: %v", len(faults), faults[0])
	}
	return n, nil
})

// testPlan shows a network to intake, as the hub does.
type testPlan struct{ net *network.Network }

func (p *testPlan) Digest() exchange.Digest { return p.net.Digest }

func (p *testPlan) Producer(s exchange.SystemID, t exchange.RecordType) intake.Producer {
	system := p.net.System(s)
	if system == nil || system.Produces[t] == nil {
		return nil
	}
	return &testProducer{net: p.net, system: system, p: system.Produces[t]}
}

type testProducer struct {
	net    *network.Network
	system *network.System
	p      *network.Production
}

func (p *testProducer) Body() exchange.BodyID                    { return p.system.Body.ID }
func (p *testProducer) Class() exchange.Class                    { return p.p.Class }
func (p *testProducer) Version() string                          { return "1.0.0" }
func (p *testProducer) MediaType() string                        { return p.p.MediaType }
func (p *testProducer) MayIdentify() bool                        { return p.p.MayIdentify }
func (p *testProducer) Persons(t exchange.Tree) []schemas.Person { return p.p.Canonical.Persons(t) }
func (p *testProducer) Encode(t exchange.Tree) ([]byte, error)   { return codec.AppendJSON(nil, t) }
func (p *testProducer) Canonical(body []byte, at time.Time) (exchange.Tree, []exchange.Fault, error) {
	tree, err := p.p.Codec.Decode(body)
	if err != nil {
		return exchange.Tree{}, nil, err
	}
	if err := schemas.Refusal(p.p.Schema.Validate(tree)); err != nil || p.p.Mapping == nil {
		return tree, nil, err
	}
	out, report, err := p.p.Mapping.Apply(tree, mapping.Context{At: at})
	if err != nil {
		e := *exchange.AsError(err)
		e.Code = exchange.CodeInvalid
		return exchange.Tree{}, nil, &e
	}
	var warnings []exchange.Fault
	for _, l := range report.Lost {
		warnings = append(warnings, exchange.Fault{Pointer: l.At, Rule: "lost:" + l.Rule, Warning: true})
	}
	return out, warnings, schemas.Refusal(p.p.Canonical.Validate(out))
}

func (p *testProducer) Route(t exchange.Tree, at time.Time) ([]intake.Recipient, []exchange.Role, error) {
	flows, nobody, err := p.net.Route(p.system, p.p.RecordType, t, at)
	if err != nil {
		return nil, nil, err
	}
	out := make([]intake.Recipient, len(flows))
	for i, f := range flows {
		out[i] = intake.Recipient{Flow: f.ID, System: f.Recipient.System, Body: f.Recipient.Body, Role: f.Recipient.Role}
	}
	return out, nobody, nil
}

const (
	desk     = exchange.SystemID("oss_livorno_desk")
	requests = exchange.RecordType("service_request")
)

// request is a desk's request for a bed for persons with these codes, each
// "TYPE value"; several codes of one person are parted by "+".
func request(number string, persons ...string) []byte {
	var who []string
	for i, p := range persons {
		role := "FAMILIARE"
		if i == 0 {
			role = "RICHIEDENTE"
		}
		var codes []string
		for _, c := range strings.Split(p, "+") {
			kind, value, _ := strings.Cut(c, " ")
			codes = append(codes, fmt.Sprintf(`{"tipo":%q,"valore":%q}`, kind, value))
		}
		who = append(who, fmt.Sprintf(`{"ruolo":%q,"codici":[%s],"cognome":"CANARINO","nome":"Prova"}`, role, strings.Join(codes, ",")))
	}
	return []byte(fmt.Sprintf(`{"ente":"il_simbolo","numero":%q,"registrata_il":"2026-03-02T18:40:00+01:00","data_ora":"2026-03-02T18:40:00+01:00",`+
		`"servizio":"POSTO_LETTO","urgenza":"EMERGENZA","persone":[%s],"posto_letto":{"dal":"2026-03-02","notti":3},"nota":"canarino segreto"}`,
		number, strings.Join(who, ",")))
}

func (f *fixture) push(key string, body []byte) (*intake.Acknowledgement, error) {
	return f.intake.Push(context.Background(), intake.Push{System: desk, Type: requests, Key: key, MediaType: "application/json",
		Body: exchange.NewPayload(body)})
}

func (f *fixture) pushLines(key string, lines ...[]byte) (*intake.Acknowledgement, error) {
	return f.intake.Push(context.Background(), intake.Push{System: desk, Type: requests, Key: key, MediaType: intake.MediaNDJSON,
		Body: exchange.NewPayload(bytes.Join(lines, []byte("\n")))})
}

// stored are the parts in a class's topic.
func (f *fixture) stored(class exchange.Class) []*exchange.FramePart {
	f.t.Helper()
	var out []*exchange.FramePart
	err := f.log.Read(context.Background(), class.String(), 0, 0, func(_ stream.Offset, lane int, m *message.Message) error {
		p, err := exchange.DecodePart(bytes.Clone(m.Payload))
		if err != nil {
			return err
		}
		require.Equal(f.t, lane, int(p.Header.Lane))
		require.Equal(f.t, p.Header.Frame.String(), m.Metadata.Get(stream.MetaFrame))
		require.Equal(f.t, fmt.Sprintf("%d/%d", p.Header.Part, p.Header.Parts), m.Metadata.Get(stream.MetaPart))
		out = append(out, p)
		return nil
	})
	require.NoError(f.t, err)
	return out
}

// open opens the i-th record of a part.
func (f *fixture) record(p *exchange.FramePart, i int) exchange.Tree {
	f.t.Helper()
	b, err := f.keys.Open(p.Records[i], exchange.RecordAAD(p.Header, p.HeaderDigest, i))
	require.NoError(f.t, err)
	tree, err := schemas.Parse(b, schemas.DefaultLimits())
	require.NoError(f.t, err)
	return tree
}

// persisted waits until the index holds n keys of a system in the store.
func (f *fixture) persisted(system exchange.SystemID, n int) {
	f.t.Helper()
	require.Eventually(f.t, func() bool {
		var have int
		err := f.store.View(context.Background(), func(tx store.ReadTx) (err error) {
			have, err = tx.KeyCount(system)
			return err
		})
		return err == nil && have == n
	}, 10*time.Second, 5*time.Millisecond)
}

// refused checks an error's code and reason, and that it shows no value.
func refused(t testing.TB, err error, code exchange.Code, reason exchange.Reason, faults ...exchange.Fault) *exchange.Error {
	t.Helper()
	require.Error(t, err)
	var e *exchange.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, reason, e.Reason, "%v", err)
	require.Equal(t, code, e.Code, "%v", err)
	if len(faults) > 0 {
		require.Equal(t, faults, e.Faults)
	}
	require.NotContains(t, strings.ToLower(fmt.Sprintf("%v %+v %#v", err, e, e.Faults)), "canarino")
	return e
}
