package network

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"raccordo/hub/exchange"
)

// Explanation says which source field of a flow ends where, under which
// category, clause, purpose and basis. It holds names of the network only.
type Explanation struct {
	Flow       exchange.FlowID      `json:"flow"`
	RecordType exchange.RecordType  `json:"record_type"`
	Territory  exchange.Territory   `json:"territory"`
	Class      string               `json:"class"`
	Producers  []exchange.SystemID  `json:"producers"`
	Recipient  exchange.SystemID    `json:"recipient"`
	Body       exchange.BodyID      `json:"body"`
	Role       exchange.Role        `json:"role"`
	Services   []string             `json:"services,omitempty"`
	Condition  string               `json:"condition,omitempty"`
	Format     string               `json:"format"`
	Mapping    exchange.MappingID   `json:"mapping"`
	Agreement  exchange.AgreementID `json:"agreement"`
	Draft      bool                 `json:"draft"` // never releases
	Clause     exchange.ClauseID    `json:"clause"`
	When       string               `json:"when,omitempty"`
	Purpose    exchange.PurposeID   `json:"purpose"`
	Basis      string               `json:"basis"`
	LawRef     string               `json:"law_ref"`
	Hold       string               `json:"hold,omitempty"` // days a record waits for a consent
	Dossier    string               `json:"dossier,omitempty"`
	Permitted  []string             `json:"permitted"` // categories
	Prunes     bool                 `json:"prunes"`    // can leave affected persons out
	Fields     []ExplainedField     `json:"fields"`
	NotPassed  []ExplainedProperty  `json:"not_passed"` // of the record, and why it stays behind
}

// ExplainedField is one property the recipient gets.
type ExplainedField struct {
	Target     exchange.Pointer  `json:"target"`
	Categories []string          `json:"categories"` // it can carry
	Sources    []ExplainedSource `json:"sources"`    // none: always the same
}

// ExplainedSource is one property of the record a field depends on.
type ExplainedSource struct {
	Path     exchange.Pointer `json:"path"`
	Via      string           `json:"via"`
	CodeList string           `json:"code_list,omitempty"`
}

// ExplainedProperty is a property of the record that the recipient never sees.
type ExplainedProperty struct {
	Path       exchange.Pointer `json:"path"`
	Categories []string         `json:"categories"`
}

// Explain describes f, a flow of n.
func (n *Network) Explain(f *Flow) Explanation {
	e := Explanation{
		Flow: f.ID, RecordType: f.RecordType, Territory: f.Territory, Class: f.Class.String(), Producers: f.Producers,
		Recipient: f.Recipient.System, Body: f.Recipient.Body, Role: f.Recipient.Role, Services: f.Services,
		Condition: source(f.Condition), Format: formatName(f), Mapping: f.Mapping.ID(),
		Agreement: f.Clause.Agreement.ID, Draft: f.Clause.Agreement.Draft(), Clause: f.Clause.ID, When: source(f.Clause.When),
		Purpose: f.Clause.Purpose, Basis: string(f.Clause.Basis), LawRef: f.Clause.LawRef, Dossier: f.Clause.Dossier,
		Permitted: n.categoryNames(f.Clause.Categories), Prunes: f.Prune, Fields: []ExplainedField{}, NotPassed: []ExplainedProperty{},
	}
	if f.Clause.Hold > 0 {
		e.Hold = fmt.Sprintf("%gd", f.Clause.Hold.Hours()/24)
	}
	targets := f.lineage.analysis.Targets()
	for _, edge := range f.Mapping.Lineage() {
		field := ExplainedField{Target: edge.Target, Categories: n.categoryNames(targets[edge.Target]), Sources: []ExplainedSource{}}
		for _, s := range edge.Sources {
			x := ExplainedSource{Path: s.Path, Via: string(s.Via), CodeList: s.CodeList}
			if !slices.Contains(field.Sources, x) {
				field.Sources = append(field.Sources, x)
			}
		}
		e.Fields = append(e.Fields, field)
	}
	reads := f.Mapping.Reads()
	for _, p := range f.Canonical.Properties() {
		if !slices.Contains(reads, p.Path) {
			e.NotPassed = append(e.NotPassed, ExplainedProperty{p.Path, n.categoryNames(p.Categories)})
		}
	}
	return e
}

func source(c Condition) string {
	if c == nil {
		return ""
	}
	return c.Source()
}

func (n *Network) categoryNames(set exchange.CategorySet) []string {
	out := []string{}
	for _, c := range n.categories {
		if set.Has(c.Number) {
			out = append(out, c.Name)
		}
	}
	return out
}

// String is the explanation as text for people.
func (e Explanation) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	line := func(key, value string) {
		if value != "" {
			fmt.Fprintf(w, "%s\t%s\n", key, value)
		}
	}
	line("flow", string(e.Flow))
	line("record type", string(e.RecordType)+" in "+string(e.Territory)+", "+e.Class)
	line("from", joinNames(e.Producers))
	line("to", string(e.Recipient)+" of "+string(e.Body)+" as "+string(e.Role))
	line("services", strings.Join(e.Services, ", "))
	line("condition", e.Condition)
	line("mapping", string(e.Mapping)+" into "+e.Format)
	agreement := string(e.Agreement)
	if e.Draft {
		agreement += " (draft: never releases)"
	}
	line("clause", string(e.Clause)+" of "+agreement)
	line("when", e.When)
	line("purpose", string(e.Purpose)+" on "+e.Basis+" ("+e.LawRef+")")
	line("waits", e.Hold)
	line("dossier", e.Dossier)
	line("permitted", strings.Join(e.Permitted, ", "))
	fmt.Fprintln(w)
	fmt.Fprintln(w, "target\tcategories\tfrom")
	for _, f := range e.Fields {
		var from []string
		for _, s := range f.Sources {
			text := string(s.Path) + " (" + s.Via
			if s.CodeList != "" {
				text += " " + s.CodeList
			}
			from = append(from, text+")")
		}
		if len(from) == 0 {
			from = []string{"always the same"}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", f.Target, strings.Join(f.Categories, " "), strings.Join(from, ", "))
	}
	fmt.Fprintln(w)
	fmt.Fprintln(w, "never passed on\tcategories\t")
	for _, p := range e.NotPassed {
		fmt.Fprintf(w, "%s\t%s\t\n", p.Path, strings.Join(p.Categories, " "))
	}
	_ = w.Flush() // into memory
	return b.String()
}

func joinNames[T ~string](list []T) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = string(s)
	}
	return strings.Join(out, ", ")
}
