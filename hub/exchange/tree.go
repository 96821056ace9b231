package exchange

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
)

// Tree is the one parsed form of a record: validator, mapper and gate see it
// and nothing else (design.md 5.3). Its values are exactly
//
//	map[string]any   an object
//	[]any            an array
//	string, bool, nil
//	json.Number      a number, in the digits it came with
//
// A tree cannot be printed, logged or encoded by accident; like [Payload] it
// hides its root in a closure.
type Tree struct {
	root func() any
}

// NewTree hides v, which must be made of the values named at [Tree] only. The
// caller must not change v afterwards.
func NewTree(v any) Tree { return Tree{root: func() any { return v }} }

// Value is the root. It must be treated as read-only.
func (t Tree) Value() any {
	if t.root == nil {
		return nil
	}
	return t.root()
}

// Object is the root as an object, nil if it is not one.
func (t Tree) Object() map[string]any {
	m, _ := t.Value().(map[string]any)
	return m
}

// At follows p from the root and reports whether there is a value.
func (t Tree) At(p Pointer) (any, bool) {
	v := t.Value()
	for _, token := range p.Tokens() {
		switch x := v.(type) {
		case map[string]any:
			next, ok := x[token]
			if !ok {
				return nil, false
			}
			v = next
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(x) || token != strconv.Itoa(i) {
				return nil, false
			}
			v = x[i]
		default:
			return nil, false
		}
	}
	return v, true
}

// Without is the tree with the values at places taken out; items behind one
// taken out of an array move up, so places are those of t. What stays is shared
// with t. A place that leads nowhere is passed over.
func (t Tree) Without(places []Pointer) Tree {
	if len(places) == 0 {
		return t
	}
	cut := &cutNode{}
	for _, p := range places {
		cut.add(p.Tokens())
	}
	return NewTree(cut.apply(t.Value()))
}

// cutNode is a trie of what is taken out below one value.
type cutNode struct {
	whole bool
	below map[string]*cutNode
}

func (c *cutNode) add(tokens []string) {
	for _, token := range tokens {
		if c.below == nil {
			c.below = map[string]*cutNode{}
		}
		next := c.below[token]
		if next == nil {
			next = &cutNode{}
			c.below[token] = next
		}
		c = next
	}
	c.whole = true
}

func (c *cutNode) apply(v any) any {
	switch x := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, child := range x {
			if n := c.below[k]; n == nil {
				out[k] = child
			} else if !n.whole {
				out[k] = n.apply(child)
			}
		}
		return out
	case []any:
		out := make([]any, 0, len(x))
		for i, child := range x {
			if n := c.below[strconv.Itoa(i)]; n == nil {
				out = append(out, child)
			} else if !n.whole {
				out = append(out, n.apply(child))
			}
		}
		return out
	}
	return v
}

// Text is the string at p, empty if there is none.
func (t Tree) Text(p Pointer) string {
	v, _ := t.At(p)
	s, _ := v.(string)
	return s
}

func (Tree) Format(s fmt.State, _ rune)   { _, _ = io.WriteString(s, hidden) }
func (Tree) String() string               { return hidden }
func (Tree) GoString() string             { return hidden }
func (Tree) LogValue() slog.Value         { return slog.StringValue(hidden) }
func (Tree) MarshalText() ([]byte, error) { return []byte(hidden), nil }
func (Tree) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }
func (Tree) GobEncode() ([]byte, error)   { return []byte(hidden), nil }
func (Tree) MarshalYAML() (any, error)    { return hidden, nil }

var _ json.Marshaler = Tree{}

// Pointer is a JSON pointer (RFC 6901); the empty one is the root.
type Pointer string

// Append adds one token, escaped.
func (p Pointer) Append(token string) Pointer {
	token = strings.ReplaceAll(token, "~", "~0")
	token = strings.ReplaceAll(token, "/", "~1")
	return p + Pointer("/"+token)
}

// Index adds an array index.
func (p Pointer) Index(i int) Pointer { return p + Pointer("/"+strconv.Itoa(i)) }

// Tokens are the unescaped reference tokens.
func (p Pointer) Tokens() []string {
	if p == "" {
		return nil
	}
	parts := strings.Split(strings.TrimPrefix(string(p), "/"), "/")
	for i, s := range parts {
		s = strings.ReplaceAll(s, "~1", "/")
		parts[i] = strings.ReplaceAll(s, "~0", "~")
	}
	return parts
}
