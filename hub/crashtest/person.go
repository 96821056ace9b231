package crashtest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
)

// canaryStem is in every value that must never be seen off the path. The
// accent makes its escaped forms differ from the plain one.
const canaryStem = "Kanarìa"

// Person is a synthetic person; every value is unique.
type Person struct {
	Code   string // the desk's own code
	Family string
	Given  string
	Born   int
}

// NewPerson makes the n-th person of a run.
func NewPerson(run string, n int) Person {
	return Person{Code: fmt.Sprintf("KNR-%s-%05d", run, n), Family: fmt.Sprintf("%s%s%d", canaryStem, run, n),
		Given: fmt.Sprintf("Prova %s%d", canaryStem, n), Born: 1930 + n%80}
}

// Sent is one record as the desk of Livorno sent it.
type Sent struct {
	Number  string // the desk's own; unique in a run
	Order   int    // rises per person
	Service string // the desk's code
	Urgency string
	Person  Person
	Child   *Person // with her
	Note    string
	Bad     bool // made unacceptable
}

// what can be asked for, and how often relative to each other.
var services = []string{"IGIENE", "IGIENE", "BAGAGLI", "POSTO_LETTO", "RESIDENZA", "LAVORO", "ACC_SOCIALE", "INFORMATICA"}

// NewSent makes a record about p.
func NewSent(r *rand.Rand, number string, order int, p Person) Sent {
	s := Sent{Number: number, Order: order, Person: p, Service: services[r.IntN(len(services))], Urgency: "ORDINARIA",
		Note: "nota " + canaryStem + number}
	switch r.IntN(6) {
	case 0:
		s.Urgency = "URGENTE"
	case 1:
		s.Urgency = "EMERGENZA"
	}
	if r.IntN(4) == 0 {
		child := Person{Code: p.Code + "-F", Given: p.Given + " figlia"}
		s.Child = &child
	}
	return s
}

// Body is the record in the desk's format. A bad one names a service that the
// desk's software does not know.
func (s Sent) Body() []byte {
	person := func(p Person, role string) map[string]any {
		out := map[string]any{"ruolo": role, "codici": []any{map[string]any{"tipo": "SPORTELLO", "valore": p.Code}}, "nome": p.Given}
		if p.Family != "" {
			out["cognome"] = p.Family
		}
		if p.Born != 0 {
			out["anno_nascita"] = p.Born
		}
		return out
	}
	persons := []any{person(s.Person, "RICHIEDENTE")}
	if s.Child != nil {
		persons = append(persons, person(*s.Child, "FAMILIARE"))
	}
	service := s.Service
	if s.Bad {
		service = "X" + canaryStem
	}
	desk := "il_simbolo"
	if s.Service == HealthService {
		desk = "co_so"
	}
	b, err := json.Marshal(map[string]any{"ente": desk, "numero": s.Number, "registrata_il": moment, "data_ora": moment,
		"servizio": service, "urgenza": s.Urgency, "operatore": "op-7", "persone": persons, "nota": s.Note})
	if err != nil {
		panic(err) // maps of texts and numbers
	}
	return b
}

const moment = "2026-03-02T09:00:00+01:00"
