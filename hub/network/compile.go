package network

import (
	"maps"
	"slices"

	"raccordo/hub/exchange"
	"raccordo/hub/gate"
	"raccordo/hub/mapping"
)

// compile makes the flows, once everything they name is known.
func (l *loader) compile() {
	for _, c := range l.n.clauses {
		d := l.clauses[c.ID]
		if d.when.v != "" {
			if cond := l.condition(d.when, d.recordType.v); cond != nil {
				c.When = quicken(cond)
			}
		}
	}
	for _, d := range l.decl.flows {
		l.compileFlow(d)
	}
	for _, d := range l.decl.flows { // once all are known: what one flow hides another can show
		if d.Flow.Mapping != nil && l.n.flowByID[d.Flow.ID] == d.Flow {
			l.prove(d)
		}
	}
}

// condition compiles a CEL condition and checks that it reads what the record
// has.
func (l *loader) condition(src placed[string], typ exchange.RecordType) *mapping.Condition {
	c, wrong := mapping.CompileCondition(src.v)
	for _, w := range wrong {
		l.addAt(src.at, "CEL over record, for example record.urgency == \"EMERGENCY\"", "%s", w)
	}
	if c == nil {
		return nil
	}
	s := l.canonical(typ)
	if s == nil {
		return nil
	}
	for _, p := range c.Reads() {
		if _, ok := s.Property(p); !ok {
			l.addAt(src.at, "read only what "+string(typ)+" has", "the condition reads %s, which the record type does not have", orRoot(p))
		}
	}
	return c
}

func orRoot(p exchange.Pointer) string {
	if p == "" {
		return "the whole record"
	}
	return string(p)
}

func (l *loader) compileFlow(d *flowDecl) {
	f := d.Flow
	if f.ID == "" {
		return
	}
	if l.n.flowByID[f.ID] != nil {
		l.addAt(d.at, "names of flows are unique in the network", "flow %q is there twice", f.ID)
		return
	}
	if other := l.n.flowByNo[f.Number]; other != nil {
		l.addAt(d.at, "rename one of them", "flows %s and %s have the same number in ledger rows", f.ID, other.ID)
		return
	}
	l.n.flowByID[f.ID], l.n.flowByNo[f.Number] = f, f
	l.n.flows = append(l.n.flows, f)
	if !l.needType(d.recordType) || !l.needTerritory(d.territory) {
		return
	}
	f.RecordType, f.Territory, f.Canonical = d.recordType.v, d.territory.v, l.canonical(d.recordType.v)
	if !l.flowClause(d) {
		return
	}
	l.flowRecipient(d)
	l.flowProducers(d)
	l.flowServices(d)
	if d.condition.v != "" {
		if cond := l.condition(d.condition, f.RecordType); cond != nil {
			f.Condition = quicken(cond)
		}
	}
	l.flowMapping(d)
}

// flowClause finds the clause and holds record type and urgency to it.
func (l *loader) flowClause(d *flowDecl) bool {
	if d.clause.v == "" {
		return false
	}
	c := l.n.clauseByID[d.clause.v]
	if c == nil {
		l.unknown(kindAgreement, d.clause.at, "clauses are named in agreements/", "clause %q is not known", d.clause.v)
		return false
	}
	d.Flow.Clause = c
	if c.RecordType != d.recordType.v {
		l.addAt(d.clause.at, "", "clause %s is about %s, and the flow carries %s", c.ID, c.RecordType, d.recordType.v)
	}
	return true
}

func (l *loader) party(c *Clause, b *Body) bool {
	return slices.ContainsFunc(c.Agreement.Parties, func(p Party) bool { return p.Body == b.ID })
}

func (l *loader) flowRecipient(d *flowDecl) {
	f := d.Flow
	if d.role.v != "" && !slices.Contains(f.Clause.To, d.role.v) {
		l.addAt(d.role.at, "add it to the clause's to, or use another role", "clause %s does not let the role %s receive", f.Clause.ID, d.role.v)
	}
	if d.recipient.v == "" {
		return
	}
	s := l.n.systemByID[d.recipient.v]
	if s == nil {
		l.unknown(kindBody, d.recipient.at, "systems are named in bodies/", "system %q is not known", d.recipient.v)
		return
	}
	f.RecipientSystem = s
	f.Recipient = gate.Recipient{System: s.ID, Body: s.Body.ID, Role: d.role.v, Territory: f.Territory,
		Held: s.Body.Held(d.role.v, f.Territory)}
	switch {
	case d.role.v == "":
	case len(f.Recipient.Held) == 0:
		l.addAt(d.role.at, "add it to the roles of the body, or send it to who holds the role",
			"body %s does not hold the role %s in %s", s.Body.ID, d.role.v, f.Territory)
	case !s.ActsIn(d.role.v):
		l.addAt(d.recipient.at, "add it to the roles of the system", "system %s does not act in the role %s", s.ID, d.role.v)
	}
	if !slices.Contains(s.Territories, f.Territory) {
		l.addAt(d.recipient.at, "add the territory to the system, or send it to another", "system %s is not in %s", s.ID, f.Territory)
	}
	if s.Connector.Kind == "" {
		l.addAt(d.recipient.at, "add a connector to the system", "system %s has no connector, so nothing can reach it", s.ID)
	}
	if !l.party(f.Clause, s.Body) {
		l.addAt(d.recipient.at, "let it sign, or send it to a party", "body %s is not a party of agreement %s", s.Body.ID, f.Clause.Agreement.ID)
	}
}

func (l *loader) flowProducers(d *flowDecl) {
	f := d.Flow
	if len(d.producers) == 0 {
		l.addAt(d.at, "name at least one", "the flow has no producer")
	}
	for _, p := range d.producers {
		s := l.n.systemByID[p.v]
		if s == nil {
			l.unknown(kindBody, p.at, "systems are named in bodies/", "system %q is not known", p.v)
			continue
		}
		f.Producers = append(f.Producers, s.ID)
		if !slices.Contains(s.Territories, f.Territory) {
			l.addAt(p.at, "", "system %s is not in %s", s.ID, f.Territory)
		}
		if !l.party(f.Clause, s.Body) {
			l.addAt(p.at, "let it sign, or leave it out", "body %s is not a party of agreement %s", s.Body.ID, f.Clause.Agreement.ID)
		}
		if !l.producerActs(s, f) {
			l.addAt(p.at, "use a system that acts in a role of the clause's from", "system %s acts in no role that clause %s lets disclose in %s", s.ID, f.Clause.ID, f.Territory)
		}
		pr := s.Produces[f.RecordType]
		if pr == nil {
			l.addAt(p.at, "add it to produces of the system", "system %s does not produce %s", s.ID, f.RecordType)
			continue
		}
		l.flowClass(d, p, pr)
		if !slices.Contains(slices.Collect(maps.Values(s.Purposes)), f.Clause.Purpose) {
			l.addAt(p.at, "add it to the purposes of the system, with the id PDND gives it",
				"system %s has no PDND purpose for %s, which clause %s is for", s.ID, f.Clause.Purpose, f.Clause.ID)
		}
	}
	slices.Sort(f.Producers)
}

// flowClass keeps a flow in one stream class, and what is urgent out of bulk:
// an emergency bed never waits behind an export (protocol.md 2.5).
func (l *loader) flowClass(d *flowDecl, p placed[exchange.SystemID], pr *Production) {
	f := d.Flow
	switch {
	case pr.Class == 0:
	case f.Class == 0:
		f.Class = pr.Class
	case f.Class != pr.Class:
		l.addAt(p.at, "make two flows, one per class", "producer %s is %s and another producer of the flow is %s", p.v, pr.Class, f.Class)
	}
	if f.Clause.Urgent && pr.Class == exchange.ClassBulk {
		l.addAt(p.at, "make its class prompt", "clause %s is urgent and producer %s is bulk", f.Clause.ID, p.v)
	}
}

func (l *loader) producerActs(s *System, f *Flow) bool {
	return slices.ContainsFunc(f.Clause.From, func(r exchange.Role) bool {
		return s.ActsIn(r) && len(s.Body.Held(r, f.Territory)) > 0
	})
}

// flowServices holds the codes a flow carries to what the territory offers.
func (l *loader) flowServices(d *flowDecl) {
	f := d.Flow
	if !slices.Contains(l.n.services.RecordTypes, f.RecordType) {
		if len(d.services) > 0 {
			l.addAt(d.services[0].at, "remove services", "record type %s has no services", f.RecordType)
		}
		return
	}
	if len(d.services) == 0 {
		l.addAt(d.at, "list their codes under services", "the flow does not say which services it carries")
	}
	for _, code := range d.services {
		if code.v == "" {
			continue
		}
		s := l.n.Service(code.v)
		if s == nil {
			l.unknown(kindServices, code.at, "services are named in services.yaml", "service %q is not known", code.v)
			continue
		}
		f.Services = append(f.Services, s.Code)
		offered, received := false, false
		for _, o := range s.Offers {
			offered = offered || o.Territory == f.Territory
			received = received || o.Territory == f.Territory && slices.Contains(o.Roles, d.role.v)
		}
		switch {
		case !offered:
			l.addAt(code.at, "add an offer in services.yaml, or leave it out", "service %s is not offered in %s", s.Code, f.Territory)
		case !received && d.role.v != "":
			l.addAt(code.at, "add the role to the offer in services.yaml, or leave the service out",
				"the role %s does not receive requests for %s in %s", d.role.v, s.Code, f.Territory)
		}
	}
	slices.Sort(f.Services)
}

// flowMapping finds the mapping and what it makes.
func (l *loader) flowMapping(d *flowDecl) {
	f := d.Flow
	e := l.mapping(d.mapping)
	if d.format.v != "" {
		s, c, ok := l.format(d.format)
		if !ok {
			return
		}
		f.Format, f.TargetSchema, f.Codec = d.format.v, s, c
	} else if f.TargetSchema = f.Canonical; f.TargetSchema != nil {
		f.Codec = l.canonicalCodec(f.TargetSchema)
	}
	if e == nil || f.Codec == nil {
		return
	}
	f.MediaType = f.Codec.MediaType()
	if e.from.typ != f.RecordType || e.from.schema != f.Canonical {
		l.addAt(d.mapping.at, "", "mapping %s is from %s, and the flow carries %s@%s", e.id, e.from.name, f.RecordType,
			l.opts.Catalog.Latest(f.RecordType).Version)
		return
	}
	if e.to.schema != f.TargetSchema {
		l.addAt(d.mapping.at, "name the format the mapping makes, or another mapping", "mapping %s makes %s, and the recipient gets %s",
			e.id, e.to.name, formatName(f))
		return
	}
	f.Mapping = e.m
}

func formatName(f *Flow) string {
	if f.Format == "" {
		return "the canonical " + string(f.RecordType)
	}
	return string(f.Format)
}
