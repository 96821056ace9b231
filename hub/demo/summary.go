package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"raccordo/hub/control"
	"raccordo/hub/exchange"
	"raccordo/hub/ledger/verify"
)

// Summary is what a run comes to. Everything but Run is the same at every run
// with the same seed, on every tier.
type Summary struct {
	Seed     uint64                                        `json:"seed"`
	Verified bool                                          `json:"verified"` // the exported ledger, with nothing but its public key
	Balanced bool                                          `json:"balanced"` // no finding
	Findings []string                                      `json:"findings"`
	Requests Requests                                      `json:"requests"`
	Flows    map[exchange.FlowID]FlowSummary               `json:"flows"`
	Received map[exchange.BodyID]map[exchange.SystemID]int `json:"received"` // distinct disclosures, as the bodies count them
	Outcomes map[string]int                                `json:"inps_outcomes"`
	Run      RunSummary                                    `json:"run"`
}

// Requests counts what the simulated systems asked for.
type Requests struct {
	Accepted     int                     `json:"accepted"` // records
	Refused      int                     `json:"refused"`  // requests of one record
	ByReason     map[exchange.Reason]int `json:"refused_by_reason"`
	RefusedLines int                     `json:"refused_lines"` // of requests of many
	Repeated     int                     `json:"repeated"`      // answered as before
	NoRecipient  int                     `json:"no_recipient"`  // accepted, and for a role nobody holds too
}

// FlowSummary counts the records of one flow.
type FlowSummary struct {
	Accepted int64            `json:"accepted"`
	States   map[string]int64 `json:"states"`            // protocol.md 7; their sum is Accepted
	Reasons  map[string]int64 `json:"reasons,omitempty"` // of those that were not delivered, from the ledger
}

// RunSummary is what differs from run to run.
type RunSummary struct {
	StartedAt    time.Time       `json:"started_at"`
	Milliseconds int64           `json:"milliseconds"`
	Version      string          `json:"version"`
	Hub          exchange.HubID  `json:"hub"`
	Network      exchange.Digest `json:"network_digest"`
	Entries      uint64          `json:"ledger_entries"`
	Rows         uint64          `json:"ledger_rows"`
	Claims       uint64          `json:"ledger_claims"`
	Checkpoint   string          `json:"checkpoint"`
	Key          string          `json:"ledger_key"`
}

// summarise exports and verifies the ledger and holds all numbers against each
// other.
func (w *world) summarise(ctx context.Context) (Summary, error) {
	s := Summary{Seed: w.opt.Seed, Findings: slices.Clone(w.findings), Flows: map[exchange.FlowID]FlowSummary{},
		Received: map[exchange.BodyID]map[exchange.SystemID]int{}, Outcomes: w.inps.outcomes()}
	status, err := w.status(ctx)
	if err != nil {
		return s, err
	}
	s.Run = RunSummary{StartedAt: w.started.UTC(), Version: status.Version, Hub: status.Hub, Network: status.Digest}
	rows, err := w.verify(ctx, &s)
	if err != nil {
		return s, err
	}
	w.count(&s, &status, rows)
	if err := w.balance(ctx, &s, &status, rows); err != nil {
		return s, err
	}
	m, err := w.metrics(ctx)
	if err != nil {
		return s, err
	}
	w.balanceMetrics(&s, m)
	if w.out != nil {
		if err := w.out.WriteFile("metrics.txt", m, 0o644); err != nil {
			return s, fmt.Errorf("leave the metrics: %w", err)
		}
	}
	if err := w.shelf.failed(); err != nil {
		s.find("a simulated system was given what it cannot read: %v", err)
	}
	if s.Findings == nil {
		s.Findings = []string{}
	}
	s.Findings = sorted(s.Findings)
	s.Balanced = len(s.Findings) == 0
	return s, nil
}

func (s *Summary) find(format string, args ...any) {
	s.Findings = append(s.Findings, fmt.Sprintf(format, args...))
}

// verify exports the ledger, checks it as an outsider would, and gives the
// newest row of every record and flow.
func (w *world) verify(ctx context.Context, s *Summary) (ends, error) {
	dir := filepath.Join(w.dir, "ledger")
	if w.out != nil {
		dir = filepath.Join(w.out.Name(), "ledger")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	done, err := control.Call[control.Exported](ctx, w.control, "ledger/export", control.ExportRequest{Dir: dir})
	if err != nil {
		return nil, fmt.Errorf("export the ledger: %w", err)
	}
	fsys := os.DirFS(dir)
	report, err := verify.Verify(fsys, done.Key, verify.Options{})
	if err != nil {
		return nil, fmt.Errorf("verify the ledger: %w", err)
	}
	note, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		return nil, fmt.Errorf("read the checkpoint: %w", err)
	}
	s.Verified = report.OK()
	for _, f := range report.Findings {
		s.find("ledger: %s", f)
	}
	s.Run.Entries, s.Run.Rows, s.Run.Claims, s.Run.Checkpoint, s.Run.Key = report.Entries, report.Rows, report.Claims, string(note), done.Key
	return readEnds(fsys)
}

// count fills in the sums.
func (w *world) count(s *Summary, status *control.Status, rows ends) {
	s.Requests = Requests{Accepted: len(w.sent) + w.trickled, ByReason: maps.Clone(w.refused),
		RefusedLines: w.refusedLines, Repeated: w.repeats}
	for _, n := range s.Requests.ByReason {
		s.Requests.Refused += n
	}
	for _, x := range w.sent {
		if len(x.noRecipient) > 0 {
			s.Requests.NoRecipient++
		}
	}
	for flow, states := range status.Flows {
		f := FlowSummary{States: states, Reasons: rows.reasons(flow)}
		for _, n := range states {
			f.Accepted += n
		}
		if f.Accepted > 0 {
			s.Flows[flow] = f
		}
	}
	for system := range kinds {
		body := w.shelf.bodies[system]
		if s.Received[body] == nil {
			s.Received[body] = map[exchange.SystemID]int{}
		}
		s.Received[body][system] = w.shelf.distinct(system)
	}
}

// balance holds the hub's numbers against those of the bodies and of the ledger.
func (w *world) balance(ctx context.Context, s *Summary, status *control.Status, rows ends) error {
	if status.Imbalance != 0 {
		s.find("the hub says itself that %d records are in no state", status.Imbalance)
	}
	rejected, err := w.rejected(ctx)
	if err != nil {
		return err
	}
	delivered := map[exchange.SystemID]int64{}
	for flow, f := range s.Flows {
		if x := w.hub.Network().Flow(flow); x != nil {
			delivered[x.Recipient.System] += f.States[exchange.StateDelivered.String()] + f.States[exchange.StatePossiblyDelivered.String()]
		}
		for _, state := range exchange.States() {
			if got, want := rows.count(flow, state), f.States[state.String()]; got != want {
				s.find("flow %s: %d records are %s by the ledger, %d by the hub's sums", flow, got, state, want)
			}
		}
	}
	for system := range kinds {
		got, want := int64(w.shelf.distinct(system)), delivered[system]+rejected[system]
		if got > want || got < want && !w.loose { // whoever tries for himself may have fetched it
			s.find("%s has %d disclosures; the hub says %d delivered and %d refused by it", system, got, delivered[system], rejected[system])
		}
	}
	if w.loose {
		return nil // others pushed too
	}
	expected := map[exchange.SystemID]int{}
	for _, x := range w.sent {
		for system := range x.expected() {
			expected[system]++
		}
	}
	accepted := map[exchange.SystemID]int{}
	for flow, f := range s.Flows {
		if x := w.hub.Network().Flow(flow); x != nil {
			accepted[x.Recipient.System] += int(f.Accepted)
		}
	}
	for system, n := range expected {
		if accepted[system] != n {
			s.find("%d records were sent for %s and the hub accounts for %d", n, system, accepted[system])
		}
	}
	return nil
}

// rejected counts the parked records that their recipient has and refused.
func (w *world) rejected(ctx context.Context) (map[exchange.SystemID]int64, error) {
	out := map[exchange.SystemID]int64{}
	for after := uint64(0); ; {
		page, err := control.Call[control.ParkedPage](ctx, w.control, "parked/list", control.ParkedQuery{After: after, Limit: 500})
		if err != nil {
			return nil, fmt.Errorf("list what is parked: %w", err)
		}
		for _, p := range page.Parked {
			if p.Mark != exchange.MarkNo.String() {
				out[p.System]++
			}
		}
		if page.Next == 0 {
			return out, nil
		}
		after = page.Next
	}
}

// leaveSummary writes summary.json and ledger.pub.
func (w *world) leaveSummary(s *Summary) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode summary: %w", err)
	}
	if err := w.out.WriteFile("summary.json", append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("leave the summary: %w", err)
	}
	if s.Run.Key == "" {
		return nil
	}
	if err := w.out.WriteFile("ledger.pub", []byte(s.Run.Key+"\n"), 0o644); err != nil {
		return fmt.Errorf("leave the ledger's key: %w", err)
	}
	return nil
}
