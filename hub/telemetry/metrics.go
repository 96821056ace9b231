package telemetry

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"raccordo/connectors"
	"raccordo/hub/delivery"
	"raccordo/hub/exchange"
)

// Metrics are the hub's own series. Names end in their base unit.
type Metrics struct {
	registry *prometheus.Registry
	states   sync.Map // exchange.SystemID -> delivery.RecipientState

	accepted  *prometheus.CounterVec
	refused   *prometheus.CounterVec
	requests  *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	sent      *prometheus.CounterVec
	sendTime  *prometheus.HistogramVec
	claimed   *prometheus.CounterVec
	spilled   *prometheus.CounterVec
	recipient *prometheus.GaugeVec
	events    *prometheus.CounterVec
	losses    *prometheus.CounterVec
	logDrops  prometheus.Counter
}

// NewMetrics registers the hub's series, and those of the Go runtime and the
// process, in r.
func NewMetrics(r *prometheus.Registry, version string) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "raccordo_" + name, Help: help}, labels)
	}
	buckets := prometheus.ExponentialBuckets(0.0005, 2, 16)
	m := &Metrics{
		registry: r,
		accepted: counter("accepted_records_total", "Records accepted, per flow they take.", "flow"),
		refused:  counter("refused_records_total", "Records refused at intake; nothing of them was stored.", "system", "reason"),
		requests: counter("http_requests_total", "Answers of the API.", "route", "status", "reason"),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "raccordo_http_request_duration_seconds",
			Help: "Time to answer.", Buckets: buckets}, []string{"route"}),
		sent: counter("sent_records_total", "Records in sends, per recipient system and outcome of the send.", "system", "outcome"),
		sendTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "raccordo_send_duration_seconds",
			Help: "Time of one send.", Buckets: buckets}, []string{"system"}),
		claimed: counter("claimed_records_total", "Records claimed for a recipient system.", "system"),
		spilled: counter("spilled_records_total", "Records moved to waiting because their recipient was too far behind.", "system"),
		recipient: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "raccordo_recipient_state",
			Help: "1 for the state a recipient system is in."}, []string{"system", "state"}),
		events:   counter("connector_events_total", "What connectors noticed.", "system", "event"),
		losses:   counter("mapping_losses_total", "Values a recipient's format could not hold as they were, at each time a record was made for it.", "flow", "rule"),
		logDrops: prometheus.NewCounter(prometheus.CounterOpts{Name: "raccordo_log_dropped_lines_total", Help: "Log lines that could not be written in time."}),
	}
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "raccordo_build_info", Help: "Always 1."}, []string{"version"})
	info.WithLabelValues(version).Set(1)
	r.MustRegister(m.accepted, m.refused, m.requests, m.duration, m.sent, m.sendTime, m.claimed, m.spilled, m.recipient,
		m.events, m.losses, m.logDrops, info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// LogDropped counts a log line that was dropped.
func (m *Metrics) LogDropped() { m.logDrops.Inc() }

// Registry is where the series are.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// Accepted counts records per flow.
func (m *Metrics) Accepted(f exchange.FlowID, n int) {
	m.accepted.WithLabelValues(string(f)).Add(float64(n))
}

// Refused counts records refused at intake.
func (m *Metrics) Refused(s exchange.SystemID, r exchange.Reason, n int) {
	m.refused.WithLabelValues(string(s), string(r)).Add(float64(n))
}

// Observe counts an answer of the API; route is a pattern, never a path.
func (m *Metrics) Observe(route string, status int, reason string, d time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status), reason).Inc()
	m.duration.WithLabelValues(route).Observe(d.Seconds())
}

// Sent counts a send.
func (m *Metrics) Sent(s exchange.SystemID, outcome string, n int, took time.Duration) {
	m.sent.WithLabelValues(string(s), outcome).Add(float64(n))
	m.sendTime.WithLabelValues(string(s)).Observe(took.Seconds())
}

// Claimed counts claimed records.
func (m *Metrics) Claimed(s exchange.SystemID, n int) {
	m.claimed.WithLabelValues(string(s)).Add(float64(n))
}

// Spilled counts records moved to waiting.
func (m *Metrics) Spilled(s exchange.SystemID, n int) {
	m.spilled.WithLabelValues(string(s)).Add(float64(n))
}

// MappingLost counts a value that was lost when a record was made for a
// recipient; rule is one of package mapping's.
func (m *Metrics) MappingLost(f exchange.FlowID, rule string) {
	m.losses.WithLabelValues(string(f), rule).Inc()
}

var recipientStates = []delivery.RecipientState{delivery.RecipientIdle, delivery.RecipientSending, delivery.RecipientBackoff, delivery.RecipientStopped}

// Recipient shows how a recipient fares.
func (m *Metrics) Recipient(s exchange.SystemID, state delivery.RecipientState) {
	m.states.Store(s, state)
	for _, x := range recipientStates {
		v := 0.0
		if x == state {
			v = 1
		}
		m.recipient.WithLabelValues(string(s), string(x)).Set(v)
	}
}

// Recipients is how each recipient system fares, as last said.
func (m *Metrics) Recipients() map[exchange.SystemID]delivery.RecipientState {
	out := map[exchange.SystemID]delivery.RecipientState{}
	m.states.Range(func(k, v any) bool {
		out[k.(exchange.SystemID)] = v.(delivery.RecipientState)
		return true
	})
	return out
}

// Connector counts what one system's connector notices.
func (m *Metrics) Connector(s exchange.SystemID) connectors.Metrics { return connectorMetrics{m, s} }

type connectorMetrics struct {
	m      *Metrics
	system exchange.SystemID
}

func (c connectorMetrics) Count(e connectors.Event, n int) {
	c.m.events.WithLabelValues(string(c.system), string(e)).Add(float64(n))
}
