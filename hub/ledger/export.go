package ledger

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"raccordo/hub/store"
)

// Shape of an export; package verify reads the same.
const (
	exportPerFile   = 10_000
	exportAtOnce    = 32 // entries read at once: at most 45 MB of rows
	exportSignature = "checkpoint"
	exportReadme    = "README"
)

const readme = "A raccordo ledger up to a signed checkpoint. Check it with: raccordo ledger verify --key ledger.pub DIRECTORY. It holds subject ids and names of the network, no personal data.\n"

// Exported says what an export holds.
type Exported struct {
	Entries    uint64
	Checkpoint []byte
}

// Export writes the ledger, up to the newest checkpoint, into an empty
// directory: entries-<first sequence, 12 digits>.ndjson with 10,000 entries
// each, one object {"seq","leaf","rows","fact"} a line, the last three in
// base64; checkpoint, the signed note; README. It streams: memory does not grow
// with the ledger. Durable on return. Before the first checkpoint it is
// CodeNotFound; a directory that holds an export is fs.ErrExist.
func (r *Reader) Export(ctx context.Context, dir *os.Root) (Exported, error) {
	var at store.CheckpointRow
	err := r.views.View(ctx, func(tx store.ReadTx) (err error) {
		at, err = tx.LatestCheckpoint()
		return err
	})
	if err != nil {
		return Exported{}, missing(err, "there is no checkpoint yet")
	}
	if _, err := dir.Lstat(exportSignature); !errors.Is(err, fs.ErrNotExist) {
		return Exported{}, fmt.Errorf("export: the directory holds a checkpoint: %w", fs.ErrExist)
	}
	for first := uint64(0); first < at.Size; first += exportPerFile {
		if err := r.exportFile(ctx, dir, first, min(first+exportPerFile, at.Size)); err != nil {
			return Exported{}, fmt.Errorf("export: %w", err)
		}
	}
	if err := writeFile(dir, exportReadme, []byte(readme)); err != nil {
		return Exported{}, fmt.Errorf("export: %w", err)
	}
	// Last, so that an export without its end has no checkpoint.
	if err := writeFile(dir, exportSignature, at.Note); err != nil {
		return Exported{}, fmt.Errorf("export: %w", err)
	}
	if err := syncDirectory(dir); err != nil {
		return Exported{}, fmt.Errorf("export: %w", err)
	}
	return Exported{Entries: at.Size, Checkpoint: at.Note}, nil
}

func (r *Reader) exportFile(ctx context.Context, dir *os.Root, first, end uint64) error {
	name := fmt.Sprintf("entries-%012d.ndjson", first)
	f, err := dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<18)
	err = r.exportEntries(ctx, w, first, end)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

func (r *Reader) exportEntries(ctx context.Context, w *bufio.Writer, at, end uint64) error {
	var line []byte
	for at < end {
		var entries []store.StoredEntry
		err := r.views.View(ctx, func(tx store.ReadTx) (err error) {
			entries, err = tx.Entries(at, int(min(exportAtOnce, end-at)))
			return err
		})
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			return fmt.Errorf("entry %d: %w", at, store.ErrCorrupt)
		}
		for i := range entries {
			if entries[i].Seq != at {
				return fmt.Errorf("entry %d: %w", at, store.ErrCorrupt)
			}
			line = appendLine(line[:0], &entries[i])
			if _, err := w.Write(line); err != nil {
				return err
			}
			at++
		}
	}
	return nil
}

func appendLine(dst []byte, e *store.StoredEntry) []byte {
	dst = append(dst, `{"seq":`...)
	dst = strconv.AppendUint(dst, e.Seq, 10)
	dst = append(dst, `,"leaf":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, e.Leaf)
	dst = append(dst, `","rows":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, e.Rows)
	dst = append(dst, `","fact":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, e.Fact)
	return append(dst, "\"}\n"...)
}
