package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"raccordo/hub/exchange"
	"raccordo/hub/store"

	"golang.org/x/mod/sumdb/tlog"
)

func testIdentity(t *testing.T, e Engine) {
	b := start(t, e)
	hub := b.s.Hub()
	if hub == (exchange.HubID{}) {
		t.Fatal("a new store has no identity")
	}
	b.view(func(tx store.ReadTx) error {
		head, err := tx.Head()
		return errors.Join(err, differ(head, store.Head{Hub: hub}))
	})
	b.reopen()
	equal(t, b.s.Hub(), hub)
}

func testEntries(t *testing.T, e Engine) {
	b := start(t, e)
	for i := range 3 {
		b.ledger(func(tx store.LedgerTx) error {
			batch := []exchange.Entry{ClaimEntry(10*i, 3), ClaimEntry(10*i+1, 0), {ID: entryID(10*i + 2), Kind: exchange.KindStop, Fact: []byte(`{"stopped":true,"reason":"test"}`)}}
			first, err := Append(tx, batch...)
			return errors.Join(err, differ(first, uint64(3*i)))
		})
	}
	b.ledger(func(tx store.LedgerTx) error {
		head, err := tx.Head()
		if err != nil {
			return err
		}
		head.Network, head.Stopped, head.Time = digest(4), true, 99
		return tx.Append(nil, head)
	})
	b.reopen()
	b.view(func(tx store.ReadTx) error {
		head, err := tx.Head()
		if err := errors.Join(err, differ(head, store.Head{Hub: b.s.Hub(), Size: 9, Time: 99, Network: digest(4), Stopped: true})); err != nil {
			return err
		}
		all, err := tx.Entries(0, 100)
		if err != nil || len(all) != 9 {
			return errors.Join(err, differ(len(all), 9))
		}
		for i, got := range all {
			leaf, err := exchange.DecodeLeaf(got.Leaf)
			if err != nil {
				return err
			}
			hash, err := tx.Hashes([]int64{tlog.StoredHashIndex(0, int64(i))})
			if err := errors.Join(err, differ(got.Seq, uint64(i)), differ(leaf.ID, got.ID), differ(leaf.RowsRoot, exchange.RowsRoot(got.Rows)),
				differ(tlog.Hash(hash[0]), tlog.RecordHash(got.Leaf)), differ(len(got.Fact) > 0, i%3 == 2)); err != nil {
				return err
			}
		}
		some, err := tx.Entries(4, 2)
		if err != nil || len(some) != 2 || some[0].Seq != 4 || some[1].Seq != 5 {
			return errors.Join(err, errors.New("entries 4 and 5 are not what Entries(4, 2) gives"))
		}
		none, err := tx.Entries(9, 2)
		return errors.Join(err, differ(len(none), 0))
	})
	b.view(func(tx store.ReadTx) error {
		want := []int64{7, 0, 7, 3}
		got, err := tx.Hashes(want)
		if err != nil {
			return err
		}
		for i, x := range want {
			one, err := tx.Hashes([]int64{x})
			if err := errors.Join(err, differ(got[i], one[0])); err != nil {
				return err
			}
		}
		if _, err := tx.Hashes([]int64{0, tlog.StoredHashCount(9)}); !errors.Is(err, store.ErrNotFound) {
			return errors.New("a hash past the end is not ErrNotFound")
		}
		return nil
	})
}

func testBadAppend(t *testing.T, e Engine) {
	b := start(t, e)
	ctx := context.Background()
	bend := map[string]func(a *store.Appended, h *store.Head){
		"gap":         func(a *store.Appended, h *store.Head) { a.Entry.Seq = 5 },
		"head size":   func(a *store.Appended, h *store.Head) { h.Size++ },
		"other hub":   func(a *store.Appended, h *store.Head) { h.Hub[0]++ },
		"hash count":  func(a *store.Appended, h *store.Head) { a.Hashes = append(a.Hashes, a.Hashes[0]) },
		"same again":  func(a *store.Appended, h *store.Head) { a.Entry.ID = entryID(1) },
		"hash absent": func(a *store.Appended, h *store.Head) { a.Hashes = nil },
	}
	b.ledger(func(tx store.LedgerTx) error { _, err := Append(tx, ClaimEntry(1, 1)); return err })
	for name, f := range bend {
		err := b.s.Ledger(ctx, func(tx store.LedgerTx) error {
			_, err := Append(bent{tx, f}, ClaimEntry(2, 1))
			return err
		})
		if !errors.Is(err, store.ErrConflict) {
			t.Errorf("%s: got %v, want ErrConflict", name, err)
		}
	}
	b.view(func(tx store.ReadTx) error {
		head, err := tx.Head()
		return errors.Join(err, differ(head.Size, uint64(1)))
	})
}

// bent changes what is appended.
type bent struct {
	store.LedgerTx
	bend func(*store.Appended, *store.Head)
}

func (b bent) Append(entries []store.Appended, head store.Head) error {
	b.bend(&entries[0], &head)
	return b.LedgerTx.Append(entries, head)
}

var errTest = errors.New("the function wants no commit")

// writeAll changes something in every table a ledger transaction can change.
func writeAll(tx store.LedgerTx, n int) error {
	seq, err := Append(tx, ClaimEntry(n, 2))
	if err != nil {
		return err
	}
	_, err = tx.Next("test", 1, 0)
	_, err2 := tx.BumpEpochs([]store.LaneKey{lane(n)})
	return errors.Join(err, err2,
		tx.PutConsents([]store.ConsentRow{consentRow(n, n, seq)}),
		tx.PutLinks([]store.LinkRow{link(n, n+1, seq)}),
		tx.PutDossiers([]store.DossierRow{{Dossier: dossierID(n), Subject: subject(n), Seq: seq}}),
		tx.MoveCursors([]store.CursorMove{{Key: cursorKey(n, 1), Expect: exchange.Start(), To: cursorAt(int64(n), n)}}),
		tx.PutClaims([]store.Claim{ClaimOf(seq, ClaimEntry(n, 2))}),
		tx.PutWaiting([]store.WaitingRow{waitingRow(uint64(n), 1, n)}),
		tx.PutParked([]store.ParkedRow{parkedRow(n)}))
}

// countAll counts the rows writeAll leaves for n: 0 or 9.
func countAll(tx store.ReadTx, n int) (int, error) {
	count := 0
	note := func(found bool) {
		if found {
			count++
		}
	}
	_, err := tx.ConsentByID(consentID(n))
	note(err == nil)
	links, err1 := tx.Links(subjects(n))
	for _, l := range links {
		note(l == link(n, n+1, l.Seq))
	}
	_, err = tx.DossierByID(dossierID(n))
	note(err == nil)
	cursors, err2 := tx.AllCursors()
	_, ok := cursors[cursorKey(n, 1)]
	note(ok)
	claims, err3 := tx.OpenClaims()
	for _, c := range claims {
		note(c.Rows[0].Record == record(n*1000))
	}
	waiting, err4 := tx.Waiting([]uint64{uint64(n)})
	note(len(waiting) == 1)
	parked, err5 := tx.Parked([]uint64{uint64(n)})
	note(len(parked) == 1)
	entries, err6 := tx.Entries(0, 1000)
	for _, e := range entries {
		note(e.ID == entryID(n))
	}
	return count, errors.Join(err1, err2, err3, err4, err5, err6)
}

// rowsOfAll is what countAll gives for what was committed.
const rowsOfAll = 8

func (b *bench) mustCount(n, want int) {
	b.t.Helper()
	b.view(func(tx store.ReadTx) error {
		got, err := countAll(tx, n)
		return errors.Join(err, differ(got, want))
	})
}

func testAtomicity(t *testing.T, e Engine) {
	b := start(t, e)
	ctx := context.Background()
	b.ledger(func(tx store.LedgerTx) error { return writeAll(tx, 100) })
	err := b.s.Ledger(ctx, func(tx store.LedgerTx) error {
		return errors.Join(writeAll(tx, 200), tx.DeleteWaiting([]uint64{100}), tx.DeleteParked([]uint64{100}), tx.CloseClaims([]uint64{0}), errTest)
	})
	isErr(t, err, errTest)
	b.mustCount(100, rowsOfAll)
	b.mustCount(200, 0)
	b.ledger(func(tx store.LedgerTx) error {
		n, err := tx.Next("test", 1, 0)
		epochs, err2 := tx.Epochs([]store.LaneKey{lane(100), lane(200)})
		return errors.Join(err, err2, differ(n, uint64(2)), differ(epochs, map[store.LaneKey]uint64{lane(100): 1}))
	})
	err = b.s.Side(ctx, func(tx store.SideTx) error {
		_, err := tx.UseOnce("test", digest(1), 5)
		return errors.Join(err, tx.PutStatus([]store.StatusRow{{Record: record(1), Flow: 1, State: exchange.StatePending}}), errTest)
	})
	isErr(t, err, errTest)
	b.side(func(tx store.SideTx) error {
		first, err := tx.UseOnce("test", digest(1), 5)
		return errors.Join(err, differ(first, true))
	})
	b.view(func(tx store.ReadTx) error {
		counts, err := tx.StateCounts()
		return errors.Join(err, differ(len(counts), 0))
	})
	b.reopen()
	b.mustCount(100, rowsOfAll)
	b.mustCount(200, 0)
}

// testSharedCommit has functions that fail among functions that do not, all
// ready at the same time.
func testSharedCommit(t *testing.T, e Engine) {
	b := start(t, e)
	const n = 60
	err := together(t, n, func(i int) error {
		err := b.s.Ledger(context.Background(), func(tx store.LedgerTx) error {
			if err := writeAll(tx, 1000+2*i); err != nil {
				return err
			}
			if i%3 == 0 {
				return errTest
			}
			return nil
		})
		return differ(errors.Is(err, errTest), i%3 == 0)
	})
	need(t, err)
	b.reopen()
	for i := range n {
		want := rowsOfAll
		if i%3 == 0 {
			want = 0
		}
		b.mustCount(1000+2*i, want)
	}
}

func testPanic(t *testing.T, e Engine) {
	b := start(t, e)
	err := b.s.Ledger(context.Background(), func(tx store.LedgerTx) error {
		if err := writeAll(tx, 1); err != nil {
			return err
		}
		panic("a secret value")
	})
	if err == nil || err.Error() == "a secret value" {
		t.Fatalf("a panic gave error %v", err)
	}
	b.mustCount(1, 0)
	b.ledger(func(tx store.LedgerTx) error { return writeAll(tx, 2) })
	b.mustCount(2, rowsOfAll)
}

func testOver(t *testing.T, e Engine) {
	b := start(t, e)
	var l store.LedgerTx
	var s store.SideTx
	var v store.ReadTx
	b.ledger(func(tx store.LedgerTx) error { l = tx; return nil })
	b.side(func(tx store.SideTx) error { s = tx; return nil })
	b.view(func(tx store.ReadTx) error { v = tx; return nil })
	if err := writeAll(l, 1); err == nil {
		t.Error("a ledger transaction can be used after its end")
	}
	if err := s.SetProgress("test", 1); err == nil {
		t.Error("a side transaction can be used after its end")
	}
	if _, err := v.Head(); err == nil {
		t.Error("a view can be used after its end")
	}
}

func testContexts(t *testing.T, e Engine) {
	b := start(t, e)
	over, cancel := context.WithCancel(context.Background())
	cancel()
	isErr(t, b.s.Ledger(over, func(store.LedgerTx) error { t.Error("ran"); return nil }), context.Canceled)
	isErr(t, b.s.Side(over, func(store.SideTx) error { t.Error("ran"); return nil }), context.Canceled)
	isErr(t, b.s.View(over, func(store.ReadTx) error { t.Error("ran"); return nil }), context.Canceled)

	// A context that ends while its function runs changes nothing.
	ctx, cancel := context.WithCancel(context.Background())
	need(t, b.s.Ledger(ctx, func(tx store.LedgerTx) error { cancel(); return writeAll(tx, 1) }))
	b.mustCount(1, rowsOfAll)

	// One that ends in the queue takes its function out.
	running, release := make(chan struct{}), make(chan struct{})
	blocked := make(chan error, 1)
	go func() {
		blocked <- b.s.Ledger(context.Background(), func(store.LedgerTx) error { close(running); <-release; return nil })
	}()
	<-running
	short, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	isErr(t, b.s.Ledger(short, func(tx store.LedgerTx) error { return writeAll(tx, 2) }), context.DeadlineExceeded)
	close(release)
	need(t, <-blocked)
	b.ledger(func(store.LedgerTx) error { return nil })
	b.mustCount(2, 0)
}

func testSnapshot(t *testing.T, e Engine) {
	b := start(t, e)
	b.ledger(func(tx store.LedgerTx) error { return writeAll(tx, 1) })
	err := b.s.View(context.Background(), func(tx store.ReadTx) error {
		if err := b.s.Ledger(context.Background(), func(tx store.LedgerTx) error { return writeAll(tx, 2) }); err != nil {
			return err
		}
		head, err := tx.Head()
		n, err2 := countAll(tx, 2)
		return errors.Join(err, err2, differ(head.Size, uint64(1)), differ(n, 0))
	})
	need(t, err)
	b.mustCount(2, rowsOfAll)
}

func testClosed(t *testing.T, e Engine) {
	b := start(t, e)
	need(t, b.s.Close())
	need(t, b.s.Close())
	isErr(t, b.s.Ledger(context.Background(), func(store.LedgerTx) error { return nil }), store.ErrStopped)
	isErr(t, b.s.Side(context.Background(), func(store.SideTx) error { return nil }), store.ErrStopped)
	isErr(t, b.s.View(context.Background(), func(store.ReadTx) error { return nil }), store.ErrStopped)
}

func testUnknownOutcome(t *testing.T, e Engine) {
	b := start(t, e)
	b.ledger(func(tx store.LedgerTx) error { _, err := Append(tx, ClaimEntry(0, 1), ClaimEntry(1, 1)); return err })
	b.reopen()
	b.ledger(func(tx store.LedgerTx) error {
		seq, err := tx.EntryByID(entryID(1))
		if _, missing := tx.EntryByID(entryID(2)); !errors.Is(missing, store.ErrNotFound) {
			return errors.New("an entry that did not happen is not ErrNotFound")
		}
		return errors.Join(err, differ(seq, uint64(1)))
	})
}
