package verify

import (
	"encoding/hex"
	"slices"
	"time"

	"raccordo/hub/exchange"
)

// days gives the day of a moment in Europe/Rome, as agreements write it.
type days struct {
	zone     *time.Location
	from, to int64 // of the day asked last
	text     string
}

func (d *days) of(ms int64) string {
	if d.text == "" || ms < d.from || ms >= d.to {
		t := time.UnixMilli(ms).In(d.zone)
		y, m, day := t.Date()
		d.from = time.Date(y, m, day, 0, 0, 0, 0, d.zone).UnixMilli()
		d.to = time.Date(y, m, day+1, 0, 0, 0, 0, d.zone).UnixMilli()
		d.text = t.Format(time.DateOnly)
	}
	return d.text
}

// networks are the network in force and where flows of earlier ones led.
type networks struct {
	digest  exchange.Digest
	flows   map[exchange.Number]*flow
	clauses map[exchange.Number]*clause
	former  map[exchange.Number][]exchange.SystemID // of this and all earlier ones
}

type flow struct {
	*exchange.FlowFact
	clause *clause // nil: it names one that is not there
	held   []exchange.RoleFact
}

type clause struct {
	*exchange.ClauseFact
	categories exchange.CategorySet
	agreement  *exchange.AgreementFact // nil: it names one that is not there
}

func newNetworks() networks {
	return networks{flows: map[exchange.Number]*flow{}, clauses: map[exchange.Number]*clause{},
		former: map[exchange.Number][]exchange.SystemID{}}
}

// adopt brings a network into force.
func (v *verifier) adopt(e *entry) {
	var f exchange.AdoptionFact
	if !v.decode(e, &f) {
		return
	}
	if f.Network != e.Network {
		v.find(e.seq, Whole, RuleNetwork, "the adoption is of another network than its header says")
	}
	n := &v.networks
	n.digest = f.Network
	n.flows, n.clauses = make(map[exchange.Number]*flow, len(f.Flows)), make(map[exchange.Number]*clause, len(f.Clauses))
	byID := make(map[exchange.ClauseID]*clause, len(f.Clauses))
	for i := range f.Clauses {
		c := &clause{ClauseFact: &f.Clauses[i]}
		if !parseCategories(c.Categories, &c.categories) || c.Number != exchange.ClauseNumber(c.Clause) || n.clauses[c.Number] != nil {
			v.find(e.seq, Whole, RuleFact, "clause %s: its number or categories are not as they must be", c.Clause)
			continue
		}
		if j := slices.IndexFunc(f.Agreements, func(a exchange.AgreementFact) bool { return a.Agreement == c.Agreement }); j >= 0 {
			c.agreement = &f.Agreements[j]
		}
		n.clauses[c.Number], byID[c.Clause] = c, c
	}
	for i := range f.Flows {
		x := &flow{FlowFact: &f.Flows[i], clause: byID[f.Flows[i].Clause]}
		if x.Number != exchange.FlowNumber(x.Flow) || n.flows[x.Number] != nil {
			v.find(e.seq, Whole, RuleFact, "flow %s: its number is not as it must be", x.Flow)
			continue
		}
		x.held = heldBy(f.Bodies, x.FlowFact)
		n.flows[x.Number] = x
		if !slices.Contains(n.former[x.Number], x.Recipient) {
			n.former[x.Number] = append(n.former[x.Number], x.Recipient)
		}
	}
}

// heldBy are the times in which the recipient body of a flow holds the flow's
// role in its territory; none if the system is not the body's.
func heldBy(bodies []exchange.BodyFact, f *exchange.FlowFact) []exchange.RoleFact {
	var out []exchange.RoleFact
	for i := range bodies {
		b := &bodies[i]
		if b.Body != f.Body || !slices.Contains(b.Systems, f.Recipient) {
			continue
		}
		for _, r := range b.Roles {
			if r.Role == f.Role && r.Territory == f.Territory {
				out = append(out, r)
			}
		}
	}
	return out
}

func parseCategories(text string, into *exchange.CategorySet) bool {
	var b [16]byte
	if len(text) != 2*len(b) {
		return false
	}
	if _, err := hex.Decode(b[:], []byte(text)); err != nil {
		return false
	}
	*into = exchange.CategorySetFromBytes(b)
	return into.String() == text
}

// within reports whether a day lies between two days, both included; an empty
// until is open, an empty from never began.
func within(day, from, until string) bool {
	return from != "" && day >= from && (until == "" || day <= until)
}

// inForce reports whether an agreement was in force on a day: every party has
// signed by then, and it has neither run out nor been ended.
func inForce(a *exchange.AgreementFact, day string) bool {
	if len(a.Signed) == 0 || !within(day, a.From, a.Until) || a.Ended != "" && day > a.Ended {
		return false
	}
	for _, s := range a.Signed {
		if s.On == "" || s.On > day {
			return false
		}
	}
	return true
}

// party reports whether a body is a party of an agreement.
func party(a *exchange.AgreementFact, b exchange.BodyID) bool {
	return slices.ContainsFunc(a.Signed, func(s exchange.SignatureFact) bool { return s.Body == b })
}

func holds(held []exchange.RoleFact, day string) bool {
	return slices.ContainsFunc(held, func(r exchange.RoleFact) bool { return within(day, r.From, r.Until) })
}
