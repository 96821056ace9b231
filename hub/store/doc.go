// Package store says what the hub keeps beside the stream, and in which
// transactions: one transaction per batch, never a row at a time.
//
// It holds the rows and the interfaces; hub/store/sqlite and, later,
// hub/store/postgres are engines, and hub/store/storetest is the suite both
// must pass.
//
// Two kinds of transaction exist, and nothing else writes:
//
//   - [Store.Ledger] locks the head of the ledger first and alone, and is the
//     only way to change what was decided: entries and, in the same
//     transaction, the projections that must be exact (consents, links,
//     dossiers, queues of waiting records, parked records, open claims,
//     cursors, epochs, counters).
//   - [Store.Side] writes what is no ledger entry, by name (protocol.md 1): the
//     person directory, the index of idempotency keys and records, single-use
//     token ids, clients' keys, checkpoints, and what followers rebuild.
//
// Both are durable (power cut, not only kill) when they return nil. An engine
// gathers what is ready into one commit. An error that wraps
// [ErrUnknownOutcome] says that the transaction may or may not have happened:
// it is never taken for a no, and entries are looked up by id before anything
// is tried again. After such an error an embedded engine accepts nothing more.
package store
