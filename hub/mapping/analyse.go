package mapping

import (
	"maps"
	"slices"

	"raccordo/hub/exchange"
)

// Domain is every code a source property can have, with the categories each
// reveals by itself; a harmless one has the empty set and must be there too.
type Domain struct {
	Codes  map[string]exchange.CategorySet
	Absent bool // the property can be missing where it is read
}

// Codes is the domain of a source property as its schema and the code lists
// tell it: the list the property names, and those the mapping looks its value
// up in by code. nil when no code of it reveals anything.
func (m *Mapping) Codes(path exchange.Pointer) *Domain {
	p, ok := m.env.Source.Property(path)
	if !ok {
		return nil
	}
	d := &Domain{Codes: map[string]exchange.CategorySet{}, Absent: m.optional(path)}
	lists := map[string]*CodeList{}
	if list := m.env.CodeLists[p.CodeList]; list != nil {
		lists[list.id] = list
	}
	for _, e := range m.lineage {
		for _, r := range e.Sources {
			if r.Path == path && r.value != nil && r.value.table != nil && r.value.table.from == columnCode {
				lists[r.CodeList] = r.value.table.list
			}
		}
	}
	reveals := false
	for _, list := range lists {
		for code, categories := range list.Codes() {
			if p.Enum != nil && !slices.Contains(p.Enum, code) {
				continue
			}
			set := d.Codes[code]
			for _, name := range categories {
				set = set.With(m.env.Categories[name])
				reveals = true
			}
			d.Codes[code] = set
		}
	}
	for _, code := range p.Enum {
		d.Codes[code] = d.Codes[code].Union(exchange.CategorySet{}) // known, if with no category of its own
	}
	if !reveals {
		return nil
	}
	return d
}

// optional reports whether a property can be missing from the item or record
// it is read in.
func (m *Mapping) optional(path exchange.Pointer) bool {
	for path != "" {
		above, token := parent(path)
		if token == "*" {
			return false
		}
		if p, ok := m.env.Source.Property(path); !ok || !p.RequiredHere {
			return true
		}
		path = above
	}
	return false
}

// Analysis says which categories a mapping lets through to which target.
type Analysis struct {
	targets map[exchange.Pointer]exchange.CategorySet
	reveals map[exchange.Pointer]codes
	probes  []probe
}

// codes is what the result reveals of each code of a property, and of a value
// that is none of them: as much as any of them could.
type codes struct {
	of      map[string]exchange.CategorySet
	unknown exchange.CategorySet
}

func (c *codes) get(code string) exchange.CategorySet {
	if set, ok := c.of[code]; ok {
		return set
	}
	return c.unknown
}

// probe is one source property that Present looks for.
type probe struct {
	tokens     []string
	categories exchange.CategorySet
	reveals    codes
}

// Analyse computes what each target property can carry:
//
//   - the categories of every source property it depends on, in whatever way
//     (of a list or object whose being there counts: those that everything in
//     it shares);
//   - of code values, what the target tells about them: a category is revealed
//     when all codes that lead to the same result carry it. A generic label
//     shared by health and other codes does not reveal health; a condition does
//     when all codes that meet it carry it, or all that do not;
//   - and what several targets tell only together: two labels that each are
//     shared can have a single code in common.
//
// domains gives the domain of a source property, nil for none; a nil domains is
// [Mapping.Codes]. A caller that knows the flow's condition leaves out the
// codes that cannot arrive.
func (m *Mapping) Analyse(domains func(exchange.Pointer) *Domain) *Analysis {
	if domains == nil {
		domains = m.Codes
	}
	a := &Analysis{targets: map[exchange.Pointer]exchange.CategorySet{}, reveals: map[exchange.Pointer]codes{}}
	observed := map[exchange.Pointer][]observation{}
	for i, e := range m.lineage {
		set := a.targets[e.Target]
		for j := range e.Sources {
			r := &e.Sources[j]
			set = set.Union(m.base(r))
			observed[r.Path] = append(observed[r.Path], observation{edge: i, reading: r, conditional: conditional(e.Sources)})
		}
		a.targets[e.Target] = set
	}
	for _, path := range slices.Sorted(maps.Keys(observed)) {
		domain := domains(path)
		if domain != nil {
			a.codes(m, path, domain, observed[path])
		}
		p := probe{tokens: path.Tokens(), reveals: a.reveals[path]}
		for _, o := range observed[path] {
			p.categories = p.categories.Union(m.base(o.reading))
		}
		a.probes = append(a.probes, p)
	}
	return a
}

func conditional(rs []Reading) bool {
	return slices.ContainsFunc(rs, func(r Reading) bool { return r.Via == ViaCondition || r.Via == ViaPresence })
}

// base are the categories of the property itself.
func (m *Mapping) base(r *Reading) exchange.CategorySet {
	p, ok := m.env.Source.Property(r.Path)
	if !ok {
		return exchange.CategorySet{}
	}
	if p.Type != "object" && p.Type != "array" {
		return p.Categories
	}
	var shared exchange.CategorySet
	first := true
	for _, leaf := range m.env.Source.Properties() {
		if !within(leaf.Path, r.Path) {
			continue
		}
		if first {
			shared, first = leaf.Categories, false
		} else {
			shared = shared.Intersect(leaf.Categories)
		}
	}
	return shared
}

// codes adds what the observations of one path reveal.
func (a *Analysis) codes(m *Mapping, path exchange.Pointer, d *Domain, obs []observation) {
	if len(days(obs)) == 0 {
		obs = slices.Clone(obs)
		for i := range obs {
			obs[i].reading = &Reading{Path: path, Via: ViaValue}
		}
	}
	byEdge := map[int][]observation{}
	for _, o := range obs {
		byEdge[o.edge] = append(byEdge[o.edge], o)
	}
	var all exchange.CategorySet
	for _, set := range d.Codes {
		all = all.Union(set)
	}
	own := map[int]exchange.CategorySet{}
	for edge, list := range byEdge {
		own[edge] = revealed(list, d)
	}
	for _, c := range all.Each() {
		var together []observation
		for _, o := range obs {
			if !own[o.edge].Has(c) {
				together = append(together, o)
			}
		}
		if revealed(together, d).Has(c) {
			for _, o := range together {
				own[o.edge] = own[o.edge].With(c)
			}
		}
	}
	for edge, set := range own {
		target := m.lineage[edge].Target
		a.targets[target] = a.targets[target].Union(set)
	}
	reveals := make(map[string]exchange.CategorySet, len(d.Codes))
	for code := range d.Codes {
		reveals[code] = exchange.CategorySet{}
	}
	for _, day := range days(obs) {
		of, shared := atoms(obs, d, day)
		for code, key := range of {
			reveals[code] = reveals[code].Union(shared[key])
		}
	}
	a.reveals[path] = codes{of: reveals, unknown: all}
}

// Targets are the categories each target property can carry, * for array
// items. The caller must not change it.
func (a *Analysis) Targets() map[exchange.Pointer]exchange.CategorySet { return a.targets }

// Reveals are the categories that the whole result reveals of a source
// property's having this code: none where the mapping only passes on what the
// code shares with others. A code nobody knows counts as any of those known.
func (a *Analysis) Reveals(path exchange.Pointer, code string) exchange.CategorySet {
	c := a.reveals[path]
	return c.get(code)
}

// Present are the categories that the mapping would let through of this
// record: those of every property it reads and finds, with [Analysis.Reveals]
// of their codes.
func (a *Analysis) Present(tree exchange.Tree) exchange.CategorySet {
	var out exchange.CategorySet
	root := tree.Value()
	for i := range a.probes {
		a.probes[i].find(root, 0, &out)
	}
	return out
}

func (p *probe) find(v any, depth int, out *exchange.CategorySet) {
	for ; depth < len(p.tokens); depth++ {
		if p.tokens[depth] == "*" {
			list, _ := v.([]any)
			for _, item := range list {
				p.find(item, depth+1, out)
			}
			return
		}
		o, _ := v.(map[string]any)
		if v = o[p.tokens[depth]]; v == nil {
			return
		}
	}
	if v == nil {
		return
	}
	*out = out.Union(p.categories)
	if code, ok := v.(string); ok {
		*out = out.Union(p.reveals.get(code))
	}
}
