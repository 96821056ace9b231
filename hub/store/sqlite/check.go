package sqlite

import (
	"context"
	"errors"
	"fmt"

	"raccordo/hub/store"
)

// summedTables are the tables whose rows carry a checksum, with the columns
// in its order.
var summedTables = [...][2]string{
	{"head", "hub, size, time, network, stopped"},
	{"hashes", "idx, hash"},
	{"consents", "consent, subject, purpose, body, role, status, permits, expires_at, seq, event"},
	{"links", "a, b, seq"},
	{"dossiers", "dossier, subject, body, role, capacity, seq, until, closed"},
	{"cursors", "system, class, lane, offset, passed, frame"},
	{"lanes", "class, lane, epoch"},
	{"claims", "seq, system, fetch, at, body"},
	{"waiting", "id, " + waitingSet[:len(waitingSet)-len(", sum")]},
	{"waiting_bodies", "id, header, sealed"},
	{"parked", "id, flow, principal, record, system, producer, class, lane, reason, faults, mark, attempt, sequence, received_at, parked_at, header, sealed"},
	{"counters", "name, next"},
	{"directory", "digest, key_version, subject, system"},
	{"keys", "mac, system, body_digest, frame, class, offset, records, received_at"},
	{"records", "record, producer, type, received_at, flows"},
	{"status", "n, flow, state, reason, mark, seq"},
	{"progress", "name, value"},
	{"client_keys", "client_id, key_id, system, jwk, added_at"},
	{"checkpoints", "size, root, note, at"},
	{"conflicts", "a, b, record, seen_at"},
	{"evidence", "consent, sealed"},
	{"suspects", "record, n"},
}

// derived are questions whose answer is the number of rows that are not what
// the others say they should be.
var derived = [...][2]string{
	{"heads of queues", `SELECT count(*) FROM waiting w WHERE head <> NOT EXISTS
		(SELECT 1 FROM waiting o WHERE o.principal = w.principal AND o.flow = w.flow AND o.id < w.id AND o.event <> 'fetch')`},
	{"payloads of waiting rows", `SELECT (SELECT count(*) FROM waiting w LEFT JOIN waiting_bodies b ON b.id = w.id WHERE b.id IS NULL) +
		(SELECT count(*) FROM waiting_bodies b LEFT JOIN waiting w ON b.id = w.id WHERE w.id IS NULL)`},
	{"counts of waiting rows", `SELECT count(*) FROM (SELECT system, n FROM waiting_counts WHERE n <> 0
		EXCEPT SELECT system, count(*) FROM waiting GROUP BY system)`},
	{"counts of keys", `SELECT count(*) FROM (SELECT system, n FROM key_counts WHERE n <> 0 EXCEPT SELECT system, count(*) FROM keys GROUP BY system)`},
	{"sums of states", `SELECT count(*) FROM (SELECT flow, state, n FROM counts WHERE n <> 0
		EXCEPT SELECT flow, state, count(*) FROM status GROUP BY flow, state)`},
}

// Check reads everything there is: structure and indexes, every row's
// checksum, every entry against its hashes, and every derived column and sum
// against a recount. It takes as long as reading the file does and holds one
// view meanwhile. Damage is [store.ErrCorrupt].
func (s *Store) Check(ctx context.Context) error {
	return s.View(ctx, func(tx store.ReadTx) error {
		v, ok := tx.(*view)
		if !ok {
			return errors.New("not a view of this engine")
		}
		return v.check()
	})
}

func (v *view) check() error {
	err := v.query("PRAGMA integrity_check(1)", func(r row) error {
		if r.text(0) != "ok" {
			return fmt.Errorf("integrity_check: %w", store.ErrCorrupt)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, t := range summedTables {
		if err := v.query("SELECT "+t[1]+", sum FROM "+t[0], func(r row) error { return check(r) }); err != nil {
			return fmt.Errorf("table %s: %w", t[0], err)
		}
	}
	for _, d := range derived {
		err := v.one(d[1], func(r row) error {
			if n := r.int(0); n != 0 {
				return fmt.Errorf("%s: %d: %w", d[0], n, store.ErrCorrupt)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return v.checkEntries()
}

func (v *view) checkEntries() error {
	const page = 64
	for from := uint64(0); ; from += page {
		entries, err := v.entries(from, page)
		if err != nil {
			return err
		}
		for i, e := range entries {
			if e.Seq != from+uint64(i) {
				return fmt.Errorf("entry %d is missing: %w", from+uint64(i), store.ErrCorrupt)
			}
			if err := checkEntry(&v.reader, e); err != nil {
				return err
			}
		}
		if len(entries) < page {
			return nil
		}
	}
}
