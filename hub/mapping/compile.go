package mapping

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"raccordo/hub/exchange"
	"raccordo/schemas"
)

// Shape is what a mapping must know of a schema; [*schemas.Schema] is one.
type Shape interface {
	// Property is the leaf or container at a path, * standing for array items.
	Property(path exchange.Pointer) (schemas.Property, bool)
	Properties() []schemas.Property
	Containers() []schemas.Property
	Validate(exchange.Tree) []exchange.Fault
}

// Env is what a mapping is compiled against. Source, Target and CodeLists must
// not change afterwards.
type Env struct {
	Source, Target Shape
	CodeLists      map[string]*CodeList
	// Categories are the names code lists may use.
	Categories map[string]exchange.Category
	// Zone is where days begin and end (Europe/Rome); nil is UTC.
	Zone *time.Location
	// File reads a file of the network for in_file; nil: there are none.
	File func(name string) ([]byte, error)
	// Decode reads in_file as the source's format does; nil is JSON.
	Decode func([]byte) (exchange.Tree, error)
}

// Mapping is one compiled mapping. Safe for concurrent use.
type Mapping struct {
	id       exchange.MappingID
	file     string
	from, to string
	env      Env
	rules    []*rule
	dated    bool // some code list has days of validity
	prunes   map[exchange.Pointer]bool
	lineage  []Edge
	reads    []exchange.Pointer
	examples []example
}

// ID is the mapping's name.
func (m *Mapping) ID() exchange.MappingID { return m.id }

// File is the file the mapping was compiled from.
func (m *Mapping) File() string { return m.file }

// From is the source: a format, or record_type@version.
func (m *Mapping) From() string { return m.from }

// To is the target: a format, or record_type@version.
func (m *Mapping) To() string { return m.to }

// Header reads only what a mapping says it is, so that its schemas can be
// found before it is compiled.
func Header(src []byte, file string) (from, to string, _ []Fault) {
	fs := &faults{file: file}
	root, ok := readYAML(src, fs)
	if !ok {
		return "", "", fs.sorted()
	}
	c := compiler{fs: fs}
	head := root.object(rootKeys...)
	from, to = c.end(head["from"], root, "from"), c.end(head["to"], root, "to")
	return from, to, fs.sorted()
}

var rootKeys = []string{"mapping", "from", "to", "reads", "fields", "examples"}

// Compile reads a mapping. All faults are returned, with line and what to do;
// with any of them the mapping is nil. It recovers from whatever goes wrong.
func Compile(src []byte, file string, env Env) (m *Mapping, found []Fault) {
	fs := &faults{file: file}
	defer func() {
		if r := recover(); r != nil {
			fs.add(0, "report this file to the makers of the hub", "compiling the mapping failed unexpectedly")
			m, found = nil, fs.sorted()
		}
	}()
	if env.Zone == nil {
		env.Zone = time.UTC
	}
	root, ok := readYAML(src, fs)
	if !ok {
		return nil, fs.sorted()
	}
	c := &compiler{fs: fs, env: env, m: &Mapping{file: file, env: env, prunes: map[exchange.Pointer]bool{}}}
	c.mapping(root)
	if len(fs.list) > 0 {
		return nil, fs.sorted()
	}
	return c.m, nil
}

type compiler struct {
	fs    *faults
	env   Env
	m     *Mapping
	rules int
	reads []reading // every path read, in the order of the file
	given []given   // conditions around the field being read
}

// given is a condition that holds wherever a field is made: of what it names,
// a code list need hold no more.
type given struct {
	pattern exchange.Pointer
	values  map[string]bool
	not     bool
}

// assume takes conditions into account until the returned function is called.
// A condition on one numbered item says nothing about the others.
func (c *compiler) assume(cs []condition) (forget func()) {
	before := len(c.given)
	for i := range cs {
		if cs[i].values != nil && !slices.ContainsFunc(cs[i].path.tokens, indexShape.MatchString) {
			c.given = append(c.given, given{cs[i].path.pattern, cs[i].values, cs[i].not})
		}
	}
	return func() { c.given = c.given[:before] }
}

// possible leaves out of a domain what cannot be there under the conditions
// around.
func (c *compiler) possible(at exchange.Pointer, domain []string) []string {
	for _, g := range c.given {
		if g.pattern == at {
			domain = slices.DeleteFunc(slices.Clone(domain), func(s string) bool { return g.values[s] == g.not })
		}
	}
	return domain
}

type reading struct {
	path exchange.Pointer
	line int
}

const (
	maxRules     = 2_000
	maxRuleDepth = 16
)

func (c *compiler) mapping(root node) {
	head := root.object(rootKeys...)
	id := head["mapping"].text()
	c.m.id = exchange.MappingID(id)
	if want := strings.TrimSuffix(path.Base(c.fs.file), ".yaml"); id != want || !exchange.ValidName(id) {
		root.fault("write mapping: "+want, "the mapping's name must be that of its file, lower_snake_case")
	}
	c.m.from, c.m.to = c.end(head["from"], root, "from"), c.end(head["to"], root, "to")
	fields, ok := head["fields"]
	if !ok {
		root.fault("add fields", "the mapping maps nothing")
		return
	}
	before := len(c.fs.list)
	ts := newTargets("")
	c.m.rules = c.fields(fields, "", ts, 0)
	c.required(root, ts)
	c.declared(head["reads"])
	if len(c.fs.list) == before {
		c.m.trace()
		c.checkCategories()
	}
	c.examples(head["examples"])
}

// end reads one end of a mapping: name, or name@version.
func (c *compiler) end(n, root node, key string) string {
	if !n.given() {
		root.fault("add it", "%s is missing", key)
		return ""
	}
	s := n.text()
	if s != "" && !endShape.MatchString(s) {
		n.fault("for example desk_request, or service_request@1.0.0", "%s is not a format or record_type@version", key)
	}
	return s
}

// declared holds what is read against the list of reads, if there is one.
func (c *compiler) declared(n node) {
	if !n.given() {
		return
	}
	used := map[exchange.Pointer]bool{}
	var declared []exchange.Pointer
	for _, item := range n.list() {
		p := exchange.Pointer(item.text())
		if p == "" {
			continue
		}
		if _, ok := c.env.Source.Property(p); !ok {
			item.fault("use * for the items of a list", "the source has no %s", clip(string(p)))
		}
		declared = append(declared, p)
	}
	for _, r := range c.reads {
		found := false
		for _, d := range declared {
			if r.path == d || strings.HasPrefix(string(r.path), string(d)+"/") {
				used[d], found = true, true
			}
		}
		if !found {
			c.fs.add(r.line, "add it to reads, or do not read it", "%s is read and not declared in reads", r.path)
		}
	}
	for i, d := range declared {
		if !used[d] {
			c.fs.add(n.Content[i].Line, "take it out of reads", "%s is declared in reads and nothing reads it", d)
		}
	}
}

// targets are the properties of one object that is made, and of the objects
// inside it that no rule makes by itself.
type targets struct {
	base    exchange.Pointer
	written map[exchange.Pointer]int // line of the rule
	implied map[exchange.Pointer]int
}

func newTargets(base exchange.Pointer) *targets {
	return &targets{base: base, written: map[exchange.Pointer]int{}, implied: map[exchange.Pointer]int{}}
}

// target reads to and claims it.
func (c *compiler) target(n node, ts *targets) (pattern exchange.Pointer, key []string, p schemas.Property, ok bool) {
	text := n.text()
	if text == "" {
		return "", nil, p, false
	}
	if !strings.HasPrefix(text, "/") || text == "/" {
		n.fault("for example /service", "a target is a JSON pointer")
		return "", nil, p, false
	}
	key = exchange.Pointer(text).Tokens()
	pattern = ts.base
	for i, token := range key {
		above := pattern
		pattern = pattern.Append(token)
		if p, ok = c.env.Target.Property(pattern); !ok {
			n.fault(c.siblings(c.env.Target, above), "the target has no %s", clip(string(pattern)))
			return "", nil, p, false
		}
		if i == len(key)-1 {
			break
		}
		if p.Type != "object" {
			n.fault("make arrays with each or items", "%s is not an object", pattern)
			return "", nil, p, false
		}
		if line, twice := ts.written[pattern]; twice {
			n.fault(fmt.Sprintf("see line %d", line), "two sources for %s", pattern)
		}
		if _, twice := ts.implied[pattern]; !twice {
			ts.implied[pattern] = n.Line
		}
	}
	if line, twice := ts.written[pattern]; twice {
		n.fault(fmt.Sprintf("see line %d; use choose for alternatives", line), "two sources for %s", pattern)
	} else if line, twice := ts.implied[pattern]; twice {
		n.fault(fmt.Sprintf("see line %d", line), "two sources for %s", pattern)
	}
	ts.written[pattern] = n.Line
	return pattern, key, p, true
}

// required finds properties the target demands that nothing makes.
func (c *compiler) required(n node, ts *targets) {
	made := func(p exchange.Pointer) bool {
		_, a := ts.written[p]
		_, b := ts.implied[p]
		return a || b
	}
	for _, p := range slices.Concat(c.env.Target.Properties(), c.env.Target.Containers()) {
		above, token := parent(p.Path)
		if !p.RequiredHere || token == "*" || p.Path == "" || made(p.Path) {
			continue
		}
		if _, implied := ts.implied[above]; implied || above == ts.base {
			n.fault("add a field for it", "the target requires %s and no field makes it", p.Path)
		}
	}
}

func parent(p exchange.Pointer) (exchange.Pointer, string) {
	i := strings.LastIndexByte(string(p), '/')
	if i < 0 {
		return "", ""
	}
	return p[:i], string(p[i+1:])
}

// siblings names what there is instead.
func (c *compiler) siblings(s Shape, above exchange.Pointer) string {
	var names []string
	for _, p := range slices.Concat(s.Properties(), s.Containers()) {
		if q, token := parent(p.Path); q == above && token != "*" && p.Path != "" {
			names = append(names, token)
		}
	}
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	return "there are: " + strings.Join(names[:min(len(names), 20)], ", ")
}

// path reads a path of the source below scope. An absent node is the scope
// itself.
func (c *compiler) path(n, near node, scope exchange.Pointer) (place, schemas.Property, bool) {
	if !n.given() {
		p, ok := c.env.Source.Property(scope)
		if ok {
			c.reads = append(c.reads, reading{scope, near.Line})
		}
		return place{pattern: scope}, p, ok
	}
	text := n.text()
	if text == "" {
		return place{}, schemas.Property{}, false
	}
	return c.pathText(text, n, scope)
}

func (c *compiler) pathText(text string, n node, scope exchange.Pointer) (place, schemas.Property, bool) {
	out := place{}
	below := text
	if strings.HasPrefix(text, "^") {
		out.fromRoot, below, scope = true, text[1:], ""
	}
	if !strings.HasPrefix(below, "/") || below == "/" {
		n.fault(`for example /servizio, or ^/servizio for the root of the record`, "%q is not a path", clip(text))
		return out, schemas.Property{}, false
	}
	out.tokens = exchange.Pointer(below).Tokens()
	at := scope
	var p schemas.Property
	for _, token := range out.tokens {
		above, ok := c.env.Source.Property(at)
		if ok && above.Type == "array" {
			if !indexShape.MatchString(token) {
				n.fault("use each or first, or a number for one item", "%s is a list", at)
				return out, p, false
			}
			token = "*"
		}
		upper := at
		at = at.Append(token)
		if p, ok = c.env.Source.Property(at); !ok {
			n.fault(c.siblings(c.env.Source, upper), "the source has no %s", clip(string(at)))
			return out, p, false
		}
	}
	out.pattern = at
	c.reads = append(c.reads, reading{at, n.Line})
	return out, p, true
}

var (
	endShape   = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}(@[0-9]{1,5}\.[0-9]{1,5}\.[0-9]{1,5})?$`)
	indexShape = regexp.MustCompile(`^(0|[1-9][0-9]{0,3})$`)
)
