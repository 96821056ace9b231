package mapping

import (
	"slices"
	"strings"

	"raccordo/hub/exchange"
)

// Prunable reports whether the mapping can leave out the person at a place of
// the source, an item (/for/1, /for/*) or an object: because it declares so,
// or because it reads nothing of it.
func (m *Mapping) Prunable(place exchange.Pointer) bool {
	p := patternOf(place)
	if m.prunes[p] {
		return true
	}
	for _, read := range m.reads { // leaves and lists; what CEL reads is there leaf by leaf
		if within(read, p) {
			return false
		}
	}
	return true
}

// Prunes are the places, * for array items, declared with prune.
func (m *Mapping) Prunes() []exchange.Pointer {
	var out []exchange.Pointer
	for p := range m.prunes {
		out = append(out, p)
	}
	slices.Sort(out)
	return out
}

// within reports whether p is at or below base.
func within(p, base exchange.Pointer) bool {
	return p == base || strings.HasPrefix(string(p), string(base)+"/")
}

// patternOf puts * for every index.
func patternOf(p exchange.Pointer) exchange.Pointer {
	tokens := strings.Split(string(p), "/")
	for i, token := range tokens {
		if i > 0 && indexShape.MatchString(token) {
			tokens[i] = "*"
		}
	}
	return exchange.Pointer(strings.Join(tokens, "/"))
}

// prune takes the refused persons out of the run's tree. Items move up when one
// is taken out: an expression that counts them must not count it.
func (r *run) prune(tree exchange.Tree) *exchange.Fault {
	for _, p := range r.ctx.Pruned {
		if p == "" || !r.m.Prunable(p) {
			return &exchange.Fault{Pointer: p, Rule: "not_prunable"}
		}
	}
	r.root = tree.Without(r.ctx.Pruned).Value()
	return nil
}
