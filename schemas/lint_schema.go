package schemas

import (
	"slices"
	"strings"

	"raccordo/hub/exchange"
)

// The closed list of keywords.
var (
	rootKeywords       = []string{"$schema", "$id", "definitions"}
	annotationKeywords = []string{"title", "description", "x-category", "x-code-list", "x-semantic", "x-subject"}
	anyTypeKeywords    = []string{"type", "enum", "const", "if", "then", "else", "allOf", "anyOf", "oneOf", "not"}
	typeKeywords       = map[string][]string{
		typeObject:  {"properties", "required", "additionalProperties"},
		typeArray:   {"items", "minItems", "maxItems", "uniqueItems"},
		typeString:  {"minLength", "maxLength", "pattern", "format"},
		typeInteger: {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
		typeNumber:  {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
		typeBoolean: {},
	}
)

// use is one use of a schema: where it stands and what its surroundings say.
type use struct {
	place      place
	site       place            // the place in the main file that led here
	path       exchange.Pointer // of the instance
	inherited  exchange.CategorySet
	refs       []string // definitions being written out, outermost first
	depth      int
	root       bool
	categories bool // leaves must have one
}

func (u use) down(tokens ...string) use {
	u.place = u.place.to(tokens...)
	if len(u.refs) == 0 {
		u.site = u.place
	}
	u.depth++
	u.root = false
	return u
}

// schema lints a schema that describes a place of the instance.
func (l *linter) schema(v any, u use) (*node, map[string]any) {
	if l.nodes++; l.nodes > maxSchemaNodes || u.depth > maxSchemaDepth {
		l.faultf(l.main, "schema_too_large", "with all references written out at most %d places, %d deep", maxSchemaNodes, maxSchemaDepth)
		return nil, nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		l.fault(u.place, "schema_not_object", "a schema is an object; true and false are not used")
		return nil, nil
	}
	l.prose(m, u.place)
	u.inherited = u.inherited.Union(l.categoriesOf(m, u.place))
	if _, isRef := m["$ref"]; isRef {
		return l.reference(m, u)
	}
	n := &node{path: u.path}
	out := map[string]any{}
	if !l.typeOf(m, u.place, n, out) {
		l.strangers(m, u, allKeywords())
		return nil, nil
	}
	known := slices.Concat(anyTypeKeywords, annotationKeywords, typeKeywords[n.kind])
	if !n.leaf() { // whole objects and arrays are not compared
		known = slices.DeleteFunc(known, func(key string) bool { return key == "enum" || key == "const" })
	}
	l.strangers(m, u, known)
	switch n.kind {
	case typeObject:
		l.object(m, u, n, out)
	case typeArray:
		l.array(m, u, n, out)
	default:
		l.leaf(m, u, n, out)
	}
	l.annotate(m, u.place, n)
	l.combinators(m, u.place, n, out, 0)
	return n, out
}

// reference writes a reference out. In draft-07 everything beside $ref is
// ignored: only annotations, which say nothing about validity, may stand there.
func (l *linter) reference(m map[string]any, u use) (*node, map[string]any) {
	for _, key := range sortedKeys(m) {
		if key != "$ref" && !slices.Contains(annotationKeywords, key) {
			l.fault(u.place.to(key), "ref_sibling", "draft-07 ignores what stands beside $ref: move it into the definition")
		}
	}
	ref, ok := m["$ref"].(string)
	if !ok {
		l.fault(u.place.to("$ref"), "wrong_type", "$ref is a text")
		return nil, nil
	}
	v, target, id, ok := l.resolve(ref, u.place)
	if !ok {
		return nil, nil
	}
	if slices.Contains(u.refs, id) {
		l.fault(u.place.to("$ref"), "ref_cycle", "this definition contains itself: records are not recursive")
		return nil, nil
	}
	inner := u
	inner.place, inner.root = target, false
	inner.depth++
	inner.refs = append(slices.Clone(u.refs), id)
	n, out := l.schema(v, inner)
	if n != nil {
		l.annotate(m, u.place, n)
	}
	return n, out
}

// strangers names the keywords that are unknown or mean nothing here.
func (l *linter) strangers(m map[string]any, u use, known []string) {
	for _, key := range sortedKeys(m) {
		switch {
		case slices.Contains(known, key), u.root && slices.Contains(rootKeywords, key):
		case slices.Contains(allKeywords(), key):
			l.faultf(u.place.to(key), "keyword_without_effect", "%s means nothing for this type here", key)
		default:
			l.fault(u.place.to(key), "unknown_keyword", "not one of the keywords that are held to their draft-07 meaning: "+strings.Join(allKeywords(), ", "))
		}
	}
}

func allKeywords() []string {
	return slices.Concat(rootKeywords, []string{"$ref"}, annotationKeywords, anyTypeKeywords,
		typeKeywords[typeObject], typeKeywords[typeArray], typeKeywords[typeString], typeKeywords[typeNumber])
}

// typeOf reads type: one name, or one name and "null".
func (l *linter) typeOf(m map[string]any, at place, n *node, out map[string]any) bool {
	names, ok := typeNames(m["type"])
	if i := slices.Index(names, typeNull); i >= 0 {
		n.nullable = true
		names = slices.Delete(slices.Clone(names), i, i+1)
	}
	if _, known := typeKeywords[first(names)]; !ok || len(names) != 1 || !known {
		l.fault(at.to("type"), "type_missing", `give one type: object, array, string, integer, number or boolean, or a list of one of them and "null"`)
		return false
	}
	n.kind = names[0]
	out["type"] = m["type"]
	return true
}

func typeNames(v any) ([]string, bool) {
	switch t := v.(type) {
	case string:
		return []string{t}, true
	case []any:
		var names []string
		for _, e := range t {
			s, ok := e.(string)
			if !ok || slices.Contains(names, s) {
				return nil, false
			}
			names = append(names, s)
		}
		return names, len(names) > 0
	}
	return nil, false
}

func first(s []string) string {
	if len(s) == 0 {
		return ""
	}
	return s[0]
}

func (l *linter) object(m map[string]any, u use, n *node, out map[string]any) {
	if closed, ok := m["additionalProperties"].(bool); !ok || closed {
		l.fault(u.place.to("additionalProperties"), "object_not_closed", `set "additionalProperties": false`)
	}
	out["additionalProperties"] = false
	properties, ok := m["properties"].(map[string]any)
	if !ok {
		l.fault(u.place.to("properties"), "properties_missing", "an object names its properties")
		return
	}
	n.props = make(map[string]*node, len(properties))
	expanded := make(map[string]any, len(properties))
	for _, name := range sortedKeys(properties) {
		below := u.down("properties", name)
		below.path = u.path.Append(name)
		if !validPropertyName(name) {
			l.fault(below.place, "property_name", "a property's name is ASCII letters, digits and _ . : - @, at most 64, no digit first")
			continue
		}
		c, doc := l.schema(properties[name], below)
		if c == nil {
			continue
		}
		n.props[name], expanded[name] = c, doc
		n.names = append(n.names, name)
	}
	out["properties"] = expanded
	for _, name := range l.requiredNames(m, u.place, out) {
		if c := n.props[name]; c != nil {
			c.requiredHere = true
		} else if _, named := properties[name]; !named {
			l.faultf(u.place.to("required"), "required_unknown", "%q is required but not among the properties", name)
		}
	}
}

// validPropertyName keeps names to characters that need no escaping anywhere.
func validPropertyName(s string) bool {
	if s == "" || len(s) > 64 || s == "__proto__" {
		return false
	}
	for i, c := range []byte(s) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c == '@'
		other := c >= '0' && c <= '9' || c == '.' || c == ':' || c == '-'
		if !letter && (i == 0 || !other) {
			return false
		}
	}
	return true
}

func (l *linter) requiredNames(m map[string]any, at place, out map[string]any) []string {
	v, ok := m["required"]
	if !ok {
		return nil
	}
	list, ok := v.([]any)
	names, texts := typeNames(v)
	if !ok || !texts && len(list) > 0 {
		l.fault(at.to("required"), "wrong_type", "required is a list of different names")
		return nil
	}
	out["required"] = v
	return names
}

func (l *linter) array(m map[string]any, u use, n *node, out map[string]any) {
	n.minItems, _ = l.count(m, "minItems", maxItemsBound, u.place, out)
	var bounded bool
	if n.maxItems, bounded = l.count(m, "maxItems", maxItemsBound, u.place, out); !bounded {
		l.faultf(u.place.to("maxItems"), "array_unbounded", "set maxItems, at most %d", maxItemsBound)
	} else if n.minItems > n.maxItems {
		l.fault(u.place.to("minItems"), "empty_range", "minItems is above maxItems: nothing is valid")
	}
	items, ok := m["items"]
	if !ok {
		l.fault(u.place.to("items"), "items_missing", "an array gives one schema for all its items")
		return
	}
	if _, positional := items.([]any); positional {
		l.fault(u.place.to("items"), "items_positional", "give one schema for all items, not a list")
		return
	}
	below := u.down("items")
	below.path = u.path.Append("*")
	c, doc := l.schema(items, below)
	if c == nil {
		return
	}
	c.requiredHere = true
	n.item, out["items"] = c, doc
	l.unique(m, u.place, n, out)
}

// unique admits uniqueItems where the validator's comparison is exact: it goes
// through float64, so numbers must be integers that one holds.
func (l *linter) unique(m map[string]any, at place, n *node, out map[string]any) {
	v, ok := m["uniqueItems"]
	if !ok {
		return
	}
	unique, isBool := v.(bool)
	if !isBool {
		l.fault(at.to("uniqueItems"), "wrong_type", "uniqueItems is true or false")
		return
	}
	out["uniqueItems"] = v
	if !unique {
		return
	}
	if n.maxItems > maxUniqueItems {
		l.faultf(at.to("maxItems"), "unique_too_large", "with uniqueItems at most %d items", maxUniqueItems)
	}
	n.item.each(func(c *node) {
		if c.kind == typeNumber || c.kind == typeInteger && !c.bounds.safe() {
			l.faultf(at.to("uniqueItems"), "unique_numbers",
				"items that hold numbers can only be compared exactly if they are integers bounded within ±%d", int64(maxSafe))
		}
	})
}
