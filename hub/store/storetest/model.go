package storetest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

// statusModel is what PutStatus promises, in the simplest form.
type statusModel struct {
	s    store.Store
	rows map[[2]int]store.StatusRow
}

func (m *statusModel) Put(t *rapid.T) {
	n := rapid.IntRange(1, 60).Draw(t, "rows")
	rows := make([]store.StatusRow, n)
	for i := range rows {
		r, f := rapid.IntRange(0, 20).Draw(t, "record"), rapid.IntRange(0, 2).Draw(t, "flow")
		row := store.StatusRow{Record: record(r), Flow: exchange.Number(f + 1), State: rapid.SampledFrom(exchange.States()).Draw(t, "state"),
			Reason: rapid.SampledFrom([]exchange.Reason{"", exchange.ReasonPermitted}).Draw(t, "reason"), Seq: uint64(rapid.IntRange(1, 9).Draw(t, "seq"))}
		if row.State == exchange.StatePending && rapid.Bool().Draw(t, "accepted") {
			row.Seq = 0 // it follows from no entry
		}
		rows[i] = row
		old, ok := m.rows[[2]int{r, f}]
		if !ok || row.Seq > 0 && row.Seq >= old.Seq {
			m.rows[[2]int{r, f}] = row
		}
	}
	noErr(t, m.s.Side(context.Background(), func(tx store.SideTx) error { return tx.PutStatus(rows) }))
}

func (m *statusModel) Check(t *rapid.T) {
	sums := map[exchange.Number]map[exchange.State]int64{}
	states := map[exchange.RecordID][]store.StatusRow{}
	for _, k := range slices.SortedFunc(maps.Keys(m.rows), func(a, b [2]int) int { return slices.Compare(a[:], b[:]) }) {
		r := m.rows[k]
		if sums[r.Flow] == nil {
			sums[r.Flow] = map[exchange.State]int64{}
		}
		sums[r.Flow][r.State]++
		states[r.Record] = append(states[r.Record], r)
	}
	noErr(t, m.s.View(context.Background(), func(tx store.ReadTx) error {
		counts, err := tx.StateCounts()
		if err := errors.Join(err, differ(counts, sums)); err != nil {
			return err
		}
		for id, want := range states {
			got, err := tx.StatusOf(id)
			if err := errors.Join(err, differ(got, want)); err != nil {
				return err
			}
		}
		return nil
	}))
}

func noErr(t *rapid.T, err error) {
	if err != nil {
		t.Fatal(err)
	}
}

func testStatusModel(t *testing.T, e Engine) {
	rapid.Check(t, func(rt *rapid.T) {
		open := e.New(t)
		s, err := open()
		noErr(rt, err)
		defer s.Close()
		m := &statusModel{s: s, rows: map[[2]int]store.StatusRow{}}
		rt.Repeat(map[string]func(*rapid.T){"put": m.Put, "": m.Check})
	})
}

// waitingModel holds all rows in a map and answers by looking at all of them.
type waitingModel struct {
	s    store.Store
	rows map[uint64]store.WaitingRow
	next uint64
}

func (m *waitingModel) ledger(t *rapid.T, fn func(store.LedgerTx) error) {
	noErr(t, m.s.Ledger(context.Background(), fn))
}

func drawRow(t *rapid.T, id uint64) store.WaitingRow {
	w := waitingRow(id, rapid.IntRange(1, 2).Draw(t, "flow"), rapid.IntRange(1, 3).Draw(t, "principal"))
	w.System = system(int(w.Flow[len(w.Flow)-1] - '0')) // a flow has one recipient
	change(t, &w)
	return w
}

// change draws what changes in the life of a row.
func change(t *rapid.T, w *store.WaitingRow) {
	w.Event = rapid.SampledFrom([]store.Event{store.EventConsent, store.EventDossier, store.EventRetry, store.EventFetch, store.EventReady}).Draw(t, "event")
	w.Subject = subject(rapid.IntRange(1, 3).Draw(t, "subject"))
	w.State = rapid.SampledFrom([]store.WaitingState{store.WaitingIdle, store.WaitingClaimed}).Draw(t, "state")
	w.NotBefore, w.Lease = int64(rapid.IntRange(0, 9).Draw(t, "not before")), int64(rapid.IntRange(0, 9).Draw(t, "lease"))
	w.Deadline, w.Fetchable = int64(rapid.IntRange(0, 9).Draw(t, "deadline")), int64(rapid.IntRange(0, 9).Draw(t, "fetchable"))
}

func (m *waitingModel) Put(t *rapid.T) {
	rows := make([]store.WaitingRow, rapid.IntRange(1, 5).Draw(t, "rows"))
	for i := range rows {
		m.next += uint64(rapid.IntRange(1, 3).Draw(t, "step"))
		rows[i] = drawRow(t, m.next)
		m.rows[rows[i].ID] = rows[i]
	}
	m.ledger(t, func(tx store.LedgerTx) error { return tx.PutWaiting(rows) })
}

// PutEarly puts a row whose id lies among those of the others.
func (m *waitingModel) PutEarly(t *rapid.T) {
	id := uint64(rapid.IntRange(1, int(m.next)+1).Draw(t, "id"))
	if _, ok := m.rows[id]; ok {
		t.Skip("taken")
	}
	m.next = max(m.next, id)
	w := drawRow(t, id)
	m.rows[id] = w
	m.ledger(t, func(tx store.LedgerTx) error { return tx.PutWaiting([]store.WaitingRow{w}) })
}

func (m *waitingModel) some(t *rapid.T) []uint64 {
	if len(m.rows) == 0 {
		t.Skip("empty")
	}
	ids := slices.Sorted(maps.Keys(m.rows))
	return rapid.SliceOfNDistinct(rapid.SampledFrom(ids), 1, 4, rapid.ID[uint64]).Draw(t, "ids")
}

func (m *waitingModel) Update(t *rapid.T) {
	var rows []store.WaitingRow
	for _, id := range m.some(t) {
		w := m.rows[id]
		change(t, &w)
		m.rows[id] = w
		rows = append(rows, w)
	}
	m.ledger(t, func(tx store.LedgerTx) error { return tx.UpdateWaiting(rows) })
}

func (m *waitingModel) Delete(t *rapid.T) {
	ids := m.some(t)
	for _, id := range ids {
		delete(m.rows, id)
	}
	m.ledger(t, func(tx store.LedgerTx) error { return tx.DeleteWaiting(ids) })
}

func (m *waitingModel) Wake(t *rapid.T) {
	event := rapid.SampledFrom([]store.Event{store.EventConsent, store.EventDossier}).Draw(t, "event")
	s := subject(rapid.IntRange(1, 3).Draw(t, "subject"))
	n := 0
	for id, w := range m.rows {
		if w.Event == event && w.Subject == s {
			w.Event = store.EventReady
			m.rows[id] = w
			n++
		}
	}
	m.ledger(t, func(tx store.LedgerTx) error {
		got, err := tx.WakeWaiting(event, []exchange.SubjectID{s})
		return errors.Join(err, differ(got, n))
	})
}

// Undone is a transaction that fails after it has changed queues.
func (m *waitingModel) Undone(t *rapid.T) {
	ids := m.some(t)
	err := m.s.Ledger(context.Background(), func(tx store.LedgerTx) error {
		return errors.Join(tx.DeleteWaiting(ids), tx.PutWaiting([]store.WaitingRow{waitingRow(1<<40, 1, 1)}), errTest)
	})
	if !errors.Is(err, errTest) {
		t.Fatal(err)
	}
}

// pick is the rows that keep holds for, in the order of less.
func (m *waitingModel) pick(keep func(w store.WaitingRow) bool, key func(w store.WaitingRow) int64) []store.WaitingRow {
	out := []store.WaitingRow{}
	for _, id := range slices.Sorted(maps.Keys(m.rows)) {
		if w := m.rows[id]; keep(w) {
			out = append(out, w)
		}
	}
	slices.SortStableFunc(out, func(a, b store.WaitingRow) int { return int(key(a) - key(b)) })
	return out
}

func (m *waitingModel) head(w store.WaitingRow) bool {
	for _, o := range m.rows {
		if o.Flow == w.Flow && o.Principal == w.Principal && o.ID < w.ID && o.Event != store.EventFetch {
			return false
		}
	}
	return true
}

// queues counts by looking at all rows.
func (m *waitingModel) queues() map[store.QueueKey]store.Queue {
	out := map[store.QueueKey]store.Queue{}
	for _, w := range m.rows {
		k := store.QueueKey{Flow: w.Flow, Principal: w.Principal}
		q := out[k]
		q.Rows++
		if w.Event == store.EventFetch {
			q.Fetches++
		}
		out[k] = q
	}
	return out
}

func (m *waitingModel) Check(t *rapid.T) {
	now := int64(rapid.IntRange(0, 9).Draw(t, "now"))
	q := store.WaitingQuery{System: system(1), Limit: 1000, Now: now}
	byFetchable := func(w store.WaitingRow) int64 { return w.Fetchable }
	byID := func(w store.WaitingRow) int64 { return int64(w.ID) }
	mine := func(w store.WaitingRow) bool { return w.System == q.System && m.head(w) }
	wantDue := m.pick(func(w store.WaitingRow) bool {
		return mine(w) && w.State == store.WaitingIdle && (w.Event == store.EventReady || w.Event == store.EventRetry && w.NotBefore <= now)
	}, byID)
	wantFetch := m.pick(func(w store.WaitingRow) bool {
		return mine(w) && w.Event == store.EventFetch && (w.State == store.WaitingIdle || w.Lease <= now)
	}, func(w store.WaitingRow) int64 { return w.Fetchable })
	wantSince := m.pick(func(w store.WaitingRow) bool { return mine(w) && w.Event == store.EventFetch && w.Fetchable > now }, byFetchable)
	wantExpired := m.pick(func(w store.WaitingRow) bool {
		return (w.State == store.WaitingIdle || w.Event == store.EventFetch && w.Lease <= now) && w.Deadline > 0 && w.Deadline <= now
	}, func(w store.WaitingRow) int64 { return w.Deadline })
	counts := map[exchange.SystemID]int{}
	for _, w := range m.rows {
		counts[w.System]++
	}
	m.ledger(t, func(tx store.LedgerTx) error {
		want := m.queues()
		got, err := tx.Queues(slices.Collect(maps.Keys(want)))
		return errors.Join(err, differ(got, want))
	})
	noErr(t, m.s.View(context.Background(), func(tx store.ReadTx) error {
		due, err := tx.Due(q)
		fetch, err2 := tx.Fetchable(q)
		since, err3 := tx.FetchableSince(q, now)
		expired, err4 := tx.Expired(now, 1000)
		n, err5 := tx.WaitingCount()
		return errors.Join(err, err2, err3, err4, err5, sameRows("due", due, wantDue), sameRows("fetchable", fetch, wantFetch),
			sameRows("since", since, wantSince), sameRows("expired", expired, wantExpired), differ(n, counts))
	}))
}

func sameRows(what string, got, want []store.WaitingRow) error {
	if err := differ(waitingIDs(got), waitingIDs(want)); err != nil {
		return errors.Join(errors.New(what), err)
	}
	return differ(append([]store.WaitingRow{}, got...), want)
}

func testWaitingModel(t *testing.T, e Engine) {
	rapid.Check(t, func(rt *rapid.T) {
		open := e.New(t)
		s, err := open()
		noErr(rt, err)
		defer s.Close()
		m := &waitingModel{s: s, rows: map[uint64]store.WaitingRow{}}
		rt.Repeat(map[string]func(*rapid.T){"put": m.Put, "early": m.PutEarly, "update": m.Update, "delete": m.Delete, "wake": m.Wake, "undone": m.Undone, "": m.Check})
	})
}
