package codec

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"raccordo/hub/exchange"
	"raccordo/schemas"
)

// XML is the codec of one declared XML format. Safe for concurrent use.
type XML struct {
	format      exchange.FormatID
	namespace   string
	latin1      bool
	declaration bool
	root        *element
	limits      schemas.Limits
	textGate    *schemas.Gate
}

// Format is the name the declaration gives.
func (x *XML) Format() exchange.FormatID { return x.format }

// MediaType is application/xml; the encoding is the document's own business
// (RFC 7303).
func (x *XML) MediaType() string { return "application/xml" }

// textGate judges every text that is not plain ASCII as the byte gate judges
// a JSON string, so that a character refused in one format is in the other.
func textGate(l schemas.Limits) *schemas.Gate {
	l.AnyRoot, l.MaxDepth, l.MaxNodes = true, 1, 1
	l.MaxBytes = 6*l.MaxStringBytes + 2
	return schemas.NewGate(l)
}

// Decode reads one document. Errors are [*exchange.Error] with CodeMalformed
// or CodeTooLarge, one fault (place in the tree and rule) and the line in the
// detail; the names and values of what is not declared are not shown.
func (x *XML) Decode(b []byte) (exchange.Tree, error) {
	if len(b) > x.limits.MaxBytes {
		return exchange.Tree{}, exchange.NewError(exchange.CodeTooLarge, exchange.ReasonTooLarge,
			fmt.Sprintf("more than %d bytes", x.limits.MaxBytes), exchange.Fault{Rule: "max_bytes"})
	}
	text, rule := decodeText(b)
	if rule != "" {
		return exchange.Tree{}, malformed(&fault{rule: rule}, 0)
	}
	d := decoder{scanner: scanner{doc: text}, x: x}
	root, f := d.document()
	if f != nil {
		line := 1 + strings.Count(text[:min(d.pos, len(text))], "\n")
		return exchange.Tree{}, malformed(f, line)
	}
	return exchange.NewTree(root), nil
}

func malformed(f *fault, line int) error {
	detail := "the document is not as its format declares"
	if line > 0 {
		detail += fmt.Sprintf(" (near line %d)", line)
	}
	code, reason := exchange.CodeMalformed, exchange.ReasonMalformedXML
	switch f.rule {
	case "too_many_nodes", "string_too_long":
		code, reason = exchange.CodeTooLarge, exchange.ReasonTooLarge
	}
	return exchange.NewError(code, reason, detail, exchange.Fault{Pointer: f.at, Rule: f.rule})
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
