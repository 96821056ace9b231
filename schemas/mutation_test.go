package schemas_test

import (
	"encoding/json"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
	"raccordo/hub/exchange"
	"raccordo/schemas"
	"raccordo/schemas/catalog"
)

type example struct {
	schema *schemas.Schema
	tree   exchange.Tree
}

func validExamples(t testing.TB) []example {
	t.Helper()
	c, err := catalog.Load()
	require.NoError(t, err)
	names, err := fs.Glob(catalog.FS, "examples/valid/*.json")
	require.NoError(t, err)
	var out []example
	for _, name := range names {
		src, err := catalog.FS.ReadFile(name)
		require.NoError(t, err)
		kind, _, _ := strings.Cut(strings.TrimPrefix(name, "examples/valid/"), ".")
		s := c.Latest(exchange.RecordType(kind)).Schema
		tree, err := schemas.Parse(src, schemas.DefaultLimits())
		require.NoError(t, err)
		out = append(out, example{s, tree})
	}
	return out
}

// The quick test answers every valid example by itself: else the hot path
// would silently be the slow one.
func TestExamplesAreJudgedQuickly(t *testing.T) {
	for _, e := range validExamples(t) {
		agree, certain := e.schema.Agree(e.tree)
		require.True(t, agree)
		require.True(t, certain)
	}
}

// Examples with random changes anywhere: the quick test never contradicts the
// reference, faults stay bounded, and what is dropped by minimising is all
// that is not permitted.
func TestMutatedExamples(t *testing.T) {
	examples := validExamples(t)
	rapid.Check(t, func(t *rapid.T) {
		e := rapid.SampledFrom(examples).Draw(t, "example")
		v := e.tree.Value()
		for range rapid.IntRange(1, 3).Draw(t, "changes") {
			v = mutate(t, v)
		}
		tree := exchange.NewTree(v)
		if agree, _ := e.schema.Agree(tree); !agree {
			b, _ := json.Marshal(v)
			t.Fatalf("the quick test contradicts the reference on %s", b)
		}
		if n := len(e.schema.Validate(tree)); n > 50 {
			t.Fatalf("%d faults", n)
		}
		permitted := exchange.CategorySet{rapid.Uint64().Draw(t, "permitted")}
		out, _ := e.schema.Minimise(tree, permitted, nil)
		if !e.schema.Categories(out, nil).Within(permitted) {
			t.Fatal("something is left that is not permitted")
		}
	})
}

// mutate changes one place of a copy of v.
func mutate(t *rapid.T, v any) any {
	switch x := v.(type) {
	case map[string]any:
		if len(x) == 0 {
			break
		}
		out := maps.Clone(x)
		key := rapid.SampledFrom(slices.Sorted(maps.Keys(x))).Draw(t, "key")
		switch rapid.IntRange(0, 7).Draw(t, "change") {
		case 0:
			delete(out, key)
		case 1:
			out["unknown"] = x[key]
		case 2:
			out[key] = strange(t)
		default:
			out[key] = mutate(t, x[key])
		}
		return out
	case []any:
		if len(x) == 0 {
			break
		}
		out := slices.Clone(x)
		i := rapid.IntRange(0, len(x)-1).Draw(t, "index")
		switch rapid.IntRange(0, 5).Draw(t, "change") {
		case 0:
			return append(out, x[i])
		case 1:
			return slices.Delete(out, i, i+1)
		default:
			out[i] = mutate(t, x[i])
		}
		return out
	case string:
		if rapid.Bool().Draw(t, "text") && x != "" {
			return rapid.SampledFrom([]string{x + x, x[1:], strings.ToLower(x), x + "\n", "é" + x}).Draw(t, "other text")
		}
	}
	return strange(t)
}

func strange(t *rapid.T) any {
	return rapid.SampledFrom([]any{nil, true, "", "x", "2026-02-30", json.Number("0"), json.Number("1.0"), json.Number("-7"), json.Number("2.5"),
		json.Number("99999999999999999999"), json.Number("1e30"), []any{}, map[string]any{}, []any{map[string]any{"system": "CF"}}}).Draw(t, "strange")
}
