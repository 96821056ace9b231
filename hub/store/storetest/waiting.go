package storetest

import (
	"context"
	"errors"
	"testing"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

func (b *bench) put(rows ...store.WaitingRow) {
	b.t.Helper()
	b.ledger(func(tx store.LedgerTx) error { return tx.PutWaiting(rows) })
}

func (b *bench) update(rows ...store.WaitingRow) {
	b.t.Helper()
	b.ledger(func(tx store.LedgerTx) error { return tx.UpdateWaiting(rows) })
}

func (b *bench) drop(ids ...uint64) {
	b.t.Helper()
	b.ledger(func(tx store.LedgerTx) error { return tx.DeleteWaiting(ids) })
}

// ids reads a list and compares the ids with want, in order.
func (b *bench) ids(read func(store.ReadTx) ([]store.WaitingRow, error), want ...uint64) {
	b.t.Helper()
	b.view(func(tx store.ReadTx) error {
		rows, err := read(tx)
		return errors.Join(err, differ(waitingIDs(rows), append([]uint64{}, want...)))
	})
}

func due(now int64) func(store.ReadTx) ([]store.WaitingRow, error) {
	return func(tx store.ReadTx) ([]store.WaitingRow, error) {
		return tx.Due(store.WaitingQuery{System: system(1), Limit: 100, Now: now})
	}
}

func fetchable(now int64) func(store.ReadTx) ([]store.WaitingRow, error) {
	return func(tx store.ReadTx) ([]store.WaitingRow, error) {
		return tx.Fetchable(store.WaitingQuery{System: system(1), Limit: 100, Now: now})
	}
}

func since(ts int64, body exchange.BodyID) func(store.ReadTx) ([]store.WaitingRow, error) {
	return func(tx store.ReadTx) ([]store.WaitingRow, error) {
		return tx.FetchableSince(store.WaitingQuery{System: system(1), Body: body, Limit: 100}, ts)
	}
}

func testWaitingRoundTrip(t *testing.T, e Engine) {
	b := start(t, e)
	row := waitingRow(store.RowID(7, 2), 1, 1)
	row.Name, row.State, row.Event = "2026-000123", store.WaitingClaimed, store.EventFetch
	other := waitingRow(store.RowID(8, 0), 2, 1)
	other.System = system(5)
	b.put(row, other)
	err := b.s.Ledger(context.Background(), func(tx store.LedgerTx) error { return tx.PutWaiting([]store.WaitingRow{row}) })
	isErr(t, err, store.ErrConflict)
	err = b.s.Ledger(context.Background(), func(tx store.LedgerTx) error { return tx.UpdateWaiting([]store.WaitingRow{waitingRow(99, 1, 1)}) })
	isErr(t, err, store.ErrNotFound)
	b.reopen()
	read := func(want ...store.WaitingRow) {
		t.Helper()
		b.view(func(tx store.ReadTx) error {
			got, err := tx.Waiting([]uint64{other.ID, row.ID, 12, row.ID})
			return errors.Join(err, differ(got, want))
		})
	}
	read(row, other)
	changed := row
	changed.Event, changed.Subject, changed.Reason, changed.State, changed.Claim = store.EventConsent, subject(4), exchange.ReasonQueued, store.WaitingIdle, 0
	changed.Tries = 8
	changed.Mark, changed.Attempt, changed.NotBefore, changed.Lease, changed.Fetchable, changed.Deadline = exchange.MarkYes, 9, 1, 2, 3, 4
	changed.Name, changed.Sequence = "another name", 77
	ignored := changed
	ignored.Header, ignored.Sealed = []byte{66}, nil
	b.update(ignored)
	read(changed, other)
	named := func(sys int, d []exchange.DisclosureID, names []string, want ...uint64) {
		t.Helper()
		b.ids(func(tx store.ReadTx) ([]store.WaitingRow, error) { return tx.WaitingNamed(system(sys), d, names) }, want...)
	}
	named(1, []exchange.DisclosureID{row.Disclosure, other.Disclosure}, []string{"another name", "unknown", ""}, row.ID)
	named(1, nil, []string{"another name"}, row.ID)
	named(1, nil, []string{row.Name})
	named(5, []exchange.DisclosureID{other.Disclosure, row.Disclosure}, nil, other.ID)
	named(5, nil, nil)
	b.view(func(tx store.ReadTx) error {
		n, err := tx.WaitingCount()
		return errors.Join(err, differ(n, map[exchange.SystemID]int{system(1): 1, system(5): 1}))
	})
	b.ledger(func(tx store.LedgerTx) error {
		k := store.QueueKey{Flow: row.Flow, Principal: row.Principal}
		n, err := tx.Queues([]store.QueueKey{k, {Flow: flow(9), Principal: row.Principal}, {Flow: flow(1), Principal: subject(9)}})
		inside, err2 := tx.Waiting([]uint64{other.ID})
		return errors.Join(err, err2, differ(n, map[store.QueueKey]store.Queue{k: {Rows: 1}}), differ(inside, []store.WaitingRow{other}), tx.DeleteWaiting([]uint64{row.ID, 4711}))
	})
	read(other)
}

// testOldest: the earliest reception of what is set aside.
func testOldest(t *testing.T, e Engine) {
	b := start(t, e)
	read := func(waiting, parked int64) {
		t.Helper()
		b.view(func(tx store.ReadTx) error {
			w, haveW, err := tx.OldestWaiting()
			p, haveP, err2 := tx.OldestParked()
			return errors.Join(err, err2, differ([]int64{w, p}, []int64{waiting, parked}), differ([]bool{haveW, haveP}, []bool{waiting > 0, parked > 0}))
		})
	}
	read(0, 0)
	w1, w2, p1, p2 := waitingRow(1, 1, 1), waitingRow(2, 1, 1), parkedRow(1), parkedRow(2)
	w1.ReceivedAt, w2.ReceivedAt, p1.ReceivedAt, p2.ReceivedAt = 30, 20, 12, 11
	b.put(w1, w2)
	b.ledger(func(tx store.LedgerTx) error { return tx.PutParked([]store.ParkedRow{p1, p2}) })
	read(20, 11)
	b.drop(2)
	b.ledger(func(tx store.LedgerTx) error { return tx.DeleteParked([]uint64{2}) })
	read(30, 12)
}

// testAdoptions: entries of kind adoption, found among others.
func testAdoptions(t *testing.T, e Engine) {
	b := start(t, e)
	b.ledger(func(tx store.LedgerTx) error {
		for n := range 9 {
			entry := ClaimEntry(n, 1)
			if n%3 == 1 {
				entry = exchange.Entry{ID: entryID(n), Kind: exchange.KindAdoption, Fact: []byte(`{}`)}
			}
			if _, err := Append(tx, entry); err != nil {
				return err
			}
		}
		return nil
	})
	b.view(func(tx store.ReadTx) error {
		all, err := tx.Adoptions(0, 10)
		some, err2 := tx.Adoptions(2, 1)
		if len(all) != 3 || len(some) != 1 {
			return errors.Join(err, err2, differ([]int{len(all), len(some)}, []int{3, 1}))
		}
		return errors.Join(err, err2, differ([]uint64{all[0].Seq, all[1].Seq, all[2].Seq, some[0].Seq}, []uint64{1, 4, 7, 4}))
	})
}

func testWaitingHeads(t *testing.T, e Engine) {
	b := start(t, e)
	held, behind, retry, free := waitingRow(10, 1, 1), waitingRow(11, 1, 1), waitingRow(12, 1, 2), waitingRow(13, 1, 3)
	held.Event, retry.Event, retry.NotBefore = store.EventConsent, store.EventRetry, 100
	b.put(behind, free, held, retry) // in any order
	b.ids(due(99), 13)
	b.ids(due(100), 12, 13)
	b.drop(10)
	b.ids(due(100), 11, 12, 13)
	// a claimed head blocks its queue
	next := waitingRow(20, 1, 1)
	b.put(next)
	behind.State, behind.Claim = store.WaitingClaimed, 4
	b.update(behind)
	b.ids(due(100), 12, 13)
	b.drop(11)
	b.ids(due(100), 12, 13, 20)
	// the same person's queue for another flow is another queue
	b.put(waitingRow(21, 2, 1))
	b.ids(due(0), 13, 20, 21)
	b.ids(func(tx store.ReadTx) ([]store.WaitingRow, error) {
		return tx.Due(store.WaitingQuery{System: system(1), Limit: 2, Now: 100})
	}, 12, 13)
	b.ids(func(tx store.ReadTx) ([]store.WaitingRow, error) {
		return tx.Due(store.WaitingQuery{System: system(2), Limit: 2, Now: 100})
	})
	// a row that comes before the head takes its place
	early := waitingRow(5, 2, 1)
	early.Event = store.EventDossier
	b.put(early)
	b.ids(due(0), 13, 20)
	// a row that changes its queue leaves the old one to the next
	moved := early
	moved.Principal = subject(50)
	moved.Event = store.EventReady
	b.update(moved)
	b.ids(due(0), 5, 13, 20, 21)
	// expiry: idle rows, whatever they wait for, in order of the deadline
	for i, r := range []store.WaitingRow{waitingRow(30, 3, 1), waitingRow(31, 3, 2), waitingRow(32, 3, 3), waitingRow(33, 3, 4)} {
		r.Deadline = int64(100 - i)
		r.Event = []store.Event{store.EventConsent, store.EventFetch, store.EventRetry, store.EventReady}[i]
		if i == 2 {
			r.State = store.WaitingClaimed
		}
		b.put(r)
	}
	expired := func(now int64, limit int) func(store.ReadTx) ([]store.WaitingRow, error) {
		return func(tx store.ReadTx) ([]store.WaitingRow, error) { return tx.Expired(now, limit) }
	}
	r := waitingRow(34, 3, 5) // fetched: while its lease runs it does not expire
	r.Deadline, r.Event, r.State, r.Lease = 90, store.EventFetch, store.WaitingClaimed, 98
	b.put(r)
	b.ids(expired(96, 9))
	b.ids(expired(97, 9), 33)
	b.ids(expired(98, 9), 34, 33)
	b.ids(expired(100, 9), 34, 33, 31, 30)
	b.ids(expired(100, 2), 34, 33)
}

func testWaitingFetch(t *testing.T, e Engine) {
	b := start(t, e)
	rows := make([]store.WaitingRow, 5)
	for i := range rows {
		rows[i] = waitingRow(uint64(10+i), 1, 1+i/2) // queues 10 11, 12 13, 14
		rows[i].Event, rows[i].Fetchable, rows[i].Lease = store.EventFetch, int64(100-i), 0
	}
	rows[2].Body = "test_other"
	rows[3].Event, rows[3].Fetchable = store.EventConsent, 0
	b.put(rows...)
	b.ids(due(1 << 40))
	// rows that wait for a fetch hold up nothing that does too
	b.ids(fetchable(0), 14, 12, 11, 10)
	b.ids(since(0, ""), 14, 12, 11, 10)
	b.ids(since(98, ""), 11, 10)
	b.ids(since(100, ""))
	b.ids(since(0, "test_body"), 14, 11, 10)
	query := func(q store.WaitingQuery, want ...uint64) {
		t.Helper()
		q.System = system(1)
		b.ids(func(tx store.ReadTx) ([]store.WaitingRow, error) { return tx.Fetchable(q) }, want...)
		b.ids(func(tx store.ReadTx) ([]store.WaitingRow, error) { return tx.FetchableSince(q, 0) }, want...)
	}
	query(store.WaitingQuery{Body: "test_other", Limit: 9}, 12)
	query(store.WaitingQuery{Limit: 2}, 14, 12)
	// a row is two bytes of header and two of payload; the list ends behind the
	// row that takes the sum to the bound
	query(store.WaitingQuery{Limit: 9, MaxBytes: 1}, 14)
	query(store.WaitingQuery{Limit: 9, MaxBytes: 4}, 14)
	query(store.WaitingQuery{Limit: 9, MaxBytes: 5}, 14, 12)
	query(store.WaitingQuery{Limit: 9, MaxBytes: 100}, 14, 12, 11, 10)
	b.ledger(func(tx store.LedgerTx) error {
		one, two := store.QueueKey{Flow: flow(1), Principal: subject(1)}, store.QueueKey{Flow: flow(1), Principal: subject(2)}
		n, err := tx.Queues([]store.QueueKey{one, two})
		return errors.Join(err, differ(n, map[store.QueueKey]store.Queue{one: {Rows: 2, Fetches: 2}, two: {Rows: 2, Fetches: 1}}),
			differ([]bool{n[one].Blocks(), n[two].Blocks()}, []bool{false, true}))
	})
	// claimed: not given out before its lease is over, but a pager still sees it
	rows[0].State, rows[0].Claim, rows[0].Lease = store.WaitingClaimed, 7, 500
	b.update(rows[0])
	b.ids(fetchable(499), 14, 12, 11)
	b.ids(fetchable(500), 14, 12, 11, 10)
	b.ids(since(0, ""), 14, 12, 11, 10)
	// what is held blocks what comes behind it, until it can be fetched itself
	behind := waitingRow(20, 1, 2)
	behind.Event, behind.Fetchable = store.EventFetch, 200
	b.put(behind)
	b.ids(since(99, ""), 10)
	rows[3].Event, rows[3].Fetchable = store.EventFetch, 150
	b.update(rows[3])
	b.ids(since(99, ""), 10, 13, 20)
	rows[3].Event = store.EventRetry
	b.update(rows[3])
	b.ids(since(99, ""), 10)
	b.ids(due(1<<40), 13)
	b.drop(13)
	b.ids(since(99, ""), 10, 20)
}

// testWaitingBytes: a list ends behind the row that takes headers and payloads
// to the bound, however many rows the list is read in.
func testWaitingBytes(t *testing.T, e Engine) {
	b := start(t, e)
	rows := make([]store.WaitingRow, 80)
	var all []uint64
	for i := range rows {
		rows[i] = waitingRow(uint64(100+i), 1, i)
		rows[i].Header, rows[i].Sealed = make([]byte, 10), make([]byte, 90)
		all = append(all, rows[i].ID)
	}
	b.put(rows...)
	for _, c := range []struct{ most, want int }{{0, 80}, {1, 1}, {100, 1}, {101, 2}, {3200, 32}, {3201, 33}, {7999, 80}, {1 << 30, 80}} {
		b.ids(func(tx store.ReadTx) ([]store.WaitingRow, error) {
			return tx.Due(store.WaitingQuery{System: system(1), Limit: 1000, MaxBytes: c.most})
		}, all[:c.want]...)
	}
}

func testWaitingWake(t *testing.T, e Engine) {
	b := start(t, e)
	rows := make([]store.WaitingRow, 5)
	for i := range rows {
		rows[i] = waitingRow(uint64(10+i), 1, i)
		rows[i].Event = store.EventConsent
		rows[i].Subject = subject(100 + i)
	}
	rows[1].Event = store.EventDossier
	rows[2].Subject = subject(100) // another person's consent lets this go
	b.put(rows...)
	wake := func(event store.Event, want int, of ...int) {
		t.Helper()
		b.ledger(func(tx store.LedgerTx) error {
			n, err := tx.WakeWaiting(event, subjects(of...))
			return errors.Join(err, differ(n, want))
		})
	}
	wake(store.EventDossier, 0, 100)
	wake(store.EventConsent, 2, 100, 101, 100)
	b.ids(due(0), 10, 12)
	wake(store.EventConsent, 0, 100)
	wake(store.EventDossier, 1, 101)
	b.ids(due(0), 10, 11, 12)
	b.view(func(tx store.ReadTx) error {
		got, err := tx.Waiting([]uint64{12})
		want := rows[2]
		want.Event = store.EventReady
		return errors.Join(err, differ(got, []store.WaitingRow{want}))
	})
	// a wake-up that was lost: the consent came, the row still waits
	stale := func(now int64, want ...uint64) {
		t.Helper()
		b.ids(func(tx store.ReadTx) ([]store.WaitingRow, error) { return tx.StaleConsentWaits(now, 0, 10) }, want...)
	}
	stale(0)
	given, refused := consentRow(1, 103, 50), consentRow(2, 104, 51)
	given.ExpiresAt, refused.Permits = 200, false
	b.ledger(func(tx store.LedgerTx) error { return tx.PutConsents([]store.ConsentRow{given, refused}) })
	stale(199, 13)
	b.ids(func(tx store.ReadTx) ([]store.WaitingRow, error) { return tx.StaleConsentWaits(199, 13, 10) })
	stale(200)
	given.ExpiresAt = 0
	b.ledger(func(tx store.LedgerTx) error { return tx.PutConsents([]store.ConsentRow{given}) })
	stale(1<<40, 13)
	rows[3].State = store.WaitingClaimed
	b.update(rows[3])
	stale(199)
}

func parkedRow(n int) store.ParkedRow {
	return store.ParkedRow{ID: uint64(n), Flow: flow(1), Principal: subject(n), Record: record(n), System: system(1), Producer: system(2), LaneKey: lane(1),
		Reason: exchange.ReasonFormatMismatch, Faults: []exchange.Fault{{Pointer: "/a", Rule: "pattern", Line: 2}}, Mark: exchange.MarkPossibly,
		Attempt: 3, Sequence: 4, ReceivedAt: 5, ParkedAt: 6, Header: []byte{1}, Sealed: []byte{2}}
}

func testParked(t *testing.T, e Engine) {
	b := start(t, e)
	bare := parkedRow(3)
	bare.Faults, bare.Header, bare.Sealed = nil, nil, nil
	b.ledger(func(tx store.LedgerTx) error {
		return tx.PutParked([]store.ParkedRow{bare, parkedRow(1), parkedRow(2)})
	})
	isErr(t, b.s.Ledger(context.Background(), func(tx store.LedgerTx) error { return tx.PutParked([]store.ParkedRow{bare}) }), store.ErrConflict)
	b.reopen()
	b.view(func(tx store.ReadTx) error {
		all, err := tx.ParkedList(0, 10)
		page, err2 := tx.ParkedList(1, 1)
		some, err3 := tx.Parked([]uint64{3, 9, 1})
		return errors.Join(err, err2, err3, differ(all, []store.ParkedRow{parkedRow(1), parkedRow(2), bare}),
			differ(page, []store.ParkedRow{parkedRow(2)}), differ(some, []store.ParkedRow{parkedRow(1), bare}))
	})
	b.ledger(func(tx store.LedgerTx) error {
		in, err := tx.Parked([]uint64{2})
		return errors.Join(err, differ(len(in), 1), tx.DeleteParked([]uint64{2, 77}))
	})
	b.view(func(tx store.ReadTx) error {
		all, err := tx.ParkedList(0, 10)
		return errors.Join(err, differ(len(all), 2))
	})
}
