package schemas

import (
	"slices"
)

// combinators lints what restricts a place further. Such schemas add no
// property: they speak about those the place already has, so that lineage and
// minimisation know every property.
func (l *linter) combinators(m map[string]any, at place, n *node, out map[string]any, depth int) {
	for _, key := range []string{"allOf", "anyOf", "oneOf"} {
		v, ok := m[key]
		if !ok {
			continue
		}
		list, isList := v.([]any)
		if !isList || len(list) == 0 || len(list) > maxBranches {
			l.faultf(at.to(key), "branches", "%s is a list of 1 to %d schemas", key, maxBranches)
			continue
		}
		branches := make([]any, 0, len(list))
		for i, b := range list {
			branches = append(branches, l.constraint(b, at.to(key).index(i), n, depth+1))
		}
		out[key] = branches
	}
	for _, key := range []string{"not", "if", "then", "else"} {
		if v, ok := m[key]; ok {
			out[key] = l.constraint(v, at.to(key), n, depth+1)
		}
	}
	_, hasIf := m["if"]
	_, hasThen := m["then"]
	_, hasElse := m["else"]
	if hasIf != (hasThen || hasElse) {
		l.fault(at.to("if"), "if_alone", "if needs then or else, and these need if")
	}
}

// constraint lints one such schema about the place n.
func (l *linter) constraint(v any, at place, n *node, depth int) map[string]any {
	out := map[string]any{}
	if l.constraints++; l.constraints > maxConstraints || depth > maxNesting {
		l.faultf(at, "constraints", "at most %d constraints in a schema, %d inside each other", maxConstraints, maxNesting)
		return out
	}
	m, ok := v.(map[string]any)
	if !ok {
		l.fault(at, "schema_not_object", "a schema is an object; true and false are not used")
		return out
	}
	l.prose(m, at)
	l.constraintKeywords(m, at, n)
	if t, ok := m["type"]; ok {
		names, texts := typeNames(t)
		if !texts || slices.ContainsFunc(names, func(s string) bool { return s != n.kind && s != typeNull }) {
			l.faultf(at.to("type"), "type_missing", "this place is of type %s: a constraint may name that or null", n.kind)
		}
		out["type"] = t
	}
	switch n.kind {
	case typeObject:
		l.constrainObject(m, at, n, out, depth)
	case typeArray:
		l.count(m, "minItems", maxItemsBound, at, out)
		l.count(m, "maxItems", maxItemsBound, at, out)
		if items, ok := m["items"]; ok && n.item != nil {
			out["items"] = l.constraint(items, at.to("items"), n.item, depth+1)
		}
	case typeString:
		l.values(m, at, &node{kind: n.kind, nullable: n.nullable}, out)
		l.count(m, "minLength", maxTextBound, at, out)
		l.count(m, "maxLength", maxTextBound, at, out)
		l.pattern(m, at, out)
		l.format(m, at, out)
	default:
		l.values(m, at, &node{kind: n.kind, nullable: n.nullable}, out)
		l.numeric(m, at, out)
	}
	l.combinators(m, at, n, out, depth)
	return out
}

func (l *linter) constraintKeywords(m map[string]any, at place, n *node) {
	known := slices.Concat(anyTypeKeywords, []string{"title", "description"}, typeKeywords[n.kind])
	for _, key := range sortedKeys(m) {
		switch {
		case key == "additionalProperties", key == "uniqueItems", key == "$ref", !slices.Contains(known, key):
			l.faultf(at.to(key), "keyword_in_constraint", "%s is not used inside allOf, anyOf, oneOf, not, if, then or else", key)
		case (key == "enum" || key == "const") && !n.leaf():
			l.faultf(at.to(key), "keyword_without_effect", "%s means nothing for this type here", key)
		}
	}
}

func (l *linter) constrainObject(m map[string]any, at place, n *node, out map[string]any, depth int) {
	for _, name := range l.requiredNames(m, at, out) {
		if n.props[name] == nil {
			l.faultf(at.to("required"), "required_unknown", "%q is not among the properties of the place this constrains", name)
		}
	}
	v, ok := m["properties"]
	if !ok {
		return
	}
	properties, isObject := v.(map[string]any)
	if !isObject {
		l.fault(at.to("properties"), "wrong_type", "properties is an object of schemas")
		return
	}
	expanded := map[string]any{}
	for _, name := range sortedKeys(properties) {
		c := n.props[name]
		if c == nil {
			l.faultf(at.to("properties", name), "property_unknown", "%q is not among the properties of the place this constrains", name)
			continue
		}
		expanded[name] = l.constraint(properties[name], at.to("properties", name), c, depth+1)
	}
	out["properties"] = expanded
}
