package schemas

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/xeipuuv/gojsonschema"
	"raccordo/hub/exchange"
)

// closedLoader hands the validator a value as it is. Should it ever want to
// load something else, it gets an error: no file, no connection.
type closedLoader struct{ gojsonschema.JSONLoader }

var errNothingElse = errors.New("nothing outside the schema is loaded")

func rawLoader(v any) gojsonschema.JSONLoader { return closedLoader{gojsonschema.NewRawLoader(v)} }

func (closedLoader) LoaderFactory() gojsonschema.JSONLoaderFactory { return closedFactory{} }

type closedFactory struct{}

func (closedFactory) New(string) gojsonschema.JSONLoader { return refusal{rawLoader(nil)} }

type refusal struct{ gojsonschema.JSONLoader }

func (refusal) LoadJSON() (interface{}, error) { return nil, errNothingElse }

// compile makes the validator of a schema without references.
func compile(expanded map[string]any) (v *gojsonschema.Schema, err error) {
	defer func() {
		if recover() != nil {
			v, err = nil, errors.New("the validator failed on it")
		}
	}()
	loader := gojsonschema.NewSchemaLoader()
	loader.AutoDetect, loader.Validate, loader.Draft = false, false, gojsonschema.Draft7
	if v, err = loader.Compile(rawLoader(expanded)); err != nil {
		return nil, fmt.Errorf("compiling: %w", err)
	}
	return v, nil
}

// The validator's words and ours.
var ruleNames = map[string]string{
	"required":                        "required",
	"invalid_type":                    "type",
	"number_any_of":                   "any_of",
	"number_one_of":                   "one_of",
	"number_all_of":                   "all_of",
	"number_not":                      "not",
	"const":                           "const",
	"enum":                            "enum",
	"array_min_items":                 "min_items",
	"array_max_items":                 "max_items",
	"unique":                          "unique_items",
	"additional_property_not_allowed": "additional_property",
	"string_gte":                      "min_length",
	"string_lte":                      "max_length",
	"pattern":                         "pattern",
	"format":                          "format",
	"multiple_of":                     "multiple_of",
	"number_gte":                      "minimum",
	"number_gt":                       "exclusive_minimum",
	"number_lte":                      "maximum",
	"number_lt":                       "exclusive_maximum",
	"condition_then":                  "then",
	"condition_else":                  "else",
}

// ruleValidatorFailed says that the validator itself broke on a document.
const ruleValidatorFailed = "validator_failed"

// Validate names everything that is wrong with tree, at most 50 faults in
// order of pointer: first against the schema, and where nothing is, against
// the checks that x-semantic names. Warnings alone leave a tree valid. Faults
// hold pointers and rules, never values; a key that the schema does not know
// is named by the pointer of its object and the rule "additional_property".
func (s *Schema) Validate(tree exchange.Tree) []exchange.Fault {
	if faults := s.shape(tree.Value()); len(faults) > 0 {
		return faults
	}
	return s.judge(tree.Value())
}

// shape validates against the schema alone: a sure yes of the quick test is
// enough, everything else is the reference validator's to say.
func (s *Schema) shape(v any) []exchange.Fault {
	if s.quick.test(v) == yes {
		return nil
	}
	return s.reference(v)
}

// reference asks the reference validator.
func (s *Schema) reference(v any) (faults []exchange.Fault) {
	defer func() {
		if recover() != nil {
			faults = []exchange.Fault{{Rule: ruleValidatorFailed}}
		}
	}()
	result, err := s.validator.Validate(rawLoader(v))
	if err != nil {
		return []exchange.Fault{{Rule: ruleValidatorFailed}}
	}
	if result.Valid() {
		return nil
	}
	for _, e := range result.Errors() {
		faults = append(faults, translate(e))
	}
	return bounded(faults)
}

// translate keeps of an error its place and its rule. The context holds only
// keys that the schema names and indexes: the validator does not go down into
// properties it does not know.
func translate(e gojsonschema.ResultError) exchange.Fault {
	f := exchange.Fault{Rule: ruleNames[e.Type()]}
	if f.Rule == "" {
		f.Rule = ruleValidatorFailed
	}
	tokens := strings.Split(e.Context().String("\x00"), "\x00")
	for _, t := range tokens[1:] {
		f.Pointer = f.Pointer.Append(t)
	}
	if f.Rule == "required" {
		if name, ok := e.Details()["property"].(string); ok {
			f.Pointer = f.Pointer.Append(name)
		}
	}
	return f
}

// bounded sorts faults, drops doubles and cuts the list.
func bounded(faults []exchange.Fault) []exchange.Fault {
	slices.SortFunc(faults, func(a, b exchange.Fault) int {
		if c := compare(string(a.Pointer), string(b.Pointer)); c != 0 {
			return c
		}
		return compare(a.Rule, b.Rule)
	})
	faults = slices.Compact(faults)
	return faults[:min(len(faults), maxFaults)]
}

// judge runs the checks beyond the schema on a tree that fits it.
func (s *Schema) judge(v any) []exchange.Fault {
	if !s.root.judged {
		return nil
	}
	j := judge{}
	j.visit(s.root, v)
	if len(j.faults) == 0 {
		return nil
	}
	return bounded(j.faults)
}

// judge walks to the places that have checks.
type judge struct {
	path   []step
	faults []exchange.Fault
}

func (j *judge) below(n *node, v any, s step) {
	j.path = append(j.path, s)
	j.visit(n, v)
	j.path = j.path[:len(j.path)-1]
}

func (j *judge) visit(n *node, v any) {
	if v == nil {
		return
	}
	for _, c := range n.checks {
		if rule, warning := askCheck(c.check, v); rule != "" {
			j.faults = append(j.faults, exchange.Fault{Pointer: pointerTo(j.path), Rule: rule, Warning: warning})
		}
	}
	switch x := v.(type) {
	case map[string]any:
		for _, name := range n.names {
			if c := n.props[name]; c.judged {
				if child, ok := x[name]; ok {
					j.below(c, child, step{key: name})
				}
			}
		}
	case []any:
		if n.item != nil && n.item.judged {
			for i, child := range x {
				j.below(n.item, child, step{index: i})
			}
		}
	}
}

// askCheck keeps a panic of a check from being taken for a yes.
func askCheck(check Check, v any) (rule string, warning bool) {
	defer func() {
		if recover() != nil {
			rule, warning = "check_failed", false
		}
	}()
	return check(v)
}

// Refusal turns the faults of [Schema.Validate] into the error to answer with:
// nil if there are only warnings; else CodeInvalid, with ReasonSchema or, if
// the schema is kept and a check refuses, ReasonSemantic.
func Refusal(faults []exchange.Fault) error {
	reason := exchange.Reason("")
	for _, f := range faults {
		if f.Warning {
			continue
		}
		reason = exchange.ReasonSemantic
		if isShapeRule(f.Rule) {
			reason = exchange.ReasonSchema
			break
		}
	}
	if reason == "" {
		return nil
	}
	return exchange.NewError(exchange.CodeInvalid, reason, "the record does not fit its schema", faults...)
}

func isShapeRule(rule string) bool {
	if rule == ruleValidatorFailed {
		return true
	}
	for _, r := range ruleNames {
		if r == rule {
			return true
		}
	}
	return false
}
