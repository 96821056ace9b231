package crashtest_test

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"raccordo/hub/control"
	"raccordo/hub/crashtest"
	"raccordo/hub/hubtest/powercut"
)

// exitInUse is what a hub ends with when it may not run as it is set up.
const exitInUse = 3

// F11: a second hub on the same data directory ends with 3 and changes nothing;
// after kill -9 no lock is left behind.
func TestSecondHub(t *testing.T) {
	r := crashtest.NewRun(t, reticulate(t), "", nil)
	r.Start()
	second := r.Setup
	for _, at := range []*string{&second.Listen, &second.Admin} {
		*at = "127.0.0.1:0"
	}
	w := r.Worker("w", 2)
	for range 2 {
		p, err := crashtest.StartProcess(second, filepath.Join(r.Dir, "second.log"))
		if err != nil {
			t.Fatal(err)
		}
		err = p.Wait(10 * time.Second)
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != exitInUse {
			t.Fatalf("F11: the second hub ended with %v", err)
		}
		if _, err := w.Push(t.Context(), w.Next()); err != nil {
			t.Fatal(err)
		}
		r.Hub.Kill()
		r.Restart()
	}
}

// F13: the disk is full, and then it is not: nothing is acknowledged that is
// not kept, the hub says so and goes on by itself or after a restart.
func TestDiskFull(t *testing.T) {
	disk := powercut.New(t)
	r := crashtest.NewRun(t, reticulate(t), disk.Dir()+"/d", nil)
	r.Start()
	stop := r.Fetch()
	l := push(t, r, 2)
	after(t, r, 200, r.Rand)
	filler := filepath.Join(disk.Dir(), "filler")
	if out, err := exec.Command("dd", "if=/dev/zero", "of="+filler, "bs=1M").CombinedOutput(); err == nil {
		t.Fatalf("the disk did not fill: %s", out)
	}
	// A refused request comes back with Retry-After; see that nothing more is
	// acknowledged once what was preallocated is used up.
	full := refusedSoon(t, r)
	r.History.Note("full", map[string]any{"refused": full})
	if out, err := exec.Command("rm", filler).CombinedOutput(); err != nil {
		t.Fatalf("rm: %s", out)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if _, err := r.Hub.Ready(ctx, 5*time.Second); err != nil {
		// A store whose commit failed stops for good: what it holds is read again.
		r.History.Note("restart", map[string]any{"why": err.Error()})
		if err := r.Hub.Terminate(20 * time.Second); err != nil {
			r.History.Note("ended", map[string]any{"with": err.Error()})
		}
		r.Restart()
	}
	after(t, r, 100, r.Rand)
	l.end()
	r.Check(nil, crashtest.Delivered)
	stop()
}

// refusedSoon waits until nothing was acknowledged for a second.
func refusedSoon(t *testing.T, r *crashtest.Run) bool {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	last, since := r.History.Records(), time.Now()
	for time.Now().Before(deadline) {
		<-time.After(20 * time.Millisecond)
		if n := r.History.Records(); n != last {
			last, since = n, time.Now()
		}
		if time.Since(since) > time.Second {
			return true
		}
	}
	t.Error("F13: a full disk refused nothing")
	return false
}

// F25: a clock that is a year ahead of the last entry is not believed: nothing
// is accepted or disclosed until an operator has confirmed it.
func TestClockJump(t *testing.T) {
	r := crashtest.NewRun(t, reticulate(t), "", nil)
	r.Start()
	w := r.Worker("w", 2)
	if _, err := w.Push(t.Context(), w.Next()); err != nil {
		t.Fatal(err)
	}
	if err := r.Hub.Terminate(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	r.Setup.ClockAhead = 60 * 24 * time.Hour
	r.Launch()
	if _, err := r.Hub.Ready(t.Context(), time.Second); err == nil {
		t.Fatal("F25: ready at once")
	}
	s := r.Await("why", 10*time.Second, func(s control.Status) bool { return s.Why != "" && s.Why != "starting" })
	if s.Ready || !strings.Contains(s.Why, "clock") {
		t.Fatalf("F25: %v %q", s.Ready, s.Why)
	}
	before := s.Entries
	if _, err := control.Call[control.Nothing](t.Context(), r.Hub.Control(), "confirm-clock", control.Nothing{}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Hub.Ready(t.Context(), 10*time.Second); err != nil {
		t.Fatalf("F25: confirmed and not ready: %v", err)
	}
	if s := r.Await("a confirmation in the ledger", 5*time.Second, func(s control.Status) bool { return s.Entries > before }); !s.Ready {
		t.Fatal("F25: not ready")
	}
}

// F20: the disk becomes read-only: nothing is acknowledged, readiness says so,
// and what was acknowledged is there when it can be written again.
func TestReadOnlyDisk(t *testing.T) {
	disk := powercut.New(t)
	r := crashtest.NewRun(t, reticulate(t), disk.Dir()+"/d", nil)
	r.Start()
	stop := r.Fetch()
	l := push(t, r, 2)
	after(t, r, 200, r.Rand)
	// As a failing disk does: the file system goes read-only under open files.
	if out, err := exec.Command("mount", "-o", "remount,abort", disk.Dir()).CombinedOutput(); err != nil {
		t.Skipf("the file system cannot be made read-only here: %s", out)
	}
	refusedSoon(t, r)
	if _, err := r.Hub.Ready(t.Context(), 500*time.Millisecond); err == nil {
		t.Error("F20: ready on a disk that cannot be written")
	}
	r.Hub.Kill()
	disk.Remount()
	r.Restart()
	after(t, r, 50, r.Rand)
	l.end()
	r.Check(nil, crashtest.Delivered)
	stop()
}
