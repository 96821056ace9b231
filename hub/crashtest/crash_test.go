package crashtest_test

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"raccordo/deploy/networks"
	"raccordo/hub/crashtest"
	"raccordo/hub/exchange"
	"raccordo/hub/hubtest/powercut"
)

func reticulate(t testing.TB) fs.FS {
	t.Helper()
	all, err := networks.FS()
	if err != nil {
		t.Fatal(err)
	}
	return all["reticulate"]
}

// load is workers that push until it is stopped.
type load struct {
	t    testing.TB
	all  sync.WaitGroup
	stop atomic.Bool
}

func push(t testing.TB, r *crashtest.Run, workers int) *load {
	t.Helper()
	l := &load{t: t}
	for n := range workers {
		w := r.Worker(fmt.Sprintf("w%d", n), 8)
		l.all.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
			defer cancel()
			if err := w.Work(ctx, func() bool { return !l.stop.Load() }); err != nil {
				t.Error(err)
			}
		})
	}
	return l
}

// end lets every request that was begun come to its answer.
func (l *load) end() {
	l.t.Helper()
	l.stop.Store(true)
	l.all.Wait()
}

// after waits for a random while of load: until so many more records were
// acknowledged, and a moment that the seed chooses.
func after(t testing.TB, r *crashtest.Run, records int, rnd *rand.Rand) {
	t.Helper()
	target := r.History.Records() + records
	deadline := time.Now().Add(30 * time.Second)
	for r.History.Records() < target {
		if time.Now().After(deadline) {
			t.Fatalf("%d records acknowledged in half a minute, wanted %d", r.History.Records(), target)
		}
		<-time.After(time.Millisecond)
	}
	<-time.After(time.Duration(rnd.IntN(50)) * time.Millisecond)
}

// moody has recipients refuse for now (503), answer and refuse again until the
// returned function is called.
func moody(r *crashtest.Run) (calm func()) {
	ctx, cancel := context.WithCancel(context.Background())
	rnd := rand.New(rand.NewPCG(r.Seed, 99))
	var all sync.WaitGroup
	all.Go(func() {
		systems := slices.Sorted(maps.Keys(r.Recipients))
		for ctx.Err() == nil {
			mood := crashtest.Accepting
			if rnd.IntN(3) == 0 {
				mood = crashtest.Unwell
			}
			r.Recipients[systems[rnd.IntN(len(systems))]].Be(mood)
			select {
			case <-ctx.Done():
			case <-time.After(time.Duration(5+rnd.IntN(30)) * time.Millisecond):
			}
		}
	})
	return func() {
		cancel()
		all.Wait()
		for _, x := range r.Recipients {
			x.Be(crashtest.Accepting)
		}
	}
}

// F1: killed at random under load, with recipients in changing moods, and
// started again at once.
func TestKill(t *testing.T) {
	r := crashtest.NewRun(t, reticulate(t), "", nil)
	r.Start()
	stop := r.Fetch()
	calm := moody(r)
	l := push(t, r, 4)
	for range powercut.Kills(t) {
		after(t, r, 50+r.Rand.IntN(400), r.Rand)
		r.Hub.Kill()
		r.History.Note("killed", nil)
		r.Restart()
	}
	after(t, r, 50, r.Rand)
	l.end()
	calm()
	r.Repeat(r.Worker("again", 1), 50)
	r.Check(nil, crashtest.Delivered)
	stop()
}

// F31: the connection is cut after the recipient has read everything. The
// outcome is unknown; it is sent again under the same disclosure ids.
func TestLostAnswers(t *testing.T) {
	r := crashtest.NewRun(t, reticulate(t), "", nil)
	r.Start()
	stop := r.Fetch()
	l := push(t, r, 2)
	for range 5 {
		for _, x := range r.Recipients {
			x.Be(crashtest.Forgetful)
		}
		n := len(r.Arrivals.All())
		deadline := time.Now().Add(10 * time.Second)
		for len(r.Arrivals.All()) < n+20 && time.Now().Before(deadline) {
			<-time.After(time.Millisecond)
		}
		for _, x := range r.Recipients {
			x.Be(crashtest.Accepting)
		}
		after(t, r, 20, r.Rand)
	}
	l.end()
	// Five unknown outcomes in a row, and a record is parked (protocol.md 5.7).
	rests := func(_ exchange.FlowID, row exchange.Row) bool {
		return row.State == exchange.StateDelivered || row.State == exchange.StateParked && row.Reason == exchange.ReasonUnknownOutcome
	}
	r.Check(rests, func(state string) bool { return crashtest.Delivered(state) || state == "parked" })
	stop()
	seen, twice := map[exchange.DisclosureID]bool{}, 0
	for _, a := range r.Arrivals.All() {
		if seen[a.Disclosure] {
			twice++
		}
		seen[a.Disclosure] = true
	}
	if twice == 0 {
		t.Error("nothing was sent again: no answer was lost")
	}
}

// F16: the power goes under load. What was acknowledged had reached the disk.
func TestPowerCut(t *testing.T) {
	disk := powercut.New(t)
	r := crashtest.NewRun(t, reticulate(t), disk.Dir()+"/d", nil)
	r.Start()
	stop := r.Fetch()
	l := push(t, r, 4)
	for range powercut.Cuts(t) {
		after(t, r, 50+r.Rand.IntN(400), r.Rand)
		disk.Cut()
		r.History.Note("power cut", nil)
		r.Hub.Kill()
		disk.Remount()
		r.Restart()
	}
	after(t, r, 50, r.Rand)
	l.end()
	r.Repeat(r.Worker("again", 1), 50)
	r.Check(nil, crashtest.Delivered)
	stop()
}

// F5: SIGTERM under load drains: the hub ends by itself and in order, what was
// under way is settled, nothing is parked because it was cancelled.
func TestTerminate(t *testing.T) {
	r := crashtest.NewRun(t, reticulate(t), "", nil)
	r.Start()
	stop := r.Fetch()
	l := push(t, r, 4)
	for range 3 {
		after(t, r, 50+r.Rand.IntN(200), r.Rand)
		if err := r.Hub.Terminate(20 * time.Second); err != nil {
			t.Fatalf("F5: SIGTERM: %v", err)
		}
		r.History.Note("terminated", nil)
		r.Restart()
	}
	l.end()
	r.Check(nil, crashtest.Delivered)
	stop()
}
