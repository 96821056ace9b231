package hub_test

import (
	"encoding/base64"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"raccordo/hub/client"
	"raccordo/hub/control"
	"raccordo/hub/exchange"
	"raccordo/hub/hubtest"
)

const benefit = `{"record_type":"social_benefit","schema_version":"1.0.0","recorded_at":"2026-03-02T10:00:00+01:00",
"source":{"system":"prestazioni","ref":"D-1"},"subject":[{"system":"CF","value":"RSSMRA80A01H501U"}],"family_name":"Prova","given_name":"Persona",
"sex":"M","birth_year":1980,"birth_place":"H501","citizenship_num":"380","address":{"region":"09","municipality_istat":"046007","country_num":"380"},
"operator_tax_code":"RSSMRA80A01H501U","operation":"I","siuss_code":"A1.05","name":"Contributi economici per alloggio","application_ref":"D-1",
"means_test":"1","character":"1","taken_in_charge":true,"start":"2026-02-01","amounts":{"monthly":{"amount":"100.50","currency":"EUR"}},"period_months":6}`

// The e-service of each body hangs under its own base path: guarded but for
// /status, for INPS alone, and what it lists is decided at that moment.
func TestWaaSUnderItsBasePath(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	h.Push("prestazioni_capannori", "social_benefit", benefit)
	h.AwaitFlow("siuss_capannori", exchange.StateWaiting, 1)
	base := "/waas/b648/v1"
	require.Equal(t, http.StatusOK, get(t, h.URL()+base+"/status"), "open, as the OpenAPI has it")
	require.Equal(t, http.StatusUnauthorized, get(t, h.URL()+base+"/flussi"))
	require.Equal(t, http.StatusNotFound, get(t, h.URL()+base))
	status, _ := ask(t, h, "arti_livorno", base+"/flussi?since=0&limit=10")
	require.Equal(t, http.StatusNotFound, status, "another's")
	inps := h.As("inps_siuss")
	var page map[string]any
	require.NoError(t, inps.JSON(t.Context(), http.MethodGet, "/waas/e625/v1/flussi?since=0&limit=10", nil, &page))
	require.Empty(t, page["elenco_flussi"], "another body's")
	require.NoError(t, inps.JSON(t.Context(), http.MethodGet, base+"/flussi?since=0&limit=10", nil, &page))
	list, ok := page["elenco_flussi"].([]any)
	require.True(t, ok)
	require.Len(t, list, 1)
	flow, ok := list[0].(map[string]any)
	require.True(t, ok)
	found := false
	for _, v := range flow {
		text, isText := v.(string)
		if !isText {
			continue
		}
		if b, err := base64.StdEncoding.DecodeString(text); err == nil && len(b) > 200 {
			require.Contains(t, string(b), "RSSMRA80A01H501U")
			found = true
		}
	}
	require.True(t, found, "%v", flow)
	h.AwaitFlow("siuss_capannori", exchange.StateClaimed, 1)
	verifies(t, h)
}

// A consent that is withdrawn over the API between one fetch and the next: what
// was fetched stays with the recipient, what was not is never released.
func TestWithdrawalBetweenFetchAndFetch(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	h := hubtest.Start(t, withClock(clock))
	desk, recipient := h.AsFor(pistoia, ""), h.As(salute)
	person := map[string]string{"system": "LOCAL", "value": "PT-1"}
	var consent struct {
		ID string `json:"consent_id"`
	}
	require.NoError(t, desk.JSON(t.Context(), http.MethodPost, "/v1/consents", map[string]any{"person": person, "purpose": "health_accompaniment",
		"recipient": map[string]string{"body": "sds_pistoiese", "role": "health_service"}, "decision": "given",
		"notice": map[string]string{"version": "1.0.0", "language": "it"}, "indicated_by": "person", "means": "oral"}, &consent))
	for n := range 3 {
		h.Push(pistoia, "service_request", accompaniment(n, "SPORTELLO", "PT-1"))
	}
	hubtest.Eventually(t, "all are offered", func() bool { return h.Status().Waiting[salute] == 3 }, nil)
	var page client.Page
	hubtest.Eventually(t, "one is fetched", func() bool {
		var err error
		page, err = recipient.Fetch(t.Context(), 1)
		require.NoError(t, err)
		return len(page.Items) == 1
	}, nil)
	var end struct {
		State string `json:"state"`
	}
	require.NoError(t, desk.JSON(t.Context(), http.MethodPost, "/v1/consents/"+consent.ID+"/withdrawal", map[string]string{"indicated_by": "person"}, &end))
	require.Equal(t, "withdrawn", end.State)
	require.Empty(t, h.Fetch(salute))
	h.Await("the others are withheld", func(s control.Status) bool { return s.Behind == 0 && s.Flows[health]["withheld"] == 2 })
	res, err := recipient.Acknowledge(t.Context(), client.ItemAcknowledgement{Disclosure: page.Items[0].Disclosure})
	require.NoError(t, err)
	require.Equal(t, "settled", res[0].Result)
	h.AwaitFlow(health, exchange.StateDelivered, 1)
	clock.pass(2 * time.Hour)
	require.Empty(t, h.Fetch(salute))
	verifies(t, h)
}
