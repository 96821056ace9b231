package demo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"raccordo/hub/exchange"
)

// metrics reads the hub's metrics, as Prometheus does.
func (w *world) metrics(ctx context.Context) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.hub.AdminAddr()+"/metrics", nil)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	resp, err := w.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxRequest))
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read metrics: status %d", resp.StatusCode)
	}
	return b, nil
}

// sumBy adds the samples of a series up per value of one label.
func sumBy(metrics []byte, series, label string) map[string]int64 {
	out := map[string]int64{}
	for line := range bytes.Lines(metrics) {
		name, rest, found := strings.Cut(string(line), "{")
		if !found || name != series {
			continue
		}
		labels, value, _ := strings.Cut(rest, "} ")
		_, of, _ := strings.Cut(","+labels, ","+label+`="`)
		of, _, _ = strings.Cut(of, `"`)
		if n, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil {
			out[of] += int64(n)
		}
	}
	return out
}

// balanceMetrics: what intake counted as accepted is what there is in all
// states, and it refused what the simulated systems saw refused.
func (w *world) balanceMetrics(s *Summary, metrics []byte) {
	for flow, n := range sumBy(metrics, "raccordo_accepted_records_total", "flow") {
		if got := s.Flows[exchange.FlowID(flow)].Accepted; got != n {
			s.find("flow %s: %d records accepted, %d in all states together", flow, n, got)
		}
	}
	if w.loose {
		return
	}
	var refused int64
	for _, n := range sumBy(metrics, "raccordo_refused_records_total", "reason") {
		refused += n
	}
	// A key that was used for another body refuses the request, not a record.
	seen := int64(s.Requests.Refused+s.Requests.RefusedLines) - int64(s.Requests.ByReason[exchange.ReasonKeyReused])
	if refused != seen {
		s.find("the hub counts %d refused records, the simulated systems %d", refused, seen)
	}
}
