package mapping

import (
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"go.yaml.in/yaml/v3"

	"raccordo/hub/exchange"
	"raccordo/schemas"
)

const (
	kindMapping  = yaml.MappingNode
	kindSequence = yaml.SequenceNode
)

// value reads a source with its conversions, for a target property.
func (c *compiler) value(n node, f map[string]node, scope exchange.Pointer, target schemas.Property) *value {
	v := &value{line: n.Line}
	var sources []string
	for _, key := range []string{"from", "const", "join", "cel", "context", "choose"} {
		if f[key].given() {
			sources = append(sources, key)
		}
	}
	if len(sources) > 1 {
		n.fault("choose holds alternatives", "a value has one source, not %s", strings.Join(sources, " and "))
		return nil
	}
	if len(sources) == 0 {
		sources = []string{"from"} // the item itself
		if !strings.HasSuffix(string(scope), "/*") {
			n.fault("from, const, join, cel, context, choose, fields, items, each or first", "the field has no source")
			return nil
		}
	}
	if f["reads"].given() && sources[0] != "cel" {
		f["reads"].fault("take it out", "reads means nothing without cel")
	}
	before := len(c.fs.list)
	kind, domain := c.source(n, f, v, sources[0], scope, target)
	if len(c.fs.list) > before {
		return nil
	}
	c.conversions(n, f, v, kind, domain, target)
	if len(c.fs.list) > before {
		return nil
	}
	return v
}

// source reads where the value comes from: its type, and the texts it can be,
// nil if that is not known.
func (c *compiler) source(n node, f map[string]node, v *value, key string, scope exchange.Pointer, target schemas.Property) (kind string, domain []string) {
	switch key {
	case "const":
		v.source = sourceConst
		k, ok := f["const"].scalar()
		if ok {
			v.constant = k
			text, _ := scalarText(k)
			return kindOf(k), []string{text}
		}
	case "join":
		v.source = sourceJoin
		c.join(f["join"], v, scope)
		return "string", nil
	case "cel":
		v.source = sourceCEL
		return c.cel(f, v, scope), nil
	case "context":
		v.source = sourceContext
		if v.context = f["context"].text(); v.context != "name" && v.context != "date" {
			f["context"].fault("name or date", "the context has no such value")
		}
		return "string", nil
	case "choose":
		v.source = sourceChoose
		c.choose(n, f, v, scope, target)
		return target.Type, nil
	default:
		return c.from(n, f, v, scope, target)
	}
	return "", nil
}

func (c *compiler) from(n node, f map[string]node, v *value, scope exchange.Pointer, target schemas.Property) (string, []string) {
	from, p, ok := c.path(f["from"], n, scope)
	if !ok {
		return "", nil
	}
	v.from = from
	near := f["from"]
	if !near.given() {
		near = n
	}
	if p.Nullable && target.RequiredHere && !f["default"].given() {
		near.fault("add a default", "%s can be null and the target requires %s", from.pattern, target.Path)
	}
	switch p.Type {
	case "object":
		near.fault("name its properties with fields", "%s is an object: a mapping passes on only what it names", from.pattern)
		return "", nil
	case "array":
		item, ok := c.env.Source.Property(from.pattern + "/*")
		if !ok || item.Type == "object" || item.Type == "array" {
			near.fault("use each with fields", "%s is a list of objects: a mapping passes on only what it names", from.pattern)
			return "", nil
		}
		if target.Type == "array" {
			into, ok := c.env.Target.Property(target.Path + "/*")
			if !ok || !accepts(into.Type, item.Type) {
				near.fault("use each and as", "the items of %s do not fit those of %s", from.pattern, target.Path)
			}
		}
	}
	domain := c.domain(p)
	if !slices.ContainsFunc(from.tokens, indexShape.MatchString) {
		domain = c.possible(from.pattern, domain)
	}
	return p.Type, domain
}

// domain is every text a property can have, nil if it is not enumerated.
func (c *compiler) domain(p schemas.Property) []string {
	if p.Enum != nil {
		return p.Enum
	}
	if list := c.env.CodeLists[p.CodeList]; list != nil {
		var codes []string
		for code := range list.Codes() {
			codes = append(codes, code)
		}
		slices.Sort(codes)
		return codes
	}
	return nil
}

func (c *compiler) join(n node, v *value, scope exchange.Pointer) {
	f := n.object("from", "with")
	if !f["from"].given() {
		n.fault("add from, a list of paths", "join joins nothing")
	}
	for _, item := range f["from"].list() {
		if from, p, ok := c.path(item, n, scope); ok {
			if p.Type == "object" || p.Type == "array" {
				item.fault("name one value", "%s has no single value", from.pattern)
			}
			v.parts = append(v.parts, from)
		}
	}
	if f["with"].given() {
		if f["with"].Kind != yaml.ScalarNode || len(f["with"].Value) > 20 {
			f["with"].fault("", "must be a text of at most 20 bytes")
			return
		}
		v.with = f["with"].Value
	}
}

var celTypes = map[string]*cel.Type{"string": cel.StringType, "integer": cel.IntType, "number": cel.DoubleType,
	"boolean": cel.BoolType, "array": cel.ListType(cel.DynType), "object": cel.MapType(cel.StringType, cel.DynType)}

// cel compiles an expression over exactly the declared reads.
func (c *compiler) cel(f map[string]node, v *value, scope exchange.Pointer) string {
	src := f["cel"].text()
	before := len(c.fs.list)
	var vars []variable
	add := func(name string, n node) {
		from, p, ok := c.path(n, n, scope)
		if !ok {
			return
		}
		if !exchange.ValidName(name) || slices.ContainsFunc(vars, func(o variable) bool { return o.name == name }) {
			n.fault("write reads as a mapping of different lower_snake_case names to paths", "%q cannot be the name of an input", clip(name))
			return
		}
		vars = append(vars, variable{name, celTypes[p.Type]})
		v.inputs = append(v.inputs, input{name, from, p.Type})
	}
	switch reads := f["reads"]; {
	case !reads.given():
	case reads.Kind == kindMapping:
		for i := 0; i+1 < len(reads.Content); i += 2 {
			add(reads.Content[i].Value, node{reads.Content[i+1], c.fs})
		}
	default:
		for _, item := range reads.list() {
			_, name := parent(exchange.Pointer(item.Value))
			add(name, item)
		}
	}
	if src == "" || len(c.fs.list) > before {
		return ""
	}
	x, wrong := compileCEL(src, vars)
	for _, w := range wrong {
		f["cel"].fault("declare its inputs in reads", "%s", w)
	}
	if x == nil {
		return ""
	}
	v.expr = x
	for _, in := range v.inputs {
		if len(x.reads[in.name]) == 0 {
			f["reads"].fault("take it out", "the expression does not use %s", in.name)
		}
	}
	for kind, t := range celTypes {
		if kind != "array" && kind != "object" && x.out.IsExactType(t) {
			return kind
		}
	}
	f["cel"].fault("string(...), int(...), double(...)", "the result must be one text, number or truth value, not %s", x.out)
	return ""
}

func (c *compiler) choose(n node, f map[string]node, v *value, scope exchange.Pointer, target schemas.Property) {
	for i, item := range f["choose"].list() {
		g := item.object(slices.Concat([]string{"when"}, valueKeys)...)
		if item.Kind != kindMapping {
			continue
		}
		if g["choose"].given() {
			g["choose"].fault("write one list", "choose inside choose")
			continue
		}
		if i > 0 && len(v.choose) == i && len(v.choose[i-1].when) == 0 && v.choose[i-1].value.source == sourceConst {
			item.fault("take it out", "the alternative before it always gives a value")
		}
		when := c.conditions(g["when"], scope)
		forget := c.assume(when)
		if a := c.value(item, g, scope, target); a != nil {
			v.choose = append(v.choose, alternative{when, a})
		}
		forget()
	}
	for _, key := range valueKeys {
		if key != "choose" && key != "default" && f[key].given() {
			f[key].fault("write it inside the alternatives", "%s means nothing beside choose", key)
		}
	}
}
