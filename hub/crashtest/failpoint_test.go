//go:build faults

package crashtest_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"raccordo/hub/control"
	"raccordo/hub/crashtest"
	"raccordo/hub/exchange"
)

// F4: a record that kills the process (a stack overflow: nothing recovers from
// it) does not kill it for ever. After two deaths it is parked before it is
// touched, and all others are delivered. Needs -tags faults.
func TestFatalRecord(t *testing.T) {
	const fatal = "fatale"
	t.Setenv("FAILPOINT_FATAL_TEXT", fatal)
	r := crashtest.NewRun(t, reticulate(t), "", nil)
	r.Start()
	stop := r.Fetch()
	w := r.Worker("w", 10)
	w.BadEvery = 0
	q := w.Batch(60)
	q.Sent[30].Service, q.Sent[30].Child = "ACC_SOCIALE", nil // two recipients
	q.Sent[30].Person.Given += fatal
	pushed := make(chan error, 1)
	go func() {
		_, err := w.Push(t.Context(), q)
		pushed <- err
	}()
	deaths := 0
	for ; deaths < 8; deaths++ {
		if err := r.Hub.Wait(6 * time.Second); err == nil || strings.Contains(err.Error(), "did not end") {
			break
		}
		r.Restart()
	}
	r.Restart() // Wait has ended the one that lived
	if err := <-pushed; err != nil {
		t.Fatal(err)
	}
	if deaths < 2 || deaths > 4 { // at most two for each recipient
		t.Errorf("F4: it died %d times", deaths)
	}
	parked := func(f exchange.FlowID, row exchange.Row) bool {
		return row.State == exchange.StateDelivered || row.State == exchange.StateParked && row.Reason == exchange.ReasonSuspect
	}
	r.Check(parked, func(state string) bool { return crashtest.Delivered(state) || state == "parked" })
	page, err := control.Call[control.ParkedPage](t.Context(), r.Hub.Control(), "parked/list", control.ParkedQuery{Limit: 10})
	if err != nil || len(page.Parked) != 2 {
		t.Fatalf("F4: %d parked: %v", len(page.Parked), err)
	}
	stop()
	// Without the fault an operator has it delivered.
	if err := os.Unsetenv("FAILPOINT_FATAL_TEXT"); err != nil {
		t.Fatal(err)
	}
	r.Hub.Kill()
	r.Restart()
	var ids []uint64
	for _, p := range page.Parked {
		ids = append(ids, p.ID)
	}
	if _, err := control.Call[control.Nothing](t.Context(), r.Hub.Control(), "parked/replay",
		control.ParkedAct{IDs: ids, Reason: "fixed", OutOfOrder: true}); err != nil {
		t.Fatal(err)
	}
	r.Rest(crashtest.Delivered)
}
