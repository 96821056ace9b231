package intake

import (
	"context"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"raccordo/hub/exchange"
	"raccordo/hub/keys"
	"raccordo/hub/person"
	"raccordo/hub/stream"
	"raccordo/schemas"
)

// Plan is one version of the network as far as intake needs it.
type Plan interface {
	Digest() exchange.Digest
	// Producer is nil where the system does not produce the type.
	Producer(exchange.SystemID, exchange.RecordType) Producer
}

// Producer is what one system pushes of one record type.
type Producer interface {
	Body() exchange.BodyID
	Class() exchange.Class
	Version() string // of the canonical schema
	// MediaType is that of the system's format.
	MediaType() string
	// MayIdentify: the sender's role identifies persons (a registry office).
	MayIdentify() bool
	// Canonical reads one record of the format into a canonical tree. Refusals
	// are *exchange.Error; warnings do not refuse.
	Canonical(body []byte, at time.Time) (exchange.Tree, []exchange.Fault, error)
	// Persons are the places of persons in a canonical tree, principal first.
	Persons(exchange.Tree) []schemas.Person
	// Route names every flow the record takes, and the roles nobody serves.
	Route(tree exchange.Tree, at time.Time) ([]Recipient, []exchange.Role, error)
	// Encode is the canonical form that is sealed.
	Encode(exchange.Tree) ([]byte, error)
}

// Recipient is one flow a record takes.
type Recipient struct {
	Flow   exchange.FlowID
	System exchange.SystemID
	Body   exchange.BodyID
	Role   exchange.Role
}

// Publisher appends all messages of one frame to a topic, all or none, durable
// on return. Errors: stream.ErrUnknownOutcome, ErrFull, ErrStopped, ...
type Publisher interface {
	Append(ctx context.Context, topic string, msgs ...*message.Message) ([]stream.Offset, error)
	// Message reads the message at an offset.
	Message(topic string, offset stream.Offset) (*message.Message, error)
}

// Keys are what intake seals and derives with.
type Keys interface {
	Seal(place keys.Place, at time.Time, plaintext, aad []byte) ([]byte, error)
	Open(sealed, aad []byte) ([]byte, error)
	MAC(purpose string, parts ...[]byte) exchange.Digest
}

// Directory finds persons.
type Directory interface {
	Resolve(ctx context.Context, requests []person.Request) ([]person.Result, error)
}

// Admission refuses before anything is written (protocol.md 2.9): the error is
// an *exchange.Error, 429 or 503 with RetryAfter.
type Admission interface {
	Admit(class exchange.Class, recipients []exchange.SystemID) error
}

// Metrics counts records; labels come from closed sets.
type Metrics interface {
	Accepted(flow exchange.FlowID, records int)
	Refused(system exchange.SystemID, reason exchange.Reason, records int)
}
