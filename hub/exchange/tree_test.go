package exchange

import (
	"encoding/json"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// Tokens of a pointer survive any text (reliability.md B12).
func TestPointersRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tokens := rapid.SliceOf(rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "~", "/", "~0", "~1", "~01", "0", "-1", "a/b~c"}))).Draw(t, "tokens")
		var p Pointer
		for _, x := range tokens {
			p = p.Append(x)
		}
		got := p.Tokens()
		if len(got) != len(tokens) {
			t.Fatalf("%q has %d tokens, not %d", p, len(got), len(tokens))
		}
		for i := range tokens {
			if got[i] != tokens[i] {
				t.Fatalf("token %d of %q is %q, not %q", i, p, got[i], tokens[i])
			}
		}
	})
	if p := Pointer("").Append("a").Index(3); p != "/a/3" {
		t.Errorf("%q", p)
	}
}

func sampleTree() Tree {
	return NewTree(map[string]any{
		"a": "x", "": "empty", "a/b": "slash", "m~n": "tilde",
		"list": []any{"zero", map[string]any{"k": json.Number("1")}, []any{true, nil}},
	})
}

func TestTreeAt(t *testing.T) {
	tree := sampleTree()
	for p, want := range map[Pointer]any{"/a": "x", "/": "empty", "/a~1b": "slash", "/m~0n": "tilde", "/list/0": "zero",
		"/list/1/k": json.Number("1"), "/list/2/0": true, "/list/2/1": nil} {
		if got, ok := tree.At(p); !ok || got != want {
			t.Errorf("%q is %v, %t", p, got, ok)
		}
	}
	for _, p := range []Pointer{"/b", "/list/3", "/list/-1", "/list/00", "/list/01", "/list/+1", "/list/-", "/list/x", "/a/b", "/list/2/1/x", "/list/99999999999999999999"} {
		if v, ok := tree.At(p); ok {
			t.Errorf("%q leads to %v", p, v)
		}
	}
	if _, ok := tree.At(""); !ok || tree.Object() == nil || tree.Text("/a") != "x" || tree.Text("/list") != "" || tree.Text("/none") != "" {
		t.Error("root or text")
	}
	if NewTree([]any{}).Object() != nil {
		t.Error("an array is an object")
	}
}

func TestTreeWithout(t *testing.T) {
	for name, c := range map[string]struct {
		cut  []Pointer
		want any
	}{
		"nothing":         {nil, map[string]any{"a": "x", "l": []any{"0", "1", "2"}}},
		"a member":        {[]Pointer{"/a"}, map[string]any{"l": []any{"0", "1", "2"}}},
		"two items":       {[]Pointer{"/l/0", "/l/2"}, map[string]any{"a": "x", "l": []any{"1"}}},
		"in either order": {[]Pointer{"/l/2", "/l/0"}, map[string]any{"a": "x", "l": []any{"1"}}},
		"what is not":     {[]Pointer{"/l/7", "/z", "/a/b", "/l/00"}, map[string]any{"a": "x", "l": []any{"0", "1", "2"}}},
		"the parent too":  {[]Pointer{"/l/1", "/l"}, map[string]any{"a": "x"}},
	} {
		tree := NewTree(map[string]any{"a": "x", "l": []any{"0", "1", "2"}})
		if got := tree.Without(c.cut).Value(); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v", name, got)
		}
		if !reflect.DeepEqual(tree.Value(), map[string]any{"a": "x", "l": []any{"0", "1", "2"}}) {
			t.Errorf("%s: the tree itself was changed", name)
		}
	}
}
