package ledger

import (
	"golang.org/x/mod/sumdb/tlog"
)

// hashSource reads stored hashes by tlog index.
type hashSource interface {
	Hashes(indexes []int64) ([][32]byte, error)
}

// tree appends leaves and keeps the right edge in memory. The edge is only
// trusted while the ledger has the size this replica left it at; otherwise it
// is read again under the lock.
type tree struct {
	size  int64
	edge  map[int64]tlog.Hash
	extra map[int64]tlog.Hash // of the transaction under way
}

func newTree() *tree { return &tree{edge: map[int64]tlog.Hash{}, extra: map[int64]tlog.Hash{}} }

// append gives the hashes that the leaf adds to a tree of n leaves.
func (t *tree) append(src hashSource, n int64, leaf []byte) ([][32]byte, error) {
	if t.size != n {
		t.reset(n)
	}
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) { return t.read(src, indexes) })
	hashes, err := tlog.StoredHashes(n, leaf, reader)
	if err != nil {
		return nil, err
	}
	out := make([][32]byte, len(hashes))
	at := tlog.StoredHashIndex(0, n)
	for i, h := range hashes {
		out[i] = h
		t.extra[at+int64(i)] = h
	}
	t.size = n + 1
	return out, nil
}

func (t *tree) reset(n int64) {
	t.size = n
	clear(t.edge)
	clear(t.extra)
}

func (t *tree) read(src hashSource, indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	var missing []int64
	for i, x := range indexes {
		if h, ok := t.extra[x]; ok {
			out[i] = h
		} else if h, ok := t.edge[x]; ok {
			out[i] = h
		} else {
			missing = append(missing, x)
		}
	}
	if len(missing) == 0 {
		return out, nil
	}
	got, err := src.Hashes(missing)
	if err != nil {
		return nil, err
	}
	for j, x := range missing {
		t.edge[x] = got[j]
	}
	for i, x := range indexes {
		if h, ok := t.edge[x]; ok {
			out[i] = h
		}
	}
	return out, nil
}

// settle keeps what a later append can need and forgets the rest: the last
// complete subtree of every level.
func (t *tree) settle() {
	keep := make(map[int64]tlog.Hash, 64)
	n := t.size
	for level, at := 0, n; at > 0; level, at = level+1, at>>1 {
		x := tlog.StoredHashIndex(level, at-1)
		if h, ok := t.extra[x]; ok {
			keep[x] = h
		} else if h, ok := t.edge[x]; ok {
			keep[x] = h
		}
	}
	t.edge = keep
	clear(t.extra)
}
