package sqlite

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

// Next takes n consecutive values of a counter, which begins at 1.
func (t ledgerTx) Next(counter string, n int, atLeast uint64) (uint64, error) {
	next := uint64(1)
	err := t.query("SELECT name, next, sum FROM counters WHERE name=?", func(v row) error { next = uint64(v.int(1)); return check(v) }, counter)
	if err != nil {
		return 0, fmt.Errorf("next value: %w", err)
	}
	first := max(next, atLeast)
	_, err = t.c.exec("INSERT INTO counters (name, next, sum) VALUES (?,?,?) ON CONFLICT DO UPDATE SET next=excluded.next, sum=excluded.sum",
		summed(counter, int64(first)+int64(n))...)
	if err != nil {
		return 0, fmt.Errorf("next value: %w", err)
	}
	return first, nil
}

func (r *reader) directory(digests []exchange.Digest) (map[exchange.Digest]exchange.SubjectID, error) {
	out := make(map[exchange.Digest]exchange.SubjectID, len(digests))
	err := r.query(packed32+"SELECT t.digest, t.key_version, t.subject, t.system, t.sum FROM p CROSS JOIN directory t ON t.digest = "+cut32,
		func(v row) error {
			out[digest(v, 0)] = id16[exchange.SubjectID](v, 2)
			return check(v)
		}, pack32(digests))
	return out, err
}

func (v *view) Directory(digests []exchange.Digest) (map[exchange.Digest]exchange.SubjectID, error) {
	return v.directory(digests)
}

// AddDirectory never changes a row that is there: whoever came first is the
// answer.
func (t sideTx) AddDirectory(rows []store.DirectoryRow) (map[exchange.Digest]exchange.SubjectID, error) {
	if err := t.ready(); err != nil {
		return nil, err
	}
	in := t.c.inserter("INSERT INTO directory (digest, key_version, subject, system, sum) VALUES ", 5, " ON CONFLICT DO NOTHING")
	digests := make([]exchange.Digest, len(rows))
	for i := range rows {
		d := &rows[i]
		digests[i] = d.Digest
		if err := in.add(summed(d.Digest[:], int64(d.KeyVersion), d.Subject[:], d.System)...); err != nil {
			return nil, fmt.Errorf("add to directory: %w", err)
		}
	}
	if err := in.flush(); err != nil {
		return nil, fmt.Errorf("add to directory: %w", err)
	}
	return t.directory(digests)
}

func (v *view) Progress(name string) (int64, bool, error) {
	value, found := int64(0), false
	err := v.query("SELECT name, value, sum FROM progress WHERE name=?", func(r row) error { value, found = r.int(1), true; return check(r) }, name)
	return value, found, err
}

func (t sideTx) SetProgress(name string, value int64) error {
	return t.put("INSERT INTO progress (name, value, sum) VALUES (?,?,?) ON CONFLICT DO UPDATE SET value=excluded.value, sum=excluded.sum",
		summed(name, value))
}

// put runs one statement on a side table.
func (t sideTx) put(query string, args []any) error {
	if err := t.ready(); err != nil {
		return err
	}
	_, err := t.c.exec(query, args...)
	return err
}

func (t sideTx) UseOnce(kind string, id [32]byte, until int64) (bool, error) {
	if err := t.ready(); err != nil {
		return false, err
	}
	n, err := t.c.exec("INSERT INTO used (id, kind, until) VALUES (?,?,?) ON CONFLICT DO NOTHING", id[:], kind, until)
	return n == 1, err
}

// ForgetUsed forgets up to limit ids that were to be remembered until before.
func (t sideTx) ForgetUsed(before int64, limit int) (int, error) {
	if err := t.ready(); err != nil {
		return 0, err
	}
	return t.c.exec("DELETE FROM used WHERE (id, kind) IN (SELECT id, kind FROM used WHERE until<? ORDER BY until LIMIT ?)", before, limited(limit))
}

func (v *view) ClientKeys() ([]store.ClientKey, error) {
	return collect(&v.reader, "SELECT client_id, key_id, system, jwk, added_at, sum FROM client_keys ORDER BY client_id, key_id",
		func(r row) (store.ClientKey, error) {
			return store.ClientKey{ClientID: r.text(0), KeyID: r.text(1), System: exchange.SystemID(r.text(2)), JWK: r.blob(3), AddedAt: r.int(4)}, check(r)
		})
}

func (t sideTx) PutClientKey(k store.ClientKey) error {
	return t.put("INSERT INTO client_keys (client_id, key_id, system, jwk, added_at, sum) VALUES (?,?,?,?,?,?) ON CONFLICT DO UPDATE"+
		" SET system=excluded.system, jwk=excluded.jwk, added_at=excluded.added_at, sum=excluded.sum",
		summed(k.ClientID, k.KeyID, string(k.System), full(k.JWK), k.AddedAt))
}

const checkpointColumns = "SELECT size, root, note, at, sum FROM checkpoints"

func readCheckpoint(v row) (store.CheckpointRow, error) {
	return store.CheckpointRow{Size: uint64(v.int(0)), Root: digest(v, 1), Note: v.blob(2), At: v.int(3)}, check(v)
}

func (v *view) LatestCheckpoint() (store.CheckpointRow, error) {
	return single(&v.reader, checkpointColumns+" ORDER BY size DESC LIMIT 1", readCheckpoint)
}

func (v *view) Checkpoint(size uint64) (store.CheckpointRow, error) {
	return single(&v.reader, checkpointColumns+" WHERE size=?", readCheckpoint, int64(size))
}

// PutCheckpoint keeps one root per size; the same root again replaces the note.
func (t sideTx) PutCheckpoint(p store.CheckpointRow) error {
	if err := t.ready(); err != nil {
		return err
	}
	n, err := t.c.exec("INSERT INTO checkpoints (size, root, note, at, sum) VALUES (?,?,?,?,?) ON CONFLICT (size) DO UPDATE"+
		" SET note=excluded.note, at=excluded.at, sum=excluded.sum WHERE root=excluded.root",
		summed(int64(p.Size), p.Root[:], full(p.Note), p.At)...)
	if err == nil && n == 0 {
		err = fmt.Errorf("checkpoint of size %d has another root: %w", p.Size, store.ErrConflict)
	}
	return err
}

func (v *view) Conflicts(limit int) ([]store.ConflictRow, error) {
	return collect(&v.reader, "SELECT a, b, record, seen_at, sum FROM conflicts ORDER BY seen_at, a, b LIMIT ?", func(r row) (store.ConflictRow, error) {
		return store.ConflictRow{A: id16[exchange.SubjectID](r, 0), B: id16[exchange.SubjectID](r, 1), Record: id16[exchange.RecordID](r, 2),
			SeenAt: r.int(3)}, check(r)
	}, limited(limit))
}

// PutConflicts keeps where a conflict was seen first.
func (t sideTx) PutConflicts(rows []store.ConflictRow) error {
	for i := range rows {
		c := &rows[i]
		err := t.put("INSERT INTO conflicts (a, b, record, seen_at, sum) VALUES (?,?,?,?,?) ON CONFLICT (a, b) DO NOTHING",
			summed(c.A[:], c.B[:], c.Record[:], c.SeenAt))
		if err != nil {
			return fmt.Errorf("put conflicts: %w", err)
		}
	}
	return nil
}

func (t sideTx) DeleteConflict(a, b exchange.SubjectID) error {
	return t.put("DELETE FROM conflicts WHERE a=? AND b=?", []any{a[:], b[:]})
}

func (v *view) Evidence(id exchange.ConsentID) ([]byte, error) {
	return single(&v.reader, "SELECT consent, sealed, sum FROM evidence WHERE consent=?", func(r row) ([]byte, error) { return r.blob(1), check(r) }, id[:])
}

func (t sideTx) PutEvidence(id exchange.ConsentID, sealed []byte) error {
	return t.put("INSERT INTO evidence (consent, sealed, sum) VALUES (?,?,?) ON CONFLICT DO UPDATE SET sealed=excluded.sealed, sum=excluded.sum",
		summed(id[:], full(sealed)))
}

func (v *view) Suspects() (map[exchange.RecordID]int, error) {
	out := map[exchange.RecordID]int{}
	err := v.query("SELECT record, n, sum FROM suspects", func(r row) error {
		out[id16[exchange.RecordID](r, 0)] = int(r.int(1))
		return check(r)
	})
	return out, err
}

func (t sideTx) PutSuspects(counts map[exchange.RecordID]int) error {
	records := slices.SortedFunc(maps.Keys(counts), func(a, b exchange.RecordID) int { return bytes.Compare(a[:], b[:]) })
	for _, id := range records {
		var err error
		if n := counts[id]; n == 0 {
			err = t.put("DELETE FROM suspects WHERE record=?", []any{id[:]})
		} else {
			err = t.put("INSERT INTO suspects (record, n, sum) VALUES (?,?,?) ON CONFLICT DO UPDATE SET n=excluded.n, sum=excluded.sum",
				summed(id[:], int64(n)))
		}
		if err != nil {
			return fmt.Errorf("put suspects: %w", err)
		}
	}
	return nil
}
