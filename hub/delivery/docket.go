package delivery

import (
	"math"

	"raccordo/hub/exchange"
	"raccordo/hub/gate"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
)

// docket is what one entry decides about records, under the lock of the head.
// It is pure but for sealing what is set aside; nothing of a record changes
// before [docket.apply], because the decision may be made again.
type docket struct {
	r       *recipient
	p       *parcel
	s       *ledger.State
	env     *setAside
	records []*record
	change  *ledger.Change
	rows    []*store.WaitingRow // per record: as it stands now, nil if it has none or somebody else took it
	granted []*gate.Decision    // per record: what it is claimed under, nil if it is not
	gone    []bool              // per record: somebody else's by now
	open    []store.ClaimRow
	offers  []*offered
	outlet  bool // what is permitted is offered, not taken
	waits   int  // rows that began to wait
}

// docket of records under an entry of a kind.
func (r *recipient) docket(p *parcel, s *ledger.State, kind exchange.EntryKind, records []*record) *docket {
	k := &docket{r: r, p: p, s: s, records: records, change: &ledger.Change{Draft: &ledger.Draft{Kind: kind, System: r.system, Lanes: p.ranges}},
		env:  &setAside{system: r.system, plan: p.plan, sealer: r.d.opt.Sealer, at: s.Facts.Now()},
		rows: make([]*store.WaitingRow, len(records)), granted: make([]*gate.Decision, len(records)), gone: make([]bool, len(records))}
	k.change.Draft.Rows = make([]exchange.Row, 0, len(records))
	for i, rec := range records {
		if rec.row == nil {
			continue
		}
		k.rows[i] = s.Waiting[rec.row.ID]
	}
	return k
}

// claims decides a claim: of ranges of lanes, or of rows out of waiting.
func (k *docket) claims() (*ledger.Change, error) {
	queued := map[store.QueueKey]bool{}
	k.outlet = k.r.sink == nil
	for i, rec := range k.records {
		if rec.row != nil {
			if k.gone[i] = !k.dueStill(i); k.gone[i] {
				continue
			}
		} else if broken := rec.broken != "" || rec.puzzled != ""; !broken && (queued[rec.queue()] || k.behind(rec.queue())) {
			queued[rec.queue()] = true
			if err := k.wait(i, store.EventReady, exchange.ReasonQueued, nil); err != nil {
				return nil, err
			}
			continue
		}
		waits, err := k.judge(i, k.s.Seq)
		if err != nil {
			return nil, err
		}
		if waits {
			queued[rec.queue()] = true
		}
	}
	if err := k.offer(); err != nil {
		return nil, err
	}
	if len(k.open) > 0 {
		k.change.OpenClaims = []store.Claim{{Seq: k.s.Seq, System: k.r.system, Lanes: k.p.ranges, At: k.at(), Rows: k.open}}
	} else {
		k.change.Cursors = k.p.moves(k.r.system)
	}
	return k.done(), nil
}

// dueStill reports whether the row of record i may still be drained.
func (k *docket) dueStill(i int) bool {
	at := k.rows[i]
	if at == nil || at.State != store.WaitingIdle && at.Lease > k.at() || at.Attempt != k.records[i].row.Attempt {
		return false
	}
	switch at.Event {
	case store.EventReady, store.EventRetry:
		return at.State == store.WaitingIdle
	case store.EventFetch:
		return k.r.unfetched()
	}
	return false
}

// behind reports whether a record must queue: for an outlet, records that wait
// to be fetched hold up none, because they are fetched in order.
func (k *docket) behind(key store.QueueKey) bool {
	q := k.s.Queues[key]
	if k.r.unfetched() {
		return q.Rows > 0
	}
	return q.Blocks()
}

// unfetched reports that nobody fetches: what waits for that is drained.
func (r *recipient) unfetched() bool { return r.sink != nil || r.gone }

func (k *docket) at() int64 { return k.s.Facts.Now().UnixMilli() }

// done is the change; without rows there is no entry, because passing over
// what is somebody else's is no fact.
func (k *docket) done() *ledger.Change {
	if len(k.change.Draft.Rows) == 0 {
		k.change.Draft = nil
	}
	return k.change
}

// judge decides record i by the gate, with the facts read under the lock. It
// reports whether the record waits from here on, for something else than to be
// fetched.
func (k *docket) judge(i int, claim uint64) (waits bool, err error) {
	rec := k.records[i]
	for _, why := range [2]exchange.Reason{rec.broken, rec.puzzled} {
		if why != "" {
			return false, k.park(i, why)
		}
	}
	d := gate.Decide(&rec.question, k.s.Facts)
	switch d.Outcome {
	case exchange.OutcomePermit:
		if !rec.ahead.Same(&d) {
			return false, errRedecide
		}
		switch {
		case rec.misfit != "":
			return false, k.park(i, rec.misfit)
		case k.outlet:
			k.offers = append(k.offers, &offered{i: i, d: &d})
			return false, nil
		}
		k.take(i, claim, &d)
		return false, nil
	case exchange.OutcomeHold:
		return true, k.wait(i, eventOf(d.Event), d.Reason, &d)
	default:
		k.end(i, exchange.StateWithheld, d.Reason, &d)
		return false, nil
	}
}

// account adds the rows of record i to the entry.
func (k *docket) account(rec *record, state exchange.State, why exchange.Reason, d *gate.Decision) {
	k.change.Draft.Rows = rec.rows(k.change.Draft.Rows, state, why, d)
}

// take claims record i, which is about to be sent, under a claim.
func (k *docket) take(i int, claim uint64, d *gate.Decision) {
	rec := *k.records[i]
	rec.attempt = counted(rec.attempt)
	k.granted[i] = d
	k.account(&rec, exchange.StateClaimed, exchange.ReasonPermitted, d)
	c := store.ClaimRow{Record: rec.head.Record, Flow: rec.flowID, Attempt: rec.attempt, Sequence: rec.sequence, Mark: rec.mark}
	for j := range d.Subjects { // who is left out is not disclosed
		if !d.Subjects[j].Pruned {
			c.Subjects = append(c.Subjects, rec.question.Subjects[j].ID)
			c.Basis = append(c.Basis, d.Subjects[j].Basis)
		}
	}
	if at := k.rows[i]; at != nil {
		row := *at
		row.State, row.Claim, row.Attempt, row.Mark, row.Tries = store.WaitingClaimed, claim, rec.attempt, rec.mark, rec.tries
		c.Waiting = row.ID
		k.change.UpdateWaiting = append(k.change.UpdateWaiting, row)
	}
	k.open = append(k.open, c)
}

// wait sets record i aside for an event; d is the decision that holds it.
func (k *docket) wait(i int, ev store.Event, why exchange.Reason, d *gate.Decision) error {
	rec := k.current(i)
	row, err := rec.waiting(store.RowID(k.s.Seq, i), ev, why, k.env)
	if err != nil {
		return err
	}
	if d != nil {
		row.Subject, row.Deadline = d.Await, d.Until.UnixMilli()
	}
	k.put(rec, row)
	k.account(rec, exchange.StateWaiting, why, d)
	return nil
}

// current is record i with its row as it stands under the lock.
func (k *docket) current(i int) *record {
	rec := *k.records[i]
	if k.rows[i] != nil {
		row := *k.rows[i]
		row.Header, row.Sealed = k.records[i].row.Header, k.records[i].row.Sealed
		rec.row = &row
	}
	return &rec
}

// put writes a row: a new one, or what became of the one the record had.
func (k *docket) put(rec *record, row store.WaitingRow) {
	if rec.row != nil {
		k.change.UpdateWaiting = append(k.change.UpdateWaiting, row)
		return
	}
	k.waits++
	k.change.PutWaiting = append(k.change.PutWaiting, row)
}

// park sets record i aside for a human.
func (k *docket) park(i int, why exchange.Reason) error {
	row, err := k.records[i].parked(store.RowID(k.s.Seq, i), why, k.env)
	if err != nil {
		return err
	}
	k.change.PutParked = append(k.change.PutParked, row)
	k.end(i, exchange.StateParked, why, nil)
	return nil
}

// end accounts the end of record i, by its mark.
func (k *docket) end(i int, state exchange.State, why exchange.Reason, d *gate.Decision) {
	rec := k.records[i]
	k.account(rec, rec.mark.End(state), why, d)
	if k.rows[i] != nil {
		k.change.DeleteWaiting = append(k.change.DeleteWaiting, k.rows[i].ID)
	}
}

// apply lets the records know what was decided; the entry is durable.
func (k *docket) apply() {
	for i, rec := range k.records {
		if rec.claimed = k.granted[i] != nil; rec.claimed {
			rec.attempt = counted(rec.attempt)
			rec.granted = *k.granted[i]
		}
	}
}

// counted is one attempt more; a recipient that refuses the hub for months is
// asked more often than the count holds.
func counted(n uint16) uint16 { return min(n, math.MaxUint16-1) + 1 }

func eventOf(e gate.Event) store.Event {
	switch e {
	case gate.EventConsent:
		return store.EventConsent
	case gate.EventDossier:
		return store.EventDossier
	}
	return store.EventReady
}
