package telemetry

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"raccordo/hub/exchange"
)

// Sums are the states of protocol.md 7, per flow, and what must balance.
type Sums struct {
	States    map[exchange.FlowID]map[exchange.State]int64
	Waiting   map[exchange.SystemID]int
	Lag       map[string]int // "class/lane" -> parts some recipient has not passed
	Imbalance int64
	Ledger    uint64 // entries
	Behind    uint64 // entries the followers have not seen
	Ready     bool
}

// Gauges shows sums that are read when they are scraped.
type Gauges struct {
	read func(context.Context) (Sums, error)

	states, waiting, lag, imbalance, entries, behind, ready *prometheus.Desc
}

// NewGauges makes a collector that asks read at each scrape.
func NewGauges(read func(context.Context) (Sums, error)) *Gauges {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("raccordo_"+name, help, labels, nil)
	}
	return &Gauges{read: read,
		states:    desc("flow_records", "Records of a flow in each state; their sum is what was accepted.", "flow", "state"),
		waiting:   desc("waiting_records", "Records that wait for a recipient system.", "system"),
		lag:       desc("lane_lag_parts", "Parts of frames some recipient has not passed.", "class", "lane"),
		imbalance: desc("ledger_imbalance_records", "Accepted records that are in no state; must be 0."),
		entries:   desc("ledger_entries", "Entries of the ledger."),
		behind:    desc("followers_behind_entries", "Entries that the status does not show yet."),
		ready:     desc("ready", "1 when the hub serves."),
	}
}

// Describe implements prometheus.Collector.
func (g *Gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.states, g.waiting, g.lag, g.imbalance, g.entries, g.behind, g.ready} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (g *Gauges) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s, err := g.read(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(g.states, err)
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for flow, states := range s.States {
		for _, state := range exchange.States() {
			gauge(g.states, float64(states[state]), string(flow), state.String())
		}
	}
	for system, n := range s.Waiting {
		gauge(g.waiting, float64(n), string(system))
	}
	for key, n := range s.Lag {
		class, lane, _ := cutLane(key)
		gauge(g.lag, float64(n), class, lane)
	}
	gauge(g.imbalance, float64(s.Imbalance))
	gauge(g.entries, float64(s.Ledger))
	gauge(g.behind, float64(s.Behind))
	ready := 0.0
	if s.Ready {
		ready = 1
	}
	gauge(g.ready, ready)
}

func cutLane(key string) (class, lane string, ok bool) {
	for i := range key {
		if key[i] == '/' {
			return key[:i], key[i+1:], true
		}
	}
	return key, "", false
}
