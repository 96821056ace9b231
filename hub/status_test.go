package hub_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"raccordo/hub/client"
	"raccordo/hub/control"
	"raccordo/hub/exchange"
	"raccordo/hub/hubtest"
)

// seenBy is what a sender sees of a flow.
func seenBy(t *testing.T, h *hubtest.Hub, system exchange.SystemID, record exchange.RecordID, flow exchange.FlowID) client.Recipient {
	t.Helper()
	status, err := h.As(system).RecordStatus(t.Context(), "service_request", record)
	require.NoError(t, err)
	require.Equal(t, record, status.Record)
	for _, r := range status.Recipients {
		if r.Flow == flow {
			return r
		}
	}
	t.Fatalf("no flow %s in %+v", flow, status.Recipients)
	return client.Recipient{}
}

// ask is a request with a voucher, raw.
func ask(t *testing.T, h *hubtest.Hub, system exchange.SystemID, path string) (int, []byte) {
	t.Helper()
	v, err := h.As(system).Voucher(t.Context())
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.URL()+path, nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+v.Token)
	status, _, raw := answer(t, req)
	body, _, _ := bytes.Cut(raw, []byte("map[")) // headers: rates are each system's own
	return status, body
}

// A record is there for its sender the moment it is acknowledged, before its
// row is in the store.
func TestStatusRightAfterThePush(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	c := h.As(livorno)
	for n := range 100 {
		record := h.Push(livorno, "service_request", request(n, "LAVORO", fmt.Sprintf("LI-%d", n)))
		status, err := c.RecordStatus(t.Context(), "service_request", record)
		require.NoError(t, err)
		require.Len(t, status.Recipients, 1)
		require.Equal(t, "pending", status.Recipients[0].State)
		require.Equal(t, exchange.BodyID("arti"), status.Recipients[0].Body)
	}
}

// Somebody else's record is answered like one that is not there, byte for byte.
func TestStatusOfAnothersRecord(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	record := h.Push(livorno, "service_request", request(1, "LAVORO", "LI-1"))
	h.AwaitFlow("livorno_work", exchange.StateWaiting, 1)
	absent := record
	absent[0] ^= 1
	status, nothing := ask(t, h, livorno, "/v1/records/service_request/"+absent.String())
	require.Equal(t, http.StatusNotFound, status)
	for system, path := range map[exchange.SystemID]string{
		pistoia:        "/v1/records/service_request/" + record.String(),
		"arti_livorno": "/v1/records/service_request/" + record.String(), // who waits for it
		livorno:        "/v1/records/social_benefit/" + record.String(),
	} {
		status, got := ask(t, h, system, path)
		require.Equal(t, http.StatusNotFound, status, "%s", system)
		require.Equal(t, string(nothing), string(got), "%s", system)
	}
}

// What a sender sees as a record goes its way, and the reasons only where the
// clause lists them.
func TestStatusAsTheClauseHasIt(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	person := control.Person{System: "LOCAL", Value: "PT-1", Body: "co_so"}
	first := h.Push(pistoia, "service_request", accompaniment(1, "SPORTELLO", "PT-1"))
	h.AwaitFlow(health, exchange.StateWaiting, 1)
	r := seenBy(t, h, pistoia, first, health)
	require.Equal(t, "pending", r.State)
	require.Equal(t, exchange.ReasonConsentMissing, r.Reason, "the desk is to ask for it")
	h.AwaitFlow("pistoia_provider", exchange.StateDelivered, 1)
	r = seenBy(t, h, pistoia, first, "pistoia_provider")
	require.Equal(t, "delivered", r.State)
	require.Empty(t, r.Reason)

	given := give(h, person)
	fetched(t, h, salute, 1)
	h.AwaitFlow(health, exchange.StateDelivered, 1)
	r = seenBy(t, h, pistoia, first, health)
	require.Equal(t, "delivered", r.State)
	require.Empty(t, r.Reason)

	hubtest.Call[control.ConsentEnd](h, "consent/withdraw", control.WithdrawRequest{Consent: given.ID})
	second := h.Push(pistoia, "service_request", accompaniment(2, "SPORTELLO", "PT-1"))
	h.AwaitFlow(health, exchange.StateWithheld, 1)
	r = seenBy(t, h, pistoia, second, health)
	require.Equal(t, "not_released", r.State)
	require.Equal(t, exchange.ReasonConsentWithdrawn, r.Reason)
	require.Equal(t, "delivered", seenBy(t, h, pistoia, first, health).State, "what was, was")

	// A recipient that refuses one record for good: its data do not fit.
	h.Recipient(provider).Answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnprocessableEntity) })
	bad := h.Push(livorno, "service_request", request(3, "IGIENE", "LI-1"))
	h.AwaitFlow("livorno_provider", exchange.StateParked, 1)
	r = seenBy(t, h, livorno, bad, "livorno_provider")
	require.Equal(t, "failed", r.State)
	require.Empty(t, r.Reason, "the clause lists none")
	parked := hubtest.Call[control.ParkedPage](h, "parked/list", control.ParkedQuery{})
	require.Len(t, parked.Parked, 1)
	shown, err := json.Marshal(hubtest.Call[control.Parked](h, "parked/show", control.ParkedRef{ID: parked.Parked[0].ID}))
	require.NoError(t, err)
	require.NotContains(t, string(shown), "Prova", "no content, not even to operators")
	hubtest.Call[control.Nothing](h, "parked/discard", control.ParkedAct{IDs: []uint64{parked.Parked[0].ID}, Reason: "test"})
	h.AwaitFlow("livorno_provider", exchange.StateDiscarded, 1)
	require.Equal(t, "failed", seenBy(t, h, livorno, bad, "livorno_provider").State)
	verifies(t, h)
}
