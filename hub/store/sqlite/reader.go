package sqlite

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

// errOver says that a transaction was used after its function returned.
var errOver = errors.New("the transaction is over")

// reader answers reads on one connection, inside a transaction.
type reader struct {
	c    *conn
	ctx  context.Context // of a view: looked at between statements; nil for writers
	over bool
}

// view is a read transaction.
type view struct{ reader }

// tx is a write transaction; ledgerTx and sideTx show what each kind may do.
type tx struct {
	reader
	hub exchange.HubID
}

type ledgerTx struct{ *tx }

type sideTx struct{ *tx }

var (
	_ store.ReadTx   = (*view)(nil)
	_ store.LedgerTx = ledgerTx{}
	_ store.SideTx   = sideTx{}
)

func (r *reader) ready() error {
	if r.over {
		return errOver
	}
	if r.ctx != nil {
		return r.ctx.Err()
	}
	return nil
}

func (r *reader) query(query string, each func(v row) error, args ...any) error {
	if err := r.ready(); err != nil {
		return err
	}
	return r.c.query(query, each, args...)
}

func (r *reader) one(query string, each func(v row) error, args ...any) error {
	if err := r.ready(); err != nil {
		return err
	}
	return r.c.one(query, each, args...)
}

func (r *reader) ints(query, tail string, values []int64, each func(v row) error) error {
	if err := r.ready(); err != nil {
		return err
	}
	return r.c.ints(query, tail, values, each)
}

// Batches of identifiers are handed to SQLite as one packed blob, which this
// expression cuts: one statement and one argument whatever their number.
const (
	packed16 = `WITH RECURSIVE p(i) AS (SELECT 1 WHERE length(?1) > 0 UNION ALL SELECT i+16 FROM p WHERE i+16 <= length(?1)) `
	packed32 = `WITH RECURSIVE p(i) AS (SELECT 1 WHERE length(?1) > 0 UNION ALL SELECT i+32 FROM p WHERE i+32 <= length(?1)) `
	cut16    = `substr(?1, p.i, 16)`
	cut32    = `substr(?1, p.i, 32)`
)

// pack16 puts each id once, in order, into one blob.
func pack16[T ~[16]byte](ids []T) []byte {
	sorted := slices.Clone(ids)
	slices.SortFunc(sorted, func(a, b T) int { x, y := [16]byte(a), [16]byte(b); return bytes.Compare(x[:], y[:]) })
	sorted = slices.Compact(sorted)
	out := make([]byte, 0, 16*len(sorted))
	for _, id := range sorted {
		b := [16]byte(id)
		out = append(out, b[:]...)
	}
	return out
}

func pack32(digests []exchange.Digest) []byte {
	sorted := slices.Clone(digests)
	slices.SortFunc(sorted, func(a, b exchange.Digest) int { return bytes.Compare(a[:], b[:]) })
	sorted = slices.Compact(sorted)
	out := make([]byte, 0, 32*len(sorted))
	for i := range sorted {
		out = append(out, sorted[i][:]...)
	}
	return out
}

// id16 reads an identifier; its length is what a checksum has vouched for.
func id16[T ~[16]byte](v row, i int) T {
	var out [16]byte
	copy(out[:], v.blob(i))
	return T(out)
}

func digest(v row, i int) exchange.Digest {
	var out exchange.Digest
	copy(out[:], v.blob(i))
	return out
}

// full makes an empty column out of nil, which would be NULL.
func full(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func toInts[T ~uint64 | ~int64](values []T) []int64 {
	out := make([]int64, len(values))
	for i, v := range values {
		out[i] = int64(v)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
