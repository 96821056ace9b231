package schemas

import (
	"raccordo/hub/exchange"
)

// The types a schema may give a value. "null" only beside another one.
const (
	typeObject  = "object"
	typeArray   = "array"
	typeString  = "string"
	typeInteger = "integer"
	typeNumber  = "number"
	typeBoolean = "boolean"
	typeNull    = "null"
)

// node is one place of an instance, with all references resolved.
type node struct {
	kind     string
	nullable bool
	path     exchange.Pointer // pattern, * for array items

	own    exchange.CategorySet // of a leaf, with what its containers add
	below  exchange.CategorySet // own of all leaves here and below
	coded  bool                 // a code list stands here or below
	judged bool                 // a semantic check stands here or below

	names        []string // of an object, sorted
	props        map[string]*node
	requiredHere bool // in its parent
	required     bool // along the whole chain, array items included

	item               *node
	minItems, maxItems int

	minLength, maxLength int
	enum                 []string
	pattern              string
	format               string
	bounds               bounds

	codeList string
	checks   []namedCheck
	subject  SubjectKind
}

type namedCheck struct {
	name  string
	check Check
}

func (n *node) leaf() bool { return n.kind != typeObject && n.kind != typeArray }

// finish computes what depends on the places below and above.
func (n *node) finish(required bool) {
	n.required = required
	n.coded = n.codeList != ""
	n.judged = len(n.checks) > 0
	n.below = n.own
	if !n.leaf() {
		n.below = exchange.CategorySet{}
	}
	take := func(c *node) {
		n.below = n.below.Union(c.below)
		n.coded = n.coded || c.coded
		n.judged = n.judged || c.judged
	}
	for _, name := range n.names {
		c := n.props[name]
		c.finish(required && c.requiredHere)
		take(c)
	}
	if n.item != nil {
		n.item.finish(required && n.minItems > 0)
		take(n.item)
	}
}

// each visits n and everything below it, parents first, in a fixed order.
func (n *node) each(visit func(*node)) {
	visit(n)
	for _, name := range n.names {
		n.props[name].each(visit)
	}
	if n.item != nil {
		n.item.each(visit)
	}
}
