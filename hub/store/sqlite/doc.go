// Package sqlite is the embedded engine of package store: one SQLite file in
// write-ahead mode, written by one goroutine.
//
// It guarantees that Ledger and Side return nil only after the commit is
// synced (synchronous=FULL: what was acknowledged survives a power cut), that
// what is ready together shares one commit while each function is undone alone
// when it fails, that a commit of unknown outcome stops the engine, and that a
// View sees one snapshot. Every row carries a checksum over its own columns,
// compared when the row is read: a flipped bit is [store.ErrCorrupt], never an
// answer. Before SQLite may recover a write-ahead log, the log is read here: a
// damaged frame with later transactions behind it is refused, because SQLite
// would silently drop what was acknowledged after it.
//
// It refuses files of another hub ([store.ErrForeign]), of a newer schema
// ([store.ErrSchema]) and files in use ([store.ErrInUse]; the lock belongs to
// the process and leaves no stale file behind), and goes on nowhere after an
// error of reading, writing or syncing: then the file must be opened anew.
//
// The driver's connections are used directly, without the pool of
// database/sql: there is exactly one writing connection with one owner, a fixed
// set of reading ones, and each keeps its prepared statements.
package sqlite
