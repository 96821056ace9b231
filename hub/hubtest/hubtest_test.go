package hubtest

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"raccordo/hub/control"
	"raccordo/hub/exchange"
)

// request is what the desk of Livorno sends, about a synthetic person.
func request(number int, service, urgency, code string) string {
	return fmt.Sprintf(`{"ente":"il_simbolo","numero":"N-%d","registrata_il":"2026-03-02T09:00:00+01:00","data_ora":"2026-03-02T09:00:00+01:00",
	"servizio":%q,"urgenza":%q,"operatore":"op-7","persone":[{"ruolo":"RICHIEDENTE","codici":[{"tipo":"SPORTELLO","valore":%q}],"nome":"Prova"}]}`,
		number, service, urgency, code)
}

func TestARecordCrossesTheHub(t *testing.T) {
	h := Start(t)
	h.Await("ready", func(s control.Status) bool { return s.Ready })
	bed := h.Push("oss_livorno_desk", "service_request", request(1, "POSTO_LETTO", "EMERGENZA", "L-1"))
	h.AwaitFlow("livorno_provider_bed_emergency", exchange.StateDelivered, 1)
	h.AwaitFlow("livorno_social_bed_emergency", exchange.StateDelivered, 1)
	got := h.Recipient("centro_servizi_livorno").Received()
	require.Len(t, got, 1)
	require.Equal(t, bed, got[0].Record)

	work := h.Push("oss_livorno_desk", "service_request", request(2, "LAVORO", "ORDINARIA", "L-1"))
	h.AwaitFlow("livorno_work", exchange.StateWaiting, 1)
	items := h.Fetch("arti_livorno")
	require.Len(t, items, 1)
	require.Equal(t, work, items[0].Record)
	h.AwaitFlow("livorno_work", exchange.StateDelivered, 1)
	status, err := h.As("oss_livorno_desk").RecordStatus(context.Background(), "service_request", work)
	require.NoError(t, err)
	require.Equal(t, "delivered", status.Recipients[0].State)

	entries := h.Status().Entries
	h.Restart()
	require.GreaterOrEqual(t, h.Status().Entries, entries)
	require.EqualValues(t, 1, h.Status().Flows["livorno_work"]["delivered"])
	require.NotContains(t, h.Log(), "Prova")
}

func TestRecipientsCanMisbehave(t *testing.T) {
	h := Start(t)
	r := h.Recipient("centro_servizi_livorno")
	r.Answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	h.Push("oss_livorno_desk", "service_request", request(1, "IGIENE", "ORDINARIA", "L-1"))
	Eventually(t, "tried again", func() bool { return r.Requests() >= 2 }, nil)
	require.Empty(t, r.Received())
	r.Answer(nil)
	h.AwaitFlow("livorno_provider", exchange.StateDelivered, 1)
	require.Len(t, r.Received(), 1)
}

func TestConfigIsValid(t *testing.T) {
	c := Config(t.TempDir())
	require.NoError(t, c.Validate())
	require.Less(t, c.Delivery.BackoffMax, time.Second)
}
