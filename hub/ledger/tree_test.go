package ledger

import (
	"errors"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

// recompute makes all hashes of a tree from the leaves alone.
func recompute(t interface{ Fatal(...any) }, leaves [][]byte) []tlog.Hash {
	var all []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			out[i] = all[x]
		}
		return out, nil
	})
	for n, leaf := range leaves {
		h, err := tlog.StoredHashes(int64(n), leaf, reader)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, h...)
	}
	return all
}

// sameTree compares every stored hash with one recomputed from the leaves.
func sameTree(t testing.TB, r *rig) {
	t.Helper()
	var leaves [][]byte
	for _, e := range r.entries() {
		leaves = append(leaves, e.Leaf)
	}
	want := recompute(t, leaves)
	r.view(func(tx store.ReadTx) error {
		indexes := make([]int64, len(want))
		for i := range indexes {
			indexes[i] = int64(i)
		}
		got, err := tx.Hashes(indexes)
		if err != nil {
			return err
		}
		for i := range want {
			if tlog.Hash(got[i]) != want[i] {
				t.Fatalf("stored hash %d of %d is not that of the leaves", i, len(want))
			}
		}
		return nil
	})
}

// counting is a store of hashes that counts what is read.
type counting struct {
	all   [][32]byte
	reads int
}

func (c *counting) Hashes(indexes []int64) ([][32]byte, error) {
	c.reads += len(indexes)
	out := make([][32]byte, len(indexes))
	for i, x := range indexes {
		if x >= int64(len(c.all)) {
			return nil, errors.New("not stored")
		}
		out[i] = c.all[x]
	}
	return out, nil
}

// TestTreeEdge appends in transactions of any size, some of which are undone,
// with replicas that come and go: the hashes are always those of the leaves,
// and a replica that stays reads nothing; one that lost the edge reads each
// level of it once.
func TestTreeEdge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src := &counting{}
		var leaves [][]byte
		cached, lost := newTree(), 0
		for range rapid.IntRange(1, 30).Draw(t, "transactions") {
			what := rapid.SampledFrom([]string{"commit", "commit", "commit", "undo", "another replica"}).Draw(t, "what")
			n := rapid.IntRange(1, 9).Draw(t, "entries")
			x := cached
			if what == "another replica" {
				x = newTree()
			}
			staged, now := [][32]byte{}, leaves
			if x.size != int64(len(leaves)) {
				lost++
			}
			for range n {
				leaf := []byte{byte(len(now)), byte(len(now) >> 8), byte(n)}
				// what the transaction has added is not in the store yet
				h, err := x.append(src, int64(len(now)), leaf)
				if err != nil {
					t.Fatal(err)
				}
				staged, now = append(staged, h...), append(now[:len(now):len(now)], leaf)
			}
			if src.reads > 9*lost {
				t.Fatalf("%d hashes read of an edge lost %d times", src.reads, lost)
			}
			if what == "undo" {
				x.reset(-1)
				continue
			}
			x.settle()
			if len(x.edge) > 20 || len(x.extra) != 0 {
				t.Fatalf("%d hashes kept", len(x.edge))
			}
			src.all, leaves = append(src.all, staged...), now
		}
		for i, h := range recompute(t, leaves) {
			if tlog.Hash(src.all[i]) != h {
				t.Fatalf("hash %d is not that of the leaves", i)
			}
		}
	})
}

// A writer that opens a ledger again goes on with the same tree.
func TestTreeAfterReopen(t *testing.T) {
	dir := t.TempDir()
	for round := range 5 {
		s := open(t, dir)
		r := start(t, s, newClock())
		for range round*3 + 1 {
			r.put(stop("x"))
		}
		sameTree(t, r)
		if n := r.head().Size; n != uint64([]int{1, 5, 12, 22, 35}[round]) {
			t.Errorf("%d entries", n)
		}
		r.w.Stop()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A row's way to the root of the ledger, checked with nothing but tlog.
func TestRowToRoot(t *testing.T) {
	r := newRig(t)
	for range 5 {
		r.put(stop("x"))
	}
	rows := []exchange.Row{testRow(1), testRow(2), testRow(3)}
	seq := r.put(&Change{Draft: &Draft{Kind: exchange.KindClaim, System: "clinic_system", Rows: rows}}).Seq
	signed := newSigner(t, r, nil)
	if _, err := signed.c.Sign(t.Context()); err != nil {
		t.Fatal(err)
	}
	i := 1
	p, err := NewReader(r.store).Prove(t.Context(), seq, 0, &i)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := exchange.DecodeLeaf(p.Leaf)
	if err != nil {
		t.Fatal(err)
	}
	if !exchange.CheckRowProof(p.Row.Row, i, int(leaf.RowCount), p.Row.Hashes, leaf.RowsRoot) {
		t.Error("the row does not lead to the sub-root")
	}
	c, err := OpenCheckpoint(p.Checkpoint, []string{signed.public})
	if err != nil {
		t.Fatal(err)
	}
	proof := make(tlog.RecordProof, len(p.Hashes))
	for j, h := range p.Hashes {
		proof[j] = tlog.Hash(h)
	}
	if err := tlog.CheckRecord(proof, int64(c.Size), tlog.Hash(c.Root), int64(seq), tlog.RecordHash(p.Leaf)); err != nil {
		t.Error(err)
	}
}
