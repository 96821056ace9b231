package codec

import (
	"encoding/json"
	"reflect"
	"testing"

	"pgregory.net/rapid"
	"raccordo/hub/exchange"
	"raccordo/schemas"
)

func TestAppendJSON(t *testing.T) {
	tree := exchange.NewTree(map[string]any{
		"z": []any{nil, true, false, json.Number("1.50"), json.Number("-0.1e-7")},
		"a": "\"\\\n\r\t\u0001\u2028è𝄞</script>", "": map[string]any{}, "b": []any{},
	})
	got, err := AppendJSON([]byte("x"), tree)
	if err != nil {
		t.Fatal(err)
	}
	want := `x{"":{},"a":"\"\\\n\r\t\u0001` + "\u2028" + `è𝄞</script>","b":[],"z":[null,true,false,1.50,-0.1e-7]}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAppendJSONRefusesWhatNoTreeHolds(t *testing.T) {
	var deep any = "x"
	for range maxDepth + 1 {
		deep = []any{deep}
	}
	for name, c := range map[string]struct {
		v    any
		want exchange.Fault
	}{
		"int":      {map[string]any{"a": []any{"b", 1}}, exchange.Fault{Pointer: "/a/1", Rule: "value_kind"}},
		"float":    {map[string]any{"a~/b": 1.5}, exchange.Fault{Pointer: "/a~0~1b", Rule: "value_kind"}},
		"number":   {map[string]any{"n": json.Number("01")}, exchange.Fault{Pointer: "/n", Rule: "number_syntax"}},
		"empty":    {map[string]any{"n": json.Number("")}, exchange.Fault{Pointer: "/n", Rule: "number_syntax"}},
		"infinity": {map[string]any{"n": json.Number("+Inf")}, exchange.Fault{Pointer: "/n", Rule: "number_syntax"}},
	} {
		_, err := AppendJSON(nil, exchange.NewTree(c.v))
		if e := exchange.AsError(err); err == nil || len(e.Faults) != 1 || e.Faults[0] != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := AppendJSON(nil, exchange.NewTree(deep)); err == nil {
		t.Error("depth: accepted")
	}
}

func jsonText() *rapid.Generator[string] {
	return rapid.StringOf(rapid.RuneFrom([]rune("aZ09 \"\\/\n\r\t<>&'è€𝄞")))
}

func jsonValue(depth int) *rapid.Generator[any] {
	kinds := []*rapid.Generator[any]{
		jsonText().AsAny(), rapid.Bool().AsAny(), rapid.Just[any](nil),
		rapid.Custom(func(t *rapid.T) any {
			return json.Number(rapid.SampledFrom([]string{"0", "-1", "12.340", "1e5", "9007199254740993"}).Draw(t, "n"))
		}),
	}
	if depth > 0 {
		kinds = append(kinds,
			rapid.Custom(func(t *rapid.T) any { return rapid.SliceOfN(jsonValue(depth-1), 0, 3).Draw(t, "array") }),
			jsonObject(depth).AsAny())
	}
	return rapid.OneOf(kinds...)
}

func jsonObject(depth int) *rapid.Generator[map[string]any] {
	return rapid.MapOfN(rapid.StringMatching(`[a-z_]{1,8}`), jsonValue(depth-1), 0, 5)
}

func TestJSONRoundTrip(t *testing.T) {
	codec := NewJSON(schemas.NewGate(schemas.DefaultLimits()))
	rapid.Check(t, func(t *rapid.T) {
		want := jsonObject(3).Draw(t, "tree")
		b, err := codec.Encode(exchange.NewTree(want))
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(b) {
			t.Fatalf("not JSON: %s", b)
		}
		got, err := codec.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got.Value(), any(want)) {
			t.Fatalf("%s came back different", b)
		}
	})
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"a":[1,"x",null,{"b":1.50}]}`))
	codec := NewJSON(schemas.NewGate(schemas.DefaultLimits()))
	f.Fuzz(func(t *testing.T, b []byte) {
		tree, err := codec.Decode(b)
		if err != nil {
			return
		}
		once, err := codec.Encode(tree)
		if err != nil {
			t.Fatal(err)
		}
		again, err := codec.Decode(once)
		if err != nil || !reflect.DeepEqual(again.Value(), tree.Value()) {
			t.Fatalf("%q became %q: %v", b, once, err)
		}
	})
}

func BenchmarkJSONEncode(b *testing.B) {
	tree, err := siuss(b).Decode([]byte(minimal))
	if err != nil {
		b.Fatal(err)
	}
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if dst, err = AppendJSON(dst[:0], tree); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(dst)))
}
