package schemas

import (
	"slices"

	"github.com/xeipuuv/gojsonschema"
	"raccordo/hub/exchange"
)

// Schema is one compiled schema. It is immutable and safe for concurrent use.
type Schema struct {
	file       string
	title      string
	source     []byte
	root       *node
	validator  *gojsonschema.Schema
	quick      *quick
	keys       []string
	leaves     []Property
	containers []Property
	byPath     map[exchange.Pointer]Property
	subjects   []SubjectPlace
}

// File is the name the schema was loaded under.
func (s *Schema) File() string { return s.file }

// Source is the schema as JSON with every reference written out, so that it can
// be read without the shared definitions. It must not be changed.
func (s *Schema) Source() []byte { return s.source }

// Title is the schema's title, empty if it has none.
func (s *Schema) Title() string { return s.title }

// Property describes one place of an instance. Path is a pointer in which *
// stands for any array index.
type Property struct {
	Path       exchange.Pointer
	Type       string // string, integer, number, boolean; object or array for a container
	Nullable   bool
	Categories exchange.CategorySet // of a container: of everything in it
	CodeList   string               // the code list its values are taken from, if any

	// Required: every valid instance has it (at least once, below an array).
	// RequiredHere: whatever holds it has it.
	Required, RequiredHere bool

	// Bounds of a string in code points; of an array in items.
	MinLength, MaxLength int
	Enum                 []string // admitted values, numbers in digits; nil if not enumerated
	Pattern, Format      string
	Semantics            []string // names of the checks beyond the schema
}

// Properties are all leaves in order of path.
func (s *Schema) Properties() []Property { return slices.Clone(s.leaves) }

// Containers are all objects and arrays in order of path; the root has the
// empty path.
func (s *Schema) Containers() []Property { return slices.Clone(s.containers) }

// Property is the leaf or container at path, with * for array items.
func (s *Schema) Property(path exchange.Pointer) (Property, bool) {
	p, ok := s.byPath[path]
	return p, ok
}

// index fills what is derived from the nodes.
func (s *Schema) index() {
	s.byPath = map[exchange.Pointer]Property{}
	names := map[string]struct{}{}
	s.root.each(func(n *node) {
		for _, name := range n.names {
			names[name] = struct{}{}
		}
		p := n.property()
		s.byPath[p.Path] = p
		if n.leaf() {
			s.leaves = append(s.leaves, p)
		} else {
			s.containers = append(s.containers, p)
		}
		if n.subject != "" {
			s.subjects = append(s.subjects, n.subjectPlace())
		}
	})
	for name := range names {
		s.keys = append(s.keys, name)
	}
	slices.Sort(s.keys)
	byPath := func(a, b Property) int { return compare(string(a.Path), string(b.Path)) }
	slices.SortFunc(s.leaves, byPath)
	slices.SortFunc(s.containers, byPath)
}

func (n *node) property() Property {
	p := Property{
		Path: n.path, Type: n.kind, Nullable: n.nullable, Categories: n.below, CodeList: n.codeList,
		Required: n.required, RequiredHere: n.requiredHere,
		MinLength: n.minLength, MaxLength: n.maxLength, Enum: n.enum, Pattern: n.pattern, Format: n.format,
	}
	if n.kind == typeArray {
		p.MinLength, p.MaxLength = n.minItems, n.maxItems
	}
	for _, c := range n.checks {
		p.Semantics = append(p.Semantics, c.name)
	}
	return p
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
