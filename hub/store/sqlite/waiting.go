package sqlite

import (
	"bytes"
	"fmt"
	"slices"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

// waitingSet are the columns that change with the row, in the order of its
// checksum (after the id).
const waitingSet = "flow, principal, record, system, producer, body, class, lane, disclosure, name, event, subject, reason, state, claim, mark, attempt, tries, sequence," +
	" received_at, deadline, not_before, lease, fetchable, sum"

const waitingArgs = 26 // id, the columns of waitingSet

func waitingRow(w *store.WaitingRow) []any {
	return summed(int64(w.ID), string(w.Flow), w.Principal[:], w.Record[:], string(w.System), string(w.Producer), string(w.Body),
		int64(w.Class), int64(w.Lane), w.Disclosure[:], w.Name, string(w.Event), w.Subject[:], string(w.Reason), string(w.State), int64(w.Claim), int64(w.Mark), int64(w.Attempt), int64(w.Tries), int64(w.Sequence),
		w.ReceivedAt, w.Deadline, w.NotBefore, w.Lease, w.Fetchable)
}

// queue is the key of a queue as SQLite sees it.
type queue struct {
	principal exchange.SubjectID
	flow      exchange.FlowID
}

// PutWaiting adds rows. An id that is there already is [store.ErrConflict].
func (t ledgerTx) PutWaiting(rows []store.WaitingRow) error {
	if err := t.ready(); err != nil {
		return err
	}
	// A row is the head unless an older one is there; rows are put in order of
	// their ids, so that rows of one call see each other.
	sorted := make([]*store.WaitingRow, len(rows))
	for i := range rows {
		sorted[i] = &rows[i]
	}
	slices.SortFunc(sorted, func(a, b *store.WaitingRow) int { return compare(a.ID, b.ID) })
	bodies := t.c.inserter("INSERT INTO waiting_bodies (id, header, sealed, sum) VALUES ", 4, "")
	counts := map[exchange.SystemID]int{}
	for _, w := range sorted {
		if err := t.putWaiting(w); err != nil {
			return fmt.Errorf("put waiting: %w", err)
		}
		if err := bodies.add(summed(int64(w.ID), full(w.Header), full(w.Sealed))...); err != nil {
			return fmt.Errorf("put waiting: %w", err)
		}
		counts[w.System]++
	}
	if err := bodies.flush(); err != nil {
		return fmt.Errorf("put waiting: %w", err)
	}
	return t.countWaiting(counts)
}

func (t ledgerTx) putWaiting(w *store.WaitingRow) error {
	_, err := t.c.exec("INSERT INTO waiting (id, "+waitingSet+", head) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,"+
		"?19,?20,?21,?22,?23,?24,?25,?26, NOT EXISTS (SELECT 1 FROM waiting WHERE principal=?3 AND flow=?2 AND id<?1 AND event<>'fetch'))", waitingRow(w)...)
	if err != nil || w.Event == store.EventFetch {
		return err
	}
	// Ids rise with the ledger, so that this finds nothing; but if a row comes
	// before others, they are heads no longer.
	_, err = t.c.exec("UPDATE waiting SET head=0 WHERE principal=?1 AND flow=?2 AND id>?3 AND head=1", w.Principal[:], string(w.Flow), int64(w.ID))
	return err
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (t ledgerTx) countWaiting(changes map[exchange.SystemID]int) error {
	for system, n := range changes {
		_, err := t.c.exec("INSERT INTO waiting_counts (system, n) VALUES (?1,?2) ON CONFLICT DO UPDATE SET n=n+?2", string(system), int64(n))
		if err != nil {
			return fmt.Errorf("count waiting: %w", err)
		}
	}
	return nil
}

// UpdateWaiting writes everything but header and payload. A row that is not
// there is [store.ErrNotFound].
func (t ledgerTx) UpdateWaiting(rows []store.WaitingRow) error {
	if err := t.ready(); err != nil {
		return err
	}
	for i := range rows {
		if err := t.updateWaiting(&rows[i]); err != nil {
			return fmt.Errorf("update waiting: %w", err)
		}
	}
	return nil
}

const updateWaiting = "UPDATE waiting SET (" + waitingSet + ") = (?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,?21,?22,?23,?24,?25,?26)" +
	" WHERE id=?1"

func (t ledgerTx) updateWaiting(w *store.WaitingRow) error {
	args := waitingRow(w)
	n, err := t.c.exec(updateWaiting+" AND principal=?3 AND flow=?2 AND system=?5 AND (event='fetch')=(?12='fetch')", args...)
	if err != nil || n == 1 {
		return err
	}
	// The row moves to another queue or recipient, or begins or ends to hold up
	// those behind it: both queues get new heads.
	was, system := queue{}, exchange.SystemID("")
	err = t.one("SELECT principal, flow, system FROM waiting WHERE id=?", func(v row) error {
		was, system = queue{id16[exchange.SubjectID](v, 0), exchange.FlowID(v.text(1))}, exchange.SystemID(v.text(2))
		return nil
	}, int64(w.ID))
	if err != nil {
		return err
	}
	if _, err := t.c.exec(updateWaiting, args...); err != nil {
		return err
	}
	if system != w.System {
		if err := t.countWaiting(map[exchange.SystemID]int{system: -1, w.System: 1}); err != nil {
			return err
		}
	}
	queues := []queue{was, {w.Principal, w.Flow}}
	if err := t.fixHeads(block, queues); err != nil {
		return err
	}
	return t.fixHeads(unblock, queues)
}

// first is the first row of a queue that holds up those behind it.
const first = "(SELECT min(id) FROM waiting WHERE principal=?1 AND flow=?2 AND event<>'fetch')"

// Rows behind the first are no heads; that one, and all if there is none, are.
const (
	block   = "UPDATE waiting SET head=0 WHERE principal=?1 AND flow=?2 AND head=1 AND id>" + first
	unblock = "UPDATE waiting SET head=1 WHERE principal=?1 AND flow=?2 AND head=0 AND id<=coalesce(" + first + ", 9223372036854775807)"
)

// fixHeads runs one of those statements for each queue.
func (t ledgerTx) fixHeads(statement string, queues []queue) error {
	slices.SortFunc(queues, func(a, b queue) int {
		if c := bytes.Compare(a.principal[:], b.principal[:]); c != 0 {
			return c
		}
		return bytes.Compare([]byte(a.flow), []byte(b.flow))
	})
	for _, q := range slices.Compact(queues) {
		if _, err := t.c.exec(statement, q.principal[:], string(q.flow)); err != nil {
			return fmt.Errorf("move the heads of a queue: %w", err)
		}
	}
	return nil
}

// DeleteWaiting takes rows out of their queues; the next of each becomes a
// head. Rows that are not there are passed over.
func (t ledgerTx) DeleteWaiting(ids []uint64) error {
	var queues []queue
	counts := map[exchange.SystemID]int{}
	for _, id := range ids {
		err := t.query("DELETE FROM waiting WHERE id=? RETURNING principal, flow, system, head, event", func(v row) error {
			counts[exchange.SystemID(v.text(2))]--
			if v.int(3) != 0 && store.Event(v.text(4)) != store.EventFetch {
				queues = append(queues, queue{id16[exchange.SubjectID](v, 0), exchange.FlowID(v.text(1))})
			}
			return nil
		}, int64(id))
		if err == nil {
			_, err = t.c.exec("DELETE FROM waiting_bodies WHERE id=?", int64(id))
		}
		if err != nil {
			return fmt.Errorf("delete waiting: %w", err)
		}
	}
	if err := t.fixHeads(unblock, queues); err != nil {
		return err
	}
	return t.countWaiting(counts)
}

// WakeWaiting makes rows ready that wait for event of one of the subjects.
func (t ledgerTx) WakeWaiting(event store.Event, subjects []exchange.SubjectID) (int, error) {
	if event != store.EventConsent && event != store.EventDossier {
		return 0, fmt.Errorf("wake waiting: nobody's event wakes such rows: %w", store.ErrConflict)
	}
	const from = " FROM p CROSS JOIN waiting t ON t.subject = " + cut16 + " AND t.event = ?2 AND t.event IN ('consent', 'dossier')"
	rows, err := collect(&t.reader, packed16+"SELECT "+waitingColumns+from, readWaiting, pack16(subjects), string(event))
	if err != nil {
		return 0, fmt.Errorf("wake waiting: %w", err)
	}
	for i := range rows {
		rows[i].Event = store.EventReady
	}
	return len(rows), t.UpdateWaiting(rows)
}

// Queues counts rows per queue, for all principals at once.
func (t ledgerTx) Queues(keys []store.QueueKey) (map[store.QueueKey]store.Queue, error) {
	principals := make([]exchange.SubjectID, len(keys))
	wanted := make(map[store.QueueKey]bool, len(keys))
	for i, k := range keys {
		principals[i] = k.Principal
		wanted[k] = true
	}
	out := map[store.QueueKey]store.Queue{}
	err := t.query(packed16+"SELECT t.principal, t.flow, count(*), sum(t.event = 'fetch') FROM p CROSS JOIN waiting t ON t.principal = "+cut16+" GROUP BY t.principal, t.flow",
		func(v row) error {
			k := store.QueueKey{Principal: id16[exchange.SubjectID](v, 0), Flow: exchange.FlowID(v.text(1))}
			if wanted[k] {
				out[k] = store.Queue{Rows: int(v.int(2)), Fetches: int(v.int(3))}
			}
			return nil
		}, pack16(principals))
	return out, err
}
