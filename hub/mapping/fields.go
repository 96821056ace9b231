package mapping

import (
	"slices"

	"raccordo/hub/exchange"
	"raccordo/schemas"
)

var (
	valueKeys = []string{"from", "const", "join", "cel", "reads", "context", "choose", "trim", "upper", "lower",
		"date", "decimal", "codelist", "cut", "as", "default", "unmapped"}
	fieldKeys = slices.Concat([]string{"to", "when", "fields", "items", "each", "first", "where", "prune"}, valueKeys)
)

// fields reads the fields of one object that is made.
func (c *compiler) fields(n node, scope exchange.Pointer, ts *targets, depth int) []*rule {
	if depth > maxRuleDepth {
		n.fault("", "fields are nested deeper than %d", maxRuleDepth)
		return nil
	}
	var out []*rule
	for _, item := range n.list() {
		if c.rules++; c.rules > maxRules {
			item.fault("split the mapping", "more than %d fields", maxRules)
			return out
		}
		if r := c.field(item, scope, ts, depth); r != nil {
			out = append(out, r)
		}
	}
	return out
}

func (c *compiler) field(n node, scope exchange.Pointer, ts *targets, depth int) *rule {
	f := n.object(fieldKeys...)
	if n.Kind != kindMapping {
		return nil
	}
	if _, ok := f["to"]; !ok {
		n.fault("add to", "the field names no target")
		return nil
	}
	target, key, p, ok := c.target(f["to"], ts)
	if !ok {
		return nil
	}
	r := &rule{line: n.Line, target: target, key: key, required: p.RequiredHere}
	r.when = c.conditions(f["when"], scope)
	defer c.assume(r.when)()
	var forms []string
	for _, name := range []string{"each", "first", "items"} {
		if f[name].given() {
			forms = append(forms, name)
		}
	}
	if len(forms) > 1 {
		n.fault("", "a field has one of %v", forms)
		return nil
	}
	if f["where"].given() && !f["each"].given() && !f["first"].given() {
		f["where"].fault("use when", "where judges the items of each and first")
	}
	switch {
	case f["each"].given():
		r.form = formEach
		c.each(n, f, r, p, scope, depth)
	case f["first"].given():
		r.form = formFirst
		c.each(n, f, r, p, scope, depth)
	case f["items"].given():
		r.form = formItems
		c.items(n, f, r, p, scope, depth)
	case f["fields"].given():
		r.form = formGroup
		c.group(n, f, r, p, scope, depth)
	default:
		r.form = formValue
		r.value = c.value(n, f, scope, p)
		c.noPrune(f)
		if r.value == nil {
			return nil
		}
	}
	return r
}

func (c *compiler) noPrune(f map[string]node) {
	if f["prune"].given() {
		f["prune"].fault("take it out", "prune stands with each, or with fields and from")
	}
}

// prune notes that the gate may cut the person at a place out.
func (c *compiler) prune(n node, r *rule, person exchange.Pointer) {
	if !n.given() {
		return
	}
	if n.text() != "affected" {
		n.fault("write prune: affected", "only affected persons can be pruned")
		return
	}
	r.prune = true
	c.m.prunes[person] = true
}

// only refuses keys that mean nothing beside a form.
func (c *compiler) only(f map[string]node, form string, allowed ...string) {
	for _, key := range fieldKeys {
		if f[key].given() && !slices.Contains(allowed, key) {
			f[key].fault("take it out", "%s means nothing beside %s", key, form)
		}
	}
}

// each reads each and first: the list, then what is made of an item.
func (c *compiler) each(n node, f map[string]node, r *rule, p schemas.Property, scope exchange.Pointer, depth int) {
	name := "each"
	if r.form == formFirst {
		name = "first"
	}
	list, source, ok := c.path(f[name], n, scope)
	if !ok {
		return
	}
	if source.Type != "array" {
		f[name].fault("use from", "%s is not a list", list.pattern)
		return
	}
	r.list = list
	item := list.pattern + "/*"
	r.where = c.conditions(f["where"], item)
	defer c.assume(r.where)()
	if r.form == formEach {
		c.prune(f["prune"], r, item)
	} else {
		c.noPrune(f)
	}
	target := r.target
	if r.form == formEach {
		if p.Type != "array" {
			f["to"].fault("use first, or another target", "%s is not a list", r.target)
			return
		}
		target += "/*"
		if p, ok = c.env.Target.Property(target); !ok {
			f["to"].fault("", "the target says nothing about the items of %s", r.target)
			return
		}
	}
	if f["fields"].given() {
		c.only(f, "fields", "to", "when", "where", "prune", "fields", name)
		r.fields = c.object(n, f["fields"], item, target, p, depth)
		r.constant = constantOnly(r.fields)
		return
	}
	r.value = c.value(n, f, item, p)
}

// object reads the fields of an object that is made at target.
func (c *compiler) object(n, fields node, scope, target exchange.Pointer, p schemas.Property, depth int) []*rule {
	if p.Type != "object" {
		n.fault("give it a value instead of fields", "%s is not an object", target)
		return nil
	}
	ts := newTargets(target)
	out := c.fields(fields, scope, ts, depth+1)
	c.required(n, ts)
	return out
}

func (c *compiler) group(n node, f map[string]node, r *rule, p schemas.Property, scope exchange.Pointer, depth int) {
	c.only(f, "fields", "to", "when", "prune", "fields", "from")
	if f["from"].given() {
		from, source, ok := c.path(f["from"], n, scope)
		if !ok {
			return
		}
		if source.Type != "object" {
			f["from"].fault("give it a value instead of fields, or leave from out", "%s is not an object", from.pattern)
			return
		}
		r.scope, scope = &from, from.pattern
		c.prune(f["prune"], r, from.pattern)
	} else {
		c.noPrune(f)
	}
	r.fields = c.object(n, f["fields"], scope, r.target, p, depth)
	r.constant = constantOnly(r.fields)
}

func (c *compiler) items(n node, f map[string]node, r *rule, p schemas.Property, scope exchange.Pointer, depth int) {
	c.only(f, "items", "to", "when", "items")
	target := r.target + "/*"
	item, ok := c.env.Target.Property(target)
	if p.Type != "array" || !ok {
		f["to"].fault("use fields", "%s is not a list", r.target)
		return
	}
	for _, part := range f["items"].list() {
		g := part.object("when", "from", "fields")
		if !g["fields"].given() {
			part.fault("add fields", "an item needs fields")
			continue
		}
		r.parts = append(r.parts, c.part(part, g, scope, target, item, depth))
	}
}

// part reads one object of items.
func (c *compiler) part(part node, g map[string]node, scope, target exchange.Pointer, item schemas.Property, depth int) *rule {
	made := &rule{line: part.Line, form: formGroup, target: target, when: c.conditions(g["when"], scope)}
	defer c.assume(made.when)()
	if g["from"].given() {
		from, source, ok := c.path(g["from"], part, scope)
		if !ok {
			return made
		}
		if source.Type != "object" {
			g["from"].fault("leave from out", "%s is not an object", from.pattern)
			return made
		}
		made.scope, scope = &from, from.pattern
	}
	made.fields = c.object(part, g["fields"], scope, target, item, depth)
	made.constant = constantOnly(made.fields)
	return made
}

// conditions reads when and where: one condition or a list.
func (c *compiler) conditions(n node, scope exchange.Pointer) []condition {
	if !n.given() {
		return nil
	}
	list := []node{n}
	if n.Kind == kindSequence {
		list = n.list()
	}
	var out []condition
	for _, item := range list {
		if cond, ok := c.condition(item, scope); ok {
			out = append(out, cond)
		}
	}
	return out
}

func (c *compiler) condition(n node, scope exchange.Pointer) (condition, bool) {
	f := n.object("path", "equals", "in", "not_in", "present")
	if n.Kind != kindMapping {
		return condition{}, false
	}
	out := condition{line: n.Line}
	from, p, ok := c.path(f["path"], n, scope)
	if !ok {
		return out, false
	}
	out.path = from
	tests := 0
	for _, key := range []string{"equals", "in", "not_in", "present"} {
		if f[key].given() {
			tests++
		}
	}
	if tests != 1 {
		n.fault("one of equals, in, not_in, present", "a condition has one test")
		return out, false
	}
	if f["present"].given() {
		present := f["present"].truth()
		out.present = &present
		return out, true
	}
	if p.Type == "object" || p.Type == "array" {
		n.fault("use present, or a path to one value", "%s has no single value", from.pattern)
		return out, false
	}
	values := []node{f["equals"]}
	for _, key := range []string{"in", "not_in"} {
		if f[key].given() {
			values = f[key].list()
			out.not = key == "not_in"
		}
	}
	out.values = map[string]bool{}
	for _, v := range values {
		c.testValue(v, p, from.pattern, out.values)
	}
	return out, len(out.values) > 0
}

// testValue reads one value of a condition, which must be one the source can
// have.
func (c *compiler) testValue(n node, p schemas.Property, at exchange.Pointer, into map[string]bool) {
	v, ok := n.scalar()
	if !ok {
		return
	}
	text, _ := scalarText(v)
	if kind := kindOf(v); kind != p.Type && !(kind == "integer" && p.Type == "number") {
		n.fault("write it as "+p.Type, "%s is %s and never equals a value of type %s", at, p.Type, kind)
		return
	}
	if p.Enum != nil && !slices.Contains(p.Enum, text) {
		n.fault("see the enum in the schema", "%s never has this value", at)
		return
	}
	if list := c.env.CodeLists[p.CodeList]; list != nil {
		if _, known := list.Codes()[text]; !known {
			n.fault("see "+list.file, "the code list %s has no such code", list.id)
			return
		}
	}
	if into[text] {
		n.fault("take it out", "the value is there twice")
	}
	into[text] = true
}
