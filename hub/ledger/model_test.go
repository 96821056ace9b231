package ledger

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"raccordo/consent"
	"raccordo/hub/exchange"
	"raccordo/hub/gate"
	"raccordo/hub/store"
)

// world is what a plain reading of protocol.md 4 says of a small ledger: a list
// of entries, and maps.
type world struct {
	entries  []string
	consents map[byte]consentState
	linked   bool
	cursor   exchange.Position
	waiting  map[uint64]byte
	claims   map[uint64]bool
	epoch    uint64
	stopped  bool
}

type consentState struct {
	status consent.Status
	seq    uint64
}

// step is one act, on the writer and on the world. The model says whether it is
// to succeed; it is called in the order in which the items are decided.
type step struct {
	name  string
	item  *Item
	model func(*world) (entry string, ok bool)
}

var (
	modelLane   = store.LaneKey{Class: exchange.ClassPrompt, Lane: 2}
	modelCursor = store.CursorKey{System: "clinic_system", LaneKey: modelLane}
	errModel    = errors.New("refused by the item")
)

// decision is what a claim sees; the model computes the same text.
func decision(standing gate.Standing, stopped bool, queue int, epoch uint64) string {
	return fmt.Sprintf("%s@%d stopped=%t queue=%d epoch=%d", standing.Reason, standing.Seq, stopped, queue, epoch)
}

func (w *world) standing(who byte) gate.Standing {
	group := []byte{who}
	if w.linked {
		group = []byte{1, 2}
	}
	var newest consentState
	for _, g := range group { // enough for a link that is as old as the world
		c := w.consents[g]
		if c.status != "" && (newest.status == "" || c.seq > newest.seq) {
			newest = c
		}
	}
	if newest.status == "" {
		return gate.Standing{Reason: exchange.ReasonConsentMissing}
	}
	return gate.Standing{Reason: newest.status.Reason(), Seq: newest.seq}
}

func drawStep(t *rapid.T, w *world) step {
	who := byte(rapid.IntRange(1, 2).Draw(t, "who"))
	switch rapid.SampledFrom([]string{"give", "withdraw", "claim", "claim", "settle", "wait", "drop", "move", "stale", "take", "stop", "fail", "panic"}).Draw(t, "act") {
	case "give":
		return consentStep(who, consent.StatusGiven)
	case "withdraw":
		return consentStep(who, consent.StatusWithdrawn)
	case "claim":
		return claimStep(who)
	case "settle":
		return settleStep(uint64(rapid.IntRange(0, 30).Draw(t, "claim")))
	case "wait":
		return waitStep(who)
	case "drop":
		return dropStep(uint64(rapid.IntRange(0, 30).Draw(t, "row")))
	case "move":
		return moveStep(func(p exchange.Position) exchange.Position { return p })
	case "stale":
		return moveStep(func(p exchange.Position) exchange.Position { return exchange.Position{Offset: p.Offset + 1} })
	case "take":
		return step{"take", &Item{Needs: Needs{Lanes: []store.LaneKey{modelLane}}, Decide: func(*State) (*Change, error) {
			return &Change{BumpEpochs: []store.LaneKey{modelLane}}, nil
		}}, func(w *world) (string, bool) { w.epoch++; return "", true }}
	case "stop":
		on := rapid.Bool().Draw(t, "on")
		return step{"stop", &Item{Decide: func(*State) (*Change, error) { c := stop("brake"); c.Stop = &on; return c, nil }},
			func(w *world) (string, bool) { w.stopped = on; return "brake", true }}
	case "fail":
		return step{"fail", &Item{Decide: func(*State) (*Change, error) { return stop("never"), errModel }},
			func(*world) (string, bool) { return "", false }}
	}
	return step{"panic", &Item{Decide: func(*State) (*Change, error) { panic("x") }}, func(*world) (string, bool) { return "", false }}
}

func consentStep(who byte, status consent.Status) step {
	return step{string(status), &Item{Needs: about(person(who)), Decide: func(s *State) (*Change, error) {
		c := consentChange(s, person(who), status, 0)
		c.Draft = stop(fmt.Sprintf("%s %d", status, who)).Draft
		return c, nil
	}}, func(w *world) (string, bool) {
		w.consents[who] = consentState{status, uint64(len(w.entries))}
		return fmt.Sprintf("%s %d", status, who), true
	}}
}

// claimStep writes down what it sees: that is compared with the world.
func claimStep(who byte) step {
	q := store.QueueKey{Flow: "flow_a", Principal: person(who)}
	return step{"claim", &Item{Needs: Needs{Subjects: []exchange.SubjectID{person(who)}, Queues: []store.QueueKey{q}, Lanes: []store.LaneKey{modelLane}},
		Decide: func(s *State) (*Change, error) {
			st := s.Facts.Consent(person(who), scope)
			st.Categories = exchange.CategorySet{}
			c := stop(decision(st, s.Facts.Stopped(), s.Queues[q].Rows, s.Epochs[modelLane]))
			c.OpenClaims = []store.Claim{{Seq: s.Seq, System: "clinic_system"}}
			return c, nil
		}}, func(w *world) (string, bool) {
		queue := 0
		for _, p := range w.waiting {
			if p == who {
				queue++
			}
		}
		w.claims[uint64(len(w.entries))] = true
		return decision(w.standing(who), w.stopped, queue, w.epoch), true
	}}
}

func settleStep(seq uint64) step {
	return step{"settle", &Item{Needs: Needs{Claims: []uint64{seq}}, Decide: func(s *State) (*Change, error) {
		if s.Claims[seq] == nil {
			return nil, errModel
		}
		c := stop("settle")
		c.CloseClaims = []uint64{seq}
		return c, nil
	}}, func(w *world) (string, bool) {
		if !w.claims[seq] {
			return "", false
		}
		delete(w.claims, seq)
		return "settle", true
	}}
}

func waitStep(who byte) step {
	return step{"wait", &Item{Decide: func(s *State) (*Change, error) {
		c := stop("wait")
		c.PutWaiting = []store.WaitingRow{{ID: s.Seq, Flow: "flow_a", Principal: person(who), Record: exchange.RecordID{byte(s.Seq), who}, System: "clinic_system",
			Producer: "desk_system", Body: "desk", Disclosure: exchange.DisclosureID{byte(s.Seq), who}, Event: store.EventRetry,
			Reason: exchange.ReasonQueued, State: store.WaitingIdle, LaneKey: modelLane, Header: []byte("h"), Sealed: []byte("s")}}
		return c, nil
	}}, func(w *world) (string, bool) { w.waiting[uint64(len(w.entries))] = who; return "wait", true }}
}

func dropStep(id uint64) step {
	return step{"drop", &Item{Needs: Needs{Waiting: []uint64{id}}, Decide: func(s *State) (*Change, error) {
		if s.Waiting[id] == nil {
			return nil, errModel
		}
		c := stop("drop")
		c.DeleteWaiting = []uint64{id}
		return c, nil
	}}, func(w *world) (string, bool) {
		if _, there := w.waiting[id]; !there {
			return "", false
		}
		delete(w.waiting, id)
		return "drop", true
	}}
}

// moveStep moves the cursor from where change says it is.
func moveStep(change func(exchange.Position) exchange.Position) step {
	return step{"move", &Item{Needs: Needs{Cursors: []store.CursorKey{modelCursor}}, Decide: func(s *State) (*Change, error) {
		at, ok := s.Cursors[modelCursor]
		if !ok {
			at.Position = exchange.Start()
		}
		from := change(at.Position)
		return &Change{Cursors: []store.CursorMove{{Key: modelCursor, Expect: from, To: store.Cursor{Position: exchange.Position{Offset: at.Offset + 2}}}}}, nil
	}}, func(w *world) (string, bool) {
		if change(w.cursor) != w.cursor {
			return "", false
		}
		w.cursor = exchange.Position{Offset: w.cursor.Offset + 2}
		return "", true
	}}
}

// TestWriterAgainstModel runs random acts in random transactions, with the hub
// stopped and started between some, and compares everything with the world.
func TestWriterAgainstModel(t *testing.T) {
	checks(t, 25) // each opens and closes stores, with all their syncs
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		s := open(t, dir)
		clock := newClock()
		r := start(t, s, clock)
		defer func() { r.w.Stop(); _ = s.Close() }()
		w := &world{consents: map[byte]consentState{}, cursor: exchange.Start(), waiting: map[uint64]byte{}, claims: map[uint64]bool{}}
		if rapid.Bool().Draw(rt, "linked") {
			c := stop("link")
			c.Links = []store.LinkRow{{A: person(1), B: person(2)}}
			r.put(c)
			w.linked, w.entries = true, append(w.entries, "link")
		}
		for range rapid.IntRange(2, 8).Draw(rt, "transactions") {
			clock.pass(time.Minute)
			steps := make([]step, rapid.IntRange(1, 8).Draw(rt, "items"))
			items := make([]*Item, len(steps))
			for i := range steps {
				steps[i] = drawStep(rt, w)
				items[i] = steps[i].item
			}
			results, errs := r.together(items...)
			for i, st := range steps {
				seq := uint64(len(w.entries))
				entry, ok := st.model(w)
				if ok != (errs[i] == nil) {
					rt.Fatalf("%s: %v, the model says %t", st.name, errs[i], ok)
				}
				if entry != "" {
					w.entries = append(w.entries, entry)
					if results[i].Seq != seq || results[i].Time != clock.Now().UnixMilli() {
						rt.Fatalf("%s: %+v, want entry %d", st.name, results[i], seq)
					}
				}
			}
			if rapid.IntRange(0, 3).Draw(rt, "restart") == 0 {
				r.w.Stop()
				if err := s.Close(); err != nil {
					rt.Fatal(err)
				}
				s = open(t, dir)
				r = start(t, s, clock)
			}
			compare(rt, r, w)
		}
		sameTree(t, r)
	})
}

// checks sets how often rapid runs, unless the command line does.
func checks(t *testing.T, n int) {
	t.Helper()
	f := flag.Lookup("rapid.checks")
	if f.Value.String() != f.DefValue {
		return
	}
	if err := f.Value.Set(strconv.Itoa(n)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Value.Set(f.DefValue) })
}

func compare(t *rapid.T, r *rig, w *world) {
	entries := r.entries()
	if len(entries) != len(w.entries) {
		t.Fatalf("%d entries, the model has %d", len(entries), len(w.entries))
	}
	for i, e := range entries {
		var f exchange.StopFact
		if err := exchange.DecodeFact(e.Fact, &f); err != nil || f.Reason != w.entries[i] {
			t.Fatalf("entry %d is %q, the model says %q", i, f.Reason, w.entries[i])
		}
	}
	r.view(func(tx store.ReadTx) error {
		head, err := tx.Head()
		cursors, err2 := tx.AllCursors()
		claims, err3 := tx.OpenClaims()
		rows, err4 := tx.Waiting(slices.Collect(maps.Keys(w.waiting)))
		consents, err5 := tx.Consents([]exchange.SubjectID{person(1), person(2)})
		if head.Size != uint64(len(entries)) || head.Stopped != w.stopped {
			t.Fatalf("head %+v", head)
		}
		if at, ok := cursors[modelCursor]; ok && at.Position != w.cursor || !ok && w.cursor != exchange.Start() {
			t.Fatalf("cursor %+v, the model says %+v", at, w.cursor)
		}
		if len(claims) != len(w.claims) || len(rows) != len(w.waiting) || len(consents) != len(w.consents) {
			t.Fatalf("%d claims, %d waiting, %d consents; the model says %d, %d, %d", len(claims), len(rows), len(consents), len(w.claims), len(w.waiting), len(w.consents))
		}
		for _, c := range consents {
			if want := w.consents[c.Subject[0]]; c.Seq != want.seq || c.Status != string(want.status) {
				t.Fatalf("consent %+v, the model says %+v", c, want)
			}
		}
		return errors.Join(err, err2, err3, err4, err5)
	})
}
