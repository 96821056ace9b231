package person

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"raccordo/hub/exchange"
)

// System is a way of naming persons (domain.md 8.1, person_identifier).
type System string

// The systems. PERMIT is a value of the schema, but no key of a person: the
// number of a residence permit changes with every renewal.
const (
	SystemANPR   System = "ANPR"   // id of the national register of residents
	SystemCF     System = "CF"     // codice fiscale, 16 characters
	SystemCFNum  System = "CF_NUM" // provisional codice fiscale, 11 digits
	SystemENI    System = "ENI"    // health code of EU citizens without cover
	SystemSTP    System = "STP"    // health code of foreigners not regular
	SystemLocal  System = "LOCAL"  // a body's own code, known to it alone
	SystemPermit System = "PERMIT" // residence permit; never a key
)

// strengths order the systems that may be keys (protocol.md 2.3), the
// strongest first; ENI and STP are equal.
var strengths = map[System]int{SystemANPR: 5, SystemCF: 4, SystemCFNum: 3, SystemENI: 2, SystemSTP: 2, SystemLocal: 1}

// IsValid reports whether s is one of the systems of the schema.
func (s System) IsValid() bool { return s == SystemPermit || s.IsKey() }

// IsKey reports whether identifiers of s may be the key of a person.
func (s System) IsKey() bool { return strengths[s] > 0 }

// Strength orders systems: of several known identifiers of a record the one
// with the highest wins. Zero is no key.
func (s System) Strength() int { return strengths[s] }

// Rule says which rule an identifier broke. It is a closed set, safe to show
// and to count by.
type Rule string

// The rules.
const (
	RuleSystem      Rule = "identifier_system"      // not a system, or no key of a person
	RuleLength      Rule = "identifier_length"      // too short or too long
	RuleCharacters  Rule = "identifier_characters"  // characters or positions not of this system
	RuleMonth       Rule = "identifier_month"       // the month letter of a codice fiscale
	RuleDay         Rule = "identifier_day"         // the day of a codice fiscale
	RuleCheck       Rule = "identifier_check"       // the check character
	RulePlaceholder Rule = "identifier_placeholder" // zeros, dashes: written because a field wanted something
	RuleBody        Rule = "identifier_body"        // a local code without the body that issued it
)

// Error is a malformed identifier. It holds the rule and never the value, and
// wraps [exchange.ErrBadID].
type Error struct{ Rule Rule }

func (e *Error) Error() string { return string(e.Rule) }

func (e *Error) Unwrap() error { return exchange.ErrBadID }

// RuleOf is the rule that err says was broken, "" if it says none.
func RuleOf(err error) Rule {
	var e *Error
	if errors.As(err, &e) {
		return e.Rule
	}
	return ""
}

func broken(r Rule) error { return &Error{r} }

// Identifier is one well-formed identifier of a person. The value, and even
// the system (STP says something about migration status), are hidden from
// every print verb, logger and encoder: they live behind closures. The zero
// value is no identifier and resolves to nobody.
type Identifier struct {
	system func() System
	body   func() exchange.BodyID
	value  func() string
}

func newIdentifier(s System, body exchange.BodyID, value string) Identifier {
	return Identifier{
		system: func() System { return s },
		body:   func() exchange.BodyID { return body },
		value:  func() string { return value },
	}
}

// New validates a value of any system but LOCAL and gives the identifier in its
// canonical form: without blanks around it, in upper case. Errors are [*Error].
func New(s System, value string) (Identifier, error) {
	v, ok := canonical(value)
	if !ok {
		return Identifier{}, broken(RuleCharacters)
	}
	switch s {
	case SystemCF:
		cf, err := ParseCF(v)
		if err != nil {
			return Identifier{}, err
		}
		return cf.Identifier(), nil
	case SystemCFNum:
		return checked(s, v, checkNumeric(v))
	case SystemSTP, SystemENI:
		return checked(s, v, checkHealthCode(s, v))
	case SystemANPR:
		return checked(s, v, checkANPR(v))
	case SystemLocal:
		return Identifier{}, broken(RuleBody)
	}
	return Identifier{}, broken(RuleSystem)
}

func checked(s System, v string, err error) (Identifier, error) {
	if err != nil {
		return Identifier{}, err
	}
	return newIdentifier(s, "", v), nil
}

// ParseTaxCode reads a field that holds either form of a tax code: 16
// characters are a codice fiscale, 11 the provisional numeric one. The caller
// knows that the field names a natural person: legal persons have numbers of
// the same form.
func ParseTaxCode(value string) (Identifier, error) {
	switch len(strings.Trim(value, " ")) {
	case 16:
		return New(SystemCF, value)
	case 11:
		return New(SystemCFNum, value)
	}
	return Identifier{}, broken(RuleLength)
}

// maxLocal is the length of a local code (domain.md 8.1: value <= 32).
const maxLocal = 32

// NewLocal validates a code that body gives to persons it knows no better name
// for. Blanks around it are removed; case is kept. It names a person only
// together with that body.
func NewLocal(body exchange.BodyID, value string) (Identifier, error) {
	if !exchange.ValidName(string(body)) {
		return Identifier{}, broken(RuleBody)
	}
	v := strings.Trim(value, " ")
	if len(v) == 0 || len(v) > maxLocal {
		return Identifier{}, broken(RuleLength)
	}
	says := false
	for i := range len(v) {
		if v[i] < ' ' || v[i] > '~' {
			return Identifier{}, broken(RuleCharacters)
		}
		says = says || v[i] >= '1' && v[i] <= '9' || v[i]|0x20 >= 'a' && v[i]|0x20 <= 'z'
	}
	if !says { // "0000", "-", "?": everybody would be the same person
		return Identifier{}, broken(RulePlaceholder)
	}
	return newIdentifier(SystemLocal, body, v), nil
}

// canonical trims blanks and raises ASCII letters; anything beyond ASCII is no
// character of any identifier.
func canonical(s string) (string, bool) {
	s = strings.Trim(s, " ")
	for i := range len(s) {
		if s[i] >= 0x80 {
			return "", false
		}
	}
	return strings.ToUpper(s), true
}

// checkHealthCode: STP or ENI, region (3), health body (3), serial (7)
// (domain.md 5.3).
func checkHealthCode(s System, v string) error {
	if len(v) != 16 {
		return broken(RuleLength)
	}
	if v[:3] != string(s) || !digits(v[3:]) {
		return broken(RuleCharacters)
	}
	if strings.Trim(v[3:], "0") == "" {
		return broken(RulePlaceholder)
	}
	return nil
}

// checkANPR: two letters, five digits, two letters (domain.md 5.4, 8.1).
func checkANPR(v string) error {
	if len(v) != 9 {
		return broken(RuleLength)
	}
	if !letters(v[:2]) || !digits(v[2:7]) || !letters(v[7:]) {
		return broken(RuleCharacters)
	}
	return nil
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func letters(s string) bool {
	for i := range len(s) {
		if s[i] < 'A' || s[i] > 'Z' {
			return false
		}
	}
	return true
}

// IsZero reports whether i is no identifier.
func (i Identifier) IsZero() bool { return i.value == nil }

// System is the system of i, "" for no identifier.
func (i Identifier) System() System {
	if i.IsZero() {
		return ""
	}
	return i.system()
}

// Body is the body that issued a LOCAL code, "" for every other system.
func (i Identifier) Body() exchange.BodyID {
	if i.IsZero() {
		return ""
	}
	return i.body()
}

// Reveal is the value. Only digests and mappings have a reason to ask.
func (i Identifier) Reveal() string {
	if i.IsZero() {
		return ""
	}
	return i.value()
}

// Same reports whether both name the same person in the same system.
func (i Identifier) Same(o Identifier) bool {
	return i.System() == o.System() && i.Body() == o.Body() && i.Reveal() == o.Reveal()
}

// Key is what a digest of i is made of: system, issuing body and value,
// unambiguous and different for different identifiers. It is as secret as the
// value.
func (i Identifier) Key() []byte {
	s, b, v := i.System(), i.Body(), i.Reveal()
	k := make([]byte, 0, len(keyDomain)+len(s)+len(b)+len(v)+2)
	k = append(k, keyDomain...)
	k = append(append(k, s...), 0) // no part holds a zero byte
	k = append(append(k, b...), 0)
	return append(k, v...)
}

const keyDomain = "raccordo/person/1\x00"

// hidden is what every attempt to show an identifier shows.
const hidden = "[hidden]"

func (Identifier) Format(s fmt.State, _ rune)     { _, _ = io.WriteString(s, hidden) }
func (Identifier) String() string                 { return hidden }
func (Identifier) GoString() string               { return hidden }
func (Identifier) LogValue() slog.Value           { return slog.StringValue(hidden) }
func (Identifier) MarshalText() ([]byte, error)   { return []byte(hidden), nil }
func (Identifier) MarshalJSON() ([]byte, error)   { return []byte(`"` + hidden + `"`), nil }
func (Identifier) MarshalBinary() ([]byte, error) { return []byte(hidden), nil }
func (Identifier) GobEncode() ([]byte, error)     { return []byte(hidden), nil }
func (Identifier) MarshalYAML() (any, error)      { return hidden, nil }
