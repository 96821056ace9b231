package schemas

import (
	"fmt"

	"raccordo/hub/exchange"
)

// parser reads one document in one pass. Strings without escapes are parts of
// src, so a record's text is copied once.
type parser struct {
	src    string
	pos    int
	limits *Limits
	keys   map[string]knownKey
	nodes  int
	depth  int

	path     []step // where the value being read is
	pairs    []pair // members of the open objects, innermost last
	items    []any  // elements of the open arrays, innermost last
	warnings []exchange.Fault
	err      error
}

// step is one token of the path: a key, or an index when key is empty.
type step struct {
	key   string
	index int
	known bool
}

// pointerTo spells a path out.
func pointerTo(path []step) (at exchange.Pointer) {
	for _, s := range path {
		if s.key == "" {
			at = at.Index(s.index)
		} else {
			at = at.Append(s.key)
		}
	}
	return at
}

type pair struct {
	key   string
	fold  uint64
	value any
}

// forget drops every reference to the document, so that a pooled parser holds
// no personal data.
func (p *parser) forget() {
	clear(p.path[:cap(p.path)])
	clear(p.pairs[:cap(p.pairs)])
	clear(p.items[:cap(p.items)])
	path, pairs, items := p.path[:0], p.pairs[:0], p.items[:0]
	if cap(pairs) > 4096 || cap(items) > 4096 { // a giant is not worth keeping
		pairs, items = nil, nil
	}
	*p = parser{path: path, pairs: pairs, items: items}
}

func (p *parser) document() (any, bool) {
	if len(p.src) >= 3 && p.src[:3] == "\xEF\xBB\xBF" {
		return nil, p.malformed("byte_order_mark")
	}
	p.space()
	if p.pos == len(p.src) {
		return nil, p.malformed("empty")
	}
	if !p.limits.AnyRoot && p.src[p.pos] != '{' {
		return nil, p.malformed("root_not_object")
	}
	root, ok := p.value()
	if !ok {
		return nil, false
	}
	p.space()
	if p.pos != len(p.src) {
		return nil, p.malformed("trailing_bytes")
	}
	return root, true
}

func (p *parser) space() {
	for p.pos < len(p.src) {
		switch p.src[p.pos] {
		case ' ', '\n', '\r', '\t':
			p.pos++
		default:
			return
		}
	}
}

func (p *parser) value() (any, bool) {
	if p.nodes++; p.nodes > p.limits.MaxNodes {
		return nil, p.fail(exchange.CodeTooLarge, exchange.ReasonTooManyNodes, "max_nodes")
	}
	if p.pos == len(p.src) {
		return nil, p.malformed("truncated")
	}
	switch c := p.src[p.pos]; c {
	case '{':
		return p.object()
	case '[':
		return p.array()
	case '"':
		s, ok := p.text(p.limits.MaxStringBytes)
		if !ok {
			return nil, false
		}
		return s, true
	case 't':
		return true, p.word("true")
	case 'f':
		return false, p.word("false")
	case 'n':
		return nil, p.word("null")
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return p.number()
	case '+', '.', 'N', 'I':
		return nil, p.badNumber("number_syntax")
	}
	return nil, p.malformed("syntax")
}

func (p *parser) word(w string) bool {
	if len(p.src)-p.pos < len(w) || p.src[p.pos:p.pos+len(w)] != w {
		return p.malformed("syntax")
	}
	p.pos += len(w)
	return true
}

func (p *parser) enter() bool {
	if p.depth++; p.depth > p.limits.MaxDepth {
		return p.fail(exchange.CodeMalformed, exchange.ReasonTooDeep, "max_depth")
	}
	p.pos++
	p.space()
	return true
}

// more reads what follows an element: a comma (true) or the closing byte.
func (p *parser) more(closing byte) (again, ok bool) {
	p.space()
	if p.pos == len(p.src) {
		return false, p.malformed("truncated")
	}
	switch p.src[p.pos] {
	case ',':
		p.pos++
		p.space()
		return true, true
	case closing:
		p.pos++
		p.depth--
		return false, true
	}
	return false, p.malformed("syntax")
}

func (p *parser) array() (any, bool) {
	if !p.enter() {
		return nil, false
	}
	if p.pos < len(p.src) && p.src[p.pos] == ']' {
		p.pos++
		p.depth--
		return []any{}, true
	}
	base, at := len(p.items), len(p.path)
	p.path = append(p.path, step{})
	for again := true; again; {
		p.path[at].index = len(p.items) - base
		v, ok := p.value()
		if !ok {
			return nil, false
		}
		p.items = append(p.items, v)
		if again, ok = p.more(']'); !ok {
			return nil, false
		}
	}
	out := make([]any, len(p.items)-base)
	copy(out, p.items[base:])
	p.items, p.path = p.items[:base], p.path[:at]
	return out, true
}

func (p *parser) object() (any, bool) {
	if !p.enter() {
		return nil, false
	}
	if p.pos < len(p.src) && p.src[p.pos] == '}' {
		p.pos++
		p.depth--
		return map[string]any{}, true
	}
	base := len(p.pairs)
	for again := true; again; {
		ok := p.member(base)
		if !ok {
			return nil, false
		}
		if again, ok = p.more('}'); !ok {
			return nil, false
		}
	}
	members := p.pairs[base:]
	if len(members) > linearKeys && hasDuplicates(members) {
		return nil, p.duplicate()
	}
	out := make(map[string]any, len(members))
	for i := range members {
		out[members[i].key] = members[i].value
	}
	p.pairs = p.pairs[:base]
	return out, true
}

func (p *parser) member(base int) bool {
	start := p.pos
	if p.pos == len(p.src) {
		return p.malformed("truncated")
	}
	if p.src[p.pos] != '"' {
		return p.malformed("syntax")
	}
	key, ok := p.text(p.limits.MaxKeyBytes)
	if !ok {
		return false
	}
	if key == "" {
		p.pos = start
		return p.malformed("empty_key")
	}
	k, known := p.keys[key]
	if !known {
		k = knownKey{name: key, fold: foldHash(key)}
	}
	if twin(p.pairs[base:], k) {
		p.pos = start
		return p.duplicate()
	}
	p.space()
	if p.pos == len(p.src) || p.src[p.pos] != ':' {
		return p.malformed("syntax")
	}
	p.pos++
	p.space()
	p.path = append(p.path, step{key: k.name, known: known})
	v, ok := p.value()
	if !ok {
		return false
	}
	p.path = p.path[:len(p.path)-1]
	p.pairs = append(p.pairs, pair{key: k.name, fold: k.fold, value: v})
	return true
}

// pointer is the way to the value being read, cut before the first key that no
// schema knows.
func (p *parser) pointer() exchange.Pointer {
	for i, s := range p.path {
		if s.key != "" && !s.known {
			return pointerTo(p.path[:i])
		}
	}
	return pointerTo(p.path)
}

func (p *parser) fail(code exchange.Code, reason exchange.Reason, rule string) bool {
	if p.err == nil {
		p.err = exchange.NewError(code, reason, fmt.Sprintf("%s at byte %d", rule, p.pos),
			exchange.Fault{Pointer: p.pointer(), Rule: rule})
	}
	return false
}

func (p *parser) malformed(rule string) bool {
	return p.fail(exchange.CodeMalformed, exchange.ReasonMalformedJSON, rule)
}

func (p *parser) badNumber(rule string) bool {
	return p.fail(exchange.CodeMalformed, exchange.ReasonBadNumber, rule)
}

func (p *parser) badText(rule string) bool {
	return p.fail(exchange.CodeMalformed, exchange.ReasonBadText, rule)
}

func (p *parser) duplicate() bool {
	return p.fail(exchange.CodeMalformed, exchange.ReasonDuplicateKey, "duplicate_key")
}

func (p *parser) warn(rule string) {
	if len(p.warnings) < maxFaults {
		p.warnings = append(p.warnings, exchange.Fault{Pointer: p.pointer(), Rule: rule, Warning: true})
	}
}
