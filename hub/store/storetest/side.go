package storetest

import (
	"context"
	"errors"
	"testing"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

func testDirectory(t *testing.T, e Engine) {
	b := start(t, e)
	b.side(func(tx store.SideTx) error {
		won, err := tx.AddDirectory([]store.DirectoryRow{{Digest: digest(1), KeyVersion: 1, Subject: subject(1), System: "CF"}, {Digest: digest(2), Subject: subject(1), System: "CF"}})
		return errors.Join(err, differ(won, map[exchange.Digest]exchange.SubjectID{digest(1): subject(1), digest(2): subject(1)}))
	})
	b.side(func(tx store.SideTx) error {
		// the first one stays, within one call too
		won, err := tx.AddDirectory([]store.DirectoryRow{{Digest: digest(1), Subject: subject(9)}, {Digest: digest(3), Subject: subject(3)}, {Digest: digest(3), Subject: subject(4)}})
		return errors.Join(err, differ(won, map[exchange.Digest]exchange.SubjectID{digest(1): subject(1), digest(3): subject(3)}))
	})
	b.reopen()
	b.view(func(tx store.ReadTx) error {
		got, err := tx.Directory([]exchange.Digest{digest(1), digest(3), digest(8), digest(1)})
		none, err2 := tx.Directory(nil)
		return errors.Join(err, err2, differ(got, map[exchange.Digest]exchange.SubjectID{digest(1): subject(1), digest(3): subject(3)}), differ(len(none), 0))
	})
}

func testKeys(t *testing.T, e Engine) {
	b := start(t, e)
	key := func(sys, n int, at int64) store.KeyRow {
		return store.KeyRow{System: system(sys), KeyMAC: digest(n), BodyDigest: digest(n + 1000), Frame: frame(n), Class: exchange.ClassBulk, Offset: at * 2, Records: 5, ReceivedAt: at}
	}
	b.side(func(tx store.SideTx) error {
		return tx.PutKeys([]store.KeyRow{key(1, 1, 10), key(1, 2, 20), key(2, 1, 5), key(1, 3, 30)})
	})
	newer := key(1, 1, 40)
	newer.Frame = frame(77)
	b.side(func(tx store.SideTx) error { return tx.PutKeys([]store.KeyRow{newer, key(1, 2, 1)}) })
	b.reopen()
	counts := func(one, two int) {
		t.Helper()
		b.view(func(tx store.ReadTx) error {
			n1, err := tx.KeyCount(system(1))
			n2, err2 := tx.KeyCount(system(2))
			n3, err3 := tx.KeyCount(system(3))
			return errors.Join(err, err2, err3, differ([]int{n1, n2, n3}, []int{one, two, 0}))
		})
	}
	counts(3, 1)
	b.view(func(tx store.ReadTx) error {
		replaced, err := tx.Key(system(1), digest(1))
		kept, err2 := tx.Key(system(1), digest(2)) // an older one never replaces
		theirs, err3 := tx.Key(system(2), digest(1))
		if _, missing := tx.Key(system(2), digest(2)); !errors.Is(missing, store.ErrNotFound) {
			return errors.New("another system's key is not ErrNotFound")
		}
		return errors.Join(err, err2, err3, differ(replaced, newer), differ(kept, key(1, 2, 20)), differ(theirs, key(2, 1, 5)))
	})
	oldest := func(class exchange.Class, since, want int64, there bool) {
		t.Helper()
		b.view(func(tx store.ReadTx) error {
			at, found, err := tx.OldestKey(class, since)
			return errors.Join(err, differ(found, there), differ(at, want))
		})
	}
	oldest(exchange.ClassBulk, 0, 10, true) // of key(2, 1, 5)
	oldest(exchange.ClassBulk, 20, 40, true)
	oldest(exchange.ClassBulk, 41, 0, false)
	oldest(exchange.ClassPrompt, 0, 0, false)
	forget := func(before int64, limit, want int) {
		t.Helper()
		b.side(func(tx store.SideTx) error {
			n, err := tx.DeleteKeysBefore(before, limit)
			return errors.Join(err, differ(n, want))
		})
	}
	forget(5, 10, 0)
	forget(31, 2, 2)
	counts(2, 0)
	forget(31, 2, 1)
	forget(31, 2, 0)
	counts(1, 0)
}

func testRecords(t *testing.T, e Engine) {
	b := start(t, e)
	r1 := store.RecordRow{Record: record(1), Producer: system(1), Type: "service_request", ReceivedAt: 5, Flows: []exchange.FlowID{flow(2), flow(1)}}
	r2 := store.RecordRow{Record: record(2), Producer: system(1), Type: "service_request", ReceivedAt: 6}
	// a state may come before the record it belongs to
	b.side(func(tx store.SideTx) error {
		return tx.PutStatus([]store.StatusRow{{Record: record(1), Flow: 7, State: exchange.StateClaimed, Seq: 2}})
	})
	b.view(func(tx store.ReadTx) error {
		if _, err := tx.Record(record(1)); !errors.Is(err, store.ErrNotFound) {
			return errors.New("a record of which only a state is known is not ErrNotFound")
		}
		return nil
	})
	b.side(func(tx store.SideTx) error { return tx.PutRecords([]store.RecordRow{r1, r2}) })
	b.side(func(tx store.SideTx) error { return tx.PutRecords([]store.RecordRow{r2}) })
	b.reopen()
	b.view(func(tx store.ReadTx) error {
		got1, err := tx.Record(record(1))
		got2, err2 := tx.Record(record(2))
		states, err3 := tx.StatusOf(record(1))
		none, err4 := tx.StatusOf(record(2))
		return errors.Join(err, err2, err3, err4, differ(got1, r1), differ(got2, r2), differ(len(states), 1), differ(len(none), 0))
	})
}

func testStatus(t *testing.T, e Engine) {
	b := start(t, e)
	row := func(state exchange.State, seq uint64) store.StatusRow {
		s := store.StatusRow{Record: record(1), Flow: 0xfffffff0, State: state, Seq: seq, Reason: exchange.ReasonPermitted}
		if state == exchange.StatePending {
			s.Reason = ""
		}
		return s
	}
	steps := []struct{ put, want store.StatusRow }{
		{row(exchange.StatePending, 0), row(exchange.StatePending, 0)},
		{row(exchange.StateClaimed, 5), row(exchange.StateClaimed, 5)},
		{row(exchange.StatePending, 0), row(exchange.StateClaimed, 5)}, // accepted: never replaces
		{row(exchange.StatePending, 5), row(exchange.StatePending, 5)}, // settled as not sent: decided again
		{row(exchange.StateClaimed, 5), row(exchange.StateClaimed, 5)},
		{row(exchange.StateWaiting, 4), row(exchange.StateClaimed, 5)}, // older
		{row(exchange.StateDelivered, 5), row(exchange.StateDelivered, 5)},
		{row(exchange.StateParked, 6), row(exchange.StateParked, 6)},
	}
	for i, s := range steps {
		b.side(func(tx store.SideTx) error { return tx.PutStatus([]store.StatusRow{s.put}) })
		b.view(func(tx store.ReadTx) error {
			got, err := tx.StatusOf(record(1))
			counts, err2 := tx.StateCounts()
			if err := errors.Join(err, err2, differ(got, []store.StatusRow{s.want}),
				differ(counts, map[exchange.Number]map[exchange.State]int64{0xfffffff0: {s.want.State: 1}})); err != nil {
				t.Errorf("step %d: %v", i, err)
			}
			return nil
		})
	}
}

func testUseOnce(t *testing.T, e Engine) {
	b := start(t, e)
	use := func(kind string, n int, until int64, want bool) {
		t.Helper()
		b.side(func(tx store.SideTx) error {
			got, err := tx.UseOnce(kind, digest(n), until)
			return errors.Join(err, differ(got, want))
		})
	}
	use("a", 1, 10, true)
	use("a", 1, 10, false)
	use("b", 1, 20, true)
	b.reopen()
	use("a", 1, 99, false)
	forget := func(before int64, want int) {
		t.Helper()
		b.side(func(tx store.SideTx) error {
			n, err := tx.ForgetUsed(before, 10)
			return errors.Join(err, differ(n, want))
		})
	}
	forget(10, 0)
	forget(11, 1)
	use("a", 1, 30, true)
	use("b", 1, 30, false)
	b.side(func(tx store.SideTx) error {
		n, err := tx.ForgetUsed(1000, 1)
		return errors.Join(err, differ(n, 1))
	})
}

func testCheckpoints(t *testing.T, e Engine) {
	b := start(t, e)
	b.view(func(tx store.ReadTx) error {
		if _, err := tx.LatestCheckpoint(); !errors.Is(err, store.ErrNotFound) {
			return errors.New("no checkpoint is not ErrNotFound")
		}
		return nil
	})
	one := store.CheckpointRow{Size: 9, Root: digest(1), Note: []byte("note"), At: 3}
	b.side(func(tx store.SideTx) error { return tx.PutCheckpoint(one) })
	b.side(func(tx store.SideTx) error {
		return tx.PutCheckpoint(store.CheckpointRow{Size: 4, Root: digest(2), Note: []byte("older")})
	})
	b.side(func(tx store.SideTx) error { return tx.PutCheckpoint(one) })
	other := one
	other.Root = digest(3)
	isErr(t, b.s.Side(context.Background(), func(tx store.SideTx) error { return tx.PutCheckpoint(other) }), store.ErrConflict)
	b.reopen()
	b.view(func(tx store.ReadTx) error {
		latest, err := tx.LatestCheckpoint()
		old, err2 := tx.Checkpoint(4)
		if _, missing := tx.Checkpoint(5); !errors.Is(missing, store.ErrNotFound) {
			return errors.New("an unknown size is not ErrNotFound")
		}
		return errors.Join(err, err2, differ(latest, one), differ(old.Root, [32]byte(digest(2))))
	})
}

// testSmall are the small tables: progress, clients' keys, conflicts,
// evidence, suspects.
func testSmall(t *testing.T, e Engine) {
	b := start(t, e)
	k1 := store.ClientKey{ClientID: "a", System: system(1), KeyID: "k1", JWK: []byte(`{"kty":"EC"}`), AddedAt: 1}
	k2 := store.ClientKey{ClientID: "a", System: system(1), KeyID: "k2", JWK: []byte(`{}`), AddedAt: 2}
	l := link(1, 2, 0)
	c1 := store.ConflictRow{A: l.A, B: l.B, Record: record(1), SeenAt: 5}
	l = link(3, 4, 0)
	c2 := store.ConflictRow{A: l.A, B: l.B, Record: record(2), SeenAt: 6}
	b.side(func(tx store.SideTx) error {
		again := c1
		again.SeenAt, again.Record = 99, record(9)
		return errors.Join(tx.SetProgress("p", 5), tx.SetProgress("p", -7), tx.PutClientKey(k2), tx.PutClientKey(k1), tx.PutClientKey(k2),
			tx.PutConflicts([]store.ConflictRow{c2, c1}), tx.PutConflicts([]store.ConflictRow{again}),
			tx.PutEvidence(consentID(1), []byte{1}), tx.PutEvidence(consentID(1), []byte{2}),
			tx.PutSuspects(map[exchange.RecordID]int{record(1): 1, record(2): 1}),
			tx.PutSuspects(map[exchange.RecordID]int{record(1): 0, record(2): 2}))
	})
	b.reopen()
	b.view(func(tx store.ReadTx) error {
		p, ok, err := tx.Progress("p")
		_, none, err2 := tx.Progress("q")
		keys, err3 := tx.ClientKeys()
		conflicts, err4 := tx.Conflicts(10)
		first, err5 := tx.Conflicts(1)
		evidence, err6 := tx.Evidence(consentID(1))
		suspects, err7 := tx.Suspects()
		if _, missing := tx.Evidence(consentID(2)); !errors.Is(missing, store.ErrNotFound) {
			return errors.New("no evidence is not ErrNotFound")
		}
		return errors.Join(err, err2, err3, err4, err5, err6, err7, differ(p, int64(-7)), differ(ok, true), differ(none, false),
			differ(keys, []store.ClientKey{k1, k2}), differ(conflicts, []store.ConflictRow{c1, c2}), differ(first, []store.ConflictRow{c1}),
			differ(evidence, []byte{2}), differ(suspects, map[exchange.RecordID]int{record(2): 2}))
	})
	b.side(func(tx store.SideTx) error { return tx.DeleteConflict(c1.A, c1.B) })
	b.view(func(tx store.ReadTx) error {
		conflicts, err := tx.Conflicts(10)
		return errors.Join(err, differ(conflicts, []store.ConflictRow{c2}))
	})
}
