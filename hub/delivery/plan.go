package delivery

import (
	"context"
	"time"

	"raccordo/connectors"
	"raccordo/hub/exchange"
	"raccordo/hub/gate"
	"raccordo/hub/keys"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
)

// Plan is one version of the network as far as delivery needs it. It is
// immutable and safe for concurrent use.
type Plan interface {
	Digest() exchange.Digest
	// Flow is nil when this version has none of that name.
	Flow(exchange.FlowID) Flow
	// Recipients are all systems that some flow leads to.
	Recipients() []exchange.SystemID
	// BodyOf is the body of a system.
	BodyOf(exchange.SystemID) exchange.BodyID
}

// Flow is one path to a recipient, compiled.
type Flow interface {
	ID() exchange.FlowID
	Number() exchange.Number
	Clause() *gate.Clause
	Recipient() *gate.Recipient
	// Condition is the clause's own condition; a missing input is "not met".
	Condition(exchange.Tree) bool
	// Present are the categories that the mapping reads from this record,
	// those of code values included.
	Present(exchange.Tree) exchange.CategorySet
	// Prunable reports whether the mapping can leave the person at place out.
	Prunable(place exchange.Pointer) bool
	// Keep is how long a record may wait to be fetched or taken at all.
	Keep() time.Duration
	// Render cuts a canonical record down to what is permitted, maps it, checks
	// it against the recipient's schema and encodes it. A record that does not
	// fit gives faults (pointers and rules) and no payload.
	Render(exchange.Tree, Rendering) (exchange.Payload, string, []exchange.Fault)
}

// Rendering is what the encoded form depends on beside the record.
type Rendering struct {
	Permitted exchange.CategorySet
	Pruned    []exchange.Pointer // places of persons to be left out
	Name      string             // given by the recipient's protocol, "" if none
	At        time.Time          // when the record was received; look-ups are date-aware
}

// Sealer opens what intake sealed and seals what is set aside.
type Sealer interface {
	Open(sealed, aad []byte) ([]byte, error)
	Seal(place keys.Place, at time.Time, plaintext, aad []byte) ([]byte, error)
}

// Ledger is the one write path.
type Ledger interface {
	Submit(context.Context, *ledger.Item) (ledger.Result, error)
}

// Views reads snapshots.
type Views interface {
	View(context.Context, func(store.ReadTx) error) error
}

// Side writes what is no ledger entry: how often a record was under work when
// the process died.
type Side interface {
	Side(context.Context, func(store.SideTx) error) error
}

// Metrics counts what happens; labels come from closed sets.
type Metrics interface {
	Sent(system exchange.SystemID, outcome string, records int, took time.Duration)
	Recipient(system exchange.SystemID, state RecipientState)
	Spilled(system exchange.SystemID, records int)
	Claimed(system exchange.SystemID, records int)
}

// RecipientState is how a recipient fares.
type RecipientState string

// The states.
const (
	RecipientIdle    RecipientState = "idle"
	RecipientSending RecipientState = "sending"
	RecipientBackoff RecipientState = "backoff" // transient failures
	RecipientStopped RecipientState = "stopped" // it refuses us (401, 403, 404): alert
)

// Sinks are the recipients the hub calls; a recipient system that is not in it
// is an outlet and fetches.
type Sinks map[exchange.SystemID]connectors.Sink

// Outlet is how a system that fetches wants its records named and bounded.
type Outlet struct {
	Namer   connectors.Namer // nil: records have no name of their own
	MaxBody int              // 0: no bound beyond the hub's
}
