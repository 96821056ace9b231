package demo

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"raccordo/hub/exchange"
)

// codes are the identifiers and family names of synthetic persons.
var codes = regexp.MustCompile(`PRV[A-Z]{3}[0-9LMNPQRSTUV]{2}[A-Z][0-9]{2}[A-Z][0-9]{3}[A-Z]|STP[0-9]{13}|\b(?:LI|CA|PI|GR)-1[0-9]{5}\b|(?i:prova[a-z]{6})`)

// played is what a faultless run of a few requests leaves.
func played() (*oracle, *cast) {
	c := newCast(1)
	d := &desk{territory: "pistoia", prefix: "PI", body: "co_so", caller: &caller{system: "oss_pistoia_desk"}}
	mother, child, other := c.next("PI"), c.next("PI"), c.next("PI")
	o := &oracle{}
	ask := func(service, urgency string, persons ...deskPerson) *sent {
		r := d.request(service, urgency, persons...)
		s := &sent{desk: d, caller: d.caller, typ: typeRequest, ref: r.Number, service: service, emergency: urgency == "EMERGENZA",
			principal: persons[0].Codes[0].Value, fates: map[exchange.SystemID]fate{}}
		for _, c := range persons[0].Codes[1:] {
			s.otherCodes = append(s.otherCodes, c.Value)
		}
		for _, p := range persons[1:] {
			s.family = append(s.family, p.who)
		}
		o.sent = append(o.sent, s)
		return s
	}
	arrives := func(s *sent, system exchange.SystemID, flow exchange.FlowID, sequence uint64, content string) {
		o.got = append(o.got, &parcelled{System: system, Disclosure: s.ref + string(system), Flow: flow, Sequence: sequence, Ref: s.ref,
			Principal: s.principal, Content: []byte(content)})
	}
	work := ask("LAVORO", "ORDINARIA", asking(mother, byLocal(mother)), with(child, byLocal(child)))
	arrives(work, "arti_lucca_pistoia", "pistoia_work", 1, `{"persona":{"codice":"`+mother.Local+`"}}`)
	first := ask("IGIENE", "ORDINARIA", asking(other, byLocal(other), byCF(other)))
	second := ask("IGIENE", "ORDINARIA", asking(other, byLocal(other)))
	arrives(first, "gestionale_pistoia", "pistoia_provider", 1, `{"servizio":"DOCCIA"}`)
	arrives(second, "gestionale_pistoia", "pistoia_provider", 2, `{"servizio":"DOCCIA"}`)
	health := ask("ACC_SANITARIO", "ORDINARIA", asking(other, byLocal(other)))
	arrives(health, "gestionale_pistoia", "pistoia_provider", 3, `{"servizio":"ACCOMPAGNAMENTO"}`)
	bed := ask("POSTO_LETTO", "EMERGENZA", asking(mother, byLocal(mother)))
	arrives(bed, "gestionale_pistoia", "pistoia_provider_bed_emergency", 1, `{"servizio":"LETTO"}`)
	arrives(bed, "sociale_pistoia", "pistoia_social_bed_emergency", 1, `{"prestazione":"richiesta posto letto"}`)
	return o, c
}

func TestOracleFindsNothingWrong(t *testing.T) {
	o, _ := played()
	require.Empty(t, o.judge())
}

func TestOracleFinds(t *testing.T) {
	write := func(i int, content string) func(*oracle, *cast) {
		return func(o *oracle, _ *cast) { o.got[i].Content = []byte(content) }
	}
	for name, x := range map[string]struct {
		spoil func(*oracle, *cast)
		finds string
	}{
		"lost":                 {func(o *oracle, _ *cast) { o.got = o.got[1:] }, "has it 0 times"},
		"twice":                {func(o *oracle, _ *cast) { o.got = append(o.got, o.got[0]) }, "has it 2 times"},
		"withheld, and there":  {func(o *oracle, _ *cast) { o.sent[1].at("gestionale_pistoia", fateWithheld) }, "has it 1 times, and it is withheld"},
		"held, and there":      {func(o *oracle, _ *cast) { o.got[3].System = "sds_pistoiese_salute" }, "and it is held there"},
		"parked, and there":    {func(o *oracle, _ *cast) { o.sent[1].at("gestionale_pistoia", fateParked) }, "and it is parked there"},
		"not its business":     {func(o *oracle, _ *cast) { o.got[1].System = "arti_lucca_pistoia" }, "which it is not for"},
		"nobody's request":     {func(o *oracle, _ *cast) { o.got[0].Ref = "PI-99999" }, "which nobody sent"},
		"health at a provider": {write(3, `{"servizio":"ACCOMPAGNAMENTO SANITARIO"}`), `reads "sanitar"`},
		"where, at a provider": {write(3, `{"dove":"`+healthPlace+`"}`), `reads "ambulator"`},
		"a note at a provider": {write(1, `{"nota":"`+noteText+`"}`), "reads the desk's note"},
		"a note in emergency":  {write(5, `{"bisogno":"`+noteText+`"}`), "an emergency carries"},
		"the operator":         {write(1, `{"operatore":"op-PI"}`), "reads who took the request"},
		"the family at work":   {func(o *oracle, c *cast) { o.got[0].Content = []byte(c.all[1].Family) }, "reads who is with the person"},
		"a second code":        {func(o *oracle, c *cast) { o.got[1].Content = []byte(c.all[2].CF) }, "more codes than the one"},
		"out of order": {func(o *oracle, _ *cast) {
			o.got[1], o.got[2] = o.got[2], o.got[1]
			o.got[1].Sequence, o.got[2].Sequence = 1, 2
		}, "after a later one"},
		"sequence that sinks": {func(o *oracle, _ *cast) { o.got[2].Sequence = 1 }, "does not rise"},
	} {
		t.Run(name, func(t *testing.T) {
			o, c := played()
			x.spoil(o, c)
			require.Contains(t, strings.Join(o.judge(), "\n"), x.finds)
		})
	}
}

// Every system that a request is for is one whose format is known.
func TestReceiversAreKnown(t *testing.T) {
	n := 0
	for _, territory := range territories() {
		for _, service := range services() {
			to := receivers(territory, service)
			require.True(t, len(to) > 0 || len(nobody(territory, service)) > 0, "%s in %s", service, territory)
			for system := range to {
				require.NotZero(t, kinds[system], system)
				require.NotEmpty(t, rolesOf[kinds[system]])
				n++
			}
		}
	}
	require.Greater(t, n, 50)
}
