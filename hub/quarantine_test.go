package hub_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"raccordo/hub"
	"raccordo/hub/control"
	"raccordo/hub/exchange"
	"raccordo/hub/hubtest"
)

func oneLane(o *hub.Options) { o.Config.Stream.Lanes = 1 }

// isolated holds that a hub serves nobody and why, and that it has written
// nothing. entries are those there were.
func isolated(t *testing.T, h *hubtest.Hub, why string, entries uint64) {
	t.Helper()
	notReady(t, h, why)
	problem := unavailable(t, h.URL()+"/status")
	require.Equal(t, "quarantined", problem["reason"])
	for op, in := range map[string]any{
		"stop-disclosures": control.StopRequest{Stopped: true, Reason: "x"},
		"consent/give":     control.ConsentRequest{},
		"consent/withdraw": control.WithdrawRequest{},
		"parked/discard":   control.ParkedAct{Reason: "x"},
		"keys/rotate":      control.RotateRequest{Keys: "signing"},
	} {
		_, err := control.Call[map[string]any](t.Context(), h.Control, op, in)
		require.Equal(t, exchange.ReasonQuarantined, exchange.AsError(err).Reason, "%s: %v", op, err)
	}
	require.Equal(t, entries, h.Status().Entries, "nothing is written")
}

// The stream is emptied, or an older copy: the store has seen more of it
// (protocol.md 3.4).
func TestStreamOlderThanTheStore(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, dir, older string){
		"emptied": func(t *testing.T, dir, _ string) { require.NoError(t, os.RemoveAll(filepath.Join(dir, "stream"))) },
		"an older copy": func(t *testing.T, dir, older string) {
			replace(t, filepath.Join(older, "stream"), filepath.Join(dir, "stream"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := hubtest.Start(t)
			h.Push(livorno, "service_request", request(1, "IGIENE", "LI-1"))
			h.AwaitFlow("livorno_provider", exchange.StateDelivered, 1)
			h.Stop()
			older := filepath.Join(scratch(t), "d")
			replace(t, h.Dir, older)
			h.Restart()
			h.Push(livorno, "service_request", request(2, "IGIENE", "LI-1"))
			h.Push(livorno, "service_request", request(3, "LAVORO", "LI-1"))
			h.AwaitFlow("livorno_provider", exchange.StateDelivered, 2)
			h.AwaitFlow("livorno_work", exchange.StateWaiting, 1)
			entries := h.Status().Entries
			h.Stop()
			spoil(t, h.Dir, older)
			h.Restart()
			isolated(t, h, "stream", entries)
			require.Len(t, h.Recipient(provider).Received(), 2)
		})
	}
}

// Another frame stands where a cursor is: the stream is of another history of
// the same hub. Its lane is quarantined, pushes are refused.
func TestStreamOfAnotherHistory(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t, hubtest.With(oneLane))
	h.Push(livorno, "service_request", request(1, "IGIENE", "LI-1"))
	h.AwaitFlow("livorno_provider", exchange.StateDelivered, 1)
	h.Stop()
	other := filepath.Join(scratch(t), "d")
	replace(t, h.Dir, other)
	h.Restart()
	h.Push(livorno, "service_request", request(2, "IGIENE", "LI-1"))
	h.AwaitFlow("livorno_provider", exchange.StateDelivered, 2)
	h.Stop()
	o := hubtest.Start(t, hubtest.With(oneLane), hubtest.WithDir(other))
	o.Push(livorno, "service_request", request(3, "IGIENE", "LI-2"))
	o.AwaitFlow("livorno_provider", exchange.StateDelivered, 2)
	o.Stop()
	replace(t, filepath.Join(other, "stream"), filepath.Join(h.Dir, "stream"))
	h.Restart()
	notReady(t, h, "lane is quarantined")
	s := h.Status()
	require.Len(t, s.Quarantined, 1, "the other class was never written")
	require.Contains(t, s.Quarantined[0], "prompt/0: ")
	require.Contains(t, s.Quarantined[0], "another frame")
	refused(t, h, 4, exchange.ReasonQuarantined)
	require.NoError(t, h.Tidy(t.Context()), "and nothing is given up")
	// What narrows disclosure goes on: the ledger itself is whole.
	hubtest.Call[control.Entry](h, "stop-disclosures", control.StopRequest{Stopped: true, Reason: "test"})
	require.True(t, h.Status().Stopped)
}

// F22: an old backup is put back whole. The checkpoint at the second place knows
// more than the ledger, so nothing is accepted, disclosed or written.
func TestOldBackupPutBack(t *testing.T) {
	t.Parallel()
	second := t.TempDir()
	copied := hubtest.With(func(o *hub.Options) { o.Config.Checkpoint.CopyTo = second })
	h := hubtest.Start(t, copied)
	person := control.Person{System: "LOCAL", Value: "PT-1", Body: "co_so"}
	consent := give(h, person)
	h.Push(pistoia, "service_request", accompaniment(1, "SPORTELLO", "PT-1"))
	fetched(t, h, salute, 1)
	h.AwaitFlow(health, exchange.StateDelivered, 1)
	entries := h.Status().Entries
	h.Stop()
	backup := filepath.Join(scratch(t), "d")
	replace(t, h.Dir, backup)
	h.Restart()
	hubtest.Call[control.ConsentEnd](h, "consent/withdraw", control.WithdrawRequest{Consent: consent.ID})
	h.Stop()
	replace(t, backup, h.Dir) // the withdrawal is forgotten
	h.Restart()
	isolated(t, h, "behind its outside checkpoint", entries)
	_, err := control.Call[control.Checkpoint](t.Context(), h.Control, "ledger/checkpoint", control.Nothing{})
	require.Error(t, err, "and nothing is signed")
	h.Stop()

	// Without the second place nobody can know (protocol.md 4.6).
	o := hubtest.Start(t, hubtest.WithDir(h.Dir))
	require.True(t, o.Status().Ready)
}
