package storetest

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"raccordo/hub/store"
)

// Opener opens a store on one set of data, which is empty at the first call.
// It can be called again after the store was closed and, where the engine is
// shared, while it is open.
type Opener func() (store.Store, error)

// Engine is what is tested.
type Engine struct {
	// New makes fresh data, removed when t ends.
	New func(t testing.TB) Opener
	// Shared says that several stores may be open on the same data.
	Shared bool
}

// patience bounds every wait of the suite.
const patience = 60 * time.Second

// Run runs the whole suite, every part of it on stores of its own.
func Run(t *testing.T, e Engine) {
	parts := []struct {
		name string
		run  func(t *testing.T, e Engine)
	}{
		{"Identity", testIdentity},
		{"Entries", testEntries},
		{"EntriesThatDoNotFollow", testBadAppend},
		{"Atomicity", testAtomicity},
		{"SharedCommit", testSharedCommit},
		{"Panic", testPanic},
		{"OverTransactions", testOver},
		{"Contexts", testContexts},
		{"Snapshot", testSnapshot},
		{"Closed", testClosed},
		{"Consents", testConsents},
		{"Links", testLinks},
		{"Dossiers", testDossiers},
		{"Cursors", testCursors},
		{"Epochs", testEpochs},
		{"Claims", testClaims},
		{"Counters", testCounters},
		{"CompetingCounters", testCompetingCounters},
		{"CompetingCursors", testCompetingCursors},
		{"CompetingEpochs", testCompetingEpochs},
		{"CompetingAppends", testCompetingAppends},
		{"WithdrawalAgainstClaims", testWithdrawal},
		{"UnknownOutcome", testUnknownOutcome},
		{"WaitingRoundTrip", testWaitingRoundTrip},
		{"Adoptions", testAdoptions},
		{"Oldest", testOldest},
		{"WaitingHeads", testWaitingHeads},
		{"WaitingFetch", testWaitingFetch},
		{"WaitingBytes", testWaitingBytes},
		{"WaitingWake", testWaitingWake},
		{"WaitingModel", testWaitingModel},
		{"Parked", testParked},
		{"Directory", testDirectory},
		{"CompetingDirectory", testCompetingDirectory},
		{"Keys", testKeys},
		{"Records", testRecords},
		{"Status", testStatus},
		{"StatusModel", testStatusModel},
		{"UseOnce", testUseOnce},
		{"CompetingUseOnce", testCompetingUseOnce},
		{"Checkpoints", testCheckpoints},
		{"Small", testSmall},
	}
	for _, p := range parts {
		t.Run(p.name, func(t *testing.T) { p.run(t, e) })
	}
}

// bench is a store under test and how to open it again.
type bench struct {
	t    *testing.T
	open Opener
	s    store.Store
}

func start(t *testing.T, e Engine) *bench {
	t.Helper()
	b := &bench{t: t, open: e.New(t)}
	b.reopen()
	t.Cleanup(func() { _ = b.s.Close() })
	return b
}

// reopen closes the store, if one is open, and opens it again.
func (b *bench) reopen() {
	b.t.Helper()
	if b.s != nil {
		need(b.t, b.s.Close())
	}
	s, err := b.open()
	need(b.t, err)
	b.s = s
}

// another is a second store on the same data where the engine is shared, else
// the same store.
func (b *bench) another(e Engine) store.Store {
	b.t.Helper()
	if !e.Shared {
		return b.s
	}
	s, err := b.open()
	need(b.t, err)
	b.t.Cleanup(func() { _ = s.Close() })
	return s
}

func (b *bench) ledger(fn func(store.LedgerTx) error) {
	b.t.Helper()
	need(b.t, b.s.Ledger(context.Background(), fn))
}

func (b *bench) side(fn func(store.SideTx) error) {
	b.t.Helper()
	need(b.t, b.s.Side(context.Background(), fn))
}

func (b *bench) view(fn func(store.ReadTx) error) {
	b.t.Helper()
	need(b.t, b.s.View(context.Background(), fn))
}

func need(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func isErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

func equal(t testing.TB, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got  %+v\nwant %+v", got, want)
	}
}

// differ is equal for functions that run inside a transaction, where a test
// must not be ended.
func differ(got, want any) error {
	if !reflect.DeepEqual(got, want) {
		return &difference{got, want}
	}
	return nil
}

// together runs n functions at once and gives their errors, joined.
func together(t *testing.T, n int, fn func(i int) error) error {
	t.Helper()
	errs := make(chan error, n)
	begin := make(chan struct{})
	for i := range n {
		go func() {
			<-begin
			errs <- fn(i)
		}()
	}
	close(begin)
	var all []error
	deadline := time.After(patience)
	for range n {
		select {
		case err := <-errs:
			all = append(all, err)
		case <-deadline:
			t.Fatal("competing functions did not end")
		}
	}
	return errors.Join(all...)
}
