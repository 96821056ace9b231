package local

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// FileSystem is what the keyring needs of a file system; tests inject faults
// through it.
type FileSystem interface {
	// Lstat describes the file itself, never what a link points at.
	Lstat(name string) (fs.FileInfo, error)
	ReadFile(name string) ([]byte, error)
	// Create makes a new file with mode 0600, or truncates one.
	Create(name string) (File, error)
	Rename(from, to string) error
	Remove(name string) error
	// SyncDir makes the names in a directory durable.
	SyncDir(dir string) error
}

// File is a file being written.
type File interface {
	io.WriteCloser
	Sync() error
}

// osFiles is the real file system.
type osFiles struct{}

var _ FileSystem = osFiles{}

func (osFiles) Lstat(name string) (fs.FileInfo, error) { return os.Lstat(name) }
func (osFiles) ReadFile(name string) ([]byte, error)   { return os.ReadFile(name) }
func (osFiles) Rename(from, to string) error           { return os.Rename(from, to) }
func (osFiles) Remove(name string) error               { return os.Remove(name) }

func (osFiles) Create(name string) (File, error) {
	return os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
}

func (osFiles) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// temporary is the name under which the next file is written. It is fixed, so
// that a crash leaves at most one, and Open removes it.
func temporary(path string) string { return path + ".new" }

// writeWhole replaces path by b. When it returns nil, b is durable; when it
// returns an error, path holds either what it held or b.
func writeWhole(files FileSystem, path string, b []byte) error {
	f, err := files.Create(temporary(path))
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	if _, err = f.Write(b); err == nil {
		// Sync before the rename: without it a power cut can leave the new name
		// with no content.
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if err := files.Rename(temporary(path), path); err != nil {
		return fmt.Errorf("rename: %w", err)
	}
	// And the directory after it: the rename itself must survive the cut.
	if err := files.SyncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}

// readGuarded reads path if only its owner can.
func readGuarded(files FileSystem, path string) ([]byte, error) {
	info, err := files.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: not a regular file", ErrPermissions)
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return nil, fmt.Errorf("%w: mode is %04o, must be 0600", ErrPermissions, perm)
	}
	return files.ReadFile(path)
}
