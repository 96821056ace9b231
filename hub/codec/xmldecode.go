package codec

import (
	"encoding/json"
	"strings"

	"raccordo/hub/exchange"
)

// decoder walks a document and its declaration together: what is not declared
// stops it at once, so depth and breadth are those of the declaration.
type decoder struct {
	scanner
	x     *XML
	nodes int
}

func (d *decoder) document() (map[string]any, *fault) {
	if f := d.misc(); f != nil {
		if f.rule == "text_not_declared" {
			f.rule = "before_root"
		}
		return nil, f
	}
	if d.rest() == "" {
		return nil, &fault{rule: "empty"}
	}
	t, f := d.open("")
	if f != nil {
		return nil, f
	}
	if t.local != d.x.root.name || t.uri != d.x.namespace {
		return nil, &fault{rule: "root"}
	}
	root, f := d.object(d.x.root, t, "")
	if f != nil {
		return nil, f
	}
	if f := d.misc(); f != nil || d.rest() != "" {
		return nil, &fault{rule: "after_root"}
	}
	return root, nil
}

// open reads a start tag; the bound on attributes is the widest the format
// declares, so that a flood of them stops early.
func (d *decoder) open(at exchange.Pointer) (tag, *fault) {
	if strings.HasPrefix(d.rest(), "</") {
		return tag{}, &fault{rule: "end_tag", at: at}
	}
	t, f := d.start(maxUndeclared + maxAttributes)
	if f != nil {
		f.at = at
	}
	return t, f
}

const maxAttributes = 200 // declared ones of one element

func (d *decoder) count(at exchange.Pointer) *fault {
	if d.nodes++; d.nodes > d.x.limits.MaxNodes {
		return &fault{rule: "too_many_nodes", at: at}
	}
	return nil
}

func (d *decoder) object(e *element, t tag, at exchange.Pointer) (map[string]any, *fault) {
	into := make(map[string]any, len(e.names))
	return into, d.fill(e, t, into, at)
}

// fill reads what e holds, its start tag being read, into an object.
func (d *decoder) fill(e *element, t tag, into map[string]any, at exchange.Pointer) *fault {
	if f := d.count(at); f != nil {
		return f
	}
	if f := d.attributes(e, into, at); f != nil {
		return f
	}
	if e.hasText {
		v, f := d.content(e, t, at.Append(e.textName))
		into[e.textName] = v
		return f
	}
	if t.empty {
		d.leave(t)
		return missing(e.children, 0, 0, at)
	}
	if f := d.children(e, into, at); f != nil {
		return f
	}
	if f := d.end(t); f != nil {
		f.at = at
		return f
	}
	return nil
}

func (d *decoder) attributes(e *element, into map[string]any, at exchange.Pointer) *fault {
	for i := range d.attrs {
		a := &d.attrs[i]
		if a.prefix == "xmlns" || (a.prefix == "" && a.local == "xmlns") {
			continue
		}
		if a.prefix != "" {
			uri, f := d.resolve(a.prefix, false)
			if f != nil {
				f.at = at
				return f
			}
			if uri == xsiURI && (a.local == "schemaLocation" || a.local == "noNamespaceSchemaLocation") {
				continue // a hint where a schema lies: read over, never fetched
			}
			return &fault{rule: "attribute_unknown", at: at}
		}
		j := 0
		for j < len(e.attrs) && e.attrs[j].name != a.local {
			j++
		}
		if j == len(e.attrs) {
			return &fault{rule: "attribute_unknown", at: at}
		}
		v, f := d.value(a.value, e.attrs[j].kind, at, e.attrs[j].property)
		if f != nil {
			return f
		}
		into[e.attrs[j].property] = v
	}
	for i := range e.attrs {
		if _, ok := into[e.attrs[i].property]; !ok && e.attrs[i].required {
			return &fault{rule: "attribute_missing", at: at.Append(e.attrs[i].property)}
		}
	}
	return nil
}

// children reads elements up to e's end tag, in their order.
func (d *decoder) children(e *element, into map[string]any, at exchange.Pointer) *fault {
	index, seen := 0, 0 // of the declared child being read
	for {
		if f := d.misc(); f != nil {
			f.at = at
			return f
		}
		if strings.HasPrefix(d.rest(), "</") {
			return missing(e.children, index, seen, at)
		}
		if d.rest() == "" {
			return &fault{rule: "end_tag", at: at}
		}
		t, f := d.open(at)
		if f != nil {
			return f
		}
		next := 0
		for next < len(e.children) && e.children[next].name != t.local {
			next++
		}
		switch {
		case next == len(e.children):
			return &fault{rule: "element_unknown", at: at}
		case t.uri != d.x.namespace:
			return &fault{rule: "namespace", at: at}
		case next < index:
			return &fault{rule: "element_order", at: place(e.children[next], at)}
		case next > index:
			if f := missing(e.children[:next], index, seen, at); f != nil {
				return f
			}
			index, seen = next, 0
		}
		child := e.children[next]
		if seen++; seen > child.max {
			rule := "element_twice"
			if child.list() {
				rule = "too_many_elements"
			}
			return &fault{rule: rule, at: place(child, at)}
		}
		if f := d.child(child, t, into, at, seen-1); f != nil {
			return f
		}
	}
}

// place is where an element stands in the tree; a wrapper stands where its
// object does.
func place(e *element, at exchange.Pointer) exchange.Pointer {
	if e.transparent() {
		return at
	}
	return at.Append(e.property)
}

// missing finds a declared child from index on that occurs too seldom; seen
// counts those of index.
func missing(children []*element, index, seen int, at exchange.Pointer) *fault {
	for i := index; i < len(children); i++ {
		if seen < children[i].min {
			return &fault{rule: "element_missing", at: place(children[i], at)}
		}
		seen = 0
	}
	return nil
}

func (d *decoder) child(e *element, t tag, into map[string]any, at exchange.Pointer, index int) *fault {
	if e.transparent() {
		return d.fill(e, t, into, at)
	}
	at = at.Append(e.property)
	if e.list() {
		at = at.Index(index)
	}
	var v any
	var f *fault
	if e.leaf {
		if f = d.attributes(e, nil, at); f == nil {
			v, f = d.content(e, t, at)
		}
	} else {
		v, f = d.object(e, t, at)
	}
	if f != nil {
		return f
	}
	if !e.list() {
		into[e.property] = v
		return nil
	}
	items, _ := into[e.property].([]any)
	into[e.property] = append(items, v)
	return nil
}

// content reads e's text and end tag; at is the place of the text.
func (d *decoder) content(e *element, t tag, at exchange.Pointer) (any, *fault) {
	var text string
	if t.empty {
		d.leave(t)
	} else {
		var f *fault
		if text, f = d.text(); f == nil {
			f = d.end(t)
		}
		if f != nil {
			f.at = at
			return nil, f
		}
	}
	return d.valueAt(text, e.text, at)
}

func (d *decoder) value(text string, kind valueType, at exchange.Pointer, property string) (any, *fault) {
	v, f := d.valueAt(text, kind, "")
	if f != nil {
		f.at = at.Append(property)
	}
	return v, f
}

func (d *decoder) valueAt(text string, kind valueType, at exchange.Pointer) (any, *fault) {
	if f := d.count(at); f != nil {
		return nil, f
	}
	if len(text) > d.x.limits.MaxStringBytes {
		return nil, &fault{rule: "string_too_long", at: at}
	}
	switch kind {
	case typeInteger:
		if n, ok := integer(strings.Trim(text, " \t\r\n"), d.x.limits.MaxNumberDigits); ok {
			return n, nil
		}
		return nil, &fault{rule: "integer", at: at}
	case typeBoolean:
		switch strings.Trim(text, " \t\r\n") {
		case "true", "1":
			return true, nil
		case "false", "0":
			return false, nil
		}
		return nil, &fault{rule: "boolean", at: at}
	}
	return d.string(text, at)
}

func (d *decoder) string(text string, at exchange.Pointer) (any, *fault) {
	for i := range len(text) {
		if c := text[i]; c >= 0x7f || (c < ' ' && !isSpace(c)) {
			tree, _, err := d.x.textGate.Parse(appendString(nil, text))
			if err != nil {
				rule := "text"
				if e := exchange.AsError(err); len(e.Faults) > 0 {
					rule = e.Faults[0].Rule
				}
				return nil, &fault{rule: rule, at: at}
			}
			return tree.Value(), nil
		}
	}
	return text, nil
}

// integer is xs:integer in the digits JSON gives it: no plus, no zeros in
// front, no negative zero.
func integer(s string, maxDigits int) (json.Number, bool) {
	sign := ""
	if s != "" && (s[0] == '+' || s[0] == '-') {
		if s[0] == '-' {
			sign = "-"
		}
		s = s[1:]
	}
	if s == "" || digits(s) != len(s) {
		return "", false
	}
	s = strings.TrimLeft(s, "0")
	if s == "" {
		return "0", true
	}
	return json.Number(sign + s), len(s) <= maxDigits
}
