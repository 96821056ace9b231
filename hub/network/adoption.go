package network

import (
	"cmp"
	"slices"

	"raccordo/hub/exchange"
)

// Adoption is the network as the ledger records that it came into force: what
// a verifier needs to know whether a claim stood on a clause, role and
// agreement in force. It is canonical: the same network gives the same fact.
func (n *Network) Adoption() exchange.AdoptionFact {
	f := exchange.AdoptionFact{
		Network: n.Digest, Name: n.Name, Categories: slices.Clone(n.categories),
		Bodies: []exchange.BodyFact{}, Agreements: []exchange.AgreementFact{},
		Clauses: []exchange.ClauseFact{}, Flows: []exchange.FlowFact{},
	}
	if f.Categories == nil {
		f.Categories = []exchange.CategoryFact{}
	}
	for _, b := range n.bodies {
		f.Bodies = append(f.Bodies, b.fact())
	}
	for _, a := range n.agreements {
		fact := exchange.AgreementFact{Agreement: a.ID, From: a.From, Until: a.Until, Ended: a.Ended, Signed: []exchange.SignatureFact{}}
		for _, p := range a.Parties {
			fact.Signed = append(fact.Signed, exchange.SignatureFact{Body: p.Body, On: p.Signed})
		}
		slices.SortFunc(fact.Signed, func(a, b exchange.SignatureFact) int { return cmp.Compare(a.Body, b.Body) })
		f.Agreements = append(f.Agreements, fact)
	}
	for _, c := range n.clauses {
		f.Clauses = append(f.Clauses, exchange.ClauseFact{
			Clause: c.ID, Number: c.Number, Agreement: c.Agreement.ID, RecordType: c.RecordType, Purpose: c.Purpose,
			Basis: string(c.Basis), Consent: c.NeedsConsent(), Dossier: c.Dossier, Categories: c.Categories.String(),
			From: slices.Sorted(slices.Values(c.From)), To: slices.Sorted(slices.Values(c.To)),
		})
	}
	for _, flow := range n.flows {
		f.Flows = append(f.Flows, exchange.FlowFact{
			Flow: flow.ID, Number: flow.Number, Clause: flow.Clause.ID, Territory: flow.Territory,
			Producers: slices.Clone(flow.Producers), Recipient: flow.Recipient.System, Body: flow.Recipient.Body, Role: flow.Recipient.Role,
		})
	}
	return f
}

func (b *Body) fact() exchange.BodyFact {
	f := exchange.BodyFact{Body: b.ID, Roles: []exchange.RoleFact{}, Systems: []exchange.SystemID{}}
	for _, h := range b.Roles {
		f.Roles = append(f.Roles, exchange.RoleFact{Role: h.Role, Territory: h.Territory, From: h.From, Until: h.Until})
	}
	slices.SortFunc(f.Roles, func(a, b exchange.RoleFact) int {
		return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(a.Territory, b.Territory), cmp.Compare(a.From, b.From))
	})
	for _, s := range b.Systems {
		f.Systems = append(f.Systems, s.ID)
	}
	slices.Sort(f.Systems)
	return f
}
