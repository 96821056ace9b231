package api

import (
	"context"
	"time"

	"raccordo/hub/access"
	"raccordo/hub/exchange"
)

// Caller is who a request was made by.
type Caller = access.Caller

// Media types of records.
const (
	MediaJSON   = "application/json"
	MediaNDJSON = "application/x-ndjson"
	MediaXML    = "application/xml"
)

// PushRequest is one request with one or many records.
type PushRequest struct {
	Caller    Caller
	Type      exchange.RecordType
	Key       string           // Idempotency-Key, 1 to 128 printable ASCII characters
	MediaType string           // MediaJSON, MediaNDJSON or MediaXML
	Body      exchange.Payload // at most the bound of the media type, not yet looked at
}

// Acknowledgement is what became of a push. One record has one line; NDJSON
// has one for each line that is not empty, in order.
type Acknowledgement struct {
	Lines []LineAcknowledgement
}

// LineAcknowledgement is the acknowledgement of one record, or its refusal: it
// has been refused if it has faults that are no warnings.
type LineAcknowledgement struct {
	Line        int // of the request, from 1
	Record      exchange.RecordID
	Recipients  []Recipient
	NoRecipient []exchange.Role
	Warnings    []exchange.Fault
	Faults      []exchange.Fault
}

// Recipient is where a record is for one recipient, as its sender may know it
// (protocol.md section 7).
type Recipient struct {
	Flow   exchange.FlowID
	Body   exchange.BodyID
	Role   exchange.Role
	State  SenderState
	Reason exchange.Reason // only where the clause lets the sender see it
}

// SenderState is what a sender may know of a state.
type SenderState string

// The sender's states.
const (
	SenderPending     SenderState = "pending"
	SenderDelivered   SenderState = "delivered"
	SenderFailed      SenderState = "failed"       // its own data do not fit
	SenderNotReleased SenderState = "not_released" // and nothing more than that
)

// Intake accepts pushes. On return of an acknowledgement what it names is
// durable. A single record that is refused is an error; NDJSON is one only if
// the whole request is (full, key reused, outcome unknown).
type Intake interface {
	Push(ctx context.Context, r PushRequest) (*Acknowledgement, error)
}

// RecordStatus is where a record is.
type RecordStatus struct {
	Record     exchange.RecordID
	Type       exchange.RecordType
	ReceivedAt time.Time
	Recipients []Recipient
}

// Records answers what became of records. One that is not the caller's is
// CodeNotFound, like one that is not there, and at the same cost.
type Records interface {
	RecordStatus(ctx context.Context, caller Caller, t exchange.RecordType, id exchange.RecordID) (RecordStatus, error)
}

// MailboxItem is one disclosure that was claimed for the caller.
type MailboxItem struct {
	Disclosure exchange.DisclosureID
	Record     exchange.RecordID
	Type       exchange.RecordType
	Flow       exchange.FlowID
	Sequence   uint64 // per flow and principal
	MediaType  string // MediaJSON or MediaXML
	Content    exchange.Payload
	LeaseUntil time.Time
}

// MailboxPage is what one fetch got; More says that more waits.
type MailboxPage struct {
	Items []MailboxItem
	More  bool
}

// ItemOutcome is what a recipient says of an item.
type ItemOutcome string

// The outcomes and, for refusals, their reasons.
const (
	ItemReceived ItemOutcome = "received"
	ItemRefused  ItemOutcome = "refused"

	RefusalInvalid       = "invalid"
	RefusalUnknownPerson = "unknown_person"
	RefusalNotCompetent  = "not_competent"
)

// ItemAcknowledgement settles one item.
type ItemAcknowledgement struct {
	Disclosure exchange.DisclosureID
	Outcome    ItemOutcome
	Refusal    string // with ItemRefused: one of the three reasons
}

// ItemResult says what an acknowledgement did.
type ItemResult string

// The results.
const (
	ItemSettled  ItemResult = "settled"
	ItemAlready  ItemResult = "already_settled"
	ItemNotFound ItemResult = "not_found" // never fetched by this system, there or not
)

// Mailbox hands out what waits for a system. Fetch claims every item durably
// before it returns; what it returns counts as disclosed. It returns at most
// limit items and bounds their bytes itself.
type Mailbox interface {
	Fetch(ctx context.Context, caller Caller, limit int) (MailboxPage, error)
	// Acknowledge gives one result for each acknowledgement, in order.
	Acknowledge(ctx context.Context, caller Caller, acks []ItemAcknowledgement) ([]ItemResult, error)
}

// PersonIdentifier names a person in a request; it is resolved and forgotten.
// Its fields cannot be printed.
type PersonIdentifier struct {
	System string
	Value  exchange.Payload
}

// Consent is a consent in its newest version, without the person.
type Consent struct {
	ID             exchange.ConsentID
	Purpose        exchange.PurposeID
	Body           exchange.BodyID
	Role           exchange.Role
	State          string // DPV status word, see design.md section 2
	Version        int
	NoticeVersion  string
	NoticeLanguage string
	EffectiveAt    time.Time
	ExpiresAt      time.Time // zero: none
	Entry          uint64
}

// ConsentDecision is a person's decision to be recorded.
type ConsentDecision struct {
	Person         PersonIdentifier
	Purpose        exchange.PurposeID
	Body           exchange.BodyID
	Role           exchange.Role
	Given          bool // false: refused
	NoticeVersion  string
	NoticeLanguage string
	IndicatedBy    string // person or representative
	Means          string // written, oral or digital
	ExpiresAt      time.Time
	Evidence       exchange.Payload // where the caller keeps the proof; may be empty
}

// ConsentEnd says how a consent ended and what claimed before it is still
// being sent.
type ConsentEnd struct {
	ID             exchange.ConsentID
	State          string
	EffectiveAt    time.Time
	Entry          uint64
	ClaimsUnderWay int
	EndsWithin     time.Duration
}

// ConsentQuery asks for a person's consents, from after a position.
type ConsentQuery struct {
	Person  PersonIdentifier
	Purpose exchange.PurposeID // empty: all
	After   string             // Next of the page before
	Limit   int
}

// ConsentPage is one page; Next is empty at the end.
type ConsentPage struct {
	Items []Consent
	Next  string
}

// Consents records and reads consents. What changes is durable in the ledger
// on return. A consent the caller may not see is CodeNotFound; a person nobody
// knows has none.
type Consents interface {
	Decide(ctx context.Context, caller Caller, d ConsentDecision) (Consent, error)
	Withdraw(ctx context.Context, caller Caller, id exchange.ConsentID, indicatedBy string) (ConsentEnd, error)
	Consent(ctx context.Context, caller Caller, id exchange.ConsentID) (Consent, error)
	Search(ctx context.Context, caller Caller, q ConsentQuery) (ConsentPage, error)
}

// DossierOpening is a case to open.
type DossierOpening struct {
	Person   PersonIdentifier
	Role     exchange.Role
	Capacity string // as clauses name it, e.g. case_manager
	EndsOn   string // day YYYY-MM-DD in Europe/Rome; empty: open until closed
}

// Dossier is a body's case, without the person.
type Dossier struct {
	ID       exchange.DossierID
	Role     exchange.Role
	Capacity string
	OpenedAt time.Time
	EndsOn   string
	ClosedAt time.Time // zero: open
	Entry    uint64
}

// Dossiers opens and closes cases, durably in the ledger on return.
type Dossiers interface {
	Open(ctx context.Context, caller Caller, d DossierOpening) (Dossier, error)
	Close(ctx context.Context, caller Caller, id exchange.DossierID, reason string) (Dossier, error)
}

// CatalogItem is one record type in one format of the caller's.
type CatalogItem struct {
	Type      exchange.RecordType
	Version   string
	Format    exchange.FormatID
	Push      bool // false: received
	MediaType string
	Digest    exchange.Digest
	Schema    []byte // JSON Schema; empty for XML formats
}

// Catalog lists what a caller may push and receives.
type Catalog interface {
	Catalog(ctx context.Context, caller Caller) ([]CatalogItem, error)
}

// ProofRequest asks for the proof of an entry, and of a row if Row is not nil.
type ProofRequest struct {
	Entry    uint64
	TreeSize uint64 // 0: that of the newest checkpoint
	Row      *int
}

// Proof leads from an entry, and maybe a row of it, to a checkpoint.
type Proof struct {
	Entry      uint64
	TreeSize   uint64
	Header     []byte
	Hashes     [][]byte
	Checkpoint string
	Row        *RowProof
}

// RowProof leads from a row to its entry's sub-root.
type RowProof struct {
	Index  int
	Row    []byte
	Hashes [][]byte
}

// Ledger proves. Tile's path has been checked to be one of tlog's layout; a
// tile that is not there is CodeNotFound, as is a row the caller has no part in.
type Ledger interface {
	Checkpoint(ctx context.Context) ([]byte, error)
	Tile(ctx context.Context, path string) ([]byte, error)
	Proof(ctx context.Context, caller Caller, r ProofRequest) (Proof, error)
}

// Readiness says whether the hub serves: nil, or CodeUnavailable or
// CodeTooMany with the reason.
type Readiness interface {
	Ready(ctx context.Context) error
}

// Tokens issues vouchers; see access.Issuer.
type Tokens interface {
	Issue(ctx context.Context, r access.TokenRequest) (access.Voucher, error)
}

// Verifier says whom a voucher speaks for; see access.Verifier.
type Verifier interface {
	Verify(ctx context.Context, raw string, expect access.Expect) (Caller, error)
}

// RateLimits counts calls; see access.Limits.
type RateLimits interface {
	Allow(key string, n int) access.Quota
}

// Metrics counts answers. Route is a pattern of the route table or "none",
// reason one of the closed set or "ok": labels stay few whatever is sent.
type Metrics interface {
	Observe(route string, status int, reason string, d time.Duration)
}
