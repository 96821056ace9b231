package storetest

import (
	"errors"
	"testing"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

func link(a, b int, seq uint64) store.LinkRow {
	x, y := subject(a), subject(b)
	if string(x[:]) > string(y[:]) {
		x, y = y, x
	}
	return store.LinkRow{A: x, B: y, Seq: seq}
}

func testConsents(t *testing.T, e Engine) {
	b := start(t, e)
	a1, a2, other := consentRow(1, 1, 3), consentRow(2, 1, 5), consentRow(3, 2, 4)
	b.ledger(func(tx store.LedgerTx) error { return tx.PutConsents([]store.ConsentRow{a2, a1, other}) })
	withdrawn := a1
	withdrawn.Permits, withdrawn.Status, withdrawn.Seq, withdrawn.ExpiresAt, withdrawn.Event = false, "withdrawn", 9, 0, []byte{9}
	b.ledger(func(tx store.LedgerTx) error {
		before, err := tx.Consents(subjects(1))
		err = errors.Join(err, differ(before, []store.ConsentRow{a1, a2}), tx.PutConsents([]store.ConsentRow{withdrawn}))
		after, err2 := tx.Consents(subjects(1))
		return errors.Join(err, err2, differ(after, []store.ConsentRow{a2, withdrawn}))
	})
	b.reopen()
	b.view(func(tx store.ReadTx) error {
		both, err := tx.Consents(subjects(2, 1, 2, 77, 1))
		one, err2 := tx.ConsentByID(consentID(1))
		_, missing := tx.ConsentByID(consentID(8))
		none, err3 := tx.Consents(nil)
		if !errors.Is(missing, store.ErrNotFound) {
			return errors.New("an unknown consent is not ErrNotFound")
		}
		return errors.Join(err, err2, err3, differ(len(both), 3), differ(one, withdrawn), differ(len(none), 0))
	})
	// 1,000 subjects are one question.
	many := make([]store.ConsentRow, 1000)
	all := make([]exchange.SubjectID, 1000)
	for i := range many {
		many[i] = consentRow(100+i, 100+i, uint64(i))
		many[i].ExpiresAt = int64(i)
		all[i] = many[i].Subject
	}
	b.ledger(func(tx store.LedgerTx) error { return tx.PutConsents(many) })
	b.view(func(tx store.ReadTx) error {
		rows, err := tx.Consents(all)
		expiring, permitting, err2 := tx.ExpiringConsents(900, 950)
		// 901..999 of the thousand, the one without expiry, and two of 1000
		return errors.Join(err, err2, differ(len(rows), 1000), differ(expiring, 50), differ(permitting, 99+1+2))
	})
}

func testLinks(t *testing.T, e Engine) {
	b := start(t, e)
	// 1-2-3-4 a chain, 5-6 a pair, 7-8-9-7 a ring, 10 alone
	rows := []store.LinkRow{link(1, 2, 1), link(2, 3, 2), link(3, 4, 3), link(5, 6, 4), link(7, 8, 5), link(8, 9, 6), link(9, 7, 7)}
	b.ledger(func(tx store.LedgerTx) error {
		none, err := tx.Links(subjects(1))
		return errors.Join(err, differ(len(none), 0), tx.PutLinks(rows))
	})
	b.reopen()
	count := func(want int, of ...int) {
		t.Helper()
		b.view(func(tx store.ReadTx) error {
			got, err := tx.Links(subjects(of...))
			seen := map[store.LinkRow]bool{}
			for _, l := range got {
				seen[l] = true
			}
			return errors.Join(err, differ(len(got), want), differ(len(seen), want))
		})
	}
	for i := 1; i <= 4; i++ {
		count(3, i)
	}
	count(1, 6)
	count(3, 9)
	count(0, 10)
	count(4, 4, 5, 10, 1)
	count(7, 1, 5, 7)
	b.ledger(func(tx store.LedgerTx) error { return tx.DeleteLinks([]store.LinkRow{link(3, 2, 0)}) })
	count(1, 1)
	count(1, 4)
	b.ledger(func(tx store.LedgerTx) error { return tx.PutLinks([]store.LinkRow{link(3, 4, 9)}) })
	b.view(func(tx store.ReadTx) error {
		got, err := tx.Links(subjects(4))
		return errors.Join(err, differ(got, []store.LinkRow{link(3, 4, 9)}))
	})
}

func testDossiers(t *testing.T, e Engine) {
	b := start(t, e)
	open := store.DossierRow{Dossier: dossierID(1), Subject: subject(1), Body: "test_body", Role: exchange.RoleSocialService, Capacity: "case", Seq: 2, Until: 50}
	second := store.DossierRow{Dossier: dossierID(2), Subject: subject(1), Body: "test_body", Role: exchange.RoleHealthService, Seq: 3}
	b.ledger(func(tx store.LedgerTx) error { return tx.PutDossiers([]store.DossierRow{second, open}) })
	closed := open
	closed.Closed, closed.Seq = true, 7
	b.ledger(func(tx store.LedgerTx) error { return tx.PutDossiers([]store.DossierRow{closed}) })
	b.reopen()
	b.view(func(tx store.ReadTx) error {
		list, err := tx.DossierList(subject(1))
		facts, err2 := tx.Dossiers(subjects(9, 1, 1))
		one, err3 := tx.DossierByID(dossierID(1))
		none, err4 := tx.DossierList(subject(5))
		if _, missing := tx.DossierByID(dossierID(5)); !errors.Is(missing, store.ErrNotFound) {
			return errors.New("an unknown dossier is not ErrNotFound")
		}
		want := []store.DossierRow{second, closed}
		return errors.Join(err, err2, err3, err4, differ(list, want), differ(facts, want), differ(one, closed), differ(len(none), 0))
	})
}
