package network

import (
	"regexp"
	"strings"

	"raccordo/hub/exchange"
	"raccordo/hub/mapping"
)

// Condition is a compiled CEL expression over the canonical record. It has no
// effect and a bounded cost.
type Condition interface {
	// Eval answers whether it holds; a missing property meets no condition. An
	// error (a wrong type, a bound) never counts as true.
	Eval(tree exchange.Tree) (bool, error)
	// Source is the expression as written.
	Source() string
}

// quick judges the commonest conditions, comparisons of one property with a
// text joined by &&, without the machinery of CEL (8 us), to the same result;
// whatever it is not sure of it leaves to CEL.
type quick struct {
	*mapping.Condition
	terms []term
}

type term struct {
	path  []string
	value string
	not   bool
}

var termShape = regexp.MustCompile(`^record((?:\.[a-z][a-z0-9_]*)+) (==|!=) "([A-Za-z0-9_ -]*)"$`)

// quicken finds out whether c can be judged quickly.
func quicken(c *mapping.Condition) Condition {
	var terms []term
	for _, part := range strings.Split(c.Source(), "&&") {
		m := termShape.FindStringSubmatch(strings.TrimSpace(part))
		if m == nil {
			return c
		}
		terms = append(terms, term{path: strings.Split(m[1][1:], "."), value: m[3], not: m[2] == "!="})
	}
	return &quick{Condition: c, terms: terms}
}

// Eval implements [Condition].
func (q *quick) Eval(tree exchange.Tree) (bool, error) {
	root := tree.Object()
	for i := range q.terms {
		met, sure := q.terms[i].met(root)
		if !sure {
			return q.Condition.Eval(tree)
		}
		if !met {
			return false, nil
		}
	}
	return true, nil
}

func (t *term) met(here map[string]any) (met, sure bool) {
	for i, key := range t.path {
		v, ok := here[key]
		if !ok {
			return false, true
		}
		if i < len(t.path)-1 {
			if here, ok = v.(map[string]any); !ok {
				return false, false
			}
			continue
		}
		text, ok := v.(string)
		if !ok {
			return false, false
		}
		return (text == t.value) != t.not, true
	}
	return false, false
}

// compiled is the CEL condition behind c; nil if there is none.
func compiled(c Condition) *mapping.Condition {
	switch x := c.(type) {
	case *quick:
		return x.Condition
	case *mapping.Condition:
		return x
	}
	return nil
}
