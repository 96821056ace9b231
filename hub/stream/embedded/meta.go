package embedded

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"raccordo/hub/exchange"
)

const layoutVersion = 1

// meta is the file that says whose log this is.
type meta struct {
	Layout int            `json:"layout"`
	Hub    exchange.HubID `json:"hub"`
	Lanes  int            `json:"lanes"`
}

const metaName = "meta"

// readMeta gives fs.ErrNotExist for a directory that never was a log.
func readMeta(files FileSystem) (meta, error) {
	var m meta
	b, err := readFile(files, metaName, 4096)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(b, &m); err != nil || m.Layout != layoutVersion || m.Lanes < 1 || m.Lanes > maxLanes {
		return m, fmt.Errorf("file %s: %w", metaName, ErrLayout)
	}
	return m, nil
}

func writeMeta(files FileSystem, m meta) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return replaceFile(files, metaName, append(b, '\n'))
}

// readFile reads a small file; longer than limit is an error.
func readFile(files FileSystem, name string, limit int64) (b []byte, err error) {
	f, err := files.Open(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	n, err := f.Size()
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, fmt.Errorf("file %s of %d bytes: %w", name, n, ErrLayout)
	}
	b = make([]byte, n)
	if _, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b, nil
}

// replaceFile makes b the content of name, whole or not at all, durable when it
// returns nil.
func replaceFile(files FileSystem, name string, b []byte) error {
	tmp := name + ".tmp"
	if err := files.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := files.Open(tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := files.Rename(tmp, name); err != nil {
		return err
	}
	return files.SyncDir(path.Dir(name))
}
