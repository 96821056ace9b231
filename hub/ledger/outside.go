package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"raccordo/hub/store"
)

// outsideFile is the name of the newest checkpoint in a second place.
const outsideFile = "checkpoint"

// maxNote bounds what is read as a checkpoint.
const maxNote = 1 << 20

// OutsideDirectory is a second place that is a directory, such as a mount of
// another machine. It implements [Outside]: one file, replaced as a whole.
type OutsideDirectory struct{ root *os.Root }

// NewOutsideDirectory copies checkpoints into an open directory.
func NewOutsideDirectory(root *os.Root) *OutsideDirectory { return &OutsideDirectory{root: root} }

// Copy writes, syncs, renames and syncs the directory, so that a cut leaves the
// old checkpoint or the new one.
func (d *OutsideDirectory) Copy(_ context.Context, _ uint64, note []byte) error {
	if err := writeFile(d.root, outsideFile+".new", note); err != nil {
		return err
	}
	if err := d.root.Rename(outsideFile+".new", outsideFile); err != nil {
		return fmt.Errorf("replace checkpoint: %w", err)
	}
	return syncDirectory(d.root)
}

// Latest reads the file.
func (d *OutsideDirectory) Latest(context.Context) ([]byte, error) {
	f, err := d.root.Open(outsideFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, store.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("open checkpoint: %w", err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxNote))
	if err != nil {
		return nil, fmt.Errorf("read checkpoint: %w", err)
	}
	return b, nil
}

// writeFile creates or replaces a file and syncs it.
func writeFile(root *os.Root, name string, b []byte) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// syncDirectory makes the names in a directory durable.
func syncDirectory(root *os.Root) error {
	d, err := root.Open(".")
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	err = d.Sync()
	if e := d.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}
