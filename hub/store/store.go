package store

import (
	"context"
	"errors"

	"raccordo/hub/exchange"
)

// Errors of every engine.
var (
	ErrUnknownOutcome = errors.New("the transaction may or may not have happened")
	ErrStopped        = errors.New("the store accepts nothing any more")
	ErrSchema         = errors.New("the store's schema is not one this version can use")
	ErrForeign        = errors.New("the store belongs to another hub")
	ErrInUse          = errors.New("the store is in use by another hub")
	ErrConflict       = errors.New("the row is not in the expected state")
	ErrNotFound       = errors.New("no such row")
	// ErrFull is a certain no: nothing of the transaction happened, and it may
	// be tried again when there is room.
	ErrFull = errors.New("there is no room left for the store")
	// ErrCorrupt says that what is stored is not what was written.
	ErrCorrupt = errors.New("what is stored is damaged")
)

// Store is what an engine offers.
type Store interface {
	// Ledger runs fn in one transaction that has locked the head first. If fn
	// fails everything it wrote is undone and its error returned as it is.
	Ledger(ctx context.Context, fn func(LedgerTx) error) error
	// Side runs fn in one transaction that may write side tables only. Several
	// may share one commit; one that fails undoes only what it wrote itself.
	Side(ctx context.Context, fn func(SideTx) error) error
	// View runs fn on one consistent snapshot of what is committed.
	View(ctx context.Context, fn func(ReadTx) error) error
	// Hub is the identity of the hub the store belongs to.
	Hub() exchange.HubID
	Close() error
}

// FactsReader reads what a decision needs, one statement each, whatever the
// number of subjects.
type FactsReader interface {
	Head() (Head, error)
	// Links are all links within the components that any of the subjects
	// belongs to.
	Links(subjects []exchange.SubjectID) ([]LinkRow, error)
	Consents(subjects []exchange.SubjectID) ([]ConsentRow, error)
	Dossiers(subjects []exchange.SubjectID) ([]DossierRow, error)
}

// LedgerTx is one transaction under the lock of the head.
type LedgerTx interface {
	FactsReader
	// Hashes are stored tree hashes by tlog index.
	Hashes(indexes []int64) ([][32]byte, error)
	// EntryByID finds an entry whose commit was of unknown outcome;
	// [ErrNotFound] if it did not happen.
	EntryByID(id exchange.EntryID) (uint64, error)
	// Queues counts the waiting rows per queue; absent is none.
	Queues(keys []QueueKey) (map[QueueKey]Queue, error)
	Cursors(keys []CursorKey) (map[CursorKey]Cursor, error)
	Epochs(lanes []LaneKey) (map[LaneKey]uint64, error)
	Claims(seqs []uint64) ([]Claim, error)
	OpenClaims() ([]Claim, error)
	Waiting(ids []uint64) ([]WaitingRow, error)
	Parked(ids []uint64) ([]ParkedRow, error)

	// Append adds entries and makes head the new head.
	Append(entries []Appended, head Head) error
	PutConsents(rows []ConsentRow) error
	PutLinks(rows []LinkRow) error
	DeleteLinks(rows []LinkRow) error
	PutDossiers(rows []DossierRow) error
	// MoveCursors fails with [ErrConflict] if one is not where it must be.
	MoveCursors(moves []CursorMove) error
	// BumpEpochs takes lanes: the new epoch of each.
	BumpEpochs(lanes []LaneKey) (map[LaneKey]uint64, error)
	PutClaims(claims []Claim) error
	CloseClaims(seqs []uint64) error
	PutWaiting(rows []WaitingRow) error
	// UpdateWaiting writes everything but header and payload of rows by ID.
	UpdateWaiting(rows []WaitingRow) error
	DeleteWaiting(ids []uint64) error
	// WakeWaiting makes rows ready that wait for event of one of the subjects.
	WakeWaiting(event Event, subjects []exchange.SubjectID) (int, error)
	PutParked(rows []ParkedRow) error
	DeleteParked(ids []uint64) error
	// Next takes n consecutive values of a named counter and returns the first;
	// a counter never taken begins at 1. AtLeast raises it before taking.
	Next(counter string, n int, atLeast uint64) (uint64, error)
}

// WaitingQuery selects rows of one recipient system.
type WaitingQuery struct {
	System exchange.SystemID
	Body   exchange.BodyID // only rows pushed by this body; "" for any (fetches only)
	Limit  int
	Now    int64 // Unix milliseconds
	// MaxBytes ends the list behind the row whose header and payload take the
	// sum to it or above; 0 is no bound.
	MaxBytes int
}

// ReadTx is a consistent snapshot.
type ReadTx interface {
	FactsReader
	Hashes(indexes []int64) ([][32]byte, error)
	Entries(from uint64, max int) ([]StoredEntry, error)
	// Adoptions are up to max adoption entries from a sequence on.
	Adoptions(from uint64, max int) ([]StoredEntry, error)
	AllCursors() (map[CursorKey]Cursor, error)
	OpenClaims() ([]Claim, error)
	Waiting(ids []uint64) ([]WaitingRow, error)
	Parked(ids []uint64) ([]ParkedRow, error)

	// Due are the heads of queues that can be drained: ready, or retry whose
	// time has come, idle, in order of ID. Rows that wait for a fetch are not.
	Due(q WaitingQuery) ([]WaitingRow, error)
	// Expired are rows, of any event, whose deadline has come, in order of the
	// deadline: idle ones, and fetched ones whose lease is over.
	Expired(now int64, limit int) ([]WaitingRow, error)
	// Fetchable are the heads that wait for a fetch and are idle, or claimed
	// with a lease that is over, in order of Fetchable.
	Fetchable(q WaitingQuery) ([]WaitingRow, error)
	// FetchableSince are the heads that wait for a fetch, claimed or not, with
	// Fetchable greater than since, in its order.
	FetchableSince(q WaitingQuery, since int64) ([]WaitingRow, error)
	// WaitingNamed are the system's rows with one of the disclosure ids or one
	// of the names, whatever they wait for.
	WaitingNamed(system exchange.SystemID, disclosures []exchange.DisclosureID, names []string) ([]WaitingRow, error)
	// WaitingCount counts rows per recipient system.
	WaitingCount() (map[exchange.SystemID]int, error)
	// StaleConsentWaits are idle heads that wait for a consent although one that
	// permits exists for their subject (a lost wake-up, or a consent to something
	// else), with an id greater than after, in order.
	StaleConsentWaits(now int64, after uint64, limit int) ([]WaitingRow, error)

	ParkedList(after uint64, limit int) ([]ParkedRow, error)
	ParkedCount() (int, error)
	ConsentByID(id exchange.ConsentID) (ConsentRow, error)
	// ExpiringConsents counts, among consents whose status permits, those that
	// expire in (from, to] and all that have not expired at from.
	ExpiringConsents(from, to int64) (expiring, all int, err error)
	DossierByID(id exchange.DossierID) (DossierRow, error)
	DossierList(subject exchange.SubjectID) ([]DossierRow, error)

	// Directory looks digests up; absent ones are not in the answer.
	Directory(digests []exchange.Digest) (map[exchange.Digest]exchange.SubjectID, error)
	Key(system exchange.SystemID, mac exchange.Digest) (KeyRow, error)
	KeyCount(system exchange.SystemID) (int, error)
	// OldestKey is the lowest offset of a frame of the class whose key was
	// received at or after since; found false if there is none.
	OldestKey(class exchange.Class, since int64) (offset int64, found bool, err error)
	// OldestWaiting and OldestParked are the earliest reception among rows set
	// aside, Unix milliseconds; found false if there are none.
	OldestWaiting() (at int64, found bool, err error)
	OldestParked() (at int64, found bool, err error)
	Record(id exchange.RecordID) (RecordRow, error)
	StatusOf(record exchange.RecordID) ([]StatusRow, error)
	// StateCounts sums the states per flow, as far as followers have come.
	StateCounts() (map[exchange.Number]map[exchange.State]int64, error)
	Progress(name string) (int64, bool, error)
	ClientKeys() ([]ClientKey, error)
	LatestCheckpoint() (CheckpointRow, error)
	Checkpoint(size uint64) (CheckpointRow, error)
	Conflicts(limit int) ([]ConflictRow, error)
	Evidence(id exchange.ConsentID) ([]byte, error)
	// Suspects counts, per record, the unclean deaths while it was under work.
	Suspects() (map[exchange.RecordID]int, error)
}

// ConflictRow is two known ids that one record gave for one person; an
// officer is asked (raccordo person conflicts).
type ConflictRow struct {
	A, B   exchange.SubjectID // A sorts before B
	Record exchange.RecordID  // where it was seen first
	SeenAt int64
}

// SideTx writes what is no ledger entry.
type SideTx interface {
	// AddDirectory inserts rows whose digest is not there yet and gives, for
	// every digest of rows, the subject that stands in the directory now.
	AddDirectory(rows []DirectoryRow) (map[exchange.Digest]exchange.SubjectID, error)
	PutKeys(rows []KeyRow) error
	DeleteKeysBefore(receivedAt int64, limit int) (int, error)
	PutRecords(rows []RecordRow) error
	// PutStatus inserts or, where Seq is not older, replaces rows, and keeps
	// the sums per flow and state. A row that follows from no entry (Seq 0: just
	// accepted) never replaces another.
	PutStatus(rows []StatusRow) error
	SetProgress(name string, value int64) error
	// UseOnce reports whether (kind, id) was never used; it is remembered
	// until the given time.
	UseOnce(kind string, id [32]byte, until int64) (bool, error)
	ForgetUsed(before int64, limit int) (int, error)
	PutClientKey(row ClientKey) error
	// PutCheckpoint fails with [ErrConflict] if the size has another root.
	PutCheckpoint(row CheckpointRow) error
	PutConflicts(rows []ConflictRow) error
	DeleteConflict(a, b exchange.SubjectID) error
	PutEvidence(id exchange.ConsentID, sealed []byte) error
	// PutSuspects writes counts; a count of 0 forgets the record.
	PutSuspects(counts map[exchange.RecordID]int) error
}
