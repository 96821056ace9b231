package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"raccordo/hub/mapping"
	"raccordo/hub/network"
)

func (p *process) mapping(ctx context.Context, args []string) error {
	return p.acts(ctx, args, `Mappings between formats and record types.`, act{"test", p.mapTest})
}

func (p *process) mapTest(_ context.Context, args []string) error {
	c := p.command("map test", "DIR",
		`Runs the examples of every mapping of a network: what goes in, what must come out, what must be reported as lost. A fault in a mapping
		file, or an example that comes out otherwise, is reported with file and line; it exits 4 if there is one.`,
		`raccordo map test builtin:reticulate`)
	if err := c.parse(args, 1, 1); err != nil {
		return err
	}
	n, faults, err := p.loadNetwork(c.args[0])
	if err != nil {
		return err
	}
	r := testedMappings{Network: c.args[0], Faults: []network.Fault{}, Elsewhere: []network.Fault{}}
	for _, f := range faults {
		if strings.HasPrefix(f.File, "mappings/") || strings.HasPrefix(f.File, "codelists/") {
			r.Faults = append(r.Faults, f)
		} else {
			r.Elsewhere = append(r.Elsewhere, f)
		}
	}
	r.count(n)
	return c.faults(len(faults), r, r.text)
}

// testedMappings is what running the examples of a network's mappings gave.
type testedMappings struct {
	Network   string          `json:"network"`
	Mappings  []testedMapping `json:"mappings"` // none if the network could not be loaded
	Examples  int             `json:"examples"`
	Faults    []network.Fault `json:"faults"`
	Elsewhere []network.Fault `json:"faults_elsewhere"` // in other files of the network
}

type testedMapping struct {
	Mapping  string `json:"mapping"`
	From     string `json:"from"`
	To       string `json:"to"`
	Examples int    `json:"examples"`
}

// count lists the mappings that the network's systems and flows use.
func (r *testedMappings) count(n *network.Network) {
	r.Mappings = []testedMapping{}
	if n == nil {
		return
	}
	add := func(m *mapping.Mapping) {
		if m == nil {
			return
		}
		x := testedMapping{string(m.ID()), m.From(), m.To(), m.Examples()}
		if !slices.Contains(r.Mappings, x) {
			r.Mappings, r.Examples = append(r.Mappings, x), r.Examples+x.Examples
		}
	}
	for _, s := range n.Systems() {
		for _, p := range s.Produces {
			add(p.Mapping)
		}
	}
	for _, f := range n.Flows() {
		add(f.Mapping)
	}
	slices.SortFunc(r.Mappings, func(a, b testedMapping) int { return strings.Compare(a.Mapping, b.Mapping) })
}

func (r testedMappings) text(w io.Writer) {
	for _, f := range r.Faults {
		fmt.Fprintln(w, f)
	}
	for _, f := range r.Elsewhere {
		fmt.Fprintln(w, f)
	}
	if n := len(r.Faults) + len(r.Elsewhere); n > 0 {
		fmt.Fprintf(w, "%s, of which %d in mappings and code lists\n", count(n, "fault"), len(r.Faults))
		return
	}
	rows := [][]string{{"MAPPING", "FROM", "TO", "EXAMPLES"}}
	for _, m := range r.Mappings {
		rows = append(rows, []string{m.Mapping, m.From, m.To, fmt.Sprint(m.Examples)})
	}
	table(w, rows)
	fmt.Fprintf(w, "%s, %s, all as they say\n", count(len(r.Mappings), "mapping"), count(r.Examples, "example"))
}
