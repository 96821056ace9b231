package ledger

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

// TileHeight is the height of the tiles a [Reader] serves, that of Go's sumdb
// and of C2SP tlog-tiles.
const TileHeight = 8

// Views reads snapshots of a store.
type Views interface {
	View(context.Context, func(store.ReadTx) error) error
}

// Reader proves what stands in the ledger. It shows nothing beyond the newest
// checkpoint: what is not signed proves nothing.
type Reader struct{ views Views }

// NewReader reads from a store.
func NewReader(views Views) *Reader { return &Reader{views: views} }

// Proof leads from an entry, and maybe from one row of it, to a signed root.
type Proof struct {
	Seq        uint64
	TreeSize   uint64
	Leaf       []byte            // the header; RFC 6962 leaf data
	Hashes     []exchange.Digest // audit path of the leaf, RFC 6962 section 2.1.1
	Checkpoint []byte            // the signed note of TreeSize
	Row        *RowProof
}

// RowProof leads from a row to the sub-root in its entry's header, and shows no
// other row.
type RowProof struct {
	Index  int
	Row    []byte
	Hashes []exchange.Digest
}

// Checkpoint is the newest signed note. Before the first it is CodeNotFound.
func (r *Reader) Checkpoint(ctx context.Context) ([]byte, error) {
	var row store.CheckpointRow
	err := r.views.View(ctx, func(tx store.ReadTx) (err error) {
		row, err = tx.LatestCheckpoint()
		return err
	})
	if err != nil {
		return nil, missing(err, "there is no checkpoint yet")
	}
	return row.Note, nil
}

// Prove proves that entry seq, and its row if row is not nil, is in the tree of
// treeSize entries; 0 is that of the newest checkpoint. CodeNotFound if there
// is no checkpoint of that size, or no such entry or row in it.
func (r *Reader) Prove(ctx context.Context, seq, treeSize uint64, row *int) (*Proof, error) {
	var p *Proof
	err := r.views.View(ctx, func(tx store.ReadTx) error {
		at, err := checkpointOf(tx, treeSize)
		if err != nil {
			return err
		}
		if seq >= at.Size {
			return store.ErrNotFound
		}
		p = &Proof{Seq: seq, TreeSize: at.Size, Checkpoint: at.Note}
		path, err := tlog.ProveRecord(int64(at.Size), int64(seq), hashes(tx))
		if err != nil {
			return fmt.Errorf("prove entry %d: %w", seq, err)
		}
		p.Hashes = digests(path)
		entries, err := tx.Entries(seq, 1)
		if err != nil {
			return err
		}
		if len(entries) == 0 || entries[0].Seq != seq {
			return fmt.Errorf("entry %d: %w", seq, store.ErrCorrupt)
		}
		p.Leaf = entries[0].Leaf
		if row != nil {
			p.Row, err = proveRow(entries[0].Rows, *row)
		}
		return err
	})
	if err != nil {
		return nil, missing(err, "no such entry or row in a tree with a checkpoint")
	}
	return p, nil
}

func proveRow(rows []byte, i int) (*RowProof, error) {
	if i < 0 || i >= len(rows)/exchange.RowSize {
		return nil, store.ErrNotFound
	}
	path, err := exchange.RowProof(rows, i)
	if err != nil {
		return nil, err
	}
	return &RowProof{Index: i, Row: rows[i*exchange.RowSize : (i+1)*exchange.RowSize], Hashes: path}, nil
}

// Row is one row of an entry, for whoever must know whom it concerns before it
// is proved. CodeNotFound if there is none.
func (r *Reader) Row(ctx context.Context, seq uint64, i int) (exchange.Row, error) {
	var out exchange.Row
	err := r.views.View(ctx, func(tx store.ReadTx) error {
		entries, err := tx.Entries(seq, 1)
		if err != nil {
			return err
		}
		if len(entries) == 0 || entries[0].Seq != seq {
			return store.ErrNotFound
		}
		p, err := proveRow(entries[0].Rows, i)
		if err != nil {
			return err
		}
		rows, err := exchange.DecodeRows(p.Row)
		if err != nil {
			return fmt.Errorf("entry %d: %w", seq, store.ErrCorrupt)
		}
		out = rows[0]
		return nil
	})
	if err != nil {
		return exchange.Row{}, missing(err, "no such row")
	}
	return out, nil
}

// ProveConsistency proves that the tree of old entries is the beginning of that
// of size entries (RFC 6962 section 2.1.2). CodeNotFound beyond the newest
// checkpoint, CodeInvalid unless 1 <= old <= size.
func (r *Reader) ProveConsistency(ctx context.Context, old, size uint64) ([]exchange.Digest, error) {
	if old < 1 || old > size {
		return nil, exchange.NewError(exchange.CodeInvalid, exchange.ReasonParameter, "the old size must be between 1 and the new one")
	}
	var out []exchange.Digest
	err := r.views.View(ctx, func(tx store.ReadTx) error {
		last, err := tx.LatestCheckpoint()
		if err != nil {
			return err
		}
		if size > last.Size {
			return store.ErrNotFound
		}
		path, err := tlog.ProveTree(int64(size), int64(old), hashes(tx))
		if err != nil {
			return fmt.Errorf("prove consistency: %w", err)
		}
		out = digests(path)
		return nil
	})
	if err != nil {
		return nil, missing(err, "no checkpoint reaches that size")
	}
	return out, nil
}

// Tile is the hashes of one tile, 32 bytes each, by its path in the layout of
// Go's sumdb without the leading "tile/": height, level, number and, of a
// partial one, its width. There are tiles of height [TileHeight] only, and
// hashes only: tiles of data would show whole entries. Anything else, and what
// the newest checkpoint does not cover, is CodeNotFound.
func (r *Reader) Tile(ctx context.Context, path string) ([]byte, error) {
	tile, err := tlog.ParseTilePath("tile/" + path)
	if err != nil || tile.H != TileHeight || tile.L < 0 || tile.L*TileHeight > 62 || tile.N > 1<<54 {
		return nil, missing(store.ErrNotFound, "no such tile")
	}
	var out []byte
	err = r.views.View(ctx, func(tx store.ReadTx) error {
		last, err := tx.LatestCheckpoint()
		if err != nil {
			return err
		}
		if tile.N<<TileHeight+int64(tile.W) > int64(last.Size)>>(TileHeight*tile.L) {
			return store.ErrNotFound
		}
		out, err = tlog.ReadTileData(tile, hashes(tx))
		return err
	})
	if err != nil {
		return nil, missing(err, "no such tile")
	}
	return out, nil
}

func checkpointOf(tx store.ReadTx, size uint64) (store.CheckpointRow, error) {
	if size == 0 {
		return tx.LatestCheckpoint()
	}
	return tx.Checkpoint(size)
}

// hashes reads the tree of a snapshot.
func hashes(tx store.ReadTx) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		got, err := tx.Hashes(indexes)
		if err != nil {
			return nil, err
		}
		out := make([]tlog.Hash, len(got))
		for i := range got {
			out[i] = got[i]
		}
		return out, nil
	})
}

func digests[T ~[]tlog.Hash](path T) []exchange.Digest {
	out := make([]exchange.Digest, len(path))
	for i, h := range path {
		out[i] = exchange.Digest(h)
	}
	return out
}

// missing turns a row that is not there into the answer "not found".
func missing(err error, detail string) error {
	if errors.Is(err, store.ErrNotFound) {
		return exchange.NewError(exchange.CodeNotFound, exchange.ReasonNotFound, detail).Because(err)
	}
	return err
}
