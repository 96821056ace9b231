package crashtest

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"raccordo/hub/client"
	"raccordo/hub/control"
	"raccordo/hub/exchange"
	"raccordo/hub/network/endpoints"
)

// Bounds that every run is held to.
const (
	readyWithin   = 10 * time.Second // I10
	restWithin    = 60 * time.Second // until everything accepted has come to rest
	maxResident   = 700 << 20        // I9; the race detector takes several times what a hub takes
	maxDescriptor = 250
	maxGoroutines = 600
)

// Run is one hub with what stands around it.
type Run struct {
	Dir        string // data directory apart, everything the run leaves
	Seed       uint64
	Rand       *mathrand.Rand
	Setup      Setup
	History    *History
	Arrivals   *Arrivals
	Recipients map[exchange.SystemID]*Recipient
	Hub        *Process

	t       testing.TB
	name    string
	key     *rsa.PrivateKey
	persons int
	exports int
	mu      sync.Mutex
	clients map[exchange.SystemID]*client.Client
}

// NewRun prepares a run: a network whose called systems are recipients of the
// run, and a data directory, which may be on another disk. base is a network as
// it comes with the binary; edits replace texts of its files.
func NewRun(t testing.TB, base fs.FS, dataDir string, edits map[string]string) *Run {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("RACCORDO_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("RACCORDO_SEED is not a number")
		}
		seed = n
	}
	// Not t.TempDir: it has to stay when the run fails, and the path of a socket is short.
	dir, err := os.MkdirTemp("", "crash")
	if err != nil {
		t.Fatal(err)
	}
	r := &Run{t: t, Dir: dir, Seed: seed, Rand: mathrand.New(mathrand.NewPCG(seed, 1)), Arrivals: &Arrivals{},
		Recipients: map[exchange.SystemID]*Recipient{}, clients: map[exchange.SystemID]*client.Client{},
		name: fmt.Sprintf("%x", seed&0xffffff)}
	t.Cleanup(r.end)
	if dataDir == "" {
		dataDir = filepath.Join(dir, "data")
	}
	r.Setup = Setup{DataDir: dataDir, Network: filepath.Join(dir, "network"), Checkpoints: filepath.Join(dir, "checkpoints"),
		SendTimeout: 2 * time.Second, SpillAfter: time.Second}
	history, err := os.OpenFile(filepath.Join(dir, "history.jsonl"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = history.Close() })
	r.History = NewHistory(history)
	if r.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	r.ports()
	r.surround(base, edits)
	return r
}

func (r *Run) ports() {
	for _, at := range []*string{&r.Setup.Listen, &r.Setup.Admin} {
		port, err := FreePort(r.Rand.IntN(18_000))
		if err != nil {
			r.t.Fatal(err)
		}
		*at = fmt.Sprintf("127.0.0.1:%d", port)
	}
}

// surround writes the network, its called systems led to recipients here and
// the leases of mailboxes as short as they may be.
func (r *Run) surround(base fs.FS, edits map[string]string) {
	called, err := endpoints.Of(base)
	if err != nil {
		r.t.Fatal(err)
	}
	addresses := map[exchange.SystemID]string{}
	for _, id := range called {
		x, err := NewRecipient(id, r.Arrivals)
		if err != nil {
			r.t.Fatal(err)
		}
		r.t.Cleanup(x.Close)
		r.Recipients[id], addresses[id] = x, x.URL()
	}
	over, err := endpoints.Override(base, addresses)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := WriteNetwork(over, r.Setup.Network, edits); err != nil {
		r.t.Fatal(err)
	}
}

// Start starts the hub and waits until it is ready.
func (r *Run) Start() {
	r.t.Helper()
	r.Launch()
	took, err := r.Hub.Ready(context.Background(), readyWithin)
	if err != nil {
		r.t.Fatalf("I10: %v", err)
	}
	r.History.Note("ready", map[string]any{"after": took.String()})
}

// Launch starts the hub and waits for nothing.
func (r *Run) Launch() {
	r.t.Helper()
	p, err := StartProcess(r.Setup, filepath.Join(r.Dir, "hub.log"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.Hub = p
}

// Restart is Start after a fault; what was seen of the hub before is held to
// its bounds first.
func (r *Run) Restart() {
	r.t.Helper()
	r.bounded()
	r.Start()
}

func (r *Run) bounded() {
	r.t.Helper()
	if p := r.Hub.Peak(); p.Resident > maxResident || p.Descriptors > maxDescriptor || p.Goroutines > maxGoroutines {
		r.t.Errorf("I9: the hub grew to %d MiB, %d descriptors, %d goroutines", p.Resident>>20, p.Descriptors, p.Goroutines)
	}
}

// Client calls in the name of a system; its key is brought in at the first call.
func (r *Run) Client(system exchange.SystemID) *client.Client {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.clients[system]; c != nil {
		return c
	}
	der, err := x509.MarshalPKIXPublicKey(r.key.Public())
	if err != nil {
		r.t.Fatal(err)
	}
	got, err := control.Call[control.System](context.Background(), r.Hub.Control(), "system/add-key",
		control.KeyRequest{System: system, Key: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})})
	if err != nil {
		r.t.Fatal(err)
	}
	c, err := client.New(client.Options{URL: "http://" + r.Setup.Listen, ClientID: got.Client,
		PurposeID: slices.Sorted(maps.Keys(got.Purposes))[0], Key: r.key, Now: time.Now, Random: rand.Reader})
	if err != nil {
		r.t.Fatal(err)
	}
	r.clients[system] = c
	return c
}

// Worker is a client of the desk of Livorno with persons of its own.
func (r *Run) Worker(name string, persons int) *Worker {
	r.t.Helper()
	return r.WorkerOf("oss_livorno_desk", name, persons)
}

// WorkerOf is a client in the name of a system.
func (r *Run) WorkerOf(system exchange.SystemID, name string, persons int) *Worker {
	r.t.Helper()
	w := &Worker{Run: r.name, Name: name, Rand: mathrand.New(mathrand.NewPCG(r.Seed, uint64(r.persons)+2)), Client: r.Client(system),
		History: r.History, Lines: 40, BadEvery: 50}
	for range persons {
		w.Persons = append(w.Persons, NewPerson(r.name, r.persons))
		r.persons++
	}
	return w
}

// Fetch empties the mailboxes until the returned function is called.
func (r *Run) Fetch() (stop func()) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for _, system := range []exchange.SystemID{"arti_livorno", "anagrafe_livorno", "sds_pistoiese_salute"} {
		f := &Fetcher{System: system, Client: r.Client(system), Arrivals: r.Arrivals}
		all.Go(func() { f.Run(ctx) })
	}
	return func() { cancel(); all.Wait() }
}

// Await waits until the hub's status is as wanted.
func (r *Run) Await(what string, within time.Duration, wanted func(control.Status) bool) control.Status {
	r.t.Helper()
	deadline := time.Now().Add(within)
	var s control.Status
	var err error
	for {
		s, err = control.Call[control.Status](context.Background(), r.Hub.Control(), "status", control.Nothing{})
		if err == nil && wanted(s) {
			return s
		}
		if time.Now().After(deadline) {
			b, _ := json.Marshal(s)
			r.t.Fatalf("not within %s: %s: %v %s", within, what, err, b)
		}
		pause(context.Background(), 20*time.Millisecond)
	}
}

// Rest waits until every acknowledged record has come to rest.
func (r *Run) Rest(final func(state string) bool) control.Status {
	r.t.Helper()
	want, err := accepted(r.History.Answered())
	if err != nil {
		r.t.Fatal(err)
	}
	return r.Await("everything accepted comes to rest", restWithin, func(s control.Status) bool {
		n := 0
		for _, states := range s.Flows {
			for state, k := range states {
				if !final(state) && k != 0 {
					return false
				}
				n += int(k)
			}
		}
		return s.Behind == 0 && n >= len(want)
	})
}

// Delivered says that a state is the one everything should end in.
func Delivered(state string) bool { return state == exchange.StateDelivered.String() }

// Export has the hub write its ledger, verifies it and reads it.
func (r *Run) Export() (*Ledger, string) {
	r.t.Helper()
	r.exports++
	dir := filepath.Join(r.Dir, fmt.Sprintf("ledger-%d", r.exports))
	ctx := context.Background()
	// The newest checkpoint must cover what is checked.
	status := r.Await("a hub", restWithin, func(control.Status) bool { return true })
	deadline := time.Now().Add(10 * time.Second)
	for {
		c, err := control.Call[control.Checkpoint](ctx, r.Hub.Control(), "ledger/checkpoint", control.Nothing{})
		if err == nil && checkpointSize(c.Note) >= status.Entries {
			break
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("no checkpoint covers %d entries: %v", status.Entries, err)
		}
		pause(ctx, 20*time.Millisecond)
	}
	got, err := control.Call[control.Exported](ctx, r.Hub.Control(), "ledger/export", control.ExportRequest{Dir: dir})
	if err != nil {
		r.t.Fatal(err)
	}
	l, err := ReadLedger(dir, got.Key, slices.Sorted(maps.Keys(recipients)))
	if err != nil {
		r.t.Fatal(err)
	}
	return l, dir
}

// checkpointSize reads the second line of a signed note.
func checkpointSize(note string) uint64 {
	var origin string
	var size uint64
	if _, err := fmt.Sscanf(note, "%s\n%d", &origin, &size); err != nil {
		return 0
	}
	return size
}

// Check waits for rest and runs every checker. rest says which states a record
// may rest in; nil: delivered only.
func (r *Run) Check(rest func(exchange.FlowID, exchange.Row) bool, final func(string) bool) {
	r.t.Helper()
	status := r.Rest(final)
	l, _ := r.Export()
	c := Checks{Answered: r.History.Answered(), Arrivals: r.Arrivals.All(), Ledger: l, Status: status, Rest: rest}
	if err := c.All(); err != nil {
		r.t.Error(err)
	}
	r.Canaries()
	r.bounded()
	if status.Imbalance != 0 {
		r.t.Errorf("I1: imbalance %d", status.Imbalance)
	}
	r.t.Logf("seed %d: %d records acknowledged, %d arrivals, %d ledger entries; at most %d MiB, %d goroutines, %d descriptors", r.Seed,
		r.History.Records(), len(c.Arrivals), l.Report.Entries, r.Hub.Peak().Resident>>20, r.Hub.Peak().Goroutines, r.Hub.Peak().Descriptors)
}

// Canaries is I7: log, metrics, exported ledgers, checkpoints and every file
// of the data directory.
func (r *Run) Canaries() {
	r.t.Helper()
	needles := Needles(canaryStem, "KNR-"+r.name)
	m, err := r.Hub.Metrics(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	if f := Find([]byte(m), needles); len(f) > 0 {
		r.t.Errorf("I7: needles %v stand in the metrics", f)
	}
	if err := errors.Join(Scan(r.Dir, needles), Scan(r.Setup.DataDir, needles)); err != nil {
		r.t.Errorf("I7: %v", err)
	}
}

// Repeat asks for acknowledged requests again, under their keys: the same
// answer must come (I5).
func (r *Run) Repeat(w *Worker, n int) {
	r.t.Helper()
	all := r.History.Answered()
	for range min(n, len(all)) {
		was := all[r.Rand.IntN(len(all))]
		again := &Answered{Request: was.Request, Records: make([]*exchange.RecordID, len(was.Sent))}
		ack, err := w.Client.Push(context.Background(), was.push())
		if err != nil {
			if was.allBad() {
				continue // refused then and now
			}
			r.t.Fatalf("I5: key %s, asked again: %v", was.Key, err)
		}
		if err := again.take(ack); err != nil {
			r.t.Fatalf("I5: %v", err)
		}
		for i := range was.Records {
			if (was.Records[i] == nil) != (again.Records[i] == nil) || was.Records[i] != nil && *was.Records[i] != *again.Records[i] {
				r.t.Fatalf("I5: key %s, asked again: line %d has another record id", was.Key, i+1)
			}
		}
	}
}

// end stops what still runs; a run that failed keeps everything.
func (r *Run) end() {
	if r.Hub != nil {
		r.Hub.Kill()
	}
	if !r.t.Failed() {
		_ = os.RemoveAll(r.Dir)
		return
	}
	if b, err := json.MarshalIndent(r.Arrivals.All(), "", " "); err == nil {
		_ = os.WriteFile(filepath.Join(r.Dir, "arrivals.json"), b, 0o600)
	}
	if kept := filepath.Join(r.Dir, "data"); r.Setup.DataDir != kept {
		_ = os.CopyFS(kept, os.DirFS(r.Setup.DataDir)) // its disk goes with the test
	}
	r.t.Logf("kept: %s (data, history.jsonl, hub.log, arrivals.json)\nrepeat it: RACCORDO_SEED=%d RACCORDO_KILLS=%s RACCORDO_CUTS=%s go test ./hub/crashtest -run '^%s$' -count=1",
		r.Dir, r.Seed, or(os.Getenv("RACCORDO_KILLS"), "3"), or(os.Getenv("RACCORDO_CUTS"), "3"), r.t.Name())
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
