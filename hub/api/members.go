package api

import (
	"regexp"
	"time"
	"unicode/utf8"

	"raccordo/hub/exchange"
	"raccordo/schemas"
)

// controlGate is the byte gate of bodies that hold no record.
func newControlGate() *schemas.Gate {
	l := schemas.DefaultLimits()
	l.MaxBytes, l.MaxDepth, l.MaxNodes, l.MaxStringBytes = controlBytes, 6, 4_000, 1<<10
	return schemas.NewGate(l)
}

// members reads an object of a request strictly: each member is asked for by
// name and shape, and what was never asked for is a fault (mass assignment,
// B56). An unknown name is not repeated in the fault: it may be anything, so
// the fault points at its object.
type members struct {
	all  *[]exchange.Fault
	at   exchange.Pointer
	m    map[string]any
	seen int
}

// decode reads the call's body as an object with read, and gives every fault.
func (c *call) decode(read func(m *members)) error {
	tree, _, err := c.api.gate.Parse(c.body)
	if err != nil {
		return err
	}
	var found []exchange.Fault
	m := &members{all: &found, m: tree.Object()}
	read(m)
	m.end()
	if len(found) > 0 {
		return exchange.NewError(exchange.CodeInvalid, exchange.ReasonSchema, "the body breaks a rule", found...)
	}
	return nil
}

func (m *members) fault(at exchange.Pointer, rule string) {
	*m.all = append(*m.all, exchange.Fault{Pointer: at, Rule: rule})
}

func (m *members) end() {
	if len(m.m) > m.seen {
		m.fault(m.at, "additional_property")
	}
}

// get is the member's value; a required one that is not there is a fault.
func (m *members) get(name string, required bool) (any, bool) {
	v, ok := m.m[name]
	if !ok {
		if required {
			m.fault(m.at.Append(name), "required")
		}
		return nil, false
	}
	m.seen++
	return v, true
}

// shape bounds a text and gives it a pattern.
type shape struct {
	longest int // characters
	pattern *regexp.Regexp
}

var (
	nameShape     = shape{63, regexp.MustCompile(`^[a-z][a-z0-9_]*$`)}
	valueShape    = shape{32, regexp.MustCompile(`^[\x21-\x7e]+$`)}
	evidenceShape = shape{128, regexp.MustCompile(`^[\x21-\x7e]+$`)}
	versionShape  = shape{32, regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+$`)}
	languageShape = shape{2, regexp.MustCompile(`^[a-z]{2}$`)}
	cursorShape   = shape{512, regexp.MustCompile(`^[A-Za-z0-9_-]+$`)}
)

func (m *members) text(name string, required bool, s shape) string {
	v, ok := m.get(name, required)
	if !ok {
		return ""
	}
	t, ok := v.(string)
	switch {
	case !ok:
		m.fault(m.at.Append(name), "type")
	case utf8.RuneCountInString(t) > s.longest:
		m.fault(m.at.Append(name), "max_length")
	case !s.pattern.MatchString(t):
		m.fault(m.at.Append(name), "pattern")
	default:
		return t
	}
	return ""
}

func (m *members) oneOf(name string, required bool, of ...string) string {
	v, ok := m.get(name, required)
	if !ok {
		return ""
	}
	t, ok := v.(string)
	if !ok {
		m.fault(m.at.Append(name), "type")
		return ""
	}
	for _, allowed := range of {
		if t == allowed {
			return t
		}
	}
	m.fault(m.at.Append(name), "enum")
	return ""
}

// time reads an RFC 3339 date-time, in UTC and milliseconds.
func (m *members) time(name string) time.Time {
	t, ok := m.plain(name)
	if !ok {
		return time.Time{}
	}
	out, err := time.Parse(time.RFC3339, t)
	if err != nil || out.Year() < 1900 || len(t) > 35 {
		m.fault(m.at.Append(name), "format")
		return time.Time{}
	}
	return out.UTC().Truncate(time.Millisecond)
}

func (m *members) day(name string) string {
	t, ok := m.plain(name)
	if !ok {
		return ""
	}
	if _, err := time.Parse(time.DateOnly, t); err != nil {
		m.fault(m.at.Append(name), "format")
		return ""
	}
	return t
}

func (m *members) plain(name string) (string, bool) {
	v, ok := m.get(name, false)
	if !ok {
		return "", false
	}
	t, ok := v.(string)
	if !ok {
		m.fault(m.at.Append(name), "type")
	}
	return t, ok
}

func (m *members) integer(name string, least, most, absent int) int {
	v, ok := m.get(name, false)
	if !ok {
		return absent
	}
	at := m.at.Append(name)
	number, ok := v.(interface{ String() string }) // json.Number
	if !ok {
		m.fault(at, "type")
		return absent
	}
	text := number.String()
	if len(text) > 1 && text[0] == '-' {
		if _, err := digits(text[1:]); err == nil {
			m.fault(at, "minimum")
			return absent
		}
	}
	n, err := digits(text)
	switch {
	case err != nil:
		m.fault(at, "type")
	case n < uint64(least):
		m.fault(at, "minimum")
	case n > uint64(most):
		m.fault(at, "maximum")
	default:
		return int(n)
	}
	return absent
}

// object reads a required member that is an object.
func (m *members) object(name string, read func(*members)) {
	v, ok := m.get(name, true)
	if !ok {
		return
	}
	m.nested(m.at.Append(name), v, read)
}

func (m *members) nested(at exchange.Pointer, v any, read func(*members)) {
	o, ok := v.(map[string]any)
	if !ok {
		m.fault(at, "type")
		return
	}
	in := &members{all: m.all, at: at, m: o}
	read(in)
	in.end()
}

// list reads a required member that is a list of 1 to most objects.
func (m *members) list(name string, most int, read func(*members)) {
	v, ok := m.get(name, true)
	if !ok {
		return
	}
	at := m.at.Append(name)
	items, ok := v.([]any)
	switch {
	case !ok:
		m.fault(at, "type")
	case len(items) == 0:
		m.fault(at, "min_items")
	case len(items) > most:
		m.fault(at, "max_items")
	default:
		for i, item := range items {
			m.nested(at.Index(i), item, read)
		}
	}
}

func (m *members) person() PersonIdentifier {
	var p PersonIdentifier
	m.object("person", func(m *members) {
		p.System = m.oneOf("system", true, "CF", "CF_NUM", "STP", "ENI", "ANPR", "PERMIT", "LOCAL")
		p.Value = exchange.NewPayload([]byte(m.text("value", true, valueShape)))
	})
	return p
}
