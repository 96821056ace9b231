package officer_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"raccordo/consent"
	"raccordo/hub/exchange"
	"raccordo/hub/keys/local"
	"raccordo/hub/ledger"
	"raccordo/hub/network"
	"raccordo/hub/officer"
	"raccordo/hub/person"
	"raccordo/hub/person/rowstore"
	"raccordo/hub/store"
	"raccordo/hub/store/sqlite"
	"raccordo/schemas/catalog"
)

var start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// The built-in network: a desk in Pistoia records the consent on which the
// health service of the SdS is told of an accompaniment.
const (
	purpose     = exchange.PurposeID("health_accompaniment")
	sds         = exchange.BodyID("sds_pistoiese")
	health      = exchange.RoleHealthService
	sendTimeout = 30 * time.Second
)

var (
	operator = officer.By{Operator: true}
	deskPT   = officer.By{System: "oss_pistoia_desk", Body: "co_so"}
	deskLI   = officer.By{System: "oss_livorno_desk", Body: "il_simbolo"}
	salute   = officer.By{System: "sds_pistoiese_salute", Body: sds}
	sociale  = officer.By{System: "sds_pistoiese_sociale", Body: sds}
)

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

type fixture struct {
	t         *testing.T
	clock     *clock
	store     *sqlite.Store
	side      *sideStore
	writer    *ledger.Writer
	keys      *local.Keyring
	directory *person.Directory
	net       *network.Network
	officer   *officer.Register
	woken     atomic.Int32
}

// sideStore fails side transactions when told to, and counts evidence.
type sideStore struct {
	store.Store
	fail error
	hook func()
}

func (s *sideStore) Side(ctx context.Context, fn func(store.SideTx) error) error {
	if s.fail != nil {
		return s.fail
	}
	err := s.Store.Side(ctx, fn)
	if s.hook != nil {
		s.hook()
	}
	return err
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{t: t, clock: &clock{wall: start}}
	dir := t.TempDir()
	var err error
	f.store, err = sqlite.Open(t.Context(), sqlite.Options{Dir: dir, Rand: rand.Reader})
	require.NoError(t, err)
	b, err := keyringOnce()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "keyring"), b, 0o600))
	f.keys, err = local.Open(local.Options{Path: filepath.Join(dir, "keyring"), MustExist: true})
	require.NoError(t, err)
	f.writer = ledger.NewWriter(ledger.Options{Store: f.store, Clock: f.clock, Rand: rand.Reader})
	f.writer.Start()
	t.Cleanup(func() {
		f.writer.Stop()
		require.NoError(t, f.store.Close())
	})
	// The first entry of a ledger is its origin: sequence 0 is never relied on.
	fact, err := exchange.EncodeFact(exchange.OriginFact{Hub: f.store.Hub(), Origin: "raccordo/test", Key: "k"})
	require.NoError(t, err)
	f.submit(func(*ledger.State) (*ledger.Change, error) {
		return &ledger.Change{Draft: &ledger.Draft{Kind: exchange.KindOrigin, Fact: fact}}, nil
	})
	f.net, err = networkOnce()
	require.NoError(t, err)
	f.directory = person.NewDirectory(person.Options{Store: rowstore.New(f.store), Digester: f.keys, Rand: rand.Reader})
	f.side = &sideStore{Store: f.store}
	f.officer = officer.New(officer.Options{Network: func() *network.Network { return f.net }, Store: f.side, Ledger: f.writer,
		Directory: f.directory, Sealer: f.keys, Clock: f.clock, Rand: rand.Reader, SendTimeout: sendTimeout, Woken: func() { f.woken.Add(1) }})
	return f
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

const builtIn = "../../deploy/networks/reticulate"

var networkOnce = sync.OnceValues(func() (*network.Network, error) { return load(os.DirFS(builtIn)) })

func load(files fs.FS) (*network.Network, error) {
	c, err := catalog.Load()
	if err != nil {
		return nil, err
	}
	n, faults := network.Load(files, network.Options{Catalog: c})
	if len(faults) > 0 {
		return nil, fmt.Errorf("%d faults: %v", len(faults), faults[0])
	}
	return n, nil
}

// network2 is the built-in one, but that Livorno's cooperative is a desk
// operator in Pistoia too.
func network2(t *testing.T) *network.Network {
	t.Helper()
	files := fstest.MapFS{}
	root := os.DirFS(builtIn)
	require.NoError(t, fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(root, name)
		if name == "bodies/il_simbolo.yaml" {
			with := strings.Replace(string(b), "roles:\n", "roles:\n  - {role: desk_operator, territory: pistoia, from: 2026-01-01}\n", 1)
			require.NotEqual(t, string(b), with)
			b = []byte(with)
		}
		files[name] = &fstest.MapFile{Data: b}
		return err
	}))
	n, err := load(files)
	require.NoError(t, err)
	return n
}

func (f *fixture) submit(decide func(*ledger.State) (*ledger.Change, error)) ledger.Result {
	f.t.Helper()
	res, err := f.writer.Submit(f.t.Context(), &ledger.Item{Decide: decide})
	require.NoError(f.t, err)
	return res
}

// who is a person by codes "SYSTEM value".
func who(t *testing.T, ids ...[2]string) officer.Person {
	t.Helper()
	var p officer.Person
	for _, x := range ids {
		var id person.Identifier
		var err error
		if x[0] == "LOCAL" {
			id, err = person.NewLocal("co_so", x[1])
		} else {
			id, err = person.New(person.System(x[0]), x[1])
		}
		require.NoError(t, err)
		p.Identifiers = append(p.Identifiers, id)
	}
	return p
}

func local1(t *testing.T, code string) officer.Person { return who(t, [2]string{"LOCAL", code}) }

// subject is the only known id of a person.
func (f *fixture) subject(p officer.Person) exchange.SubjectID {
	f.t.Helper()
	found, err := f.directory.Lookup(f.t.Context(), p.Identifiers)
	require.NoError(f.t, err)
	require.Len(f.t, found, 1)
	return found[0]
}

// yes is a decision of p in Pistoia.
func yes(p officer.Person) officer.Decision {
	return officer.Decision{Person: p, Purpose: purpose, Body: sds, Role: health, Given: true, Language: "it",
		Indicated: consent.BySubject, Method: consent.MethodPaper}
}

func no(p officer.Person) officer.Decision {
	d := yes(p)
	d.Given = false
	return d
}

// decide records a decision by the desk, a second later than whatever was before.
func (f *fixture) decide(d officer.Decision) officer.Consent {
	f.t.Helper()
	f.clock.pass(time.Second)
	c, err := f.officer.Decide(f.t.Context(), deskPT, d)
	require.NoError(f.t, err)
	return c
}

func refused(t *testing.T, err error, code exchange.Code, reason exchange.Reason, faults ...exchange.Fault) *exchange.Error {
	t.Helper()
	var e *exchange.Error
	if !errors.As(err, &e) {
		t.Fatalf("error is %v", err)
	}
	require.Equal(t, reason, e.Reason, "%v", err)
	require.Equal(t, code, e.Code, "%v", err)
	if len(faults) > 0 {
		require.Equal(t, faults, e.Faults)
	}
	return e
}

// standing is what the gate would be told.
func (f *fixture) permits(s exchange.SubjectID) exchange.Reason {
	f.t.Helper()
	var facts *ledger.Facts
	require.NoError(f.t, f.store.View(f.t.Context(), func(tx store.ReadTx) (err error) {
		facts, err = ledger.ReadFacts(tx, []exchange.SubjectID{s}, f.clock.Now())
		return err
	}))
	return facts.Consent(s, scopeOf("service_request")).Reason
}

// entries counts the ledger's.
func (f *fixture) entries() uint64 {
	f.t.Helper()
	var h store.Head
	require.NoError(f.t, f.store.View(f.t.Context(), func(tx store.ReadTx) (err error) {
		h, err = tx.Head()
		return err
	}))
	return h.Size
}
