package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"raccordo/consent"
	"raccordo/hub/exchange"
	"raccordo/hub/gate"
	"raccordo/hub/store"
)

var scope = gate.Scope{Purpose: "purpose_clinic", Body: "clinic", Role: exchange.RoleHealthService, Type: "service_request"}

func person(n byte) exchange.SubjectID { return exchange.SubjectID{n} }

// consentChange is a consent event of a person.
func consentChange(s *State, who exchange.SubjectID, status consent.Status, given uint64) *Change {
	at := s.Facts.Now().UnixMilli()
	rec := consent.Record{ID: exchange.ConsentID{who[0], 1}, Scope: consent.Scope{Subject: who, Purpose: scope.Purpose, Body: scope.Body, Role: scope.Role},
		Status: status, By: consent.BySubject, Method: consent.MethodPaper, At: at}
	if status.Permits() {
		rec.GivenAt = at
	} else if given != 0 {
		rec.GivenAt, rec.GivenSeq = at, given
	}
	event, err := consent.AppendEvent(nil, &rec)
	if err != nil {
		panic(err)
	}
	return &Change{Draft: &Draft{Kind: exchange.KindConsent, Fact: event}, Consents: []store.ConsentRow{{Consent: rec.ID, Subject: who,
		Purpose: rec.Purpose, Body: rec.Body, Role: rec.Role, Status: string(status), Permits: status.Permits(), Seq: s.Seq, Event: event}}}
}

func about(who ...exchange.SubjectID) Needs { return Needs{Subjects: who} }

func TestEntriesFollow(t *testing.T) {
	r := newRig(t)
	for i := range 10 {
		r.clock.pass(time.Second)
		res := r.put(stop("x"))
		if res.Seq != uint64(i) || res.Time != r.clock.Now().UnixMilli() {
			t.Errorf("entry %d: %+v", i, res)
		}
	}
	ids := map[exchange.EntryID]bool{}
	for i, e := range r.entries() {
		l, err := exchange.DecodeLeaf(e.Leaf)
		if err != nil || l.Seq != uint64(i) || e.Seq != uint64(i) || l.ID != e.ID || ids[l.ID] || l.FactDigest != exchange.DigestOf(e.Fact) {
			t.Errorf("entry %d: %+v, %v", i, l, err)
		}
		ids[l.ID] = true
	}
	if h := r.head(); h.Size != 10 || h.Time != r.clock.Now().UnixMilli() {
		t.Errorf("head %+v", h)
	}
}

// TestLaterItemsSeeEarlier is the heart of a claim: what an earlier item of the
// same transaction did is seen by the later ones (protocol.md 4.2).
func TestLaterItemsSeeEarlier(t *testing.T) {
	r := newRig(t)
	anna, bruno := person(1), person(2)
	var seen []string
	look := func(who exchange.SubjectID) *Item {
		return &Item{Needs: about(who), Decide: func(s *State) (*Change, error) {
			st := s.Facts.Consent(who, scope)
			seen = append(seen, fmt.Sprintf("%s@%d/%d stopped=%t net=%x", st.Reason, st.Seq, s.Seq, s.Facts.Stopped(), s.Head.Network[0]))
			return nil, nil
		}}
	}
	act := func(who exchange.SubjectID, status consent.Status, given uint64) *Item {
		return &Item{Needs: about(who), Decide: func(s *State) (*Change, error) { return consentChange(s, who, status, given), nil }}
	}
	link := func(linked bool) *Item {
		return &Item{Needs: about(anna, bruno), Decide: func(s *State) (*Change, error) {
			row := []store.LinkRow{{A: anna, B: bruno, Seq: s.Seq}}
			c := stop("link")
			if c.Links = row; !linked {
				c.Links, c.Unlink = nil, row
			}
			return c, nil
		}}
	}
	brake := &Item{Decide: func(*State) (*Change, error) { c, on := stop("brake"), true; c.Stop = &on; return c, nil }}
	adopt := &Item{Decide: func(s *State) (*Change, error) {
		c, net := stop("net"), exchange.Digest{7}
		c.Adopt = &net
		return c, nil
	}}
	_, errs := r.together(look(anna), act(anna, consent.StatusGiven, 0), look(anna), act(bruno, consent.StatusWithdrawn, 0), look(anna),
		link(true), look(anna), act(anna, consent.StatusRenewed, 0), look(bruno), link(false), look(bruno), brake, adopt, look(anna))
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"consent_missing@0/0 stopped=false net=0",
		"permitted@0/1 stopped=false net=0",
		"permitted@0/2 stopped=false net=0",
		"consent_withdrawn@1/3 stopped=false net=0",
		"permitted@3/4 stopped=false net=0",
		"consent_withdrawn@1/5 stopped=false net=0",
		"permitted@3/7 stopped=true net=7",
	}
	if got := strings.Join(seen, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("seen\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	// and what is stored is what the items saw
	r.view(func(tx store.ReadTx) error {
		f, err := ReadFacts(tx, []exchange.SubjectID{anna, bruno}, r.clock.Now())
		if err != nil {
			return err
		}
		if st := f.Consent(anna, scope); st.Reason != exchange.ReasonPermitted || st.Seq != 3 || !f.Stopped() || f.Linked(anna, bruno) {
			t.Errorf("stored: %+v, linked %t", st, f.Linked(anna, bruno))
		}
		return nil
	})
	if h := r.head(); h.Size != 7 || h.Network != (exchange.Digest{7}) || !h.Stopped {
		t.Errorf("head %+v", h)
	}
}

// Two ids parted and joined again in one transaction are joined.
func TestLastWordOfALink(t *testing.T) {
	for _, last := range []bool{true, false} {
		r := newRig(t)
		row := store.LinkRow{A: person(1), B: person(2)}
		item := func(linked bool) *Item {
			return &Item{Decide: func(s *State) (*Change, error) {
				c := stop("link")
				x := row
				x.Seq = s.Seq
				if c.Links = []store.LinkRow{x}; !linked {
					c.Links, c.Unlink = nil, []store.LinkRow{x}
				}
				return c, nil
			}}
		}
		_, errs := r.together(item(!last), item(last), item(!last), item(last))
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		r.view(func(tx store.ReadTx) error {
			links, err := tx.Links([]exchange.SubjectID{person(1)})
			if linked := len(links) == 1; linked != last || linked && links[0].Seq != 3 {
				t.Errorf("linked %t, want %t: %v", linked, last, links)
			}
			return err
		})
	}
}

// TestFailsAlone: an item that fails, by error or panic or on a stale cursor,
// takes no other with it and leaves no trace.
func TestFailsAlone(t *testing.T) {
	r := newRig(t)
	boom := errors.New("boom")
	key := store.CursorKey{System: "clinic_system", LaneKey: store.LaneKey{Class: exchange.ClassPrompt, Lane: 1}}
	move := func(from, to int64) *Item {
		return &Item{Needs: Needs{Cursors: []store.CursorKey{key}}, Decide: func(s *State) (*Change, error) {
			c := stop("moves")
			at := exchange.Position{Offset: from}
			c.Cursors = []store.CursorMove{{Key: key, Expect: at, To: store.Cursor{Position: exchange.Position{Offset: to}}}}
			return c, nil
		}}
	}
	good := func() *Item { return &Item{Decide: func(*State) (*Change, error) { return stop("good"), nil }} }
	results, errs := r.together(
		good(),
		&Item{Decide: func(*State) (*Change, error) { return stop("bad"), boom }},
		&Item{Decide: func(*State) (*Change, error) { panic("a value of a record") }},
		move(-1, 4), move(-1, 9), move(4, 6), move(5, 7),
		&Item{Decide: func(*State) (*Change, error) { return nil, nil }},
		good(),
	)
	if !errors.Is(errs[1], boom) || !is(errs[2], exchange.CodeInternal) || !errors.Is(errs[4], ErrLaneLost) || !errors.Is(errs[6], ErrLaneLost) {
		t.Errorf("errors %v", errs)
	}
	if strings.Contains(errs[2].Error(), "value") {
		t.Error("an error shows what an item panicked with")
	}
	for i, seq := range map[int]uint64{0: 0, 3: 1, 5: 2, 8: 3} {
		if errs[i] != nil || results[i].Seq != seq {
			t.Errorf("item %d: %+v, %v", i, results[i], errs[i])
		}
	}
	if h := r.head(); h.Size != 4 {
		t.Errorf("%d entries", h.Size)
	}
	r.view(func(tx store.ReadTx) error {
		all, err := tx.AllCursors()
		if all[key].Offset != 6 || len(all) != 1 {
			t.Errorf("cursor at %+v", all)
		}
		return err
	})
}

// Cursors may move without an entry: passing over is no fact.
func TestCursorsWithoutEntry(t *testing.T) {
	r := newRig(t)
	heads := 0
	key := store.CursorKey{System: "a", LaneKey: store.LaneKey{Class: exchange.ClassBulk}}
	c := &Change{Cursors: []store.CursorMove{{Key: key, Expect: exchange.Start(), To: store.Cursor{Position: exchange.Position{Offset: 3}, Frame: exchange.FrameID{1}}}}}
	if res := r.put(c); res.Seq != 0 || r.head().Size != 0 || heads != 0 {
		t.Errorf("%+v", res)
	}
	if _, err := r.submit(c); !errors.Is(err, store.ErrConflict) && !errors.Is(err, ErrLaneLost) {
		t.Errorf("moved twice: %v", err)
	}
}

// A lane taken by an earlier item is seen taken by a later one.
func TestEpochsInABatch(t *testing.T) {
	r := newRig(t)
	lane := store.LaneKey{Class: exchange.ClassPrompt, Lane: 3}
	var seen []uint64
	item := func(bump bool) *Item {
		return &Item{Needs: Needs{Lanes: []store.LaneKey{lane}}, Decide: func(s *State) (*Change, error) {
			seen = append(seen, s.Epochs[lane])
			if bump {
				return &Change{BumpEpochs: []store.LaneKey{lane}}, nil
			}
			return nil, nil
		}}
	}
	r.together(item(true), item(false), item(true), item(false))
	r.together(item(false))
	if fmt.Sprint(seen) != "[0 1 1 2 2]" {
		t.Errorf("epochs %v", seen)
	}
}

func TestQueuesAndClaimsInABatch(t *testing.T) {
	r := newRig(t)
	q := store.QueueKey{Flow: "flow_a", Principal: person(1)}
	row := func(id uint64, ev store.Event) store.WaitingRow {
		return store.WaitingRow{ID: id, Flow: q.Flow, Principal: q.Principal, Record: exchange.RecordID{byte(id)}, System: "clinic_system", Producer: "desk_system",
			Body: "desk", Disclosure: exchange.DisclosureID{byte(id)}, Event: ev, Reason: exchange.ReasonQueued, State: store.WaitingIdle,
			LaneKey: store.LaneKey{Class: exchange.ClassPrompt}, Header: []byte("h"), Sealed: []byte("s")}
	}
	var seen []string
	needs := Needs{Queues: []store.QueueKey{q}, Waiting: []uint64{1, 2}, Claims: []uint64{0}, Parked: []uint64{9}}
	item := func(c func(s *State) *Change) *Item {
		return &Item{Needs: needs, Decide: func(s *State) (*Change, error) {
			seen = append(seen, fmt.Sprintf("%v %d waiting %d claims", s.Queues[q], len(s.Waiting), len(s.Claims)))
			return c(s), nil
		}}
	}
	_, errs := r.together(
		item(func(s *State) *Change {
			c := stop("claim")
			c.PutWaiting = []store.WaitingRow{row(1, store.EventRetry), row(2, store.EventFetch)}
			c.OpenClaims = []store.Claim{{Seq: s.Seq, System: "clinic_system"}}
			return c
		}),
		item(func(*State) *Change {
			c := stop("update")
			up := row(1, store.EventFetch)
			c.UpdateWaiting = []store.WaitingRow{up}
			return c
		}),
		item(func(*State) *Change {
			c := stop("settle")
			c.DeleteWaiting, c.CloseClaims = []uint64{1}, []uint64{0}
			return c
		}),
		item(func(*State) *Change { return nil }),
	)
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	want := "[{0 0} 0 waiting 0 claims {2 1} 2 waiting 1 claims {2 2} 2 waiting 1 claims {1 1} 1 waiting 0 claims]"
	if got := fmt.Sprint(seen); got != want {
		t.Errorf("seen %s\nwant %s", got, want)
	}
	r.view(func(tx store.ReadTx) error {
		rows, err := tx.Waiting([]uint64{1, 2})
		claims, err2 := tx.OpenClaims()
		if len(rows) != 1 || rows[0].ID != 2 || len(claims) != 0 {
			t.Errorf("stored: %d rows, %d claims", len(rows), len(claims))
		}
		return errors.Join(err, err2)
	})
}

// A broken source of ids stops the transaction, not the writer.
func TestBrokenRandomness(t *testing.T) {
	s := open(t, t.TempDir())
	t.Cleanup(func() { _ = s.Close() })
	random := io.MultiReader(strings.NewReader(strings.Repeat("x", 16)), iotest.ErrReader(errors.New("no randomness")))
	w := NewWriter(Options{Store: s, Clock: newClock(), Rand: random})
	w.Start()
	t.Cleanup(w.Stop)
	r := &rig{t: t, store: s, w: w}
	r.put(stop("first"))
	net := exchange.Digest{9}
	c := stop("second")
	c.Adopt = &net
	if _, err := r.submit(c); err == nil || w.Failed() != nil {
		t.Errorf("%v, %v", err, w.Failed())
	}
	if h := r.head(); h.Size != 1 || h.Network == net {
		t.Errorf("head %+v", h)
	}
}

func TestSubmitEnds(t *testing.T) {
	r := newRig(t)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	ran := false
	_, err := r.w.Submit(gone, &Item{Decide: func(*State) (*Change, error) { ran = true; return stop("x"), nil }})
	if !errors.Is(err, context.Canceled) || ran {
		t.Errorf("%v, ran %t", err, ran)
	}
	// An item that is being committed is not torn by its context.
	ctx, cancel := context.WithCancel(context.Background())
	res, err := r.w.Submit(ctx, &Item{Decide: func(*State) (*Change, error) { cancel(); return stop("x"), nil }})
	if err != nil || res.Seq != 0 || r.head().Size != 1 {
		t.Errorf("%+v, %v", res, err)
	}
	r.w.Stop()
	r.w.Stop()
	if _, err := r.submit(stop("late")); !errors.Is(err, ErrClosed) {
		t.Errorf("after the stop: %v", err)
	}
}

func TestStopBeforeStart(t *testing.T) {
	w := NewWriter(Options{Clock: newClock()})
	w.Stop()
	w.Start()
	if _, err := w.Submit(context.Background(), &Item{}); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// TestCompetingItems has many callers at once: every accepted item has an entry
// of its own, in the order of the sequence, and hooks see every head.
func TestCompetingItems(t *testing.T) {
	s := open(t, t.TempDir())
	t.Cleanup(func() { _ = s.Close() })
	w := NewWriter(Options{Store: s, Clock: newClock(), Rand: zeroless{}})
	var sizes []uint64
	w.OnCommit(func(h store.Head) { sizes = append(sizes, h.Size) })
	w.Start()
	const callers, each = 8, 40
	seqs := make([][]uint64, callers)
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				res, err := w.Submit(context.Background(), &Item{Decide: func(*State) (*Change, error) {
					if i%5 == 4 {
						return nil, errors.New("no")
					}
					return stop(fmt.Sprintf("caller_%d_%d", c, i)), nil
				}})
				if err == nil {
					seqs[c] = append(seqs[c], res.Seq)
				}
			}
		})
	}
	wg.Wait()
	w.Stop()
	r := &rig{t: t, store: s}
	entries := r.entries()
	if len(entries) != callers*each*4/5 {
		t.Fatalf("%d entries", len(entries))
	}
	owner := map[uint64]int{}
	for c, list := range seqs {
		for i, seq := range list {
			if _, twice := owner[seq]; twice || i > 0 && list[i-1] >= seq {
				t.Fatalf("caller %d: entry %d out of order or twice", c, seq)
			}
			owner[seq] = c
			if !strings.Contains(string(entries[seq].Fact), fmt.Sprintf("caller_%d_", c)) {
				t.Fatalf("entry %d is not caller %d's", seq, c)
			}
		}
	}
	for i := 1; i < len(sizes); i++ {
		if sizes[i] <= sizes[i-1] {
			t.Fatalf("heads go back: %v", sizes)
		}
	}
	if sizes[len(sizes)-1] != uint64(len(entries)) {
		t.Errorf("the last head seen is %d of %d", sizes[len(sizes)-1], len(entries))
	}
}
