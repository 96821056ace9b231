package network

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"raccordo/hub/exchange"
)

// object is a mapping whose keys are known.
type object struct {
	value
	fields map[string]value
}

// object reads a mapping that has none but the given keys.
func (v value) object(keys ...string) object {
	o := object{value: v, fields: map[string]value{}}
	if v.node == nil {
		return o
	}
	if v.node.Kind != yaml.MappingNode {
		v.fault("", "must be a mapping of keys to values, not %s", kindName(v.node))
		return o
	}
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		k, n := v.node.Content[i], v.node.Content[i+1]
		if !slices.Contains(keys, k.Value) {
			v.child(k, v.path).fault("known keys: "+strings.Join(keys, ", "), "unknown key %q", clip(k.Value))
			continue
		}
		o.fields[k.Value] = v.child(n, join(v.path, k.Value))
	}
	return o
}

// entries reads a mapping whose keys are data.
func (v value) entries() []entry {
	if v.node == nil {
		return nil
	}
	if v.node.Kind != yaml.MappingNode {
		v.fault("", "must be a mapping of keys to values, not %s", kindName(v.node))
		return nil
	}
	var out []entry
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		k := v.node.Content[i]
		out = append(out, entry{key: v.child(k, join(v.path, k.Value)), value: v.child(v.node.Content[i+1], join(v.path, k.Value))})
	}
	return out
}

type entry struct{ key, value value }

// opt is the field, or a value that reads as zero.
func (o object) opt(key string) value {
	if v, ok := o.fields[key]; ok {
		return v
	}
	return value{fs: o.fs, at: at{file: o.file, line: o.line, col: o.col, path: join(o.path, key)}}
}

// need reports a field that is not there.
func (o object) need(key string) value {
	v := o.opt(key)
	if v.node == nil && o.node != nil && o.node.Kind == yaml.MappingNode {
		o.fault("add it", "%q is missing", key)
	}
	return v
}

func (v value) given() bool { return v.node != nil }

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		switch n.ShortTag() {
		case "!!null":
			return "nothing"
		case "!!bool":
			return "a truth value"
		case "!!int", "!!float":
			return "a number"
		case "!!timestamp":
			return "a date"
		}
		return "text"
	}
	return "that"
}

// list reads a sequence.
func (v value) list() []value {
	if v.node == nil {
		return nil
	}
	if v.node.Kind != yaml.SequenceNode {
		v.fault("write it as a list", "must be a list, not %s", kindName(v.node))
		return nil
	}
	out := make([]value, len(v.node.Content))
	for i, c := range v.node.Content {
		out[i] = v.child(c, v.path+"["+strconv.Itoa(i)+"]")
	}
	return out
}

// text reads a string. What YAML 1.1 or 1.2 would take for something else must
// be quoted: no is Norway to one reader and false to another.
func (v value) text() string {
	if v.node == nil {
		return ""
	}
	switch n := v.node; {
	case n.Kind != yaml.ScalarNode:
		v.fault("", "must be text, not %s", kindName(n))
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0 && ambiguousWord(n.Value):
		v.fault(`quote it: "`+n.Value+`"`, "an unquoted %s is a truth value to some readers and text to others", n.Value)
	case n.ShortTag() == "!!null":
		v.fault("fill it or remove the key", "must be text, not nothing")
	case n.ShortTag() != "!!str":
		v.fault(`quote it: "`+clip(n.Value)+`"`, "must be text, not %s", kindName(n))
	case len(n.Value) > maxText:
		v.fault("", "longer than %d bytes", maxText)
	case strings.TrimSpace(n.Value) == "":
		v.fault("fill it or remove the key", "must not be empty")
	default:
		return strings.TrimSuffix(n.Value, "\n")
	}
	return ""
}

func ambiguousWord(s string) bool {
	switch strings.ToLower(s) {
	case "yes", "no", "on", "off", "y", "n":
		return true
	}
	return false
}

// truth reads true or false.
func (v value) truth() bool {
	if v.node == nil {
		return false
	}
	if v.node.Kind == yaml.ScalarNode && v.node.ShortTag() == "!!bool" {
		switch v.node.Value {
		case "true":
			return true
		case "false":
			return false
		}
	}
	v.fault("", "must be true or false")
	return false
}

// number reads an integer from low to high.
func (v value) number(low, high int) int {
	if v.node == nil {
		return 0
	}
	if v.node.Kind == yaml.ScalarNode && v.node.ShortTag() == "!!int" {
		if n, err := strconv.Atoi(v.node.Value); err == nil && n >= low && n <= high {
			return n
		}
	}
	v.fault("", "must be a number from %d to %d", low, high)
	return 0
}

// span reads a span such as 30d or 72h.
func (v value) span() time.Duration {
	s := v.text()
	if s == "" {
		return 0
	}
	n, err := strconv.Atoi(s[:len(s)-1])
	if err == nil && n > 0 && n <= 40_000 && s[0] != '+' {
		switch s[len(s)-1] {
		case 'd':
			return time.Duration(n) * 24 * time.Hour
		case 'h':
			return time.Duration(n) * time.Hour
		}
	}
	v.fault("for example 30d or 72h", "must be a number of days or hours")
	return 0
}

// day reads YYYY-MM-DD and gives it back as text.
func (v value) day() string {
	if v.node == nil {
		return ""
	}
	if v.node.Kind == yaml.ScalarNode && (v.node.ShortTag() == "!!timestamp" || v.node.ShortTag() == "!!str") {
		if _, err := time.Parse(time.DateOnly, v.node.Value); err == nil {
			return v.node.Value
		}
	}
	v.fault("", "must be a day, YYYY-MM-DD")
	return ""
}

// oneOf reads one of the given words.
func (v value) oneOf(words ...string) string {
	s := v.text()
	if s != "" && !slices.Contains(words, s) {
		v.fault("one of: "+strings.Join(words, ", "), "%q is not known here", clip(s))
		return ""
	}
	return s
}

// name reads a name of the network.
func name[T ~string](v value) T {
	s := v.text()
	if s == "" {
		return ""
	}
	n, err := exchange.ParseName[T](s)
	if err != nil {
		v.fault("a letter, then letters, digits and underscores, all lower case, at most 63", "%q is not a well-formed name", clip(s))
	}
	return n
}

// names reads a list of different names.
func names[T ~string](v value) []placed[T] {
	var out []placed[T]
	for _, item := range v.list() {
		n := name[T](item)
		if n == "" {
			continue
		}
		if slices.ContainsFunc(out, func(p placed[T]) bool { return p.v == n }) {
			item.fault("remove one of them", "%q is there twice", n)
			continue
		}
		out = append(out, placed[T]{n, item.at})
	}
	return out
}

// placed is something read, with its place for later faults.
type placed[T any] struct {
	v  T
	at at
}

func place[T any](v value, x T) placed[T] { return placed[T]{x, v.at} }

func plain[T any](ps []placed[T]) []T {
	out := make([]T, len(ps))
	for i, p := range ps {
		out[i] = p.v
	}
	return out
}

var (
	uuidShape     = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	belfioreShape = regexp.MustCompile(`^[A-Z][0-9]{3}$`)
	istatShape    = regexp.MustCompile(`^[0-9]{6}$`)
	ipaShape      = regexp.MustCompile(`^[a-z0-9_]{1,20}$`)
	iriShape      = regexp.MustCompile(`^https?://[^\s<>"{}|\\^` + "`" + `]{1,500}$`)
	siussShape    = regexp.MustCompile(`^A[0-9](\.[0-9]{2}){1,2}$`)
	codeShape     = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,39}$`)
)

// shaped reads text of a given shape; what names it for people.
func (v value) shaped(shape *regexp.Regexp, what string) string {
	s := v.text()
	if s != "" && !shape.MatchString(s) {
		v.fault(fmt.Sprintf("it must match %s", shape), "%q is not %s", clip(s), what)
		return ""
	}
	return s
}
