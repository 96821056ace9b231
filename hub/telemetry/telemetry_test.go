package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/require"

	"raccordo/connectors"
	"raccordo/hub/delivery"
	"raccordo/hub/exchange"
	"raccordo/hub/telemetry"
)

// blocked takes nothing until it is let go, like a pipe nobody reads.
type blocked struct {
	entered chan struct{}
	release chan struct{}
	written bytes.Buffer
}

func (b *blocked) Write(p []byte) (int, error) {
	select {
	case b.entered <- struct{}{}:
	default:
	}
	<-b.release
	return b.written.Write(p)
}

// F24: a log that cannot be written stalls nobody; what is dropped is counted,
// what was queued is written at the end, line by line and whole.
func TestLogStallsNobody(t *testing.T) {
	t.Parallel()
	w := &blocked{entered: make(chan struct{}, 1), release: make(chan struct{})}
	var dropped atomic.Int64
	log, closer := telemetry.NewLogger(w, slog.LevelInfo, func() { dropped.Add(1) })
	const lines = 5000
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := range lines {
			log.Info("a line", "n", n)
			log.Debug("not at this level")
		}
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("stalled")
	}
	<-w.entered
	require.Positive(t, dropped.Load())
	close(w.release)
	require.NoError(t, closer.Close())
	require.NoError(t, closer.Close())
	log.Info("after the end") // lost, and no panic
	written := strings.Split(strings.TrimSuffix(w.written.String(), "\n"), "\n")
	require.EqualValues(t, lines, int64(len(written))+dropped.Load())
	for i, l := range written {
		var line struct {
			Level, Msg string
			N          *int
		}
		require.NoError(t, json.Unmarshal([]byte(l), &line))
		require.Equal(t, "INFO", line.Level)
		require.NotNil(t, line.N)
		if i == 0 {
			require.Zero(t, *line.N)
		}
	}
}

// B67: what breaks lines or terminals stays inside its line.
func TestLogLinesCannotBeBroken(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, closer := telemetry.NewLogger(&out, slog.LevelInfo, nil)
	log.Info("x\n{\"level\":\"ERROR\"}", "agent", "\x1b[2J\r\n\"}{")
	require.NoError(t, closer.Close())
	require.Equal(t, 1, strings.Count(out.String(), "\n"))
	require.NotContains(t, out.String(), "\x1b")
	require.True(t, json.Valid(out.Bytes()))
}

func TestHiddenStaysHidden(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, closer := telemetry.NewLogger(&out, slog.LevelInfo, nil)
	p := exchange.NewPayload([]byte("RSSMRA80A01H501U"))
	log.Info("x", "payload", p, "in", struct{ P exchange.Payload }{p})
	require.NoError(t, closer.Close())
	require.NotContains(t, out.String(), "RSSMRA80A01H501U")
}

// shown is what a scrape shows, line by line.
func shown(t *testing.T, r *prometheus.Registry) []string {
	t.Helper()
	all, err := r.Gather()
	require.NoError(t, err)
	var b bytes.Buffer
	for _, f := range all {
		_, err := expfmt.MetricFamilyToText(&b, f)
		require.NoError(t, err)
	}
	return strings.Split(b.String(), "\n")
}

func TestCounters(t *testing.T) {
	t.Parallel()
	r := prometheus.NewRegistry()
	m := telemetry.NewMetrics(r, "v1")
	require.Same(t, r, m.Registry())
	m.Accepted("flow_a", 2)
	m.Accepted("flow_a", 3)
	m.Refused("desk", exchange.ReasonSchema, 4)
	m.Observe("/v1/mailbox", 200, "ok", time.Second)
	m.Sent("desk", "answered", 7, time.Second)
	m.Claimed("desk", 7)
	m.Spilled("desk", 1)
	m.MappingLost("flow_a", "text_cut")
	m.LogDropped()
	m.Connector("desk").Count(connectors.EventWrongCaller, 2)
	require.Subset(t, shown(t, r), []string{
		`raccordo_accepted_records_total{flow="flow_a"} 5`,
		`raccordo_refused_records_total{reason="schema",system="desk"} 4`,
		`raccordo_http_requests_total{reason="ok",route="/v1/mailbox",status="200"} 1`,
		`raccordo_http_request_duration_seconds_sum{route="/v1/mailbox"} 1`,
		`raccordo_sent_records_total{outcome="answered",system="desk"} 7`,
		`raccordo_claimed_records_total{system="desk"} 7`,
		`raccordo_spilled_records_total{system="desk"} 1`,
		`raccordo_mapping_losses_total{flow="flow_a",rule="text_cut"} 1`,
		`raccordo_connector_events_total{event="wrong_caller",system="desk"} 2`,
		`raccordo_log_dropped_lines_total 1`,
		`raccordo_build_info{version="v1"} 1`,
	})
	all, err := r.Gather()
	require.NoError(t, err)
	problems, err := promlint.NewWithMetricFamilies(all).Lint()
	require.NoError(t, err)
	for _, p := range problems {
		require.False(t, strings.HasPrefix(p.Metric, "raccordo_"), "%+v", p)
	}
}

// A recipient is in one state at any moment.
func TestRecipientState(t *testing.T) {
	t.Parallel()
	r := prometheus.NewRegistry()
	m := telemetry.NewMetrics(r, "v1")
	for _, s := range []delivery.RecipientState{delivery.RecipientIdle, delivery.RecipientSending, delivery.RecipientBackoff, delivery.RecipientStopped} {
		m.Recipient("desk", s)
		all, err := r.Gather()
		require.NoError(t, err)
		found := ""
		for _, f := range all {
			if f.GetName() != "raccordo_recipient_state" {
				continue
			}
			for _, x := range f.GetMetric() {
				if x.GetGauge().GetValue() == 1 {
					require.Empty(t, found, "two states at once")
					for _, l := range x.GetLabel() {
						if l.GetName() == "state" {
							found = l.GetValue()
						}
					}
				}
			}
		}
		require.Equal(t, string(s), found)
	}
}

func TestGauges(t *testing.T) {
	t.Parallel()
	var sums telemetry.Sums
	var broken error
	r := prometheus.NewRegistry()
	r.MustRegister(telemetry.NewGauges(func(context.Context) (telemetry.Sums, error) { return sums, broken }))
	sums = telemetry.Sums{States: map[exchange.FlowID]map[exchange.State]int64{"flow_a": {exchange.StateDelivered: 3, exchange.StateWaiting: 1}},
		Waiting: map[exchange.SystemID]int{"desk": 1}, Lag: map[string]int{"prompt/2": 5}, Ledger: 9, Behind: 2, Imbalance: 1, Ready: true}
	lines := shown(t, r)
	require.Subset(t, lines, []string{
		`raccordo_lane_lag_parts{class="prompt",lane="2"} 5`, `raccordo_waiting_records{system="desk"} 1`,
		`raccordo_ledger_imbalance_records 1`, `raccordo_ledger_entries 9`, `raccordo_followers_behind_entries 2`, `raccordo_ready 1`,
		`raccordo_flow_records{flow="flow_a",state="delivered"} 3`, `raccordo_flow_records{flow="flow_a",state="waiting"} 1`,
	})
	n := 0
	for _, l := range lines {
		if strings.HasPrefix(l, "raccordo_flow_records{") {
			n++
		}
	}
	require.Equal(t, len(exchange.States()), n, "every state of a flow has its series from the first record on")
	broken = errors.New("the store is gone")
	_, err := r.Gather()
	require.ErrorIs(t, err, broken, "no numbers are better than old ones")
}
