// Package ledger is the only way to change what was decided: entries of an
// append-only Merkle log, written by one committer per replica, and in the
// same transaction the projections that must be exact.
//
// It guarantees that whatever [Writer.Submit] reports done is durable; that
// all items of one transaction see the effects of those before them, on facts
// read after the head was locked; that ledger time never goes back; and that
// an item which fails, fails alone. A commit of unknown outcome is looked up
// by entry id under the lock before anything is tried again (protocol.md 4).
//
// It refuses to write when the clock cannot be trusted, and never holds
// personal data: subject ids, names of the network and numbers only.
package ledger
