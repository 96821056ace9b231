package schemas

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// test judges a value.
func (q *quick) test(v any) verdict {
	own := q.own(v)
	if own == no {
		return no
	}
	return min(own, q.combined(v))
}

// own judges by the rules about v's own type.
func (q *quick) own(v any) verdict {
	kind := kindOf(v)
	if q.kinds != 0 && q.kinds&kind == 0 {
		if kind == isFloat { // 1.0 is an integer, and quick does not look
			return unsure
		}
		return no
	}
	if kind != isText && (q.texts != nil || q.constText != nil || q.other) {
		return unsure
	}
	switch x := v.(type) {
	case map[string]any:
		return q.testObject(x)
	case []any:
		return q.testArray(x)
	case string:
		return q.testText(x)
	case json.Number:
		return q.testNumber(x, kind)
	}
	return yes
}

func kindOf(v any) kindSet {
	switch x := v.(type) {
	case nil:
		return isNull
	case bool:
		return isBool
	case string:
		return isText
	case []any:
		return isArray
	case map[string]any:
		return isObject
	case json.Number:
		if isPlainInteger(string(x)) {
			return isInteger
		}
		return isFloat
	}
	return 0
}

func isPlainInteger(s string) bool {
	return len(s) <= tooLong && !strings.ContainsAny(s, ".eE")
}

func (q *quick) testObject(x map[string]any) verdict {
	for _, name := range q.required {
		if _, ok := x[name]; !ok {
			return no
		}
	}
	worst := yes
	for name, v := range x {
		p := q.props[name]
		if p == nil {
			if q.closed {
				return no
			}
			continue
		}
		if worst = min(worst, p.test(v)); worst == no {
			return no
		}
	}
	return worst
}

func (q *quick) testArray(x []any) verdict {
	if len(x) < q.minItems || len(x) > q.maxItems {
		return no
	}
	worst := yes
	if q.unique {
		worst = distinctTexts(x)
	}
	if q.item == nil {
		return worst
	}
	for _, v := range x {
		if worst = min(worst, q.item.test(v)); worst == no {
			return no
		}
	}
	return worst
}

// distinctTexts is yes for few different texts.
func distinctTexts(x []any) verdict {
	if len(x) > 16 {
		return unsure
	}
	for i, v := range x {
		s, ok := v.(string)
		if !ok {
			return unsure
		}
		for _, w := range x[:i] {
			if w == any(s) {
				return no
			}
		}
	}
	return yes
}

func (q *quick) testText(s string) verdict {
	if q.texts != nil && !q.texts[s] || q.constText != nil && *q.constText != s {
		return no
	}
	if q.other && q.texts == nil { // a const that is no text
		return no
	}
	if q.minLength > 0 || len(s) > q.maxLength { // bytes are never fewer than code points
		if n := utf8.RuneCountInString(s); n < q.minLength || n > q.maxLength {
			return no
		}
	}
	if q.pattern != nil && !q.pattern.MatchString(s) || q.format != nil && !q.format(s) {
		return no
	}
	return yes
}

func (q *quick) testNumber(n json.Number, kind kindSet) verdict {
	if q.low == -farthest && q.high == farthest && q.multiple == 0 {
		return yes
	}
	if kind != isInteger || q.multiple < 0 {
		return unsure
	}
	i, err := strconv.ParseInt(string(n), 10, 64)
	if err != nil {
		return unsure
	}
	return sure(i >= q.low && i <= q.high && (q.multiple == 0 || i%q.multiple == 0))
}

// combined judges allOf, anyOf, oneOf, not and if; an unsure part makes the
// whole unsure unless another part decides.
func (q *quick) combined(v any) verdict {
	worst := yes
	for _, b := range q.all {
		worst = min(worst, b.test(v))
	}
	if len(q.any) > 0 {
		best := no
		for _, b := range q.any {
			best = max(best, b.test(v))
		}
		worst = min(worst, best)
	}
	if len(q.one) > 0 {
		worst = min(worst, exactlyOne(q.one, v))
	}
	if q.not != nil {
		worst = min(worst, q.not.test(v).not())
	}
	if q.when != nil {
		worst = min(worst, q.conditional(v))
	}
	return worst
}

func exactlyOne(branches []*quick, v any) verdict {
	hits, doubts := 0, 0
	for _, b := range branches {
		switch b.test(v) {
		case yes:
			hits++
		case unsure:
			doubts++
		}
	}
	switch {
	case hits > 1:
		return no
	case doubts > 0:
		return unsure
	}
	return sure(hits == 1)
}

func (q *quick) conditional(v any) verdict {
	branch := func(b *quick) verdict {
		if b == nil {
			return yes
		}
		return b.test(v)
	}
	switch q.when.test(v) {
	case yes:
		return branch(q.then)
	case no:
		return branch(q.elseThen)
	}
	if then := branch(q.then); then == branch(q.elseThen) {
		return then
	}
	return unsure
}
