package storetest

import (
	"context"
	"errors"
	"testing"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

func testCursors(t *testing.T, e Engine) {
	b := start(t, e)
	key, other := cursorKey(1, 1), cursorKey(1, 2)
	move := func(k store.CursorKey, from exchange.Position, to store.Cursor) error {
		return b.s.Ledger(context.Background(), func(tx store.LedgerTx) error {
			return tx.MoveCursors([]store.CursorMove{{Key: k, Expect: from, To: to}})
		})
	}
	isErr(t, move(key, position(4), cursorAt(5, 1)), store.ErrConflict)
	need(t, move(key, exchange.Start(), cursorAt(5, 1)))
	isErr(t, move(key, exchange.Start(), cursorAt(9, 1)), store.ErrConflict)
	part := store.Cursor{Position: exchange.Position{Offset: 5, Passed: 3}, Frame: frame(2)}
	need(t, move(key, position(5), part))
	isErr(t, move(key, position(5), cursorAt(9, 1)), store.ErrConflict)
	// one conflict undoes the other moves of its transaction
	err := b.s.Ledger(context.Background(), func(tx store.LedgerTx) error {
		return tx.MoveCursors([]store.CursorMove{{Key: other, Expect: exchange.Start(), To: cursorAt(1, 1)}, {Key: key, Expect: position(1), To: cursorAt(9, 9)}})
	})
	isErr(t, err, store.ErrConflict)
	b.reopen()
	b.view(func(tx store.ReadTx) error {
		all, err := tx.AllCursors()
		return errors.Join(err, differ(all, map[store.CursorKey]store.Cursor{key: part}))
	})
	need(t, move(key, part.Position, cursorAt(6, 3)))
	b.ledger(func(tx store.LedgerTx) error {
		some, err := tx.Cursors([]store.CursorKey{key, other})
		return errors.Join(err, differ(some, map[store.CursorKey]store.Cursor{key: cursorAt(6, 3)}))
	})
}

func testEpochs(t *testing.T, e Engine) {
	b := start(t, e)
	bulk := store.LaneKey{Class: exchange.ClassBulk, Lane: 1}
	b.ledger(func(tx store.LedgerTx) error {
		got, err := tx.BumpEpochs([]store.LaneKey{lane(1), bulk})
		again, err2 := tx.BumpEpochs([]store.LaneKey{lane(1)})
		return errors.Join(err, err2, differ(got, map[store.LaneKey]uint64{lane(1): 1, bulk: 1}), differ(again, map[store.LaneKey]uint64{lane(1): 2}))
	})
	b.reopen()
	b.ledger(func(tx store.LedgerTx) error {
		got, err := tx.Epochs([]store.LaneKey{lane(1), bulk, lane(7)})
		return errors.Join(err, differ(got, map[store.LaneKey]uint64{lane(1): 2, bulk: 1}))
	})
}

func testClaims(t *testing.T, e Engine) {
	b := start(t, e)
	first, second := ClaimOf(3, ClaimEntry(1, 500)), ClaimOf(8, ClaimEntry(2, 1))
	second.Fetch, second.Lanes = true, nil
	second.Rows[0].Subjects = subjects(1, 2, 3)
	second.Rows[0].Basis = []uint64{0, 7, 1 << 60}
	second.Rows[0].Waiting = store.RowID(5, 3)
	second.Rows[0].Flow = flow(9)
	empty := store.Claim{Seq: 9, System: system(3), At: 4}
	b.ledger(func(tx store.LedgerTx) error { return tx.PutClaims([]store.Claim{second, first, empty}) })
	b.reopen()
	b.view(func(tx store.ReadTx) error {
		all, err := tx.OpenClaims()
		return errors.Join(err, differ(all, []store.Claim{first, second, empty}))
	})
	b.ledger(func(tx store.LedgerTx) error {
		first.Rows[0].Mark, first.Rows = exchange.MarkYes, first.Rows[:2]
		some, err := tx.Claims([]uint64{8, 4})
		return errors.Join(err, differ(some, []store.Claim{second}), tx.PutClaims([]store.Claim{first}), tx.CloseClaims([]uint64{8}))
	})
	b.ledger(func(tx store.LedgerTx) error {
		all, err := tx.OpenClaims()
		return errors.Join(err, differ(all, []store.Claim{first, empty}))
	})
}

func testCounters(t *testing.T, e Engine) {
	b := start(t, e)
	b.ledger(func(tx store.LedgerTx) error {
		a, err := tx.Next("a", 1, 0)
		a2, err2 := tx.Next("a", 10, 1)
		a3, err3 := tx.Next("a", 1, 5)
		other, err4 := tx.Next("b", 1, 1000)
		return errors.Join(err, err2, err3, err4, differ([]uint64{a, a2, a3, other}, []uint64{1, 2, 12, 1000}))
	})
	b.reopen()
	b.ledger(func(tx store.LedgerTx) error {
		a, err := tx.Next("a", 2, 1_700_000_000_000)
		a2, err2 := tx.Next("a", 1, 0)
		other, err3 := tx.Next("b", 1, 0)
		return errors.Join(err, err2, err3, differ([]uint64{a, a2, other}, []uint64{1_700_000_000_000, 1_700_000_000_002, 1001}))
	})
}
