package bench

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"raccordo/hub/exchange"
	"raccordo/hub/person"
)

// The desk that pushes, and where its requests lead.
const (
	desk     exchange.SystemID = "oss_livorno_desk"
	provider exchange.SystemID = "centro_servizi_livorno" // is called
	social   exchange.SystemID = "sisoc_livorno"          // is called
	work     exchange.SystemID = "arti_livorno"           // fetches
)

// asked is what one request in a hundred asks for, with the number of flows it
// takes in the built-in network.
type asked struct {
	share int
	flows int
	body  string
}

// mix is a day at a desk: 1.5 flows a record.
var mix = []asked{
	{28, 1, `"servizio":"IGIENE","urgenza":"ORDINARIA"`},
	{12, 1, `"servizio":"BAGAGLI","urgenza":"ORDINARIA","bagagli":{"colli":2}`},
	{30, 2, `"servizio":"POSTO_LETTO","urgenza":"ORDINARIA","posto_letto":{"dal":"2026-03-02","notti":3},"esigenze":{"con_minori":false,"area":"MISTA"}`},
	{10, 2, `"servizio":"POSTO_LETTO","urgenza":"EMERGENZA","posto_letto":{"dal":"2026-03-02","notti":1}`},
	{10, 2, `"servizio":"ACC_SOCIALE","urgenza":"ORDINARIA","appuntamento":{"quando":"2026-03-05T11:00:00+01:00","dove":"Sportello di prova, stanza 2"}`},
	{10, 1, `"servizio":"LAVORO","urgenza":"ORDINARIA"`},
}

const (
	poolSize = 10_000
	newOne   = 10 // one request in ten is about somebody never seen
)

// traffic makes requests of one connection; it is not safe for concurrent use.
type traffic struct {
	random *rand.Rand
	name   string // of the connection, so that no two make the same person or number
	pool   []string
	count  int
	made   int
}

// newPool makes persons that all connections ask for: half are known by codice
// fiscale and by the desk's own code, half by the latter alone.
func newPool() ([]string, error) {
	out := make([]string, poolSize)
	for i := range out {
		codes := fmt.Sprintf(`{"tipo":"SPORTELLO","valore":"LI-%06d"}`, i)
		if i%2 == 0 {
			cf, err := person.Encode(person.Particulars{FamilyName: "Prova" + letters(i), GivenName: letters(i / 676), Female: i%4 == 0,
				Born: time.Date(1945+i%60, time.Month(1+i%12), 1+i%28, 0, 0, 0, 0, time.UTC), Place: "E625"})
			if err != nil {
				return nil, fmt.Errorf("make a person: %w", err)
			}
			codes = fmt.Sprintf(`{"tipo":"CF","valore":"%s"},%s`, cf.Reveal(), codes)
		}
		out[i] = asking(codes, i)
	}
	return out, nil
}

func letters(i int) string { return string([]byte{'b' + byte(i%19), 'c' + byte(i/26%20), 'a'}) }

func asking(codes string, i int) string {
	return fmt.Sprintf(`{"ruolo":"RICHIEDENTE","codici":[%s],"cognome":"Prova%s","nome":"Persona","anno_nascita":%d}`, codes, letters(i), 1945+i%60)
}

// note brings a request to about a kilobyte.
var note = strings.Repeat("chiede aiuto per qualche giorno, senza altre indicazioni; ", 8)

// next appends one request in the desk's own format and gives the number of
// disclosures that come of it.
func (t *traffic) next(b []byte) ([]byte, int) {
	t.count++
	a := t.kind()
	b = append(b, `{"ente":"il_simbolo","numero":"`...)
	b = append(b, t.name...)
	b = append(b, '-')
	b = strconv.AppendInt(b, int64(t.count), 10)
	b = append(b, `","registrata_il":"2026-03-02T18:40:00+01:00","data_ora":"2026-03-02T18:35:00+01:00","operatore":"op-`...)
	b = append(b, t.name...)
	b = append(b, `",`...)
	b = append(b, a.body...)
	b = append(b, `,"persone":[`...)
	if t.random.IntN(newOne) == 0 {
		t.made++
		b = append(b, asking(fmt.Sprintf(`{"tipo":"SPORTELLO","valore":"N%s-%d"}`, t.name, t.made), t.made)...)
	} else {
		b = append(b, t.pool[t.random.IntN(len(t.pool))]...)
	}
	b = append(b, `],"nota":"`...)
	b = append(b, note...)
	return append(b, `"}`...), a.flows
}

func (t *traffic) kind() *asked {
	n := t.random.IntN(100)
	for i := range mix {
		if n -= mix[i].share; n < 0 {
			return &mix[i]
		}
	}
	return &mix[0]
}

// unlimited is the network with the rate limits of its systems raised: they are
// counted and looked at, and never reached.
type unlimited struct{ fs.FS }

// ReadFile implements fs.ReadFileFS.
func (u unlimited) ReadFile(name string) ([]byte, error) {
	b, err := fs.ReadFile(u.FS, name)
	if err != nil {
		return nil, err
	}
	return []byte(strings.ReplaceAll(string(b), "{per_second: 2000, burst: 4000}", "{per_second: 100000, burst: 100000}")), nil
}
