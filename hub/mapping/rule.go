package mapping

import (
	"strconv"

	"raccordo/hub/exchange"
)

// place is a place in the source, relative to a scope or to the record's root.
type place struct {
	fromRoot bool
	tokens   []string
	pattern  exchange.Pointer // absolute, * for array items
}

// lookup follows p; null counts as absent.
func (p *place) lookup(f *frame) any {
	v := f.here
	if p.fromRoot {
		v = f.run.root
	}
	for _, token := range p.tokens {
		switch x := v.(type) {
		case map[string]any:
			v = x[token]
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(x) {
				return nil
			}
			v = x[i]
		default:
			return nil
		}
	}
	return v
}

// pointer is where p leads in this record; only made for reports.
func (p *place) pointer(f *frame) exchange.Pointer {
	var at exchange.Pointer
	if !p.fromRoot {
		at = f.pointer()
	}
	for _, token := range p.tokens {
		at = at.Append(token)
	}
	return at
}

// form is what a rule makes.
type form uint8

const (
	formValue form = iota // one value
	formGroup             // an object of fields
	formItems             // an array of declared objects
	formEach              // an array, an item for each of the source's
	formFirst             // one value or object, of the first fitting item
)

// rule is one compiled field.
type rule struct {
	line     int
	form     form
	target   exchange.Pointer // pattern
	key      []string         // below the object the rule writes into
	required bool             // the target requires it
	when     []condition

	scope  *place // of a group: the source object it stands for
	list   place  // of each and first
	where  []condition
	prune  bool
	value  *value  // nil when fields make an object
	fields []*rule // of a group, or of an item
	parts  []*rule // of items, each a group

	constant bool // fields make an object although all of it is constant
}

// constantOnly reports whether nothing the rule makes comes from the record or
// from the context.
func (r *rule) constantOnly() bool {
	switch r.form {
	case formValue:
		return r.value.constantOnly()
	case formGroup:
		return r.scope == nil && constantOnly(r.fields)
	case formItems:
		return constantOnly(r.parts)
	}
	return false
}

func constantOnly(rules []*rule) bool {
	for _, r := range rules {
		if !r.constantOnly() {
			return false
		}
	}
	return true
}

// condition is one declared condition; a missing value meets none but absence.
type condition struct {
	line    int
	path    place
	present *bool
	values  map[string]bool // texts of the values named
	not     bool            // met by every other value there is
}

func (c *condition) met(f *frame) bool {
	v := c.path.lookup(f)
	if c.present != nil {
		return (v != nil) == *c.present
	}
	text, ok := scalarText(v)
	return ok && c.values[text] != c.not
}

func allMet(cs []condition, f *frame) bool {
	for i := range cs {
		if !cs[i].met(f) {
			return false
		}
	}
	return true
}

// source is where a value comes from.
type source uint8

const (
	sourcePath source = iota
	sourceConst
	sourceJoin
	sourceCEL
	sourceContext
	sourceChoose
)

// policy is what happens to a value that cannot be converted.
type policy uint8

const (
	policyFail policy = iota
	policyLose
	policyDefault
)

// value is one compiled source with what its value passes through.
type value struct {
	line   int
	source source

	from     place
	constant any
	parts    []place
	with     string
	expr     *expression
	inputs   []input
	context  string
	choose   []alternative

	trim, upper, lower bool
	date               *dateForm
	decimal            *decimalForm
	table              *table
	cut                int
	as                 string
	fallback           any // nil: none
	unmapped           policy
}

type input struct {
	name string
	path place
	kind string // of the property
}

type alternative struct {
	when  []condition
	value *value
}

func (v *value) constantOnly() bool {
	if v.source == sourceChoose {
		for _, a := range v.choose {
			if !a.value.constantOnly() {
				return false
			}
		}
		return true
	}
	return v.source == sourceConst
}

// converts reports whether the value is more than copied.
func (v *value) converts() bool {
	return v.trim || v.upper || v.lower || v.date != nil || v.decimal != nil || v.table != nil || v.cut > 0 || v.as != ""
}
