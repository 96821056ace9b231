package codec

import (
	"encoding/json"
	"slices"
	"strconv"
	"unicode/utf8"

	"raccordo/hub/exchange"
	"raccordo/schemas"
)

// JSON is the codec of every format that declares nothing else.
type JSON struct{ gate *schemas.Gate }

// NewJSON makes the codec; what is read passes gate.
func NewJSON(gate *schemas.Gate) JSON { return JSON{gate: gate} }

// Decode is the byte gate of package schemas, its warnings dropped.
func (j JSON) Decode(b []byte) (exchange.Tree, error) {
	tree, _, err := j.gate.Parse(b)
	return tree, err
}

// Encode writes t as [AppendJSON] does.
func (JSON) Encode(t exchange.Tree) ([]byte, error) { return AppendJSON(make([]byte, 0, usual), t) }

// MediaType is application/json.
func (JSON) MediaType() string { return "application/json" }

// usual is the room for a record made at once: most fit, and none is copied
// while it grows to that.
const usual = 1 << 10

const maxDepth = 128 // of what is written; the byte gate admits less

// AppendJSON appends t as JSON to dst: keys sorted by their bytes, numbers in
// the digits they came with, no white space, so that equal trees give equal
// bytes. A value no tree may hold is an error that names its place.
func AppendJSON(dst []byte, t exchange.Tree) ([]byte, error) {
	w := jsonWriter{dst: dst}
	if !w.value(t.Value(), 0) {
		return nil, unencodable(w.pointer(), w.rule)
	}
	return w.dst, nil
}

type jsonWriter struct {
	dst  []byte
	rule string
	path []string // of the fault, innermost first; empty while all is well
}

func (w *jsonWriter) pointer() exchange.Pointer {
	var p exchange.Pointer
	for _, token := range slices.Backward(w.path) {
		p = p.Append(token)
	}
	return p
}

func (w *jsonWriter) fail(rule string) bool { w.rule = rule; return false }

func (w *jsonWriter) value(v any, depth int) bool {
	switch x := v.(type) {
	case string:
		w.dst = appendString(w.dst, x)
	case json.Number:
		if !validNumber(string(x)) {
			return w.fail("number_syntax")
		}
		w.dst = append(w.dst, x...)
	case bool:
		w.dst = strconv.AppendBool(w.dst, x)
	case nil:
		w.dst = append(w.dst, "null"...)
	case map[string]any:
		return w.object(x, depth)
	case []any:
		return w.array(x, depth)
	default:
		return w.fail("value_kind")
	}
	return true
}

func (w *jsonWriter) object(x map[string]any, depth int) bool {
	if depth >= maxDepth {
		return w.fail("depth")
	}
	var room [24]string // most objects fit: no allocation
	keys := room[:0]
	for k := range x {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	w.dst = append(w.dst, '{')
	for i, k := range keys {
		if i > 0 {
			w.dst = append(w.dst, ',')
		}
		w.dst = appendString(w.dst, k)
		w.dst = append(w.dst, ':')
		if !w.value(x[k], depth+1) {
			w.path = append(w.path, k)
			return false
		}
	}
	w.dst = append(w.dst, '}')
	return true
}

func (w *jsonWriter) array(x []any, depth int) bool {
	if depth >= maxDepth {
		return w.fail("depth")
	}
	w.dst = append(w.dst, '[')
	for i, v := range x {
		if i > 0 {
			w.dst = append(w.dst, ',')
		}
		if !w.value(v, depth+1) {
			w.path = append(w.path, strconv.Itoa(i))
			return false
		}
	}
	w.dst = append(w.dst, ']')
	return true
}

const hexDigits = "0123456789abcdef"

// appendString escapes what RFC 8259 section 7 demands and nothing else. Bytes
// that are no UTF-8, which no parsed tree holds, become U+FFFD.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(append(dst, s[start:i]...), "\ufffd"...)
				start = i + 1
			}
			i += n
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}

// validNumber reports whether s is a number of RFC 8259 section 6.
func validNumber(s string) bool {
	if len(s) > 0 && s[0] == '-' {
		s = s[1:]
	}
	whole := digits(s)
	if whole == 0 || (whole > 1 && s[0] == '0') {
		return false
	}
	s = s[whole:]
	if len(s) > 0 && s[0] == '.' {
		n := digits(s[1:])
		if n == 0 {
			return false
		}
		s = s[1+n:]
	}
	if len(s) > 0 && (s[0] == 'e' || s[0] == 'E') {
		s = s[1:]
		if len(s) > 0 && (s[0] == '+' || s[0] == '-') {
			s = s[1:]
		}
		n := digits(s)
		if n == 0 {
			return false
		}
		s = s[n:]
	}
	return s == ""
}

func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

func unencodable(at exchange.Pointer, rule string) error {
	return exchange.NewError(exchange.CodeInvalid, exchange.ReasonFormatMismatch,
		"the record does not fit the format", exchange.Fault{Pointer: at, Rule: rule})
}
