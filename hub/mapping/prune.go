package mapping

import (
	"slices"
	"strconv"
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

// cut is a tree of the places to take out.
type cut struct {
	here bool
	next map[string]*cut
}

// prune takes the refused persons out of the run's tree.
func (r *run) prune() *exchange.Fault {
	all := &cut{}
	for _, p := range r.ctx.Pruned {
		if p == "" || !r.m.Prunable(p) {
			return &exchange.Fault{Pointer: p, Rule: "not_prunable"}
		}
		c := all
		for _, token := range p.Tokens() {
			if c.next == nil {
				c.next = map[string]*cut{}
			}
			if c.next[token] == nil {
				c.next[token] = &cut{}
			}
			c = c.next[token]
		}
		c.here = true
	}
	r.root = all.apply(r.root)
	return nil
}

// apply copies what changes and shares the rest. Items move up when one is
// taken out: an expression that counts them must not count it.
func (c *cut) apply(v any) any {
	if c.here {
		return nil
	}
	switch x := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, below := range x {
			if next := c.next[k]; next == nil {
				out[k] = below
			} else if below = next.apply(below); below != nil {
				out[k] = below
			}
		}
		return out
	case []any:
		out := make([]any, 0, len(x))
		for i, below := range x {
			if next := c.next[strconv.Itoa(i)]; next != nil {
				if below = next.apply(below); below == nil {
					continue
				}
			}
			out = append(out, below)
		}
		return out
	}
	return v
}
