package ledger

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

// place is a second place in memory.
type place struct {
	mu    sync.Mutex
	notes [][]byte
	err   error
	tries int
}

func (p *place) Copy(_ context.Context, _ uint64, note []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tries++; p.err != nil {
		return p.err
	}
	p.notes = append(p.notes, note)
	return nil
}

func (p *place) Latest(context.Context) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.notes) == 0 {
		return nil, store.ErrNotFound
	}
	return p.notes[len(p.notes)-1], nil
}

func (p *place) fail(err error) { p.mu.Lock(); defer p.mu.Unlock(); p.err = err }

func (p *place) tried() int { p.mu.Lock(); defer p.mu.Unlock(); return p.tries }

func TestCheckpointText(t *testing.T) {
	c := Checkpoint{Origin: origin, Size: 3, Root: exchange.Digest{1}}
	tree, err := tlog.ParseTree([]byte(strings.Replace(c.Text(), origin, "go.sum database tree", 1)))
	if err != nil || tree.N != 3 || exchange.Digest(tree.Hash) != c.Root {
		t.Errorf("another shape than tlog's: %v", err)
	}
	if got, err := parseCheckpoint(c.Text()); err != nil || got != c {
		t.Errorf("%+v, %v", got, err)
	}
	root := strings.Split(c.Text(), "\n")[2]
	for _, text := range []string{"", "\n", c.Text() + "more\n", strings.TrimSuffix(c.Text(), "\n"), "\n3\n" + root + "\n", origin + "\n03\n" + root + "\n",
		origin + "\n-1\n" + root + "\n", origin + "\n9223372036854775808\n" + root + "\n", origin + "\n3\nAAAA\n", origin + "\n3\n" + root[:43] + "\n", origin + "\nx\n" + root + "\n"} {
		if _, err := parseCheckpoint(text); !errors.Is(err, ErrCheckpoint) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestOpenCheckpoint(t *testing.T) {
	r := newRig(t)
	r.put(stop("x"))
	s, other := newSigner(t, r, nil), newSigner(t, r, nil)
	signed, err := s.c.Sign(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCheckpoint(signed, []string{other.public, s.public}); err != nil {
		t.Error(err)
	}
	if _, err := OpenCheckpoint(signed, []string{other.public}); !errors.Is(err, ErrCheckpoint) {
		t.Errorf("by another key: %v", err)
	}
	if _, err := OpenCheckpoint(signed, nil); !errors.Is(err, ErrCheckpoint) {
		t.Errorf("by no key: %v", err)
	}
	if _, err := OpenCheckpoint(signed, []string{"x"}); err == nil {
		t.Error("a key that is none")
	}
	foreign, err := note.Sign(&note.Note{Text: Checkpoint{Origin: "else", Size: 1}.Text()}, s.c.opt.Signer())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCheckpoint(foreign, []string{s.public}); !errors.Is(err, ErrCheckpoint) {
		t.Errorf("signed under another name: %v", err)
	}
}

// TestCheckpointer signs what was committed, keeps one root a size, and copies.
func TestCheckpointer(t *testing.T) {
	r := newRig(t)
	p := &place{}
	s := newSigner(t, r, p)
	if _, err := s.c.Sign(t.Context()); !is(err, exchange.CodeNotFound) {
		t.Errorf("an empty ledger: %v", err)
	}
	r.put(stop("x"))
	first := s.sign(t)
	if again := s.sign(t); again != first || p.tries != 1 {
		t.Errorf("signed twice: %+v, copied %d times", again, p.tries)
	}
	r.put(stop("x"))
	second := s.sign(t)
	if first.Size != 1 || second.Size != 2 || len(p.notes) != 2 || second.Origin != origin {
		t.Errorf("%+v, %+v", first, second)
	}
	r.view(func(tx store.ReadTx) error {
		for _, c := range []Checkpoint{first, second} {
			row, err := tx.Checkpoint(c.Size)
			if err != nil || row.Root != [32]byte(c.Root) || row.At != r.clock.Now().UnixMilli() {
				t.Errorf("stored: %+v, %v", row, err)
			}
		}
		return nil
	})
}

// It runs behind the commits, and a second place that fails is tried again.
func TestCheckpointerFollows(t *testing.T) {
	s := open(t, t.TempDir())
	t.Cleanup(func() { _ = s.Close() })
	w := NewWriter(Options{Store: s, Clock: newClock(), Rand: zeroless{}})
	r := &rig{t: t, clock: newClock(), store: s, w: w}
	p := &place{}
	x := newSigner(t, r, p)
	w.OnCommit(x.c.Nudge)
	w.Start()
	t.Cleanup(w.Stop)
	if err := x.c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.c.Stop)
	at := func(n uint64) func() bool {
		return func() bool {
			b, err := p.Latest(t.Context())
			if err != nil {
				return false
			}
			c, err := OpenCheckpoint(b, []string{x.public})
			return err == nil && c.Size == n
		}
	}
	r.put(stop("x"))
	eventually(t, "a checkpoint of size 1", at(1))
	p.fail(errors.New("unmounted"))
	r.put(stop("x"))
	n := p.tried()
	eventually(t, "tried again and again", func() bool { return p.tried() > n+2 })
	p.fail(nil)
	eventually(t, "a checkpoint of size 2", at(2))
	if x.c.Failed() != nil {
		t.Error(x.c.Failed())
	}
}

// TestOutside is protocol.md 10: a ledger that is behind, or beside, what was
// signed before must not go on.
func TestOutside(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, "old")
	if err := os.Mkdir(old, 0o700); err != nil {
		t.Fatal(err)
	}
	p := &place{}
	s := open(t, filepath.Join(dir, "store"))
	r := start(t, s, newClock())
	x := newSigner(t, r, p)
	r.put(stop("x"))
	x.sign(t)
	r.w.Stop()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	copyStore(t, filepath.Join(dir, "store"), old) // a backup of size 1
	s = open(t, filepath.Join(dir, "store"))
	r = start(t, s, newClock())
	x.c.opt.Store = s
	r.put(stop("x"))
	x.sign(t)
	r.w.Stop()
	_ = s.Close()

	restored := open(t, old)
	t.Cleanup(func() { _ = restored.Close() })
	again := func() *Checkpointer { opt := x.c.opt; opt.Store = restored; return NewCheckpointer(opt) }
	for name, try := range map[string]func(*Checkpointer) error{
		"start": func(c *Checkpointer) error { defer c.Stop(); return c.Start(t.Context()) },
		"sign":  func(c *Checkpointer) error { _, err := c.Sign(t.Context()); return err },
	} {
		c := again()
		if err := try(c); !errors.Is(err, ErrBehindOutside) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(p.notes) != 2 {
		t.Error("the outside checkpoint was replaced")
	}
	// cut and filled up again with something else
	r = start(t, restored, newClock())
	r.put(stop("y"))
	r.put(stop("z"))
	if err := again().Start(t.Context()); !errors.Is(err, ErrForked) {
		t.Errorf("refilled: %v", err)
	}
	for name, b := range map[string][]byte{"garbage": []byte("x"), "empty": {}} {
		p.notes = append(p.notes, b)
		if err := again().Start(t.Context()); !errors.Is(err, ErrOutside) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// copyStore copies a closed store.
func copyStore(t *testing.T, from, to string) {
	t.Helper()
	files, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(from, f.Name()))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, f.Name()), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A store whose ledger does not extend its own newest checkpoint is an alarm,
// and so is a second root of a size: nothing is signed any more.
func TestForks(t *testing.T) {
	r := newRig(t)
	s := newSigner(t, r, nil)
	r.put(stop("x"))
	put := func(row store.CheckpointRow) {
		t.Helper()
		if err := r.store.Side(t.Context(), func(tx store.SideTx) error { return tx.PutCheckpoint(row) }); err != nil {
			t.Fatal(err)
		}
	}
	put(store.CheckpointRow{Size: 1, Root: [32]byte{1}, Note: []byte("n")})
	for range 2 {
		if _, err := s.c.Sign(t.Context()); !errors.Is(err, ErrForked) {
			t.Errorf("another root: %v", err)
		}
	}
	if s.c.Failed() == nil {
		t.Error("no alarm")
	}
	put(store.CheckpointRow{Size: 9, Root: [32]byte{1}, Note: []byte("n")})
	if _, err := newSigner(t, r, nil).c.Sign(t.Context()); !errors.Is(err, ErrForked) {
		t.Errorf("a checkpoint beyond the head: %v", err)
	}
}

// Somebody else signed another root of the size in between.
func TestConflictIsAnAlarm(t *testing.T) {
	r := newRig(t)
	r.put(stop("x"))
	s := newSigner(t, r, nil)
	s.c.opt.Store = conflicting{r.store}
	for range 2 {
		if _, err := s.c.Sign(t.Context()); !errors.Is(err, store.ErrConflict) {
			t.Errorf("%v", err)
		}
	}
	if s.c.Failed() == nil {
		t.Error("no alarm")
	}
}

// conflicting refuses checkpoints.
type conflicting struct{ store.Store }

func (c conflicting) Side(context.Context, func(store.SideTx) error) error { return store.ErrConflict }

func TestOutsideDirectory(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	d := NewOutsideDirectory(root)
	if _, err := d.Latest(t.Context()); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("empty: %v", err)
	}
	for _, text := range []string{"a much longer first one", "two"} {
		if err := d.Copy(t.Context(), 1, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if b, err := d.Latest(t.Context()); err != nil || string(b) != text {
			t.Errorf("%q, %v", b, err)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 || files[0].Name() != "checkpoint" {
		t.Errorf("%v, %v", files, err)
	}
	if err := root.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.Copy(t.Context(), 1, nil); err == nil {
		t.Error("copied to a directory that is gone")
	}
	if _, err := d.Latest(t.Context()); err == nil || errors.Is(err, store.ErrNotFound) {
		t.Errorf("a place that cannot be read has none: %v", err)
	}
}

func TestStopWithoutStart(t *testing.T) {
	r := newRig(t)
	newSigner(t, r, nil).c.Stop()
	NewFollower(r.store, nil).Stop()
}
