package schemas

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const head = `{"$schema":"http://json-schema.org/draft-07/schema#",`

// Each row is the schema of one property and the rule it breaks.
func TestLintRefusesProperties(t *testing.T) {
	const n = `"x-category":"Name"`
	for _, c := range []struct{ schema, rule string }{
		// B24: keywords that are unknown, misspelt or of another draft
		{`{"type":"string","maxLenght":3,` + n + `}`, "unknown_keyword"},
		{`{"type":"string","maxLength":3,"default":"x",` + n + `}`, "unknown_keyword"},
		{`{"type":"string","maxLength":3,"$comment":"x",` + n + `}`, "unknown_keyword"},
		{`{"type":"string","maxLength":3,"examples":[],` + n + `}`, "unknown_keyword"},
		{`{"type":"array","maxItems":3,"contains":{},"items":{"type":"boolean",` + n + `}}`, "unknown_keyword"},
		{`{"type":"object","additionalProperties":false,"properties":{},"patternProperties":{}}`, "unknown_keyword"},
		{`{"type":"object","additionalProperties":false,"properties":{},"dependencies":{}}`, "unknown_keyword"},
		{`{"type":"object","additionalProperties":false,"properties":{},"unevaluatedProperties":false}`, "unknown_keyword"},
		{`{"type":"boolean","nullable":true,` + n + `}`, "unknown_keyword"},
		{`{"type":"boolean","definitions":{},` + n + `}`, "keyword_without_effect"},
		{`{"type":"boolean","$id":"x",` + n + `}`, "keyword_without_effect"},
		{`{"type":"integer","maxLength":3,"minimum":0,"maximum":1,` + n + `}`, "keyword_without_effect"},
		{`{"type":"string","maxLength":3,"minimum":0,` + n + `}`, "keyword_without_effect"},
		// types
		{`true`, "schema_not_object"},
		{`{` + n + `}`, "type_missing"},
		{`{"type":"text",` + n + `}`, "type_missing"},
		{`{"type":"null",` + n + `}`, "type_missing"},
		{`{"type":["string","integer"],"maxLength":1,` + n + `}`, "type_missing"},
		{`{"type":["string","string"],"maxLength":1,` + n + `}`, "type_missing"},
		// open and unbounded
		{`{"type":"object","properties":{}}`, "object_not_closed"},
		{`{"type":"object","additionalProperties":true,"properties":{}}`, "object_not_closed"},
		{`{"type":"object","additionalProperties":{"type":"string"},"properties":{}}`, "object_not_closed"},
		{`{"type":"object","additionalProperties":false}`, "properties_missing"},
		{`{"type":"object","additionalProperties":false,"properties":{},"required":["x"]}`, "required_unknown"},
		{`{"type":"object","additionalProperties":false,"properties":{},"required":"x"}`, "wrong_type"},
		{`{"type":"object","additionalProperties":false,"properties":{"$ref":{"type":"boolean",` + n + `}}}`, "property_name"},
		{`{"type":"object","additionalProperties":false,"properties":{"*":{"type":"boolean",` + n + `}}}`, "property_name"},
		{`{"type":"object","additionalProperties":false,"properties":{"__proto__":{"type":"boolean",` + n + `}}}`, "property_name"},
		{`{"type":"string",` + n + `}`, "string_unbounded"},
		{`{"type":"string","pattern":"^a*$",` + n + `}`, "string_unbounded"},
		{`{"type":"string","format":"date-time",` + n + `}`, "string_unbounded"},
		{`{"type":"string","maxLength":100001,` + n + `}`, "wrong_count"},
		{`{"type":"string","maxLength":1e1,` + n + `}`, "wrong_count"},
		{`{"type":"string","maxLength":-1,` + n + `}`, "wrong_count"},
		{`{"type":"string","minLength":4,"maxLength":3,` + n + `}`, "empty_range"},
		{`{"type":"integer",` + n + `}`, "number_unbounded"},
		{`{"type":"number","minimum":0,` + n + `}`, "number_unbounded"},
		{`{"type":"number","minimum":2,"maximum":1,` + n + `}`, "empty_range"},
		{`{"type":"number","minimum":"0","maximum":1,` + n + `}`, "wrong_type"},
		{`{"type":"number","minimum":0,"maximum":1,"multipleOf":0,` + n + `}`, "wrong_count"},
		{`{"type":"array","items":{"type":"boolean",` + n + `}}`, "array_unbounded"},
		{`{"type":"array","maxItems":2}`, "items_missing"},
		{`{"type":"array","maxItems":2,"items":[{"type":"boolean",` + n + `}]}`, "items_positional"},
		{`{"type":"array","minItems":3,"maxItems":2,"items":{"type":"boolean",` + n + `}}`, "empty_range"},
		// comparisons the validator does through float64
		{`{"type":"number","enum":[1,2],` + n + `}`, "value_type"},
		{`{"type":"integer","enum":[1.0],` + n + `}`, "value_type"},
		{`{"type":"integer","const":9007199254740993,` + n + `}`, "value_type"},
		{`{"type":"string","enum":["a",1],` + n + `}`, "value_type"},
		{`{"type":"string","enum":["a",null],` + n + `}`, "value_type"},
		{`{"type":"string","enum":["a","a"],` + n + `}`, "enum_twice"},
		{`{"type":"string","enum":[],` + n + `}`, "enum_size"},
		{`{"type":"object","additionalProperties":false,"properties":{},"const":{}}`, "keyword_without_effect"},
		{`{"type":"array","maxItems":3,"uniqueItems":true,"items":{"type":"number","minimum":0,"maximum":1,` + n + `}}`, "unique_numbers"},
		{`{"type":"array","maxItems":3,"uniqueItems":true,"items":{"type":"integer","minimum":0,"maximum":9007199254740993,` + n + `}}`, "unique_numbers"},
		{`{"type":"array","maxItems":3,"uniqueItems":1,"items":{"type":"boolean",` + n + `}}`, "wrong_type"},
		{`{"type":"array","maxItems":1001,"uniqueItems":true,"items":{"type":"boolean",` + n + `}}`, "unique_too_large"},
		// formats
		{`{"type":"string","format":"email","maxLength":3,` + n + `}`, "unknown_format"},
		{`{"type":"string","format":"uri","maxLength":3,` + n + `}`, "unknown_format"},
		// our own
		{`{"type":"boolean"}`, "category_missing"},
		{`{"type":"boolean","x-category":"Religion"}`, "unknown_category"},
		{`{"type":"boolean","x-category":1}`, "wrong_type"},
		{`{"type":"array","maxItems":2,"items":{"type":"boolean"}}`, "category_missing"},
		{`{"$ref":"common.json#/definitions/day"}`, "category_missing"},
		{`{"type":"string","maxLength":3,"x-code-list":"Not A Name",` + n + `}`, "code_list"},
		{`{"type":"boolean","x-code-list":"services",` + n + `}`, "code_list"},
		{`{"type":"string","maxLength":3,"x-semantic":"nothing",` + n + `}`, "unknown_semantic"},
		{`{"type":"string","maxLength":3,"x-subject":"principal",` + n + `}`, "subject"},
		{`{"$ref":"common.json#/definitions/identifiers","x-subject":"owner"}`, "subject"},
		{`{"$ref":"common.json#/definitions/identifiers","x-subject":"principal_first"}`, "subject"},
		// references
		{`{"$ref":"common.json#/definitions/day","maxLength":3,` + n + `}`, "ref_sibling"},
		{`{"$ref":"common.json#/definitions/absent",` + n + `}`, "ref_unknown"},
		{`{"$ref":"#/properties/p",` + n + `}`, "ref_not_allowed"},
		{`{"$ref":"#",` + n + `}`, "ref_not_allowed"},
		{`{"$ref":"other.json#/definitions/day",` + n + `}`, "ref_not_allowed"},
		{`{"$ref":"http://169.254.169.254/latest/meta-data",` + n + `}`, "ref_not_allowed"},
		{`{"$ref":"file:///etc/passwd",` + n + `}`, "ref_not_allowed"},
		{`{"$ref":"http://json-schema.org/draft-07/schema#",` + n + `}`, "ref_not_allowed"},
		{`{"$ref":5,` + n + `}`, "wrong_type"},
		// constraints
		{`{"type":"boolean","allOf":[],` + n + `}`, "branches"},
		{`{"type":"boolean","not":true,` + n + `}`, "schema_not_object"},
		{`{"type":"boolean","if":{},` + n + `}`, "if_alone"},
		{`{"type":"boolean","then":{},` + n + `}`, "if_alone"},
		{`{"type":"boolean","anyOf":[{"$ref":"common.json#/definitions/day"}],` + n + `}`, "keyword_in_constraint"},
		{`{"type":"boolean","anyOf":[{"maxLength":3}],` + n + `}`, "keyword_in_constraint"},
		{`{"type":"boolean","anyOf":[{"type":"string"}],` + n + `}`, "type_missing"},
		{`{"type":"object","additionalProperties":false,"properties":{},"anyOf":[{"required":["x"]}]}`, "required_unknown"},
		{`{"type":"object","additionalProperties":false,"properties":{},"anyOf":[{"properties":{"x":{}}}]}`, "property_unknown"},
		{`{"type":"object","additionalProperties":false,"properties":{},"anyOf":[{"additionalProperties":false}]}`, "keyword_in_constraint"},
		{`{"type":"boolean","not":` + strings.Repeat(`{"not":`, 9) + `{}` + strings.Repeat(`}`, 9) + `,` + n + `}`, "constraints"},
		{`{"type":"boolean","title":5,` + n + `}`, "wrong_type"},
	} {
		t.Run(c.schema[:min(len(c.schema), 60)], func(t *testing.T) {
			s, faults := testLoader(t).Load("test.json", []byte(property(c.schema)))
			require.Nil(t, s)
			require.Contains(t, rules(faults), c.rule, "%v", faults)
			for _, f := range faults {
				require.Equal(t, 1, f.Line)
				require.NotEmpty(t, f.Advice)
			}
		})
	}
}

func rules(faults []LintFault) []string {
	var out []string
	for _, f := range faults {
		out = append(out, f.Rule)
	}
	return out
}

func TestLintRefusesFiles(t *testing.T) {
	closed := `"type":"object","additionalProperties":false,"properties":{"a":{"type":"boolean","x-category":"Name"}}`
	for name, c := range map[string]struct{ src, rule string }{
		"no draft":       {`{` + closed + `}`, "wrong_draft"},
		"draft-04":       {`{"$schema":"http://json-schema.org/draft-04/schema#",` + closed + `}`, "wrong_draft"},
		"2020-12":        {`{"$schema":"https://json-schema.org/draft/2020-12/schema",` + closed + `}`, "wrong_draft"},
		"array root":     {head + `"type":"array","maxItems":1,"items":{"type":"boolean","x-category":"Name"}}`, "root_not_object"},
		"nullable root":  {head + strings.Replace(closed, `"object"`, `["object","null"]`, 1) + `}`, "root_not_object"},
		"not JSON":       {`{"$schema":`, "truncated"},
		"twin keys":      {`{"a":1,"A":2}`, "duplicate_key"},
		"bad id":         {head + `"$id":5,` + closed + `}`, "wrong_type"},
		"definitions":    {head + `"definitions":[],` + closed + `}`, "wrong_type"},
		"unused corner":  {head + `"definitions":{"x":{"type":"string"}},` + closed + `}`, "string_unbounded"},
		"unused keyword": {head + `"definitions":{"x":{"type":"boolean","foo":1}},` + closed + `}`, "unknown_keyword"},
		"bad name":       {head + `"definitions":{"X y":{"type":"boolean"}},` + closed + `}`, "definition_name"},
		"two principals": {head + `"type":"object","additionalProperties":false,"properties":{
			"a":{"$ref":"common.json#/definitions/identifiers","x-subject":"principal"},
			"b":{"$ref":"common.json#/definitions/identifiers","x-subject":"principal"}}}`, "two_principals"},
		"cycle to itself": {head + `"type":"object","additionalProperties":false,"properties":{"a":{"$ref":"#/definitions/a"}},
			"definitions":{"a":{"$ref":"#/definitions/a"}}}`, "ref_cycle"},
		"cycle of two": {head + `"type":"object","additionalProperties":false,"properties":{"a":{"$ref":"#/definitions/a"}},
			"definitions":{"a":{"type":"array","maxItems":1,"items":{"$ref":"#/definitions/b"}},
			"b":{"type":"object","additionalProperties":false,"properties":{"x":{"$ref":"#/definitions/a"}}}}}`, "ref_cycle"},
		"cycle nobody uses": {head + `"definitions":{"a":{"$ref":"#/definitions/b"},"b":{"$ref":"#/definitions/a"}},` + closed + `}`, "ref_cycle"},
		"doubling":          {head + doubling(20) + `,"type":"object","additionalProperties":false,"properties":{"a":{"$ref":"#/definitions/d0"}}}`, "schema_too_large"},
		"B25 enum":          {property(`{"type":"string","x-category":"Name","enum":[` + manyTexts(100_000) + `]}`), "max_nodes"},
		"B25 enum of 2000":  {property(`{"type":"string","x-category":"Name","enum":[` + manyTexts(2000) + `]}`), "enum_size"},
		"B25 wide":          {property(`{"type":"boolean","x-category":"Name","oneOf":[` + strings.Repeat(`{},`, 40) + `{}]}`), "branches"},
		"B25 deep":          {property(`{"type":"boolean","x-category":"Name","allOf":` + bush(7) + `}`), "constraints"},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, faults := testLoader(t).Load("test.json", []byte(c.src))
			require.Contains(t, rules(faults), c.rule, "%v", faults)
			require.Less(t, time.Since(start), 5*time.Second)
		})
	}
}

// doubling is a chain of definitions each of which uses the next twice.
func doubling(n int) string {
	var b strings.Builder
	b.WriteString(`"definitions":{`)
	for i := range n {
		fmt.Fprintf(&b, `"d%d":{"type":"object","additionalProperties":false,"properties":{"l":{"$ref":"#/definitions/d%d"},"r":{"$ref":"#/definitions/d%d"}}},`, i, i+1, i+1)
	}
	fmt.Fprintf(&b, `"d%d":{"type":"boolean","x-category":"Name"}}`, n)
	return b.String()
}

func manyTexts(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"v%d",`, i)
	}
	return b.String() + `"last"`
}

func bush(n int) string {
	if n == 0 {
		return `[{},{},{},{}]`
	}
	b := bush(n - 1)
	return `[{"allOf":` + b + `},{"anyOf":` + b + `},{"oneOf":` + b + `}]`
}

// All faults of a file at once, each with its line.
func TestLintNamesLines(t *testing.T) {
	src := `{
  "$schema": "http://json-schema.org/draft-07/schema#",
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "a": {
      "type": "string",
      "maxLenght": 5,
      "x-category": "Name"
    },
    "list": {"type": "array", "maxItems": 2,
      "items": {
        "type": "boolean"
      }
    },
    "day": {"$ref": "#/definitions/day", "x-category": "Name"}
  },
  "definitions": {
    "day": {
      "type": "string",
      "format": "day"
    }
  }
}`
	_, faults := testLoader(t).Load("formats/desk.json", []byte(src))
	var got []string
	for _, f := range faults {
		got = append(got, fmt.Sprintf("%s:%d %s %s", f.File, f.Line, f.Pointer, f.Rule))
	}
	require.Equal(t, []string{
		"formats/desk.json:6 /properties/a/maxLength string_unbounded",
		"formats/desk.json:8 /properties/a/maxLenght unknown_keyword",
		"formats/desk.json:12 /properties/list/items category_missing",
		"formats/desk.json:19 /definitions/day/maxLength string_unbounded",
		"formats/desk.json:21 /definitions/day/format unknown_format",
	}, got)
	report := testLoader(t).Report([]Source{{"formats/desk.json", []byte(src)}, {"good.json", []byte(tiny)}, {SharedFile, []byte(sharedSource)}})
	require.False(t, report.OK())
	require.Len(t, report.Faults, 5)
	var text bytes.Buffer
	require.NoError(t, report.WriteText(&text))
	require.Contains(t, text.String(), "formats/desk.json:8: /properties/a/maxLenght: unknown_keyword: not one of")
	require.Contains(t, text.String(), "3 files, 5 faults\n")
}

// A fault of the shared file names the shared file.
func TestLintNamesTheSharedFile(t *testing.T) {
	o := testOptions()
	o.Shared = []byte(strings.Replace(sharedSource, `"format": "date"`, `"format": "month"`, 1))
	l, faults := NewLoader(o)
	require.NotEmpty(t, faults)
	require.Equal(t, SharedFile, faults[0].File)
	require.Equal(t, 4, faults[0].Line)
	s, again := l.Load("test.json", []byte(tiny))
	require.Nil(t, s)
	require.Equal(t, faults, again)
}

// B21: whatever a schema refers to, nobody is called and nothing is opened.
func TestNoReferenceIsFollowed(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	called := make(chan struct{}, 1)
	go func() {
		if c, err := listener.Accept(); err == nil {
			c.Close()
			called <- struct{}{}
		}
	}()
	url := "http://" + listener.Addr().String() + "/schema.json"
	file := t.TempDir() + "/definitions.json"
	require.NoError(t, os.WriteFile(file, []byte(tiny), 0o600))
	for _, ref := range []string{url, url + "#/definitions/day", "file://" + file, file, "//" + listener.Addr().String() + "/x"} {
		for _, where := range []string{
			property(`{"$ref":"` + ref + `","x-category":"Name"}`),
			property(`{"type":"boolean","x-category":"Name","anyOf":[{"$ref":"` + ref + `"}]}`),
			strings.Replace(tiny, `"type": "object"`, `"$id": "`+ref+`", "definitions":{"x":{"$ref":"`+ref+`"}}, "type": "object"`, 1),
			strings.Replace(tiny, "http://json-schema.org/draft-07/schema#", ref, 1),
		} {
			s, faults := testLoader(t).Load("test.json", []byte(where))
			require.Nil(t, s)
			require.NotEmpty(t, faults)
		}
	}
	// An $id alone is a name, not an address, and does not disturb references.
	withID := strings.Replace(tiny, `"type": "object"`, `"$id": "`+url+`", "type": "object"`, 1)
	s := mustLoad(t, withID)
	require.Empty(t, s.Validate(mustParse(t, `{"name":"x"}`)))
	// Should the validator ever want to load something, it gets an error.
	_, err = rawLoader(nil).LoaderFactory().New(url).LoadJSON()
	require.ErrorIs(t, err, errNothingElse)
	select {
	case <-called:
		t.Fatal("somebody was called")
	default:
	}
}

func TestPatterns(t *testing.T) {
	for _, p := range []string{`^[A-Z]{6}[0-9]{2}$`, `^(?:a|b)+$`, `^[^\n\r]{0,30}$`, `^\d{3}-\w+$`, `^\{x\}\.\[y\]$`, `^[A-Z\d]{2}$`,
		`^[0-9A-Za-z ._/-]*$`, `^[a\-z]$`, `a|b`, ``, `^[\w-]$`, `^x{2,}$`, `^x*?$`} {
		rule, advice := lintPattern(p)
		require.Empty(t, rule, "%s: %s", p, advice)
	}
	for p, want := range map[string]string{
		`^.*$`: "pattern_dialect", `\s`: "pattern_dialect", `\bword\b`: "pattern_dialect", `(?i)a`: "pattern_dialect",
		`(?P<n>a)`: "pattern_dialect", `(?=a)`: "pattern_dialect", `(?!a)`: "pattern_dialect", `(?<=a)`: "pattern_dialect",
		`(a)\1`: "pattern_dialect", `\p{L}`: "pattern_dialect", `\pL`: "pattern_dialect", `\Aa\z`: "pattern_dialect",
		`[[:alpha:]]`: "pattern_dialect", `[]a]`: "pattern_dialect", `[^]`: "pattern_dialect", `a{`: "pattern_dialect",
		`a{,3}`: "pattern_dialect", `a}`: "pattern_dialect", `a]`: "pattern_dialect", `[a`: "pattern_dialect", `[\d-z]`: "pattern_dialect",
		`[a-\d]`: "pattern_dialect", `a\`: "pattern_dialect", `à`: "pattern_dialect", `\x41`: "pattern_dialect", `\u0041`: "pattern_dialect",
		`(a`: "pattern_invalid", `a**`: "pattern_invalid", `[z-a]`: "pattern_invalid", `a{2,1}`: "pattern_invalid", `a{1001}`: "pattern_invalid",
		`(?:(?:a{100}){100}){100}`: "pattern_costly", `(?:[a-z]{90}){90}`: "pattern_costly",
		strings.Repeat("a", 513): "pattern_too_long",
	} {
		rule, _ := lintPattern(p)
		if want == "pattern_costly" {
			require.Contains(t, []string{"pattern_costly", "pattern_invalid"}, rule, p)
			continue
		}
		require.Equal(t, want, rule, p)
	}
}

// B23: a pattern that compiles to hundreds of megabytes is refused unbuilt.
func TestPatternBombIsNotBuilt(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, p := range []string{strings.Repeat(`(?:[a-z]{1000})`, 30), strings.Repeat(`\w{999}`, 70), `(?:(?:(?:x{9}){9}){9}){9}`} {
		_, faults := testLoader(t).Load("test.json", []byte(property(`{"type":"string","maxLength":9,"x-category":"Name","pattern":"`+strings.ReplaceAll(p, `\`, `\\`)+`"}`)))
		require.NotEmpty(t, faults, p)
	}
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16<<20))
}

// Whatever bytes a schema file holds: no panic, and what is accepted compiles
// and validates.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(tiny), []byte(`{"name":"x"}`))
	f.Add([]byte(property(`{"type":"integer","minimum":0,"maximum":9,"x-category":"Name","not":{"const":3}}`)), []byte(`{"p":3}`))
	f.Add([]byte(property(`{"$ref":"common.json#/definitions/identifiers","x-subject":"principal"}`)), []byte(`{"p":[{"system":"CF","value":"x"}]}`))
	f.Add([]byte(head+`"definitions":{"a":{"$ref":"#/definitions/a"}}}`), []byte(`{}`))
	l, _ := NewLoader(testOptions())
	f.Fuzz(func(t *testing.T, src, doc []byte) {
		s, faults := l.Load("fuzz.json", src)
		if (s == nil) == (len(faults) == 0) {
			t.Fatal("neither a schema nor a fault, or both")
		}
		tree, err := Parse(doc, DefaultLimits())
		if s == nil || err != nil {
			return
		}
		requireAgreement(t, s, tree)
		for _, fault := range s.reference(tree.Value()) {
			if fault.Rule == ruleValidatorFailed {
				t.Fatal("the validator failed on a schema that lint let through")
			}
		}
	})
}
