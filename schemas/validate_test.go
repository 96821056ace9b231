package schemas

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
	"raccordo/hub/exchange"
)

const persons = `{
  "$schema": "http://json-schema.org/draft-07/schema#",
  "type": "object", "additionalProperties": false, "required": ["who", "kind"],
  "properties": {
    "who": {"$ref": "common.json#/definitions/identifiers", "x-subject": "principal"},
    "kind": {"type": "string", "maxLength": 12, "x-category": "Social", "x-code-list": "kinds", "x-semantic": ["even", "short"]},
    "household": {
      "type": "array", "minItems": 1, "maxItems": 9, "x-subject": "affected",
      "items": {
        "type": "object", "additionalProperties": false, "required": ["identifiers"],
        "properties": {
          "identifiers": {"$ref": "common.json#/definitions/identifiers"},
          "name": {"type": "string", "maxLength": 9, "x-category": "Name"},
          "codes": {"type": "array", "maxItems": 3, "items": {"type": "string", "maxLength": 5, "x-category": "Social", "x-code-list": "codes"}}
        }
      }
    },
    "health": {
      "type": ["object", "null"], "additionalProperties": false, "x-category": "Health",
      "properties": {
        "note": {"type": "string", "maxLength": 30},
        "level": {"type": "integer", "enum": [1, 2, 3], "x-category": "Social"},
        "seen": {"$ref": "common.json#/definitions/day"}
      }
    }
  }
}`

func TestProperties(t *testing.T) {
	s := mustLoad(t, persons)
	var paths []string
	for _, p := range s.Properties() {
		paths = append(paths, string(p.Path))
	}
	require.Equal(t, []string{"/health/level", "/health/note", "/health/seen", "/household/*/codes/*", "/household/*/identifiers/*/system",
		"/household/*/identifiers/*/value", "/household/*/name", "/kind", "/who/*/system", "/who/*/value"}, paths)
	p, ok := s.Property("/health/level")
	require.True(t, ok)
	require.Equal(t, Property{Path: "/health/level", Type: "integer", Categories: exchange.NewCategorySet(catHealth, catSocial),
		Enum: []string{"1", "2", "3"}}, p)
	p, _ = s.Property("/health/seen")
	require.Equal(t, Property{Path: "/health/seen", Type: "string", Categories: exchange.NewCategorySet(catHealth), MaxLength: 10, Format: "date"}, p)
	p, _ = s.Property("/who/*/system")
	require.True(t, p.Required && p.RequiredHere)
	require.Equal(t, 5, p.MaxLength)
	p, _ = s.Property("/household/*/identifiers/*/value")
	require.True(t, p.RequiredHere)
	require.False(t, p.Required)
	p, _ = s.Property("/household/*/codes/*")
	require.Equal(t, "codes", p.CodeList)
	p, _ = s.Property("/health")
	require.Equal(t, "object", p.Type)
	require.True(t, p.Nullable)
	require.Equal(t, exchange.NewCategorySet(catHealth, catSocial), p.Categories)
	_, ok = s.Property("/nothing")
	require.False(t, ok)
	require.Equal(t, exchange.Pointer(""), s.Containers()[0].Path)
	require.Equal(t, []SubjectPlace{
		{Person: "/household/*", Identifiers: "/household/*/identifiers", Kind: SubjectAffected},
		{Person: "/who", Identifiers: "/who", Kind: SubjectPrincipal},
	}, s.Subjects())
}

func TestPersons(t *testing.T) {
	s := mustLoad(t, persons)
	tree := mustParse(t, `{"kind":"xx","household":[{"identifiers":[{"system":"CF","value":"1"}]},{"identifiers":[{"system":"CF","value":"2"},{"system":"LOCAL","value":"3"}]}],
		"who":[{"system":"CF","value":"0"}]}`)
	require.Empty(t, s.Validate(tree))
	require.Equal(t, []Person{
		{Place: "/who", Identifiers: []exchange.Pointer{"/who/0"}, Principal: true},
		{Place: "/household/0", Identifiers: []exchange.Pointer{"/household/0/identifiers/0"}},
		{Place: "/household/1", Identifiers: []exchange.Pointer{"/household/1/identifiers/0", "/household/1/identifiers/1"}},
	}, s.Persons(tree))
}

func TestFaultsNameNoValue(t *testing.T) {
	const canary = "CANARYXXXYYY80A01"
	s := mustLoad(t, persons)
	faults := s.Validate(mustParse(t, `{"who":[{"system":"`+canary+`","value":"`+canary+canary+`","`+canary+`":1}],"kind":["`+canary+`"],
		"`+canary+`":{"x":1},"health":{"note":1234567890,"level":7,"seen":"`+canary+`"}}`))
	require.Equal(t, []exchange.Fault{
		{Pointer: "", Rule: "additional_property"},
		{Pointer: "/health/level", Rule: "enum"},
		{Pointer: "/health/note", Rule: "type"},
		{Pointer: "/health/seen", Rule: "format"},
		{Pointer: "/kind", Rule: "type"},
		{Pointer: "/who/0", Rule: "additional_property"},
		{Pointer: "/who/0/system", Rule: "enum"},
		{Pointer: "/who/0/value", Rule: "max_length"},
	}, faults)
	err := Refusal(faults)
	require.NotContains(t, fmt.Sprintf("%+v", err), canary)
	require.Equal(t, exchange.ReasonSchema, exchange.AsError(err).Reason)
}

func TestMissingNamesThePropertyThatIsMissing(t *testing.T) {
	faults := mustLoad(t, persons).Validate(mustParse(t, `{"kind":"xx","household":[{}]}`))
	require.Equal(t, []exchange.Fault{{Pointer: "/household/0/identifiers", Rule: "required"}, {Pointer: "/who", Rule: "required"}}, faults)
}

func TestChecksRunOnWhatFits(t *testing.T) {
	s := mustLoad(t, persons)
	who := `"who":[{"system":"CF","value":"1"}]`
	faults := s.Validate(mustParse(t, `{`+who+`,"kind":"abcde"}`))
	require.Equal(t, []exchange.Fault{{Pointer: "/kind", Rule: "even"}, {Pointer: "/kind", Rule: "short", Warning: true}}, faults)
	require.Equal(t, exchange.ReasonSemantic, exchange.AsError(Refusal(faults)).Reason)
	faults = s.Validate(mustParse(t, `{`+who+`,"kind":"abcd"}`))
	require.Equal(t, []exchange.Fault{{Pointer: "/kind", Rule: "short", Warning: true}}, faults)
	require.NoError(t, Refusal(faults))
	require.NoError(t, Refusal(nil))
	boom := mustLoad(t, property(`{"type":"string","maxLength":3,"x-category":"Name","x-semantic":"boom"}`))
	require.Equal(t, []exchange.Fault{{Pointer: "/p", Rule: "check_failed"}}, boom.Validate(mustParse(t, `{"p":"x"}`)))
}

// The gate turns 1e1000001 away; should it ever reach the validator, the
// record is refused and nothing dies (reliability.md F3).
func TestValidatorFailureIsARefusal(t *testing.T) {
	s := mustLoad(t, property(`{"type":"number","minimum":0,"maximum":9,"x-category":"Name"}`))
	faults := s.Validate(exchange.NewTree(map[string]any{"p": json.Number("1e1000001")}))
	require.Equal(t, []exchange.Fault{{Rule: ruleValidatorFailed}}, faults)
	require.Error(t, Refusal(faults))
}

func TestFaultsAreBounded(t *testing.T) {
	s := mustLoad(t, tiny)
	start := time.Now()
	faults := s.Validate(mustParse(t, `{"tags":[`+strings.Repeat(`0,`, 15_000)+`0]}`))
	require.Len(t, faults, maxFaults)
	require.Less(t, time.Since(start), 5*time.Second)
}

// B25: the dearest array that lint admits.
func TestUniqueItemsAtTheBound(t *testing.T) {
	s := mustLoad(t, property(`{"type":"array","maxItems":1000,"uniqueItems":true,"items":{"type":"string","maxLength":9,"x-category":"Name"}}`))
	start := time.Now()
	faults := s.Validate(mustParse(t, `{"p":[`+strings.Repeat(`"x",`, 15_000)+`"x"]}`))
	require.Equal(t, []string{"max_items", "unique_items"}, faultRules(faults))
	require.Less(t, time.Since(start), time.Second)
}

func TestMinimise(t *testing.T) {
	s := mustLoad(t, persons)
	in := `{"who":[{"system":"CF","value":"1"}],"kind":"xx","household":[{"identifiers":[{"system":"CF","value":"2"}],"name":"n","codes":["a","H1","b"]},{"identifiers":[{"system":"CF","value":"3"}],"codes":["H1"]}],
		"health":{"note":"x","level":1,"seen":"2026-01-01"}}`
	values := func(path, value string) exchange.CategorySet {
		if strings.HasPrefix(value, "H") {
			return exchange.NewCategorySet(catHealth)
		}
		return exchange.CategorySet{}
	}
	for name, c := range map[string]struct {
		permitted exchange.CategorySet
		out       string
		dropped   []exchange.Pointer
	}{
		"all": {exchange.NewCategorySet(catName, catSocial, catHealth), in, nil},
		"no health": {exchange.NewCategorySet(catName, catSocial),
			`{"who":[{"system":"CF","value":"1"}],"kind":"xx","household":[{"identifiers":[{"system":"CF","value":"2"}],"name":"n","codes":["a","b"]},{"identifiers":[{"system":"CF","value":"3"}]}]}`,
			[]exchange.Pointer{"/health/level", "/health/note", "/health/seen", "/household/0/codes/1", "/household/1/codes/0"}},
		"social only": {exchange.NewCategorySet(catSocial), `{"kind":"xx","household":[{"codes":["a","b"]}]}`, []exchange.Pointer{
			"/health/level", "/health/note", "/health/seen", "/household/0/codes/1", "/household/0/identifiers/0/system", "/household/0/identifiers/0/value", "/household/0/name",
			"/household/1/codes/0", "/household/1/identifiers/0/system", "/household/1/identifiers/0/value", "/who/0/system", "/who/0/value"}},
		"nothing": {exchange.CategorySet{}, `{}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			tree := mustParse(t, in)
			require.Empty(t, s.Validate(tree))
			out, dropped := s.Minimise(tree, c.permitted, values)
			require.Equal(t, mustParse(t, c.out).Value(), out.Value())
			if name != "nothing" {
				require.Equal(t, c.dropped, dropped)
			}
			require.Equal(t, mustParse(t, in).Value(), tree.Value(), "the tree that came in was changed")
		})
	}
}

func TestMinimiseShapes(t *testing.T) {
	s := mustLoad(t, persons)
	social := exchange.NewCategorySet(catSocial)
	// null in a container's place, an array that was empty, what is unknown or of another shape
	out, dropped := s.Minimise(mustParse(t, `{"kind":"x","health":null,"household":[],"other":{"note":1},"who":"x"}`), social, nil)
	require.Equal(t, map[string]any{"kind": "x", "household": []any{}}, out.Value())
	require.ElementsMatch(t, []exchange.Pointer{"/health", "/who", ""}, dropped)
	tree := mustParse(t, `{"kind":"x"}`)
	out, dropped = s.Minimise(tree, social, nil)
	require.Empty(t, dropped)
	require.Equal(t, tree.Value(), out.Value())
}

// I3: whatever the tree and whatever is permitted, what stays is permitted and
// was there, and what was permitted stays.
func TestMinimiseProperty(t *testing.T) {
	s := mustLoad(t, persons)
	values := func(_, value string) (set exchange.CategorySet) {
		if value == "H1" {
			set = set.With(catHealth)
		}
		return set
	}
	leaf := rapid.SampledFrom([]string{"a", "H1", "b"})
	rapid.Check(t, func(t *rapid.T) {
		id := func() any { return []any{map[string]any{"system": "CF", "value": leaf.Draw(t, "value")}} }
		doc := map[string]any{"who": id(), "kind": leaf.Draw(t, "kind")}
		for range rapid.IntRange(0, 3).Draw(t, "members") {
			member := map[string]any{"identifiers": id()}
			if rapid.Bool().Draw(t, "codes") {
				member["codes"] = []any{leaf.Draw(t, "c1"), leaf.Draw(t, "c2")}
			}
			list, _ := doc["household"].([]any)
			doc["household"] = append(list, member)
		}
		if rapid.Bool().Draw(t, "health") {
			doc["health"] = map[string]any{"level": json.Number("1")}
		}
		var permitted exchange.CategorySet
		for _, c := range []exchange.Category{catName, catHealth, catSocial} {
			if rapid.Bool().Draw(t, "permit") {
				permitted = permitted.With(c)
			}
		}
		tree := exchange.NewTree(doc)
		out, dropped := s.Minimise(tree, permitted, values)
		if !s.Categories(out, values).Within(permitted) {
			t.Fatal("a category that is not permitted is left")
		}
		if again, more := s.Minimise(out, permitted, values); len(more) > 0 || fmt.Sprint(again.Value()) != fmt.Sprint(out.Value()) {
			t.Fatal("minimising twice drops more")
		}
		if countLeaves(out.Value())+len(dropped) != countLeaves(tree.Value()) {
			t.Fatal("leaves kept and leaves dropped are not all leaves")
		}
	})
}

func countLeaves(v any) (n int) {
	switch x := v.(type) {
	case map[string]any:
		for _, c := range x {
			n += countLeaves(c)
		}
	case []any:
		for _, c := range x {
			n += countLeaves(c)
		}
	default:
		return 1
	}
	return n
}

// A refusal never wraps anything that could hold a value.
func TestRefusalWrapsNothing(t *testing.T) {
	require.NoError(t, errors.Unwrap(Refusal([]exchange.Fault{{Rule: "type"}})))
}

// Schemas are used by many at once.
func TestConcurrentUse(t *testing.T) {
	s := mustLoad(t, persons)
	g := NewGate(DefaultLimits(), s)
	done := make(chan bool)
	for i := range 4 {
		go func() {
			ok := true
			for j := range 50 {
				tree, _, err := g.Parse(fmt.Appendf(nil, `{"kind":"%d%d","who":[{"system":"CF","value":"%d"}]}`, i%10, j%10, j))
				ok = ok && err == nil && len(s.Validate(tree)) == 0 && tree.Text("/who/0/value") == fmt.Sprint(j)
				ok = ok && len(s.Validate(exchange.NewTree(map[string]any{"kind": "x"}))) == 1
			}
			done <- ok
		}()
	}
	for range 4 {
		require.True(t, <-done)
	}
}
