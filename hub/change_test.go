package hub_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"raccordo/hub/control"
	"raccordo/hub/exchange"
	"raccordo/hub/hubtest"
)

// without takes flows out of a file of flows.
func without(t *testing.T, files fstest.MapFS, name string, flows ...string) {
	t.Helper()
	var doc struct {
		Flows []map[string]any `yaml:"flows"`
	}
	require.NoError(t, yaml.Unmarshal(files[name].Data, &doc))
	kept, removed := doc.Flows[:0], 0
	for _, f := range doc.Flows {
		if strings.Contains(strings.Join(flows, " ")+" ", f["id"].(string)+" ") {
			removed++
			continue
		}
		kept = append(kept, f)
	}
	require.Equal(t, len(flows), removed)
	doc.Flows = kept
	b, err := yaml.Marshal(doc)
	require.NoError(t, err)
	files[name] = &fstest.MapFile{Data: b}
}

// A flow that is removed: what waits and what nobody has decided yet ends as
// withheld, flow_ended; what else goes on (protocol.md 2.2).
func TestFlowsThatAreRemoved(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	work := h.Push(livorno, "service_request", request(1, "LAVORO", "LI-1"))
	h.AwaitFlow("livorno_work", exchange.StateWaiting, 1)
	hubtest.Call[control.Entry](h, "stop-disclosures", control.StopRequest{Stopped: true, Reason: "test"})
	for n := range 5 {
		h.Push(livorno, "service_request", request(2+n, "IGIENE", fmt.Sprintf("LI-%d", n)))
	}
	residence := h.Push(livorno, "service_request", request(9, "RESIDENZA", "LI-9")) // social service and registry office
	h.Await("all are known", func(s control.Status) bool {
		n := int64(0)
		for _, c := range s.Flows["livorno_provider"] {
			n += c
		}
		return n == 5
	})
	dir := h.Dir
	h.Stop()

	files := builtin(t)
	without(t, files, "flows/livorno.yaml", "livorno_work", "livorno_provider", "livorno_registry")
	h = hubtest.Start(t, hubtest.WithDir(dir), hubtest.WithNetwork(files))
	hubtest.Call[control.Entry](h, "stop-disclosures", control.StopRequest{Stopped: false, Reason: "test"})
	h.Await("the removed flows have ended", func(s control.Status) bool {
		return s.Behind == 0 && s.Flows["livorno_work"]["withheld"] == 1 && s.Flows["livorno_provider"]["withheld"] == 5 &&
			s.Flows["livorno_registry"]["withheld"] == 1 && s.Flows["livorno_social"]["delivered"] == 1 && s.Imbalance == 0
	})
	require.Empty(t, h.Recipient(provider).Received())
	for record, flow := range map[exchange.RecordID]exchange.FlowID{work: "livorno_work", residence: "livorno_registry"} {
		status, err := h.As(livorno).RecordStatus(t.Context(), "service_request", record)
		require.NoError(t, err)
		found := false
		for _, r := range status.Recipients {
			if r.Flow == flow {
				found = true
				require.Equal(t, "not_released", r.State)
				require.Empty(t, r.Reason)
				require.NotEmpty(t, r.Body, "the sender named it when it pushed")
			}
		}
		require.True(t, found)
	}
	require.Equal(t, http.StatusNotFound, statusOf(t, h, "arti_livorno"), "its mailbox is no more")
	verifies(t, h)
}

// statusOf is what a system gets from its mailbox.
func statusOf(t *testing.T, h *hubtest.Hub, system exchange.SystemID) int {
	t.Helper()
	_, err := h.As(system).Fetch(t.Context(), 0)
	switch e := exchange.AsError(err); {
	case err == nil:
		return http.StatusOK
	case e.Code == exchange.CodeNotFound:
		return http.StatusNotFound
	default:
		t.Fatalf("mailbox of %s: %v", system, err)
		return 0
	}
}

// A role that ends while a record waits: it is not released any more, though
// the network is the same (days are days in Europe/Rome).
func TestRoleThatEndsWhileARecordWaits(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	rome, err := time.LoadLocation("Europe/Rome")
	require.NoError(t, err)
	files := builtin(t)
	edit(t, files, "bodies/arti.yaml", "{role: employment_service, territory: livorno, from: 2026-01-01}",
		"{role: employment_service, territory: livorno, from: 2026-01-01, until: "+clock.Now().In(rome).Format(time.DateOnly)+"}")
	h := hubtest.Start(t, hubtest.WithNetwork(files), withClock(clock))
	h.Push(livorno, "service_request", request(1, "LAVORO", "LI-1"))
	h.AwaitFlow("livorno_work", exchange.StateWaiting, 1)
	clock.pass(25 * time.Hour)
	h.Push(livorno, "service_request", request(2, "IGIENE", "LI-1"))
	h.AwaitFlow("livorno_provider", exchange.StateDelivered, 1)
	h.Await("withheld", func(s control.Status) bool {
		require.Empty(t, h.Fetch("arti_livorno"))
		return s.Behind == 0 && s.Flows["livorno_work"]["withheld"] == 1
	})
	verifies(t, h)
}
