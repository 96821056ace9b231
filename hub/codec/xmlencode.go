package codec

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"raccordo/hub/exchange"
)

// Encode writes t in the declared order and encoding. What the declaration
// does not name, what it requires and t lacks, values of another type, empty
// arrays and characters XML cannot hold are errors that name the place; the
// document is never written without them.
func (x *XML) Encode(t exchange.Tree) ([]byte, error) {
	b, err := x.encode(t, false)
	if err == nil && x.latin1 && !ascii(b) && utf8.Valid(b) {
		// Every accented letter happens to look like UTF-8: a reader that
		// guesses would guess wrong, so references stand for them.
		return x.encode(t, true)
	}
	return b, err
}

func ascii(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func (x *XML) encode(t exchange.Tree, references bool) ([]byte, error) {
	w := xmlWriter{x: x, references: references, dst: make([]byte, 0, 2048)}
	if x.declaration {
		encoding := encodingUTF8
		if x.latin1 {
			encoding = encodingLatin1
		}
		w.dst = append(w.dst, `<?xml version="1.0" encoding="`+encoding+`"?>`+"\n"...)
	}
	root := t.Object()
	if root == nil {
		return nil, unencodable("", "type")
	}
	if f := w.element(x.root, root, root, ""); f != nil {
		return nil, unencodable(f.at, f.rule)
	}
	return append(w.dst, '\n'), nil
}

type xmlWriter struct {
	x          *XML
	dst        []byte
	references bool // write everything beyond ASCII as a reference
}

// element writes e. v is what it becomes; owner is the object its own
// properties are read from, the one around a wrapper.
func (w *xmlWriter) element(e *element, v any, owner map[string]any, at exchange.Pointer) *fault {
	w.dst = append(append(w.dst, '<'), e.name...)
	if e == w.x.root && w.x.namespace != "" {
		w.dst = append(w.dst, ` xmlns="`...)
		w.dst, _ = w.escape(w.dst, w.x.namespace, true)
		w.dst = append(w.dst, '"')
	}
	if e.leaf {
		w.dst = append(w.dst, '>')
		if f := w.value(v, e.text, false, at, ""); f != nil {
			return f
		}
		w.close(e)
		return nil
	}
	if f := w.attributes(e, owner, at); f != nil {
		return f
	}
	if !e.transparent() {
		if f := w.unknown(e, owner, at); f != nil {
			return f
		}
	}
	if e.hasText {
		text, ok := owner[e.textName]
		if !ok {
			return &fault{rule: "text_missing", at: at.Append(e.textName)}
		}
		w.dst = append(w.dst, '>')
		if f := w.value(text, e.text, false, at, e.textName); f != nil {
			return f
		}
		w.close(e)
		return nil
	}
	return w.children(e, owner, at)
}

func (w *xmlWriter) close(e *element) {
	w.dst = append(w.dst, '<', '/')
	w.dst = append(append(w.dst, e.name...), '>')
}

func (w *xmlWriter) attributes(e *element, owner map[string]any, at exchange.Pointer) *fault {
	for i := range e.attrs {
		a := &e.attrs[i]
		v, ok := owner[a.property]
		if !ok {
			if a.required {
				return &fault{rule: "attribute_missing", at: at.Append(a.property)}
			}
			continue
		}
		w.dst = append(append(w.dst, ' '), a.name...)
		w.dst = append(w.dst, '=', '"')
		if f := w.value(v, a.kind, true, at, a.property); f != nil {
			return f
		}
		w.dst = append(w.dst, '"')
	}
	return nil
}

// unknown finds a property the element does not declare.
func (w *xmlWriter) unknown(e *element, owner map[string]any, at exchange.Pointer) *fault {
	for k := range owner {
		if !e.names[k] {
			return &fault{rule: "not_in_format", at: at}
		}
	}
	return nil
}

func (w *xmlWriter) children(e *element, owner map[string]any, at exchange.Pointer) *fault {
	open := false
	for _, child := range e.children {
		if !present(child, owner) {
			if child.min > 0 {
				return &fault{rule: "element_missing", at: place(child, at)}
			}
			continue
		}
		if !open {
			w.dst = append(w.dst, '>')
			open = true
		}
		if f := w.child(child, owner, at); f != nil {
			return f
		}
	}
	if !open {
		w.dst = append(w.dst, '/', '>')
		return nil
	}
	w.close(e)
	return nil
}

// present reports whether e must be written: a wrapper is, when anything it
// holds is there, or when it must occur anyway.
func present(e *element, owner map[string]any) bool {
	if !e.transparent() {
		_, ok := owner[e.property]
		return ok
	}
	if e.min > 0 {
		return true
	}
	for name := range e.names {
		if _, ok := owner[name]; ok {
			return true
		}
	}
	return false
}

func (w *xmlWriter) child(e *element, owner map[string]any, at exchange.Pointer) *fault {
	if e.transparent() {
		return w.element(e, nil, owner, at)
	}
	at = at.Append(e.property)
	v := owner[e.property]
	if !e.list() {
		return w.one(e, v, at)
	}
	items, ok := v.([]any)
	switch {
	case !ok:
		return &fault{rule: "type", at: at}
	case len(items) == 0:
		return &fault{rule: "empty_array", at: at}
	case len(items) < e.min:
		return &fault{rule: "element_missing", at: at}
	case len(items) > e.max:
		return &fault{rule: "too_many_elements", at: at}
	}
	for i, item := range items {
		if f := w.one(e, item, at.Index(i)); f != nil {
			return f
		}
	}
	return nil
}

func (w *xmlWriter) one(e *element, v any, at exchange.Pointer) *fault {
	if e.leaf {
		return w.element(e, v, nil, at)
	}
	o, ok := v.(map[string]any)
	if !ok {
		return &fault{rule: "type", at: at}
	}
	return w.element(e, v, o, at)
}

// value writes a scalar; property is empty when at is already its place.
func (w *xmlWriter) value(v any, kind valueType, attribute bool, at exchange.Pointer, property string) *fault {
	rule := "type"
	switch x := v.(type) {
	case string:
		if kind == typeString {
			w.dst, rule = w.escape(w.dst, x, attribute)
		}
	case json.Number:
		if n, ok := integer(string(x), w.x.limits.MaxNumberDigits); kind == typeInteger && ok && n == x {
			w.dst, rule = append(w.dst, x...), ""
		}
	case bool:
		if kind == typeBoolean {
			w.dst, rule = strconv.AppendBool(w.dst, x), ""
		}
	}
	if rule == "" {
		return nil
	}
	if property != "" {
		at = at.Append(property)
	}
	return &fault{rule: rule, at: at}
}

// escape writes text so that a reader gets exactly it back: white space that
// readers normalise becomes character references, and so do characters the
// encoding lacks.
func (w *xmlWriter) escape(dst []byte, s string, attribute bool) ([]byte, string) {
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			i++
			switch {
			case c == '<':
				dst = append(dst, "&lt;"...)
			case c == '>':
				dst = append(dst, "&gt;"...)
			case c == '&':
				dst = append(dst, "&amp;"...)
			case c == '"' && attribute:
				dst = append(dst, "&quot;"...)
			case c == '\r', attribute && (c == '\n' || c == '\t'):
				dst = appendReference(dst, rune(c))
			case c < ' ' && c != '\n' && c != '\t':
				return dst, "control_char"
			default:
				dst = append(dst, c)
			}
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case (r == utf8.RuneError && n == 1) || !isXMLChar(r):
			return dst, "character"
		case !w.x.latin1:
			dst = append(dst, s[i:i+n]...)
		case r >= 0xa0 && r <= 0xff && !w.references:
			dst = append(dst, byte(r))
		default:
			dst = appendReference(dst, r)
		}
		i += n
	}
	return dst, ""
}

func appendReference(dst []byte, r rune) []byte {
	dst = append(dst, "&#"...)
	dst = strconv.AppendInt(dst, int64(r), 10)
	return append(dst, ';')
}
