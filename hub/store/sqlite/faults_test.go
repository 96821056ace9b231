package sqlite_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
	"raccordo/hub/store/sqlite"
)

func open(t testing.TB, dir string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(context.Background(), sqlite.Options{Dir: dir, Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func fails(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func progress(s store.Store, n int64) error {
	return s.Side(context.Background(), func(tx store.SideTx) error { return tx.SetProgress("test", n) })
}

func reopen(dir string, hub exchange.HubID) error {
	s, err := sqlite.Open(context.Background(), sqlite.Options{Dir: dir, Hub: hub})
	if err != nil {
		return err
	}
	return s.Close()
}

func TestInUse(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	fails(t, reopen(dir, s.Hub()), store.ErrInUse)
	must(t, s.Close())
	must(t, reopen(dir, s.Hub()))

	// and against another process, also after it was killed
	cmd, out := startChild(t, dir)
	a := acknowledged{}
	must(t, a.read(out, 5, func() {
		if err := reopen(dir, s.Hub()); !errors.Is(err, store.ErrInUse) {
			t.Errorf("got %v, want ErrInUse", err)
		}
		_ = cmd.Process.Kill()
	}))
	_ = cmd.Wait()
	must(t, reopen(dir, s.Hub()))
}

func TestForeign(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	hub := s.Hub()
	must(t, s.Close())
	other := hub
	other[3]++
	fails(t, reopen(dir, other), store.ErrForeign)
	must(t, reopen(dir, hub))
	must(t, reopen(dir, exchange.HubID{}))
	// a new store takes the identity it is given, and needs one or randomness
	fresh := t.TempDir()
	must(t, reopen(fresh, other))
	fails(t, reopen(fresh, hub), store.ErrForeign)
	if err := reopen(t.TempDir(), exchange.HubID{}); err == nil {
		t.Fatal("a store without identity")
	}
}

func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, dir)
	must(t, progress(s, 1))
	files, err := os.ReadDir(dir)
	must(t, err)
	for _, f := range files {
		info, err := f.Info()
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", f.Name(), info.Mode())
		}
	}
	info, err := os.Stat(dir)
	must(t, err)
	if info.Mode().Perm() != 0o700 {
		t.Errorf("directory has mode %v", info.Mode())
	}
}

// TestGoexit: a function that ends its goroutine, as a failing test does, ends
// neither the writer nor the wait of its caller.
func TestGoexit(t *testing.T) {
	s := open(t, t.TempDir())
	err := s.Side(context.Background(), func(tx store.SideTx) error {
		if err := tx.SetProgress("test", 9); err != nil {
			return err
		}
		runtime.Goexit()
		return nil
	})
	if err == nil {
		t.Fatal("acknowledged")
	}
	must(t, s.View(context.Background(), func(tx store.ReadTx) error {
		if _, ok, err := tx.Progress("test"); ok || err != nil {
			return errors.Join(err, errors.New("what it wrote is there"))
		}
		return nil
	}))
	must(t, progress(s, 1))
}

// TestPanicIsNotLogged: what a function panics with is shown nowhere.
func TestPanicIsNotLogged(t *testing.T) {
	var log bytes.Buffer
	s, err := sqlite.Open(context.Background(), sqlite.Options{Dir: t.TempDir(), Rand: rand.Reader, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	must(t, err)
	defer s.Close()
	err = s.Side(context.Background(), func(store.SideTx) error { panic("canary value") })
	fails(t, err, sqlite.ErrPanicked)
	if strings.Contains(log.String()+err.Error(), "canary") || !strings.Contains(log.String(), "panicked") {
		t.Fatalf("log: %s error: %v", log.String(), err)
	}
}

// TestFilesGone: what is written to a file that has no name any more must not
// be acknowledged.
func TestFilesGone(t *testing.T) {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		for _, how := range []string{"removed", "replaced"} {
			t.Run("file"+suffix+" "+how, func(t *testing.T) {
				dir := t.TempDir()
				s := open(t, dir)
				must(t, progress(s, 1))
				path := filepath.Join(dir, sqlite.FileName+suffix)
				must(t, os.Rename(path, path+".away"))
				if how == "replaced" {
					b, err := os.ReadFile(path + ".away")
					must(t, err)
					must(t, os.WriteFile(path, b, 0o600))
				}
				err := progress(s, 2)
				fails(t, err, store.ErrUnknownOutcome)
				fails(t, err, sqlite.ErrReplaced)
				fails(t, progress(s, 3), store.ErrStopped)
				fails(t, s.Ledger(context.Background(), func(store.LedgerTx) error { return nil }), store.ErrStopped)
				fails(t, s.View(context.Background(), func(store.ReadTx) error { return nil }), store.ErrStopped)
			})
		}
	}
}

// smallDisk mounts a file system of so many bytes, or skips.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a small file system needs root")
	}
	dir := t.TempDir()
	if err := unix.Mount("raccordo-test", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// TestDiskFull fills the disk: transactions are refused with a certain no,
// nothing acknowledged is lost, and when there is room again it goes on by
// itself.
func TestDiskFull(t *testing.T) {
	dir := smallDisk(t, "4000k")
	s := open(t, dir)
	ctx := context.Background()
	evidence := make([]byte, 20_000)
	put := func(n int) error {
		return s.Side(ctx, func(tx store.SideTx) error {
			return errors.Join(tx.PutEvidence(exchange.ConsentID{byte(n), byte(n >> 8), 1}, evidence), tx.SetProgress("test", int64(n)))
		})
	}
	ballast := filepath.Join(dir, "ballast")
	must(t, os.WriteFile(ballast, make([]byte, 600_000), 0o600))
	last := 0
	fill := func() {
		for n := last + 1; n < last+1000; n++ {
			if err := put(n); err != nil {
				fails(t, err, store.ErrFull)
				if errors.Is(err, store.ErrUnknownOutcome) {
					t.Fatalf("a full disk is a certain no: %v", err)
				}
				last = n - 1
				return
			}
		}
		t.Fatal("the disk was never full")
	}
	see := func() {
		t.Helper()
		must(t, s.View(ctx, func(tx store.ReadTx) error {
			at, _, err := tx.Progress("test")
			if at != int64(last) {
				t.Errorf("progress %d, acknowledged %d", at, last)
			}
			_, missing := tx.Evidence(exchange.ConsentID{byte(last + 1), byte((last + 1) >> 8), 1})
			if !errors.Is(missing, store.ErrNotFound) {
				t.Errorf("what was refused is there: %v", missing)
			}
			return err
		}))
	}
	fill()
	if last == 0 {
		t.Fatal("nothing was acknowledged before the disk was full")
	}
	see()
	must(t, os.Remove(ballast))
	must(t, put(last+1))
	last++
	fill()
	see()
	must(t, s.Check(ctx))
	_ = s.Close()
	s = open(t, dir)
	see()
	must(t, s.Check(ctx))
}

// TestSyncFails has the kernel refuse to sync once, in a child: nothing is
// acknowledged after it, the engine stops, and everything acknowledged before
// is there.
func TestSyncFails(t *testing.T) {
	if os.Getenv("CI") == "" && testing.Short() {
		t.Skip("short")
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	for _, fault := range []string{"fsync:error=EIO:when=10", "fsync:error=EIO:when=40", "pwrite64:error=EIO:when=60", "pwrite64:error=EIO:when=900", "pwrite64:error=EIO:when=900+"} {
		t.Run(fault, func(t *testing.T) {
			dir := t.TempDir()
			name, _, _ := strings.Cut(fault, ":")
			cmd := exec.Command(strace, "-f", "-qq", "-o", os.DevNull, "-e", "trace="+name, "-e", "inject="+fault, os.Args[0])
			cmd.Env = append(os.Environ(), childDir+"="+dir, "GOMAXPROCS=1")
			var says bytes.Buffer
			cmd.Stderr = &says
			out, err := cmd.StdoutPipe()
			must(t, err)
			must(t, cmd.Start())
			a := acknowledged{}
			must(t, a.read(out, 1_000_000, func() { _ = cmd.Process.Kill() }))
			if err := cmd.Wait(); err == nil {
				t.Fatal("the child did not stop")
			}
			if strings.Contains(says.String(), "PTRACE") || strings.Contains(says.String(), "ptrace") {
				t.Skip("strace may not trace here")
			}
			t.Logf("%d writers heard, the child said: %s", len(a), strings.TrimSpace(says.String()))
			must(t, a.verify(dir))
		})
	}
}
