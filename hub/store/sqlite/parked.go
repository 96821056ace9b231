package sqlite

import (
	"encoding/json"
	"fmt"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

const parkedColumns = "SELECT id, flow, principal, record, system, producer, class, lane, reason, faults, mark, attempt, sequence, received_at," +
	" parked_at, header, sealed, sum FROM parked"

func readParked(v row) (store.ParkedRow, error) {
	p := store.ParkedRow{
		ID: uint64(v.int(0)), Flow: exchange.FlowID(v.text(1)), Principal: id16[exchange.SubjectID](v, 2), Record: id16[exchange.RecordID](v, 3),
		System: exchange.SystemID(v.text(4)), Producer: exchange.SystemID(v.text(5)),
		LaneKey: store.LaneKey{Class: exchange.Class(v.int(6)), Lane: uint16(v.int(7))}, Reason: exchange.Reason(v.text(8)),
		Mark: exchange.Mark(v.int(10)), Attempt: uint16(v.int(11)), Sequence: uint64(v.int(12)), ReceivedAt: v.int(13), ParkedAt: v.int(14),
		Header: v.blob(15), Sealed: v.blob(16),
	}
	if err := check(v); err != nil {
		return p, err
	}
	if err := json.Unmarshal([]byte(v.text(9)), &p.Faults); err != nil {
		return p, fmt.Errorf("faults of a parked record: %w", store.ErrCorrupt)
	}
	return p, nil
}

// Parked are those of ids that are there, in order.
func (r *reader) Parked(ids []uint64) ([]store.ParkedRow, error) {
	var out []store.ParkedRow
	err := r.ints(parkedColumns+" WHERE id", " ORDER BY id", toInts(ids), func(v row) error {
		p, err := readParked(v)
		out = append(out, p)
		return err
	})
	return out, err
}

// ParkedList are rows with an id greater than after, in order.
func (v *view) ParkedList(after uint64, limit int) ([]store.ParkedRow, error) {
	return collect(&v.reader, parkedColumns+" WHERE id>? ORDER BY id LIMIT ?", readParked, int64(after), limited(limit))
}

// PutParked adds rows. An id that is there already is [store.ErrConflict].
func (t ledgerTx) PutParked(rows []store.ParkedRow) error {
	if err := t.ready(); err != nil {
		return err
	}
	in := t.c.inserter("INSERT INTO parked (id, flow, principal, record, system, producer, class, lane, reason, faults, mark, attempt, sequence,"+
		" received_at, parked_at, header, sealed, sum) VALUES ", 18, "")
	for i := range rows {
		p := &rows[i]
		faults, err := json.Marshal(p.Faults)
		if err == nil {
			err = in.add(summed(int64(p.ID), string(p.Flow), p.Principal[:], p.Record[:], string(p.System), string(p.Producer), int64(p.Class),
				int64(p.Lane), string(p.Reason), string(faults), int64(p.Mark), int64(p.Attempt), int64(p.Sequence), p.ReceivedAt, p.ParkedAt,
				full(p.Header), full(p.Sealed))...)
		}
		if err != nil {
			return fmt.Errorf("put parked: %w", err)
		}
	}
	if err := in.flush(); err != nil {
		return fmt.Errorf("put parked: %w", err)
	}
	return nil
}

func (t ledgerTx) DeleteParked(ids []uint64) error {
	return t.deleteByID("DELETE FROM parked WHERE id=?", ids)
}
