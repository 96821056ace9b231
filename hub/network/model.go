package network

import (
	"time"

	"go.yaml.in/yaml/v3"

	"raccordo/hub/exchange"
	"raccordo/hub/gate"
)

// Text is a text in the languages of the network: "it" always, others where
// they are given.
type Text map[string]string

// In is the text in lang, else in Italian.
func (t Text) In(lang string) string {
	if s, ok := t[lang]; ok {
		return s
	}
	return t["it"]
}

// Network is one version of the agreement as code. It is immutable and safe
// for concurrent use; nothing handed out by it may be changed.
type Network struct {
	Digest      exchange.Digest // of every file read, and of the catalogue
	Name        string
	Title       Text
	Languages   []string
	Territories []Area
	RecordTypes []exchange.RecordType // in use, sorted
	Retention   Retention

	bodies     []*Body // all lists are sorted by id
	systems    []*System
	purposes   []*Purpose
	agreements []*Agreement
	clauses    []*Clause
	flows      []*Flow
	teams      []*Team
	services   Services
	categories []exchange.CategoryFact

	bodyByID   map[exchange.BodyID]*Body
	systemByID map[exchange.SystemID]*System
	purposeBy  map[exchange.PurposeID]*Purpose
	clauseByID map[exchange.ClauseID]*Clause
	clauseByNo map[exchange.Number]*Clause
	flowByID   map[exchange.FlowID]*Flow
	flowByNo   map[exchange.Number]*Flow
	routes     map[routeKey]*route
}

// Area is a territory of the network.
type Area struct {
	ID           exchange.Territory
	Name         string
	Municipality string // Belfiore code of the municipality it is named after
}

// Retention are defaults for what the hub itself keeps.
type Retention struct {
	Parked  time.Duration // a parked record, sealed, until it is discarded
	Mailbox time.Duration // a record to be fetched, until it expires
}

// Body is a participating organisation.
type Body struct {
	ID           exchange.BodyID
	Name         string
	Consumer     string // PDND's id of the body, a UUID
	IPA          string // code in the index of public administrations, "" if it has none
	Municipality string // Belfiore code of the municipality it is, "" if it is none
	ISTAT        string
	Roles        []HeldRole
	Offices      []Office
	Systems      []*System
}

// Held is when the body holds role in territory, empty if it never does.
func (b *Body) Held(role exchange.Role, territory exchange.Territory) []gate.Period {
	var out []gate.Period
	for _, h := range b.Roles {
		if h.Role == role && h.Territory == territory {
			out = append(out, h.Period)
		}
	}
	return out
}

// HeldRole is a role held in a territory for a time.
type HeldRole struct {
	Role      exchange.Role
	Territory exchange.Territory
	From      string // first day, Europe/Rome
	Until     string // last day, "" if open
	Period    gate.Period
}

// Office is an organisational unit of a body.
type Office struct {
	ID          exchange.OfficeID
	Name        string
	Territories []exchange.Territory
}

// System is one software system of a body.
type System struct {
	ID          exchange.SystemID
	Name        string
	Body        *Body
	Office      exchange.OfficeID // "" if it serves the whole body
	Territories []exchange.Territory
	Roles       []exchange.Role // it acts in; its body holds each in each territory
	Client      string          // PDND's client id, a UUID, for vouchers
	Keys        []string        // public keys declared here, as JWK; others come from the store
	Purposes    map[string]exchange.PurposeID
	Produces    map[exchange.RecordType]*Production
	Connector   Connector
	RateLimit   RateLimit

	RecordsConsents bool // may record consents in the roles a clause names
	OpensDossiers   bool // may open and close dossiers of its body
}

// Territory is the territory of a producer, which has exactly one.
func (s *System) Territory() exchange.Territory { return s.Territories[0] }

// ActsIn reports whether s acts in role.
func (s *System) ActsIn(role exchange.Role) bool {
	for _, r := range s.Roles {
		if r == role {
			return true
		}
	}
	return false
}

// Connector is how the hub reaches a recipient, or how it comes and fetches.
// A system without one (Kind "") only pushes.
type Connector struct {
	Kind     string
	Settings yaml.Node // a mapping, zero if there are none
}

// RateLimit bounds the requests of a system; zero values mean the default.
type RateLimit struct {
	PerSecond float64
	Burst     int
}

// Purpose is why data are processed, with what a person is told.
type Purpose struct {
	ID     exchange.PurposeID
	Title  Text
	PDND   RiskAnalysis
	DPV    []string // IRIs of W3C DPV purposes
	LawRef string
	Notice *Notice // nil if there is none; a consent clause has one
}

// RiskAnalysis are the answers of PDND's risk-analysis form v3.1 that the
// network fixes (domain.md 7.2).
type RiskAnalysis struct {
	Purpose       string   `json:"purpose"`
	DataTypes     []string `json:"personal_data_types"`
	Delivery      string   `json:"delivery_method"`
	Pursuit       string   `json:"purpose_pursuit"`
	Institutional string   `json:"institutional_purpose"`
}

// Notice is the information given under articles 13 and 14 GDPR.
type Notice struct {
	ID      string
	Version int
	Text    Text            // in every language of the network
	Digest  exchange.Digest // of id, version and texts; consents quote it
}

// Agreement is what the bodies signed.
type Agreement struct {
	ID      exchange.AgreementID
	Title   Text
	From    string // first day
	Until   string // last day, "" if open
	Ended   string // last day if it ended early
	Parties []Party
	InForce gate.Period // empty unless every party has signed
	Clauses []*Clause
}

// Draft reports whether a party has not signed yet: it can be checked and
// never releases.
func (a *Agreement) Draft() bool {
	for _, p := range a.Parties {
		if p.Signed == "" {
			return true
		}
	}
	return false
}

// Party is one signatory.
type Party struct {
	Body   exchange.BodyID
	Signed string // the day, "" if not yet
}

// Team is an équipe multidisciplinare.
type Team struct {
	ID        string
	Name      Text
	Territory exchange.Territory
	Members   []TeamMember
	Domains   map[string]exchange.Role // assessment domain -> role that owns it
}

// TeamMember is a body in a team, in a role, with the operators it sends.
type TeamMember struct {
	Body      exchange.BodyID
	Role      exchange.Role
	Operators []string // operator roles of domain.md 8.1
}

// Services are what a desk can be asked for.
type Services struct {
	RecordTypes []exchange.RecordType // whose recipients depend on the service asked for
	Property    exchange.Pointer      // of the code in the canonical record
	All         []*Service            // sorted by code
}

// Service is one service.
type Service struct {
	Code       string
	Label      Text
	SIUSS      string
	Categories exchange.CategorySet // what asking for it says about a person, beyond the request
	Offers     []Offer
}

// Offer is where and when a service can be asked for, and which roles receive
// the request.
type Offer struct {
	Territory exchange.Territory
	From      string
	Until     string
	Period    gate.Period
	Roles     []exchange.Role
}

// Body finds a body; nil if there is none.
func (n *Network) Body(id exchange.BodyID) *Body { return n.bodyByID[id] }

// System finds a system; nil if there is none.
func (n *Network) System(id exchange.SystemID) *System { return n.systemByID[id] }

// Purpose finds a purpose; nil if there is none.
func (n *Network) Purpose(id exchange.PurposeID) *Purpose { return n.purposeBy[id] }

// Clause finds a clause; nil if there is none.
func (n *Network) Clause(id exchange.ClauseID) *Clause { return n.clauseByID[id] }

// ClauseByNumber finds the clause of a ledger row; nil if this version has none.
func (n *Network) ClauseByNumber(no exchange.Number) *Clause { return n.clauseByNo[no] }

// Flow finds a flow; nil if there is none.
func (n *Network) Flow(id exchange.FlowID) *Flow { return n.flowByID[id] }

// FlowByNumber finds the flow of a ledger row; nil if this version has none.
func (n *Network) FlowByNumber(no exchange.Number) *Flow { return n.flowByNo[no] }

// Bodies are all bodies by id.
func (n *Network) Bodies() []*Body { return n.bodies }

// Systems are all systems by id.
func (n *Network) Systems() []*System { return n.systems }

// Purposes are all purposes by id.
func (n *Network) Purposes() []*Purpose { return n.purposes }

// Agreements are all agreements by id, drafts included.
func (n *Network) Agreements() []*Agreement { return n.agreements }

// Clauses are all clauses by id.
func (n *Network) Clauses() []*Clause { return n.clauses }

// Flows are all flows by id.
func (n *Network) Flows() []*Flow { return n.flows }

// Teams are all teams by id.
func (n *Network) Teams() []*Team { return n.teams }

// Services are the services that can be asked for.
func (n *Network) Services() Services { return n.services }

// Service finds a service; nil if there is none.
func (n *Network) Service(code string) *Service {
	for _, s := range n.services.All {
		if s.Code == code {
			return s
		}
	}
	return nil
}
