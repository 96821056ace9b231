package exchange

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Facts are what a verifier needs beside the rows (protocol.md 4.5). They are
// kept as canonical JSON: these structs, in this order, lists sorted by their
// first member, no white space. None holds personal data.

// OriginFact opens a ledger.
type OriginFact struct {
	Hub       HubID  `json:"hub"`
	Origin    string `json:"origin"`              // name of the log, first line of its checkpoints
	Key       string `json:"key"`                 // note verifier key that signs from here on
	Continues string `json:"continues,omitempty"` // the outside checkpoint a restored ledger goes on from
}

// AdoptionFact is a network that came into force, as far as it decides.
type AdoptionFact struct {
	Network    Digest          `json:"network"`
	Name       string          `json:"name"`
	Categories []CategoryFact  `json:"categories"`
	Bodies     []BodyFact      `json:"bodies"`
	Agreements []AgreementFact `json:"agreements"`
	Clauses    []ClauseFact    `json:"clauses"`
	Flows      []FlowFact      `json:"flows"`
}

// CategoryFact gives a category number its name.
type CategoryFact struct {
	Number Category `json:"number"`
	Name   string   `json:"name"`
	IRI    string   `json:"iri"`
}

// BodyFact is a body and the roles it holds.
type BodyFact struct {
	Body    BodyID     `json:"body"`
	Roles   []RoleFact `json:"roles"`
	Systems []SystemID `json:"systems"`
}

// RoleFact is a role held in a territory between two days in Europe/Rome
// (inclusive; an empty Until is open).
type RoleFact struct {
	Role      Role      `json:"role"`
	Territory Territory `json:"territory"`
	From      string    `json:"from"`
	Until     string    `json:"until,omitempty"`
}

// AgreementFact is an agreement with the day each party signed.
type AgreementFact struct {
	Agreement AgreementID     `json:"agreement"`
	From      string          `json:"from"`
	Until     string          `json:"until,omitempty"`
	Ended     string          `json:"ended,omitempty"`
	Signed    []SignatureFact `json:"signed"`
}

// SignatureFact is one party; an empty day is a party that has not signed.
type SignatureFact struct {
	Body BodyID `json:"body"`
	On   string `json:"on,omitempty"`
}

// ClauseFact is what a clause permits.
type ClauseFact struct {
	Clause     ClauseID    `json:"clause"`
	Number     Number      `json:"number"`
	Agreement  AgreementID `json:"agreement"`
	RecordType RecordType  `json:"record_type"`
	Purpose    PurposeID   `json:"purpose"`
	Basis      string      `json:"basis"`             // PDND code
	Consent    bool        `json:"consent"`           // a consent of each person is needed
	Dossier    string      `json:"dossier,omitempty"` // capacity of the dossier that is needed
	Categories string      `json:"categories"`        // hex of the set
	From       []Role      `json:"from"`
	To         []Role      `json:"to"`
}

// FlowFact is one path to a recipient.
type FlowFact struct {
	Flow      FlowID     `json:"flow"`
	Number    Number     `json:"number"`
	Clause    ClauseID   `json:"clause"`
	Territory Territory  `json:"territory"`
	Producers []SystemID `json:"producers"`
	Recipient SystemID   `json:"recipient"`
	Body      BodyID     `json:"body"`
	Role      Role       `json:"role"`
}

// LinkFact says that two ids are one person, or no longer.
type LinkFact struct {
	A      SubjectID `json:"a"`
	B      SubjectID `json:"b"`
	Linked bool      `json:"linked"`
}

// DossierFact opens or closes a dossier.
type DossierFact struct {
	Dossier  DossierID `json:"dossier"`
	Subject  SubjectID `json:"subject"`
	Body     BodyID    `json:"body"`
	Role     Role      `json:"role"`
	Capacity string    `json:"capacity"`
	Until    int64     `json:"until,omitempty"` // Unix milliseconds, 0 is open
	Closed   bool      `json:"closed,omitempty"`
}

// StopFact stops all disclosures, or lets them go on.
type StopFact struct {
	Stopped bool   `json:"stopped"`
	Reason  string `json:"reason"` // an operator's code, [a-z0-9_]
}

// KeyFact announces a signing key under the one in force.
type KeyFact struct {
	Key          string `json:"key"`          // the new note verifier key
	Announcement []byte `json:"announcement"` // a note with that key, signed by the old one
}

// OperatorFact is what an operator did to parked records (rows name them).
type OperatorFact struct {
	Act    string `json:"act"`    // replay, discard, confirm_clock
	Reason string `json:"reason"` // an operator's code, [a-z0-9_]
}

// EncodeFact is the canonical form of one of the fact structs.
func EncodeFact(fact any) ([]byte, error) {
	b, err := json.Marshal(fact)
	if err != nil {
		return nil, fmt.Errorf("encode fact: %w", err)
	}
	return b, nil
}

// DecodeFact reads into a pointer to a fact struct what [EncodeFact] wrote and
// nothing else: unknown members and other spellings are [ErrEntry].
func DecodeFact(b []byte, fact any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(fact); err != nil {
		return fmt.Errorf("fact: %w", ErrEntry)
	}
	again, err := json.Marshal(fact)
	if err != nil || !bytes.Equal(again, b) {
		return fmt.Errorf("fact is not canonical: %w", ErrEntry)
	}
	return nil
}
