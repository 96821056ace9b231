package schemas

import (
	"testing"

	"github.com/stretchr/testify/require"
	"raccordo/hub/exchange"
)

// The categories of the tests.
const (
	catName   exchange.Category = 2
	catHealth exchange.Category = 3
	catSocial exchange.Category = 4
)

func testOptions() Options {
	return Options{
		Categories: map[string]exchange.Category{"Name": catName, "Health": catHealth, "Social": catSocial},
		Semantics: map[string]Check{
			"even":  func(v any) (string, bool) { return map[bool]string{true: "even"}[len(v.(string))%2 == 1], false },
			"short": func(v any) (string, bool) { return map[bool]string{true: "short"}[len(v.(string)) > 3], true },
			"boom":  func(any) (string, bool) { panic("boom") },
		},
		Shared: []byte(sharedSource),
	}
}

const sharedSource = `{
  "$schema": "http://json-schema.org/draft-07/schema#",
  "definitions": {
    "day": {"type": "string", "format": "date"},
    "identifier": {"type": "object", "additionalProperties": false, "required": ["system", "value"], "x-category": "Name",
      "properties": {"system": {"type": "string", "enum": ["CF", "LOCAL"]}, "value": {"type": "string", "maxLength": 16}}},
    "identifiers": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"$ref": "#/definitions/identifier"}}
  }
}`

const tiny = `{
  "$schema": "http://json-schema.org/draft-07/schema#",
  "type": "object", "additionalProperties": false,
  "properties": {
    "name": {"type": "string", "maxLength": 20, "x-category": "Name"},
    "tags": {"type": "array", "maxItems": 5, "items": {"type": "string", "maxLength": 9, "x-category": "Social"}}
  }
}`

func testLoader(t testing.TB) *Loader {
	t.Helper()
	l, faults := NewLoader(testOptions())
	require.Empty(t, faults)
	return l
}

func mustLoad(t testing.TB, src string) *Schema {
	t.Helper()
	s, faults := testLoader(t).Load("test.json", []byte(src))
	require.Empty(t, faults)
	return s
}

func mustParse(t testing.TB, src string) exchange.Tree {
	t.Helper()
	tree, err := Parse([]byte(src), DefaultLimits())
	require.NoError(t, err)
	return tree
}

// property wraps one property's schema in a record.
func property(schema string) string {
	return `{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","additionalProperties":false,"properties":{"p":` + schema + `}}`
}
