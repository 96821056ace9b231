package verify_test

import (
	"testing"
	"time"

	"raccordo/consent"
	"raccordo/hub/exchange"
	"raccordo/hub/ledger"
)

// honest writes every kind of entry the hub writes, as it writes them.
func honest(t testing.TB) *book {
	b := began(t)
	anna, bruno := person(1), person(2)

	// sent: claimed, tried again, one of two withdrawn meanwhile
	given, c := b.give(anna)
	one, two := b.row(health, anna, basis(given)), b.row(health, anna, basis(given))
	first := b.claim(clinic, lanes(-1, 3), one, two, b.row(health, bruno, held))
	again := with(one, basis(given), state(exchange.StateClaimed, exchange.ReasonPermitted, exchange.MarkPossibly))
	b.renew(clinic, first, lanes(-1, 3), again, with(two, basis(given), state(exchange.StateClaimed, exchange.ReasonPermitted, exchange.MarkPossibly)))
	w := b.withdraw(given, c)
	b.renew(clinic, first, lanes(-1, 3),
		with(one, basis(w), state(exchange.StatePossiblyDelivered, exchange.ReasonConsentWithdrawn, exchange.MarkPossibly)),
		with(two, basis(w), state(exchange.StatePossiblyDelivered, exchange.ReasonConsentWithdrawn, exchange.MarkPossibly)))

	// a new consent over a linked id
	b.join(anna, bruno, true)
	renewed, _ := b.give(bruno, func(r *consent.Record) { r.Categories = exchange.NewCategorySet(1, 2) })
	three := b.row(health, anna, basis(renewed))
	claim := b.claim(clinic, lanes(5, 6), three) // a gap: nothing for the clinic in between
	b.settle(clinic, claim, lanes(5, 6), with(three, delivered))

	// not sent: decided again from where it came
	four, five := b.row(plain, anna), b.row(plain, bruno)
	claim = b.claim(sink, lanes(-1, 1), four, five)
	b.settle(sink, claim, lanes(-1, 1), with(four, unsent), with(five, unsent))
	claim = b.claim(sink, lanes(-1, 2), four, five)
	retry := state(exchange.StateWaiting, exchange.ReasonAwaitingRetry, exchange.MarkPossibly)
	b.settle(sink, claim, lanes(-1, 2), with(four, parked), with(five, retry))
	claim = b.claim(sink, nil, with(five, state(exchange.StateClaimed, exchange.ReasonPermitted, exchange.MarkPossibly)))
	b.settle(sink, claim, nil, with(five, delivered))
	b.operate("replay", with(four, state(exchange.StateWaiting, exchange.ReasonReplayed, exchange.MarkPossibly)))
	b.expire(sink, with(four, state(exchange.StatePossiblyDelivered, exchange.ReasonHoldExpired, exchange.MarkPossibly)))

	// spilled while a claim is open
	six, seven := b.row(plain, anna), b.row(plain, bruno)
	claim = b.claim(sink, lanes(2, 4), six)
	b.draft(ledger.Draft{Kind: exchange.KindSpill, System: sink, Lanes: lanes(2, 9),
		Rows: []exchange.Row{with(seven, state(exchange.StateWaiting, exchange.ReasonSpilled, exchange.MarkNo))}})
	b.settle(sink, claim, nil, with(six, delivered))
	claim = b.claim(sink, nil, seven)
	b.settle(sink, claim, nil, with(seven, state(exchange.StateParked, exchange.ReasonRefused, exchange.MarkPossibly)))
	b.operate("discard", with(seven, state(exchange.StateDiscarded, exchange.ReasonDiscarded, exchange.MarkPossibly)))

	// fetched, twice, with a household of which one is pruned
	on, off := b.open(anna), b.open(bruno)
	fetched := state(exchange.StateClaimed, exchange.ReasonPermitted, exchange.MarkPossibly)
	eight, nine := b.row(cases, anna, onCase(on)), b.row(cases, bruno, onCase(off))
	child := with(eight, part(exchange.PartAffected), func(r *exchange.Row) { r.Subject = person(9) }, state(exchange.StateWithheld, exchange.ReasonPruned, exchange.MarkNo))
	b.claim(box, lanes(-1, 1), with(eight, fetchable), with(nine, fetchable))
	b.claim(box, nil, with(eight, onCase(on), fetched), child)
	b.claim(box, nil, with(eight, onCase(on), fetched), with(child, state(exchange.StateWithheld, exchange.ReasonPruned, exchange.MarkPossibly)))
	b.settle(box, 0, nil, with(eight, delivered))
	b.claim(box, nil, with(nine, onCase(off), fetched))
	b.settle(box, 0, nil, with(nine, state(exchange.StateWaiting, exchange.ReasonAwaitingRetry, exchange.MarkPossibly)))
	b.claim(box, nil, with(nine, onCase(off), fetched))
	b.expire(box, with(nine, state(exchange.StatePossiblyDelivered, exchange.ReasonLeaseExpired, exchange.MarkPossibly)))

	// a thing, the brake, another network, a key, a confirmed clock
	thing := b.row(plain, exchange.SubjectID{0xee}, part(exchange.PartThing))
	claim = b.claim(sink, lanes(9, 12), thing)
	b.fact(exchange.KindStop, exchange.StopFact{Stopped: true, Reason: "drill"})
	b.settle(sink, claim, lanes(9, 12), with(thing, delivered))
	b.fact(exchange.KindStop, exchange.StopFact{Reason: "drill"})
	b.rotate()
	next := network()
	next.Network = exchange.Digest{8}
	b.adopt(next)
	b.fact(exchange.KindClock, exchange.OperatorFact{Act: "confirm_clock", Reason: "summer_time"})
	b.claim(sink, lanes(12, 13), b.row(plain, anna))
	return b
}

func (b *book) operate(act string, rows ...exchange.Row) uint64 {
	b.t.Helper()
	enc, err := exchange.EncodeFact(exchange.OperatorFact{Act: act, Reason: "test"})
	if err != nil {
		b.t.Fatal(err)
	}
	return b.draft(ledger.Draft{Kind: exchange.KindOperator, Fact: enc, Rows: rows})
}

func (b *book) expire(s exchange.SystemID, rows ...exchange.Row) uint64 {
	b.t.Helper()
	return b.draft(ledger.Draft{Kind: exchange.KindExpiry, System: s, Rows: rows})
}

func TestHonestLedger(t *testing.T) {
	b := honest(t)
	early := b.sign()
	b.claim(sink, nil)
	b.t = t
	r := b.verify()
	// the empty claim is the only thing wrong; it proves that the rest was looked at
	if len(r.Findings) != 1 || r.Findings[0].Rule != "shape" {
		t.Fatalf("findings: %v", r.Findings)
	}
	if r.Open != 1 || r.Consents != 3 || r.Claims != 18 || r.Entries != r.Size || r.Rows < 40 {
		t.Errorf("report: %+v", r)
	}
	if r.SignedBy != b.keys[1].public || len(r.NotProved) == 0 {
		t.Errorf("signed by %q", r.SignedBy)
	}
	if r := check(t, b.files(), b.keys[0].public, early); len(r.Findings) != 1 {
		t.Errorf("with an outside checkpoint: %v", r.Findings)
	}
	if r := check(t, b.files(), b.keys[1].public, early); len(r.Findings) != 1 {
		t.Errorf("with the second key: %v", r.Findings)
	}
}

func TestHonestLedgerHasNoFindings(t *testing.T) {
	b := honest(t)
	if r := b.verify(); !r.OK() {
		for _, f := range r.Findings {
			t.Error(f)
		}
	}
}

// The days of an agreement are days in Europe/Rome, both included.
func TestDaysAreItalian(t *testing.T) {
	for _, c := range []struct {
		at time.Time
		ok bool
	}{
		{time.Date(2025, 12, 31, 22, 59, 0, 0, time.UTC), false},
		{time.Date(2026, 1, 1, 23, 1, 0, 0, time.UTC), true}, // the last party signed on the 2nd
		{time.Date(2026, 1, 1, 22, 50, 0, 0, time.UTC), false},
		{time.Date(2026, 6, 30, 21, 50, 0, 0, time.UTC), true},
		{time.Date(2026, 6, 30, 22, 1, 0, 0, time.UTC), false},
	} {
		b := newBook(t)
		b.clock.now = c.at
		b.fact(exchange.KindOrigin, exchange.OriginFact{Hub: b.store.Hub(), Origin: origin, Key: b.keys[0].public})
		b.adopt(network())
		b.claim(sink, lanes(-1, 1), b.row(plain, person(1)))
		if r := b.verify(); r.OK() != c.ok {
			t.Errorf("%s: %v", c.at, r.Findings)
		}
	}
}

// What a recipient fetches is settled record by record, also late, and also by
// a system that is sent to from then on.
func TestFetches(t *testing.T) {
	b := began(t)
	anna := person(1)
	on := b.open(anna)
	row := func() exchange.Row { return b.row(cases, anna, onCase(on)) }
	possibly := func(s exchange.State, why exchange.Reason) func(*exchange.Row) {
		return state(s, why, exchange.MarkPossibly)
	}
	one, two, three, four := row(), row(), row(), row()
	b.claim(box, lanes(-1, 1), with(one, fetchable), with(two, fetchable), with(three, fetchable), with(four, fetchable))
	lent := func(r exchange.Row) exchange.Row {
		return with(r, onCase(on), possibly(exchange.StateClaimed, exchange.ReasonPermitted))
	}
	b.claim(box, nil, lent(one), lent(two), lent(three))
	b.settle(box, 0, nil, with(two, delivered))
	b.settle(box, 0, nil, with(one, possibly(exchange.StateWaiting, exchange.ReasonAwaitingRetry)))
	if r := b.verify(); !r.OK() || r.Open != 1 {
		t.Fatalf("half acknowledged: %d open, %v", r.Open, r.Findings)
	}
	b.settle(box, 0, nil, with(one, delivered)) // an acceptance stands
	b.claim(box, nil, with(three, possibly(exchange.StateWaiting, exchange.ReasonConsentMissing)))
	b.settle(box, 0, nil, with(three, delivered))
	claim := b.claim(box, nil, with(four, onCase(on), state(exchange.StateClaimed, exchange.ReasonPermitted, exchange.MarkNo)))
	b.settle(box, claim, nil, with(four, delivered)) // its connector is another now
	if r := b.verify(); !r.OK() || r.Open != 0 {
		t.Errorf("%d open, %v", r.Open, r.Findings)
	}
}
