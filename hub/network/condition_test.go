package network

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"raccordo/hub/exchange"
	"raccordo/hub/mapping"
)

// The quick way and CEL answer alike, whatever stands in the record.
func TestQuickIsCEL(t *testing.T) {
	conditions := []string{
		`record.a == "x"`, `record.a != "x"`, `record.a.b == "x"`, `record.a.b != "x"`, `record.a == "x" && record.b != ""`,
		`record.a.b != "x" && record.b == "x y"`,
	}
	leaf := rapid.SampledFrom([]any{"x", "x y", "", "y", true, nil, json.Number("1"), json.Number("1.5"), []any{"x"}, map[string]any{}})
	value := rapid.OneOf(leaf, rapid.Custom(func(t *rapid.T) any { return map[string]any{"b": leaf.Draw(t, "inner")} }))
	rapid.Check(t, func(t *rapid.T) {
		src := rapid.SampledFrom(conditions).Draw(t, "condition")
		record := map[string]any{}
		for _, key := range []string{"a", "b"} {
			if rapid.Bool().Draw(t, "has "+key) {
				record[key] = value.Draw(t, key)
			}
		}
		c, wrong := mapping.CompileCondition(src)
		require.Empty(t, wrong)
		q, ok := quicken(c).(*quick)
		require.True(t, ok)
		want, wantErr := c.Eval(exchange.NewTree(record))
		got, gotErr := q.Eval(exchange.NewTree(record))
		require.Equal(t, want, got)
		require.Equal(t, wantErr == nil, gotErr == nil)
	})
}

func TestNotQuick(t *testing.T) {
	for _, src := range []string{`record.a == "x" || record.b == "y"`, `record.a == "x\"y"`, `record.a in ["x"]`, `has(record.a)`, `!(record.a == "x")`, `record.a == 'x'`} {
		c, wrong := mapping.CompileCondition(src)
		require.Empty(t, wrong)
		require.Same(t, c, quicken(c), src)
	}
}
