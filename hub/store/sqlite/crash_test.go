package sqlite_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"raccordo/hub/exchange"
	"raccordo/hub/hubtest/powercut"
	"raccordo/hub/store"
	"raccordo/hub/store/sqlite"
	"raccordo/hub/store/storetest"
)

// childDir tells a child of this test binary which store to write.
const childDir = "RACCORDO_TEST_STORE_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := writeForEver(dir, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// writeForEver has several writers commit ledger and side transactions; every
// acknowledged one is a line "kind writer n" on out.
func writeForEver(dir string, out io.Writer) error {
	s, err := sqlite.Open(context.Background(), sqlite.Options{Dir: dir, Rand: rand.Reader})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "open")
	var mu sync.Mutex
	errs := make(chan error)
	for w := range 4 {
		go func() {
			for n := 0; ; n++ {
				kind, err := commitOne(s, w, n)
				if err != nil {
					errs <- err
					return
				}
				mu.Lock()
				_, err = fmt.Fprintln(out, kind, w, n)
				mu.Unlock()
				if err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	return <-errs
}

func counterName(w int) string { return "writer_" + strconv.Itoa(w) }

// commitOne writes, for the n-th turn of a writer, a claim with a counter that
// follows it, or a mark of progress with a state.
func commitOne(s store.Store, w, n int) (string, error) {
	ctx := context.Background()
	if n%2 == 0 {
		return "ledger", s.Ledger(ctx, func(tx store.LedgerTx) error {
			e := storetest.ClaimEntry(w, 20)
			_, _ = rand.Read(e.ID[:])
			seq, err := storetest.Append(tx, e)
			if err != nil {
				return err
			}
			_, err = tx.Next(counterName(w), 1, uint64(n)+1)
			return errors.Join(err, tx.PutClaims([]store.Claim{storetest.ClaimOf(seq, e)}), tx.CloseClaims([]uint64{seq - min(seq, 50)}))
		})
	}
	return "side", s.Side(ctx, func(tx store.SideTx) error {
		return errors.Join(tx.SetProgress(counterName(w), int64(n)),
			tx.PutStatus([]store.StatusRow{{Record: exchange.RecordID{byte(w), byte(n), byte(n >> 8)}, Flow: 1, State: exchange.StateDelivered, Seq: uint64(n)}}))
	})
}

// acknowledged are the highest turns of each kind and writer.
type acknowledged map[string]int

// read adds what a child said until it ends, calling enough after so many
// lines; the last line may be cut.
func (a acknowledged) read(r io.Reader, lines int, enough func()) error {
	scanner := bufio.NewScanner(r)
	for scanner.Scan() {
		if lines--; lines == 0 {
			enough()
		}
		f := strings.Fields(scanner.Text())
		if len(f) != 3 {
			continue
		}
		n, err := strconv.Atoi(f[2])
		if err != nil {
			return err
		}
		key := f[0] + " " + f[1]
		a[key] = max(a[key], n)
	}
	return scanner.Err()
}

// verify opens the store and looks for everything that was acknowledged.
func (a acknowledged) verify(dir string) error {
	ctx := context.Background()
	s, err := sqlite.Open(ctx, sqlite.Options{Dir: dir, Rand: rand.Reader})
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Check(ctx); err != nil {
		return err
	}
	err = s.View(ctx, func(tx store.ReadTx) error {
		for key, n := range a {
			kind, w, _ := strings.Cut(key, " ")
			if kind != "side" {
				continue
			}
			if at, _, err := tx.Progress("writer_" + w); err != nil || at < int64(n) {
				return fmt.Errorf("writer %s: side turn %d was acknowledged, found %d: %w", w, n, at, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.Ledger(ctx, func(tx store.LedgerTx) error {
		for key, n := range a {
			kind, w, _ := strings.Cut(key, " ")
			if kind != "ledger" {
				continue
			}
			if next, err := tx.Next("writer_"+w, 0, 0); err != nil || next < uint64(n)+2 {
				return fmt.Errorf("writer %s: ledger turn %d was acknowledged, the counter is %d: %w", w, n, next, err)
			}
		}
		return nil
	})
}

// startChild runs this binary as a writer and gives what it says.
func startChild(t testing.TB, dir string) (*exec.Cmd, io.ReadCloser) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

// TestKills kills a writing process again and again on the same store.
func TestKills(t *testing.T) {
	dir := t.TempDir()
	for i := range powercut.Kills(t) {
		cmd, out := startChild(t, dir)
		a := acknowledged{}
		if err := a.read(out, 20+(397*i)%2000, func() { _ = cmd.Process.Kill() }); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if err := a.verify(dir); err != nil {
			t.Fatalf("kill %d: %v", i, err)
		}
		if len(a) == 0 {
			t.Fatalf("kill %d: the child acknowledged nothing", i)
		}
	}
}

// TestPowerCuts takes the power from the disk under a writing process, again
// and again on the same store.
func TestPowerCuts(t *testing.T) {
	disk := powercut.New(t)
	dir := filepath.Join(disk.Dir(), "data")
	for i := range powercut.Cuts(t) {
		cmd, out := startChild(t, dir)
		a := acknowledged{}
		err := a.read(out, 30+(811*i)%4000, func() {
			disk.Cut()
			_ = cmd.Process.Kill()
		})
		if err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		disk.Remount()
		if err := a.verify(dir); err != nil {
			t.Fatalf("cut %d: %v", i, err)
		}
		if len(a) == 0 {
			t.Fatalf("cut %d: the child acknowledged nothing", i)
		}
	}
}
