package storetest

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

// writers and rounds of every competition.
const (
	writers = 8
	rounds  = 25
)

// compete runs rounds of fn by several writers, spread over two stores where
// the engine is shared.
func compete(t *testing.T, e Engine, b *bench, fn func(s store.Store, writer, round int) error) {
	t.Helper()
	stores := [2]store.Store{b.s, b.another(e)}
	need(t, together(t, writers, func(w int) error {
		for r := range rounds {
			if err := fn(stores[w%2], w, r); err != nil {
				return err
			}
		}
		return nil
	}))
}

func testCompetingCounters(t *testing.T, e Engine) {
	b := start(t, e)
	var taken [writers*rounds*3 + 1]atomic.Int32
	compete(t, e, b, func(s store.Store, _, _ int) error {
		return s.Ledger(context.Background(), func(tx store.LedgerTx) error {
			first, err := tx.Next("test", 3, 0)
			if err != nil || first == 0 || first+2 >= uint64(len(taken)) {
				return errors.Join(err, differ(first, "in range"))
			}
			for i := range uint64(3) {
				if taken[first+i].Add(1) != 1 {
					return errors.New("a value was given twice")
				}
			}
			return nil
		})
	})
}

// testCompetingCursors: each writer reads the cursor in one transaction and
// moves it in another, so that most meet a conflict; no move may be lost.
func testCompetingCursors(t *testing.T, e Engine) {
	b := start(t, e)
	key := cursorKey(1, 1)
	var moved, refused atomic.Int64
	compete(t, e, b, func(s store.Store, _, _ int) error {
		for {
			at := exchange.Start()
			err := s.Ledger(context.Background(), func(tx store.LedgerTx) error {
				c, err := tx.Cursors([]store.CursorKey{key})
				if p, ok := c[key]; ok {
					at = p.Position
				}
				return err
			})
			if err != nil {
				return err
			}
			err = s.Ledger(context.Background(), func(tx store.LedgerTx) error {
				return tx.MoveCursors([]store.CursorMove{{Key: key, Expect: at, To: cursorAt(at.Offset+1, 1)}})
			})
			if errors.Is(err, store.ErrConflict) {
				refused.Add(1)
				continue
			}
			moved.Add(1)
			return err
		}
	})
	b.view(func(tx store.ReadTx) error {
		c, err := tx.AllCursors()
		return errors.Join(err, differ(c[key].Offset, int64(writers*rounds-1)), differ(moved.Load(), int64(writers*rounds)))
	})
	t.Logf("%d moves, %d conflicts", moved.Load(), refused.Load())
}

func testCompetingEpochs(t *testing.T, e Engine) {
	b := start(t, e)
	var seen [writers*rounds + 1]atomic.Int32
	compete(t, e, b, func(s store.Store, _, _ int) error {
		return s.Ledger(context.Background(), func(tx store.LedgerTx) error {
			m, err := tx.BumpEpochs([]store.LaneKey{lane(1)})
			if n := m[lane(1)]; err == nil && (n == 0 || n >= uint64(len(seen)) || seen[n].Add(1) != 1) {
				return errors.New("an epoch was given twice")
			}
			return err
		})
	})
}

func testCompetingAppends(t *testing.T, e Engine) {
	b := start(t, e)
	compete(t, e, b, func(s store.Store, w, r int) error {
		return s.Ledger(context.Background(), func(tx store.LedgerTx) error {
			_, err := Append(tx, ClaimEntry(w*rounds+r, 1))
			return err
		})
	})
	b.view(func(tx store.ReadTx) error {
		all, err := tx.Entries(0, 2*writers*rounds)
		for i, got := range all {
			err = errors.Join(err, differ(got.Seq, uint64(i)))
		}
		return errors.Join(err, differ(len(all), writers*rounds))
	})
}

// testWithdrawal is the promise of the claim: consents read inside it are the
// newest committed. Claimants claim as long as the consent permits; after the
// withdrawal is acknowledged none may stand behind it in the ledger.
func testWithdrawal(t *testing.T, e Engine) {
	b := start(t, e)
	b.ledger(func(tx store.LedgerTx) error {
		seq, err := Append(tx, exchange.Entry{ID: entryID(1), Kind: exchange.KindConsent})
		return errors.Join(err, tx.PutConsents([]store.ConsentRow{consentRow(1, 1, seq)}))
	})
	errWithheld := errors.New("the consent does not permit")
	claim := func(s store.Store, n int) error {
		return s.Ledger(context.Background(), func(tx store.LedgerTx) error {
			rows, err := tx.Consents(subjects(1))
			if err != nil || len(rows) != 1 {
				return errors.Join(err, differ(len(rows), 1))
			}
			if !rows[0].Permits {
				return errWithheld
			}
			_, err = Append(tx, ClaimEntry(n, 1))
			return err
		})
	}
	withdraw := func(s store.Store) error {
		return s.Ledger(context.Background(), func(tx store.LedgerTx) error {
			seq, err := Append(tx, exchange.Entry{ID: entryID(2), Kind: exchange.KindConsent})
			row := consentRow(1, 1, seq)
			row.Permits, row.Status = false, "withdrawn"
			return errors.Join(err, tx.PutConsents([]store.ConsentRow{row}))
		})
	}
	var acknowledged atomic.Bool
	compete(t, e, b, func(s store.Store, w, r int) error {
		if w == 0 && r == rounds/2 {
			if err := withdraw(s); err != nil {
				return err
			}
			acknowledged.Store(true)
			return nil
		}
		after := acknowledged.Load()
		err := claim(s, 1000+w*rounds+r)
		switch {
		case err == nil && after:
			return errors.New("claimed after the withdrawal was acknowledged")
		case errors.Is(err, errWithheld):
			return nil
		}
		return err
	})
	b.view(func(tx store.ReadTx) error {
		all, err := tx.Entries(0, 10000)
		withdrawn := false
		for _, got := range all {
			leaf, e := exchange.DecodeLeaf(got.Leaf)
			if e != nil {
				return e
			}
			if withdrawn && leaf.Kind == exchange.KindClaim {
				return errors.New("a claim stands behind the withdrawal")
			}
			withdrawn = withdrawn || leaf.ID == entryID(2)
		}
		return errors.Join(err, differ(withdrawn, true))
	})
}

func testCompetingDirectory(t *testing.T, e Engine) {
	b := start(t, e)
	won := make([]map[exchange.Digest]exchange.SubjectID, writers)
	stores := [2]store.Store{b.s, b.another(e)}
	need(t, together(t, writers, func(w int) error {
		rows := make([]store.DirectoryRow, 40)
		for i := range rows {
			rows[i] = store.DirectoryRow{Digest: digest(i + w), KeyVersion: 1, Subject: subject(w*100 + i), System: "CF"}
		}
		return stores[w%2].Side(context.Background(), func(tx store.SideTx) (err error) {
			won[w], err = tx.AddDirectory(rows)
			return errors.Join(err, differ(len(won[w]), len(rows)))
		})
	}))
	b.view(func(tx store.ReadTx) error {
		for _, m := range won {
			for d, s := range m {
				now, err := tx.Directory([]exchange.Digest{d})
				if err := errors.Join(err, differ(now, map[exchange.Digest]exchange.SubjectID{d: s})); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func testCompetingUseOnce(t *testing.T, e Engine) {
	b := start(t, e)
	var first [rounds]atomic.Int32
	compete(t, e, b, func(s store.Store, _, r int) error {
		return s.Side(context.Background(), func(tx store.SideTx) error {
			ok, err := tx.UseOnce("test", digest(r), 100)
			if ok {
				first[r].Add(1)
			}
			return err
		})
	})
	for r := range first {
		equal(t, first[r].Load(), int32(1))
	}
}
