package mapping

import (
	"time"

	"raccordo/hub/exchange"
)

// Context is what a result depends on beside the record.
type Context struct {
	At     time.Time          // when the record was received; code lists are read for that day
	Name   string             // what the recipient's protocol gives, "" if nothing
	Pruned []exchange.Pointer // places of persons the gate refuses, in the tree handed to Apply
}

// Loss is something the target could not hold as it was. It shows no value.
type Loss struct {
	At     exchange.Pointer `json:"at"`     // in the source
	Target exchange.Pointer `json:"target"` // * for array items
	Rule   string           `json:"rule"`
}

// Report is what one record lost on its way. Properties that the mapping does
// not name are no loss: leaving them out is what it is for.
type Report struct {
	Lost []Loss
}

// Bounds of one application.
const (
	maxSteps  = 200_000 // items visited and values made
	maxLosses = 100
	maxFailed = 20
)

// Apply maps one record. The result shares values with the source; neither may
// be changed. An error is an [*exchange.Error] with [exchange.ReasonMappingFailed]
// whose faults name places in the source (and rules), never values; then
// there is no result. Whether the result fits the target is for the target's
// schema to say.
//
// The persons at ctx.Pruned are taken out before anything is read: no field,
// condition or expression sees them. It is an error when the mapping reads one
// of those places and does not declare that it may be pruned.
func (m *Mapping) Apply(tree exchange.Tree, ctx Context) (out exchange.Tree, report Report, err error) {
	defer func() {
		if p := recover(); p != nil { // its text could hold a value: it goes nowhere
			out, report = exchange.Tree{}, Report{}
			err = exchange.NewError(exchange.CodeInternal, exchange.ReasonPanicked, "the mapping "+string(m.id)+" failed unexpectedly")
		}
	}()
	r := run{m: m, ctx: &ctx, root: tree.Value()}
	if len(ctx.Pruned) > 0 {
		if f := r.prune(tree); f != nil {
			return exchange.Tree{}, Report{}, m.failed(*f)
		}
	}
	result := make(map[string]any, len(m.rules))
	r.rules(m.rules, &frame{run: &r, here: r.root}, result)
	if len(r.failed) > 0 {
		return exchange.Tree{}, Report{}, m.failed(r.failed...)
	}
	return exchange.NewTree(result), Report{Lost: r.lost}, nil
}

func (m *Mapping) failed(faults ...exchange.Fault) error {
	return exchange.NewError(exchange.CodeInvalid, exchange.ReasonMappingFailed,
		"the record cannot be mapped by "+string(m.id), faults...)
}

// run is one application.
type run struct {
	m       *Mapping
	ctx     *Context
	root    any
	dayMemo string
	lost    []Loss
	failed  []exchange.Fault
	steps   int
}

// frame is where relative paths begin.
type frame struct {
	run    *run
	here   any
	parent *frame
	via    *place // from the parent; nil at the root
	index  int    // of an item; -1: an object
}

func (f *frame) pointer() exchange.Pointer {
	if f.via == nil {
		return ""
	}
	at := f.via.pointer(f.parent)
	if f.index >= 0 {
		at = at.Index(f.index)
	}
	return at
}

func (r *run) fail(at exchange.Pointer, rule string) {
	if len(r.failed) < maxFailed {
		r.failed = append(r.failed, exchange.Fault{Pointer: at, Rule: rule})
	}
}

// step counts work and reports whether there may be more of it.
func (r *run) step() bool {
	if r.steps++; r.steps == maxSteps {
		r.fail("", "too_large")
	}
	return r.steps < maxSteps
}

// day is the day the record is from, where the network lies.
func (r *run) day() string {
	if r.dayMemo == "" {
		r.dayMemo = r.ctx.At.In(r.m.env.Zone).Format(time.DateOnly)
	}
	return r.dayMemo
}

// rules fills an object and reports whether anything in it came from the
// record or the context.
func (r *run) rules(rules []*rule, f *frame, into map[string]any) bool {
	filled := false
	for _, rule := range rules {
		if !r.step() {
			return filled
		}
		if allMet(rule.when, f) && r.rule(rule, f, into) {
			filled = true
		}
	}
	return filled
}

func (r *run) rule(rule *rule, f *frame, into map[string]any) bool {
	switch rule.form {
	case formValue:
		v, derived, ok := r.value(rule.value, f, rule.target)
		if ok {
			set(into, rule.key, v)
		}
		return ok && derived
	case formGroup:
		o, derived, ok := r.group(rule, f)
		if ok {
			set(into, rule.key, o)
		}
		return ok && derived
	case formItems:
		return r.items(rule, f, into)
	}
	return r.each(rule, f, into)
}

func (r *run) group(rule *rule, f *frame) (o map[string]any, derived, ok bool) {
	if rule.scope != nil {
		here, isObject := rule.scope.lookup(f).(map[string]any)
		if !isObject {
			return nil, false, false
		}
		f = &frame{run: r, here: here, parent: f, via: rule.scope, index: -1}
	}
	return r.object(rule, f)
}

// object makes an object of rule's fields; constants alone make none.
func (r *run) object(rule *rule, f *frame) (o map[string]any, derived, ok bool) {
	o = make(map[string]any, len(rule.fields))
	derived = r.rules(rule.fields, f, o)
	return o, derived, len(o) > 0 && (derived || rule.constant)
}

func (r *run) items(rule *rule, f *frame, into map[string]any) bool {
	var out []any
	filled := false
	for _, part := range rule.parts {
		if !allMet(part.when, f) {
			continue
		}
		if o, derived, ok := r.group(part, f); ok {
			out = append(out, o)
			filled = filled || derived
		}
	}
	setList(into, rule, out)
	return filled
}

// setList leaves an empty array out unless the target requires it.
func setList(into map[string]any, rule *rule, items []any) {
	if len(items) == 0 {
		if !rule.required {
			return
		}
		items = []any{}
	}
	set(into, rule.key, items)
}

// each runs each and first.
func (r *run) each(rule *rule, f *frame, into map[string]any) bool {
	v := rule.list.lookup(f)
	list, ok := v.([]any)
	if v != nil && !ok {
		r.fail(rule.list.pointer(f), "type")
		return false
	}
	var out []any
	filled := false
	for i, item := range list {
		if item == nil {
			continue
		}
		if !r.step() {
			return filled
		}
		inner := &frame{run: r, here: item, parent: f, via: &rule.list, index: i}
		if !allMet(rule.where, inner) {
			continue
		}
		made, ok := r.item(rule, inner)
		if !ok {
			continue
		}
		filled = true
		if rule.form == formFirst {
			set(into, rule.key, made)
			return true
		}
		if out == nil {
			out = make([]any, 0, len(list)-i)
		}
		out = append(out, made)
	}
	if rule.form == formEach && ok {
		setList(into, rule, out)
	}
	return filled
}

func (r *run) item(rule *rule, f *frame) (any, bool) {
	if rule.value == nil {
		o, _, ok := r.object(rule, f)
		return o, ok
	}
	v, _, ok := r.value(rule.value, f, rule.target)
	return v, ok
}

// set puts v below into, making the objects on the way.
func set(into map[string]any, key []string, v any) {
	for _, token := range key[:len(key)-1] {
		next, ok := into[token].(map[string]any)
		if !ok {
			next = map[string]any{}
			into[token] = next
		}
		into = next
	}
	into[key[len(key)-1]] = v
}
