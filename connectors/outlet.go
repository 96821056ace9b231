package connectors

import (
	"context"
	"net/http"
	"time"

	"raccordo/hub/exchange"
)

// Outlet is a recipient that comes and fetches. An outlet that speaks HTTP of
// its own is mounted by the hub; one without mounts (the mailbox) is served by
// the hub's API.
//
// An outlet writes no byte of a record that [Claims.Fetch] did not return to
// it in the same request: the fetch is the claim.
type Outlet interface {
	// Mounts are the handlers the hub serves, behind its authentication: they
	// find the caller with [CallerFrom].
	Mounts() []Mount

	// Close lets go of what the outlet holds. It may be called again.
	Close(ctx context.Context) error
}

// Mount is one handler under a base path.
type Mount struct {
	Base    string // like "/waas/e625/v1": absolute, no slash at the end
	Handler http.Handler
	// Open are paths (whole, base included) that are answered without a caller,
	// because the foreign protocol leaves them open.
	Open []string
}

// Claims is the hub's side of an outlet (protocol.md 6.2). Its methods are safe
// for concurrent use and on any replica.
type Claims interface {
	// Fetch decides and claims up to Max records for the system and returns
	// them encoded. What it returns is durably claimed: the entry is committed,
	// and only then may the caller write a byte. Records that are no longer
	// permitted end by their mark and are not returned. What was fetched before
	// and not acknowledged is claimed again (a renewal, same disclosure id,
	// same Name). Items come in the order of FetchableAt.
	//
	// After an error nothing may be written. The errors are *exchange.Error:
	// CodeUnavailable, CodeTooMany with RetryAfter, CodeUnknownOutcome, ...
	Fetch(ctx context.Context, r FetchRequest) (FetchResult, error)

	// Acknowledge settles what the system says about records it fetched, all of
	// one request in one call and one transaction. It settles each once and
	// only what this system claimed (from this producer, where one is named);
	// results are as many as Acks, in their order. Durable on return.
	Acknowledge(ctx context.Context, r AckRequest) ([]AckResult, error)
}

// FetchRequest is what an outlet asks for.
type FetchRequest struct {
	System   exchange.SystemID
	Producer exchange.BodyID // only records pushed by this body; empty: by any
	// Since excludes items whose FetchableAt is not greater, Unix milliseconds;
	// 0 excludes none.
	Since int64
	Max   int // items, from 1
	// MaxBytes ends the list before the item that would take the sum of the
	// bodies above it; the first item is returned in any case. Nothing that is
	// cut off is claimed.
	MaxBytes int
	// Lease hides what is returned from further fetches for that long, unless
	// it is acknowledged with Retry. 0 hides nothing: whatever is not settled
	// is listed at every fetch that asks for its FetchableAt.
	Lease time.Duration
}

// FetchResult is what was claimed.
type FetchResult struct {
	Items []Fetched
	More  bool // there is more that could be fetched now
}

// Fetched is one claimed item.
type Fetched struct {
	Item
	// FetchableAt is when it became fetchable, Unix milliseconds: given under
	// the head lock, strictly increasing per producing body and system, given
	// anew when the record is offered again after a Retry. So a pager that asks
	// for what lies after the last one it saw misses nothing (protocol.md 6.3).
	FetchableAt int64
	LeasedUntil time.Time // zero without a lease
	Name        string    // what the outlet's [Namer] called it; empty without one
}

// AckRequest is what one request of a system says about records it fetched.
type AckRequest struct {
	System   exchange.SystemID
	Producer exchange.BodyID // as in FetchRequest
	Acks     []Ack
}

// Ack says what the recipient made of one fetched item, which is named by its
// disclosure id or, if that is zero, by its Name (unique per system).
type Ack struct {
	Disclosure exchange.DisclosureID
	Name       string
	// FetchableAt is the offering the answer is about, 0 if the protocol does
	// not say. An answer about an earlier offering than the present one is a
	// repeat and changes nothing, unless it is an acceptance.
	FetchableAt int64
	Result      AckOutcome
	Reason      exchange.Reason
}

// AckOutcome is what the recipient made of an item.
type AckOutcome uint8

// The outcomes. The zero value is invalid.
const (
	AckAccepted AckOutcome = 1 // delivered; stands against whatever comes later
	AckRefused  AckOutcome = 2 // parked with Reason
	AckRetry    AckOutcome = 3 // offered again with a new FetchableAt, [Repeats] times, then parked with Reason
)

func (o AckOutcome) String() string {
	return [...]string{"invalid", "accepted", "refused", "retry"}[o&3]
}

// AckResult says what an acknowledgement did.
type AckResult uint8

// The results. The zero value changes nothing and says nothing.
const (
	AckUnknown  AckResult = iota // not there, or not this system's; indistinguishable to the caller
	AckSettled                   // it counted
	AckRepeated                  // it had been settled before, or was about an earlier offering: no change
)

func (r AckResult) String() string {
	return [...]string{"unknown", "settled", "repeated", "unknown"}[r&3]
}

// Namer is an outlet whose protocol gives every item a name of its own, which
// the encoded bytes carry too. The hub asks it when it queues a record: it
// draws the next number of the series from a durable counter per system and
// series, keeps the name with the row, gives it to the encoder and returns it
// in [Fetched]. The name stays the same at every attempt; a number is never
// given twice, and a gap (a commit that failed) is harmless.
type Namer interface {
	// Series names the counter; names of different series never collide.
	Series(producer exchange.BodyID, t exchange.RecordType, queued time.Time) (string, error)
	// Name is the number-th name of the series, numbers from 1.
	Name(series string, number uint64) (string, error)
}

// Bounded is an outlet or sink whose protocol bounds the encoded body of one
// item. The hub parks what is larger when it encodes, before it claims.
type Bounded interface {
	MaxBody() int // bytes
}

type callerKey struct{}

// WithCaller is ctx of a request of that authenticated system. Only hub/access
// has a reason to call it (and tests).
func WithCaller(ctx context.Context, s exchange.SystemID) context.Context {
	return context.WithValue(ctx, callerKey{}, s)
}

// CallerFrom is the authenticated system of a request.
func CallerFrom(ctx context.Context) (exchange.SystemID, bool) {
	s, ok := ctx.Value(callerKey{}).(exchange.SystemID)
	return s, ok && s != ""
}
