package consent

import (
	"testing"

	"pgregory.net/rapid"

	"raccordo/hub/exchange"
	"raccordo/hub/person"
)

func subject(n int) exchange.SubjectID { return exchange.SubjectID{byte(n + 1)} }

// st is a state whose event can be read.
func st(n int, s Status, seq, givenSeq uint64) State {
	r := minimal()
	r.Subject, r.Status, r.GivenSeq = subject(n), s, givenSeq
	if s.Permits() {
		r.GivenAt, r.GivenSeq = 1, 0
	}
	b, err := AppendEvent(nil, r)
	if err != nil {
		panic(err) // a state of this file is malformed
	}
	return State{Subject: subject(n), Status: s, Seq: seq, Event: b}
}

func link(a, b int, seq uint64) Link { return Link{A: subject(a), B: subject(b), Seq: seq} }

func TestEffective(t *testing.T) {
	for name, c := range map[string]struct {
		states []State
		links  []Link
		want   Status
		seq    uint64
	}{
		"nothing":                       {nil, nil, "", 0},
		"one id":                        {[]State{st(0, StatusGiven, 4, 0)}, nil, StatusGiven, 4},
		"withdrawn before, then linked": {[]State{st(0, StatusGiven, 5, 0), st(1, StatusWithdrawn, 3, 1)}, []Link{link(0, 1, 10)}, StatusWithdrawn, 3},
		"refused before, then linked":   {[]State{st(0, StatusGiven, 5, 0), st(1, StatusRefused, 3, 0)}, []Link{link(0, 1, 10)}, StatusRefused, 3},
		"given again after the link":    {[]State{st(0, StatusRenewed, 12, 0), st(1, StatusWithdrawn, 3, 1)}, []Link{link(0, 1, 10)}, StatusRenewed, 12},
		"given under the other":         {[]State{st(0, StatusGiven, 5, 0), st(1, StatusGiven, 12, 0)}, []Link{link(0, 1, 10)}, StatusGiven, 12},
		"withdrawn after the link":      {[]State{st(0, StatusGiven, 5, 0), st(1, StatusWithdrawn, 12, 1)}, []Link{link(0, 1, 10)}, StatusWithdrawn, 12},
		"given, then withdrawn":         {[]State{st(0, StatusGiven, 12, 0), st(1, StatusWithdrawn, 14, 1)}, []Link{link(0, 1, 10)}, StatusWithdrawn, 14},
		"withdrawn, then given":         {[]State{st(0, StatusGiven, 14, 0), st(1, StatusWithdrawn, 12, 1)}, []Link{link(0, 1, 10)}, StatusGiven, 14},
		"given and asked":               {[]State{st(0, StatusGiven, 5, 0), st(1, StatusRequested, 7, 0)}, []Link{link(0, 1, 10)}, StatusGiven, 5},
		"asked and asked":               {[]State{st(0, StatusRequested, 5, 0), st(1, StatusUnknown, 7, 0)}, []Link{link(0, 1, 10)}, StatusUnknown, 7},
		"the later give was over":       {[]State{st(0, StatusGiven, 5, 0), st(1, StatusExpired, 9, 7)}, []Link{link(0, 1, 10)}, StatusExpired, 9},
		"the earlier give was over":     {[]State{st(0, StatusGiven, 8, 0), st(1, StatusExpired, 9, 7)}, []Link{link(0, 1, 10)}, StatusGiven, 8},
		"lifted by a give that ended":   {[]State{st(0, StatusExpired, 20, 12), st(1, StatusWithdrawn, 3, 1)}, []Link{link(0, 1, 10)}, StatusExpired, 20},
		"two consents of one id":        {[]State{st(0, StatusWithdrawn, 3, 1), st(0, StatusGiven, 5, 0)}, nil, StatusGiven, 5},
		"the newer of one id ended":     {[]State{st(0, StatusWithdrawn, 9, 1), st(0, StatusGiven, 5, 0)}, nil, StatusWithdrawn, 9},
		"over a third id": {[]State{st(0, StatusGiven, 15, 0), st(2, StatusWithdrawn, 3, 1)},
			[]Link{link(0, 1, 10), link(1, 2, 12)}, StatusGiven, 15},
		"over a third id, linked later": {[]State{st(0, StatusGiven, 11, 0), st(2, StatusWithdrawn, 3, 1)},
			[]Link{link(0, 1, 10), link(1, 2, 12)}, StatusWithdrawn, 3},
		"the earlier of two ways counts": {[]State{st(0, StatusGiven, 11, 0), st(1, StatusWithdrawn, 3, 1)},
			[]Link{link(0, 1, 20), link(0, 2, 4), link(2, 1, 6)}, StatusGiven, 11},
		"linked anew": {[]State{st(0, StatusGiven, 12, 0), st(1, StatusWithdrawn, 3, 1)}, []Link{link(0, 1, 30)}, StatusWithdrawn, 3},
	} {
		got, ok := Effective(c.states, c.links)
		if ok != (c.want != "") || got.Status != c.want || got.Seq != c.seq {
			t.Errorf("%s: %s of entry %d, want %s of %d", name, got.Status, got.Seq, c.want, c.seq)
		}
	}
}

// fold is protocol.md 8.1 word by word: entries one after the other, each group
// of linked ids with one standing decision.
type fold struct {
	group    []int // of each id
	standing map[int]decision
}

type decision struct {
	status Status // "" none, given, or the restriction
	seq    uint64
}

func newFold(ids int) *fold {
	f := &fold{standing: map[int]decision{}}
	for i := range ids {
		f.group = append(f.group, i)
	}
	return f
}

func (f *fold) decide(id int, s Status, seq uint64) {
	if s.Permits() || s.Restricts() {
		f.standing[f.group[id]] = decision{s, seq}
	}
}

func (f *fold) link(a, b int) {
	ga, gb := f.group[a], f.group[b]
	if ga == gb {
		return
	}
	x, y := f.standing[ga], f.standing[gb]
	// A restriction under either stands; of two, or of two gives, the later.
	if x.status.Restricts() != y.status.Restricts() {
		if y.status.Restricts() {
			x = y
		}
	} else if y.seq > x.seq {
		x = y
	}
	for i, g := range f.group {
		if g == gb {
			f.group[i] = ga
		}
	}
	f.standing[ga] = x
	delete(f.standing, gb)
}

// entry is one consent event of a drawn ledger.
type entry struct {
	id     int
	status Status
	seq    uint64
}

// ledger is a drawn history over a few ids: events as the real state machine
// makes them, and the links in force at its end. A link may be undone and made
// again.
type ledger struct {
	entries uint64
	events  []entry
	known   map[int]*Known
	linked  map[[2]int]uint64
}

const ids = 4

func drawLedger(t *rapid.T) *ledger {
	l := &ledger{known: map[int]*Known{}, linked: map[[2]int]uint64{}}
	l.entries = uint64(rapid.IntRange(1, 25).Draw(t, "entries"))
	for seq := uint64(1); seq <= l.entries; seq++ {
		id := rapid.IntRange(0, ids-1).Draw(t, "id")
		if rapid.IntRange(0, 3).Draw(t, "kind") > 0 {
			l.drawEvent(t, id, seq)
			continue
		}
		other := rapid.IntRange(0, ids-1).Draw(t, "with")
		pair := [2]int{min(id, other), max(id, other)}
		if _, there := l.linked[pair]; there {
			delete(l.linked, pair)
		} else if id != other {
			l.linked[pair] = seq
		}
	}
	return l
}

func (l *ledger) drawEvent(t *rapid.T, id int, seq uint64) {
	at := now + int64(seq)*day
	q := giveAt(at)
	q.Scope.Subject, q.ID = subject(id), exchange.ConsentID{byte(seq)}
	q.ExpiresAt = at + rapid.Int64Range(1, 8).Draw(t, "days")*day
	var r *Record
	var err error
	switch rapid.IntRange(0, 5).Draw(t, "act") {
	case 0, 1:
		r, err = Give(l.known[id], q, at)
	case 2:
		r, err = Refuse(l.known[id], q, at)
	case 3:
		r, err = Withdraw(l.known[id], actBy(BySubject, at), at)
	case 4:
		r, err = Expire(l.known[id], at)
	case 5:
		r, err = Request(l.known[id], q, at)
	}
	if err != nil {
		return // what the state does not allow has a test of its own
	}
	l.known[id] = &Known{*r, seq}
	l.events = append(l.events, entry{id, r.Status, seq})
}

// fold reads the ledger entry by entry.
func (l *ledger) fold() *fold {
	f := newFold(ids)
	next := 0
	for seq := uint64(1); seq <= l.entries; seq++ {
		for pair, at := range l.linked { // at most one link an entry
			if at == seq {
				f.link(pair[0], pair[1])
			}
		}
		if next < len(l.events) && l.events[next].seq == seq {
			f.decide(l.events[next].id, l.events[next].status, seq)
			next++
		}
	}
	return f
}

// TestEffectiveFold: from the newest event of each id and the links in force,
// Effective finds what going through the whole ledger finds.
func TestEffectiveFold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLedger(t)
		f := l.fold()
		var links []Link
		for pair, seq := range l.linked {
			links = append(links, link(pair[0], pair[1], seq))
		}
		for id := range ids {
			var states []State
			for _, s := range person.Group(links, subject(id)) {
				if k := l.known[int(s[0])-1]; k != nil {
					state, err := k.State()
					if err != nil {
						t.Fatal(err)
					}
					states = append(states, state)
				}
			}
			got, ok := Effective(rapid.Permutation(states).Draw(t, "order"), links)
			if ok != (len(states) > 0) {
				t.Fatalf("id %d: known: %t", id, ok)
			}
			want := f.standing[f.group[id]]
			switch {
			case want.status.Restricts():
				if got.Status != want.status || got.Seq != want.seq {
					t.Fatalf("id %d: %s of entry %d, want %s of %d", id, got.Status, got.Seq, want.status, want.seq)
				}
			case want.status.Permits():
				if got.givenSeq() != want.seq || got.Status.Restricts() {
					t.Fatalf("id %d: %s going back on entry %d, want the give of %d", id, got.Status, got.givenSeq(), want.seq)
				}
			case got.Status.Permits() || got.Status.Restricts():
				t.Fatalf("id %d: %s, but nobody has decided", id, got.Status)
			}
		}
	})
}

func BenchmarkEffectiveOne(b *testing.B) {
	states := []State{st(0, StatusGiven, 4, 0)}
	for b.Loop() {
		if s, ok := Effective(states, nil); !ok || !s.Permits(now) {
			b.Fatal("does not permit")
		}
	}
}

func BenchmarkDecodeEvent(b *testing.B) {
	event, err := AppendEvent(nil, sample())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeEvent(event); err != nil {
			b.Fatal(err)
		}
	}
}
