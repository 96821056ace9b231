package network

import (
	"raccordo/hub/exchange"
)

// What the files declare, with the place of every reference, before names are
// resolved (compile.go).

type declared struct {
	network    *networkDecl
	bodies     []*bodyDecl
	purposes   []*purposeDecl
	agreements []*agreementDecl
	flows      []*flowDecl
	services   *servicesDecl
	teams      []*teamDecl
}

type networkDecl struct {
	at
	name        string
	title       Text
	languages   []placed[string]
	territories []placed[Area]
	recordTypes []placed[exchange.RecordType]
	retention   Retention
}

type bodyDecl struct {
	at
	*Body
	roles   []at // places of Body.Roles
	offices []placed[exchange.OfficeID]
	areas   [][]placed[exchange.Territory] // of the offices
	systems []*systemDecl
}

type systemDecl struct {
	at
	*System
	body        *bodyDecl
	office      placed[exchange.OfficeID]
	territories []placed[exchange.Territory]
	roles       []placed[exchange.Role]
	client      placed[string]
	keys        []placed[string]
	purposes    []purposeRef
	produces    []*productionDecl
	connector   value
	settings    value
}

type purposeRef struct {
	id placed[string] // PDND's purpose id
	of placed[exchange.PurposeID]
}

type productionDecl struct {
	at
	recordType placed[exchange.RecordType]
	class      exchange.Class
	format     placed[exchange.FormatID]
	mapping    placed[exchange.MappingID]
	media      placed[string]
	identifies bool
	own        []ownDecl
}

type purposeDecl struct {
	at
	*Purpose
	notice at
	types  []placed[string]
}

type agreementDecl struct {
	at
	*Agreement
	parties []placed[exchange.BodyID]
	signed  []at
	clauses []*clauseDecl
}

type clauseDecl struct {
	at
	*Clause
	agreement  *agreementDecl
	recordType placed[exchange.RecordType]
	from, to   []placed[exchange.Role]
	purpose    placed[exchange.PurposeID]
	basis      at
	categories []placed[string]
	special    placed[string]
	when       placed[string]
	hold       at
	dossier    at
	urgent     at
	recorders  []placed[exchange.Role]
}

type flowDecl struct {
	at
	*Flow
	recordType placed[exchange.RecordType]
	territory  placed[exchange.Territory]
	producers  []placed[exchange.SystemID]
	clause     placed[exchange.ClauseID]
	recipient  placed[exchange.SystemID]
	role       placed[exchange.Role]
	services   []placed[string]
	condition  placed[string]
	format     placed[exchange.FormatID]
	mapping    placed[exchange.MappingID]
}

type servicesDecl struct {
	at
	recordTypes []placed[exchange.RecordType]
	property    placed[string]
	all         []*serviceDecl
}

type serviceDecl struct {
	at
	*Service
	categories []placed[string]
	offers     []offerDecl
}

type offerDecl struct {
	at
	territory placed[exchange.Territory]
	roles     []placed[exchange.Role]
	Offer
}

type teamDecl struct {
	at
	*Team
	territory placed[exchange.Territory]
	members   []placed[TeamMember]
	domains   []placed[exchange.Role]
}
