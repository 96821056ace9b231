package person

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// CF is a well-formed codice fiscale of 16 characters (DM 23-12-1976;
// domain.md 5.1): surname (3), name (3), year (2), month letter, day (+40 for
// women), place (4), check character. It is hidden like an [Identifier], of
// which it is the readable form.
type CF struct{ id Identifier }

const (
	monthLetters    = "ABCDEHLMPRST"
	omocodiaLetters = "LMNPQRSTUV" // for the digits 0 to 9
)

// digitPositions are those of the seven digits, from zero; omocodia replaces
// them from the right-most on, any set of them is accepted.
var digitPositions = [...]int{6, 7, 9, 10, 12, 13, 14}

// oddValues are what a character in an odd position (counted from one) is worth
// for the check; index 0 is both '0' and 'A'.
var oddValues = [26]int{1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23}

// ParseCF validates a codice fiscale. Small letters and blanks around it are
// accepted; the result is canonical. Errors are [*Error] and name the first
// broken rule. Whether the place exists, or the code was issued, is not known
// here: see [CF.Warnings].
func ParseCF(value string) (CF, error) {
	v, ok := canonical(value)
	switch {
	case !ok:
		return CF{}, broken(RuleCharacters)
	case len(v) != 16:
		return CF{}, broken(RuleLength)
	case !letters(v[:6]) || !letters(v[8:9]) || !letters(v[11:12]) || !letters(v[15:]):
		return CF{}, broken(RuleCharacters)
	}
	plain := []byte(v)
	for _, p := range digitPositions {
		d, ok := plainDigit(v[p])
		if !ok {
			return CF{}, broken(RuleCharacters)
		}
		plain[p] = d
	}
	if !strings.Contains(monthLetters, v[8:9]) {
		return CF{}, broken(RuleMonth)
	}
	if day := number(plain[9:11]); day < 1 || day > 31 && day < 41 || day > 71 {
		return CF{}, broken(RuleDay)
	}
	if v[15] != checkCharacter(v[:15]) {
		return CF{}, broken(RuleCheck)
	}
	return CF{newIdentifier(SystemCF, "", v)}, nil
}

// plainDigit undoes omocodia in one character.
func plainDigit(c byte) (byte, bool) {
	if c >= '0' && c <= '9' {
		return c, true
	}
	if i := strings.IndexByte(omocodiaLetters, c); i >= 0 {
		return byte('0' + i), true
	}
	return 0, false
}

// number is the value of decimal digits.
func number(b []byte) int {
	n := 0
	for _, c := range b {
		n = n*10 + int(c-'0')
	}
	return n
}

// checkCharacter is that of 15 upper-case letters and digits.
func checkCharacter(s string) byte {
	sum := 0
	for i := range 15 {
		n := int(s[i] - '0')
		if s[i] >= 'A' {
			n = int(s[i] - 'A')
		}
		if i%2 == 0 { // an odd position, counted from one
			n = oddValues[n]
		}
		sum += n
	}
	return byte('A' + sum%26)
}

// CheckCharacter is the check character of the first 15 characters of a codice
// fiscale, in upper or lower case.
func CheckCharacter(first15 string) (byte, error) {
	v, ok := canonical(first15)
	if !ok || len(v) != 15 {
		return 0, broken(RuleLength)
	}
	for i := range len(v) {
		if !digits(v[i:i+1]) && !letters(v[i:i+1]) {
			return 0, broken(RuleCharacters)
		}
	}
	return checkCharacter(v), nil
}

// Identifier is c as an identifier.
func (c CF) Identifier() Identifier { return c.id }

// Reveal is the code.
func (c CF) Reveal() string { return c.id.Reveal() }

func (c CF) Format(s fmt.State, v rune) { c.id.Format(s, v) }
func (c CF) String() string             { return c.id.String() }

// MarshalText shows nothing either.
func (c CF) MarshalText() ([]byte, error) { return c.id.MarshalText() }

// IsOmocode reports whether digits of c are replaced by letters because
// another person has the same code.
func (c CF) IsOmocode() bool { return c.plain() != c.Reveal()[:15] }

// plain is the first 15 characters with omocodia undone.
func (c CF) plain() string {
	b := []byte(c.Reveal()[:15])
	for _, p := range digitPositions {
		b[p], _ = plainDigit(b[p])
	}
	return string(b)
}

// Base is c with omocodia undone and the check character recomputed: the code
// of whoever had it first. It is a hint for officers and never a key: two
// omocodes are two persons.
func (c CF) Base() CF {
	p := c.plain()
	return CF{newIdentifier(SystemCF, "", p+string(checkCharacter(p)))}
}

// Birth is what a codice fiscale says about a birth. The century is not in it.
type Birth struct {
	Year   int // 0..99
	Month  time.Month
	Day    int // 1..31; it may not exist in the month
	Female bool
	Place  string // Belfiore code, Z and three digits for a foreign country
}

// Birth reads the birth out of c. It is personal data.
func (c CF) Birth() Birth {
	p := c.plain()
	b := Birth{
		Year:  number([]byte(p[6:8])),
		Month: time.Month(strings.IndexByte(monthLetters, p[8]) + 1),
		Day:   number([]byte(p[9:11])),
		Place: p[11:15],
	}
	if b.Day > 40 {
		b.Day, b.Female = b.Day-40, true
	}
	return b
}

// Warning is something odd about a well-formed codice fiscale that is no reason
// to refuse it.
type Warning string

// The warnings. That a place is not in the registry, was abolished or did not
// exist yet at the birth cannot be told without the list of municipalities,
// which is data of a network, not of this package.
const (
	// WarnOmocode: INPS's patterns refuse letters in year and day, so that the
	// record may be refused there.
	WarnOmocode Warning = "omocode"
	// WarnDay: there is no such day in that month of any year.
	WarnDay Warning = "day_not_in_month"
	// WarnPlace: no place has a code of this shape: number 000, or a foreign
	// country below Z100.
	WarnPlace Warning = "place_code_shape"
)

// Warnings are the oddities of c that can be told from c alone.
func (c CF) Warnings() []Warning {
	var out []Warning
	if c.IsOmocode() {
		out = append(out, WarnOmocode)
	}
	b := c.Birth()
	// A leap year of 1900..1999 or 2000..2099; 00 stands for 2000 too.
	if b.Day > time.Date(2000+b.Year, b.Month+1, 0, 0, 0, 0, 0, time.UTC).Day() {
		out = append(out, WarnDay)
	}
	if b.Place[1:] == "000" || b.Place[0] == 'Z' && b.Place[1] == '0' {
		out = append(out, WarnPlace)
	}
	return out
}

// Particulars are what a codice fiscale is computed from.
type Particulars struct {
	FamilyName, GivenName string
	Female                bool
	Born                  time.Time // only the date counts
	Place                 string    // Belfiore code
}

// Encode computes the codice fiscale that the rules give: for demonstrations
// and tests. The real one of a person is whatever the tax agency issued.
func Encode(p Particulars) (CF, error) {
	day := p.Born.Day()
	if p.Female {
		day += 40
	}
	if p.Born.Month() < 1 || len(p.Place) != 4 {
		return CF{}, broken(RuleLength)
	}
	first := fmt.Sprintf("%s%s%02d%c%02d%s", FamilyNamePart(p.FamilyName), GivenNamePart(p.GivenName),
		p.Born.Year()%100, monthLetters[p.Born.Month()-1], day, strings.ToUpper(p.Place))
	check, err := CheckCharacter(first)
	if err != nil {
		return CF{}, err
	}
	return ParseCF(first + string(check))
}

// FamilyNamePart is the first three consonants of a surname, then its vowels,
// then X.
func FamilyNamePart(name string) string {
	consonants, vowels := split(name)
	return (consonants + vowels + "XXX")[:3]
}

// GivenNamePart is like [FamilyNamePart], but of four or more consonants the
// second is left out.
func GivenNamePart(name string) string {
	consonants, vowels := split(name)
	if len(consonants) >= 4 {
		consonants = consonants[:1] + consonants[2:]
	}
	return (consonants + vowels + "XXX")[:3]
}

// split gives the consonants and vowels of a name in order, accents stripped,
// everything that is no letter from A to Z left out.
func split(name string) (consonants, vowels string) {
	for _, r := range norm.NFD.String(name) {
		switch r = unicode.ToUpper(r); {
		case r < 'A' || r > 'Z':
		case strings.ContainsRune("AEIOU", r):
			vowels += string(r)
		default:
			consonants += string(r)
		}
	}
	return consonants, vowels
}

// checkNumeric: seven digits serial, three office, one check digit, by the rule
// of the VAT number (domain.md 5.2).
func checkNumeric(v string) error {
	if len(v) != 11 {
		return broken(RuleLength)
	}
	if !digits(v) {
		return broken(RuleCharacters)
	}
	sum := 0
	for i := range 10 {
		d := int(v[i] - '0')
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	if int(v[10]-'0') != (10-sum%10)%10 {
		return broken(RuleCheck)
	}
	if strings.Trim(v, "0") == "" {
		return broken(RulePlaceholder)
	}
	return nil
}
