package main

import (
	"context"
	"fmt"
	"io"

	"raccordo/connectors"
	"raccordo/connectors/standard"
	"raccordo/hub"
	"raccordo/hub/exchange"
	"raccordo/hub/network"
	"raccordo/schemas/catalog"
)

// loadNetwork checks a network; n is nil if there is a fault.
func (p *process) loadNetwork(name string) (n *network.Network, faults []network.Fault, err error) {
	fsys, err := networkFS(name)
	if err != nil {
		return nil, nil, err
	}
	all, err := catalog.Load()
	if err != nil {
		return nil, nil, fmt.Errorf("catalogue: %w", err)
	}
	kinds, err := connectors.NewSet(standard.Kinds()...)
	if err != nil {
		return nil, nil, err
	}
	n, faults = network.Load(fsys, network.Options{Catalog: all, Kinds: hub.Kinds{Set: kinds}, Now: p.now()})
	return n, faults, nil
}

func (p *process) check(_ context.Context, args []string) error {
	c := p.command("check", "DIR",
		`Checks a network, a directory or builtin:NAME, without running anything: names, roles, agreements, schemas, mappings and their examples, and
		that no flow can release a category of personal data that its clause does not permit. It reports every fault with file, line and what to
		do, and exits 4 if there is one.`,
		`raccordo check builtin:reticulate`)
	if err := c.parse(args, 1, 1); err != nil {
		return err
	}
	n, faults, err := p.loadNetwork(c.args[0])
	if err != nil {
		return err
	}
	if faults == nil {
		faults = []network.Fault{}
	}
	r := checkedNetwork{Network: c.args[0], Faults: faults, Notes: []string{}}
	if n != nil {
		r.Name, r.Digest = n.Name, n.Digest.String()
		r.Bodies, r.Systems, r.Clauses, r.Flows = len(n.Bodies()), len(n.Systems()), len(n.Clauses()), len(n.Flows())
		for _, a := range n.Agreements() {
			if a.Draft() {
				r.Notes = append(r.Notes, fmt.Sprintf("%s is a draft (a party has not signed), its clauses release nothing", a.ID))
			}
		}
	}
	return c.faults(len(faults), r, func(w io.Writer) {
		for _, f := range faults {
			fmt.Fprintln(w, f)
		}
		if n == nil {
			fmt.Fprintln(w, count(len(faults), "fault"))
			return
		}
		fmt.Fprintf(w, "%s: %d bodies, %d systems, %d clauses, %d flows, no faults\n", r.Name, r.Bodies, r.Systems, r.Clauses, r.Flows)
		for _, s := range r.Notes {
			fmt.Fprintf(w, "note: %s\n", s)
		}
	})
}

// checkedNetwork is what a check of a network found.
type checkedNetwork struct {
	Network string          `json:"network"`
	Name    string          `json:"name,omitempty"`
	Digest  string          `json:"digest,omitempty"`
	Bodies  int             `json:"bodies"`
	Systems int             `json:"systems"`
	Clauses int             `json:"clauses"`
	Flows   int             `json:"flows"`
	Faults  []network.Fault `json:"faults"`
	Notes   []string        `json:"notes"` // of what is no fault
}

// faults shows what a check found; the exit code is 4 if it found anything.
func (c *command) faults(n int, v any, text func(io.Writer)) error {
	if err := c.show(v, text); err != nil {
		return err
	}
	if n > 0 {
		return &exit{code: exitFaults}
	}
	return nil
}

func (p *process) explain(_ context.Context, args []string) error {
	c := p.command("explain", "[FLOW]",
		`Says for a flow of a network which source field ends where, under which category of personal data, clause, purpose and legal basis, and
		what of the record is never passed on. Without a flow it lists them.`,
		`raccordo explain livorno_work --network builtin:reticulate`)
	name := c.networkFlag()
	if err := c.parse(args, 0, 1); err != nil {
		return err
	}
	n, err := c.network(*name)
	if err != nil {
		return err
	}
	if len(c.args) == 0 {
		return c.listFlows(n)
	}
	f := n.Flow(exchange.FlowID(c.args[0]))
	if f == nil {
		return exchange.NewError(exchange.CodeNotFound, exchange.ReasonNotFound, "the network has no such flow; raccordo explain lists them")
	}
	e := n.Explain(f)
	return c.show(e, func(w io.Writer) { fmt.Fprint(w, e) })
}

func (c *command) listFlows(n *network.Network) error {
	type line struct {
		Flow      exchange.FlowID     `json:"flow"`
		Type      exchange.RecordType `json:"record_type"`
		Producers []exchange.SystemID `json:"producers"`
		Recipient exchange.SystemID   `json:"recipient"`
		Clause    exchange.ClauseID   `json:"clause"`
	}
	var list []line
	for _, f := range n.Flows() {
		list = append(list, line{f.ID, f.RecordType, f.Producers, f.Recipient.System, f.Clause.ID})
	}
	return c.show(list, func(w io.Writer) {
		rows := [][]string{{"FLOW", "RECORD TYPE", "FROM", "TO", "CLAUSE"}}
		for _, l := range list {
			rows = append(rows, []string{string(l.Flow), string(l.Type), fmt.Sprint(l.Producers), string(l.Recipient), string(l.Clause)})
		}
		table(w, rows)
	})
}

// networkFlag adds --network.
func (c *command) networkFlag() *string {
	return c.flags.String("network", "", "network: `DIR` or builtin:NAME; default: that of the configuration")
}

// network loads the named network, or the configured one; faults are an error.
func (c *command) network(name string) (*network.Network, error) {
	if name == "" {
		if c.configFile() == "" && c.p.getenv("RACCORDO_NETWORK") == "" {
			return nil, usagef("which network? give --network DIR (or builtin:reticulate), or --config FILE")
		}
		if name = c.p.getenv("RACCORDO_NETWORK"); name == "" {
			config, err := c.loadConfig()
			if err != nil {
				return nil, err
			}
			name = config.Network
		}
	}
	n, faults, err := c.p.loadNetwork(name)
	if err != nil {
		return nil, err
	}
	if n == nil {
		return nil, &hub.NetworkError{Faults: faults}
	}
	return n, nil
}
