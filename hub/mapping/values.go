package mapping

import (
	"slices"
	"strings"
	"time"

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
	return p.Type, c.domain(p)
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
		if a := c.value(item, g, scope, target); a != nil {
			v.choose = append(v.choose, alternative{when, a})
		}
	}
	for _, key := range valueKeys {
		if key != "choose" && key != "default" && f[key].given() {
			f[key].fault("write it inside the alternatives", "%s means nothing beside choose", key)
		}
	}
}

// conversions reads what the value passes through, and holds the result
// against the target.
func (c *compiler) conversions(n node, f map[string]node, v *value, kind string, domain []string, target schemas.Property) {
	if v.source == sourceChoose {
		c.fallback(f, v, target)
		return
	}
	v.trim, v.upper, v.lower = f["trim"].truth(), f["upper"].truth(), f["lower"].truth()
	if v.upper && v.lower {
		f["lower"].fault("", "upper and lower at once")
	}
	if f["date"].given() {
		v.date = c.date(f["date"])
		domain = nil
	}
	if f["decimal"].given() {
		v.decimal = c.decimal(f["decimal"])
		domain = nil
	}
	c.policy(f, v)
	c.fallback(f, v, target)
	if f["cut"].given() {
		v.cut = f["cut"].number(1, 100_000)
	}
	if f["as"].given() {
		if v.as = f["as"].text(); !slices.Contains([]string{"string", "integer", "number", "boolean"}, v.as) {
			f["as"].fault("string, integer, number or boolean", "no such type")
			return
		}
	}
	for i, text := range domain {
		if i == 0 {
			domain = slices.Clone(domain)
		}
		domain[i] = v.letters(text)
	}
	if f["codelist"].given() {
		domain = c.codelist(f["codelist"], v, domain, target)
	}
	if v.converts() && (kind == "array" || kind == "object") {
		n.fault("use each", "a list cannot be converted as a whole")
		return
	}
	if v.converts() {
		kind = "string"
	}
	if v.as != "" {
		kind = v.as
	}
	c.fits(n, kind, domain, target)
}

func (v *value) letters(s string) string {
	if v.trim {
		s = strings.TrimSpace(s)
	}
	if v.upper {
		s = strings.ToUpper(s)
	}
	if v.lower {
		s = strings.ToLower(s)
	}
	return s
}

func (c *compiler) policy(f map[string]node, v *value) {
	if !f["unmapped"].given() {
		return
	}
	switch f["unmapped"].text() {
	case "fail":
	case "lose":
		v.unmapped = policyLose
	case "default":
		v.unmapped = policyDefault
		if !f["default"].given() {
			f["unmapped"].fault("add default", "there is no default")
		}
	default:
		f["unmapped"].fault("fail, lose or default", "no such way")
	}
}

func (c *compiler) fallback(f map[string]node, v *value, target schemas.Property) {
	if !f["default"].given() {
		return
	}
	k, ok := f["default"].scalar()
	if !ok {
		return
	}
	if v.source == sourceConst {
		f["default"].fault("take it out", "a constant needs no default")
		return
	}
	v.fallback = k
	text, _ := scalarText(k)
	c.fits(f["default"], kindOf(k), []string{text}, target)
}

func (c *compiler) date(n node) *dateForm {
	f := n.object("in", "out")
	d := &dateForm{}
	if !f["in"].given() || !f["out"].given() {
		n.fault(`for example {in: "02/01/2006", out: date}`, "date needs in and out")
		return d
	}
	ins := []node{f["in"]}
	if f["in"].Kind == kindSequence {
		ins = f["in"].list()
	}
	for _, in := range ins {
		d.in = append(d.in, c.layout(in))
	}
	d.out = c.layout(f["out"])
	d.at = strings.Contains(d.out, "15") || strings.Contains(d.out, "03")
	return d
}

// layout reads a layout of package time: the moment Mon Jan 2 15:04:05 2006
// written in the wanted form.
func (c *compiler) layout(n node) string {
	s := layoutOf(n.text())
	sample := time.Date(2006, 11, 22, 15, 4, 5, 0, time.UTC)
	if s != "" && (sample.Format(s) == s || !strings.Contains(s, "06")) {
		n.fault(`date, date-time, month, year, or a layout such as "02/01/2006"`, "%q is no layout of a day", clip(s))
	}
	return s
}

func (c *compiler) decimal(n node) *decimalForm {
	f := n.object("in", "digits")
	d := &decimalForm{digits: f["digits"].number(0, 10)}
	switch f["in"].text() {
	case "italian":
		d.italian = true
	case "plain":
	default:
		n.fault("in: italian or plain", "decimal does not say how the number is written")
	}
	return d
}

// codelist reads the list and its direction, and holds what the source can be
// against it. It answers what can come out.
func (c *compiler) codelist(n node, v *value, domain []string, target schemas.Property) []string {
	_, column := parent(target.Path)
	if column == "*" {
		above, _ := parent(target.Path)
		_, column = parent(above)
	}
	id, from, to := "", columnCode, column
	if n.Kind == kindMapping {
		f := n.object("list", "from", "to")
		id = f["list"].text()
		if f["from"].given() {
			from = f["from"].text()
		}
		if f["to"].given() {
			to = f["to"].text()
		}
	} else {
		id = n.text()
	}
	list, ok := c.env.CodeLists[id]
	if !ok {
		n.fault("add codelists/"+clip(id)+".csv", "there is no code list %q", clip(id))
		return nil
	}
	for _, name := range []string{from, to} {
		if list.column(name) < 0 {
			n.fault("say it with {list, from, to}; there are: "+strings.Join(list.columns, ", "), "the code list %s has no column %q", id, clip(name))
			return nil
		}
	}
	v.table = list.table(from, to, c.fs)
	c.m.dated = c.m.dated || v.table.dated
	var missing, out []string
	if domain == nil {
		for _, rows := range v.table.rows {
			for _, r := range rows {
				out = append(out, r.value)
			}
		}
	}
	for _, code := range domain {
		rows, ok := v.table.rows[code]
		if !ok {
			missing = append(missing, code)
		}
		for _, r := range rows {
			out = append(out, r.value)
		}
	}
	if len(missing) > 0 && v.unmapped == policyFail {
		n.fault("add the rows, or say unmapped: lose", "the code list %s has no %s for %s", id, to, names(missing))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func names(list []string) string {
	shown := list[:min(len(list), 8)]
	s := clip(strings.Join(shown, ", "))
	if len(list) > len(shown) {
		s += ", ..."
	}
	return s
}
