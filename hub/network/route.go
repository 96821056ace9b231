package network

import (
	"fmt"
	"slices"
	"time"

	"raccordo/hub/exchange"
)

type routeKey struct {
	system exchange.SystemID
	typ    exchange.RecordType
}

// route is what a producer's records of one type may take: every flow, or the
// flows of each service.
type route struct {
	flows     []*Flow // of a record type that has no services
	byService map[string]*serviceRoute
	property  exchange.Pointer // of the service code
}

type serviceRoute struct {
	flows  []*Flow
	offers []Offer // in the producer's territory
}

// Route answers which flows a canonical record of a producer takes at a
// moment: producer, type, territory, role and condition match (protocol.md
// 2.2). noRecipient are the roles that should receive it and that no matching
// flow serves, sorted.
//
// A record type the producer does not produce is [exchange.CodeForbidden]. A
// service that is unknown, or not offered in the producer's territory at that
// moment, is [exchange.CodeInvalid] with the place of the code. A condition
// that cannot be evaluated on the record is [exchange.CodeInvalid] too.
//
// The answer does not depend on clauses in force: that is the gate's to say,
// when it decides.
func (n *Network) Route(producer *System, typ exchange.RecordType, tree exchange.Tree, when time.Time) (
	flows []*Flow, noRecipient []exchange.Role, err error) {
	r := n.routes[routeKey{producer.ID, typ}]
	if r == nil {
		return nil, nil, exchange.NewError(exchange.CodeForbidden, exchange.ReasonRoleMissing,
			"the system does not produce this record type")
	}
	candidates := r.flows
	var wanted []exchange.Role
	if r.byService != nil {
		s := r.byService[tree.Text(r.property)]
		if s == nil {
			return nil, nil, r.badService("unknown_service", "the service is not offered in this territory")
		}
		i := slices.IndexFunc(s.offers, func(o Offer) bool { return o.Period.Contains(when) })
		if i < 0 {
			return nil, nil, r.badService("service_not_in_force", "the service is not offered in this territory at this time")
		}
		candidates, wanted = s.flows, s.offers[i].Roles
	}
	flows = make([]*Flow, 0, len(candidates))
	for _, f := range candidates {
		if !producerActs(producer, f, when) || !f.Recipient.Holds(when) {
			continue
		}
		ok, err := f.Matches(tree)
		if err != nil {
			return nil, nil, exchange.NewError(exchange.CodeInvalid, exchange.ReasonSemantic,
				"the condition of flow "+string(f.ID)+" cannot be evaluated on the record",
				exchange.Fault{Rule: "condition"}).Because(fmt.Errorf("condition of flow %s: %w", f.ID, err))
		}
		if ok {
			flows = append(flows, f)
		}
	}
	for _, role := range wanted {
		if !slices.ContainsFunc(flows, func(f *Flow) bool { return f.Recipient.Role == role }) {
			noRecipient = append(noRecipient, role)
		}
	}
	return flows, noRecipient, nil
}

func (r *route) badService(rule, detail string) error {
	return exchange.NewError(exchange.CodeInvalid, exchange.ReasonSemantic, detail, exchange.Fault{Pointer: r.property, Rule: rule})
}

// producerActs reports whether the producer's body holds, at that moment, one
// of the roles the clause lets disclose and the system acts in.
func producerActs(s *System, f *Flow, when time.Time) bool {
	for i := range s.Body.Roles {
		h := &s.Body.Roles[i]
		if h.Territory == f.Territory && h.Period.Contains(when) &&
			slices.Contains(f.Clause.From, h.Role) && s.ActsIn(h.Role) {
			return true
		}
	}
	return false
}

// buildRoutes is done once all flows are known.
func (n *Network) buildRoutes() {
	n.routes = map[routeKey]*route{}
	for _, s := range n.systems {
		for typ := range s.Produces {
			n.routes[routeKey{s.ID, typ}] = n.newRoute(s, typ)
		}
	}
}

func (n *Network) newRoute(s *System, typ exchange.RecordType) *route {
	r := &route{}
	if slices.Contains(n.services.RecordTypes, typ) {
		r.property, r.byService = n.services.Property, map[string]*serviceRoute{}
		for _, service := range n.services.All {
			for _, o := range service.Offers {
				if o.Territory == s.Territory() {
					if r.byService[service.Code] == nil {
						r.byService[service.Code] = &serviceRoute{}
					}
					r.byService[service.Code].offers = append(r.byService[service.Code].offers, o)
				}
			}
		}
	}
	for _, f := range n.flows { // sorted by id, so that every replica writes the same header
		if f.RecordType != typ || !slices.Contains(f.Producers, s.ID) {
			continue
		}
		if r.byService == nil {
			r.flows = append(r.flows, f)
			continue
		}
		for _, code := range f.Services {
			if sr := r.byService[code]; sr != nil {
				sr.flows = append(sr.flows, f)
			}
		}
	}
	return r
}
