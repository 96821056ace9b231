package hub_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"raccordo/hub/control"
	"raccordo/hub/exchange"
	"raccordo/hub/hubtest"
)

func families(t *testing.T, h *hubtest.Hub) map[string]*dto.MetricFamily {
	t.Helper()
	p := expfmt.NewTextParser(model.LegacyValidation)
	all, err := p.TextToMetricFamilies(strings.NewReader(metrics(t, h)))
	require.NoError(t, err)
	return all
}

// value is the sum of a metric's series that have a label of that value; "" is
// all of them.
func value(t *testing.T, all map[string]*dto.MetricFamily, name, label string) (total float64) {
	t.Helper()
	f := all[name]
	require.NotNil(t, f, name)
	for _, m := range f.GetMetric() {
		if label != "" && !slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetValue() == label }) {
			continue
		}
		total += m.GetCounter().GetValue() + m.GetGauge().GetValue()
	}
	return total
}

// What is scraped parses, balances, and says of no person anything.
func TestMetrics(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	h.Push(livorno, "service_request", record("", false)) // with canaries
	h.Push(livorno, "service_request", request(1, "LAVORO", "LI-1"))
	// A family name longer than the SIUSS has room for, and a sex it has no code
	// for: lost on the way to INPS, and counted.
	long := strings.Replace(benefit, `"family_name":"Prova"`, `"family_name":"Prova`+strings.Repeat("x", 40)+`"`, 1)
	h.Push("prestazioni_capannori", "social_benefit", long)
	h.AwaitFlow("livorno_provider", exchange.StateDelivered, 1)
	h.AwaitFlow("livorno_work", exchange.StateWaiting, 1)
	h.AwaitFlow("siuss_capannori", exchange.StateWaiting, 1)
	var page map[string]any
	require.NoError(t, h.As("inps_siuss").JSON(t.Context(), http.MethodGet, "/waas/b648/v1/flussi?since=0&limit=10", nil, &page))
	_, err := h.TryPush(livorno, "service_request", "application/json", `{"ente":"`+canary+`"}`)
	require.Error(t, err)
	s := h.Await("counted", func(s control.Status) bool { return s.Behind == 0 })

	all := families(t, h)
	require.Zero(t, value(t, all, "raccordo_ledger_imbalance_records", ""))
	require.Zero(t, value(t, all, "raccordo_followers_behind_entries", ""))
	require.Equal(t, float64(1), value(t, all, "raccordo_ready", ""))
	require.Equal(t, float64(s.Entries), value(t, all, "raccordo_ledger_entries", ""))
	require.Equal(t, float64(1), value(t, all, "raccordo_accepted_records_total", "livorno_work"))
	require.Equal(t, float64(1), value(t, all, "raccordo_flow_records", "livorno_work"), "one record in one state")
	require.Equal(t, float64(1), value(t, all, "raccordo_waiting_records", "arti_livorno"))
	require.Equal(t, float64(1), value(t, all, "raccordo_sent_records_total", string(provider)))
	require.Equal(t, float64(1), value(t, all, "raccordo_refused_records_total", string(livorno)))
	require.Positive(t, value(t, all, "raccordo_mapping_losses_total", "siuss_capannori"))
	require.Positive(t, value(t, all, "raccordo_mapping_losses_total", "text_cut"))
	require.LessOrEqual(t, value(t, all, "raccordo_lane_lag_parts", ""), float64(4), "the stream counts by steps of its index: never fewer, and never more than there were")
	for name, f := range all {
		if !strings.HasPrefix(name, "raccordo_") {
			continue
		}
		require.NotEmpty(t, f.GetHelp(), name)
		require.False(t, strings.HasSuffix(name, "_ms") || strings.HasSuffix(name, "_milliseconds"), name)
		require.Equal(t, f.GetType() == dto.MetricType_COUNTER, strings.HasSuffix(name, "_total"), name)
	}
	require.NotContains(t, h.Log(), canary)
	require.NotContains(t, h.Log(), "RSSMRA80A01H501U")
	require.NotContains(t, metrics(t, h), "RSSMRA80A01H501U")

	require.Equal(t, http.StatusOK, get(t, "http://"+h.AdminAddr()+"/readyz"))
	require.Equal(t, http.StatusOK, get(t, "http://"+h.AdminAddr()+"/livez"))
	require.Equal(t, http.StatusOK, get(t, "http://"+h.AdminAddr()+"/debug/pprof/"))
	require.Equal(t, http.StatusNotFound, get(t, "http://"+h.AdminAddr()+"/v1/mailbox"), "the API is not there")
}

// The states of every flow balance with what was accepted after a restart too.
func TestMetricsAfterARestart(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	for n := range 20 {
		h.Push(livorno, "service_request", request(n, []string{"LAVORO", "IGIENE"}[n%2], "LI-1"))
	}
	h.AwaitFlow("livorno_provider", exchange.StateDelivered, 10)
	h.AwaitFlow("livorno_work", exchange.StateWaiting, 10)
	h.Restart()
	h.Await("counted", func(s control.Status) bool { return s.Behind == 0 })
	all := families(t, h)
	require.Equal(t, float64(10), value(t, all, "raccordo_flow_records", "livorno_work"))
	require.Equal(t, float64(10), value(t, all, "raccordo_flow_records", "livorno_provider"))
	require.Zero(t, value(t, all, "raccordo_ledger_imbalance_records", ""))
}
