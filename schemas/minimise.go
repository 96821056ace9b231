package schemas

import (
	"maps"

	"raccordo/hub/exchange"
)

// ValueCategories answers which categories a code value adds: a code such as
// ACCOMP_HEALTH in a harmless property is health data. path is the pattern of
// the property (with * for array items), which has a code list. Nil adds none.
type ValueCategories func(path, value string) exchange.CategorySet

// Minimise drops every leaf whose categories, with those of its value, are not
// all permitted, and every object or array that becomes empty by that. The
// tree is not changed: what stays is shared, what changes is copied. dropped
// names the leaves that went, by their place in the tree that came in (items
// of an array move up when one goes). What the schema does not know is dropped
// too, named by its object.
func (s *Schema) Minimise(tree exchange.Tree, permitted exchange.CategorySet, values ValueCategories) (out exchange.Tree, dropped []exchange.Pointer) {
	m := minimiser{permitted: permitted, values: values, path: make([]step, 0, 16)}
	v, keep := m.visit(s.root, tree.Value())
	if !keep {
		v = map[string]any{}
	}
	if len(m.dropped) == 0 {
		return tree, nil
	}
	return exchange.NewTree(v), m.dropped
}

// Categories are those of all leaves that are in the tree, with those of their
// values: what a disclosure of the whole would disclose.
func (s *Schema) Categories(tree exchange.Tree, values ValueCategories) exchange.CategorySet {
	return s.root.present(tree.Value(), values)
}

type minimiser struct {
	permitted exchange.CategorySet
	values    ValueCategories
	path      []step // where visit is
	dropped   []exchange.Pointer
}

// below visits the child at s.
func (m *minimiser) below(n *node, v any, s step) (any, bool) {
	m.path = append(m.path, s)
	out, keep := m.visit(n, v)
	m.path = m.path[:len(m.path)-1]
	return out, keep
}

func (m *minimiser) drop() { m.dropped = append(m.dropped, pointerTo(m.path)) }

// visit answers what stays of v and whether anything does.
func (m *minimiser) visit(n *node, v any) (any, bool) {
	switch x := v.(type) {
	case map[string]any:
		if n.kind == typeObject {
			return m.object(n, x)
		}
	case []any:
		if n.kind == typeArray {
			return m.array(n, x)
		}
	default:
		if n.fits(v) && n.categories(v, m.values).Within(m.permitted) {
			return v, true
		}
	}
	m.drop()
	return nil, false
}

func (m *minimiser) object(n *node, x map[string]any) (any, bool) {
	out, known, copied := x, 0, false
	change := func(name string, v any, keep bool) {
		if !copied {
			out, copied = maps.Clone(x), true
		}
		if keep {
			out[name] = v
		} else {
			delete(out, name)
		}
	}
	for _, name := range n.names {
		v, ok := x[name]
		if !ok {
			continue
		}
		known++
		before := len(m.dropped)
		next, keep := m.below(n.props[name], v, step{key: name})
		if !keep || len(m.dropped) != before {
			change(name, next, keep)
		}
	}
	if known != len(x) {
		for name := range x {
			if n.props[name] == nil {
				change(name, nil, false)
			}
		}
		m.drop()
	}
	return out, len(out) > 0 || len(x) == 0
}

func (m *minimiser) array(n *node, x []any) (any, bool) {
	out := x
	changed := false
	for i, v := range x {
		before := len(m.dropped)
		next, keep := m.below(n.item, v, step{index: i})
		if !changed && (!keep || len(m.dropped) != before) {
			changed = true
			out = append(make([]any, 0, len(x)), x[:i]...)
		}
		if changed && keep {
			out = append(out, next)
		}
	}
	return out, len(out) > 0 || len(x) == 0
}

// fits reports whether v is of n's type, so that nothing of another shape
// slips through under a category that was given to something else.
func (n *node) fits(v any) bool {
	switch v.(type) {
	case nil:
		return n.nullable
	case map[string]any:
		return n.kind == typeObject
	case []any:
		return n.kind == typeArray
	}
	return n.leaf()
}

// categories are those of a leaf, or of a null in a container's place.
func (n *node) categories(v any, values ValueCategories) exchange.CategorySet {
	set := n.below
	if text, ok := v.(string); ok && n.codeList != "" && values != nil {
		set = set.Union(values(string(n.path), text))
	}
	return set
}

func (n *node) present(v any, values ValueCategories) (set exchange.CategorySet) {
	switch x := v.(type) {
	case map[string]any:
		for name, child := range x {
			if c := n.props[name]; c != nil {
				set = set.Union(c.present(child, values))
			}
		}
	case []any:
		if n.item != nil {
			for _, child := range x {
				set = set.Union(n.item.present(child, values))
			}
		}
	default:
		set = n.categories(v, values)
	}
	return set
}
