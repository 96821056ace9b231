package crashtest_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"raccordo/hub/control"
	"raccordo/hub/crashtest"
	"raccordo/hub/exchange"
	"raccordo/hub/hubtest/powercut"
)

// What a sceptic tries first: 10,000 NDJSON lines, one in a hundred bad; the
// hub is killed and its disk cut meanwhile, and the client retries with the
// same keys. What the recipients hold, by record id, is what was acknowledged,
// and the ledger balances.
func TestTenThousandLines(t *testing.T) {
	const clients, requests, lines = 2, 20, 250
	disk := powercut.New(t)
	r := crashtest.NewRun(t, reticulate(t), disk.Dir()+"/d", nil)
	r.Start()
	stop := r.Fetch()
	var all sync.WaitGroup
	for n := range clients {
		w := r.Worker(fmt.Sprintf("c%d", n), 100)
		w.BadEvery = 100
		all.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
			defer cancel()
			for range requests {
				if _, err := w.Push(ctx, w.Batch(lines)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	after(t, r, 2000, r.Rand)
	r.Hub.Kill()
	r.Restart()
	after(t, r, 2000, r.Rand)
	disk.Cut()
	r.Hub.Kill()
	disk.Remount()
	r.Restart()
	all.Wait()
	if n := r.History.Records(); n != clients*requests*lines*99/100 {
		t.Errorf("%d records acknowledged", n)
	}
	r.Repeat(r.Worker("again", 1), 10)
	r.Check(nil, crashtest.Delivered)
	stop()
}

// A recipient that takes connections and never answers: the others' delivery is
// unchanged, memory stays flat, its own records are spilled; when it comes
// back, each person's records arrive in order.
func TestRecipientThatNeverAnswers(t *testing.T) {
	const silent, other = exchange.SystemID("centro_servizi_livorno"), exchange.SystemID("sisoc_livorno")
	r := crashtest.NewRun(t, reticulate(t), "", nil)
	r.Setup.SendTimeout = time.Second
	r.Start()
	stop := r.Fetch()
	r.Recipients[silent].Be(crashtest.Hanging)
	l := &load{t: t}
	for n := range 4 {
		w := r.Worker(fmt.Sprintf("w%d", n), 1) // few persons, so that their lanes' windows fill
		w.Lines = 1
		l.all.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			defer cancel()
			if err := w.Work(ctx, func() bool { return !l.stop.Load() }); err != nil {
				t.Error(err)
			}
		})
	}
	r.Await("its records are spilled", time.Minute, func(s control.Status) bool { return s.Waiting[silent] > 100 })
	resident := r.Hub.Peak().Resident
	// The other recipients go on as if nothing were: what was accepted until now
	// reaches them while the silent one is still silent.
	want := map[exchange.RecordID]bool{}
	for _, a := range r.History.Answered() {
		for i, id := range a.Records {
			if id == nil {
				continue
			}
			for _, f := range a.Sent[i].Flows() {
				if f == "livorno_social" || f == "livorno_social_bed" || f == "livorno_social_bed_emergency" {
					want[*id] = true
				}
			}
		}
	}
	deadline := time.Now().Add(5 * time.Second)
	for missing := len(want); missing > 0; {
		missing = len(want)
		for _, a := range r.Arrivals.All() {
			if a.System == other && want[a.Record] {
				delete(want, a.Record)
				missing--
			}
			if a.System == silent {
				t.Fatal("the silent recipient received something")
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d records of the other recipient are held up", missing)
		}
		<-time.After(20 * time.Millisecond)
	}
	after(t, r, 2000, r.Rand)
	if grown := r.Hub.Peak().Resident - resident; grown > 100<<20 {
		t.Errorf("I9: memory grew by %d MiB while the recipient was silent", grown>>20)
	}
	l.end()
	r.Recipients[silent].Be(crashtest.Accepting)
	r.Check(nil, crashtest.Delivered)
	stop()
}
