package codec

import (
	"encoding/json"
	"fmt"
	"strconv"

	"raccordo/hub/exchange"
	"raccordo/schemas"
)

// Bounds of a declaration, and what it may declare at most.
const (
	maxDeclaration  = 1 << 20
	maxElementDepth = 24
	maxOccurs       = 10_000
	maxElements     = 1_000
)

// valueType is what a text becomes in the tree.
type valueType uint8

const (
	typeString  valueType = iota // as it stands; decimals and dates too
	typeInteger                  // a json.Number without a fraction
	typeBoolean                  // true, false, 1, 0
)

// element is one declared element, compiled.
type element struct {
	name     string
	property string // empty: what it holds belongs to the enclosing object
	min, max int
	attrs    []attribute
	children []*element
	leaf     bool // the element is one text and nothing else
	text     valueType
	textName string // property of the text beside attributes
	hasText  bool
	names    map[string]bool // of every property of the object it becomes
}

type attribute struct {
	name, property string
	required       bool
	kind           valueType
}

func (e *element) list() bool        { return e.max > 1 }
func (e *element) transparent() bool { return e.property == "" }

// CompileXML reads the declaration of an XML format (formats/<id>.xml.json
// beside its schema). The declaration is one JSON object:
//
//	format       the format's name
//	namespace    of every element; absent: none
//	encoding     of what is written: "UTF-8" (default) or "ISO-8859-1"
//	declaration  whether what is written begins with an XML declaration
//	root         the root element
//
// and an element is an object of
//
//	element      its name
//	property     what it is called in the tree; absent: it is only a wrapper,
//	             and what it holds belongs to the object around it
//	min, max     how often it occurs (default 1 and 1); above 1 the property
//	             is an array
//	attributes   in the order they are written: attribute, property, required
//	             (default false), type
//	children     elements in their order
//	text         {"type": ...}: the element is one text; with attributes also
//	             "property", what the text is called beside them
//
// A type is "string" (default; decimals and dates stay as they stand),
// "integer" or "boolean". Unknown keys are refused. Every fault is returned,
// with its place in the declaration and the rule; then *XML is nil.
func CompileXML(declaration []byte, limits schemas.Limits) (*XML, []exchange.Fault) {
	gate := schemas.DefaultLimits()
	gate.MaxBytes, gate.MaxNodes = maxDeclaration, 4*maxDeclaration/100
	tree, err := schemas.Parse(declaration, gate)
	if err != nil {
		e := exchange.AsError(err)
		if len(e.Faults) == 0 {
			return nil, []exchange.Fault{{Rule: e.Error()}}
		}
		return nil, e.Faults
	}
	c := compiler{}
	x := c.format(tree.Object())
	if len(c.faults) > 0 {
		return nil, c.faults
	}
	x.limits = limits
	x.textGate = textGate(limits)
	return x, nil
}

type compiler struct {
	faults   []exchange.Fault
	elements int
}

func (c *compiler) fault(at exchange.Pointer, format string, args ...any) {
	if len(c.faults) < 100 {
		c.faults = append(c.faults, exchange.Fault{Pointer: at, Rule: fmt.Sprintf(format, args...)})
	}
}

func (c *compiler) keys(m map[string]any, at exchange.Pointer, known ...string) {
	for _, k := range sortedKeys(m) {
		found := false
		for _, name := range known {
			found = found || k == name
		}
		if !found {
			c.fault(at.Append(k), "unknown key: take it out, or use one of %v", known)
		}
	}
}

func (c *compiler) text(m map[string]any, at exchange.Pointer, key string) string {
	v, ok := m[key]
	if !ok {
		return ""
	}
	s, ok := v.(string)
	if !ok || s == "" {
		c.fault(at.Append(key), "must be a text that is not empty")
	}
	return s
}

func (c *compiler) flag(m map[string]any, at exchange.Pointer, key string) bool {
	v, ok := m[key]
	b, isBool := v.(bool)
	if ok && !isBool {
		c.fault(at.Append(key), "must be true or false")
	}
	return b
}

func (c *compiler) count(m map[string]any, at exchange.Pointer, key string) int {
	v, ok := m[key]
	if !ok {
		return 1
	}
	n, _ := v.(json.Number)
	i, err := strconv.Atoi(string(n))
	if err != nil || i < 0 || i > maxOccurs {
		c.fault(at.Append(key), "must be a whole number from 0 to %d", maxOccurs)
		return 1
	}
	return i
}

func (c *compiler) format(m map[string]any) *XML {
	c.keys(m, "", "format", "namespace", "encoding", "declaration", "root")
	x := &XML{
		format:      exchange.FormatID(c.text(m, "", "format")),
		namespace:   c.text(m, "", "namespace"),
		declaration: c.flag(m, "", "declaration"),
	}
	if !exchange.ValidName(string(x.format)) {
		c.fault("/format", "must be the format's name, ^[a-z][a-z0-9_]{0,62}$")
	}
	if len(x.namespace) > 512 || !plainText(x.namespace) {
		c.fault("/namespace", "must be a URI of at most 512 ASCII characters")
	}
	switch e := c.text(m, "", "encoding"); e {
	case "", encodingUTF8:
	case encodingLatin1:
		x.latin1 = true
		if !x.declaration {
			c.fault("/declaration", "must be true: without it the document would be read as UTF-8")
		}
	default:
		c.fault("/encoding", "must be UTF-8 or ISO-8859-1")
	}
	root, ok := m["root"].(map[string]any)
	if !ok {
		c.fault("/root", "must be the root element, an object")
		return x
	}
	for _, key := range []string{"property", "min", "max"} {
		if _, given := root[key]; given {
			c.fault(exchange.Pointer("/root").Append(key), "the root occurs once and is the whole tree: take it out")
		}
	}
	x.root = c.element(root, "/root", 1)
	if x.root.leaf {
		c.fault("/root/text", "the root must be an object: give it attributes or children")
	}
	x.root.property = "-" // never shown; only not transparent
	return x
}

func (c *compiler) element(m map[string]any, at exchange.Pointer, depth int) *element {
	c.keys(m, at, "element", "property", "min", "max", "attributes", "children", "text")
	e := &element{
		name: c.name(m, at, "element"), property: c.property(m, at),
		min: c.count(m, at, "min"), max: c.count(m, at, "max"), names: map[string]bool{},
	}
	if c.elements++; depth > maxElementDepth || c.elements > maxElements {
		c.fault(at, "more than %d elements, or more than %d inside each other", maxElements, maxElementDepth)
		return e
	}
	if e.max < 1 || e.min > e.max {
		c.fault(at.Append("max"), "must be at least 1 and at least min")
	}
	c.attributes(m, at, e)
	c.children(m, at, e, depth)
	c.content(m, at, e)
	if !e.hasText && len(e.attrs) == 0 && len(e.children) == 0 {
		c.fault(at, "declares nothing: give it text, attributes or children")
	}
	if depth > 1 && e.transparent() {
		if e.list() {
			c.fault(at.Append("max"), "a wrapper occurs once: give it a property, or max 1")
		}
		if e.leaf {
			c.fault(at, "a text needs a property")
		}
	}
	return e
}

func (c *compiler) name(m map[string]any, at exchange.Pointer, key string) string {
	s := c.text(m, at, key)
	ok := s != "" && len(s) <= maxNameBytes
	for i := range len(s) {
		ok = ok && s[i] < 0x80 && nameByte(s[i], i == 0)
	}
	if !ok || s == "xmlns" {
		c.fault(at.Append(key), "must be an XML name without prefix")
	}
	return s
}

func (c *compiler) property(m map[string]any, at exchange.Pointer) string {
	s := c.text(m, at, "property")
	if s != "" && !exchange.ValidName(s) {
		c.fault(at.Append("property"), "must match ^[a-z][a-z0-9_]{0,62}$")
	}
	return s
}

// claim notes a property of e's object, once.
func (c *compiler) claim(e *element, property string, at exchange.Pointer) {
	if property == "" {
		return
	}
	if e.names[property] {
		c.fault(at, "two sources for the property %s of one object", property)
	}
	e.names[property] = true
}

func (c *compiler) list(m map[string]any, at exchange.Pointer, key string) []map[string]any {
	v, ok := m[key]
	if !ok {
		return nil
	}
	items, ok := v.([]any)
	if !ok || len(items) == 0 {
		c.fault(at.Append(key), "must be an array that is not empty")
		return nil
	}
	out := make([]map[string]any, 0, len(items))
	for i, item := range items {
		o, ok := item.(map[string]any)
		if !ok {
			c.fault(at.Append(key).Index(i), "must be an object")
			o = map[string]any{}
		}
		out = append(out, o)
	}
	return out
}

func (c *compiler) attributes(m map[string]any, at exchange.Pointer, e *element) {
	seen := map[string]bool{}
	declared := c.list(m, at, "attributes")
	if len(declared) > maxAttributes {
		c.fault(at.Append("attributes"), "more than %d", maxAttributes)
	}
	for i, a := range declared {
		p := at.Append("attributes").Index(i)
		c.keys(a, p, "attribute", "property", "required", "type")
		attr := attribute{name: c.name(a, p, "attribute"), property: c.property(a, p),
			required: c.flag(a, p, "required"), kind: c.kind(a, p)}
		if attr.property == "" {
			c.fault(p.Append("property"), "an attribute needs a property")
		}
		if seen[attr.name] {
			c.fault(p.Append("attribute"), "declared twice")
		}
		seen[attr.name] = true
		c.claim(e, attr.property, p)
		e.attrs = append(e.attrs, attr)
	}
}

func (c *compiler) kind(m map[string]any, at exchange.Pointer) valueType {
	switch c.text(m, at, "type") {
	case "", "string":
		return typeString
	case "integer":
		return typeInteger
	case "boolean":
		return typeBoolean
	}
	c.fault(at.Append("type"), "must be string, integer or boolean")
	return typeString
}

func (c *compiler) children(m map[string]any, at exchange.Pointer, e *element, depth int) {
	seen := map[string]bool{}
	for i, o := range c.list(m, at, "children") {
		p := at.Append("children").Index(i)
		child := c.element(o, p, depth+1)
		if seen[child.name] {
			c.fault(p.Append("element"), "declared twice in one element: use max")
		}
		seen[child.name] = true
		c.claim(e, child.property, p)
		if child.transparent() {
			for _, name := range sortedKeys(child.names) {
				c.claim(e, name, p)
			}
		}
		e.children = append(e.children, child)
	}
}

func (c *compiler) content(m map[string]any, at exchange.Pointer, e *element) {
	v, ok := m["text"]
	if !ok {
		return
	}
	p := at.Append("text")
	o, ok := v.(map[string]any)
	if !ok {
		c.fault(p, `must be an object such as {"type": "string"}`)
		return
	}
	c.keys(o, p, "type", "property")
	e.hasText, e.text, e.textName = true, c.kind(o, p), c.property(o, p)
	e.leaf = len(e.attrs) == 0
	switch {
	case len(e.children) > 0:
		c.fault(p, "text beside children is not supported")
	case e.leaf && e.textName != "":
		c.fault(p.Append("property"), "only beside attributes: take it out")
	case !e.leaf && e.textName == "":
		c.fault(p.Append("property"), "needed beside attributes")
	}
	c.claim(e, e.textName, p)
}

func plainText(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}
