package sqlite

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

// Hashes gives stored tree hashes in the order asked for; one that is not
// there is [store.ErrNotFound].
func (r *reader) Hashes(indexes []int64) ([][32]byte, error) {
	found := make(map[int64][32]byte, len(indexes))
	err := r.ints("SELECT idx, hash, sum FROM hashes WHERE idx", "", toInts(indexes), func(v row) error {
		found[v.int(0)] = digest(v, 1)
		return check(v)
	})
	if err != nil {
		return nil, fmt.Errorf("read hashes: %w", err)
	}
	out := make([][32]byte, len(indexes))
	for i, x := range indexes {
		h, ok := found[x]
		if !ok {
			return nil, fmt.Errorf("hash %d: %w", x, store.ErrNotFound)
		}
		out[i] = h
	}
	return out, nil
}

func (r *reader) EntryByID(id exchange.EntryID) (uint64, error) {
	seq := uint64(0)
	err := r.one("SELECT seq FROM entries WHERE id=?", func(v row) error { seq = uint64(v.int(0)); return nil }, id[:])
	return seq, err
}

func readEntry(v row) (store.StoredEntry, error) {
	e := store.StoredEntry{Seq: uint64(v.int(0)), ID: id16[exchange.EntryID](v, 1), Leaf: v.blob(2), Rows: v.blob(3), Fact: v.blob(4)}
	return e, check(v)
}

func (r *reader) entries(from uint64, max int) ([]store.StoredEntry, error) {
	return collect(r, "SELECT seq, id, leaf, rows, fact, sum FROM entries WHERE seq>=? ORDER BY seq LIMIT ?", readEntry, int64(from), int64(max))
}

// Entries are up to max entries from a sequence on.
func (v *view) Entries(from uint64, max int) ([]store.StoredEntry, error) {
	return v.entries(from, max)
}

// Append adds entries that follow each other and the head. It refuses, with
// [store.ErrConflict], what does not fit: a gap, a head of another size or hub,
// a number of tree hashes that is not the one such an entry adds.
func (t ledgerTx) Append(entries []store.Appended, head store.Head) error {
	now, err := t.Head()
	if err != nil {
		return err
	}
	if head.Hub != t.hub || head.Size != now.Size+uint64(len(entries)) {
		return fmt.Errorf("append: head does not follow: %w", store.ErrConflict)
	}
	rows := t.c.inserter("INSERT INTO entries (seq, id, leaf, rows, fact, sum) VALUES ", 6, "")
	hashes := t.c.inserter("INSERT INTO hashes (idx, hash, sum) VALUES ", 3, "")
	for i := range entries {
		e := &entries[i]
		seq := int64(now.Size) + int64(i)
		first := tlog.StoredHashCount(seq)
		if int64(e.Entry.Seq) != seq || int64(len(e.Hashes)) != tlog.StoredHashCount(seq+1)-first {
			return fmt.Errorf("append: entry %d does not follow: %w", e.Entry.Seq, store.ErrConflict)
		}
		if err := rows.add(summed(seq, e.Entry.ID[:], full(e.Leaf), full(e.Rows), full(e.Entry.Fact))...); err != nil {
			return fmt.Errorf("append: %w", err)
		}
		for j := range e.Hashes {
			if err := hashes.add(summed(first+int64(j), e.Hashes[j][:])...); err != nil {
				return fmt.Errorf("append: %w", err)
			}
		}
	}
	if err := rows.flush(); err != nil {
		return fmt.Errorf("append: %w", err)
	}
	if err := hashes.flush(); err != nil {
		return fmt.Errorf("append: %w", err)
	}
	return putHead(t.c, head)
}
