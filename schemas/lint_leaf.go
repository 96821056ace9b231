package schemas

import (
	"encoding/json"
	"math/big"
	"slices"
	"strconv"
	"unicode/utf8"

	"raccordo/hub/exchange"
)

// maxSafe is the largest integer up to which float64 holds every one.
const maxSafe = 1<<53 - 1

// bounds are what a numeric schema says about size; nil is open.
type bounds struct{ low, high *big.Rat }

func (b bounds) safe() bool {
	limit := new(big.Rat).SetInt64(maxSafe)
	return b.low != nil && b.high != nil && b.high.Cmp(limit) <= 0 && b.low.Cmp(new(big.Rat).Neg(limit)) >= 0
}

func (l *linter) leaf(m map[string]any, u use, n *node, out map[string]any) {
	n.own = u.inherited
	if u.categories && n.own.Empty() {
		l.fault(u.site, "category_missing", "say with x-category which category of personal data this is")
	}
	listed := l.values(m, u.place, n, out)
	switch n.kind {
	case typeString:
		l.text(m, u.place, n, out, listed)
	case typeInteger, typeNumber:
		n.bounds = l.numeric(m, u.place, out)
		if !listed && (n.bounds.low == nil || n.bounds.high == nil) {
			l.fault(u.place, "number_unbounded", "set minimum and maximum")
		}
	}
}

func (l *linter) text(m map[string]any, at place, n *node, out map[string]any, listed bool) {
	n.minLength, _ = l.count(m, "minLength", maxTextBound, at, out)
	high, bounded := l.count(m, "maxLength", maxTextBound, at, out)
	if bounded {
		n.maxLength = high
	}
	n.pattern = l.pattern(m, at, out)
	n.format = l.format(m, at, out)
	switch {
	case bounded && n.minLength > high:
		l.fault(at.to("minLength"), "empty_range", "minLength is above maxLength: nothing is valid")
	case bounded:
	case listed:
		for _, v := range n.enum {
			n.maxLength = max(n.maxLength, utf8.RuneCountInString(v))
		}
	case n.format == "date":
		n.maxLength = len("2006-01-02")
	default:
		l.faultf(at.to("maxLength"), "string_unbounded", "set maxLength (at most %d), enum or const", maxTextBound)
	}
}

// values reads enum and const and reports whether one of them is there. The
// validator compares through float64, so only texts, booleans and exact
// integers of an integer type may be listed.
func (l *linter) values(m map[string]any, at place, n *node, out map[string]any) (listed bool) {
	if v, ok := m["const"]; ok {
		listed = true
		out["const"] = v
		if text, ok := l.listable(v, n); ok {
			n.enum = []string{text}
		} else {
			l.fault(at.to("const"), "value_type", "const must be of the property's type; numbers only as plain integers of type integer, up to 15 digits")
		}
	}
	v, ok := m["enum"]
	if !ok {
		return listed
	}
	list, ok := v.([]any)
	if !ok || len(list) == 0 || len(list) > maxEnum {
		l.faultf(at.to("enum"), "enum_size", "enum is a list of 1 to %d values; longer lists are code lists", maxEnum)
		return true
	}
	out["enum"] = v
	var all []string
	size := 0
	for i, e := range list {
		text, ok := l.listable(e, n)
		if !ok {
			l.fault(at.to("enum").index(i), "value_type", "values must be of the property's type; numbers only as plain integers of type integer, up to 15 digits")
			continue
		}
		if slices.Contains(all, text) {
			l.fault(at.to("enum").index(i), "enum_twice", "this value is listed twice")
		}
		size += len(text)
		all = append(all, text)
	}
	if size > maxEnumBytes {
		l.faultf(at.to("enum"), "enum_size", "all values together at most %d bytes", maxEnumBytes)
	}
	if n.enum == nil {
		n.enum = all
	}
	return true
}

func (l *linter) listable(v any, n *node) (string, bool) {
	switch x := v.(type) {
	case nil:
		return "null", n.nullable
	case string:
		return x, n.kind == typeString
	case bool:
		return strconv.FormatBool(x), n.kind == typeBoolean
	case json.Number:
		i, err := x.Int64()
		return string(x), err == nil && n.kind == typeInteger && len(x) <= 16 && i >= -maxSafe && i <= maxSafe
	}
	return "", false
}

// count reads a keyword that counts something.
func (l *linter) count(m map[string]any, key string, limit int, at place, out map[string]any) (int, bool) {
	v, ok := m[key]
	if !ok {
		return 0, false
	}
	number, isNumber := v.(json.Number)
	i, err := strconv.Atoi(string(number))
	if !isNumber || err != nil || i < 0 || i > limit {
		l.faultf(at.to(key), "wrong_count", "%s is a whole number from 0 to %d", key, limit)
		return 0, true
	}
	out[key] = v
	return i, true
}

// numeric reads the keywords of numbers.
func (l *linter) numeric(m map[string]any, at place, out map[string]any) (b bounds) {
	read := func(key string) *big.Rat {
		v, ok := m[key]
		if !ok {
			return nil
		}
		if number, isNumber := v.(json.Number); isNumber {
			if r, ok := new(big.Rat).SetString(string(number)); ok {
				out[key] = v
				return r
			}
		}
		l.faultf(at.to(key), "wrong_type", "%s is a number", key)
		return nil
	}
	b.low, b.high = read("minimum"), read("maximum")
	if x := read("exclusiveMinimum"); x != nil && (b.low == nil || x.Cmp(b.low) > 0) {
		b.low = x
	}
	if x := read("exclusiveMaximum"); x != nil && (b.high == nil || x.Cmp(b.high) < 0) {
		b.high = x
	}
	if b.low != nil && b.high != nil && b.low.Cmp(b.high) > 0 {
		l.fault(at, "empty_range", "the minimum is above the maximum: nothing is valid")
	}
	if x := read("multipleOf"); x != nil && x.Sign() <= 0 {
		l.fault(at.to("multipleOf"), "wrong_count", "multipleOf is above zero")
	}
	return b
}

func (l *linter) pattern(m map[string]any, at place, out map[string]any) string {
	v, ok := m["pattern"]
	if !ok {
		return ""
	}
	text, isText := v.(string)
	if !isText {
		l.fault(at.to("pattern"), "wrong_type", "pattern is a text")
		return ""
	}
	if rule, advice := lintPattern(text); rule != "" {
		l.fault(at.to("pattern"), rule, advice)
		return ""
	}
	out["pattern"] = text
	return text
}

func (l *linter) format(m map[string]any, at place, out map[string]any) string {
	v, ok := m["format"]
	if !ok {
		return ""
	}
	text, _ := v.(string)
	if _, known := formats[text]; !known {
		l.fault(at.to("format"), "unknown_format", "only date, time and date-time are formats here, and they are asserted; use pattern for anything else")
		return ""
	}
	out["format"] = privateFormat(text)
	return text
}

// prose bounds title and description.
func (l *linter) prose(m map[string]any, at place) {
	for _, key := range []string{"title", "description"} {
		if v, ok := m[key]; ok {
			if s, isText := v.(string); !isText || len(s) > maxProse {
				l.faultf(at.to(key), "wrong_type", "%s is a text of at most %d bytes", key, maxProse)
			}
		}
	}
}

// categoriesOf reads x-category: a name or a list of names.
func (l *linter) categoriesOf(m map[string]any, at place) (set exchange.CategorySet) {
	v, ok := m["x-category"]
	if !ok {
		return set
	}
	names, ok := typeNames(v)
	if !ok {
		l.fault(at.to("x-category"), "wrong_type", "x-category is a name or a list of different names")
	}
	for _, name := range names {
		c, known := l.loader.options.Categories[name]
		if !known {
			l.faultf(at.to("x-category"), "unknown_category", "%q is not in the table of categories", name)
			continue
		}
		set = set.With(c)
	}
	return set
}

// annotate reads our own keywords but x-category, which works downwards.
func (l *linter) annotate(m map[string]any, at place, n *node) {
	if v, ok := m["x-code-list"]; ok {
		name, _ := v.(string)
		if !exchange.ValidName(name) || n.kind != typeString {
			l.fault(at.to("x-code-list"), "code_list", "x-code-list is the name of a code list, on a string")
		}
		n.codeList = name
	}
	if v, ok := m["x-semantic"]; ok {
		names, texts := typeNames(v)
		if !texts {
			l.fault(at.to("x-semantic"), "wrong_type", "x-semantic is a name or a list of different names")
		}
		for _, name := range names {
			check, known := l.loader.options.Semantics[name]
			if !known {
				l.faultf(at.to("x-semantic"), "unknown_semantic", "there is no check called %q", name)
				continue
			}
			n.checks = append(n.checks, namedCheck{name, check})
		}
	}
	if v, ok := m["x-subject"]; ok {
		kind, _ := v.(string)
		n.subject = SubjectKind(kind)
		if !n.subject.valid() || !n.holdsPersons() {
			l.fault(at.to("x-subject"), "subject", "x-subject is principal, affected or principal_first, on a list of identifiers ({system, value}), on an object with a property identifiers, or on a list of such objects (principal_first: only there)")
		}
	}
}

// subjects allows one principal.
func (l *linter) subjects(root *node) {
	principals := 0
	root.each(func(n *node) {
		if n.subject == SubjectPrincipal || n.subject == SubjectPrincipalFirst {
			principals++
		}
	})
	if principals > 1 {
		l.fault(l.main, "two_principals", "a record is about one person: mark one place as principal, the others as affected")
	}
}
