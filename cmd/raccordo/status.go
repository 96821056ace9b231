package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"raccordo/hub/control"
	"raccordo/hub/exchange"
)

func (p *process) status(ctx context.Context, args []string) error {
	o := p.operator("status", "[--confirm-clock]",
		`Shows whether the hub serves, where, under which network, and for every flow how many records are in each state. It exits 4 while the hub
		is not ready, a lane is quarantined or the sums do not balance. --confirm-clock says that the machine's clock is right after the hub has
		refused to write because of it.`,
		`raccordo status`)
	var confirm bool
	o.flags.BoolVar(&confirm, "confirm-clock", false, "the clock is right: go on")
	if err := o.parse(args, 0, 0); err != nil {
		return err
	}
	if confirm {
		if _, err := ask[control.Nothing](ctx, o, "confirm-clock", control.Nothing{}); err != nil {
			return err
		}
	}
	s, err := ask[control.Status](ctx, o, "status", control.Nothing{})
	if err != nil {
		return err
	}
	if err := o.show(s, func(w io.Writer) { statusText(w, &s) }); err != nil {
		return err
	}
	if !s.Ready || len(s.Quarantined) > 0 || s.Imbalance != 0 {
		return &exit{code: exitFaults}
	}
	return nil
}

func statusText(w io.Writer, s *control.Status) {
	ready := "yes"
	if !s.Ready {
		ready = "no: " + s.Why
	}
	stopped := "no"
	if s.Stopped {
		stopped = "yes"
	}
	table(w, [][]string{{"ready", ready}, {"version", s.Version}, {"hub", s.Hub.String()}, {"API", s.API}, {"admin", s.Admin},
		{"network", s.Network + " " + s.Digest.String()[:16]}, {"disclosures stopped", stopped},
		{"ledger entries", fmt.Sprint(s.Entries)}, {"not yet counted", fmt.Sprint(s.Behind)}, {"imbalance", fmt.Sprint(s.Imbalance)}})
	for _, q := range s.Quarantined {
		fmt.Fprintf(w, "quarantined: %s\n", q)
	}
	if len(s.Flows) > 0 {
		fmt.Fprintln(w)
		flowTable(w, s.Flows)
	}
}

// flowTable shows the states that occur, a column each.
func flowTable(w io.Writer, flows map[exchange.FlowID]map[string]int64) {
	var columns []string
	for _, state := range exchange.States() {
		if slices.ContainsFunc(slices.Collect(maps.Values(flows)), func(m map[string]int64) bool { return m[state.String()] != 0 }) {
			columns = append(columns, state.String())
		}
	}
	rows := [][]string{append([]string{"FLOW"}, columns...)}
	for _, f := range slices.Sorted(maps.Keys(flows)) {
		row := []string{string(f)}
		for _, c := range columns {
			row = append(row, fmt.Sprint(flows[f][c]))
		}
		rows = append(rows, row)
	}
	table(w, rows)
}
