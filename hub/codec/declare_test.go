package codec

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"raccordo/hub/exchange"
	"raccordo/schemas"
)

func compileFile(tb testing.TB, path string) *XML {
	tb.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	x, faults := CompileXML(b, schemas.DefaultLimits())
	if len(faults) > 0 {
		tb.Fatalf("%s: %v", path, faults)
	}
	return x
}

func lists(tb testing.TB) *XML { return compileFile(tb, filepath.Join("testdata", "lists.xml.json")) }

func siuss(tb testing.TB) *XML {
	return compileFile(tb, filepath.Join("..", "..", "deploy", "networks", "reticulate", "formats", "siuss_ps_psa_sina.xml.json"))
}

func TestCompileXMLReportsEveryFault(t *testing.T) {
	declaration := `{"format": "Bad Name", "encoding": "UTF-16", "colour": 1, "root": {
		"element": "1r", "min": 0,
		"attributes": [{"attribute": "a", "property": "x"}, {"attribute": "a", "property": "x", "type": "float"}, {"attribute": "b"}],
		"children": [
			{"element": "w", "max": 2, "children": [{"element": "t", "property": "x", "text": {}}]},
			{"element": "e", "property": "e"},
			{"element": "u", "text": {}},
			{"element": "m", "property": "m", "min": 3, "max": 2, "text": {}},
			{"element": "m", "property": "m2", "min": 1.5, "text": "string"}
		]}}`
	x, faults := CompileXML([]byte(declaration), schemas.DefaultLimits())
	if x != nil {
		t.Fatal("compiled")
	}
	for _, want := range []exchange.Pointer{"/format", "/encoding", "/colour", "/root/element", "/root/min",
		"/root/attributes/1/attribute", "/root/attributes/1", "/root/attributes/1/type", "/root/attributes/2/property",
		"/root/children/0/max", "/root/children/0", "/root/children/1", "/root/children/2", "/root/children/3/max",
		"/root/children/4/element", "/root/children/4/min", "/root/children/4/text"} {
		found := false
		for _, f := range faults {
			found = found || f.Pointer == want
		}
		if !found {
			t.Errorf("no fault at %s in %v", want, faults)
		}
	}
}

func TestCompileXMLRefusesBytes(t *testing.T) {
	deep := strings.Repeat(`{"element":"e","children":[`, 40) + `{}` + strings.Repeat(`]}`, 40)
	for name, declaration := range map[string]string{
		"empty": "", "not an object": `[]`, "no root": `{"format":"f"}`, "duplicate key": `{"format":"f","format":"f"}`,
		"root without content": `{"format":"f","root":{"element":"r"}}`,
		"root is a text":       `{"format":"f","root":{"element":"r","text":{}}}`,
		"latin1 undeclared":    `{"format":"f","encoding":"ISO-8859-1","root":{"element":"r","attributes":[{"attribute":"a","property":"a"}]}}`,
		"too deep":             `{"format":"f","root":` + deep + `}`,
	} {
		if x, faults := CompileXML([]byte(declaration), schemas.DefaultLimits()); x != nil || len(faults) == 0 {
			t.Errorf("%s: compiled", name)
		}
	}
}

func FuzzCompileXML(f *testing.F) {
	for _, file := range []string{"testdata/lists.xml.json"} {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"format":"f","root":{"element":"r","children":[{"element":"w","children":[{"element":"t","property":"x","text":{}}]}]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, faults := CompileXML(b, schemas.DefaultLimits())
		if (x == nil) == (len(faults) == 0) {
			t.Fatal("neither a codec nor a fault, or both")
		}
	})
}
