package schemas

import (
	"fmt"
	"sync"

	"raccordo/hub/exchange"
)

// maxFaults bounds how many faults or warnings one document can cause.
const maxFaults = 50

// Gate is the strict byte gate under fixed limits. Keys of the schemas it was
// made for are known to it: they cost no allocation and may be shown in
// pointers; a pointer stops before the first key it does not know, because an
// unknown key may be personal data. Safe for concurrent use.
type Gate struct {
	limits  Limits
	keys    map[string]knownKey
	parsers sync.Pool
}

type knownKey struct {
	name string
	fold uint64
}

// NewGate makes a gate. schemas may be empty.
func NewGate(l Limits, schemas ...*Schema) *Gate {
	g := &Gate{limits: l, keys: map[string]knownKey{}}
	for _, s := range schemas {
		for _, name := range s.keys {
			g.keys[name] = knownKey{name: name, fold: foldHash(name)}
		}
	}
	return g
}

// Parse reads b with a gate that knows no keys and drops the warnings.
func Parse(b []byte, l Limits) (exchange.Tree, error) {
	tree, _, err := NewGate(l).Parse(b)
	return tree, err
}

// Parse reads exactly one JSON document. Errors are [*exchange.Error] with
// CodeMalformed or CodeTooLarge, one fault (pointer of the value, or of the
// object that holds it, and rule) and the byte offset in the detail.
//
// Beyond RFC 8259 it refuses: a root that is no object; keys that are empty,
// twice in an object, or twice when case is ignored; unpaired surrogates,
// control characters (escaped ones too, except tab, line feed and carriage
// return), bidirectional controls, line and paragraph separators and
// noncharacters; a zero with a minus sign, which would make two spellings of
// one number; and everything beyond the limits.
//
// Strings are put in Unicode normalisation form C. Warnings are returned for
// text that was changed so ("not_nfc"), for invisible characters ("invisible")
// and for U+FFFD, the trace of an earlier bad conversion ("replacement").
//
// b may be reused after the call.
func (g *Gate) Parse(b []byte) (exchange.Tree, []exchange.Fault, error) {
	if len(b) > g.limits.MaxBytes {
		return exchange.Tree{}, nil, exchange.NewError(exchange.CodeTooLarge, exchange.ReasonTooLarge,
			fmt.Sprintf("more than %d bytes", g.limits.MaxBytes), exchange.Fault{Rule: "max_bytes"})
	}
	p, _ := g.parsers.Get().(*parser)
	if p == nil {
		p = &parser{}
	}
	defer func() {
		p.forget()
		g.parsers.Put(p)
	}()
	p.src, p.limits, p.keys = string(b), &g.limits, g.keys
	root, ok := p.document()
	if !ok {
		return exchange.Tree{}, nil, p.err
	}
	return exchange.NewTree(root), p.warnings, nil
}
