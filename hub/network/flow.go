package network

import (
	"time"

	"raccordo/hub/codec"
	"raccordo/hub/exchange"
	"raccordo/hub/gate"
	"raccordo/hub/mapping"
	"raccordo/schemas"
)

// Clause is what an agreement permits: the gate's part, and what the rest of
// the hub needs of it.
type Clause struct {
	gate.Clause
	Agreement        *Agreement
	RecordType       exchange.RecordType
	From             []exchange.Role
	To               []exchange.Role
	When             Condition         // on the canonical record; nil is always true
	Urgent           bool              // never waits for a consent or dossier; its flows are prompt
	SenderSees       []exchange.Reason // what a sender may be told beyond not_released
	ConsentRecorders []exchange.Role   // who may record the consent it needs
	Retention        time.Duration     // how long the recipient keeps it at most
	LawRef           string
	SpecialBasis     string // IRI of the ground for special categories, article 9 GDPR
	EserviceID       string // PDND's, "" if the clause is not an e-service
	DescriptorID     string
}

// Sees reports whether the sender may be told reason.
func (c *Clause) Sees(reason exchange.Reason) bool {
	for _, r := range c.SenderSees {
		if r == reason {
			return true
		}
	}
	return false
}

// Production is what a system pushes of one record type.
type Production struct {
	RecordType  exchange.RecordType
	Class       exchange.Class
	Format      exchange.FormatID // "" is the canonical form
	Schema      *schemas.Schema   // of the format
	Codec       codec.Codec
	Mapping     *mapping.Mapping // format to canonical; nil: it is canonical as it is
	Canonical   *schemas.Schema
	MediaType   string
	MayIdentify bool      // unknown identifiers are attached to known persons (a registry office)
	Own         []OwnName // where a record names the body it is of: the producer's, or it is refused
}

// Flow is one active path of a record type to a recipient.
type Flow struct {
	ID              exchange.FlowID
	Number          exchange.Number
	RecordType      exchange.RecordType
	Territory       exchange.Territory
	Class           exchange.Class // of every producer
	Producers       []exchange.SystemID
	Clause          *Clause
	Recipient       gate.Recipient
	RecipientSystem *System
	Services        []string  // codes it carries, sorted; nil: the record type has none
	Condition       Condition // nil is always true
	Canonical       *schemas.Schema
	Mapping         *mapping.Mapping // canonical to the recipient's format
	Format          exchange.FormatID
	TargetSchema    *schemas.Schema
	Codec           codec.Codec
	MediaType       string
	Prune           bool // the mapping can leave an affected person out

	lineage lineage
}

// Matches reports whether the flow's own condition holds for a record. A
// condition that cannot be evaluated is an error: the caller decides nothing.
func (f *Flow) Matches(tree exchange.Tree) (bool, error) {
	if f.Condition == nil {
		return true, nil
	}
	return f.Condition.Eval(tree)
}
