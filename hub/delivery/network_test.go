package delivery

import (
	"encoding/json"
	"strings"
	"time"

	"raccordo/hub/exchange"
	"raccordo/hub/gate"
)

// The network of the tests: one producer, two recipients that are called, one
// that fetches, and flows of every sort to them.
const (
	producer exchange.SystemID = "desk"
	alpha    exchange.SystemID = "alpha" // called
	beta     exchange.SystemID = "beta"  // called
	gamma    exchange.SystemID = "gamma" // fetches

	plainFlow   exchange.FlowID = "plain"   // to alpha, as the law says; affected persons can be left out
	caseFlow    exchange.FlowID = "case"    // to alpha, with an open dossier
	consentFlow exchange.FlowID = "consent" // to beta, with every person's consent
	prunedFlow  exchange.FlowID = "pruned"  // to beta, with consent; affected persons can be left out
	mailFlow    exchange.FlowID = "mail"    // to gamma, as the law says
	askFlow     exchange.FlowID = "ask"     // to gamma, with consent
)

const recordType exchange.RecordType = "service_request"

var permitted = exchange.NewCategorySet(1, 2, 3)

// flow is a compiled flow of the tests.
type flow struct {
	id        exchange.FlowID
	clause    *gate.Clause
	recipient *gate.Recipient
	prunes    bool
	keep      time.Duration
	kill      func(do string) // called before a record is rendered
}

func (f *flow) ID() exchange.FlowID                        { return f.id }
func (f *flow) Number() exchange.Number                    { return exchange.FlowNumber(f.id) }
func (f *flow) Clause() *gate.Clause                       { return f.clause }
func (f *flow) Recipient() *gate.Recipient                 { return f.recipient }
func (f *flow) Keep() time.Duration                        { return f.keep }
func (f *flow) Prunable(exchange.Pointer) bool             { return f.prunes }
func (f *flow) Present(exchange.Tree) exchange.CategorySet { return exchange.NewCategorySet(1) }
func (f *flow) does(t exchange.Tree, what string) bool     { return t.Text("/do") == what }
func (f *flow) persons(t exchange.Tree) (out []string)     { return personsOf(t.Value()) }

// Condition is not met by a record that says so.
func (f *flow) Condition(t exchange.Tree) bool {
	if f.does(t, "panic_condition") {
		panic("SYNTHETIC value in a panic")
	}
	return !f.does(t, "unmet")
}

// rendered is what a recipient gets.
type rendered struct {
	Ref     string   `json:"ref"`
	Do      string   `json:"do,omitempty"`
	Name    string   `json:"name,omitempty"`
	Allowed string   `json:"allowed"`
	Persons []string `json:"persons"`
}

func (f *flow) Render(t exchange.Tree, r Rendering) (exchange.Payload, string, []exchange.Fault) {
	if f.kill != nil {
		f.kill(t.Text("/do"))
	}
	switch {
	case f.does(t, "panic_render"):
		panic("SYNTHETIC value in a panic")
	case f.does(t, "misfit"):
		return exchange.Payload{}, "", []exchange.Fault{{Pointer: "/person", Rule: "pattern"}}
	}
	cut := t.Without(r.Pruned)
	b, err := json.Marshal(rendered{Ref: t.Text("/ref"), Do: t.Text("/do"), Name: r.Name, Allowed: r.Permitted.String(), Persons: f.persons(cut)})
	if err != nil {
		return exchange.Payload{}, "", []exchange.Fault{{Rule: "encode"}}
	}
	if f.does(t, "large") {
		b = append(b, strings.Repeat(" ", 2048)...)
	}
	return exchange.NewPayload(b), "application/json", nil
}

func personsOf(v any) (out []string) {
	o, _ := v.(map[string]any)
	if name, ok := o["person"].(string); ok {
		out = append(out, name)
	}
	list, _ := o["household"].([]any)
	for _, x := range list {
		out = append(out, personsOf(x)...)
	}
	return out
}

// network is one version of it.
type network struct {
	digest exchange.Digest
	flows  map[exchange.FlowID]*flow
	order  []exchange.FlowID
}

func (n *network) Digest() exchange.Digest { return n.digest }

func (n *network) Flow(id exchange.FlowID) Flow {
	if f := n.flows[id]; f != nil {
		return f
	}
	return nil
}

func (n *network) Recipients() []exchange.SystemID {
	var out []exchange.SystemID
	seen := map[exchange.SystemID]bool{}
	for _, id := range n.order {
		if s := n.flows[id].recipient.System; !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}

func (n *network) BodyOf(s exchange.SystemID) exchange.BodyID { return bodyOf(s) }

func bodyOf(s exchange.SystemID) exchange.BodyID { return exchange.BodyID("body_" + string(s)) }

const (
	holdTime = time.Hour
	keepTime = 2 * time.Hour
)

// newNetwork is version n of the network, without the flows named.
func newNetwork(version string, without ...exchange.FlowID) *network {
	net := &network{digest: exchange.DigestOf([]byte(version)), flows: map[exchange.FlowID]*flow{}}
	always := gate.Period{From: time.Unix(1, 0)}
	add := func(id exchange.FlowID, to exchange.SystemID, basis gate.LegalBasis, change func(*flow)) {
		for _, x := range without {
			if x == id {
				return
			}
		}
		f := &flow{id: id, keep: keepTime,
			clause: &gate.Clause{ID: exchange.ClauseID("clause_" + id), Number: exchange.ClauseNumber(exchange.ClauseID("clause_" + id)), InForce: always,
				Basis: basis, Purpose: exchange.PurposeID("purpose_" + id), Categories: permitted},
			recipient: &gate.Recipient{System: to, Body: bodyOf(to), Role: exchange.RoleSocialService, Territory: "testland", Held: []gate.Period{always}}}
		if basis == gate.BasisConsent {
			f.clause.Hold = holdTime
		}
		if change != nil {
			change(f)
		}
		net.flows[id] = f
		net.order = append(net.order, id)
	}
	add(plainFlow, alpha, gate.BasisLegalObligation, func(f *flow) { f.prunes = true })
	add(caseFlow, alpha, gate.BasisLegalObligation, func(f *flow) { f.clause.Dossier = "case_manager" })
	add(consentFlow, beta, gate.BasisConsent, nil)
	add(prunedFlow, beta, gate.BasisConsent, func(f *flow) { f.prunes, f.clause.Purpose = true, net.flows[consentFlow].clause.Purpose })
	add(mailFlow, gamma, gate.BasisLegalObligation, nil)
	add(askFlow, gamma, gate.BasisConsent, nil)
	return net
}

// adoption is the fact that brings it into force.
func (n *network) adoption() exchange.AdoptionFact {
	const since = "1990-01-01"
	f := exchange.AdoptionFact{Network: n.digest, Name: "testland", Categories: []exchange.CategoryFact{},
		Agreements: []exchange.AgreementFact{{Agreement: "agreement", From: since}}}
	systems := append([]exchange.SystemID{producer}, n.Recipients()...)
	for _, s := range systems {
		f.Bodies = append(f.Bodies, exchange.BodyFact{Body: bodyOf(s), Systems: []exchange.SystemID{s},
			Roles: []exchange.RoleFact{{Role: exchange.RoleSocialService, Territory: "testland", From: since}}})
		f.Agreements[0].Signed = append(f.Agreements[0].Signed, exchange.SignatureFact{Body: bodyOf(s), On: since})
	}
	for _, id := range n.order {
		x := n.flows[id]
		f.Clauses = append(f.Clauses, exchange.ClauseFact{Clause: x.clause.ID, Number: x.clause.Number, Agreement: "agreement", RecordType: recordType,
			Purpose: x.clause.Purpose, Basis: string(x.clause.Basis), Consent: x.clause.NeedsConsent(), Dossier: x.clause.Dossier,
			Categories: x.clause.Categories.String(), From: []exchange.Role{exchange.RoleDeskOperator}, To: []exchange.Role{exchange.RoleSocialService}})
		f.Flows = append(f.Flows, exchange.FlowFact{Flow: id, Number: x.Number(), Clause: x.clause.ID, Territory: "testland",
			Producers: []exchange.SystemID{producer}, Recipient: x.recipient.System, Body: x.recipient.Body, Role: x.recipient.Role})
	}
	return f
}
