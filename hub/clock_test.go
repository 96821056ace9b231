package hub_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"raccordo/hub"
	"raccordo/hub/control"
	"raccordo/hub/exchange"
	"raccordo/hub/hubtest"
)

// confirmed has an operator confirm the clock, and holds that this is the first
// entry after those that were there.
func confirmed(t *testing.T, h *hubtest.Hub, before uint64) {
	t.Helper()
	hubtest.Call[control.Nothing](h, "confirm-clock", control.Nothing{})
	h.Await("ready", func(s control.Status) bool { return s.Ready })
	list := kinds(t, h)
	require.Greater(t, uint64(len(list)), before)
	require.Equal(t, exchange.KindClock, list[before], "%v", list[before:])
	hubtest.Call[control.Nothing](h, "confirm-clock", control.Nothing{}) // a clock that is trusted needs no word
	count := 0
	for _, k := range kinds(t, h)[before:] {
		if k == exchange.KindClock {
			count++
		}
	}
	require.Equal(t, 1, count)
}

// F25, protocol.md 4.3: a hub whose clock is behind its ledger writes nothing
// and serves nobody until an operator has confirmed it.
func TestClockBehindAtStart(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	files := builtin(t)
	h := hubtest.Start(t, withClock(clock), hubtest.WithNetwork(files))
	h.Push(livorno, "service_request", request(1, "LAVORO", "LI-1"))
	h.AwaitFlow("livorno_work", exchange.StateWaiting, 1)
	before := h.Status().Entries
	h.Stop()
	clock.jump(-10 * time.Minute)
	edit(t, files, "network.yaml", "mailbox: 60d", "mailbox: 59d") // to be adopted, once it may
	h = hubtest.Start(t, withClock(clock), hubtest.WithDir(h.Dir), hubtest.WithNetwork(files))
	notReady(t, h, "behind the last entry")
	problem := unavailable(t, h.URL()+"/status")
	require.Equal(t, "clock_jump", problem["reason"])
	for op, in := range map[string]any{
		"stop-disclosures": control.StopRequest{Stopped: true, Reason: "x"},
		"consent/withdraw": control.WithdrawRequest{},
		"consent/give":     control.ConsentRequest{Person: control.Person{System: "LOCAL", Value: "PT-1", Body: "co_so"}, Purpose: "health_accompaniment", Body: "sds_pistoiese", Role: "health_service"},
		"keys/rotate":      control.RotateRequest{Keys: "signing"},
		"person/link":      control.LinkRequest{},
		"dossier/close":    control.DossierRef{},
		"parked/replay":    control.ParkedAct{Reason: "x"},
	} {
		_, err := control.Call[map[string]any](t.Context(), h.Control, op, in)
		require.Equal(t, exchange.ReasonClockJump, exchange.AsError(err).Reason, "%s: %v", op, err)
	}
	require.Equal(t, before, h.Status().Entries, "nothing is written")
	confirmed(t, h, before)
	require.Equal(t, exchange.KindAdoption, kinds(t, h)[before+1])
	fetched(t, h, "arti_livorno", 1)
	h.AwaitFlow("livorno_work", exchange.StateDelivered, 1)
	verifies(t, h)
	var last int64
	for _, e := range entries(t, h) {
		require.GreaterOrEqual(t, e.Time, last, "ledger time never goes back")
		last = e.Time
	}
}

// A hub that waits for its clock can be stopped, and leaves nothing.
func TestStopWhileTheClockWaits(t *testing.T) {
	goroutines, files := opened(t)
	clock := newTestClock()
	o := options(t, scratch(t))
	o.Clock = clock
	for _, ready := range []bool{true, false} {
		h, err := hub.New(t.Context(), o)
		require.NoError(t, err)
		require.NoError(t, h.Start(t.Context()))
		require.Equal(t, ready, h.Ready(t.Context()) == nil)
		if !ready {
			require.ErrorContains(t, h.Ready(t.Context()), "max_downtime")
		}
		stopped(t, h)
		clock.pass(31 * 24 * time.Hour)
	}
	nothingLeft(t, goroutines, files)
}

// A jump while running: refused from that moment on, whether something is
// written or not; what was accepted before is delivered after.
func TestClockJumpsWhileRunning(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	h := hubtest.Start(t, withClock(clock))
	down := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }
	h.Recipient(provider).Answer(down)
	for n := range 10 {
		h.Push(livorno, "service_request", request(n, "IGIENE", fmt.Sprintf("LI-%d", n)))
	}
	h.Push(livorno, "service_request", request(20, "LAVORO", "LI-20"))
	h.AwaitFlow("livorno_work", exchange.StateWaiting, 1)
	arti, desk := h.As("arti_livorno"), h.As(livorno)
	clock.jump(48 * time.Hour)
	notReady(t, h, "jumped")
	h.Await("what was under way has been answered", func(s control.Status) bool { return s.Behind == 0 })
	before := h.Status().Entries
	h.Recipient(provider).Answer(nil)
	require.Equal(t, "clock_jump", unavailable(t, h.URL()+"/status")["reason"])
	// Vouchers are judged by the same clock: callers ask for new ones, and then
	// are told.
	_, err := h.TryPush(livorno, "service_request", "application/json", request(30, "IGIENE", "LI-30"))
	require.Equal(t, exchange.ReasonClockJump, exchange.AsError(err).Reason, "%v", err)
	_, err = arti.Fetch(t.Context(), 0)
	require.Equal(t, exchange.ReasonClockJump, exchange.AsError(err).Reason, "%v", err)
	require.Equal(t, before, h.Status().Entries)
	require.Empty(t, h.Recipient(provider).Received())
	clock.jump(-48 * time.Hour) // put right; it is confirmed all the same
	require.False(t, h.Status().Ready)
	confirmed(t, h, before)
	h.AwaitFlow("livorno_provider", exchange.StateDelivered, 10)
	fetched(t, h, "arti_livorno", 1)
	h.AwaitFlow("livorno_work", exchange.StateDelivered, 1)
	_, err = desk.Voucher(t.Context())
	require.NoError(t, err)
	verifies(t, h)
}

// Many consents that would expire at once are taken for a wrong clock.
func TestManyConsentsExpireAtOnce(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	h := hubtest.Start(t, withClock(clock))
	for n := range 100 {
		hubtest.Call[control.Consent](h, "consent/give", control.ConsentRequest{Purpose: "health_accompaniment", Body: "sds_pistoiese",
			Role: "health_service", Person: control.Person{System: "LOCAL", Value: fmt.Sprintf("PT-%d", n), Body: "co_so"},
			Expires: clock.Now().Add(30 * time.Minute)})
	}
	clock.pass(50 * time.Minute)
	before := h.Status().Entries
	ack, err := h.TryPush(pistoia, "service_request", "application/json", accompaniment(1, "SPORTELLO", "PT-1"))
	require.NoError(t, err, "it is seen when something is to be written")
	notReady(t, h, "100 of 100 consents would expire")
	require.Equal(t, before, h.Status().Entries)
	_, err = h.TryPush(pistoia, "service_request", "application/json", accompaniment(2, "SPORTELLO", "PT-2"))
	require.Equal(t, exchange.ReasonClockJump, exchange.AsError(err).Reason)
	confirmed(t, h, before)
	h.AwaitFlow("pistoia_provider", exchange.StateDelivered, 1)
	h.AwaitFlow(health, exchange.StateWithheld, 1) // they have expired indeed
	require.NotNil(t, ack.Lines[0].Record)
	verifies(t, h)
}
