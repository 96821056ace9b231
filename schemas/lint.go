package schemas

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"raccordo/hub/exchange"
)

// Budgets of a schema: what it may cost, before anything is compiled.
const (
	maxSchemaNodes = 20_000 // places, with every reference written out
	maxConstraints = 1_000  // schemas below allOf, anyOf, oneOf, not, if
	maxBranches    = 32     // of one allOf, anyOf, oneOf
	maxNesting     = 8      // constraints inside constraints
	maxSchemaDepth = 48     // objects and arrays inside each other
	maxLintFaults  = 200
	maxEnum        = 1_000
	maxEnumBytes   = 64 << 10
	maxItemsBound  = 10_000
	maxUniqueItems = 1_000
	maxTextBound   = 100_000
	maxProse       = 4_000
)

// linter walks one schema file. It yields the nodes of the instance and a copy
// of the schema with every reference written out and every annotation left
// out: the validator never meets a $ref, so it can neither run in a circle nor
// load anything.
type linter struct {
	loader      *Loader
	doc         document
	main        place
	faults      []LintFault
	seen        map[LintFault]struct{}
	used        map[string]bool // definitions that were referred to
	nodes       int
	constraints int
}

// place is where in which file something stands.
type place struct {
	doc *document
	at  exchange.Pointer
}

func (p place) to(tokens ...string) place {
	for _, t := range tokens {
		p.at = p.at.Append(t)
	}
	return p
}

func (p place) index(i int) place { p.at = p.at.Index(i); return p }

func newLinter(l *Loader, doc document) *linter {
	lint := &linter{loader: l, doc: doc, seen: map[LintFault]struct{}{}, used: map[string]bool{}}
	lint.main = place{doc: &lint.doc}
	return lint
}

func (l *linter) fault(at place, rule, advice string) {
	f := LintFault{File: at.doc.file, Pointer: at.at, Rule: rule, Advice: advice}
	if _, twice := l.seen[f]; twice || len(l.faults) >= maxLintFaults {
		return
	}
	l.seen[f] = struct{}{}
	f.Line = lineOf(at.doc.src, at.at)
	l.faults = append(l.faults, f)
}

func (l *linter) faultf(at place, rule, format string, args ...any) {
	l.fault(at, rule, fmt.Sprintf(format, args...))
}

func (l *linter) report() []LintFault {
	slices.SortStableFunc(l.faults, func(a, b LintFault) int {
		if a.File != b.File {
			return compare(a.File, b.File)
		}
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return compare(string(a.Pointer)+a.Rule, string(b.Pointer)+b.Rule)
	})
	return l.faults
}

// file lints a whole schema file.
func (l *linter) file() (*node, map[string]any) {
	l.header()
	root, expanded := l.schema(l.doc.root, use{place: l.main, site: l.main, root: true, categories: true})
	l.unusedDefinitions()
	if root == nil {
		return nil, nil
	}
	if root.kind != typeObject || root.nullable {
		l.fault(l.main, "root_not_object", `give the root "type": "object"`)
	}
	root.finish(true)
	l.subjects(root)
	return root, expanded
}

// definitionsOnly lints a file of shared definitions; categories come from
// where they are used.
func (l *linter) definitionsOnly() {
	l.header()
	for _, key := range sortedKeys(l.doc.root) {
		if !slices.Contains(rootKeywords, key) && key != "title" && key != "description" {
			l.faultf(l.main.to(key), "unknown_keyword", "a file of definitions holds nothing but %s", strings.Join(rootKeywords, ", "))
		}
	}
	l.unusedDefinitions()
}

func (l *linter) header() {
	if s, _ := l.doc.root["$schema"].(string); s != draft07 {
		l.faultf(l.main.to("$schema"), "wrong_draft", "set $schema to %q: no other draft is read", draft07)
	}
	if id, ok := l.doc.root["$id"]; ok {
		if _, isText := id.(string); !isText {
			l.fault(l.main.to("$id"), "wrong_type", "$id is a text")
		}
	}
	l.prose(l.doc.root, l.main)
	if d, ok := l.doc.root["definitions"]; ok {
		if _, isObject := d.(map[string]any); !isObject {
			l.fault(l.main.to("definitions"), "wrong_type", "definitions is an object of schemas")
		}
	}
}

// unusedDefinitions lints the definitions nobody refers to, so that a file has
// no corner that is not looked at.
func (l *linter) unusedDefinitions() {
	definitions, _ := l.doc.root["definitions"].(map[string]any)
	for _, name := range sortedKeys(definitions) {
		at := l.main.to("definitions", name)
		if !exchange.ValidName(name) {
			l.fault(at, "definition_name", "a definition's name is lower_snake_case")
		}
		if id := l.doc.file + "#" + name; !l.used[id] {
			l.schema(definitions[name], use{place: at, site: at, refs: []string{id}})
		}
	}
}

// resolve finds what a reference points to.
func (l *linter) resolve(ref string, at place) (v any, target place, id string, ok bool) {
	doc := at.doc
	name, found := strings.CutPrefix(ref, "#/definitions/")
	if !found {
		if name, found = strings.CutPrefix(ref, SharedFile+"#/definitions/"); found {
			doc = &l.loader.shared
		}
	}
	if !found || !exchange.ValidName(name) {
		l.faultf(at.to("$ref"), "ref_not_allowed",
			"refer to #/definitions/NAME of this file or to %s#/definitions/NAME; nothing else is ever opened", SharedFile)
		return nil, place{}, "", false
	}
	definitions, _ := doc.root["definitions"].(map[string]any)
	v, ok = definitions[name]
	if !ok {
		l.faultf(at.to("$ref"), "ref_unknown", "there is no definition %q in that file", name)
		return nil, place{}, "", false
	}
	id = doc.file + "#" + name
	l.used[id] = true
	return v, place{doc: doc}.to("definitions", name), id, true
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
