package ledger

import (
	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

// Needs name what an item wants read under the lock. The needs of all items of
// a transaction are read together, one statement each.
type Needs struct {
	Subjects  []exchange.SubjectID
	Queues    []store.QueueKey
	Cursors   []store.CursorKey
	Lanes     []store.LaneKey // their epochs
	Waiting   []uint64
	Parked    []uint64
	Claims    []uint64
	AllClaims bool // every open claim, for the answer to a withdrawal
}

// Item is one thing to be decided and written. Decide is called under the lock
// of the head with what Needs named; it is pure but for its result, may be
// called again after an outcome that turned out to be a no, and an error from
// it fails this item alone.
type Item struct {
	Needs  Needs
	Decide func(*State) (*Change, error)
	// ConfirmsClock says that the item is an operator's word that the clock is
	// right: the writer goes on with it, and the item is decided before any
	// other.
	ConfirmsClock bool
}

// State is what an item may see: the head, facts and rows as they stand after
// every earlier item of the transaction.
type State struct {
	Head    store.Head
	Seq     uint64 // what the item's entry will have
	Facts   *Facts
	Queues  map[store.QueueKey]store.Queue
	Cursors map[store.CursorKey]store.Cursor
	Epochs  map[store.LaneKey]uint64
	Waiting map[uint64]*store.WaitingRow
	Parked  map[uint64]*store.ParkedRow
	Claims  map[uint64]*store.Claim
	next    func(counter string, n int, atLeast uint64) (uint64, error)
}

// Next takes n values of a durable counter; see [store.LedgerTx].
func (s *State) Next(counter string, n int, atLeast uint64) (uint64, error) {
	return s.next(counter, n, atLeast)
}

// Change is what an item writes. Without a Draft only cursors may move: a
// recipient passes over what is not its own, which is no fact.
type Change struct {
	Draft *Draft

	Cursors       []store.CursorMove
	BumpEpochs    []store.LaneKey
	OpenClaims    []store.Claim
	CloseClaims   []uint64
	PutWaiting    []store.WaitingRow
	UpdateWaiting []store.WaitingRow
	DeleteWaiting []uint64
	PutParked     []store.ParkedRow
	DeleteParked  []uint64
	Consents      []store.ConsentRow
	Links         []store.LinkRow
	Unlink        []store.LinkRow
	Dossiers      []store.DossierRow
	Adopt         *exchange.Digest
	Stop          *bool
	Wake          []Wake
}

// Wake makes waiting rows ready whose event has happened.
type Wake struct {
	Event    store.Event
	Subjects []exchange.SubjectID
}

// Draft is an entry before it has its place.
type Draft struct {
	Kind   exchange.EntryKind
	System exchange.SystemID
	Lanes  []exchange.LaneRange
	Refers uint64
	Rows   []exchange.Row
	Fact   []byte
}

// Result says where an item's entry stands.
type Result struct {
	Seq  uint64 // 0 if it wrote none
	Time int64  // ledger time, Unix milliseconds
}
