package mapping

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"

	"raccordo/hub/exchange"
)

// value makes one value: whether there is one, and whether it came from the
// record or the context.
func (r *run) value(v *value, f *frame, target exchange.Pointer) (out any, derived, ok bool) {
	switch v.source {
	case sourceConst:
		return v.constant, false, true
	case sourceChoose:
		for i := range v.choose {
			if a := &v.choose[i]; allMet(a.when, f) {
				if out, derived, ok = r.value(a.value, f, target); ok {
					return out, derived, true
				}
			}
		}
		return v.fallback, false, v.fallback != nil
	}
	raw, ok := r.raw(v, f)
	if !ok {
		return nil, false, false // reported
	}
	if raw == nil {
		return v.fallback, false, v.fallback != nil
	}
	if v.converts() {
		return r.convert(v, raw, f, target)
	}
	switch x := raw.(type) {
	case map[string]any:
		r.fail(v.at(f), "type")
		return nil, false, false
	case []any:
		for _, item := range x {
			if _, leaf := scalarText(item); !leaf {
				r.fail(v.at(f), "type")
				return nil, false, false
			}
		}
	}
	return raw, true, true
}

// at is the place in the source that reports name.
func (v *value) at(f *frame) exchange.Pointer {
	if v.source == sourcePath {
		return v.from.pointer(f)
	}
	return f.pointer()
}

// raw is what the source gives, nil for nothing; ok is false when it failed.
func (r *run) raw(v *value, f *frame) (any, bool) {
	switch v.source {
	case sourceJoin:
		return r.join(v, f)
	case sourceCEL:
		return r.cel(v, f)
	case sourceContext:
		if v.context == "date" {
			return r.day(), true
		}
		if r.ctx.Name == "" {
			return nil, true
		}
		return r.ctx.Name, true
	}
	return v.from.lookup(f), true
}

func (r *run) join(v *value, f *frame) (any, bool) {
	var b []byte
	for i := range v.parts {
		raw := v.parts[i].lookup(f)
		if raw == nil {
			continue
		}
		text, ok := scalarText(raw)
		if !ok {
			r.fail(v.parts[i].pointer(f), "type")
			return nil, false
		}
		if text == "" {
			continue
		}
		if len(b) > 0 {
			b = append(b, v.with...)
		}
		b = append(b, text...)
	}
	if len(b) == 0 {
		return nil, true
	}
	return string(b), true
}

func (r *run) cel(v *value, f *frame) (any, bool) {
	inputs := make(map[string]any, len(v.inputs))
	for i := range v.inputs {
		in := &v.inputs[i]
		raw := in.path.lookup(f)
		if raw == nil {
			return nil, true
		}
		typed, ok := celInput(in.kind, raw)
		if !ok {
			r.fail(in.path.pointer(f), "type")
			return nil, false
		}
		inputs[in.name] = typed
	}
	out, err := v.expr.eval(inputs)
	if errors.Is(err, errMissing) {
		return nil, true
	}
	if err == nil {
		switch x := out.(type) {
		case string, bool:
			return x, true
		case int64:
			return json.Number(strconv.FormatInt(x, 10)), true
		case float64:
			if !math.IsNaN(x) && !math.IsInf(x, 0) {
				return json.Number(strconv.FormatFloat(x, 'f', -1, 64)), true
			}
		}
	}
	r.fail(f.pointer(), "expression_failed")
	return nil, false
}

func celInput(kind string, raw any) (any, bool) {
	switch kind {
	case "integer":
		n, ok := raw.(json.Number)
		if !ok {
			return nil, false
		}
		i, err := n.Int64()
		return i, err == nil
	case "number":
		n, ok := raw.(json.Number)
		if !ok {
			return nil, false
		}
		d, err := n.Float64()
		return d, err == nil
	}
	switch raw.(type) {
	case string:
		return raw, kind == "string"
	case bool:
		return raw, kind == "boolean"
	case []any:
		return raw, kind == "array"
	case map[string]any:
		return raw, kind == "object"
	}
	return nil, false
}

// convert passes a value through what v declares, in the order of doc.go.
func (r *run) convert(v *value, raw any, f *frame, target exchange.Pointer) (any, bool, bool) {
	text, ok := scalarText(raw)
	if !ok {
		r.fail(v.at(f), "type")
		return nil, false, false
	}
	text = v.letters(text)
	rule := ""
	if v.date != nil {
		if text, ok = v.date.convert(text, r.m.env.Zone); !ok {
			rule = "date_unreadable"
		}
	}
	if rule == "" && v.decimal != nil {
		if text, ok = v.decimal.convert(text); !ok {
			rule = "decimal_unreadable"
		}
	}
	if rule == "" && v.table != nil {
		day := ""
		if v.table.dated {
			day = r.day()
		}
		if text, ok = v.table.lookup(text, day); !ok {
			rule = "code_unmapped"
		}
	}
	if rule == "" && v.cut > 0 {
		if text, ok = cutText(text, v.cut); ok {
			r.lose(v, f, target, "text_cut")
		}
	}
	if rule == "" {
		out, ok := as(v.as, text)
		if ok {
			return out, true, true
		}
		rule = "type_unfit"
	}
	switch v.unmapped {
	case policyLose:
		r.lose(v, f, target, rule)
		return nil, false, false
	case policyDefault:
		r.lose(v, f, target, rule)
		return v.fallback, false, true
	}
	r.fail(v.at(f), rule)
	return nil, false, false
}

func (r *run) lose(v *value, f *frame, target exchange.Pointer, rule string) {
	if len(r.lost) < maxLosses {
		r.lost = append(r.lost, Loss{At: v.at(f), Target: target, Rule: rule})
	}
}
