package connectortest

import (
	"fmt"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"raccordo/connectors"
)

// TestKind holds the declaration of a kind and the reading of its
// configuration to the contract; config is one that is right.
func TestKind(t *testing.T, k connectors.Kind, config string) {
	t.Helper()
	if _, err := connectors.NewSet(k); err != nil {
		t.Fatalf("declaration: %v", err)
	}
	if _, err := connectors.NewSet(k, k); err == nil {
		t.Error("the same kind twice was taken")
	}
	for _, key := range k.Keys() {
		if !strings.HasSuffix(key.Doc, ".") {
			t.Errorf("documentation of %s must be a sentence", key.Path)
		}
	}
	c := Decode(t, k, config)
	if s := fmt.Sprintf("%v %+v %#v", c, c, c); strings.Contains(s, "{") {
		t.Errorf("a configuration shows more than its kind")
	}
	const secret = "hunter2-inline"
	for name, add := range map[string]string{
		"unknown key":    "\nno_such_key: " + secret,
		"unknown nested": "\nno_such_key: {a: [" + secret + "]}",
		"key as secret":  "\n" + secret + ": x",
	} {
		var n yaml.Node
		if err := yaml.Unmarshal([]byte(config+add), &n); err != nil {
			t.Fatal(err)
		}
		_, faults := k.Decode(&n)
		if len(faults) == 0 || faults[0].Line == 0 {
			t.Errorf("%s: want a fault with its line, have %v", name, faults)
		}
		if strings.Contains(fmt.Sprintf("%+v", faults), secret) {
			t.Errorf("%s: the fault shows a value", name)
		}
	}
	for _, key := range k.Keys() {
		if key.Type != "secret reference" || strings.Contains(key.Path, "[") {
			continue
		}
		var n yaml.Node
		if err := yaml.Unmarshal([]byte(nested(key.Path, secret)), &n); err != nil {
			t.Fatal(err)
		}
		_, faults := k.Decode(&n)
		if s := fmt.Sprintf("%+v", faults); !strings.Contains(s, "never stands in a configuration") || strings.Contains(s, secret) {
			t.Errorf("%s: an inline secret was not refused, or shown", key.Path)
		}
	}
}

// nested writes a dotted path as YAML.
func nested(path, value string) string {
	parts := strings.Split(path, ".")
	return strings.Join(parts, ": {") + ": " + value + strings.Repeat("}", len(parts)-1)
}
