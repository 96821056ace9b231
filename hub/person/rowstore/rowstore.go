// Package rowstore keeps the rows of the person directory in the hub's store.
//
// It guarantees the contract of [person.Store] over any engine: rows are added
// all or none, since the transaction is undone when one of the digests turns
// out to be somebody else's. It holds nothing itself.
package rowstore

import (
	"context"
	"errors"
	"fmt"

	"raccordo/hub/exchange"
	"raccordo/hub/person"
	"raccordo/hub/store"
)

// Tables are the two kinds of transaction it needs; [store.Store] has them.
type Tables interface {
	View(ctx context.Context, fn func(store.ReadTx) error) error
	Side(ctx context.Context, fn func(store.SideTx) error) error
}

// Rows is the directory's rows in a store.
type Rows struct{ tables Tables }

var _ person.Store = (*Rows)(nil)

// New makes Rows over the tables of a store.
func New(t Tables) *Rows { return &Rows{t} }

// errTaken undoes a transaction that met somebody else's rows.
var errTaken = errors.New("a digest belongs to another subject")

// LookupDigests implements [person.Store].
func (r *Rows) LookupDigests(ctx context.Context, digests []exchange.Digest) (map[exchange.Digest]exchange.SubjectID, error) {
	var found map[exchange.Digest]exchange.SubjectID
	err := r.tables.View(ctx, func(tx store.ReadTx) (err error) {
		found, err = tx.Directory(digests)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read directory: %w", err)
	}
	return found, nil
}

// AddDirectoryRows implements [person.Store].
func (r *Rows) AddDirectoryRows(ctx context.Context, rows []person.Row) (map[exchange.Digest]exchange.SubjectID, error) {
	in := make([]store.DirectoryRow, len(rows))
	for i, row := range rows {
		in[i] = store.DirectoryRow{Digest: row.Digest, KeyVersion: row.KeyVersion, Subject: row.Subject, System: string(row.System)}
	}
	var taken map[exchange.Digest]exchange.SubjectID
	err := r.tables.Side(ctx, func(tx store.SideTx) error {
		taken = map[exchange.Digest]exchange.SubjectID{} // an engine may run this again
		stand, err := tx.AddDirectory(in)
		if err != nil {
			return err
		}
		for _, row := range in {
			if s := stand[row.Digest]; s != row.Subject {
				taken[row.Digest] = s
			}
		}
		if len(taken) > 0 {
			return errTaken
		}
		return nil
	})
	switch {
	case errors.Is(err, errTaken):
		return taken, nil
	case err != nil:
		return nil, fmt.Errorf("write directory: %w", err)
	}
	return nil, nil
}
