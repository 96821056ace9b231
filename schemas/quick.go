package schemas

import (
	"encoding/json"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// verdict is what the quick test says of a value.
type verdict int8

const (
	no     verdict = -1
	unsure verdict = 0
	yes    verdict = 1
)

func (v verdict) not() verdict { return -v }

func sure(ok bool) verdict {
	if ok {
		return yes
	}
	return no
}

// quick is a schema compiled to answer one question fast: is this surely
// valid? Only a yes counts; everything else goes to the reference validator,
// whose word is final and who writes the report. It understands numbers that
// are plain integers and is unsure about the others. That its yes is always
// the reference's yes is held by a property test and a fuzz target.
type quick struct {
	kinds kindSet

	props    map[string]*quick
	closed   bool
	required []string

	item               *quick
	minItems, maxItems int
	unique             bool

	minLength, maxLength int
	pattern              *regexp.Regexp
	format               func(string) bool
	texts                map[string]bool // enum of texts, nil if there is none
	constText            *string
	other                bool // a rule about other values that quick does not judge

	low, high, multiple int64 // of integers

	all, any, one             []*quick
	not, when, then, elseThen *quick
}

type kindSet uint8

const (
	isNull kindSet = 1 << iota
	isBool
	isText
	isInteger
	isFloat
	isArray
	isObject
)

var kindBits = map[string]kindSet{
	typeNull: isNull, typeBoolean: isBool, typeString: isText, typeInteger: isInteger,
	typeNumber: isInteger | isFloat, typeArray: isArray, typeObject: isObject,
}

const (
	openEnd  = 1<<31 - 1      // no maxItems, no maxLength
	farthest = int64(1) << 62 // no minimum, no maximum
	tooLong  = len("1") + 17  // digits of an integer that surely fits
)

// newQuick compiles a schema as the linter wrote it out.
func newQuick(m map[string]any) *quick {
	q := &quick{maxItems: openEnd, maxLength: openEnd, low: -farthest, high: farthest}
	if names, ok := typeNames(m["type"]); ok {
		for _, name := range names {
			q.kinds |= kindBits[name]
		}
	}
	q.object(m)
	q.array(m)
	q.text(m)
	q.integer(m)
	q.values(m)
	list := func(key string) (out []*quick) {
		branches, _ := m[key].([]any)
		for _, b := range branches {
			out = append(out, newQuick(b.(map[string]any)))
		}
		return out
	}
	q.all, q.any, q.one = list("allOf"), list("anyOf"), list("oneOf")
	single := func(key string) *quick {
		if b, ok := m[key].(map[string]any); ok {
			return newQuick(b)
		}
		return nil
	}
	q.not, q.when, q.then, q.elseThen = single("not"), single("if"), single("then"), single("else")
	return q
}

func (q *quick) object(m map[string]any) {
	properties, _ := m["properties"].(map[string]any)
	q.props = make(map[string]*quick, len(properties))
	for name, p := range properties {
		q.props[name] = newQuick(p.(map[string]any))
	}
	_, q.closed = m["additionalProperties"]
	q.required, _ = typeNames(m["required"])
}

func (q *quick) array(m map[string]any) {
	if items, ok := m["items"].(map[string]any); ok {
		q.item = newQuick(items)
	}
	q.unique, _ = m["uniqueItems"].(bool)
	q.minItems, q.maxItems = countOf(m, "minItems", 0), countOf(m, "maxItems", openEnd)
}

func (q *quick) text(m map[string]any) {
	q.minLength, q.maxLength = countOf(m, "minLength", 0), countOf(m, "maxLength", openEnd)
	if p, ok := m["pattern"].(string); ok {
		q.pattern = regexp.MustCompile(p) // lint has parsed it
	}
	if f, ok := m["format"].(string); ok {
		q.format = formats[strings.TrimPrefix(f, privateFormat(""))]
	}
}

func countOf(m map[string]any, key string, absent int) int {
	if n, ok := m[key].(json.Number); ok {
		if i, err := strconv.Atoi(string(n)); err == nil {
			return i
		}
	}
	return absent
}

// integer turns the bounds into inclusive ones for integers.
func (q *quick) integer(m map[string]any) {
	bound := func(key string, side int64, exclusive bool) {
		n, ok := m[key].(json.Number)
		if !ok {
			return
		}
		i, exact := floorOf(n)
		switch {
		case side > 0: // a minimum: the smallest integer that is allowed
			if !exact || exclusive {
				i++
			}
			q.low = max(q.low, i)
		default:
			if exact && exclusive {
				i--
			}
			q.high = min(q.high, i)
		}
	}
	bound("minimum", 1, false)
	bound("exclusiveMinimum", 1, true)
	bound("maximum", -1, false)
	bound("exclusiveMaximum", -1, true)
	if n, ok := m["multipleOf"].(json.Number); ok {
		i, exact := floorOf(n)
		if q.multiple = i; !exact || i < 1 || i >= farthest {
			q.multiple = -1 // unsure
		}
	}
}

// floorOf is the largest integer not above n, cut to what no plain integer
// that quick judges reaches, and whether it is n itself.
func floorOf(n json.Number) (int64, bool) {
	r, ok := new(big.Rat).SetString(string(n))
	if !ok {
		return 0, false
	}
	floor, rest := new(big.Int).DivMod(r.Num(), r.Denom(), new(big.Int))
	switch {
	case floor.Cmp(big.NewInt(farthest-1)) > 0:
		return farthest - 1, true
	case floor.Cmp(big.NewInt(1-farthest)) < 0:
		return 1 - farthest, true
	}
	return floor.Int64(), rest.Sign() == 0
}

func (q *quick) values(m map[string]any) {
	if list, ok := m["enum"].([]any); ok {
		q.texts = make(map[string]bool, len(list))
		for _, v := range list {
			if s, isText := v.(string); isText {
				q.texts[s] = true
			} else {
				q.other = true
			}
		}
	}
	switch v, ok := m["const"]; x := v.(type) {
	case string:
		q.constText = &x
	default:
		q.other = q.other || ok
	}
}

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
	return len(s) <= tooLong && strings.IndexAny(s, ".eE") < 0
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
