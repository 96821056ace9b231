package network

import (
	"slices"

	"raccordo/hub/exchange"
)

// readFlows reads one file of flows/.
func (l *loader) readFlows(v value) {
	for _, item := range v.object("flows").need("flows").list() {
		o := item.object("id", "record_type", "territory", "producers", "clause", "recipient", "role", "services",
			"condition", "format", "mapping")
		id := o.need("id")
		d := &flowDecl{at: id.at, Flow: &Flow{ID: name[exchange.FlowID](id)}}
		d.Number = exchange.FlowNumber(d.ID)
		rt, territory, clause := o.need("record_type"), o.need("territory"), o.need("clause")
		recipient, role := o.need("recipient"), o.need("role")
		d.recordType = place(rt, name[exchange.RecordType](rt))
		d.territory = place(territory, name[exchange.Territory](territory))
		d.producers = names[exchange.SystemID](o.need("producers"))
		d.clause = place(clause, name[exchange.ClauseID](clause))
		d.recipient = place(recipient, name[exchange.SystemID](recipient))
		d.role = place(role, readRole(role))
		for _, s := range o.opt("services").list() {
			code := s.shaped(codeShape, "a service code")
			if slices.ContainsFunc(d.services, func(p placed[string]) bool { return p.v == code }) {
				s.fault("remove one of them", "%q is there twice", code)
				continue
			}
			d.services = append(d.services, place(s, code))
		}
		if c := o.opt("condition"); c.given() {
			d.condition = place(c, c.text())
		}
		if f := o.opt("format"); f.given() {
			d.format = place(f, name[exchange.FormatID](f))
		}
		m := o.need("mapping")
		d.mapping = place(m, name[exchange.MappingID](m))
		l.decl.flows = append(l.decl.flows, d)
	}
}

// readServices reads services.yaml.
func (l *loader) readServices(v value) {
	o := v.object("record_types", "property", "services")
	d := &servicesDecl{at: v.at, recordTypes: names[exchange.RecordType](o.need("record_types"))}
	p := o.need("property")
	d.property = place(p, p.text())
	if d.property.v != "" && d.property.v[0] != '/' {
		p.fault("for example /service", "must be a JSON pointer")
	}
	for _, item := range o.need("services").list() {
		s := item.object("code", "label", "siuss_code", "categories", "offers")
		code := s.need("code")
		sd := &serviceDecl{at: code.at, Service: &Service{
			Code:  code.shaped(codeShape, "a service code"),
			Label: readTexts(s.need("label")),
			SIUSS: s.opt("siuss_code").shaped(siussShape, "a SIUSS benefit code"),
		}}
		for _, c := range s.opt("categories").list() {
			sd.categories = append(sd.categories, place(c, c.text()))
		}
		for _, offer := range s.need("offers").list() {
			sd.offers = append(sd.offers, l.readOffer(offer)...)
		}
		d.all = append(d.all, sd)
	}
	l.decl.services = d
}

// readOffer reads where a service can be asked for: the same in one or more
// territories.
func (l *loader) readOffer(v value) []offerDecl {
	o := v.object("territories", "from", "until", "roles")
	from, until := o.need("from").day(), o.opt("until").day()
	period := readPeriod(l.cal, o, from, until)
	roles := readRoles(o.need("roles"))
	var out []offerDecl
	for _, t := range names[exchange.Territory](o.need("territories")) {
		out = append(out, offerDecl{at: v.at, territory: t, roles: roles,
			Offer: Offer{Territory: t.v, From: from, Until: until, Period: period, Roles: plain(roles)}})
	}
	return out
}
