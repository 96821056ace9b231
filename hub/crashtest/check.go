package crashtest

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"raccordo/hub/control"
	"raccordo/hub/exchange"
	"raccordo/hub/ledger/verify"
)

// place is one record in one flow.
type place struct {
	Record exchange.RecordID
	Flow   exchange.FlowID
}

// accepted is what was acknowledged: for each record and flow what was sent.
func accepted(answered []*Answered) (map[place]Sent, error) {
	out := map[place]Sent{}
	seen := map[exchange.RecordID]string{}
	for _, a := range answered {
		for i, id := range a.Records {
			if id == nil {
				continue
			}
			s := a.Sent[i]
			if other, ok := seen[*id]; ok && other != s.Number {
				return nil, fmt.Errorf("I5: record %s was acknowledged for %s and for %s", id, other, s.Number)
			}
			seen[*id] = s.Number
			for _, f := range s.Flows() {
				out[place{*id, f}] = s
			}
		}
	}
	return out, nil
}

// Ledger is what an export says: of every record and flow the last state, and
// whether a claim was made.
type Ledger struct {
	State   map[place]exchange.Row
	Claimed map[place]bool
	Report  *verify.Report
}

// ReadLedger verifies an export and reads its rows.
func ReadLedger(dir, key string, flows []exchange.FlowID) (*Ledger, error) {
	report, err := verify.Verify(os.DirFS(dir), key, verify.Options{})
	if err != nil {
		return nil, err
	}
	if !report.OK() {
		return nil, fmt.Errorf("I2, I6: the exported ledger has %d findings, the first: %+v", len(report.Findings)+report.More, report.Findings[0])
	}
	l := &Ledger{State: map[place]exchange.Row{}, Claimed: map[place]bool{}, Report: report}
	names := map[exchange.Number]exchange.FlowID{}
	for _, f := range flows {
		names[exchange.FlowNumber(f)] = f
	}
	files, err := filepath.Glob(filepath.Join(dir, "entries-*.ndjson"))
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	for _, file := range files {
		if err := l.read(file, names); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(file), err)
		}
	}
	return l, nil
}

func (l *Ledger) read(file string, names map[exchange.Number]exchange.FlowID) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	in := bufio.NewScanner(bytes.NewReader(b))
	in.Buffer(nil, 32<<20)
	for in.Scan() {
		var line struct {
			Rows []byte `json:"rows"`
		}
		if err := json.Unmarshal(in.Bytes(), &line); err != nil {
			return err
		}
		rows, err := exchange.DecodeRows(line.Rows)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if r.Part != exchange.PartPrincipal {
				continue
			}
			p := place{r.Record, names[r.Flow]}
			l.State[p] = r
			if r.State == exchange.StateClaimed {
				l.Claimed[p] = true
			}
		}
	}
	return in.Err()
}

// Checks are what the checkers of a run look at.
type Checks struct {
	Answered []*Answered
	Arrivals []Arrival
	Ledger   *Ledger
	Status   control.Status
	// Rest says which states a record may be in at rest; nil: delivered only.
	Rest func(exchange.FlowID, exchange.Row) bool
}

// All runs the checkers of what was accepted against what the ledger says and
// what arrived.
func (c *Checks) All() error {
	want, err := accepted(c.Answered)
	if err != nil {
		return err
	}
	return errors.Join(c.balance(want), c.claims(), c.complete(want), c.order(want))
}

// balance is I1.
func (c *Checks) balance(want map[place]Sent) error {
	perFlow := map[exchange.FlowID]int64{}
	for p := range want {
		perFlow[p.Flow]++
		row, ok := c.Ledger.State[p]
		if !ok {
			return fmt.Errorf("I1: record %s (%s) was acknowledged and has no state in flow %s", p.Record, want[p].Number, p.Flow)
		}
		if !c.rests(p.Flow, row) {
			return fmt.Errorf("I1: record %s (%s) rests in flow %s as %s: %s", p.Record, want[p].Number, p.Flow, row.State, row.Reason)
		}
	}
	for p, row := range c.Ledger.State {
		if _, ok := want[p]; !ok {
			return fmt.Errorf("I1: the ledger accounts record %s in flow %s as %s, which nobody was promised", p.Record, p.Flow, row.State)
		}
	}
	if c.Status.Imbalance != 0 || c.Status.Behind != 0 {
		return fmt.Errorf("I1: imbalance %d, %d entries behind", c.Status.Imbalance, c.Status.Behind)
	}
	for _, f := range slices.Sorted(maps.Keys(perFlow)) {
		var sum int64
		for _, n := range c.Status.Flows[f] {
			sum += n
		}
		if sum != perFlow[f] {
			return fmt.Errorf("I1: flow %s: %d records acknowledged, the hub's states sum up to %d: %v", f, perFlow[f], sum, c.Status.Flows[f])
		}
	}
	return nil
}

func (c *Checks) rests(f exchange.FlowID, r exchange.Row) bool {
	if c.Rest == nil {
		return r.State == exchange.StateDelivered
	}
	return c.Rest(f, r)
}

// claims is I2 and I4: what arrived was claimed, under the id it came with.
func (c *Checks) claims() error {
	for _, a := range c.Arrivals {
		p := place{a.Record, a.Flow}
		if !c.Ledger.Claimed[p] {
			return fmt.Errorf("I4: %s received record %s through flow %s without a claim", a.System, a.Record, a.Flow)
		}
		if exchange.NewDisclosureID(a.Record, a.Flow) != a.Disclosure {
			return fmt.Errorf("I5: %s received record %s under another disclosure id", a.System, a.Record)
		}
		if recipients[a.Flow] != a.System {
			return fmt.Errorf("I2: flow %s reached %s", a.Flow, a.System)
		}
	}
	return nil
}

// complete: what recipients hold, by record id, is what was acknowledged and
// delivered, with the content the flow may pass on (I3).
func (c *Checks) complete(want map[place]Sent) error {
	held := map[place]bool{}
	for _, a := range c.Arrivals {
		p := place{a.Record, a.Flow}
		s, ok := want[p]
		if !ok {
			return fmt.Errorf("I2: %s holds record %s, which was not acknowledged for flow %s", a.System, a.Record, a.Flow)
		}
		if held[p] {
			continue
		}
		held[p] = true
		if err := s.Matches(a.Flow, a.Content); err != nil {
			return fmt.Errorf("I3: %w", err)
		}
	}
	for p, s := range want {
		if c.Ledger.State[p].State == exchange.StateDelivered && !held[p] {
			return fmt.Errorf("I1: record %s (%s) is said to be delivered through %s and never arrived", p.Record, s.Number, p.Flow)
		}
	}
	return nil
}

// order is the second half of I5: sequences rise in the order in which a
// person's records were accepted, per flow, and recipients that are called get
// them in that order at first. (Who fetches may have lost an answer, and be
// offered later ones before the lease of what was in it is over.)
func (c *Checks) order(want map[place]Sent) error {
	type line struct {
		Flow exchange.FlowID
		Code string
	}
	type first struct {
		Sent
		sequence uint64
	}
	lines := map[line][]first{}
	seen := map[place]uint64{}
	for _, a := range c.Arrivals {
		p := place{a.Record, a.Flow}
		s := want[p]
		if before, again := seen[p]; again {
			if before != a.Sequence {
				return fmt.Errorf("I5: record %s came again through %s with another sequence", s.Number, a.Flow)
			}
			continue
		}
		seen[p] = a.Sequence
		k := line{a.Flow, s.Person.Code}
		lines[k] = append(lines[k], first{s, a.Sequence})
	}
	for k, all := range lines {
		if fetched[k.Flow] {
			slices.SortFunc(all, func(a, b first) int { return cmp.Compare(a.Order, b.Order) })
		}
		for i := 1; i < len(all); i++ {
			if was, is := all[i-1], all[i]; was.Order >= is.Order || was.sequence >= is.sequence {
				return fmt.Errorf("I5: in flow %s record %s (sequence %d) came after %s (sequence %d) of the same person",
					k.Flow, is.Number, is.sequence, was.Number, was.sequence)
			}
		}
	}
	return nil
}
