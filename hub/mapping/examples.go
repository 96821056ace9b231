package mapping

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"time"

	"raccordo/hub/exchange"
	"raccordo/schemas"
)

// example is one of a mapping's own tests.
type example struct {
	name  string
	line  int
	in    exchange.Tree
	out   exchange.Tree
	lost  []Loss
	fails []exchange.Fault // the record must be refused for these
	ctx   Context
}

const maxExamples = 200

// examples reads the mapping's tests. A mapping without any is refused: nobody
// could tell whether it does what it is for.
func (c *compiler) examples(n node) {
	if !n.given() {
		c.fs.add(0, "add examples, with in and out", "the mapping has no examples")
		return
	}
	list := n.list()
	if len(list) > maxExamples {
		n.fault("", "more than %d examples", maxExamples)
		return
	}
	seen := map[string]bool{}
	for _, item := range list {
		f := item.object("name", "date", "context_name", "pruned", "in", "in_file", "out", "lost", "fails")
		if item.Kind != kindMapping {
			continue
		}
		e := example{name: f["name"].text(), line: item.Line}
		if e.name == "" || seen[e.name] {
			item.fault("give each its own", "an example needs a name of its own")
		}
		seen[e.name] = true
		c.exampleContext(item, f, &e)
		c.exampleIn(item, f, &e)
		switch {
		case f["out"].given() == f["fails"].given():
			item.fault("", "an example has either out or fails")
		case f["out"].given():
			e.out = c.exampleTree(f["out"])
		}
		if f["lost"].given() {
			e.lost = c.losses(f["lost"])
		}
		if f["fails"].given() {
			for _, l := range c.losses(f["fails"]) {
				e.fails = append(e.fails, exchange.Fault{Pointer: l.At, Rule: l.Rule})
			}
		}
		c.m.examples = append(c.m.examples, e)
	}
}

func (c *compiler) exampleContext(item node, f map[string]node, e *example) {
	if f["context_name"].given() {
		e.ctx.Name = f["context_name"].text()
	}
	for _, p := range optional(f["pruned"]) {
		e.ctx.Pruned = append(e.ctx.Pruned, exchange.Pointer(p.text()))
	}
	if !f["date"].given() {
		if c.m.dated {
			item.fault("add date: YYYY-MM-DD", "a code list of this mapping has days of validity, so the example needs a date")
		}
		e.ctx.At = time.Date(2026, 1, 1, 12, 0, 0, 0, c.env.Zone)
		return
	}
	day, err := time.ParseInLocation(time.DateOnly, f["date"].Value, c.env.Zone)
	if err != nil {
		f["date"].fault("YYYY-MM-DD", "not a day")
	}
	e.ctx.At = day.Add(12 * time.Hour)
}

func optional(n node) []node {
	if !n.given() {
		return nil
	}
	return n.list()
}

func (c *compiler) exampleIn(item node, f map[string]node, e *example) {
	if f["in"].given() == f["in_file"].given() {
		item.fault("", "an example has either in or in_file")
		return
	}
	if f["in"].given() {
		e.in = c.exampleTree(f["in"])
		return
	}
	n := f["in_file"]
	name := n.text()
	if c.env.File == nil || !fs.ValidPath(name) {
		n.fault("a path inside the network, without ..", "the file cannot be read")
		return
	}
	b, err := c.env.File(name)
	if err != nil {
		n.fault("", "the file %s cannot be read", clip(name))
		return
	}
	decode := c.env.Decode
	if decode == nil {
		decode = func(b []byte) (exchange.Tree, error) { return schemas.Parse(b, schemas.DefaultLimits()) }
	}
	if e.in, err = decode(b); err != nil {
		n.fault("", "the file %s is not as its format is read: %s", clip(name), exchange.AsError(err))
	}
}

// exampleTree reads a record written in YAML through the same gate as one that
// arrives.
func (c *compiler) exampleTree(n node) exchange.Tree {
	if n.Kind != kindMapping {
		n.fault("", "a record is a mapping of properties to values")
		return exchange.Tree{}
	}
	before := len(c.fs.list)
	v := n.tree()
	if len(c.fs.list) > before {
		return exchange.Tree{}
	}
	b, err := json.Marshal(v)
	if err == nil {
		var t exchange.Tree
		if t, err = schemas.Parse(b, schemas.DefaultLimits()); err == nil {
			return t
		}
	}
	n.fault("", "the byte gate refuses the record: %s", exchange.AsError(err))
	return exchange.Tree{}
}

func (c *compiler) losses(n node) []Loss {
	var out []Loss
	for _, item := range n.list() {
		f := item.object("at", "rule", "target")
		l := Loss{Rule: f["rule"].text(), Target: exchange.Pointer(f["target"].text())}
		if f["at"].given() && f["at"].Value != "" {
			l.At = exchange.Pointer(f["at"].text())
		}
		if l.Rule == "" {
			item.fault("for example {at: /note, rule: code_unmapped}", "the rule is missing")
		}
		out = append(out, l)
	}
	return out
}

// Failure is one example that does not come out as it says.
type Failure struct {
	Example string
	File    string
	Line    int
	Message string
}

func (f Failure) String() string {
	return fmt.Sprintf("%s:%d: example %q: %s", f.File, f.Line, f.Example, f.Message)
}

// Examples is the number of the mapping's own tests.
func (m *Mapping) Examples() int { return len(m.examples) }

// Test runs the mapping's examples: what goes in must fit the source, what
// comes out must be exactly what the example says and fit the target, and so
// must the report.
func Test(m *Mapping) []Failure {
	var out []Failure
	for i := range m.examples {
		e := &m.examples[i]
		for _, message := range m.test(e) {
			out = append(out, Failure{Example: e.name, File: m.file, Line: e.line, Message: message})
		}
	}
	return out
}

func (m *Mapping) test(e *example) []string {
	var wrong []string
	for _, f := range m.env.Source.Validate(e.in) {
		if !f.Warning {
			wrong = append(wrong, fmt.Sprintf("in does not fit %s: %s: %s", m.from, f.Pointer, f.Rule))
		}
	}
	got, report, err := m.Apply(e.in, e.ctx)
	if err != nil {
		return append(wrong, e.failed(exchange.AsError(err))...)
	}
	if e.fails != nil {
		return append(wrong, "the record should be refused and is mapped")
	}
	for _, at := range differences(got.Value(), e.out.Value(), "", nil) {
		wrong = append(wrong, "what comes out differs at "+string(at))
	}
	for _, f := range m.env.Target.Validate(got) {
		if !f.Warning {
			wrong = append(wrong, fmt.Sprintf("what comes out does not fit %s: %s: %s", m.to, f.Pointer, f.Rule))
		}
	}
	return append(wrong, e.reported(report)...)
}

func (e *example) failed(err *exchange.Error) []string {
	if e.fails == nil {
		return []string{"the record is refused: " + err.Error()}
	}
	var wrong []string
	for _, f := range err.Faults {
		if !slices.ContainsFunc(e.fails, func(w exchange.Fault) bool { return w.Pointer == f.Pointer && w.Rule == f.Rule }) {
			wrong = append(wrong, fmt.Sprintf("refused for %s %s, which fails does not say", f.Pointer, f.Rule))
		}
	}
	for _, w := range e.fails {
		if !slices.ContainsFunc(err.Faults, func(f exchange.Fault) bool { return w.Pointer == f.Pointer && w.Rule == f.Rule }) {
			wrong = append(wrong, fmt.Sprintf("not refused for %s %s", w.Pointer, w.Rule))
		}
	}
	return wrong
}

func (e *example) reported(report Report) []string {
	same := func(want, got Loss) bool {
		return want.At == got.At && want.Rule == got.Rule && (want.Target == "" || want.Target == got.Target)
	}
	var wrong []string
	for _, got := range report.Lost {
		if !slices.ContainsFunc(e.lost, func(want Loss) bool { return same(want, got) }) {
			wrong = append(wrong, fmt.Sprintf("lost %s (%s) to %s, which lost does not say", got.At, got.Rule, got.Target))
		}
	}
	for _, want := range e.lost {
		if !slices.ContainsFunc(report.Lost, func(got Loss) bool { return same(want, got) }) {
			wrong = append(wrong, fmt.Sprintf("the report does not say that %s was lost (%s)", want.At, want.Rule))
		}
	}
	return wrong
}

const maxDifferences = 10

// differences are the places where two trees differ; no value is shown.
func differences(a, b any, at exchange.Pointer, out []exchange.Pointer) []exchange.Pointer {
	if len(out) >= maxDifferences || reflect.DeepEqual(a, b) {
		return out
	}
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok {
			break
		}
		var keys []string
		for k := range x {
			keys = append(keys, k)
		}
		for k := range y {
			if _, both := x[k]; !both {
				keys = append(keys, k)
			}
		}
		slices.Sort(keys)
		for _, k := range keys {
			p, inA := x[k]
			q, inB := y[k]
			if inA != inB {
				out = append(out, at.Append(k))
			} else {
				out = differences(p, q, at.Append(k), out)
			}
		}
		return out
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			break
		}
		for i := range x {
			out = differences(x[i], y[i], at.Index(i), out)
		}
		return out
	}
	if at == "" {
		at = "(root)"
	}
	return append(out, at)
}

// Describe is one line about what a reading is, for people.
func (r Reading) Describe() string {
	s := string(r.Path) + " by " + string(r.Via)
	if r.CodeList != "" {
		s += " " + r.CodeList + " to " + r.Column
	}
	if len(r.Values) > 0 {
		op := " in "
		if r.Not {
			op = " not in "
		}
		s += op + strings.Join(r.Values, ", ")
	}
	return s
}
