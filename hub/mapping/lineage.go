package mapping

import (
	"slices"
	"strings"

	"raccordo/hub/exchange"
)

// Via says how a target property depends on a source property.
type Via string

// The ways. All of them let something through: a condition one bit, a code
// list what its counterparts tell apart, an array how many items there are.
const (
	ViaValue     Via = "value"     // its value, or a part or another form of it
	ViaCodeList  Via = "codelist"  // its counterpart in a code list
	ViaCondition Via = "condition" // whether it meets a condition
	ViaPresence  Via = "presence"  // whether it is there
	ViaEach      Via = "each"      // how many items it has
	ViaCEL       Via = "cel"       // whatever an expression makes of it, or of anything below it
)

// Reading is one source property that something depends on. Paths have * for
// the items of arrays.
type Reading struct {
	Path     exchange.Pointer `json:"path"`
	Via      Via              `json:"via"`
	CodeList string           `json:"code_list,omitempty"`
	Column   string           `json:"column,omitempty"` // of the counterpart
	Values   []string         `json:"values,omitempty"` // named by a condition
	Not      bool             `json:"not,omitempty"`    // the condition holds for all other values
	Line     int              `json:"line"`

	value *value // of ViaCodeList and ViaValue: what it passes through
}

func (r *Reading) same(o *Reading) bool {
	return r.Path == o.Path && r.Via == o.Via && r.value == o.value && r.Not == o.Not && slices.Equal(r.Values, o.Values)
}

// Edge is everything one target property depends on: its own source, every
// condition on it and around it, every list around it, and, for a constant in
// an object that is only made when something else is there, that.
type Edge struct {
	Target  exchange.Pointer `json:"target"`
	Sources []Reading        `json:"sources"`
	Line    int              `json:"line"`
}

// Lineage is one edge for every target property the mapping can make, in the
// order of the file. A target without sources is always the same. The caller
// must not change it.
func (m *Mapping) Lineage() []Edge { return m.lineage }

// Reads are all source leaves and lists that anything depends on, sorted, *
// for array items.
func (m *Mapping) Reads() []exchange.Pointer { return slices.Clone(m.reads) }

// trace computes the lineage.
func (m *Mapping) trace() {
	t := tracer{m: m}
	t.rules(m.rules, nil)
	m.lineage = t.edges
	for _, e := range t.edges {
		for _, s := range e.Sources {
			m.reads = append(m.reads, s.Path)
		}
	}
	slices.Sort(m.reads)
	m.reads = slices.Compact(m.reads)
}

type tracer struct {
	m     *Mapping
	edges []Edge
}

func (t *tracer) edge(r *rule, sources []Reading) {
	t.edges = append(t.edges, Edge{Target: r.target, Sources: sources, Line: r.line})
}

// plus appends readings once.
func plus(base []Reading, more ...Reading) []Reading {
	out := slices.Clip(base)
	for i := range more {
		if !slices.ContainsFunc(out, func(o Reading) bool { return o.same(&more[i]) }) {
			out = append(out, more[i])
		}
	}
	return out
}

// rules traces the fields of one object; around is what the object itself
// depends on.
func (t *tracer) rules(rules []*rule, around []Reading) {
	for _, r := range rules {
		t.rule(r, plus(around, t.conditions(r.when)...))
	}
}

func (t *tracer) rule(r *rule, base []Reading) {
	switch r.form {
	case formValue:
		t.edge(r, plus(base, t.value(r.value)...))
	case formGroup:
		base = plus(base, t.scope(r)...)
		t.edge(r, t.object(r, base))
	case formItems:
		t.items(r, base)
	case formEach, formFirst:
		base = plus(base, Reading{Path: r.list.pattern, Via: ViaEach, Line: r.line})
		base = plus(base, t.conditions(r.where)...)
		if r.value != nil {
			t.edge(r, plus(base, t.value(r.value)...))
			return
		}
		t.edge(r, t.object(r, base))
	}
}

func (t *tracer) scope(r *rule) []Reading {
	if r.scope == nil {
		return nil
	}
	return []Reading{{Path: r.scope.pattern, Via: ViaPresence, Line: r.line}}
}

// object traces an object's fields and answers what the object's being there
// depends on. Unless it is all constants, that is whatever fills it; and its
// constants depend on the same.
func (t *tracer) object(r *rule, base []Reading) []Reading {
	around := base
	if !r.constant {
		around = plus(base, t.filling(r.fields)...)
	}
	for _, field := range r.fields {
		own := base
		if !r.constant && !t.fills(field) {
			own = around
		}
		t.rule(field, plus(own, t.conditions(field.when)...))
	}
	return around
}

// fills reports whether a field, whenever it makes something, also fills the
// object it stands in: then its being there says no more than itself.
func (t *tracer) fills(r *rule) bool {
	switch r.form {
	case formValue:
		return fillingValue(r.value)
	case formGroup:
		return !r.constant
	case formItems:
		return !r.required && !slices.ContainsFunc(r.parts, func(p *rule) bool { return p.constant })
	}
	return r.form == formFirst || !r.required // a required list is made empty too
}

func fillingValue(v *value) bool {
	switch v.source {
	case sourceConst:
		return false
	case sourceChoose:
		return v.fallback == nil && !slices.ContainsFunc(v.choose, func(a alternative) bool { return !fillingValue(a.value) })
	}
	return v.fallback == nil
}

// filling is what the being there of fields depends on.
func (t *tracer) filling(rules []*rule) []Reading {
	var out []Reading
	for _, r := range rules {
		if r.constantOnly() {
			continue
		}
		out = plus(out, t.conditions(r.when)...)
		switch r.form {
		case formValue:
			out = plus(out, t.presence(r.value)...)
		case formGroup:
			out = plus(plus(out, t.scope(r)...), t.filling(r.fields)...)
		case formItems:
			for _, part := range r.parts {
				out = plus(plus(out, t.conditions(part.when)...), t.scope(part)...)
				out = plus(out, t.filling(part.fields)...)
			}
		case formEach, formFirst:
			out = plus(out, Reading{Path: r.list.pattern, Via: ViaEach, Line: r.line})
			out = plus(out, t.conditions(r.where)...)
			if r.value != nil {
				out = plus(out, t.presence(r.value)...)
			} else {
				out = plus(out, t.filling(r.fields)...)
			}
		}
	}
	return out
}

func (t *tracer) items(r *rule, base []Reading) {
	all := base
	parts := make([][]Reading, len(r.parts))
	for i, part := range r.parts {
		parts[i] = plus(plus(base, t.conditions(part.when)...), t.scope(part)...)
		all = plus(all, parts[i]...)
		if !part.constant {
			all = plus(all, t.filling(part.fields)...)
		}
	}
	t.edge(r, all)
	for i, part := range r.parts {
		t.object(part, parts[i])
	}
}

func (t *tracer) conditions(cs []condition) []Reading {
	var out []Reading
	for i := range cs {
		c := &cs[i]
		r := Reading{Path: c.path.pattern, Via: ViaCondition, Not: c.not, Line: c.line}
		if c.present != nil {
			r.Via, r.Not = ViaPresence, !*c.present
		}
		for v := range c.values {
			r.Values = append(r.Values, v)
		}
		slices.Sort(r.Values)
		out = plus(out, r)
	}
	return out
}

// value is what a value depends on.
func (t *tracer) value(v *value) []Reading {
	switch v.source {
	case sourcePath:
		r := Reading{Path: v.from.pattern, Via: ViaValue, Line: v.line, value: v}
		if v.table != nil {
			r.Via, r.CodeList, r.Column = ViaCodeList, v.table.list.id, v.table.to
		}
		return t.expand(r)
	case sourceJoin:
		var out []Reading
		for _, p := range v.parts {
			out = plus(out, Reading{Path: p.pattern, Via: ViaValue, Line: v.line})
		}
		return out
	case sourceCEL:
		var out []Reading
		for _, in := range v.inputs {
			out = plus(out, t.expand(Reading{Path: in.path.pattern, Via: ViaCEL, Line: v.line})...)
		}
		return out
	case sourceChoose:
		var out []Reading
		for _, a := range v.choose {
			out = plus(plus(out, t.conditions(a.when)...), t.value(a.value)...)
		}
		return out
	}
	return nil
}

// presence is what a value's being there depends on; with losses that is more
// than the source's being there.
func (t *tracer) presence(v *value) []Reading {
	if v.source == sourcePath && (!v.converts() || v.unmapped == policyFail) && v.fallback == nil {
		return []Reading{{Path: v.from.pattern, Via: ViaPresence, Line: v.line}}
	}
	return t.value(v)
}

// expand names the leaves below a container that is read as a whole, and the
// container itself.
func (t *tracer) expand(r Reading) []Reading {
	out := []Reading{r}
	for _, p := range t.m.env.Source.Properties() {
		if p.Path != r.Path && strings.HasPrefix(string(p.Path), string(r.Path)+"/") {
			leaf := r
			leaf.Path = p.Path
			out = append(out, leaf)
		}
	}
	return out
}
