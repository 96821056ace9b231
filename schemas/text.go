package schemas

import (
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
	"raccordo/hub/exchange"
)

// plain are the bytes that stand for themselves inside a string.
var plain = func() (t [256]bool) {
	for c := 0x20; c < 0x7F; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// text reads a string from its opening quote on and leaves the position behind
// the closing one.
func (p *parser) text(maxBytes int) (string, bool) {
	start := p.pos + 1
	i := start
	for i < len(p.src) && plain[p.src[i]] {
		i++
	}
	if i < len(p.src) && p.src[i] == '"' {
		p.pos = i + 1
		if i-start > maxBytes {
			return "", p.tooLong()
		}
		return p.src[start:i], true
	}
	return p.richText(start, i, maxBytes)
}

func (p *parser) tooLong() bool {
	return p.fail(exchange.CodeTooLarge, exchange.ReasonTooLarge, "string_too_long")
}

// richText goes on at i, the first byte that is not plain.
func (p *parser) richText(start, i, maxBytes int) (string, bool) {
	var decoded []byte // nil until the first escape
	from := start      // first byte of src not yet in decoded
	var seen marks
	for {
		for i < len(p.src) && plain[p.src[i]] {
			i++
		}
		p.pos = i
		if i == len(p.src) {
			return "", p.malformed("truncated")
		}
		switch c := p.src[i]; {
		case c == '"':
			p.pos = i + 1
			s := p.src[start:i]
			if decoded != nil {
				s = string(append(decoded, p.src[from:i]...))
			}
			if len(s) > maxBytes {
				return "", p.tooLong()
			}
			return p.normal(s, seen), true
		case c == '\\':
			r, next, ok := p.escape(i)
			if !ok || !p.allowed(r, &seen) {
				return "", false
			}
			decoded = utf8.AppendRune(append(decoded, p.src[from:i]...), r)
			i, from = next, next
		case c < 0x80: // a raw control character
			return "", p.badText("control_char")
		default:
			r, size := utf8.DecodeRuneInString(p.src[i:])
			if r == utf8.RuneError && size == 1 {
				return "", p.badText("invalid_utf8")
			}
			if !p.allowed(r, &seen) {
				return "", false
			}
			i += size
		}
	}
}

// escape reads the escape at i, a pair of surrogates as one.
func (p *parser) escape(i int) (r rune, next int, ok bool) {
	if i+1 >= len(p.src) {
		return 0, 0, p.malformed("truncated")
	}
	switch p.src[i+1] {
	case '"', '\\', '/':
		return rune(p.src[i+1]), i + 2, true
	case 'n':
		return '\n', i + 2, true
	case 'r':
		return '\r', i + 2, true
	case 't':
		return '\t', i + 2, true
	case 'b', 'f':
		return 0, 0, p.badText("control_char")
	case 'u':
	default:
		return 0, 0, p.malformed("bad_escape")
	}
	high, ok := hex4(p.src, i+2)
	if !ok {
		return 0, 0, p.malformed("bad_escape")
	}
	if high < 0xD800 || high > 0xDFFF {
		return high, i + 6, true
	}
	if high <= 0xDBFF && i+7 < len(p.src) && p.src[i+6] == '\\' && p.src[i+7] == 'u' {
		if low, ok := hex4(p.src, i+8); ok && low >= 0xDC00 && low <= 0xDFFF {
			return (high-0xD800)<<10 + (low - 0xDC00) + 0x10000, i + 12, true
		}
	}
	return 0, 0, p.badText("lone_surrogate")
}

func hex4(s string, i int) (rune, bool) {
	if i+4 > len(s) {
		return 0, false
	}
	var r rune
	for _, c := range []byte(s[i : i+4]) {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case 'A' <= c && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// marks are what a string holds that is worth a second look at its end.
type marks struct{ wide, invisible, replacement bool }

// allowed refuses characters that have no business in a record and notes the
// ones that deserve a warning.
func (p *parser) allowed(r rune, seen *marks) bool {
	switch {
	case r == '\n' || r == '\r' || r == '\t':
		return true
	case r < 0x20 || r >= 0x7F && r < 0xA0:
		return p.badText("control_char")
	case r < 0x80:
		return true
	case isBidiControl(r):
		return p.badText("bidi_control")
	case r == 0x2028 || r == 0x2029:
		return p.badText("line_separator")
	case r&0xFFFE == 0xFFFE || r >= 0xFDD0 && r <= 0xFDEF:
		return p.badText("noncharacter")
	case isInvisible(r):
		seen.invisible = true
	case r == utf8.RuneError:
		seen.replacement = true
	}
	seen.wide = true
	return true
}

// isBidiControl is the Unicode property Bidi_Control.
func isBidiControl(r rune) bool {
	return r == 0x061C || r == 0x200E || r == 0x200F || r >= 0x202A && r <= 0x202E || r >= 0x2066 && r <= 0x2069
}

// isInvisible are characters that take no room: some names need the joiners,
// so they are flagged and not refused.
func isInvisible(r rune) bool {
	return r == 0x00AD || r == 0x034F || r == 0x180E || r >= 0x200B && r <= 0x200D ||
		r >= 0x2060 && r <= 0x2064 || r == 0xFEFF || r >= 0xE0000 && r <= 0xE007F
}

// normal is s in normalisation form C.
func (p *parser) normal(s string, seen marks) string {
	if !seen.wide {
		return s
	}
	if seen.invisible {
		p.warn("invisible")
	}
	if seen.replacement {
		p.warn("replacement")
	}
	if norm.NFC.IsNormalString(s) {
		return s
	}
	p.warn("not_nfc")
	return norm.NFC.String(s)
}
