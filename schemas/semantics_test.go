package schemas

import (
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
	"raccordo/hub/exchange"
)

// What draft-07 says about each keyword that the lint admits, on the points
// where validators are known to differ. Expectations are taken from the text
// of draft-handrews-json-schema-validation-01 (section in the name).
func TestDraft07(t *testing.T) {
	const n = `"x-category":"Name"`
	for _, c := range []struct {
		name, schema string
		valid        []string
		invalid      map[string]string
	}{
		{"6.1.1 integer is any number without fraction", `{"type":"integer","minimum":-100,"maximum":1000,` + n + `}`,
			[]string{`1`, `1.0`, `1e2`, `-1.00`, `10e-1`}, map[string]string{`1.5`: "type", `1e-1`: "type", `"1"`: "type", `null`: "type", `true`: "type", `1.00000000000000000001`: "type"}},
		{"6.1.1 null beside a type", `{"type":["string","null"],"maxLength":2,` + n + `}`,
			[]string{`null`, `"ab"`}, map[string]string{`"abc"`: "max_length", `0`: "type", `false`: "type"}},
		{"6.1.2 enum of texts is exact", `{"type":"string","enum":["a","<b>","é"],` + n + `}`,
			[]string{`"a"`, `"<b>"`, `"\u003cb\u003e"`, `"é"`}, map[string]string{`"A"`: "enum", `"a "`: "enum", `""`: "enum", `1`: "type"}},
		{"6.1.2 enum with null", `{"type":["string","null"],"enum":["a",null],` + n + `}`,
			[]string{`"a"`, `null`}, map[string]string{`"null"`: "enum"}},
		{"6.1.3 const of an integer compares values, not digits", `{"type":"integer","const":1,` + n + `}`,
			[]string{`1`, `1.0`, `10e-1`}, map[string]string{`2`: "const", `"1"`: "type", `1.00000000000000000001`: "type"}},
		{"6.1.3 const at the edge of float64", `{"type":"integer","const":999999999999999,` + n + `}`,
			[]string{`999999999999999`}, map[string]string{`999999999999998`: "const", `1000000000000000`: "const", `9999999999999990`: "const"}},
		{"6.1.3 const false is not 0", `{"type":"boolean","const":false,` + n + `}`,
			[]string{`false`}, map[string]string{`0`: "type", `true`: "const"}},
		{"6.2.1 multipleOf is exact", `{"type":"number","minimum":0,"maximum":1e20,"multipleOf":0.01,` + n + `}`,
			[]string{`0.07`, `19.99`, `4.35`, `0`, `1e3`, `1.10`}, map[string]string{`0.075`: "multiple_of", `1e-3`: "multiple_of"}},
		{"6.2.2-5 bounds are exact beyond 2^53", `{"type":"integer","minimum":9007199254740993,"exclusiveMaximum":9007199254740995,` + n + `}`,
			[]string{`9007199254740993`, `9007199254740994`, `9007199254740994.0`},
			map[string]string{`9007199254740992`: "minimum", `9007199254740995`: "exclusive_maximum"}},
		{"6.2.2-5 inclusive and exclusive", `{"type":"number","exclusiveMinimum":0,"maximum":1,` + n + `}`,
			[]string{`1`, `1.0`, `1e-100`}, map[string]string{`0`: "exclusive_minimum", `0.0`: "exclusive_minimum", `1.0000000000000000000001`: "maximum"}},
		{"6.3.1-2 length counts code points", `{"type":"string","minLength":2,"maxLength":2,` + n + `}`,
			[]string{`"ab"`, `"éé"`, `"😀😀"`, `"\ud83d\ude00x"`}, map[string]string{`"😀"`: "min_length", `"abc"`: "max_length", `""`: "min_length"}},
		{"6.3.3 pattern is not anchored", `{"type":"string","maxLength":9,"pattern":"b[0-9]",` + n + `}`,
			[]string{`"ab1c"`, `"b1"`}, map[string]string{`"b"`: "pattern", `"B1"`: "pattern"}},
		{"6.3.3 anchors are those of the text, not of lines", `{"type":"string","maxLength":9,"pattern":"^a$",` + n + `}`,
			[]string{`"a"`}, map[string]string{`"a\n"`: "pattern", `"b\na"`: "pattern"}},
		{"6.3.3 classes are of code points", `{"type":"string","maxLength":9,"pattern":"^[^a]$",` + n + `}`,
			[]string{`"😀"`, `"\n"`}, map[string]string{`"a"`: "pattern", `""`: "pattern"}},
		{"6.3.3 \\d and \\w are ASCII", `{"type":"string","maxLength":9,"pattern":"^\\d\\w$",` + n + `}`,
			[]string{`"1_"`}, map[string]string{`"٣a"`: "pattern", `"1é"`: "pattern"}},
		{"6.4.1 items apply to all", `{"type":"array","minItems":1,"maxItems":2,"items":{"type":"boolean",` + n + `}}`,
			[]string{`[true]`, `[true,false]`}, map[string]string{`[]`: "min_items", `[true,true,true]`: "max_items", `[true,1]`: "type", `{}`: "type"}},
		{"6.4.5 uniqueItems compares values", `{"type":"array","maxItems":4,"uniqueItems":true,"items":{"type":"integer","minimum":0,"maximum":9007199254740991,` + n + `}}`,
			[]string{`[1,2]`, `[]`, `[9007199254740991,9007199254740990]`}, map[string]string{`[1,1]`: "unique_items", `[1,1.0]`: "unique_items", `[100,1e2]`: "unique_items"}},
		{"6.4.5 uniqueItems of objects ignores order", `{"type":"array","maxItems":4,"uniqueItems":true,"items":{"type":"object","additionalProperties":false,"properties":{"a":{"type":"boolean",` + n + `},"b":{"type":"boolean",` + n + `}}}}`,
			[]string{`[{"a":true},{"b":true}]`, `[{"a":true,"b":false},{"a":false,"b":true}]`}, map[string]string{`[{"a":true,"b":false},{"b":false,"a":true}]`: "unique_items"}},
		{"6.5.3 required is about presence, not value", `{"type":"object","additionalProperties":false,"required":["a"],"properties":{"a":{"type":["boolean","null"],` + n + `}}}`,
			[]string{`{"a":null}`, `{"a":false}`}, map[string]string{`{}`: "required", `{"a":0}`: "type"}},
		{"6.5.6 additionalProperties false", `{"type":"object","additionalProperties":false,"properties":{"a":{"type":"boolean",` + n + `}}}`,
			[]string{`{}`, `{"a":true}`}, map[string]string{`{"a":true,"b":1}`: "additional_property", `{"$ref":"#"}`: "additional_property"}},
		{"6.6 if, then, else", `{"type":"integer","minimum":0,"maximum":99,"if":{"maximum":9},"then":{"multipleOf":2},"else":{"multipleOf":5},` + n + `}`,
			[]string{`4`, `10`, `0`}, map[string]string{`5`: "then", `12`: "else"}},
		{"6.6 if holds for what is absent", `{"type":"object","additionalProperties":false,"properties":{"a":{"type":"boolean",` + n + `},"b":{"type":"boolean",` + n + `}},"if":{"properties":{"a":{"const":true}}},"then":{"required":["b"]}}`,
			[]string{`{"a":false}`, `{"a":true,"b":false}`}, map[string]string{`{}`: "then", `{"a":true}`: "then"}},
		{"6.7.1 allOf", `{"type":"integer","minimum":0,"maximum":99,"allOf":[{"multipleOf":2},{"multipleOf":3}],` + n + `}`,
			[]string{`6`, `0`}, map[string]string{`2`: "all_of", `3`: "all_of"}},
		{"6.7.2 anyOf", `{"type":"integer","minimum":0,"maximum":99,"anyOf":[{"multipleOf":2},{"multipleOf":3}],` + n + `}`,
			[]string{`2`, `3`, `6`}, map[string]string{`5`: "any_of"}},
		{"6.7.3 oneOf", `{"type":"integer","minimum":0,"maximum":99,"oneOf":[{"multipleOf":2},{"multipleOf":3}],` + n + `}`,
			[]string{`2`, `3`}, map[string]string{`6`: "one_of", `5`: "one_of"}},
		{"6.7.4 not", `{"type":"string","maxLength":9,"not":{"pattern":"^X"},` + n + `}`,
			[]string{`"aX"`}, map[string]string{`"Xa"`: "not"}},
		{"7.3.1 date", `{"type":"string","format":"date",` + n + `}`,
			[]string{`"2026-02-28"`, `"2024-02-29"`, `"0000-01-01"`}, map[string]string{`"2026-02-29"`: "format", `"2026-2-28"`: "format", `"26-02-28"`: "format",
				`"2026-13-01"`: "format", `"2026-02-28T00:00:00Z"`: "format", `""`: "format", `"2026-02-2٣"`: "format", `" 2026-02-28"`: "format"}},
		{"7.3.1 date-time", `{"type":"string","maxLength":40,"format":"date-time",` + n + `}`,
			[]string{`"2026-03-01T10:00:00Z"`, `"2026-03-01t10:00:00z"`, `"2026-03-01T10:00:00.123456789012+02:00"`, `"1998-12-31T23:59:60Z"`, `"1998-12-31T15:59:60.5-08:00"`},
			map[string]string{`"2026-03-01"`: "format", `"10:00:00"`: "format", `"10:00:00Z"`: "format", `"2026-03-01T10:00:00"`: "format", `"2026-03-01 10:00:00Z"`: "format",
				`"2026-03-01T24:00:00Z"`: "format", `"2026-03-01T10:60:00Z"`: "format", `"1998-12-31T22:59:60Z"`: "format", `"2026-03-01T10:00:00.Z"`: "format",
				`"2026-03-01T10:00:00+24:00"`: "format", `"2026-03-01T10:00:00+0200"`: "format", `"2026-03-01T10:00Z"`: "format"}},
		{"7.3.1 time", `{"type":"string","maxLength":40,"format":"time",` + n + `}`,
			[]string{`"10:00:00Z"`, `"10:00:00.5+01:00"`}, map[string]string{`"10:00:00"`: "format", `"10:00"`: "format", `"1:00:00Z"`: "format"}},
		{"7.1 format speaks about texts only", `{"type":["string","null"],"format":"date",` + n + `}`,
			[]string{`null`}, map[string]string{`"x"`: "format"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := mustLoad(t, property(c.schema))
			other := reference07(t, property(c.schema))
			for _, v := range c.valid {
				require.Empty(t, s.Validate(mustParse(t, `{"p":`+v+`}`)), v)
				requireAgreement(t, s, mustParse(t, `{"p":`+v+`}`))
				require.NoError(t, other.Validate(referenceTree(t, v)), v)
			}
			for v, rule := range c.invalid {
				faults := s.Validate(mustParse(t, `{"p":`+v+`}`))
				require.NotEmpty(t, faults, v)
				requireAgreement(t, s, mustParse(t, `{"p":`+v+`}`))
				require.Contains(t, faultRules(faults), rule, v)
				for _, f := range faults {
					require.True(t, strings.HasPrefix(string(f.Pointer), "/p"), f.Pointer)
				}
				require.Error(t, other.Validate(referenceTree(t, v)), v)
			}
		})
	}
}

// requireAgreement: where the quick test is sure, it says what the reference says.
func requireAgreement(t require.TestingT, s *Schema, tree exchange.Tree) {
	valid := len(s.reference(tree.Value())) == 0
	switch s.quick.test(tree.Value()) {
	case yes:
		require.True(t, valid, "quick says yes, the reference no")
	case no:
		require.False(t, valid, "quick says no, the reference yes")
	}
}

func faultRules(faults []exchange.Fault) []string {
	var out []string
	for _, f := range faults {
		out = append(out, f.Rule)
	}
	return out
}

// reference07 is the same schema in an independent validator.
func reference07(t require.TestingT, src string) *jsonschema.Schema {
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(src))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7)
	c.AssertFormat()
	require.NoError(t, c.AddResource("test.json", doc))
	s, err := c.Compile("test.json")
	require.NoError(t, err)
	return s
}

func referenceTree(t require.TestingT, v string) any {
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(`{"p":` + v + `}`))
	require.NoError(t, err)
	return doc
}

// Random schemas of the admitted keywords and random documents: the verdict is
// that of an independent validator.
func TestSameVerdictAsAnotherValidator(t *testing.T) {
	l := testLoader(t)
	rapid.Check(t, func(t *rapid.T) {
		src := property(drawSchema(t, 2))
		s, faults := l.Load("random.json", []byte(src))
		if len(faults) > 0 {
			t.Fatalf("lint refuses %s: %v", src, faults)
		}
		other := reference07(t, src)
		for range 8 {
			doc := drawValue(t, 2)
			tree, err := Parse([]byte(`{"p":`+doc+`}`), DefaultLimits())
			if err != nil {
				t.Fatalf("gate refuses %s", doc)
			}
			requireAgreement(t, s, tree)
			got := s.Validate(tree)
			if want := other.Validate(referenceTree(t, doc)); (want == nil) != (len(got) == 0) {
				t.Fatalf("schema %s\ndocument %s\nours %v\nother %v", src, doc, got, want)
			}
		}
	})
}

func drawSchema(t *rapid.T, depth int) string {
	kinds := []string{"boolean", "string", "integer", "number"}
	if depth > 0 {
		kinds = append(kinds, "object", "array")
	}
	kind := rapid.SampledFrom(kinds).Draw(t, "kind")
	parts := []string{`"type":"` + kind + `"`}
	if rapid.IntRange(0, 4).Draw(t, "nullable") == 0 {
		parts[0] = `"type":["` + kind + `","null"]`
	}
	switch kind {
	case "object":
		parts = append(parts, `"additionalProperties":false,"properties":{"a":`+drawSchema(t, depth-1)+`,"b":`+drawSchema(t, depth-1)+`}`)
	case "array":
		parts = append(parts, `"maxItems":`+rapid.SampledFrom([]string{"1", "2", "3"}).Draw(t, "max")+`,"items":`+drawSchema(t, depth-1))
	case "string":
		parts = append(parts, `"x-category":"Name","maxLength":`+rapid.SampledFrom([]string{"1", "3", "12"}).Draw(t, "max"))
	case "integer", "number":
		parts = append(parts, `"x-category":"Name","minimum":-5,"maximum":`+rapid.SampledFrom([]string{"0", "2.5", "1e2"}).Draw(t, "max"))
	default:
		parts = append(parts, `"x-category":"Name"`)
	}
	if rapid.Bool().Draw(t, "constrained") {
		parts = append(parts, drawCombinator(t, kind, 2))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func drawCombinator(t *rapid.T, kind string, depth int) string {
	switch k := rapid.SampledFrom([]string{"allOf", "anyOf", "oneOf", "not", "if"}).Draw(t, "combinator"); k {
	case "not":
		return `"not":` + drawConstraint(t, kind, depth)
	case "if":
		return `"if":` + drawConstraint(t, kind, depth) + `,"then":` + drawConstraint(t, kind, depth) + `,"else":` + drawConstraint(t, kind, depth)
	default:
		return `"` + k + `":[` + drawConstraint(t, kind, depth) + `,` + drawConstraint(t, kind, depth) + `]`
	}
}

func drawConstraint(t *rapid.T, kind string, depth int) string {
	var parts []string
	pick := func(options ...string) { parts = append(parts, rapid.SampledFrom(options).Draw(t, "keyword")) }
	switch kind {
	case "object":
		pick(`"required":["a"]`, `"required":["a","b"]`, `"properties":{"a":{}}`, `"properties":{"b":{"not":{}}}`)
	case "array":
		pick(`"minItems":1`, `"maxItems":1`, `"minItems":2`, `"items":{"not":{}}`)
	case "string":
		pick(`"minLength":2`, `"pattern":"[a-z]"`, `"enum":["a","2026-01-01"]`, `"const":"é"`, `"format":"date"`, `"maxLength":2`)
	case "integer":
		pick(`"const":1`, `"enum":[0,1,2]`, `"multipleOf":2`, `"exclusiveMinimum":1`, `"maximum":1`)
	case "number":
		pick(`"multipleOf":0.5`, `"exclusiveMaximum":1`, `"minimum":0`)
	default:
		pick(`"const":true`, `"enum":[false]`, `"title":"x"`)
	}
	if depth > 0 && rapid.IntRange(0, 2).Draw(t, "deeper") == 0 {
		parts = append(parts, drawCombinator(t, kind, depth-1))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func drawValue(t *rapid.T, depth int) string {
	leaves := []string{`null`, `true`, `false`, `0`, `1`, `1.0`, `2`, `-1`, `0.5`, `2.5`, `1e2`, `1.00`, `3`,
		`""`, `"a"`, `"é"`, `"abc"`, `"2026-01-01"`, `"2026-02-30"`, `"ABCD"`, `"😀"`}
	switch {
	case depth > 0 && rapid.IntRange(0, 3).Draw(t, "object") == 0:
		var parts []string
		for _, k := range []string{"a", "b", "c"} {
			if rapid.IntRange(0, 4).Draw(t, k) < map[string]int{"a": 3, "b": 3, "c": 1}[k] {
				parts = append(parts, `"`+k+`":`+drawValue(t, depth-1))
			}
		}
		return "{" + strings.Join(parts, ",") + "}"
	case depth > 0 && rapid.IntRange(0, 3).Draw(t, "array") == 0:
		parts := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string { return drawValue(t, depth-1) }), 0, 3).Draw(t, "items")
		return "[" + strings.Join(parts, ",") + "]"
	}
	return rapid.SampledFrom(leaves).Draw(t, "leaf")
}
