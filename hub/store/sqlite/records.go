package sqlite

import (
	"fmt"
	"strings"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

const keyColumns = "SELECT mac, system, body_digest, frame, class, offset, records, received_at, sum FROM keys"

func (v *view) Key(system exchange.SystemID, mac exchange.Digest) (store.KeyRow, error) {
	return single(&v.reader, keyColumns+" WHERE mac=? AND system=?", func(r row) (store.KeyRow, error) {
		return store.KeyRow{KeyMAC: digest(r, 0), System: exchange.SystemID(r.text(1)), BodyDigest: digest(r, 2), Frame: id16[exchange.FrameID](r, 3),
			Class: exchange.Class(r.int(4)), Offset: r.int(5), Records: uint32(r.int(6)), ReceivedAt: r.int(7)}, check(r)
	}, mac[:], string(system))
}

func (v *view) KeyCount(system exchange.SystemID) (int, error) {
	n := 0
	err := v.query("SELECT n FROM key_counts WHERE system=?", func(r row) error { n = int(r.int(0)); return nil }, string(system))
	return n, err
}

// PutKeys writes keys. The same key again replaces what was accepted earlier
// under it, never what was accepted later: the index can be built anew behind.
func (t sideTx) PutKeys(rows []store.KeyRow) error {
	if err := t.ready(); err != nil {
		return err
	}
	added := map[exchange.SystemID]int{}
	for i := range rows {
		k := &rows[i]
		args := summed(k.KeyMAC[:], string(k.System), k.BodyDigest[:], k.Frame[:], int64(k.Class), k.Offset, int64(k.Records), k.ReceivedAt)
		n, err := t.c.exec("INSERT INTO keys (mac, system, body_digest, frame, class, offset, records, received_at, sum) VALUES (?,?,?,?,?,?,?,?,?)"+
			" ON CONFLICT DO NOTHING", args...)
		added[k.System] += n
		if err == nil && n == 0 {
			_, err = t.c.exec("UPDATE keys SET body_digest=?3, frame=?4, class=?5, offset=?6, records=?7, received_at=?8, sum=?9"+
				" WHERE mac=?1 AND system=?2 AND received_at<=?8", args...)
		}
		if err != nil {
			return fmt.Errorf("put keys: %w", err)
		}
	}
	return t.countKeys(added)
}

func (t sideTx) countKeys(changes map[exchange.SystemID]int) error {
	for system, n := range changes {
		if n == 0 {
			continue
		}
		if err := t.put("INSERT INTO key_counts (system, n) VALUES (?1,?2) ON CONFLICT DO UPDATE SET n=n+?2", []any{string(system), int64(n)}); err != nil {
			return fmt.Errorf("count keys: %w", err)
		}
	}
	return nil
}

// DeleteKeysBefore forgets up to limit of the oldest keys received before.
func (t sideTx) DeleteKeysBefore(receivedAt int64, limit int) (int, error) {
	gone, total := map[exchange.SystemID]int{}, 0
	err := t.query("DELETE FROM keys WHERE rowid IN (SELECT rowid FROM keys WHERE received_at<? ORDER BY received_at LIMIT ?) RETURNING system",
		func(v row) error {
			gone[exchange.SystemID(v.text(0))]--
			total++
			return nil
		}, receivedAt, limited(limit))
	if err != nil {
		return 0, fmt.Errorf("delete keys: %w", err)
	}
	return total, t.countKeys(gone)
}

// Record is who pushed a record; [store.ErrNotFound] also for one of which
// only states are known so far.
func (v *view) Record(id exchange.RecordID) (store.RecordRow, error) {
	return single(&v.reader, "SELECT record, producer, type, received_at, flows, sum FROM records WHERE record=? AND producer<>''",
		func(r row) (store.RecordRow, error) {
			out := store.RecordRow{Record: id16[exchange.RecordID](r, 0), Producer: exchange.SystemID(r.text(1)), Type: exchange.RecordType(r.text(2)), ReceivedAt: r.int(3)}
			if flows := r.text(4); flows != "" {
				for f := range strings.SplitSeq(flows, " ") {
					out.Flows = append(out.Flows, exchange.FlowID(f))
				}
			}
			return out, check(r)
		}, id[:])
}

func (t sideTx) PutRecords(rows []store.RecordRow) error {
	if err := t.ready(); err != nil {
		return err
	}
	in := t.c.inserter("INSERT INTO records (record, producer, type, received_at, flows, sum) VALUES ", 6,
		" ON CONFLICT (record) DO UPDATE SET producer=excluded.producer, type=excluded.type, received_at=excluded.received_at,"+
			" flows=excluded.flows, sum=excluded.sum")
	var flows strings.Builder
	for i := range rows {
		r := &rows[i]
		flows.Reset()
		for j, f := range r.Flows {
			if j > 0 {
				flows.WriteByte(' ')
			}
			flows.WriteString(string(f))
		}
		if err := in.add(summed(r.Record[:], string(r.Producer), string(r.Type), r.ReceivedAt, flows.String())...); err != nil {
			return fmt.Errorf("put records: %w", err)
		}
	}
	if err := in.flush(); err != nil {
		return fmt.Errorf("put records: %w", err)
	}
	return nil
}
