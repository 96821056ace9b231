package demo

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"raccordo/hub/person"
)

// someone is a synthetic person. The family name is unique, so that a canary
// scan for it finds any leak.
type someone struct {
	Family, Given string
	Female        bool
	Born          time.Time
	Place         string // Belfiore code
	CF            string
	STP           string
	Local         string // given by the desk that met the person first
}

// cast makes persons, the same ones for the same seed.
type cast struct {
	random *rand.Rand
	taken  map[string]bool
	all    []*someone
}

func newCast(seed uint64) *cast {
	return &cast{random: rand.New(rand.NewPCG(seed, 0x5ca1ab1e)), taken: map[string]bool{}}
}

var (
	womenNames = []string{"Una", "Terza", "Quinta", "Settima", "Nona"}
	menNames   = []string{"Primo", "Secondo", "Quarto", "Sesto", "Ottavo"}
	places     = []string{"E625", "B648", "G713", "E202", "D612", "G702", "Z140", "Z330"}
)

// next is a new person with a codice fiscale, a code of the desk and, as for
// anybody at a desk, possibly nothing else that is used.
func (c *cast) next(deskPrefix string) *someone {
	n := len(c.all) + 1
	for {
		p := &someone{Family: "Prova" + syllables(n), Female: c.random.IntN(2) == 0, Place: places[c.random.IntN(len(places))],
			Born: time.Date(1945+c.random.IntN(60), time.Month(1+c.random.IntN(12)), 1+c.random.IntN(28), 0, 0, 0, 0, time.UTC)}
		names := menNames
		if p.Female {
			names = womenNames
		}
		p.Given = names[c.random.IntN(len(names))]
		cf, err := person.Encode(person.Particulars{FamilyName: p.Family, GivenName: p.Given, Female: p.Female, Born: p.Born, Place: p.Place})
		if err != nil || c.taken[cf.Reveal()] {
			continue // the same birthday twice: draw again
		}
		c.taken[cf.Reveal()] = true
		p.CF = cf.Reveal()
		p.STP = fmt.Sprintf("STP090101%07d", 1_000_000+n*137)
		p.Local = fmt.Sprintf("%s-%06d", deskPrefix, 100_000+n*73)
		c.all = append(c.all, p)
		return p
	}
}

// syllables spells a number in letters: names hold no digits.
func syllables(n int) string {
	const consonants, vowels = "bcdfglmnrstvz", "aeiou"
	var b strings.Builder
	for range 3 {
		b.WriteByte(consonants[n%len(consonants)])
		n /= len(consonants)
		b.WriteByte(vowels[n%len(vowels)])
		n /= len(vowels)
	}
	return b.String()
}

// omocodeInYear is p's codice fiscale as the tax agency writes it when another
// person has the same: the last digit of the year as a letter, and the check
// character that belongs to it. It is valid; INPS's pattern refuses it.
func omocodeInYear(cf string) (string, error) {
	b := []byte(cf[:15])
	b[7] = "LMNPQRSTUV"[b[7]-'0']
	check, err := person.CheckCharacter(string(b))
	if err != nil {
		return "", fmt.Errorf("check character of an omocode: %w", err)
	}
	code := string(b) + string(check)
	_, err = person.ParseCF(code)
	return code, err
}

// wrongCheck is a codice fiscale whose check character does not fit.
func wrongCheck(cf string) string {
	return cf[:15] + string('A'+(cf[15]-'A'+1)%26)
}
