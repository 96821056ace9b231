package codec

import (
	"strconv"
	"strings"

	"raccordo/hub/exchange"
)

const (
	xmlnsURI = "http://www.w3.org/2000/xmlns/"
	xmlURI   = "http://www.w3.org/XML/1998/namespace"
	xsiURI   = "http://www.w3.org/2001/XMLSchema-instance"

	maxPrefixes   = 32 // namespace bindings in scope
	maxUndeclared = 16 // attributes of one tag beyond the declared ones: xmlns, xsi
	maxNameBytes  = 256
	maxTextParts  = 64 // CDATA sections and what lies between them, in one text
)

// scanner reads the tokens of XML 1.0 with namespaces from a whole document in
// memory. It is strict where encoding/xml is not: nothing is repaired, closed
// for the author, or read over.
type scanner struct {
	doc   string
	pos   int
	attrs []rawAttr
	scope []binding // innermost last
}

type rawAttr struct{ prefix, local, value string }

type binding struct{ prefix, uri string }

type tag struct {
	name       string // as written, for the end tag
	local, uri string
	empty      bool
	scope      int // bindings in scope outside
}

// fault is a refusal by rule; the decoder adds the place in the tree.
type fault struct {
	rule string
	at   exchange.Pointer
}

func (s *scanner) rest() string { return s.doc[s.pos:] }

func (s *scanner) space() bool {
	start := s.pos
	for s.pos < len(s.doc) && isSpace(s.doc[s.pos]) {
		s.pos++
	}
	return s.pos > start
}

// misc reads white space and comments up to the next tag, which may also be
// the end of the document.
func (s *scanner) misc() *fault {
	for {
		s.space()
		rest := s.rest()
		switch {
		case rest == "" || (rest[0] == '<' && !strings.HasPrefix(rest, "<!") && !strings.HasPrefix(rest, "<?")):
			return nil
		case strings.HasPrefix(rest, "<!--"):
			if f := s.comment(); f != nil {
				return f
			}
		case strings.HasPrefix(rest, "<!DOCTYPE"):
			return &fault{rule: "doctype"}
		case strings.HasPrefix(rest, "<?"):
			return &fault{rule: "processing_instruction"}
		case strings.HasPrefix(rest, "<![CDATA["):
			return &fault{rule: "text_not_declared"}
		case rest[0] == '<':
			return &fault{rule: "markup_declaration"}
		default:
			return &fault{rule: "text_not_declared"}
		}
	}
}

func (s *scanner) comment() *fault {
	body := s.doc[s.pos+len("<!--"):]
	end := strings.Index(body, "--")
	if end < 0 || !strings.HasPrefix(body[end:], "-->") {
		return &fault{rule: "comment"}
	}
	s.pos += len("<!--") + end + len("-->")
	return nil
}

// name reads a qualified name.
func (s *scanner) name() (prefix, local string, f *fault) {
	start, colon := s.pos, -1
	for s.pos < len(s.doc) {
		c := s.doc[s.pos]
		if c == ':' && colon < 0 {
			colon = s.pos
		} else if !nameByte(c, s.pos == start || s.pos == colon+1) {
			break
		}
		s.pos++
	}
	if s.pos-start > maxNameBytes || s.pos == start || colon == start || colon == s.pos-1 {
		return "", "", &fault{rule: "name"}
	}
	if colon < 0 {
		return "", s.doc[start:s.pos], nil
	}
	return s.doc[start:colon], s.doc[colon+1 : s.pos], nil
}

// nameByte takes every character beyond ASCII: a declared name is ASCII, so
// that such a name is undeclared in any case.
func nameByte(c byte, first bool) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_', c >= 0x80:
		return true
	case c >= '0' && c <= '9', c == '-', c == '.':
		return !first
	}
	return false
}

// start reads a start tag at s.pos; its attributes are left in s.attrs,
// namespace bindings are already in scope. limit bounds the attributes.
func (s *scanner) start(limit int) (tag, *fault) {
	t := tag{scope: len(s.scope)}
	s.pos++ // the '<'
	begin := s.pos
	prefix, local, f := s.name()
	if f != nil {
		return t, f
	}
	t.name, t.local = s.doc[begin:s.pos], local
	s.attrs = s.attrs[:0]
	for {
		spaced := s.space()
		switch rest := s.rest(); {
		case strings.HasPrefix(rest, ">"):
			s.pos++
			t.uri, f = s.resolve(prefix, true)
			return t, f
		case strings.HasPrefix(rest, "/>"):
			s.pos += 2
			t.empty = true
			t.uri, f = s.resolve(prefix, true)
			return t, f
		case rest == "" || !spaced:
			return t, &fault{rule: "tag"}
		}
		if f := s.attribute(limit); f != nil {
			return t, f
		}
	}
}

func (s *scanner) attribute(limit int) *fault {
	prefix, local, f := s.name()
	if f != nil {
		return f
	}
	s.space()
	if !strings.HasPrefix(s.rest(), "=") {
		return &fault{rule: "tag"}
	}
	s.pos++
	s.space()
	rest := s.rest()
	if rest == "" || (rest[0] != '"' && rest[0] != '\'') {
		return &fault{rule: "tag"}
	}
	end := strings.IndexByte(rest[1:], rest[0])
	if end < 0 {
		return &fault{rule: "tag"}
	}
	raw := rest[1 : end+1]
	s.pos += end + 2
	if strings.IndexByte(raw, '<') >= 0 {
		return &fault{rule: "tag"}
	}
	value, f := unescape(raw, true)
	if f != nil {
		return f
	}
	for i := range s.attrs {
		if s.attrs[i].local == local && s.attrs[i].prefix == prefix {
			return &fault{rule: "attribute_twice"}
		}
	}
	if len(s.attrs) >= limit {
		return &fault{rule: "too_many_attributes"}
	}
	s.attrs = append(s.attrs, rawAttr{prefix, local, value})
	return s.bind(prefix, local, value)
}

// bind takes a namespace declaration into scope (Namespaces in XML 1.0).
func (s *scanner) bind(prefix, local, uri string) *fault {
	switch {
	case prefix == "" && local == "xmlns":
		local = ""
	case prefix == "xmlns":
		if uri == "" || local == "xmlns" || local == "xml" {
			return &fault{rule: "namespace"}
		}
	default:
		return nil
	}
	if uri == xmlnsURI || uri == xmlURI {
		return &fault{rule: "namespace"}
	}
	if len(s.scope) >= maxPrefixes {
		return &fault{rule: "too_many_namespaces"}
	}
	s.scope = append(s.scope, binding{local, uri})
	return nil
}

func (s *scanner) resolve(prefix string, element bool) (string, *fault) {
	if prefix == "" && !element {
		return "", nil
	}
	for i := len(s.scope) - 1; i >= 0; i-- {
		if s.scope[i].prefix == prefix {
			return s.scope[i].uri, nil
		}
	}
	switch prefix {
	case "":
		return "", nil
	case "xml":
		return xmlURI, nil
	}
	return "", &fault{rule: "namespace_unbound"}
}

// end reads the end tag of t and takes its bindings out of scope.
func (s *scanner) end(t tag) *fault {
	if !strings.HasPrefix(s.rest(), "</"+t.name) {
		return &fault{rule: "end_tag"}
	}
	s.pos += len("</") + len(t.name)
	s.space()
	if !strings.HasPrefix(s.rest(), ">") {
		return &fault{rule: "end_tag"}
	}
	s.pos++
	s.leave(t)
	return nil
}

func (s *scanner) leave(t tag) { s.scope = s.scope[:t.scope] }

// text reads character data up to the next tag. A comment inside it is
// refused: two readers that join or cut the text there read two records.
func (s *scanner) text() (string, *fault) {
	var parts []string // joined once at the end: no quadratic work
	for {
		if len(parts) > maxTextParts {
			return "", &fault{rule: "text_sections"}
		}
		i := strings.IndexByte(s.rest(), '<')
		if i < 0 {
			return "", &fault{rule: "end_tag"}
		}
		raw := s.doc[s.pos : s.pos+i]
		if strings.Contains(raw, "]]>") {
			return "", &fault{rule: "text"}
		}
		part, f := unescape(raw, false)
		if f != nil {
			return "", f
		}
		s.pos += i
		parts = append(parts, part)
		const open, shut = "<![CDATA[", "]]>"
		rest := s.rest()
		switch {
		case strings.HasPrefix(rest, open):
			end := strings.Index(rest, shut)
			if end < 0 {
				return "", &fault{rule: "text"}
			}
			parts = append(parts, lineEnds(rest[len(open):end]))
			s.pos += end + len(shut)
		case strings.HasPrefix(rest, "<!--"):
			return "", &fault{rule: "comment_in_text"}
		case strings.HasPrefix(rest, "<?"):
			return "", &fault{rule: "processing_instruction"}
		case strings.HasPrefix(rest, "<!"):
			return "", &fault{rule: "markup_declaration"}
		default:
			return strings.Join(parts, ""), nil
		}
	}
}

// unescape resolves the five entities and character references, ends of lines
// (XML 1.0 section 2.11) and, in attributes, white space (section 3.3.3).
func unescape(raw string, attribute bool) (string, *fault) {
	if !strings.ContainsAny(raw, "&\r") && !(attribute && strings.ContainsAny(raw, "\t\n")) {
		return raw, nil
	}
	raw = lineEnds(raw)
	var out strings.Builder
	out.Grow(len(raw))
	for i := 0; i < len(raw); {
		c := raw[i]
		switch {
		case attribute && (c == '\t' || c == '\n'):
			out.WriteByte(' ')
			i++
		case c != '&':
			out.WriteByte(c)
			i++
		default:
			r, n := reference(raw[i:])
			if n == 0 {
				return "", &fault{rule: "entity"}
			}
			out.WriteRune(r)
			i += n
		}
	}
	return out.String(), nil
}

func lineEnds(raw string) string {
	if strings.IndexByte(raw, '\r') < 0 {
		return raw
	}
	return strings.ReplaceAll(strings.ReplaceAll(raw, "\r\n", "\n"), "\r", "\n")
}

// reference reads one entity or character reference and its length, 0 when it
// is none of those XML 1.0 knows without a document type.
func reference(s string) (rune, int) {
	const longest = len("&#x10FFFF;") + 6 // leading zeros
	end := strings.IndexByte(s[:min(len(s), longest)], ';')
	if end < 0 {
		return 0, 0
	}
	switch name := s[1:end]; name {
	case "lt":
		return '<', end + 1
	case "gt":
		return '>', end + 1
	case "amp":
		return '&', end + 1
	case "apos":
		return '\'', end + 1
	case "quot":
		return '"', end + 1
	default:
		base := 10
		if !strings.HasPrefix(name, "#") {
			return 0, 0
		}
		if name = name[1:]; strings.HasPrefix(name, "x") {
			name, base = name[1:], 16
		}
		if name == "" || name[0] == '+' || name[0] == '-' || strings.Contains(name, "_") {
			return 0, 0
		}
		n, err := strconv.ParseUint(name, base, 32)
		if err != nil || n > 0x10ffff || !isXMLChar(rune(n)) {
			return 0, 0
		}
		return rune(n), end + 1
	}
}
