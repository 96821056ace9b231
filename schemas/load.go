package schemas

import (
	"encoding/json"
	"fmt"
	"slices"

	"raccordo/hub/exchange"
)

// draft07 is the only $schema that is read.
const draft07 = "http://json-schema.org/draft-07/schema#"

// SharedFile is the name under which schemas refer to the shared definitions:
// "common.json#/definitions/NAME".
const SharedFile = "common.json"

// Check judges a value beyond what a schema can say. It gets the value as it
// stands in the tree (a string, or a map[string]any for an object). It answers
// an empty rule when nothing is wrong, else a stable rule name, and whether
// that is only worth a warning. It never puts the value in the rule.
type Check func(value any) (rule string, warning bool)

// Options are what schemas are loaded with.
type Options struct {
	// Categories are the names x-category may use.
	Categories map[string]exchange.Category
	// Semantics are the checks x-semantic may name.
	Semantics map[string]Check
	// Shared is the source of [SharedFile]; nil if there is none.
	Shared []byte
}

// Loader lints and compiles schemas under one set of options. It reads nothing
// but the bytes it is given. Safe for concurrent use.
type Loader struct {
	options Options
	shared  document
	faults  []LintFault
}

// document is one parsed schema file.
type document struct {
	file string
	src  []byte
	root map[string]any
}

// schemaLimits are the byte gate's limits for schema files.
func schemaLimits() Limits {
	l := DefaultLimits()
	l.MaxNodes = 50_000
	return l
}

// NewLoader reads and lints the shared definitions; their faults come with
// every schema that is loaded later too.
func NewLoader(o Options) (*Loader, []LintFault) {
	registerFormats()
	l := &Loader{options: o}
	if o.Shared == nil {
		return l, nil
	}
	doc, fault := parseDocument(SharedFile, o.Shared)
	if fault != nil {
		l.faults = []LintFault{*fault}
		return l, l.faults
	}
	l.shared = doc
	l.faults = l.lintDefinitions(doc)
	return l, slices.Clone(l.faults)
}

// Load lints and compiles one schema, whose root must be a closed object. All
// faults are returned, in order of line; the schema is nil if there is any.
func (l *Loader) Load(file string, src []byte) (*Schema, []LintFault) {
	if len(l.faults) > 0 {
		return nil, slices.Clone(l.faults)
	}
	doc, fault := parseDocument(file, src)
	if fault != nil {
		return nil, []LintFault{*fault}
	}
	lint := newLinter(l, doc)
	root, expanded := lint.file()
	if len(lint.faults) == 0 {
		if validator, err := compile(expanded); err != nil {
			lint.fault(lint.main, "not_compiled", "the validator refuses the schema: "+err.Error())
		} else {
			s := &Schema{file: file, root: root, validator: validator, quick: newQuick(expanded)}
			s.title, _ = doc.root["title"].(string)
			s.index()
			if s.source, err = json.Marshal(expanded); err == nil {
				return s, nil
			}
			lint.fault(lint.main, "not_compiled", "the schema cannot be written out")
		}
	}
	return nil, lint.report()
}

// Check is Load for a reader who only wants the faults; it also takes files
// that hold nothing but definitions.
func (l *Loader) Check(file string, src []byte) []LintFault {
	doc, fault := parseDocument(file, src)
	if fault != nil {
		return []LintFault{*fault}
	}
	if _, typed := doc.root["type"]; !typed {
		if _, ok := doc.root["definitions"]; ok {
			return l.lintDefinitions(doc)
		}
	}
	_, faults := l.Load(file, src)
	return faults
}

func (l *Loader) lintDefinitions(doc document) []LintFault {
	lint := newLinter(l, doc)
	if doc.file == SharedFile {
		lint.loader = &Loader{options: l.options, shared: doc}
	}
	lint.definitionsOnly()
	return lint.report()
}

func parseDocument(file string, src []byte) (document, *LintFault) {
	tree, err := Parse(src, schemaLimits())
	if err != nil {
		e := exchange.AsError(err)
		fault := LintFault{File: file, Rule: "not_json", Advice: "the file must be one strict JSON object: " + e.Detail}
		var at int
		if len(e.Faults) > 0 {
			fault.Rule = e.Faults[0].Rule
			_, _ = fmt.Sscanf(e.Detail, fault.Rule+" at byte %d", &at)
		}
		fault.Line = lineAt(src, at)
		return document{}, &fault
	}
	return document{file: file, src: src, root: tree.Object()}, nil
}
