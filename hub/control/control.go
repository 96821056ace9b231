package control

import (
	"context"
	"time"

	"raccordo/hub/exchange"
)

// Hub is what an operator can ask of a running hub. Every act is durable on
// return; errors are *exchange.Error.
type Hub interface {
	Status(context.Context, Nothing) (Status, error)
	ConfirmClock(context.Context, Nothing) (Nothing, error)
	StopDisclosures(context.Context, StopRequest) (Entry, error)

	GiveConsent(context.Context, ConsentRequest) (Consent, error)
	WithdrawConsent(context.Context, WithdrawRequest) (ConsentEnd, error)
	ShowConsents(context.Context, ConsentQuery) (Consents, error)

	OpenDossier(context.Context, DossierRequest) (Dossier, error)
	CloseDossier(context.Context, DossierRef) (Dossier, error)
	ListDossiers(context.Context, Person) (Dossiers, error)

	Link(context.Context, LinkRequest) (Entry, error)
	Conflicts(context.Context, Nothing) (Conflicts, error)

	ListParked(context.Context, ParkedQuery) (ParkedPage, error)
	ShowParked(context.Context, ParkedRef) (Parked, error)
	ReplayParked(context.Context, ParkedAct) (Nothing, error)
	DiscardParked(context.Context, ParkedAct) (Nothing, error)

	AddKey(context.Context, KeyRequest) (System, error)
	ListSystems(context.Context, Nothing) (Systems, error)

	Checkpoint(context.Context, Nothing) (Checkpoint, error)
	Export(context.Context, ExportRequest) (Exported, error)
	Prove(context.Context, ProofRequest) (Proof, error)
	RotateKeys(context.Context, RotateRequest) (Entry, error)
}

// Nothing is an empty request or answer.
type Nothing struct{}

// Entry names what was written.
type Entry struct {
	Seq  uint64    `json:"ledger_entry,omitzero"` // absent where nothing was written
	Time time.Time `json:"ledger_time,omitzero"`
}

// Status is how the hub fares.
type Status struct {
	Ready       bool                                 `json:"ready"`
	Why         string                               `json:"why,omitempty"`
	Version     string                               `json:"version"`
	Hub         exchange.HubID                       `json:"hub"`
	API         string                               `json:"api"`
	Admin       string                               `json:"admin"`
	Network     string                               `json:"network"`
	Digest      exchange.Digest                      `json:"network_digest"`
	Stopped     bool                                 `json:"disclosures_stopped"`
	Entries     uint64                               `json:"ledger_entries"`
	Behind      uint64                               `json:"entries_not_yet_counted"`
	Flows       map[exchange.FlowID]map[string]int64 `json:"flows"`
	Waiting     map[exchange.SystemID]int            `json:"waiting"`
	Quarantined []string                             `json:"quarantined_lanes"`
	Recipients  map[exchange.SystemID]string         `json:"recipients"` // those that are not served as they should: backoff, stopped
	Imbalance   int64                                `json:"imbalance"`
}

// StopRequest stops all disclosures or lets them go on.
type StopRequest struct {
	Stopped bool   `json:"stopped"`
	Reason  string `json:"reason"`
}

// Person names a person by an identifier, or by subject id.
type Person struct {
	System  string             `json:"system,omitempty"` // CF, CF_NUM, STP, ENI, ANPR or LOCAL
	Value   string             `json:"value,omitempty"`
	Body    exchange.BodyID    `json:"body,omitempty"` // that issued a LOCAL code
	Subject exchange.SubjectID `json:"subject,omitzero"`
}

// ConsentRequest records a person's decision.
type ConsentRequest struct {
	Person   Person             `json:"person"`
	Purpose  exchange.PurposeID `json:"purpose"`
	Body     exchange.BodyID    `json:"body"`
	Role     exchange.Role      `json:"role"`
	Refused  bool               `json:"refused"`
	Language string             `json:"language"`
	Method   string             `json:"method"`
	Expires  time.Time          `json:"expires,omitzero"`
}

// WithdrawRequest ends a consent; Revoked when not the person does.
type WithdrawRequest struct {
	Consent exchange.ConsentID `json:"consent"`
	Revoked bool               `json:"revoked"`
	Method  string             `json:"method"`
}

// ConsentQuery asks for one consent, or all of a person.
type ConsentQuery struct {
	Consent exchange.ConsentID `json:"consent,omitzero"`
	Person  Person             `json:"person,omitzero"`
}

// Consent is one consent in its newest version.
type Consent struct {
	ID      exchange.ConsentID `json:"consent"`
	Purpose exchange.PurposeID `json:"purpose"`
	Body    exchange.BodyID    `json:"body"`
	Role    exchange.Role      `json:"role"`
	Status  string             `json:"status"`
	Expires time.Time          `json:"expires,omitzero"`
	Seq     uint64             `json:"ledger_entry"`
}

// Consents are a person's.
type Consents struct {
	Consents []Consent `json:"consents"`
}

// ConsentEnd says how it ended and what is still under way.
type ConsentEnd struct {
	Consent
	UnderWay int    `json:"sends_under_way"`
	Within   string `json:"each_ends_within"`
}

// DossierRequest opens a case.
type DossierRequest struct {
	Person   Person          `json:"person"`
	Body     exchange.BodyID `json:"body"`
	Role     exchange.Role   `json:"role"`
	Capacity string          `json:"capacity"`
	Until    time.Time       `json:"until,omitzero"`
}

// DossierRef names a case.
type DossierRef struct {
	Dossier exchange.DossierID `json:"dossier"`
}

// Dossier is a case.
type Dossier struct {
	ID       exchange.DossierID `json:"dossier"`
	Body     exchange.BodyID    `json:"body"`
	Role     exchange.Role      `json:"role"`
	Capacity string             `json:"capacity"`
	Closed   bool               `json:"closed"`
	Until    time.Time          `json:"until,omitzero"`
	Seq      uint64             `json:"ledger_entry"`
}

// Dossiers are those on a person.
type Dossiers struct {
	Dossiers []Dossier `json:"dossiers"`
}

// LinkRequest joins two ids or parts them.
type LinkRequest struct {
	A      Person `json:"a"`
	B      Person `json:"b"`
	Linked bool   `json:"linked"`
}

// Conflict is two ids that one record gave for one person.
type Conflict struct {
	A      exchange.SubjectID `json:"a"`
	B      exchange.SubjectID `json:"b"`
	Record exchange.RecordID  `json:"record"`
	Seen   time.Time          `json:"seen"`
}

// Conflicts wait for an officer.
type Conflicts struct {
	Conflicts []Conflict `json:"conflicts"`
}

// ParkedQuery pages through parked records.
type ParkedQuery struct {
	After uint64 `json:"after"`
	Limit int    `json:"limit"`
}

// Parked is a parked record, without its content.
type Parked struct {
	ID       uint64            `json:"id"`
	Record   exchange.RecordID `json:"record"`
	Flow     exchange.FlowID   `json:"flow"`
	System   exchange.SystemID `json:"recipient"`
	Producer exchange.SystemID `json:"producer"`
	Reason   exchange.Reason   `json:"reason"`
	Faults   []exchange.Fault  `json:"faults,omitempty"`
	Mark     string            `json:"disclosed"`
	Attempt  int               `json:"attempts"`
	Received time.Time         `json:"received"`
	Parked   time.Time         `json:"parked"`
}

// ParkedPage is one page; Next is 0 at the end.
type ParkedPage struct {
	Parked []Parked `json:"parked"`
	Next   uint64   `json:"next,omitempty"`
}

// ParkedRef names one.
type ParkedRef struct {
	ID uint64 `json:"id"`
}

// ParkedAct replays or discards some.
type ParkedAct struct {
	IDs        []uint64 `json:"ids"`
	Reason     string   `json:"reason"`
	OutOfOrder bool     `json:"out_of_order,omitempty"`
}

// KeyRequest brings a public key of a system in, as JWK or PEM.
type KeyRequest struct {
	System exchange.SystemID `json:"system"`
	Key    []byte            `json:"key"`
}

// System is one system and its keys.
type System struct {
	System   exchange.SystemID `json:"system"`
	Body     exchange.BodyID   `json:"body"`
	Client   string            `json:"client_id,omitempty"`
	Purposes map[string]string `json:"purposes,omitempty"` // purposeId -> purpose
	Keys     []string          `json:"key_ids"`
	Produces []string          `json:"pushes"`
	Receives string            `json:"receives_by,omitempty"` // kind of its connector
}

// Systems are all of the network.
type Systems struct {
	TokenEndpoint string   `json:"token_endpoint"`
	Systems       []System `json:"systems"`
}

// Checkpoint is a signed note and the key that verifies it.
type Checkpoint struct {
	Note string   `json:"note"`
	Keys []string `json:"keys"` // verifier keys, newest first
}

// ExportRequest names the directory to write to, as the hub sees it.
type ExportRequest struct {
	Dir string `json:"dir"`
}

// Exported says what was written.
type Exported struct {
	Entries uint64 `json:"entries"`
	Key     string `json:"key"` // verifier key of the ledger's first signer
}

// ProofRequest asks for the proof of an entry and maybe a row.
type ProofRequest struct {
	Seq      uint64 `json:"seq"`
	TreeSize uint64 `json:"tree_size,omitempty"`
	Row      *int   `json:"row,omitempty"`
}

// Proof leads from an entry, and maybe a row, to a checkpoint.
type Proof struct {
	Seq        uint64   `json:"seq"`
	TreeSize   uint64   `json:"tree_size"`
	Leaf       []byte   `json:"leaf"`
	Hashes     [][]byte `json:"hashes"`
	Checkpoint string   `json:"checkpoint"`
	Row        []byte   `json:"row,omitempty"`
	RowHashes  [][]byte `json:"row_hashes,omitempty"`
}

// RotateRequest names which keys to rotate: signing, digest or voucher.
type RotateRequest struct {
	Keys string `json:"keys"`
}
