package network

import (
	"encoding/json"
	"slices"
	"strings"

	"raccordo/hub/exchange"
	"raccordo/hub/gate"
)

// resolve gives every name of the files its meaning, in an order in which what
// is named is known before who names it.
func (l *loader) resolve() {
	l.resolveNetwork()
	l.resolveBodies()
	l.resolvePurposes()
	l.resolveServices()
	l.compileCodeLists()
	l.compileMappings()
	for _, b := range l.decl.bodies {
		for _, s := range b.systems {
			l.resolveSystem(s)
		}
	}
	l.resolveAgreements()
	l.resolveTeams()
}

func (l *loader) resolveNetwork() {
	d := l.decl.network
	n := l.n
	if d == nil {
		l.add(Fault{File: "network.yaml", Message: "the file is missing", Fix: "add it: name, languages, territories, record_types"})
		return
	}
	n.Name, n.Title, n.Retention = d.name, d.title, d.retention
	n.Languages = plain(d.languages)
	for _, t := range d.territories {
		if l.territory(t.v.ID) {
			l.addAt(t.at, "remove one of them", "territory %q is there twice", t.v.ID)
			continue
		}
		n.Territories = append(n.Territories, t.v)
	}
	for _, rt := range d.recordTypes {
		if l.canonical(rt.v) == nil {
			l.addAt(rt.at, "known record types: "+l.knownTypes(), "the catalogue has no record type %q", rt.v)
			continue
		}
		n.RecordTypes = append(n.RecordTypes, rt.v)
	}
	slices.Sort(n.RecordTypes)
	l.languages(d.at, d.title, "the title of the network")
}

// languages reports texts that are not there in every language.
func (l *loader) languages(p at, t Text, what string) {
	if t == nil {
		return
	}
	for _, lang := range l.n.Languages {
		if t[lang] == "" {
			l.addAt(p, "add it", "%s is missing in %q", what, lang)
		}
	}
	for lang := range t {
		if lang != "" && !slices.Contains(l.n.Languages, lang) {
			l.addAt(p, "add it to languages in network.yaml, or remove the text", "%s is given in %q, which is not a language of the network", what, lang)
		}
	}
}

func (l *loader) territory(t exchange.Territory) bool {
	return slices.ContainsFunc(l.n.Territories, func(a Area) bool { return a.ID == t })
}

func (l *loader) needTerritory(t placed[exchange.Territory]) bool {
	if t.v == "" {
		return false
	}
	if !l.territory(t.v) {
		l.addAt(t.at, "territories are named in network.yaml", "territory %q is not known", t.v)
		return false
	}
	return true
}

func (l *loader) needType(rt placed[exchange.RecordType]) bool {
	if rt.v == "" {
		return false
	}
	if !slices.Contains(l.n.RecordTypes, rt.v) {
		l.addAt(rt.at, "add it to record_types in network.yaml, or use one that is there", "record type %q is not in use", rt.v)
		return false
	}
	return true
}

func (l *loader) resolveBodies() {
	for _, d := range l.decl.bodies {
		if d.ID == "" {
			continue
		}
		if l.n.bodyByID[d.ID] != nil {
			l.addAt(d.at, "one file per body", "body %q is there twice", d.ID)
			continue
		}
		l.n.bodyByID[d.ID] = d.Body
		l.n.bodies = append(l.n.bodies, d.Body)
		l.once(d.at, "consumer id", d.Consumer)
		l.resolveRoles(d)
		for i, o := range d.offices {
			if slices.ContainsFunc(d.offices[:i], func(p placed[exchange.OfficeID]) bool { return p.v == o.v }) {
				l.addAt(o.at, "remove one of them", "office %q is there twice", o.v)
			}
			for _, t := range d.areas[i] {
				l.needTerritory(t)
			}
		}
	}
}

func (l *loader) resolveRoles(d *bodyDecl) {
	for i, h := range d.Roles {
		if h.Territory != "" {
			l.needTerritory(placed[exchange.Territory]{h.Territory, d.roles[i]})
		}
		for _, o := range d.Roles[:i] {
			if o.Role == h.Role && o.Territory == h.Territory && overlap(o.Period, h.Period) {
				l.addAt(d.roles[i], "let one end before the other begins", "role %s in %s is held twice at the same time", h.Role, h.Territory)
			}
		}
	}
}

func overlap(a, b gate.Period) bool {
	if a.From.IsZero() || b.From.IsZero() {
		return false
	}
	return (a.Until.IsZero() || b.From.Before(a.Until)) && (b.Until.IsZero() || a.From.Before(b.Until))
}

// once reports a UUID that is used twice in the network.
func (l *loader) once(p at, what, uuid string) {
	if uuid == "" {
		return
	}
	if other, ok := l.uuids[uuid]; ok {
		l.addAt(p, "give each its own", "the %s is already used in %s:%d", what, other.file, other.line)
		return
	}
	l.uuids[uuid] = p
}

func (l *loader) resolvePurposes() {
	for _, d := range l.decl.purposes {
		if d.ID == "" {
			continue
		}
		if l.n.purposeBy[d.ID] != nil {
			l.addAt(d.at, "remove one of them", "purpose %q is there twice", d.ID)
			continue
		}
		l.n.purposeBy[d.ID] = d.Purpose
		l.n.purposes = append(l.n.purposes, d.Purpose)
		l.languages(d.at, d.Title, "the title")
		if d.Notice != nil {
			l.languages(d.notice, d.Notice.Text, "the notice")
		}
	}
}

func (l *loader) resolveSystem(d *systemDecl) {
	if d.System.ID == "" {
		return
	}
	if l.n.systemByID[d.System.ID] != nil {
		l.addAt(d.at, "names of systems are unique in the network", "system %q is there twice", d.System.ID)
		return
	}
	s := d.System
	s.Body = d.body.Body
	s.Office = d.office.v
	s.Territories, s.Roles = plain(d.territories), plain(d.roles)
	s.Body.Systems = append(s.Body.Systems, s)
	l.n.systemByID[s.ID] = s
	l.n.systems = append(l.n.systems, s)
	l.systems[s.ID] = d
	l.once(d.client.at, "client id", s.Client)
	if s.Body.Consumer == "" {
		l.addAt(d.body.at, "add consumer, PDND's id of the body", "body %s has systems and no consumer id", s.Body.ID)
	}
	l.resolvePlace(d)
	s.Purposes = map[string]exchange.PurposeID{}
	for _, p := range d.purposes {
		l.needPurpose(p.of)
		l.once(p.id.at, "PDND purpose id", p.id.v)
		s.Purposes[p.id.v] = p.of.v
	}
	for _, k := range d.keys {
		if k.v != "" && (!json.Valid([]byte(k.v)) || !strings.HasPrefix(strings.TrimSpace(k.v), "{")) {
			l.addAt(k.at, "a public key as JWK: {\"kty\": ...}", "not a JSON object")
		}
		if strings.Contains(k.v, `"d"`) {
			l.addAt(k.at, "only public keys stand in a network; replace this key, it is no longer secret", "holds a private key")
		}
		s.Keys = append(s.Keys, k.v)
	}
	if s.Connector.Kind != "" && l.opts.Kinds != nil {
		l.checkConnector(d)
	}
	l.resolveProductions(d)
}

// resolvePlace checks where a system acts and as what.
func (l *loader) resolvePlace(d *systemDecl) {
	s := d.System
	if len(d.territories) == 0 {
		l.addAt(d.at, "name at least one", "system %q is in no territory", s.ID)
	}
	if len(d.roles) == 0 {
		l.addAt(d.at, "name at least one", "system %q acts in no role", s.ID)
	}
	for _, t := range d.territories {
		if !l.needTerritory(t) {
			continue
		}
		for _, r := range d.roles {
			if len(s.Body.Held(r.v, t.v)) == 0 {
				l.addAt(r.at, "add it to the roles of the body, or remove it here", "body %s does not hold the role %s in %s", s.Body.ID, r.v, t.v)
			}
		}
	}
	if d.office.v == "" {
		return
	}
	i := slices.IndexFunc(s.Body.Offices, func(o Office) bool { return o.ID == d.office.v })
	if i < 0 {
		l.addAt(d.office.at, "offices are named in the same file", "office %q is not known", d.office.v)
		return
	}
	for _, t := range d.territories {
		if !slices.Contains(s.Body.Offices[i].Territories, t.v) {
			l.addAt(t.at, "a system of an office acts in the office's territories only", "office %s does not serve %s", d.office.v, t.v)
		}
	}
}

func (l *loader) checkConnector(d *systemDecl) {
	for _, f := range l.opts.Kinds.CheckConnector(d.Connector.Kind, &d.Connector.Settings) {
		p := d.connector.at
		if d.settings.given() {
			p = d.settings.at
		}
		if f.Line > 0 {
			p.line, p.col = f.Line, f.Column
		}
		if f.Path != "" {
			p.path = join(p.path, f.Path)
		}
		l.addAt(p, f.Fix, "%s", f.Message)
	}
}

func (l *loader) needPurpose(p placed[exchange.PurposeID]) *Purpose {
	if p.v == "" {
		return nil
	}
	found := l.n.purposeBy[p.v]
	if found == nil {
		l.unknown(kindPurposes, p.at, "purposes are named in purposes.yaml", "purpose %q is not known", p.v)
	}
	return found
}

func (l *loader) resolveServices() {
	d := l.decl.services
	if d == nil {
		return
	}
	l.n.services.Property = exchange.Pointer(d.property.v)
	for _, rt := range d.recordTypes {
		if !l.needType(rt) {
			continue
		}
		l.n.services.RecordTypes = append(l.n.services.RecordTypes, rt.v)
		if s := l.canonical(rt.v); s != nil {
			if p, ok := s.Property(l.n.services.Property); !ok || p.Type != "string" {
				l.addAt(d.property.at, "name a text of the canonical record", "record type %s has no text at %s", rt.v, d.property.v)
			}
		}
	}
	for _, s := range d.all {
		l.resolveService(s)
	}
	slices.SortFunc(l.n.services.All, func(a, b *Service) int { return strings.Compare(a.Code, b.Code) })
}

func (l *loader) resolveService(s *serviceDecl) {
	if s.Code == "" {
		return
	}
	if l.n.Service(s.Code) != nil {
		l.addAt(s.at, "remove one of them", "service %q is there twice", s.Code)
		return
	}
	l.n.services.All = append(l.n.services.All, s.Service)
	l.languages(s.at, s.Label, "the label")
	s.Categories = l.categorySet(s.categories)
	for i := range s.offers {
		o := &s.offers[i]
		l.needTerritory(o.territory)
		if len(o.Roles) == 0 {
			l.addAt(o.at, "name at least one", "no role receives the request")
		}
		for _, before := range s.Offers {
			if before.Territory == o.Territory && overlap(before.Period, o.Period) {
				l.addAt(o.at, "let one end before the other begins", "service %s is offered twice in %s at the same time", s.Code, o.Territory)
			}
		}
		s.Offers = append(s.Offers, o.Offer)
	}
}

func (l *loader) resolveTeams() {
	for _, d := range l.decl.teams {
		if slices.ContainsFunc(l.n.teams, func(t *Team) bool { return t.ID == d.ID }) {
			l.addAt(d.at, "one file per team", "team %q is there twice", d.ID)
			continue
		}
		l.n.teams = append(l.n.teams, d.Team)
		l.languages(d.at, d.Name, "the name")
		l.needTerritory(d.territory)
		for _, m := range d.members {
			if m.v.Body == "" {
				continue
			}
			b := l.n.bodyByID[m.v.Body]
			switch {
			case b == nil:
				l.unknown(kindBody, m.at, "bodies are files of bodies/", "body %q is not known", m.v.Body)
			case m.v.Role != "" && len(b.Held(m.v.Role, d.Territory)) == 0:
				l.addAt(m.at, "", "body %s does not hold the role %s in %s", b.ID, m.v.Role, d.Territory)
			}
		}
		for _, r := range d.domains {
			if r.v != "" && !slices.ContainsFunc(d.Members, func(m TeamMember) bool { return m.Role == r.v }) {
				l.addAt(r.at, "add a member in that role", "no member of the team has the role %s", r.v)
			}
		}
	}
}
