package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"raccordo/hub/keys"
)

var errDisk = errors.New("injected fault")

// faulty fails the n-th operation that writes, and every one after it if it
// stays broken. The operation itself may have happened all the same.
type faulty struct {
	osFiles
	n       int  // operations until the fault; negative: none
	happens bool // the operation happens although it reports an error
	stays   bool
}

func (f *faulty) fault() bool {
	if f.n < 0 {
		return false
	}
	if f.n--; f.n >= 0 {
		return false
	}
	if f.stays {
		f.n = 0
	}
	return true
}

func (f *faulty) do(op func() error) error {
	if !f.fault() {
		return op()
	}
	if f.happens {
		_ = op()
	}
	return errDisk
}

func (f *faulty) Create(name string) (File, error) {
	var out File
	err := f.do(func() (err error) { out, err = f.osFiles.Create(name); return })
	if err != nil {
		return nil, err
	}
	return &faultyFile{out, f}, nil
}

func (f *faulty) Rename(from, to string) error {
	return f.do(func() error { return f.osFiles.Rename(from, to) })
}
func (f *faulty) SyncDir(dir string) error {
	return f.do(func() error { return f.osFiles.SyncDir(dir) })
}

type faultyFile struct {
	File
	disk *faulty
}

func (f *faultyFile) Write(b []byte) (int, error) {
	if f.disk.fault() {
		n, _ := f.File.Write(b[:len(b)/2])
		return n, errDisk
	}
	return f.File.Write(b)
}
func (f *faultyFile) Sync() error  { return f.disk.do(f.File.Sync) }
func (f *faultyFile) Close() error { return f.disk.do(f.File.Close) }

// TestFaultyDisk: at whatever operation the disk fails, whether or not the
// operation happened, the caller gets an error, nothing changes for those who
// use the keyring, the file stays a keyring, and the next try succeeds.
func TestFaultyDisk(t *testing.T) {
	const operations = 6 // create, write, sync, close, rename, sync directory
	seen := 0
	for n := range operations + 1 {
		for _, happens := range []bool{false, true} {
			t.Run(fmt.Sprintf("operation %d happens %t", n, happens), func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "keyring")
				disk := &faulty{n: -1}
				o := options(path)
				o.FileSystem = disk
				k, err := Open(o)
				if err != nil {
					t.Fatal(err)
				}
				kept, err := k.Seal(keys.PlaceStream, day, []byte("kept"), nil)
				if err != nil {
					t.Fatal(err)
				}
				disk.n, disk.happens = n, happens
				_, err = k.Seal(keys.PlaceWaiting, day, []byte("x"), nil)
				if n == operations {
					if err != nil {
						t.Fatalf("there are more operations than thought: %v", err)
					}
					return
				}
				seen++
				if !errors.Is(err, errDisk) || !errors.Is(err, keys.ErrUnavailable) {
					t.Fatalf("the fault was not reported: %v", err)
				}
				if again, err := Open(options(path)); err != nil {
					t.Fatalf("the file is no keyring any more: %v", err)
				} else if _, err := again.Open(kept, nil); err != nil {
					t.Fatalf("an earlier key is lost: %v", err)
				}
				disk.n = -1
				s, err := k.Seal(keys.PlaceWaiting, day, []byte("x"), nil)
				if err != nil {
					t.Fatalf("the disk is back, the keyring is not: %v", err)
				}
				again, err := Open(options(path))
				if err != nil {
					t.Fatal(err)
				}
				for _, sealed := range [][]byte{kept, s} {
					if _, err := again.Open(sealed, nil); err != nil {
						t.Fatalf("sealed under a key that is not in the file: %v", err)
					}
				}
			})
		}
	}
	if seen != 2*operations {
		t.Fatalf("%d faults were tried", seen)
	}
}

// TestCreateFails: a keyring whose creation failed was never in use; the next
// start makes another, unless the file is there.
func TestCreateFails(t *testing.T) {
	for n := range 6 {
		path := filepath.Join(t.TempDir(), "keyring")
		o := options(path)
		o.FileSystem = &faulty{n: n}
		if _, err := Open(o); !errors.Is(err, errDisk) {
			t.Fatalf("operation %d: %v", n, err)
		}
		if _, err := Open(options(path)); err != nil {
			t.Fatalf("operation %d: the next start: %v", n, err)
		}
		if _, err := os.Stat(temporary(path)); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("operation %d: the temporary file stays", n)
		}
	}
}

func TestNoRandomness(t *testing.T) {
	o := options(filepath.Join(t.TempDir(), "keyring"))
	o.Rand = failingReader{}
	if _, err := Open(o); !errors.Is(err, keys.ErrUnavailable) {
		t.Fatalf("made keys without randomness: %v", err)
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errDisk }
