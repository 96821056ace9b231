package delivery

import (
	"context"
	"os"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"raccordo/hub/exchange"
	"raccordo/hub/ledger"
	"raccordo/hub/ledger/verify"
	"raccordo/hub/store"
)

// place is one (record, flow).
type place struct {
	record exchange.RecordID
	flow   exchange.Number
}

// standing is where a place is, by the ledger.
type standing struct {
	state   exchange.State
	mark    exchange.Mark
	reason  exchange.Reason
	attempt uint16
	seq     uint64
}

// claimOf is one attempt that was claimed, and of whom it may show something.
type claimOf struct {
	place
	attempt uint16
}

// book is what the ledger and the store say.
type book struct {
	now     map[place]standing
	claims  map[claimOf]uint64                      // entry
	shown   map[claimOf]map[exchange.SubjectID]bool // persons, aliases apart
	waiting map[place][]store.WaitingRow
	parked  map[place][]store.ParkedRow
	open    map[place]bool
	cursors map[store.CursorKey]store.Cursor
	kinds   map[exchange.EntryKind]int
}

func (b *bench) book() *book {
	b.t.Helper()
	k := &book{now: map[place]standing{}, claims: map[claimOf]uint64{}, shown: map[claimOf]map[exchange.SubjectID]bool{},
		waiting: map[place][]store.WaitingRow{}, parked: map[place][]store.ParkedRow{}, open: map[place]bool{}, kinds: map[exchange.EntryKind]int{}}
	b.must(b.store.View(context.Background(), func(tx store.ReadTx) error {
		entries, err := tx.Entries(0, 1<<20)
		if err != nil {
			return err
		}
		for i := range entries {
			if err := k.entry(&entries[i]); err != nil {
				return err
			}
		}
		if k.cursors, err = tx.AllCursors(); err != nil {
			return err
		}
		claims, err := tx.OpenClaims()
		if err != nil {
			return err
		}
		for _, c := range claims {
			for _, r := range c.Rows {
				k.open[place{r.Record, exchange.FlowNumber(r.Flow)}] = true
			}
		}
		parked, err := tx.ParkedList(0, 1<<20)
		for _, r := range parked {
			key := place{r.Record, exchange.FlowNumber(r.Flow)}
			k.parked[key] = append(k.parked[key], r)
		}
		return err
	}))
	return k
}

func (k *book) entry(e *store.StoredEntry) error {
	leaf, err := exchange.DecodeLeaf(e.Leaf)
	if err != nil {
		return err
	}
	k.kinds[leaf.Kind]++
	rows, err := exchange.DecodeRows(e.Rows)
	if err != nil {
		return err
	}
	for _, r := range rows {
		key := place{r.Record, r.Flow}
		first := r.Part == exchange.PartPrincipal || r.Part == exchange.PartThing
		if first {
			k.now[key] = standing{r.State, r.Mark, r.Reason, r.Attempt, e.Seq}
		}
		if r.State != exchange.StateClaimed {
			continue
		}
		c := claimOf{key, r.Attempt}
		if first {
			k.claims[c] = e.Seq
			k.shown[c] = map[exchange.SubjectID]bool{}
		}
		if r.Part != exchange.PartAlias {
			k.shown[c][r.Subject] = true
		}
	}
	return nil
}

// state is where an accepted record is for a flow.
func (b *bench) state(ref string, f exchange.FlowID) standing {
	b.t.Helper()
	k := b.book()
	for _, x := range b.accepted {
		if x.ref == ref && x.flow == f {
			if s, ok := k.now[place{x.record, exchange.FlowNumber(f)}]; ok {
				return s
			}
			return standing{state: exchange.StatePending}
		}
	}
	b.t.Fatalf("no record %s was accepted for flow %s", ref, f)
	return standing{}
}

// rowsOf are all rows of the ledger about a record for a flow.
func (b *bench) rowsOf(ref string, f exchange.FlowID) (out []exchange.Row) {
	b.t.Helper()
	b.must(b.store.View(context.Background(), func(tx store.ReadTx) error {
		entries, err := tx.Entries(0, 1<<20)
		for _, e := range entries {
			rows, err := exchange.DecodeRows(e.Rows)
			if err != nil {
				return err
			}
			for _, r := range rows {
				for _, x := range b.accepted {
					if x.ref == ref && x.flow == f && x.record == r.Record && r.Flow == exchange.FlowNumber(f) {
						out = append(out, r)
					}
				}
			}
		}
		return err
	}))
	return out
}

// stands fails the test unless a record is in a state, for a reason.
func (b *bench) stands(ref string, f exchange.FlowID, state exchange.State, reason exchange.Reason) {
	b.t.Helper()
	if s := b.state(ref, f); s.state != state || reason != "" && s.reason != reason {
		b.t.Errorf("%s for %s is %s (%s, mark %s), want %s (%s)", ref, f, s.state, s.reason, s.mark, state, reason)
	}
}

// becomes waits until a record is in a state.
func (b *bench) becomes(ref string, f exchange.FlowID, state exchange.State) {
	b.t.Helper()
	b.until(12*time.Hour, ref+" for "+string(f)+" becomes "+state.String(), func() bool { return b.state(ref, f).state == state })
}

// invariants hold after every test (reliability.md 1): the ledger balances,
// nothing was received that was not claimed before, nothing of anybody who was
// left out, in order, and nothing of a record was logged.
func (b *bench) invariants() {
	b.t.Helper()
	k := b.book()
	if !b.forgotten {
		b.rows(k)
		b.balances(k)
	}
	b.received(k)
	if strings.Contains(b.log.String(), canary) {
		b.t.Error("the content of a record was logged")
	}
	b.must(b.store.Check(context.Background()))
	b.verified()
}

// rows reads every waiting row by the disclosures that can have one.
func (b *bench) rows(k *book) {
	b.t.Helper()
	bySystem := map[exchange.SystemID][]exchange.DisclosureID{}
	for _, x := range b.accepted {
		s := b.former.of(x.flow)
		bySystem[s] = append(bySystem[s], exchange.NewDisclosureID(x.record, x.flow))
	}
	b.must(b.store.View(context.Background(), func(tx store.ReadTx) error {
		counts, err := tx.WaitingCount()
		for s, ids := range bySystem {
			rows, err := tx.WaitingNamed(s, ids, nil)
			if err != nil {
				return err
			}
			for _, r := range rows {
				key := place{r.Record, exchange.FlowNumber(r.Flow)}
				k.waiting[key] = append(k.waiting[key], r)
			}
			if len(rows) != counts[s] {
				b.t.Errorf("%d rows of %s wait for nothing that was accepted", counts[s]-len(rows), s)
			}
		}
		return err
	}))
}

// balances: each accepted (record, flow) is in exactly one state, and what the
// store holds of it is that state's.
func (b *bench) balances(k *book) {
	b.t.Helper()
	known := map[place]bool{}
	for _, x := range b.accepted {
		key := place{x.record, exchange.FlowNumber(x.flow)}
		known[key] = true
		s, decided := k.now[key]
		at, ok := k.cursors[store.CursorKey{System: b.former.of(x.flow), LaneKey: x.lane}]
		passed := ok && !at.Position.Before(x.at)
		waits, parked, open := len(k.waiting[key]), len(k.parked[key]), k.open[key]
		bad := func(why string) {
			b.t.Errorf("%s for %s: %s (state %s, decided %v, passed %v, %d waiting, %d parked, open %v)", x.ref, x.flow, why, s.state, decided, passed, waits, parked, open)
		}
		if !decided || s.state == exchange.StatePending {
			if passed || waits+parked > 0 || open {
				bad("lost")
			}
			continue
		}
		switch s.state {
		case exchange.StateWaiting:
			if waits != 1 || parked > 0 || open || !passed {
				bad("not waiting once")
			}
		case exchange.StateClaimed:
			fetched := waits == 1 && k.waiting[key][0].Event == store.EventFetch && k.waiting[key][0].State == store.WaitingClaimed
			held := waits == 1 && k.waiting[key][0].State == store.WaitingClaimed
			if parked > 0 || waits > 0 && !held || !open && !fetched {
				bad("claimed under nothing")
			}
		case exchange.StateParked:
			if parked != 1 || waits > 0 || open {
				bad("not parked once")
			}
		default:
			if waits+parked > 0 || open {
				bad("ended, and yet there")
			}
		}
	}
	for key := range k.now {
		if !known[key] {
			b.t.Errorf("the ledger accounts a record that was never accepted for that flow")
		}
	}
}

// received holds what recipients saw to the claims before it.
func (b *bench) received(k *book) {
	b.t.Helper()
	newest := map[string]uint64{}
	seen := map[exchange.DisclosureID]bool{}
	names := map[exchange.SubjectID]string{}
	for name, id := range b.people {
		names[id] = name
	}
	for _, r := range b.w.all() {
		c := claimOf{place{r.record, exchange.FlowNumber(r.flow)}, uint16(r.attempt)}
		seq, ok := k.claims[c]
		if !ok || seq >= r.head {
			b.t.Errorf("%s got %s for %s in attempt %d, and no claim of that was durable before", r.system, r.Ref, r.flow, r.attempt)
			continue
		}
		if r.disclosure != exchange.NewDisclosureID(r.record, r.flow) {
			b.t.Errorf("%s got %s under another disclosure id", r.system, r.Ref)
		}
		shown := map[string]bool{}
		for id := range k.shown[c] {
			shown[canary+" "+names[id]] = true
		}
		for _, p := range r.Persons {
			if !shown[p] {
				b.t.Errorf("%s got %s with a person nobody was asked about", r.system, r.Ref)
			}
		}
		if r.Allowed != permitted.String() {
			b.t.Errorf("%s got %s rendered for categories %s", r.system, r.Ref, r.Allowed)
		}
		b.inOrder(r, seen, newest)
	}
}

// inOrder: the first time a recipient sees it, a record is newer than whatever
// it saw of that person through that flow.
func (b *bench) inOrder(r receipt, seen map[exchange.DisclosureID]bool, newest map[string]uint64) {
	b.t.Helper()
	if seen[r.disclosure] || len(r.Persons) == 0 {
		return
	}
	seen[r.disclosure] = true
	key := string(r.flow) + "\x00" + r.Persons[0]
	if r.sequence < newest[key] && !b.disorder {
		b.t.Errorf("%s got %s after a newer record of that person", r.system, r.Ref)
	}
	newest[key] = max(newest[key], r.sequence)
}

// verified exports the ledger and has it verified like anyone would.
func (b *bench) verified() {
	b.t.Helper()
	ctx := context.Background()
	c := ledger.NewCheckpointer(ledger.CheckpointOptions{Store: b.store, Signer: func() note.Signer { return b.signer },
		Keys: func() []string { return []string{b.vkey} }, Clock: b.clock})
	_, err := c.Sign(ctx)
	b.must(err)
	dir := b.t.TempDir()
	root, err := os.OpenRoot(dir)
	b.must(err)
	defer func() { b.must(root.Close()) }()
	_, err = ledger.NewReader(b.store).Export(ctx, root)
	b.must(err)
	report, err := verify.Verify(os.DirFS(dir), b.vkey, verify.Options{})
	b.must(err)
	for _, f := range report.Findings {
		b.t.Errorf("verify: entry %d, row %d: %s: %s", f.Seq, f.Row, f.Rule, f.Detail)
	}
}
