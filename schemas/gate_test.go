package schemas

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"raccordo/hub/exchange"
)

func TestGateRefuses(t *testing.T) {
	for _, c := range []struct{ name, in, rule string }{
		{"B1 exponent", `{"a":1e1000001}`, "number_exponent"},
		{"B1 negative", `{"a":-1e1000001}`, "number_exponent"},
		{"B1 long exponent", `{"a":1e31322574}`, "number_exponent"},
		{"B1 small", `{"a":1e-1000001}`, "number_exponent"},
		{"B1 padded", `{"a":1e` + strings.Repeat("0", 100) + `1}`, "number_exponent"},
		{"B2 digits", `{"a":` + strings.Repeat("9", 100_000) + `}`, "number_digits"},
		{"B2 fraction", `{"a":0.` + strings.Repeat("1", 41) + `}`, "number_digits"},
		{"B3 -0", `{"a":-0}`, "negative_zero"},
		{"B3 -0.00e5", `{"a":-0.00e5}`, "negative_zero"},
		{"B3 NaN", `{"a":NaN}`, "number_syntax"},
		{"B3 Infinity", `{"a":Infinity}`, "number_syntax"},
		{"B3 -Infinity", `{"a":-Infinity}`, "number_syntax"},
		{"B3 01", `{"a":01}`, "leading_zero"},
		{"B3 +1", `{"a":+1}`, "number_syntax"},
		{"B3 0x1", `{"a":0x1}`, "syntax"},
		{"B3 1.", `{"a":1.}`, "number_syntax"},
		{"B3 .5", `{"a":.5}`, "number_syntax"},
		{"B3 1e", `{"a":1e}`, "number_syntax"},
		{"B4 depth", `{"a":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`, "max_depth"},
		{"B4 objects", strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65), "max_depth"},
		{"B4 10001", strings.Repeat(`{"a":`, 10_001), "max_depth"},
		{"B5 twin", `{"a":1,"a":2}`, "duplicate_key"},
		{"B5 escaped twin", `{"a":1,"\u0061":2}`, "duplicate_key"},
		{"B6 case", `{"tax_code":1,"TAX_CODE":2}`, "duplicate_key"},
		{"B6 kelvin", `{"k":1,"K":2}`, "duplicate_key"},
		{"B6 long s", `{"s":1,"ſ":2}`, "duplicate_key"},
		{"B6 NFD twin", "{\"\u00e9\":1,\"e\u0301\":2}", "duplicate_key"},
		{"B6 many", `{` + manyKeys(200) + `,"K7":1}`, "duplicate_key"},
		{"B7 two", `{}{}`, "trailing_bytes"},
		{"B7 two lines", "{}\n{}", "trailing_bytes"},
		{"B7 comma object", `{"a":1,}`, "syntax"},
		{"B7 comma array", `{"a":[1,]}`, "syntax"},
		{"B7 comment", `{/**/}`, "syntax"},
		{"B7 comment after", `{} // x`, "trailing_bytes"},
		{"B7 BOM", "\xEF\xBB\xBF{}", "byte_order_mark"},
		{"B7 NBSP", "\u00a0{}", "root_not_object"},
		{"B7 unquoted", `{a:1}`, "syntax"},
		{"B7 single quotes", `{'a':1}`, "syntax"},
		{"B8 invalid", "{\"a\":\"\xff\"}", "invalid_utf8"},
		{"B8 overlong", "{\"a\":\"\xc0\xaf\"}", "invalid_utf8"},
		{"B8 surrogate bytes", "{\"a\":\"\xed\xa0\x80\"}", "invalid_utf8"},
		{"B8 lone high", `{"a":"\ud800"}`, "lone_surrogate"},
		{"B8 lone low", `{"a":"\udc00x"}`, "lone_surrogate"},
		{"B8 two highs", `{"a":"\ud800\ud800"}`, "lone_surrogate"},
		{"B8 in key", `{"\ud800":1}`, "lone_surrogate"},
		{"B8 NUL", "{\"a\":\"\x00\"}", "control_char"},
		{"B8 escaped NUL", `{"a":"\u0000"}`, "control_char"},
		{"B8 escaped bell", `{"a":"\u0007"}`, "control_char"},
		{"B8 backspace", `{"a":"\b"}`, "control_char"},
		{"B8 raw newline", "{\"a\":\"\n\"}", "control_char"},
		{"B8 DEL", "{\"a\":\"\x7f\"}", "control_char"},
		{"B8 C1", "{\"a\":\"\u0085\"}", "control_char"},
		{"B8 U+2028", "{\"a\":\"\u2028\"}", "line_separator"},
		{"B8 noncharacter", `{"a":"\uffff"}`, "noncharacter"},
		{"B9 bidi", "{\"a\":\"x\u202ey\"}", "bidi_control"},
		{"B9 bidi escaped", `{"a":"\u2066"}`, "bidi_control"},
		{"B10 key", `{"` + strings.Repeat("k", 129) + `":1}`, "string_too_long"},
		{"B10 string", `{"a":"` + strings.Repeat("s", 256<<10+1) + `"}`, "string_too_long"},
		{"B10 nodes", `{"a":[` + strings.Repeat("0,", 20_000) + `0]}`, "max_nodes"},
		{"B10 bytes", `{"a":"` + strings.Repeat("s", 1<<20) + `"}`, "max_bytes"},
		{"B11 null", `null`, "root_not_object"},
		{"B11 string", `"x"`, "root_not_object"},
		{"B11 array", `[]`, "root_not_object"},
		{"B11 empty", ``, "empty"},
		{"B11 space", " \n\t", "empty"},
		{"B12 empty key", `{"":1}`, "empty_key"},
		{"truncated object", `{"a":1`, "truncated"},
		{"truncated key", `{"a`, "truncated"},
		{"truncated escape", `{"a":"\`, "truncated"},
		{"no value", `{"a":`, "truncated"},
		{"after comma", `{"a":1,`, "truncated"},
		{"no colon", `{"a" 1}`, "syntax"},
		{"bad escape", `{"a":"\x41"}`, "bad_escape"},
		{"short \\u", `{"a":"\u12"}`, "bad_escape"},
		{"word", `{"a":tru}`, "syntax"},
		{"wrong close", `{"a":[1}`, "syntax"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse([]byte(c.in), DefaultLimits())
			var e *exchange.Error
			require.True(t, errors.As(err, &e), "accepted")
			require.Len(t, e.Faults, 1)
			require.Equal(t, c.rule, e.Faults[0].Rule)
			require.Contains(t, []exchange.Code{exchange.CodeMalformed, exchange.CodeTooLarge}, e.Code)
		})
	}
}

func manyKeys(n int) string {
	var keys []string
	for i := range n {
		keys = append(keys, fmt.Sprintf(`"k%d":%d`, i, i))
	}
	return strings.Join(keys, ",")
}

func TestGateAccepts(t *testing.T) {
	for name, in := range map[string]string{
		"empty":           `{}`,
		"space":           " \t\r\n{ \"a\" : [ 1 , 2 ] } \n",
		"depth 64":        strings.Repeat(`{"a":`, 63) + "{}" + strings.Repeat("}", 63),
		"2^53+1":          `{"a":9007199254740993}`,
		"1.0":             `{"a":1.0}`,
		"0e5":             `{"a":0e5, "b":0.0, "c":-1, "d":-0.5, "e":1E+9, "f":1e-9}`,
		"escapes":         `{"a":"\"\\\/\n\r\t\u00e8\ud83d\ude00"}`,
		"words":           `{"a":true,"b":false,"c":null,"d":[],"e":{}}`,
		"B12 keys":        `{"a/b":1,"a~b":2,"a.b":3,"$ref":4,"__proto__":5,"a b":6}`,
		"many keys":       `{` + manyKeys(200) + `}`,
		"wide":            `{"a":"città è 中文 😀"}`,
		"40 digits":       `{"a":` + strings.Repeat("9", 40) + `}`,
		"exponent 100":    `{"a":1e100,"b":1e-100}`,
		"nested siblings": `{"a":{"x":1},"b":{"x":2,"y":[{"x":3},{"x":4}]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			tree, err := Parse([]byte(in), DefaultLimits())
			require.NoError(t, err)
			require.Equal(t, reference(t, in), tree.Value())
		})
	}
}

func reference(t testing.TB, in string) any {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(in))
	dec.UseNumber()
	var want any
	require.NoError(t, dec.Decode(&want))
	return want
}

func TestGateNormalisesAndWarns(t *testing.T) {
	g := NewGate(DefaultLimits(), mustLoad(t, tiny))
	tree, warnings, err := g.Parse([]byte("{\"name\":\"Nicolo\u0300\",\"tags\":[\"a\u200db\",\"x\ufffd\"]}"))
	require.NoError(t, err)
	require.Equal(t, "Nicolò", tree.Text("/name"))
	require.Equal(t, []exchange.Fault{
		{Pointer: "/name", Rule: "not_nfc", Warning: true},
		{Pointer: "/tags/0", Rule: "invisible", Warning: true},
		{Pointer: "/tags/1", Rule: "replacement", Warning: true},
	}, warnings)
}

// Pointers stop before the first key that no schema knows: it may be a name.
func TestGateShowsNoUnknownKey(t *testing.T) {
	for _, c := range []struct{ in, pointer string }{
		{`{"tags":["x",01]}`, "/tags/1"},
		{`{"ROSSI MARIO":{"tags":01}}`, ""},
		{`{"tags":[{"ROSSI MARIO":01}]}`, "/tags/0"},
		{`{"name":1,"NAME":2}`, ""},
	} {
		_, _, err := NewGate(DefaultLimits(), mustLoad(t, tiny)).Parse([]byte(c.in))
		e := exchange.AsError(err)
		require.Equal(t, exchange.Pointer(c.pointer), e.Faults[0].Pointer, c.in)
		require.NotContains(t, err.Error(), "ROSSI")
	}
	_, err := Parse([]byte(`{"a":{"b":01}}`), DefaultLimits())
	require.Equal(t, exchange.Pointer(""), exchange.AsError(err).Faults[0].Pointer)
	require.Contains(t, err.Error(), "at byte 12")
}

// A gate is used again after a refusal, also from inside deep nesting.
func TestGateIsReusable(t *testing.T) {
	g := NewGate(DefaultLimits())
	for range 50 {
		_, _, err := g.Parse([]byte(`{"a":[{"b":[1,2,{"c":`))
		require.Error(t, err)
		tree, _, err := g.Parse([]byte(`{"a":[1,{"b":2}]}`))
		require.NoError(t, err)
		require.Equal(t, reference(t, `{"a":[1,{"b":2}]}`), tree.Value())
	}
}

func TestGateDoesNotKeepTheBytes(t *testing.T) {
	b := []byte(`{"a":"before"}`)
	tree, err := Parse(b, DefaultLimits())
	require.NoError(t, err)
	copy(b, `{"a":"behind"}`)
	require.Equal(t, "before", tree.Text("/a"))
}

// Whatever the gate accepts, the standard decoder accepts, with the same tree
// but for normalisation.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1e1000001}`, `{"a":[1,-0,1.5e3],"A":2}`, `{"a":"\ud83d\ude00\u0000"}`,
		"{\"a\":\"e\u0301\u202e\"}", `{"a":{"b":{"c":[[]]}},"d":null,"e":true}`, "\xEF\xBB\xBF{}", `{"":1}`, `{"k":1,"K":1}`, `{"a":1}}`} {
		f.Add([]byte(s))
	}
	g := NewGate(DefaultLimits())
	f.Fuzz(func(t *testing.T, b []byte) {
		tree, warnings, err := g.Parse(b)
		if err != nil {
			e := exchange.AsError(err)
			if e.Code != exchange.CodeMalformed && e.Code != exchange.CodeTooLarge || len(e.Faults) != 1 || e.Faults[0].Rule == "" {
				t.Fatalf("refused without code and rule: %v", e)
			}
			return
		}
		dec := json.NewDecoder(strings.NewReader(string(b)))
		dec.UseNumber()
		var want any
		if err := dec.Decode(&want); err != nil {
			t.Fatalf("accepted what the standard decoder refuses: %v", err)
		}
		if dec.More() {
			t.Fatal("accepted more than one value")
		}
		if len(warnings) == 0 && !reflect.DeepEqual(want, tree.Value()) {
			t.Fatal("another tree than the standard decoder's")
		}
	})
}

// B12: odd keys are refused by no grammar; pointers lead to them and back.
func TestOddKeysAndPointers(t *testing.T) {
	tree, err := Parse([]byte(`{"a/b":{"~":{"$ref":{"__proto__":{"~1":{"a.b":"here"}}}}}}`), DefaultLimits())
	require.NoError(t, err)
	var p exchange.Pointer
	for _, key := range []string{"a/b", "~", "$ref", "__proto__", "~1", "a.b"} {
		p = p.Append(key)
	}
	require.Equal(t, "here", tree.Text(p))
	require.Equal(t, []string{"a/b", "~", "$ref", "__proto__", "~1", "a.b"}, p.Tokens())
	require.Equal(t, []exchange.Fault{{Rule: "additional_property"}}, mustLoad(t, tiny).Validate(tree))
}

// B10: the largest document that is let in, and the worst shapes, cost little.
func TestGateIsFastOnTheWorst(t *testing.T) {
	l := DefaultLimits()
	for name, in := range map[string]string{
		"keys":       `{` + manyKeys(19_000) + `}`,
		"array":      `{"a":[` + strings.Repeat("0,", 19_000) + `0]}`,
		"string":     `{"a":"` + strings.Repeat(`\u00e9`, 40_000) + `"}`,
		"combining":  `{"a":"` + strings.Repeat("e"+strings.Repeat("\u0301", 60), 1_000) + `"}`,
		"one letter": `{"a":"e` + strings.Repeat("\u0301\u0316", 20_000) + `"}`,
		"objects":    `{"a":[` + strings.Repeat(`{"b":1},`, 9_000) + `{}]}`,
	} {
		start := time.Now()
		_, err := Parse([]byte(in), l)
		require.NoError(t, err, name)
		require.Less(t, time.Since(start), time.Second, name)
	}
}
