package network

import (
	"slices"

	"raccordo/hub/exchange"
	"raccordo/hub/gate"
)

// readNetwork reads network.yaml.
func (l *loader) readNetwork(v value) {
	o := v.object("name", "title", "languages", "territories", "record_types", "retention")
	d := &networkDecl{at: v.at, name: name[string](o.need("name")), title: readTexts(o.opt("title"))}
	for _, item := range o.need("languages").list() {
		d.languages = append(d.languages, place(item, item.oneOf("it", "en", "de", "fr", "es", "ro", "ar")))
	}
	if !slices.ContainsFunc(d.languages, func(p placed[string]) bool { return p.v == "it" }) {
		o.opt("languages").fault("add it", "Italian must be one of the languages")
	}
	for _, item := range o.need("territories").list() {
		t := item.object("id", "name", "municipality")
		d.territories = append(d.territories, place(item, Area{
			ID:           name[exchange.Territory](t.need("id")),
			Name:         t.need("name").text(),
			Municipality: t.opt("municipality").shaped(belfioreShape, "a Belfiore code"),
		}))
	}
	d.recordTypes = names[exchange.RecordType](o.need("record_types"))
	r := o.opt("retention").object("parked", "mailbox")
	d.retention = Retention{Parked: r.opt("parked").span(), Mailbox: r.opt("mailbox").span()}
	l.decl.network = d
}

// readTexts reads one text per language.
func readTexts(v value) Text {
	if !v.given() {
		return nil
	}
	t := Text{}
	for _, e := range v.entries() {
		t[e.key.text()] = e.value.text()
	}
	return t
}

// readBody reads one file of bodies/.
func (l *loader) readBody(v value) {
	o := v.object("id", "name", "consumer", "ipa_code", "municipality", "istat", "roles", "offices", "systems")
	d := &bodyDecl{at: v.at, Body: &Body{
		ID:           name[exchange.BodyID](o.need("id")),
		Name:         o.need("name").text(),
		Consumer:     o.opt("consumer").shaped(uuidShape, "a lower-case UUID"),
		IPA:          o.opt("ipa_code").shaped(ipaShape, "an IPA code"),
		Municipality: o.opt("municipality").shaped(belfioreShape, "a Belfiore code"),
		ISTAT:        o.opt("istat").shaped(istatShape, "an ISTAT code of a municipality"),
	}}
	for _, item := range o.need("roles").list() {
		d.readRole(l.cal, item)
	}
	for _, item := range o.opt("offices").list() {
		f := item.object("id", "name", "territories")
		id := f.need("id")
		areas := names[exchange.Territory](f.need("territories"))
		d.Offices = append(d.Offices, Office{
			ID: name[exchange.OfficeID](id), Name: f.need("name").text(), Territories: plain(areas),
		})
		d.offices = append(d.offices, place(id, d.Offices[len(d.Offices)-1].ID))
		d.areas = append(d.areas, areas)
	}
	for _, item := range o.opt("systems").list() {
		d.systems = append(d.systems, readSystem(d, item))
	}
	l.decl.bodies = append(l.decl.bodies, d)
}

func (d *bodyDecl) readRole(cal calendar, item value) {
	r := item.object("role", "territory", "from", "until")
	h := HeldRole{
		Role:      readRole(r.need("role")),
		Territory: name[exchange.Territory](r.need("territory")),
		From:      r.need("from").day(),
		Until:     r.opt("until").day(),
	}
	h.Period = readPeriod(cal, r, h.From, h.Until)
	d.Roles = append(d.Roles, h)
	d.roles = append(d.roles, item.at)
}

func readPeriod(cal calendar, o object, from, until string) gate.Period {
	p := cal.period(from, until)
	if from != "" && p.From.IsZero() {
		o.opt("until").fault("", "ends before it begins")
	}
	return p
}

func readRole(v value) exchange.Role {
	r := exchange.Role(v.text())
	if r != "" && !r.IsValid() {
		v.fault("social_service, registry_office, employment_service, benefit_payer, health_service, desk_operator, "+
			"service_provider, network_manager or observer", "%q is not a role", clip(string(r)))
		return ""
	}
	return r
}

func readRoles(v value) []placed[exchange.Role] {
	var out []placed[exchange.Role]
	for _, item := range v.list() {
		r := readRole(item)
		if slices.ContainsFunc(out, func(p placed[exchange.Role]) bool { return p.v == r }) {
			item.fault("remove one of them", "%q is there twice", r)
			continue
		}
		if r != "" {
			out = append(out, place(item, r))
		}
	}
	return out
}

func readSystem(body *bodyDecl, v value) *systemDecl {
	o := v.object("id", "name", "client", "keys", "office", "territories", "roles", "purposes", "produces",
		"connector", "rate_limit", "records_consents", "opens_dossiers")
	id := o.need("id")
	d := &systemDecl{at: v.at, body: body, System: &System{
		ID:              name[exchange.SystemID](id),
		Name:            o.need("name").text(),
		Client:          o.need("client").shaped(uuidShape, "a lower-case UUID"),
		RecordsConsents: o.opt("records_consents").truth(),
		OpensDossiers:   o.opt("opens_dossiers").truth(),
	}}
	d.at = id.at
	d.client = place(o.opt("client"), d.Client)
	for _, k := range o.opt("keys").list() {
		d.keys = append(d.keys, place(k, k.text()))
	}
	if f := o.opt("office"); f.given() {
		d.office = place(f, name[exchange.OfficeID](f))
	}
	d.territories = names[exchange.Territory](o.need("territories"))
	d.roles = readRoles(o.need("roles"))
	for _, e := range o.opt("purposes").entries() {
		d.purposes = append(d.purposes, purposeRef{
			of: place(e.key, name[exchange.PurposeID](e.key)),
			id: place(e.value, e.value.shaped(uuidShape, "a lower-case UUID")),
		})
	}
	for _, item := range o.opt("produces").list() {
		d.produces = append(d.produces, readProduction(item))
	}
	if c := o.opt("connector"); c.given() {
		co := c.object("kind", "settings")
		d.Connector.Kind = name[string](co.need("kind"))
		d.connector, d.settings = c, co.opt("settings")
		if d.settings.given() {
			d.Connector.Settings = *d.settings.node
		}
	}
	d.RateLimit = readRateLimit(o.opt("rate_limit"))
	return d
}

func readRateLimit(v value) RateLimit {
	if !v.given() {
		return RateLimit{}
	}
	o := v.object("per_second", "burst")
	return RateLimit{
		PerSecond: float64(o.need("per_second").number(1, 100_000)),
		Burst:     o.need("burst").number(1, 1_000_000),
	}
}

func readProduction(v value) *productionDecl {
	o := v.object("record_type", "class", "format", "mapping", "media_type", "identifies_persons", "own")
	p := &productionDecl{at: v.at, identifies: o.opt("identifies_persons").truth(), own: readOwn(o.opt("own"))}
	rt := o.need("record_type")
	p.recordType = place(rt, name[exchange.RecordType](rt))
	if c := o.need("class").oneOf("prompt", "bulk"); c != "" {
		p.class, _ = exchange.ParseClass(c) // one of its two words
	}
	if f := o.opt("format"); f.given() {
		p.format = place(f, name[exchange.FormatID](f))
		m := o.opt("mapping")
		p.mapping = place(m, name[exchange.MappingID](m))
		if !m.given() {
			v.fault("name the mapping that makes it canonical", "a format of its own needs a mapping")
		}
	} else if m := o.opt("mapping"); m.given() {
		m.fault("name the format, or remove the mapping", "a mapping without the format it reads")
	}
	if m := o.opt("media_type"); m.given() {
		p.media = place(m, m.oneOf("application/json", "application/xml"))
	}
	return p
}

// readTeam reads one file of teams/.
func (l *loader) readTeam(v value) {
	o := v.object("id", "name", "territory", "members", "domains")
	t := o.need("territory")
	d := &teamDecl{at: v.at, Team: &Team{ID: name[string](o.need("id")), Name: readTexts(o.opt("name")),
		Domains: map[string]exchange.Role{}}}
	d.territory = place(t, name[exchange.Territory](t))
	d.Territory = d.territory.v
	for _, item := range o.need("members").list() {
		m := item.object("body", "role", "operators")
		member := TeamMember{Body: name[exchange.BodyID](m.need("body")), Role: readRole(m.need("role"))}
		for _, op := range m.need("operators").list() {
			member.Operators = append(member.Operators, op.oneOf(operatorRoles...))
		}
		d.Members = append(d.Members, member)
		d.members = append(d.members, place(item, member))
	}
	for _, e := range o.need("domains").entries() {
		domain := e.key.oneOf(assessmentDomains...)
		r := readRole(e.value)
		d.Domains[domain] = r
		d.domains = append(d.domains, place(e.value, r))
	}
	l.decl.teams = append(l.decl.teams, d)
}

// operatorRoles are those of domain.md 8.1, assessmentDomains those of R09.
var (
	operatorRoles = []string{"CASE_MANAGER", "SOCIAL_WORKER", "EDUCATOR", "CPI_OPERATOR", "TUTOR", "NETWORK_MANAGER",
		"PSYCHOLOGIST", "LEGAL_ADVISER", "MEDIATOR", "HEALTH_OPERATOR", "OSS_DESK", "DPO"}
	assessmentDomains = []string{"ECON", "WORK", "EDU", "HOUSING", "NETWORK", "HEALTH", "TRAINING"}
)
