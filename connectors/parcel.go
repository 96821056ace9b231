package connectors

import (
	"context"
	"time"

	"raccordo/hub/exchange"
)

// MaxItems is the most items a parcel holds (design.md section 2).
const MaxItems = 500

// Repeats is how often a disclosure whose answer stays unknown (protocol.md
// 5.7) or that the recipient could not process (6.3) is offered again before
// it is parked. The hub counts; connectors only report.
const Repeats = 5

// MaxRetryAfter caps what a recipient may ask us to wait (protocol.md 5.7).
const MaxRetryAfter = time.Hour

// Sink is a recipient that the hub calls.
type Sink interface {
	// Send hands the recipient one parcel. Everything in it has been claimed;
	// Send may be called at most once per claim and attempt, and decides nothing.
	//
	// The context's deadline is the send time-out: when Send returns, no further
	// byte of the parcel leaves. The [Result] is complete in every case; the
	// error only says why it is not a plain answer, for logs, and holds no byte
	// of a record or of the answer. Nothing is durable on return: settling is
	// the caller's.
	//
	// Send is safe for concurrent use.
	Send(ctx context.Context, p Parcel) (Result, error)

	// Close refuses new sends, waits for those under way until ctx ends, then
	// cuts them. It may be called again and without a send before.
	Close(ctx context.Context) error
}

// Parcel is up to [MaxItems] records of one recipient system, in lane order.
type Parcel struct {
	Recipient exchange.SystemID
	Items     []Item
}

// Item is one disclosure: a record on its way through one flow, encoded in the
// recipient's own format.
type Item struct {
	Disclosure exchange.DisclosureID // the same at every attempt
	Record     exchange.RecordID
	Flow       exchange.FlowID
	Type       exchange.RecordType
	Sequence   uint64 // rises per flow and principal: the recipient can discard what is older
	Attempt    int    // from 1
	Body       exchange.Payload
	MediaType  string // of Body, without parameters other than charset
}

// Outcome is how far a send got (protocol.md 5.3). The zero value is the one
// that promises nothing.
type Outcome uint8

// The outcomes.
const (
	Unknown  Outcome = iota // a byte may have left, and no answer that can be read came back
	NotSent                 // certain: no byte of the body left
	Answered                // the recipient answered; see Class
)

func (o Outcome) String() string {
	return [...]string{"unknown", "not_sent", "answered", "unknown"}[o&3]
}

// Class is what an answer means for the delivery (protocol.md 5.7).
type Class uint8

// The classes. ClassNone belongs to what is not an answer.
const (
	ClassNone Class = iota
	Accepted        // the recipient has it
	Transient       // later: 408, 429, 5xx
	Permanent       // something in this request can never be accepted: bisect
	Stop            // the recipient refuses us, not the record: stop, alert, park nothing
)

func (c Class) String() string {
	if c > Stop {
		return "none"
	}
	return [...]string{"none", "accepted", "transient", "permanent", "stop"}[c]
}

// Result is what became of a parcel. Items holds every disclosure of which
// something is known by itself and takes precedence; all others share Overall
// and Class. [Result.For] puts both together.
type Result struct {
	Overall    Outcome
	Class      Class         // of the answer, when Overall is Answered
	RetryAfter time.Duration // what the recipient asked for, 0 to MaxRetryAfter
	Items      map[exchange.DisclosureID]ItemResult
}

// ItemResult is what became of one disclosure.
type ItemResult struct {
	Status ItemStatus
	Reason exchange.Reason // one of the hub's own codes, never a text of the recipient
}

// ItemStatus is the fate of one disclosure.
type ItemStatus uint8

// The fates. The zero value promises nothing.
const (
	ItemUnknown   ItemStatus = iota // may have arrived
	ItemAccepted                    // the recipient has it
	ItemRefused                     // the recipient refuses this one for ever: park it
	ItemRetry                       // the recipient refuses it for now
	ItemNotSent                     // certain: no byte of it left
	ItemSuspected                   // the request was refused for ever and this was one of several in it: bisect these
	ItemStopped                     // the recipient refuses us: stop it, park nothing
)

func (s ItemStatus) String() string {
	if s > ItemStopped {
		return "unknown"
	}
	return [...]string{"unknown", "accepted", "refused", "retry", "not_sent", "suspected", "stopped"}[s]
}

// For is the fate of d in r.
func (r Result) For(d exchange.DisclosureID) ItemResult {
	if i, ok := r.Items[d]; ok {
		return i
	}
	switch {
	case r.Overall == NotSent:
		return ItemResult{ItemNotSent, exchange.ReasonNotSent}
	case r.Overall == Answered && r.Class == Accepted:
		return ItemResult{ItemAccepted, exchange.ReasonDelivered}
	case r.Overall == Answered && r.Class == Transient:
		return ItemResult{ItemRetry, exchange.ReasonAwaitingRetry}
	case r.Overall == Answered && r.Class == Permanent:
		return ItemResult{ItemSuspected, exchange.ReasonRefused}
	case r.Overall == Answered && r.Class == Stop:
		return ItemResult{ItemStopped, exchange.ReasonAwaitingRetry}
	}
	return ItemResult{ItemUnknown, exchange.ReasonUnknownOutcome}
}
