package sqlite

import "raccordo/hub/store"

// Adoptions are up to max adoption entries from a sequence on. The condition is
// that of the partial index, to the letter, so that the ledger is not scanned.
func (v *view) Adoptions(from uint64, max int) ([]store.StoredEntry, error) {
	return collect(&v.reader, "SELECT seq, id, leaf, rows, fact, sum FROM entries WHERE substr(leaf, 29, 1) = x'02' AND seq>=? ORDER BY seq LIMIT ?",
		readEntry, int64(from), int64(max))
}
