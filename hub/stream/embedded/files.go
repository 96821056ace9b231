package embedded

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// FileSystem is where a log lies. Names are slash-separated and relative.
// Tests inject failures and power cuts here.
type FileSystem interface {
	// Open opens or, with os.O_CREATE, creates a file for reading and writing.
	Open(name string, flag int) (File, error)
	Mkdir(name string) error
	// Rename is atomic; it is durable after SyncDir of the directory.
	Rename(from, to string) error
	Remove(name string) error
	// ReadDir gives the names in a directory, sorted.
	ReadDir(name string) ([]string, error)
	SyncDir(name string) error
	// Lock takes an exclusive lock that ends with the process; [ErrInUse] if
	// another has it.
	Lock(name string) (io.Closer, error)
}

// File is one open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Sync makes the data written so far durable, and the size.
	Sync() error
	Size() (int64, error)
}

// NewFiles gives the file system of a directory; what Options.Dir opens.
func NewFiles(root *os.Root) FileSystem { return rootFiles{root} }

// rootFiles is a directory of the operating system, which no name can leave.
type rootFiles struct{ root *os.Root }

func (r rootFiles) Open(name string, flag int) (File, error) {
	f, err := r.root.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (r rootFiles) Mkdir(name string) error      { return r.root.Mkdir(name, 0o700) }
func (r rootFiles) Rename(from, to string) error { return r.root.Rename(from, to) }
func (r rootFiles) Remove(name string) error     { return r.root.Remove(name) }

func (r rootFiles) ReadDir(name string) ([]string, error) {
	entries, err := fs.ReadDir(r.root.FS(), name)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

func (r rootFiles) SyncDir(name string) error {
	d, err := r.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (r rootFiles) Lock(name string) (io.Closer, error) {
	f, err := r.root.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, ErrInUse
		}
		return nil, err
	}
	return f, nil
}

type osFile struct{ *os.File }

func (f osFile) Sync() error { return datasync(f.File) }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// noSpace says that the file system had no room, as it says at the latest when
// a segment is filled with zeros, before anything of a message is written.
func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
