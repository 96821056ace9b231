package store

import (
	"time"

	"raccordo/hub/exchange"
)

// Head is the one row every ledger transaction locks first.
type Head struct {
	Hub     exchange.HubID
	Size    uint64 // number of entries; the next one has this sequence
	Time    int64  // ledger time of the last entry, Unix milliseconds
	Network exchange.Digest
	Stopped bool // disclosures are stopped
}

// Appended is an entry with its encoded parts and the tree hashes it adds
// (tlog.StoredHashes, in order), so that engines need not know the encodings.
type Appended struct {
	Entry  exchange.Entry
	Leaf   []byte
	Rows   []byte
	Hashes [][32]byte
}

// StoredEntry is an entry as it is kept.
type StoredEntry struct {
	Seq  uint64
	ID   exchange.EntryID
	Leaf []byte
	Rows []byte
	Fact []byte
}

// LaneKey names a lane of a class.
type LaneKey struct {
	Class exchange.Class
	Lane  uint16
}

// CursorKey names one recipient's cursor in one lane.
type CursorKey struct {
	System exchange.SystemID
	LaneKey
}

// Cursor is how far a recipient has come in a lane (protocol.md 3.3). Frame is
// the id of the frame whose part stands at the offset, compared with the
// stream at every lane take.
type Cursor struct {
	exchange.Position
	Frame exchange.FrameID
}

// CursorMove moves a cursor from where it must be to where it then is.
type CursorMove struct {
	Key    CursorKey
	Expect exchange.Position
	To     Cursor
}

// ConsentRow is the newest event of one consent, exact inside a claim. Event
// is that event as the ledger holds it (package consent reads it); the other
// fields are what queries select by.
type ConsentRow struct {
	Consent   exchange.ConsentID
	Subject   exchange.SubjectID
	Purpose   exchange.PurposeID
	Body      exchange.BodyID
	Role      exchange.Role
	Status    string // word of package consent
	Permits   bool   // status given or renewed
	ExpiresAt int64  // Unix milliseconds, 0 never
	Seq       uint64 // of its newest entry
	Event     []byte
}

// DirectoryRow leads from a keyed digest of an identifier to a subject id.
type DirectoryRow struct {
	Digest     exchange.Digest
	KeyVersion uint32
	Subject    exchange.SubjectID
	System     string // of identifiers: CF, STP, ...
}

// LinkRow joins two ids of one person.
type LinkRow struct {
	A, B exchange.SubjectID // A sorts before B
	Seq  uint64             // of the entry that linked them
}

// DossierRow is a body's case on a person.
type DossierRow struct {
	Dossier  exchange.DossierID
	Subject  exchange.SubjectID
	Body     exchange.BodyID
	Role     exchange.Role
	Capacity string
	Seq      uint64 // of its newest entry
	Until    int64  // Unix milliseconds, 0 is open
	Closed   bool
}

// QueueKey names the queue of one person's records for one flow.
type QueueKey struct {
	Flow      exchange.FlowID
	Principal exchange.SubjectID
}

// Queue counts the rows of one queue.
type Queue struct {
	Rows    int // all of them
	Fetches int // those that wait for a fetch, claimed by one or not
}

// Blocks reports whether a further record of the person must queue behind:
// rows that wait for a fetch hold up nothing that waits for a fetch too, since
// they are fetched in order.
func (q Queue) Blocks() bool { return q.Rows > q.Fetches }

// Event is what a waiting row waits for.
type Event string

// The events. A row is looked at only when nothing blocks it: every older row
// of its queue waits for a fetch, or there is none. Such a row is called a head.
const (
	EventConsent Event = "consent" // a consent of Subject
	EventDossier Event = "dossier" // a dossier on Subject
	EventRetry   Event = "retry"   // NotBefore
	EventFetch   Event = "fetch"   // the recipient comes and fetches
	EventReady   Event = "ready"   // nothing more: drained as soon as it is the head
)

// WaitingState fences fetches: a row is claimed once.
type WaitingState string

// The states of a waiting row.
const (
	WaitingIdle    WaitingState = "idle"
	WaitingClaimed WaitingState = "claimed" // under the open claim Claim
)

// WaitingRow is a sealed record set aside for one flow and one person
// (protocol.md 6.1). Its payload is sealed anew under the place "waiting".
type WaitingRow struct {
	ID        uint64 // order in its queue; see [RowID]
	Flow      exchange.FlowID
	Principal exchange.SubjectID
	Record    exchange.RecordID
	System    exchange.SystemID // recipient
	Producer  exchange.SystemID
	Body      exchange.BodyID // of the producer
	LaneKey
	Disclosure exchange.DisclosureID // of (record, flow); a fetcher's acknowledgement names it
	Name       string                // what the recipient's protocol calls it, "" if nothing; unique per system

	Event    Event
	Subject  exchange.SubjectID // whose event
	Reason   exchange.Reason    // why it waits
	State    WaitingState
	Claim    uint64 // sequence of the open claim, 0 if none
	Mark     exchange.Mark
	Attempt  uint16
	Tries    uint16 // how often the recipient wanted it offered again, or answered nothing that can be read
	Sequence uint64 // per (flow, principal)

	ReceivedAt int64 // Unix milliseconds, as all times here
	Deadline   int64
	NotBefore  int64
	Lease      int64 // a fetched row is not given out again before
	Fetchable  int64 // strictly increasing per recipient system and producing body, 0 until fetchable

	Header []byte // exchange.Header with the one record, see exchange.AppendHeader
	Sealed []byte // canonical record; AAD is the header
}

// ParkedRow is a record set aside for a human.
type ParkedRow struct {
	ID        uint64
	Flow      exchange.FlowID
	Principal exchange.SubjectID
	Record    exchange.RecordID
	System    exchange.SystemID
	Producer  exchange.SystemID
	LaneKey
	Reason     exchange.Reason
	Faults     []exchange.Fault
	Mark       exchange.Mark
	Attempt    uint16
	Sequence   uint64
	ReceivedAt int64
	ParkedAt   int64
	Header     []byte
	Sealed     []byte
}

// RowID orders waiting and parked rows: the i-th of the entry seq.
func RowID(seq uint64, i int) uint64 { return seq<<16 | uint64(i) }

// Claim is an open claim: what was written before bytes may leave and is not
// settled yet.
type Claim struct {
	Seq    uint64 // of its entry
	System exchange.SystemID
	Lanes  []exchange.LaneRange // empty for claims out of waiting
	Fetch  bool                 // made by a fetch: settled by acknowledgement
	At     int64                // ledger time
	Rows   []ClaimRow
}

// ClaimRow is one record of an open claim.
type ClaimRow struct {
	Record   exchange.RecordID
	Flow     exchange.FlowID
	Subjects []exchange.SubjectID // principal first
	Basis    []uint64             // consent relied on, per subject, 0 if none
	Waiting  uint64               // its waiting row, 0 if it came from a lane
	Attempt  uint16
	Sequence uint64
	Mark     exchange.Mark
}

// KeyRow is one idempotency key: what was accepted under it and where.
type KeyRow struct {
	System     exchange.SystemID
	KeyMAC     exchange.Digest
	BodyDigest exchange.Digest
	Frame      exchange.FrameID
	Class      exchange.Class
	Offset     int64 // of part 1
	Records    uint32
	ReceivedAt int64
}

// RecordRow says which system pushed a record, for its status.
type RecordRow struct {
	Record     exchange.RecordID
	Producer   exchange.SystemID
	Type       exchange.RecordType
	ReceivedAt int64
	Flows      []exchange.FlowID
}

// StatusRow is where one (record, flow) is, as followers see it.
type StatusRow struct {
	Record exchange.RecordID
	Flow   exchange.Number
	State  exchange.State
	Reason exchange.Reason
	Mark   exchange.Mark
	Seq    uint64 // of the entry it follows from, 0 for pending
}

// ClientKey is a public key of a system.
type ClientKey struct {
	ClientID string // UUID
	System   exchange.SystemID
	KeyID    string // RFC 7638 thumbprint
	JWK      []byte
	AddedAt  int64
}

// CheckpointRow is a signed checkpoint: one root per size.
type CheckpointRow struct {
	Size uint64
	Root [32]byte
	Note []byte
	At   int64
}

// Millis is t in Unix milliseconds.
func Millis(t time.Time) int64 { return t.UnixMilli() }
