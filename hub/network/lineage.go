package network

import (
	"slices"
	"strings"

	"raccordo/hub/exchange"
	"raccordo/hub/mapping"
	"raccordo/schemas"
	"raccordo/schemas/catalog"
)

// lineage is what a flow lets through, computed once.
type lineage struct {
	analysis *mapping.Analysis
	codes    map[exchange.Pointer]codeSet // every property of the canonical record whose codes reveal something
}

// codeSet is what the codes of one property say about a person.
type codeSet struct {
	of      map[string]exchange.CategorySet
	unknown exchange.CategorySet // of a code no list knows: everything any of them says
	read    bool                 // the mapping reads the property: what it reveals counts
}

// Present are the categories that the flow would disclose of a record: of every
// property its mapping reads and finds, and of code values as far as the
// result reveals them.
func (f *Flow) Present(tree exchange.Tree) exchange.CategorySet {
	return f.lineage.analysis.Present(tree)
}

// ValueCategories answers what a code value at path (* for array items) says
// beyond its property's category, for [schemas.Schema.Minimise]: where the
// mapping reads the property, what the recipient can tell from the result (a
// label shared with harmless codes tells nothing); else what the code says. A
// code no list knows says whatever any code there says.
func (f *Flow) ValueCategories(path, value string) exchange.CategorySet {
	c, ok := f.lineage.codes[exchange.Pointer(path)]
	if !ok {
		return exchange.CategorySet{}
	}
	set, known := c.of[value]
	switch {
	case !known:
		return c.unknown
	case c.read:
		return f.lineage.analysis.Reveals(exchange.Pointer(path), value)
	}
	return set
}

// domain are the codes a property can have in this flow: of the service, those
// in carried.
func (l *loader) domain(f *Flow, carried []string) func(exchange.Pointer) *mapping.Domain {
	service := l.n.services.Property
	return func(path exchange.Pointer) *mapping.Domain {
		d := f.Mapping.Codes(path)
		if path != service || carried == nil || d == nil {
			return d
		}
		own := &mapping.Domain{Codes: map[string]exchange.CategorySet{}, Absent: d.Absent}
		for _, code := range carried {
			own.Codes[code] = d.Codes[code].Union(l.n.Service(code).Categories)
		}
		return own
	}
}

// arrivals groups the services of a flow by what else the recipient, a body in
// a role, gets when one is asked for: it sees through which flows a record
// comes, and so can tell the groups apart whatever the labels say. Conditions
// are left aside: where a flow may come, it may tell.
func (l *loader) arrivals(f *Flow) [][]string {
	if f.Services == nil {
		return [][]string{nil}
	}
	groups := map[string][]string{}
	var order []string
	for _, code := range f.Services {
		var key strings.Builder
		for _, o := range l.n.flows {
			if o.Recipient.Body == f.Recipient.Body && o.Recipient.Role == f.Recipient.Role && o.Territory == f.Territory &&
				o.RecordType == f.RecordType && slices.Contains(o.Services, code) {
				key.WriteString(string(o.ID) + " ")
			}
		}
		if groups[key.String()] == nil {
			order = append(order, key.String())
		}
		groups[key.String()] = append(groups[key.String()], code)
	}
	out := make([][]string, len(order))
	for i, key := range order {
		out[i] = groups[key]
	}
	return out
}

// prove computes the lineage of a flow and reports everything that could reach
// the recipient and that the clause does not permit: through a property, a
// list, a code, a condition, or the mere arrival of the record.
func (l *loader) prove(d *flowDecl) {
	f := d.Flow
	domain := l.domain(f, f.Services)
	f.lineage = lineage{analysis: f.Mapping.Analyse(domain), codes: map[exchange.Pointer]codeSet{}}
	reads := f.Mapping.Reads()
	for _, p := range f.Canonical.Properties() {
		if list, ok := l.mappings.codes[p.CodeList]; ok && p.CodeList != "" {
			c := codeSet{of: list, read: slices.Contains(reads, p.Path)}
			if c.read {
				if own := domain(p.Path); own != nil {
					c.of = own.Codes
				}
			}
			for _, set := range c.of {
				c.unknown = c.unknown.Union(set)
			}
			if !c.unknown.Empty() {
				f.lineage.codes[p.Path] = c
			}
		}
	}
	f.Prune = prunes(f)
	for _, carried := range l.arrivals(f) {
		l.proveTargets(f, f.Mapping.Analyse(l.domain(f, carried)))
		l.proveServices(d, carried)
	}
	if c := compiled(f.Condition); c != nil {
		l.proveCondition(d, d.condition.at, c, "the condition of the flow")
	}
	if c := compiled(f.Clause.When); c != nil {
		l.proveCondition(d, l.clauses[f.Clause.ID].when.at, c, "the clause's own condition")
	}
}

// prunes reports whether the mapping can leave every affected person out.
func prunes(f *Flow) bool {
	affected := false
	for _, s := range f.Canonical.Subjects() {
		if s.Kind == schemas.SubjectPrincipal {
			continue
		}
		affected = true
		if !f.Mapping.Prunable(s.Person) {
			return false
		}
	}
	return affected
}

func (l *loader) proveTargets(f *Flow, analysis *mapping.Analysis) {
	for _, e := range f.Mapping.Lineage() {
		forbidden := analysis.Targets()[e.Target].Minus(f.Clause.Categories)
		for _, c := range forbidden.Each() {
			r, by := l.culprit(f, &e, c)
			if by == "" {
				continue // another edge to the same target is the one
			}
			l.add(Fault{File: f.Mapping.File(), Line: r.Line, Path: string(r.Path) + " -> " + string(e.Target),
				Message: "flow " + string(f.ID) + " would disclose " + l.categoryName(c) + ", which clause " + string(f.Clause.ID) +
					" does not permit: " + by,
				Fix: "take it out of the mapping, map it to a label shared with codes that do not say it, or let the parties permit it in the clause"})
		}
	}
}

func (l *loader) categoryName(c exchange.Category) string {
	return l.opts.Catalog.Categories().Names(exchange.NewCategorySet(c))[0]
}

// culprit is the reading through which category c reaches the target of e, and
// how; "" if e is not the way.
func (l *loader) culprit(f *Flow, e *mapping.Edge, c exchange.Category) (mapping.Reading, string) {
	for _, r := range e.Sources {
		if p, ok := f.Canonical.Property(r.Path); ok && p.Type != "object" && p.Type != "array" && p.Categories.Has(c) {
			return r, "it reads " + string(r.Path) + " by " + string(r.Via)
		}
	}
	for _, r := range e.Sources {
		for code := range f.lineage.codes[r.Path].of {
			if f.lineage.codes[r.Path].of[code].Has(c) {
				return r, "a code of " + string(r.Path) + " says it, and the result, by " + string(r.Via) + ", tells that code from the others"
			}
		}
	}
	for _, r := range e.Sources {
		if shared(f.Canonical, r.Path).Has(c) {
			return r, "whether " + string(r.Path) + " is there, or how much of it, says it"
		}
	}
	return mapping.Reading{}, ""
}

// proveServices judges what the recipient learns from getting a record at all,
// when it is one of the carried services and no other.
func (l *loader) proveServices(d *flowDecl, carried []string) {
	f := d.Flow
	if len(carried) == 0 {
		return
	}
	shared := l.n.Service(carried[0]).Categories
	for _, code := range carried[1:] {
		shared = shared.Intersect(l.n.Service(code).Categories)
	}
	for _, c := range shared.Minus(f.Clause.Categories).Each() {
		l.addAt(d.services[0].at, "carry it together with services that do not say it, and those through no other flow to the same recipient; or use a clause that permits it",
			"a record that comes through flow %s discloses %s, which clause %s does not permit: every service it can be (%s) says it",
			f.ID, l.categoryName(c), f.Clause.ID, strings.Join(carried, ", "))
	}
}

// proveCondition counts whatever a condition reads as disclosed: one bit is a
// leak, and inside CEL nobody can say which bit.
func (l *loader) proveCondition(d *flowDecl, p at, cond *mapping.Condition, what string) {
	f := d.Flow
	for _, read := range cond.Reads() {
		var set exchange.CategorySet
		for _, leaf := range f.Canonical.Properties() {
			if leaf.Path != read && read != "" && !strings.HasPrefix(string(leaf.Path), string(read)+"/") {
				continue
			}
			set = set.Union(leaf.Categories)
			for code, categories := range l.codesIn(f, leaf) {
				if f.Services == nil || leaf.Path != l.n.services.Property || slices.Contains(f.Services, code) {
					set = set.Union(categories)
				}
			}
		}
		for _, c := range set.Minus(f.Clause.Categories).Each() {
			l.addAt(p, "read something else, or use a clause that permits it",
				"%s reads %s, so a record that comes through flow %s discloses %s, which clause %s does not permit",
				what, orRoot(read), f.ID, l.categoryName(c), f.Clause.ID)
		}
	}
}

func (l *loader) codesIn(f *Flow, p schemas.Property) map[string]exchange.CategorySet {
	if p.CodeList == "" {
		return nil
	}
	return l.mappings.codes[p.CodeList]
}

// proveProduction holds a mapping into the canonical form to the categories of
// the format it reads: what the producer's own schema calls health must not
// become something harmless on the way in, for everything after relies on the
// canonical categories.
func (l *loader) proveProduction(out *Production, source *schemas.Schema) {
	m := out.Mapping
	targets := m.Analyse(nil).Targets()
	for _, e := range m.Lineage() {
		allowed := l.categoriesBelow(out.Canonical, e.Target)
		for _, c := range targets[e.Target].Minus(allowed.With(catalog.NonPersonal)).Each() {
			for _, r := range e.Sources {
				if fillsSibling(m, &e, &r) || !says(source, m, &r, c) {
					continue
				}
				l.add(Fault{File: m.File(), Line: r.Line, Path: string(r.Path) + " -> " + string(e.Target),
					Message: string(r.Path) + " of the format says " + l.categoryName(c) + ", and " + string(e.Target) + " of " +
						string(out.RecordType) + " does not carry that category: it would be treated as harmless from here on",
					Fix: "map it to a property of that category, leave it out, or correct the category in the format"})
				break
			}
		}
	}
}

// fillsSibling reports whether r is only there because another property of the
// same object is: that property says it itself, under its own category.
func fillsSibling(m *mapping.Mapping, e *mapping.Edge, r *mapping.Reading) bool {
	if r.Via != mapping.ViaPresence {
		return false
	}
	for _, o := range m.Lineage() {
		if o.Target == e.Target {
			continue
		}
		for _, s := range o.Sources {
			if s.Path == r.Path && s.Line == r.Line && (s.Via == mapping.ViaValue || s.Via == mapping.ViaCodeList) {
				return true
			}
		}
	}
	return false
}

// categoriesBelow are the categories a canonical property stands under, with
// those its codes can say.
func (l *loader) categoriesBelow(s *schemas.Schema, path exchange.Pointer) exchange.CategorySet {
	p, ok := s.Property(path)
	if !ok {
		return exchange.CategorySet{}
	}
	set := p.Categories
	for _, leaf := range s.Properties() {
		if leaf.CodeList != "" && (leaf.Path == path || strings.HasPrefix(string(leaf.Path), string(path)+"/")) {
			for _, categories := range l.mappings.codes[leaf.CodeList] {
				set = set.Union(categories)
			}
		}
	}
	return set
}

// says reports whether a reading lets category c through: of a leaf, its own;
// of a list or object, what everything in it shares; of codes, theirs.
func says(s *schemas.Schema, m *mapping.Mapping, r *mapping.Reading, c exchange.Category) bool {
	if p, ok := s.Property(r.Path); ok {
		if p.Type != "object" && p.Type != "array" {
			if p.Categories.Has(c) {
				return true
			}
		} else if shared(s, r.Path).Has(c) {
			return true
		}
	}
	if d := m.Codes(r.Path); d != nil {
		for _, set := range d.Codes {
			if set.Has(c) {
				return true
			}
		}
	}
	return false
}

// shared are the categories that every leaf below a container has.
func shared(s *schemas.Schema, path exchange.Pointer) exchange.CategorySet {
	var set exchange.CategorySet
	first := true
	for _, leaf := range s.Properties() {
		if !strings.HasPrefix(string(leaf.Path), string(path)+"/") {
			continue
		}
		if first {
			set, first = leaf.Categories, false
		} else {
			set = set.Intersect(leaf.Categories)
		}
	}
	return set
}
