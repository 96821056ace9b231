package codec

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// The encodings an XML document may declare. Windows-1252 is only read:
// Italian exports often say it, none asks for it.
const (
	encodingUTF8    = "UTF-8"
	encodingLatin1  = "ISO-8859-1"
	encodingWindows = "Windows-1252"
)

var utf8Mark = []byte("\xef\xbb\xbf")

// windows holds what 0x80..0x9F mean in Windows-1252; 0 = undefined.
var windows = [32]rune{
	0x20AC, 0, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0, 0x017D, 0,
	0, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0, 0x017E, 0x0178,
}

// decodeText gives the document's characters without its XML declaration,
// or the rule it breaks. A document that is not in the
// encoding it declares is refused by rule, not repaired.
func decodeText(b []byte) (text string, rule string) {
	mark := bytes.HasPrefix(b, utf8Mark)
	if mark {
		b = b[len(utf8Mark):]
	}
	// UTF-16 and UTF-32, with or without a mark, have NUL bytes or a mark here.
	if len(b) >= 2 && (b[0] == 0 || b[1] == 0 || b[0] == 0xfe || b[0] == 0xff) {
		return "", "encoding_unsupported"
	}
	rest, encoding, rule := xmlDeclaration(b)
	if rule != "" {
		return "", rule
	}
	if mark && encoding != encodingUTF8 {
		return "", "encoding_lie"
	}
	for _, c := range rest {
		if c < ' ' && !isSpace(c) {
			return "", "control_char"
		}
	}
	if encoding == encodingUTF8 {
		if !utf8.Valid(rest) {
			return "", "encoding_lie"
		}
		return string(rest), ""
	}
	return decodeSingleByte(rest, encoding == encodingWindows)
}

// decodeSingleByte refuses bytes the encoding gives no character (in
// ISO-8859-1 the C1 controls, which no text holds), and a document whose
// bytes beyond ASCII all happen to be UTF-8, which is what it then is.
func decodeSingleByte(b []byte, win bool) (string, string) {
	var out strings.Builder
	out.Grow(len(b) + len(b)/8)
	high := false
	for _, c := range b {
		r := rune(c)
		if c >= 0x80 {
			high = true
		}
		if c >= 0x80 && c < 0xa0 {
			if r = windows[c-0x80]; !win || r == 0 {
				return "", "encoding_lie"
			}
		}
		out.WriteRune(r)
	}
	if high && utf8.Valid(b) {
		return "", "encoding_lie"
	}
	return out.String(), ""
}

// xmlDeclaration reads an XML declaration at the very start of b, if there is
// one: version 1.0, then encoding, then standalone (XML 1.0 section 2.8).
func xmlDeclaration(b []byte) (rest []byte, encoding, rule string) {
	const open = "<?xml"
	if !bytes.HasPrefix(b, []byte(open)) || len(b) == len(open) || !isSpace(b[len(open)]) {
		return b, encodingUTF8, ""
	}
	end := bytes.Index(b[:min(len(b), 256)], []byte("?>"))
	if end < 0 {
		return nil, "", "xml_declaration"
	}
	fields := b[len(open):end]
	value := func(name string) (string, bool) {
		f := bytes.TrimLeft(fields, " \t\r\n")
		if len(f) == len(fields) || !bytes.HasPrefix(f, []byte(name)) {
			return "", false
		}
		f = bytes.TrimLeft(f[len(name):], " \t\r\n")
		if len(f) == 0 || f[0] != '=' {
			return "", false
		}
		f = bytes.TrimLeft(f[1:], " \t\r\n")
		if len(f) == 0 || (f[0] != '"' && f[0] != '\'') {
			return "", false
		}
		close := bytes.IndexByte(f[1:], f[0])
		if close < 0 {
			return "", false
		}
		fields = f[close+2:]
		return string(f[1 : close+1]), true
	}
	if version, ok := value("version"); !ok || version != "1.0" {
		return nil, "", "xml_declaration"
	}
	encoding = encodingUTF8
	if name, ok := value("encoding"); ok {
		switch strings.ToUpper(name) {
		case "UTF-8":
		case "ISO-8859-1":
			encoding = encodingLatin1
		case "WINDOWS-1252":
			encoding = encodingWindows
		default:
			return nil, "", "encoding_unsupported"
		}
	}
	if alone, ok := value("standalone"); ok && alone != "yes" && alone != "no" {
		return nil, "", "xml_declaration"
	}
	if len(bytes.Trim(fields, " \t\r\n")) != 0 {
		return nil, "", "xml_declaration"
	}
	return b[end+2:], encoding, ""
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// isXMLChar is production [2] of XML 1.0.
func isXMLChar(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || (r >= 0x20 && r <= 0xd7ff) ||
		(r >= 0xe000 && r <= 0xfffd) || (r >= 0x10000 && r <= 0x10ffff)
}
