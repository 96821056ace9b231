package hub

import (
	"time"

	"raccordo/hub/codec"
	"raccordo/hub/delivery"
	"raccordo/hub/exchange"
	"raccordo/hub/gate"
	"raccordo/hub/intake"
	"raccordo/hub/mapping"
	"raccordo/hub/network"
	"raccordo/schemas"
)

// plan shows one network to intake and delivery as each needs it.
type plan struct {
	net       *network.Network
	flows     map[exchange.FlowID]*planFlow
	producers map[producerKey]*planProducer
	receive   []exchange.SystemID
}

type producerKey struct {
	system exchange.SystemID
	typ    exchange.RecordType
}

var (
	_ delivery.Plan = (*plan)(nil)
	_ intake.Plan   = (*intakePlan)(nil)
)

// losses counts what a recipient's format could not hold.
type losses interface {
	MappingLost(f exchange.FlowID, rule string)
}

// newPlan prepares everything once, so that nothing is looked up per record.
func newPlan(n *network.Network, version func(exchange.RecordType) string, lost losses) *plan {
	p := &plan{net: n, flows: map[exchange.FlowID]*planFlow{}, producers: map[producerKey]*planProducer{}}
	seen := map[exchange.SystemID]bool{}
	for _, f := range n.Flows() {
		p.flows[f.ID] = &planFlow{f: f, keep: keepOf(n), lost: lost}
		if !seen[f.Recipient.System] {
			seen[f.Recipient.System] = true
			p.receive = append(p.receive, f.Recipient.System)
		}
	}
	for _, s := range n.Systems() {
		for typ, production := range s.Produces {
			p.producers[producerKey{s.ID, typ}] = &planProducer{net: n, system: s, p: production, version: version(typ)}
		}
	}
	return p
}

// keepOf is how long a record may wait for its recipient.
func keepOf(n *network.Network) time.Duration {
	if n.Retention.Mailbox > 0 {
		return n.Retention.Mailbox
	}
	return 30 * 24 * time.Hour
}

func (p *plan) Digest() exchange.Digest         { return p.net.Digest }
func (p *plan) Recipients() []exchange.SystemID { return p.receive }

func (p *plan) Flow(id exchange.FlowID) delivery.Flow {
	if f := p.flows[id]; f != nil {
		return f
	}
	return nil
}

func (p *plan) BodyOf(s exchange.SystemID) exchange.BodyID {
	if system := p.net.System(s); system != nil {
		return system.Body.ID
	}
	return ""
}

// intakePlan is the same plan under intake's name for it.
type intakePlan struct{ *plan }

func (p *intakePlan) Producer(s exchange.SystemID, t exchange.RecordType) intake.Producer {
	if x := p.producers[producerKey{s, t}]; x != nil {
		return x
	}
	return nil
}

// planFlow is a compiled flow as delivery sees it.
type planFlow struct {
	f    *network.Flow
	keep time.Duration
	lost losses
}

func (f *planFlow) ID() exchange.FlowID        { return f.f.ID }
func (f *planFlow) Number() exchange.Number    { return f.f.Number }
func (f *planFlow) Clause() *gate.Clause       { return &f.f.Clause.Clause }
func (f *planFlow) Recipient() *gate.Recipient { return &f.f.Recipient }
func (f *planFlow) Keep() time.Duration        { return f.keep }

func (f *planFlow) Present(t exchange.Tree) exchange.CategorySet { return f.f.Present(t) }

func (f *planFlow) Prunable(place exchange.Pointer) bool {
	return f.f.Mapping != nil && f.f.Mapping.Prunable(place)
}

// Condition is the clause's own condition. An error is not a yes.
func (f *planFlow) Condition(t exchange.Tree) bool {
	if f.f.Clause.When == nil {
		return true
	}
	ok, err := f.f.Clause.When.Eval(t)
	return err == nil && ok
}

// Render prunes, minimises, maps, validates and encodes (design.md section 3).
func (f *planFlow) Render(t exchange.Tree, r delivery.Rendering) (exchange.Payload, string, []exchange.Fault) {
	failpoint(t)
	// Pruned first: places are those of the whole record.
	cut, _ := f.f.Canonical.Minimise(t.Without(r.Pruned), r.Permitted, f.f.ValueCategories)
	out := cut
	if f.f.Mapping != nil {
		var report mapping.Report
		var err error
		if out, report, err = f.f.Mapping.Apply(cut, mapping.Context{At: r.At, Name: r.Name}); err != nil {
			return exchange.Payload{}, "", faultsOf(err, "mapping")
		}
		for _, l := range report.Lost { // never silent
			f.lost.MappingLost(f.f.ID, l.Rule)
		}
	}
	if faults := refusing(f.f.TargetSchema.Validate(out)); len(faults) > 0 {
		return exchange.Payload{}, "", faults
	}
	body, err := f.f.Codec.Encode(out)
	if err != nil {
		return exchange.Payload{}, "", faultsOf(err, "encode")
	}
	return exchange.NewPayload(body), f.f.MediaType, nil
}

func refusing(faults []exchange.Fault) []exchange.Fault {
	var out []exchange.Fault
	for _, f := range faults {
		if !f.Warning {
			out = append(out, f)
		}
	}
	return out
}

func warning(faults []exchange.Fault) []exchange.Fault {
	var out []exchange.Fault
	for _, f := range faults {
		if f.Warning {
			out = append(out, f)
		}
	}
	return out
}

func faultsOf(err error, otherwise string) []exchange.Fault {
	if e := exchange.AsError(err); len(e.Faults) > 0 {
		return e.Faults
	}
	return []exchange.Fault{{Rule: otherwise}}
}

// planProducer is what a system pushes of one type, as intake sees it.
type planProducer struct {
	net     *network.Network
	system  *network.System
	p       *network.Production
	version string
}

func (p *planProducer) Body() exchange.BodyID { return p.system.Body.ID }
func (p *planProducer) Class() exchange.Class { return p.p.Class }
func (p *planProducer) Version() string       { return p.version }
func (p *planProducer) MediaType() string     { return p.p.MediaType }
func (p *planProducer) MayIdentify() bool     { return p.p.MayIdentify }

func (p *planProducer) Persons(t exchange.Tree) []schemas.Person { return p.p.Canonical.Persons(t) }

func (p *planProducer) Encode(t exchange.Tree) ([]byte, error) { return codec.JSON{}.Encode(t) }

// Canonical reads bytes through the byte gate, the schema of the format, the
// names of the sender's own body, the mapping and the canonical schema.
func (p *planProducer) Canonical(body []byte, at time.Time) (exchange.Tree, []exchange.Fault, error) {
	tree, err := p.p.Codec.Decode(body)
	if err != nil {
		return exchange.Tree{}, nil, err
	}
	faults := p.p.Schema.Validate(tree)
	if err := schemas.Refusal(faults); err != nil {
		return exchange.Tree{}, nil, err
	}
	if foreign := p.p.Foreign(tree); len(foreign) > 0 {
		return exchange.Tree{}, nil, exchange.NewError(exchange.CodeInvalid, exchange.ReasonSemantic,
			"the record is not of the body that sends it", foreign...)
	}
	warnings := warning(faults)
	if p.p.Mapping == nil {
		return tree, warnings, nil
	}
	out, report, err := p.p.Mapping.Apply(tree, mapping.Context{At: at})
	if err != nil {
		e := *exchange.AsError(err)
		e.Code = exchange.CodeInvalid
		return exchange.Tree{}, nil, &e
	}
	for _, l := range report.Lost {
		warnings = append(warnings, exchange.Fault{Pointer: l.At, Rule: "lost:" + l.Rule, Warning: true})
	}
	faults = p.p.Canonical.Validate(out)
	if err := schemas.Refusal(faults); err != nil {
		return exchange.Tree{}, nil, err
	}
	return out, append(warnings, warning(faults)...), nil
}

// Route names the record's flows and the roles nobody serves.
func (p *planProducer) Route(t exchange.Tree, at time.Time) ([]intake.Recipient, []exchange.Role, error) {
	flows, nobody, err := p.net.Route(p.system, p.p.RecordType, t, at)
	if err != nil {
		return nil, nil, err
	}
	out := make([]intake.Recipient, len(flows))
	for i, f := range flows {
		out[i] = intake.Recipient{Flow: f.ID, System: f.Recipient.System, Body: f.Recipient.Body, Role: f.Recipient.Role}
	}
	return out, nobody, nil
}
