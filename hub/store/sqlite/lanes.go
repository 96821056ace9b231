package sqlite

import (
	"fmt"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

const cursorColumns = "SELECT system, class, lane, offset, passed, frame, sum FROM cursors"

func (r *reader) cursors(out map[store.CursorKey]store.Cursor, query string, args ...any) error {
	return r.query(query, func(v row) error {
		key := store.CursorKey{System: exchange.SystemID(v.text(0)), LaneKey: store.LaneKey{Class: exchange.Class(v.int(1)), Lane: uint16(v.int(2))}}
		out[key] = store.Cursor{Position: exchange.Position{Offset: v.int(3), Passed: uint32(v.int(4))}, Frame: id16[exchange.FrameID](v, 5)}
		return check(v)
	}, args...)
}

// AllCursors are the cursors of every recipient in every lane.
func (v *view) AllCursors() (map[store.CursorKey]store.Cursor, error) {
	out := map[store.CursorKey]store.Cursor{}
	return out, v.cursors(out, cursorColumns)
}

// Cursors of keys; one that was never moved is not in the answer.
func (t ledgerTx) Cursors(keys []store.CursorKey) (map[store.CursorKey]store.Cursor, error) {
	out := make(map[store.CursorKey]store.Cursor, len(keys))
	for _, k := range keys {
		if err := t.cursors(out, cursorColumns+" WHERE system=? AND class=? AND lane=?", string(k.System), int64(k.Class), int64(k.Lane)); err != nil {
			return nil, fmt.Errorf("read cursors: %w", err)
		}
	}
	return out, nil
}

// MoveCursors compares and sets; a cursor never moved stands at the start.
func (t ledgerTx) MoveCursors(moves []store.CursorMove) error {
	if err := t.ready(); err != nil {
		return err
	}
	for i := range moves {
		m := &moves[i]
		args := summed(string(m.Key.System), int64(m.Key.Class), int64(m.Key.Lane), m.To.Offset, int64(m.To.Passed), m.To.Frame[:])
		n, err := t.c.exec("UPDATE cursors SET offset=?4, passed=?5, frame=?6, sum=?7 WHERE system=?1 AND class=?2 AND lane=?3"+
			" AND offset=?8 AND passed=?9", append(args, m.Expect.Offset, int64(m.Expect.Passed))...)
		if err == nil && n == 0 && m.Expect == exchange.Start() {
			n, err = t.c.exec("INSERT INTO cursors (system, class, lane, offset, passed, frame, sum) VALUES (?,?,?,?,?,?,?) ON CONFLICT DO NOTHING", args...)
		}
		if err == nil && n == 0 {
			err = store.ErrConflict
		}
		if err != nil {
			return fmt.Errorf("move cursors: %w", err)
		}
	}
	return nil
}

// Epochs of lanes; one that was never taken is not in the answer.
func (t ledgerTx) Epochs(lanes []store.LaneKey) (map[store.LaneKey]uint64, error) {
	out := make(map[store.LaneKey]uint64, len(lanes))
	for _, l := range lanes {
		err := t.query("SELECT class, lane, epoch, sum FROM lanes WHERE class=? AND lane=?", func(v row) error {
			out[l] = uint64(v.int(2))
			return check(v)
		}, int64(l.Class), int64(l.Lane))
		if err != nil {
			return nil, fmt.Errorf("read epochs: %w", err)
		}
	}
	return out, nil
}

func (t ledgerTx) BumpEpochs(lanes []store.LaneKey) (map[store.LaneKey]uint64, error) {
	out, err := t.Epochs(lanes)
	if err != nil {
		return nil, err
	}
	for _, l := range lanes {
		out[l]++
		_, err := t.c.exec("INSERT INTO lanes (class, lane, epoch, sum) VALUES (?,?,?,?) ON CONFLICT DO UPDATE SET epoch=excluded.epoch, sum=excluded.sum",
			summed(int64(l.Class), int64(l.Lane), int64(out[l]))...)
		if err != nil {
			return nil, fmt.Errorf("bump epochs: %w", err)
		}
	}
	return out, nil
}

const claimColumns = "SELECT seq, system, fetch, at, body, sum FROM claims"

func readClaim(v row) (store.Claim, error) {
	c := store.Claim{Seq: uint64(v.int(0)), System: exchange.SystemID(v.text(1)), Fetch: v.int(2) != 0, At: v.int(3)}
	if err := check(v); err != nil {
		return c, err
	}
	return c, decodeClaim(&c, v.blob(4))
}

// OpenClaims are all that are not settled, oldest first.
func (r *reader) OpenClaims() ([]store.Claim, error) {
	return collect(r, claimColumns+" ORDER BY seq", readClaim)
}

// Claims are those of seqs that are open, oldest first.
func (t ledgerTx) Claims(seqs []uint64) ([]store.Claim, error) {
	var out []store.Claim
	err := t.ints(claimColumns+" WHERE seq", " ORDER BY seq", toInts(seqs), func(v row) error {
		c, err := readClaim(v)
		out = append(out, c)
		return err
	})
	return out, err
}

// PutClaims opens claims, or replaces what is known of open ones.
func (t ledgerTx) PutClaims(claims []store.Claim) error {
	if err := t.ready(); err != nil {
		return err
	}
	for i := range claims {
		c := &claims[i]
		body, err := appendClaim(nil, c)
		if err == nil {
			_, err = t.c.exec("INSERT INTO claims (seq, system, fetch, at, body, sum) VALUES (?,?,?,?,?,?) ON CONFLICT DO UPDATE"+
				" SET system=excluded.system, fetch=excluded.fetch, at=excluded.at, body=excluded.body, sum=excluded.sum",
				summed(int64(c.Seq), string(c.System), bit(c.Fetch), c.At, body)...)
		}
		if err != nil {
			return fmt.Errorf("put claims: %w", err)
		}
	}
	return nil
}

func (t ledgerTx) CloseClaims(seqs []uint64) error {
	return t.deleteByID("DELETE FROM claims WHERE seq=?", seqs)
}

func (t ledgerTx) deleteByID(query string, ids []uint64) error {
	if err := t.ready(); err != nil {
		return err
	}
	for _, id := range ids {
		if _, err := t.c.exec(query, int64(id)); err != nil {
			return err
		}
	}
	return nil
}
