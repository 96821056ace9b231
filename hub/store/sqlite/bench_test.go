package sqlite_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
	"raccordo/hub/store/sqlite"
	"raccordo/hub/store/storetest"
)

func openBench(b *testing.B) *sqlite.Store {
	s, err := sqlite.Open(context.Background(), sqlite.Options{Dir: b.TempDir(), Rand: rand.Reader})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s
}

// BenchmarkClaimSettle is what a parcel of 500 records costs: one ledger
// transaction for the claim, one for the settle that moves the cursor. With
// more parcels a transaction holds as many entries, as the committer does.
func BenchmarkClaimSettle(b *testing.B) {
	for _, parcels := range []int{1, 4, 16} {
		b.Run(fmt.Sprintf("parcels=%d", parcels), func(b *testing.B) {
			s := openBench(b)
			ctx := context.Background()
			entries, settles := make([]exchange.Entry, parcels), make([]exchange.Entry, parcels)
			for i := range entries {
				entries[i] = storetest.ClaimEntry(i, 500)
				settles[i] = storetest.ClaimEntry(i, 500)
				settles[i].Kind = exchange.KindSettle
			}
			at := exchange.Start()
			records := 0
			for b.Loop() {
				claims := make([]store.Claim, parcels)
				seqs := make([]uint64, parcels)
				err := s.Ledger(ctx, func(tx store.LedgerTx) error {
					first, err := storetest.Append(tx, fresh(entries)...)
					for i := range claims {
						seqs[i] = first + uint64(i)
						claims[i] = storetest.ClaimOf(seqs[i], entries[i])
					}
					return errors.Join(err, tx.PutClaims(claims))
				})
				if err != nil {
					b.Fatal(err)
				}
				err = s.Ledger(ctx, func(tx store.LedgerTx) error {
					open, err := tx.Claims(seqs)
					if err != nil || len(open) != parcels {
						return errors.Join(err, store.ErrNotFound)
					}
					_, err = storetest.Append(tx, fresh(settles)...)
					to := store.Cursor{Position: exchange.Position{Offset: at.Offset + 1}}
					return errors.Join(err, tx.CloseClaims(seqs), tx.MoveCursors([]store.CursorMove{{Key: store.CursorKey{System: "test_system_1",
						LaneKey: store.LaneKey{Class: exchange.ClassPrompt, Lane: 1}}, Expect: at, To: to}}))
				})
				if err != nil {
					b.Fatal(err)
				}
				at.Offset++
				records += 500 * parcels
			}
			b.ReportMetric(float64(records)/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(2*float64(records)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// fresh gives entries new ids.
func fresh(entries []exchange.Entry) []exchange.Entry {
	for i := range entries {
		_, _ = rand.Read(entries[i].ID[:])
	}
	return entries
}

func BenchmarkSide(b *testing.B) {
	const n = 500
	run := func(name string, fn func(tx store.SideTx, ids [][32]byte, round int) error) {
		b.Run(name, func(b *testing.B) {
			s := openBench(b)
			ids := make([][32]byte, n)
			rows := 0
			for b.Loop() {
				for i := range ids {
					_, _ = rand.Read(ids[i][:])
				}
				if err := s.Side(context.Background(), func(tx store.SideTx) error { return fn(tx, ids, rows) }); err != nil {
					b.Fatal(err)
				}
				rows += n
			}
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
		})
	}
	status := make([]store.StatusRow, n)
	run("PutStatus/new", func(tx store.SideTx, ids [][32]byte, _ int) error {
		for i := range status {
			status[i] = store.StatusRow{Record: exchange.RecordID(ids[i][:16]), Flow: 7, State: exchange.StatePending}
		}
		return tx.PutStatus(status)
	})
	run("PutStatus/life", func(tx store.SideTx, ids [][32]byte, _ int) error { // four states of one record
		for step, state := range []exchange.State{exchange.StatePending, exchange.StateClaimed, exchange.StateDelivered} {
			for i := range status {
				status[i] = store.StatusRow{Record: exchange.RecordID(ids[i][:16]), Flow: 7, State: state, Seq: uint64(step)}
			}
			if err := tx.PutStatus(status); err != nil {
				return err
			}
		}
		return nil
	})
	records := make([]store.RecordRow, n)
	run("PutRecords", func(tx store.SideTx, ids [][32]byte, _ int) error {
		for i := range records {
			records[i] = store.RecordRow{Record: exchange.RecordID(ids[i][:16]), Producer: "test_system", Type: "service_request", Flows: []exchange.FlowID{"test_flow"}}
		}
		return tx.PutRecords(records)
	})
	directory := make([]store.DirectoryRow, n)
	run("AddDirectory", func(tx store.SideTx, ids [][32]byte, _ int) error {
		for i := range directory {
			directory[i] = store.DirectoryRow{Digest: ids[i], KeyVersion: 1, Subject: exchange.SubjectID(ids[i][:16]), System: "CF"}
		}
		won, err := tx.AddDirectory(directory)
		if len(won) != n {
			return errors.Join(err, store.ErrNotFound)
		}
		return err
	})
	keys := make([]store.KeyRow, n)
	run("PutKeys", func(tx store.SideTx, ids [][32]byte, round int) error {
		for i := range keys {
			keys[i] = store.KeyRow{System: "test_system", KeyMAC: ids[i], ReceivedAt: int64(round + i)}
		}
		return tx.PutKeys(keys)
	})
}

// BenchmarkFacts reads the consents of 500 subjects among many.
func BenchmarkFacts(b *testing.B) {
	s := openBench(b)
	subjects := make([]exchange.SubjectID, 100_000)
	for from := 0; from < len(subjects); from += 1000 {
		rows := make([]store.ConsentRow, 1000)
		for i := range rows {
			_, _ = rand.Read(subjects[from+i][:])
			rows[i] = store.ConsentRow{Subject: subjects[from+i], Purpose: "p", Body: "b", Role: "r", Status: "given", Permits: true, Event: make([]byte, 400)}
			_, _ = rand.Read(rows[i].Consent[:])
		}
		if err := s.Ledger(context.Background(), func(tx store.LedgerTx) error { return tx.PutConsents(rows) }); err != nil {
			b.Fatal(err)
		}
	}
	at := 0
	for b.Loop() {
		at = (at + 500) % (len(subjects) - 500)
		err := s.View(context.Background(), func(tx store.ReadTx) error {
			rows, err := tx.Consents(subjects[at : at+500])
			if len(rows) != 500 {
				return errors.Join(err, store.ErrNotFound)
			}
			_, err2 := tx.Links(subjects[at : at+500])
			_, err3 := tx.Dossiers(subjects[at : at+500])
			return errors.Join(err, err2, err3)
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMailbox is 500 records through a queue: put, found, claimed,
// acknowledged.
func BenchmarkMailbox(b *testing.B) {
	s := openBench(b)
	ctx := context.Background()
	rows := make([]store.WaitingRow, 500)
	ids := make([]uint64, len(rows))
	n, id := 0, uint64(1)
	for b.Loop() {
		for i := range rows {
			rows[i] = store.WaitingRow{ID: id, Flow: "test_flow", System: "test_system", Event: store.EventFetch, State: store.WaitingIdle, Deadline: 1 << 40,
				Header: make([]byte, 400), Sealed: make([]byte, 1500)}
			_, _ = rand.Read(rows[i].Principal[:])
			_, _ = rand.Read(rows[i].Disclosure[:])
			ids[i] = id
			id++
		}
		err := s.Ledger(ctx, func(tx store.LedgerTx) error { return tx.PutWaiting(rows) })
		if err == nil {
			err = s.View(ctx, func(tx store.ReadTx) error {
				got, err := tx.Fetchable(store.WaitingQuery{System: "test_system", Limit: 500})
				if len(got) != len(rows) {
					return errors.Join(err, store.ErrNotFound)
				}
				return err
			})
		}
		for i := range rows {
			rows[i].State, rows[i].Claim = store.WaitingClaimed, 5
		}
		if err == nil {
			err = s.Ledger(ctx, func(tx store.LedgerTx) error { return tx.UpdateWaiting(rows) })
		}
		if err == nil {
			err = s.Ledger(ctx, func(tx store.LedgerTx) error { return tx.DeleteWaiting(ids) })
		}
		if err != nil {
			b.Fatal(err)
		}
		n += len(rows)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
}
