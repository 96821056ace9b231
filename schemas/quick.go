package schemas

import (
	"encoding/json"
	"math/big"
	"regexp"
	"strconv"
	"strings"
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
