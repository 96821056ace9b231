package ledger

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

// signer is a checkpointer with its key.
type signer struct {
	c      *Checkpointer
	public string
}

const origin = "test.example/ledger"

func newSigner(t testing.TB, r *rig, outside Outside) *signer {
	t.Helper()
	private, public, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{public: public, c: NewCheckpointer(CheckpointOptions{Store: r.store, Clock: r.clock, Outside: outside,
		Signer: func() note.Signer { return s }, Keys: func() []string { return []string{public} }, Interval: 1})}
}

func (s *signer) sign(t testing.TB) Checkpoint {
	t.Helper()
	n, err := s.c.Sign(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	c, err := OpenCheckpoint(n, []string{s.public})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func testRow(n byte) exchange.Row {
	return exchange.Row{Record: exchange.RecordID{n}, Subject: exchange.SubjectID{n}, Flow: exchange.FlowNumber("flow_a"), State: exchange.StateClaimed,
		Part: exchange.PartPrincipal, Reason: exchange.ReasonPermitted, Attempt: 1}
}

// tiles is a client that reads the log only through tiles, and trusts nothing.
type tiles struct {
	r *Reader
	t testing.TB
}

func (x tiles) Height() int { return TileHeight }

func (x tiles) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(tiles))
	for i, tile := range tiles {
		var err error
		if out[i], err = x.r.Tile(context.Background(), strings.TrimPrefix(tile.Path(), "tile/")); err != nil {
			return nil, fmt.Errorf("%s: %w", tile.Path(), err)
		}
	}
	return out, nil
}

func (tiles) SaveTiles([]tlog.Tile, [][]byte) {}

// bulk writes n entries, many at a time.
func (r *rig) bulk(n int) {
	r.t.Helper()
	var left atomic.Int64
	left.Store(int64(n))
	var wg sync.WaitGroup
	for range 128 {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if _, err := r.submit(stop("x")); err != nil {
					r.t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestReader proves every entry against every checkpoint with tlog's own
// checks, by proofs and by tiles.
func TestReader(t *testing.T) {
	r := newRig(t)
	reader := NewReader(r.store)
	ctx := t.Context()
	if _, err := reader.Checkpoint(ctx); !is(err, exchange.CodeNotFound) || !errors.Is(err, store.ErrNotFound) {
		t.Errorf("before the first: %v", err)
	}
	if _, err := reader.Prove(ctx, 0, 0, nil); !is(err, exchange.CodeNotFound) {
		t.Errorf("proof before the first: %v", err)
	}
	s := newSigner(t, r, nil)
	var points []Checkpoint
	for _, n := range []int{1, 6, 250, 43} {
		r.bulk(n)
		points = append(points, s.sign(t))
	}
	entries := r.entries()
	for _, p := range points {
		for _, seq := range []uint64{0, 1, 6, 7, 255, 256, 299} {
			proof, err := reader.Prove(ctx, seq, p.Size, nil)
			if seq >= p.Size {
				if !is(err, exchange.CodeNotFound) {
					t.Errorf("entry %d of %d: %v", seq, p.Size, err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			path := make(tlog.RecordProof, len(proof.Hashes))
			for i, h := range proof.Hashes {
				path[i] = tlog.Hash(h)
			}
			err = tlog.CheckRecord(path, int64(p.Size), tlog.Hash(p.Root), int64(seq), tlog.RecordHash(proof.Leaf))
			if err != nil || !bytes.Equal(proof.Leaf, entries[seq].Leaf) || proof.TreeSize != p.Size {
				t.Errorf("entry %d of %d: %v", seq, p.Size, err)
			}
			if c, err := OpenCheckpoint(proof.Checkpoint, []string{s.public}); err != nil || c != p {
				t.Errorf("checkpoint of the proof: %+v, %v", c, err)
			}
		}
	}
	last := points[len(points)-1]
	for _, p := range points {
		path, err := reader.ProveConsistency(ctx, p.Size, last.Size)
		if err != nil {
			t.Fatal(err)
		}
		proof := make(tlog.TreeProof, len(path))
		for i, h := range path {
			proof[i] = tlog.Hash(h)
		}
		if err := tlog.CheckTree(proof, int64(last.Size), tlog.Hash(last.Root), int64(p.Size), tlog.Hash(p.Root)); err != nil {
			t.Errorf("%d to %d: %v", p.Size, last.Size, err)
		}
	}
	hr := tlog.TileHashReader(tlog.Tree{N: int64(last.Size), Hash: tlog.Hash(last.Root)}, tiles{reader, t})
	for seq := range int64(last.Size) {
		h, err := hr.ReadHashes([]int64{tlog.StoredHashIndex(0, seq)})
		if err != nil || h[0] != tlog.RecordHash(entries[seq].Leaf) {
			t.Fatalf("entry %d by tiles: %v", seq, err)
		}
	}
}

func TestReaderRefuses(t *testing.T) {
	r := newRig(t)
	reader, ctx := NewReader(r.store), t.Context()
	r.bulk(300)
	newSigner(t, r, nil).sign(t)
	r.bulk(300) // not signed: shown to nobody
	for _, path := range []string{"", "8/0/000.p/301", "8/0/002", "8/1/001", "8/1/000.p/2", "7/0/000", "8/data/000", "8/-1/000", "8/0/1", "8/0/000.p/0", "8/0/000.p/256",
		"8/8/000", "8/63/000.p/1", "8/0/x999/x999/x999/x999/x999/x999/999", "../8/0/000", "8/0/001.p/45", "tile/8/0/000"} {
		if b, err := reader.Tile(ctx, path); !is(err, exchange.CodeNotFound) {
			t.Errorf("tile %q: %d bytes, %v", path, len(b), err)
		}
	}
	for path, size := range map[string]int{"8/0/000": 256, "8/0/001.p/44": 44, "8/0/001.p/1": 1, "8/0/000.p/17": 17, "8/1/000.p/1": 1} {
		if b, err := reader.Tile(ctx, path); err != nil || len(b) != 32*size {
			t.Errorf("tile %q: %d bytes, %v", path, len(b), err)
		}
	}
	for _, x := range [][2]uint64{{300, 0}, {599, 0}, {600, 0}, {1 << 62, 0}, {0, 301}, {0, 299}, {0, 600}, {0, 1 << 63}} {
		if _, err := reader.Prove(ctx, x[0], x[1], nil); !is(err, exchange.CodeNotFound) {
			t.Errorf("entry %d of %d: %v", x[0], x[1], err)
		}
	}
	for _, row := range []int{-1, 0, 1 << 40} {
		if _, err := reader.Prove(ctx, 0, 0, &row); !is(err, exchange.CodeNotFound) {
			t.Errorf("row %d of none: %v", row, err)
		}
		if _, err := reader.Row(ctx, 0, row); !is(err, exchange.CodeNotFound) {
			t.Errorf("row %d of none: %v", row, err)
		}
	}
	for x, code := range map[[2]uint64]exchange.Code{{0, 5}: exchange.CodeInvalid, {6, 5}: exchange.CodeInvalid, {5, 301}: exchange.CodeNotFound} {
		if _, err := reader.ProveConsistency(ctx, x[0], x[1]); !is(err, code) {
			t.Errorf("%v: %v", x, err)
		}
	}
}

func TestRow(t *testing.T) {
	r := newRig(t)
	seq := r.put(&Change{Draft: &Draft{Kind: exchange.KindClaim, System: "clinic_system", Rows: []exchange.Row{testRow(1), testRow(2)}}}).Seq
	got, err := NewReader(r.store).Row(t.Context(), seq, 1)
	if err != nil || got != testRow(2) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestExport(t *testing.T) {
	r := newRig(t)
	reader, ctx, dir := NewReader(r.store), t.Context(), t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	if _, err := reader.Export(ctx, root); !is(err, exchange.CodeNotFound) {
		t.Errorf("without a checkpoint: %v", err)
	}
	r.bulk(70)
	r.put(&Change{Draft: &Draft{Kind: exchange.KindClaim, System: "clinic_system", Rows: []exchange.Row{testRow(1), testRow(2)}}})
	point := newSigner(t, r, nil).sign(t)
	r.bulk(10) // later than the checkpoint
	done, err := reader.Export(ctx, root)
	if err != nil || done.Entries != point.Size {
		t.Fatalf("%+v, %v", done, err)
	}
	data, err := root.ReadFile("entries-000000000000.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	entries := r.entries()
	lines := bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
	if len(lines) != 71 {
		t.Fatalf("%d lines", len(lines))
	}
	for i, l := range lines {
		var x struct {
			Seq              uint64
			Leaf, Rows, Fact []byte
		}
		d := json.NewDecoder(bytes.NewReader(l))
		d.DisallowUnknownFields()
		if err := d.Decode(&x); err != nil {
			t.Fatal(err)
		}
		e := entries[i]
		if x.Seq != e.Seq || !bytes.Equal(x.Leaf, e.Leaf) || !bytes.Equal(x.Rows, e.Rows) || !bytes.Equal(x.Fact, e.Fact) {
			t.Errorf("entry %d is not the one stored", i)
		}
	}
	note, err := root.ReadFile("checkpoint")
	if err != nil || !bytes.Equal(note, done.Checkpoint) {
		t.Errorf("checkpoint: %v", err)
	}
	if text, err := root.ReadFile("README"); err != nil || bytes.Count(text, []byte("\n")) != 1 {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := reader.Export(ctx, root); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over another export: %v", err)
	}
}

// Files of an export hold a fixed number of entries.
func TestExportFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("writes more than 10,000 entries")
	}
	r := newRig(t)
	r.bulk(exportPerFile + 20)
	newSigner(t, r, nil).sign(t)
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	if _, err := NewReader(r.store).Export(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"entries-000000000000.ndjson": exportPerFile, "entries-000000010000.ndjson": 20} {
		b, err := root.ReadFile(name)
		if err != nil || bytes.Count(b, []byte("\n")) != want || !bytes.HasPrefix(b, []byte(fmt.Sprintf(`{"seq":%d,`, map[int]int{exportPerFile: 0, 20: exportPerFile}[want]))) {
			t.Errorf("%s: %d lines, %v", name, bytes.Count(b, []byte("\n")), err)
		}
	}
}
