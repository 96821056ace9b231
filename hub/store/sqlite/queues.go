package sqlite

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

const (
	waitingColumns = "t.id, t.flow, t.principal, t.record, t.system, t.producer, t.body, t.class, t.lane, t.disclosure, t.name, t.event, t.subject, t.reason, t.state," +
		" t.claim, t.mark, t.attempt, t.tries, t.sequence, t.received_at, t.deadline, t.not_before, t.lease, t.fetchable, t.sum"
	waitingAll  = waitingColumns + ", b.id, b.header, b.sealed, b.sum"
	waitingFrom = " FROM waiting t JOIN waiting_bodies b ON b.id = t.id"
)

func readWaiting(v row) (store.WaitingRow, error) {
	w := store.WaitingRow{
		ID: uint64(v.int(0)), Flow: exchange.FlowID(v.text(1)), Principal: id16[exchange.SubjectID](v, 2), Record: id16[exchange.RecordID](v, 3),
		System: exchange.SystemID(v.text(4)), Producer: exchange.SystemID(v.text(5)), Body: exchange.BodyID(v.text(6)),
		LaneKey:    store.LaneKey{Class: exchange.Class(v.int(7)), Lane: uint16(v.int(8))},
		Disclosure: id16[exchange.DisclosureID](v, 9), Name: v.text(10),
		Event: store.Event(v.text(11)), Subject: id16[exchange.SubjectID](v, 12), Reason: exchange.Reason(v.text(13)),
		State: store.WaitingState(v.text(14)), Claim: uint64(v.int(15)), Mark: exchange.Mark(v.int(16)), Attempt: uint16(v.int(17)),
		Tries: uint16(v.int(18)), Sequence: uint64(v.int(19)), ReceivedAt: v.int(20), Deadline: v.int(21), NotBefore: v.int(22), Lease: v.int(23),
		Fetchable: v.int(24),
	}
	return w, check(v[:waitingArgs])
}

func readWaitingAll(v row) (store.WaitingRow, error) {
	w, err := readWaiting(v)
	if err != nil {
		return w, err
	}
	body := v[waitingArgs:]
	w.Header, w.Sealed = body.blob(1), body.blob(2)
	return w, check(body)
}

func limited(n int) int64 {
	if n <= 0 {
		return math.MaxInt32
	}
	return int64(n)
}

// waiting reads the rows whose ids a query selects, in the order of by.
func (v *view) waiting(ids, by string, args ...any) ([]store.WaitingRow, error) {
	rows, err := collect(&v.reader, "SELECT "+waitingAll+" FROM ("+ids+") h CROSS JOIN waiting t ON t.id = h.id"+
		" CROSS JOIN waiting_bodies b ON b.id = t.id ORDER BY "+by, readWaitingAll, args...)
	if err != nil {
		return nil, fmt.Errorf("read waiting: %w", err)
	}
	return rows, nil
}

// bounded is waiting that ends behind the row that takes headers and payloads
// to most bytes; what lies behind it is never read.
func (v *view) bounded(most int, ids, by string, args ...any) ([]store.WaitingRow, error) {
	if most <= 0 {
		return v.waiting(ids, by, args...)
	}
	var order []int64
	if err := v.query(ids, func(r row) error { order = append(order, r.int(0)); return nil }, args...); err != nil {
		return nil, fmt.Errorf("read waiting: %w", err)
	}
	out := make([]store.WaitingRow, 0, len(order))
	sum := 0
	for chunk := range slices.Chunk(order, 32) {
		rows, err := v.waitingByID(slices.Clone(chunk))
		if err != nil {
			return nil, err
		}
		at := make(map[uint64]int, len(rows))
		for i := range rows {
			at[rows[i].ID] = i
		}
		for _, id := range chunk {
			i, ok := at[uint64(id)]
			if !ok {
				return nil, fmt.Errorf("a waiting row without its payload: %w", store.ErrCorrupt)
			}
			out = append(out, rows[i])
			if sum += len(rows[i].Header) + len(rows[i].Sealed); sum >= most {
				return out, nil
			}
		}
	}
	return out, nil
}

// Due merges the ready heads with the retries whose time has come, so that
// neither those whose time has not come nor rows behind a head are looked at.
func (v *view) Due(q store.WaitingQuery) ([]store.WaitingRow, error) {
	return v.bounded(q.MaxBytes, `SELECT id FROM (
			SELECT id FROM (SELECT id FROM waiting WHERE head = 1 AND event = 'ready' AND system = ?1 AND state = 'idle' ORDER BY id LIMIT ?3)
			UNION ALL
			SELECT id FROM (SELECT id FROM waiting WHERE head = 1 AND event = 'retry' AND system = ?1 AND not_before <= ?2 AND state = 'idle'
				ORDER BY id LIMIT ?3))
		ORDER BY id LIMIT ?3`, "t.id", string(q.System), q.Now, limited(q.Limit))
}

// Expired are in order of their deadlines.
func (v *view) Expired(now int64, limit int) ([]store.WaitingRow, error) {
	return v.waiting(`SELECT id FROM waiting WHERE deadline > 0 AND deadline <= ?1 AND (state = 'idle' OR event = 'fetch' AND lease <= ?1)
		ORDER BY deadline, id LIMIT ?2`, "t.deadline, t.id", now, limited(limit))
}

func (v *view) Fetchable(q store.WaitingQuery) ([]store.WaitingRow, error) {
	return v.bounded(q.MaxBytes, `SELECT id FROM waiting INDEXED BY waiting_fetch WHERE head = 1 AND event = 'fetch' AND system = ?1
		AND (?4 = '' OR body = ?4) AND (state = 'idle' OR lease <= ?2) ORDER BY fetchable, id LIMIT ?3`,
		"t.fetchable, t.id", string(q.System), q.Now, limited(q.Limit), string(q.Body))
}

func (v *view) FetchableSince(q store.WaitingQuery, since int64) ([]store.WaitingRow, error) {
	body := ""
	if q.Body != "" {
		body = " AND body = ?4" // the index gives the order
	}
	return v.bounded(q.MaxBytes, "SELECT id FROM waiting WHERE head = 1 AND event = 'fetch' AND system = ?1"+body+
		" AND fetchable > ?2 AND ?4 IS NOT NULL ORDER BY fetchable, id LIMIT ?3",
		"t.fetchable, t.id", string(q.System), since, limited(q.Limit), string(q.Body))
}

// StaleConsentWaits are heads that wait for a consent although one that
// permits, and is not over at now, stands for their subject.
func (v *view) StaleConsentWaits(now int64, after uint64, limit int) ([]store.WaitingRow, error) {
	return v.waiting(`SELECT w.id FROM waiting w INDEXED BY waiting_held WHERE w.head = 1 AND w.event = 'consent' AND w.state = 'idle' AND w.id > ?3
		AND EXISTS (SELECT 1 FROM consents c WHERE c.subject = w.subject AND c.permits = 1 AND (c.expires_at = 0 OR c.expires_at > ?1))
		ORDER BY w.id LIMIT ?2`, "t.id", now, limited(limit), int64(after))
}

// WaitingNamed are in order of their ids, each once.
func (v *view) WaitingNamed(system exchange.SystemID, disclosures []exchange.DisclosureID, names []string) ([]store.WaitingRow, error) {
	ids := map[int64]bool{}
	note := func(r row) error { ids[r.int(0)] = true; return nil }
	err := v.query(packed16+"SELECT t.id FROM p CROSS JOIN waiting t ON t.disclosure = "+cut16+" AND t.system = ?2", note,
		pack16(disclosures), string(system))
	for _, name := range names {
		if err == nil && name != "" {
			err = v.query("SELECT id FROM waiting WHERE system = ? AND name = ? AND name <> ''", note, string(system), name)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read waiting: %w", err)
	}
	return v.waitingByID(slices.Collect(maps.Keys(ids)))
}

// Waiting are those of ids that are there, in order.
func (r *reader) Waiting(ids []uint64) ([]store.WaitingRow, error) { return r.waitingByID(toInts(ids)) }

func (r *reader) waitingByID(ids []int64) ([]store.WaitingRow, error) {
	slices.Sort(ids)
	var rows []store.WaitingRow
	err := r.ints("SELECT "+waitingAll+waitingFrom+" WHERE t.id", " ORDER BY t.id", ids, func(v row) error {
		w, err := readWaitingAll(v)
		rows = append(rows, w)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read waiting: %w", err)
	}
	return rows, nil
}

func (v *view) WaitingCount() (map[exchange.SystemID]int, error) {
	out := map[exchange.SystemID]int{}
	err := v.query("SELECT system, n FROM waiting_counts WHERE n > 0", func(r row) error {
		out[exchange.SystemID(r.text(0))] = int(r.int(1))
		return nil
	})
	return out, err
}
