package embedded_test

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"

	"raccordo/hub/stream/embedded"
)

// disk is a file system in memory that can lose what was not synced: after a
// power cut each written sector is there or not, and of the changes to
// directories a prefix. A failed Sync marks pages clean, as Linux does.
type disk struct {
	mu      sync.Mutex
	names   map[string]*inode // what a running process sees
	durable map[string]*inode // what a power cut leaves
	pending []change
	locked  bool

	left     int // operations until the power goes; < 0 never
	failSync int // how many Syncs from now fails; 0 none
	syncGate chan struct{}
	full     bool // files cannot grow
}

const sector = 512

var (
	errPowerCut = errors.New("no power")
	errSync     = &os.PathError{Op: "fdatasync", Err: syscall.EIO}
)

type inode struct {
	dir     bool
	data    []byte
	durable []byte
	dirty   map[int64]struct{}
}

type change struct {
	dir      string
	name     string
	inode    *inode // nil removes
	old      string // renamed from
	isRename bool
}

func newDisk() *disk {
	root := &inode{dir: true}
	return &disk{names: map[string]*inode{".": root}, durable: map[string]*inode{".": root}, left: -1}
}

// operate counts one operation. The mutex is held.
func (d *disk) operate() error {
	if d.left == 0 {
		return errPowerCut
	}
	if d.left > 0 {
		d.left--
	}
	return nil
}

func apply(names map[string]*inode, c change) {
	switch {
	case c.isRename:
		for n, i := range maps.Clone(names) {
			if n == c.old || strings.HasPrefix(n, c.old+"/") {
				delete(names, n)
				names[c.name+strings.TrimPrefix(n, c.old)] = i
			}
		}
		if names[c.name] == nil {
			names[c.name] = c.inode
		}
	case c.inode == nil:
		delete(names, c.name)
	default:
		names[c.name] = c.inode
	}
}

func (d *disk) change(c change) {
	c.dir = path.Dir(c.name)
	apply(d.names, c)
	d.pending = append(d.pending, c)
}

// powerCut loses what random decides and gives the disk as found afterwards.
func (d *disk) powerCut(random *rand.Rand) *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.pending[:random.IntN(len(d.pending)+1)] {
		apply(d.durable, c)
	}
	keep := []float64{0, 0.5, 0.9, 1}[random.IntN(4)]
	for _, name := range slices.Sorted(maps.Keys(d.durable)) {
		i := d.durable[name]
		for _, s := range slices.Sorted(maps.Keys(i.dirty)) {
			if random.Float64() < keep {
				i.persist(s)
			}
		}
		i.data, i.dirty = slices.Clone(i.durable), nil
	}
	return &disk{names: d.durable, durable: maps.Clone(d.durable), left: -1}
}

// clone is an independent copy of what a running process sees.
func (d *disk) clone() *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := &disk{names: map[string]*inode{}, left: -1}
	for n, i := range d.names {
		out.names[n] = &inode{dir: i.dir, data: slices.Clone(i.data), durable: slices.Clone(i.data)}
	}
	out.durable = maps.Clone(out.names)
	return out
}

// segments are the names of all segment files.
func (d *disk) segments() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	for n := range d.names {
		if strings.HasSuffix(n, ".seg") {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}

func (i *inode) persist(s int64) {
	from := s * sector
	to := min(from+sector, int64(len(i.data)))
	if grow := to - int64(len(i.durable)); grow > 0 {
		i.durable = append(i.durable, make([]byte, grow)...)
	}
	copy(i.durable[from:to], i.data[from:to])
}

func (d *disk) Open(name string, flag int) (embedded.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.operate(); err != nil {
		return nil, err
	}
	i := d.names[name]
	switch {
	case i == nil && flag&os.O_CREATE == 0:
		return nil, fs.ErrNotExist
	case i != nil && flag&os.O_EXCL != 0:
		return nil, fs.ErrExist
	case i == nil:
		i = &inode{}
		d.change(change{name: name, inode: i})
	}
	return &handle{d: d, i: i}, nil
}

func (d *disk) Mkdir(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names[name] != nil {
		return fs.ErrExist
	}
	if err := d.operate(); err != nil {
		return err
	}
	d.change(change{name: name, inode: &inode{dir: true}})
	return nil
}

func (d *disk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.operate(); err != nil {
		return err
	}
	if d.names[from] == nil {
		return fs.ErrNotExist
	}
	d.change(change{name: to, old: from, inode: d.names[from], isRename: true})
	return nil
}

func (d *disk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names[name] == nil {
		return fs.ErrNotExist
	}
	if err := d.operate(); err != nil {
		return err
	}
	d.change(change{name: name})
	return nil
}

func (d *disk) ReadDir(name string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if i := d.names[name]; i == nil || !i.dir {
		return nil, fs.ErrNotExist
	}
	var out []string
	for n := range d.names {
		if path.Dir(n) == name && n != name {
			out = append(out, path.Base(n))
		}
	}
	slices.Sort(out)
	return out, nil
}

// SyncDir makes the changes so far durable: a journal commits them together.
func (d *disk) SyncDir(string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.operate(); err != nil {
		return err
	}
	for _, c := range d.pending {
		apply(d.durable, c)
	}
	d.pending = nil
	return nil
}

func (d *disk) Lock(string) (io.Closer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.locked {
		return nil, embedded.ErrInUse
	}
	d.locked = true
	return unlocker{d}, nil
}

type unlocker struct{ d *disk }

func (u unlocker) Close() error {
	u.d.mu.Lock()
	defer u.d.mu.Unlock()
	u.d.locked = false
	return nil
}

type handle struct {
	d *disk
	i *inode
}

func (h *handle) ReadAt(b []byte, off int64) (int, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if off >= int64(len(h.i.data)) {
		return 0, io.EOF
	}
	n := copy(b, h.i.data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (h *handle) WriteAt(b []byte, off int64) (int, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if err := h.d.operate(); err != nil {
		return 0, err
	}
	if grow := off + int64(len(b)) - int64(len(h.i.data)); grow > 0 {
		if h.d.full {
			return 0, &os.PathError{Op: "write", Err: syscall.ENOSPC}
		}
		h.i.data = append(h.i.data, make([]byte, grow)...)
	}
	copy(h.i.data[off:], b)
	if h.i.dirty == nil {
		h.i.dirty = map[int64]struct{}{}
	}
	for s := off / sector; s*sector < off+int64(len(b)); s++ {
		h.i.dirty[s] = struct{}{}
	}
	return len(b), nil
}

func (h *handle) Sync() error {
	h.d.mu.Lock()
	gate := h.d.syncGate
	h.d.mu.Unlock()
	if gate != nil {
		<-gate
	}
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if err := h.d.operate(); err != nil {
		return err
	}
	if h.d.failSync > 0 {
		if h.d.failSync--; h.d.failSync == 0 {
			h.i.dirty = nil // clean, and not on disk
			return errSync
		}
	}
	for s := range h.i.dirty {
		h.i.persist(s)
	}
	h.i.dirty = nil
	return nil
}

func (h *handle) Size() (int64, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	return int64(len(h.i.data)), nil
}

func (h *handle) Close() error { return nil }
