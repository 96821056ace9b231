package consent

import (
	"raccordo/hub/exchange"
	"raccordo/hub/person"
)

// Link says that two subject ids are one person.
type Link = person.Link

// State is what is known of one consent under one subject id, for one purpose
// and recipient body in a role: its newest event.
type State struct {
	Subject   exchange.SubjectID
	Status    Status
	Seq       uint64 // of the ledger entry of the newest event
	ExpiresAt int64  // Unix milliseconds, 0 is never
	// Event is the newest event as the ledger holds it. [Effective] reads it
	// only of a consent that neither permits nor restricts, to learn when it was
	// given; it may be nil where no ids are linked.
	Event []byte
}

// Permits reports whether s permits at now.
func (s *State) Permits(now int64) bool {
	return s.Status.Permits() && !over(s.Status, s.ExpiresAt, now)
}

// Reason is what the gate says about s at now.
func (s *State) Reason(now int64) exchange.Reason {
	return statusAt(s.Status, s.ExpiresAt, now).Reason()
}

// givenSeq is the sequence of the last give of s, 0 if there was none.
func (s *State) givenSeq() uint64 {
	if s.Status.Permits() {
		return s.Seq
	}
	if s.Status.Restricts() {
		return 0 // whatever was given before is undone by it
	}
	if r, err := DecodeEvent(s.Event); err == nil {
		return r.GivenSeq
	}
	return 0
}

// Effective is the state that decides for a person with several ids
// (protocol.md 8.1): states are all known ones of the ids that links join, of
// one purpose and recipient body in a role, in any order; links are those in
// force. It reports false if nothing is known. Its time is not judged here: ask
// [State.Permits].
//
// At the moment two ids are linked, any refusal, withdrawal, revocation or
// invalidation under either stands until a later give under either; afterwards
// ledger order decides. So a restriction is lifted only by a give that came
// after it and after the link between the two ids; if one is left, the newest
// decides. If none is left the last give decides, even if its time is over: it
// replaced the earlier ones. Without any give the newest event of all does.
//
// The newest event of each id is enough: what an id's newest restriction hides
// was lifted, if at all, by a give that the restriction outdid, and whoever
// lifts that restriction lifts the rest.
func Effective(states []State, links []Link) (State, bool) {
	if len(states) == 1 {
		return states[0], true
	}
	var restricts, gives, newest *State
	var last uint64 // sequence of the last give
	joined := joins(links)
	for i := range states {
		s := &states[i]
		if newest == nil || s.Seq > newest.Seq {
			newest = s
		}
		if g := s.givenSeq(); g > last {
			last, gives = g, s
		}
		if s.Status.Restricts() && (restricts == nil || s.Seq > restricts.Seq) && !lifted(s, states, joined) {
			restricts = s
		}
	}
	switch {
	case restricts != nil:
		return *restricts, true
	case gives != nil:
		return *gives, true
	case newest != nil:
		return *newest, true
	}
	return State{}, false
}

// lifted reports whether a give undid the restriction r.
func lifted(r *State, states []State, joined func(a, b exchange.SubjectID) (uint64, bool)) bool {
	for i := range states {
		g := &states[i]
		seq := g.givenSeq()
		if seq <= r.Seq {
			continue
		}
		if since, ok := joined(r.Subject, g.Subject); ok && seq > since {
			return true
		}
	}
	return false
}

// joins tells since which sequence two subjects have been one person: over the
// links between them, the last that was needed. One subject always was.
func joins(links []Link) func(a, b exchange.SubjectID) (uint64, bool) {
	return func(a, b exchange.SubjectID) (uint64, bool) {
		since := map[exchange.SubjectID]uint64{a: 0}
		for grown := true; grown; { // cheapest way in terms of the dearest link on it
			grown = false
			for _, l := range links {
				grown = relax(since, l.A, l.B, l.Seq) || grown
				grown = relax(since, l.B, l.A, l.Seq) || grown
			}
		}
		s, ok := since[b]
		return s, ok
	}
}

func relax(since map[exchange.SubjectID]uint64, from, to exchange.SubjectID, seq uint64) bool {
	s, ok := since[from]
	if !ok {
		return false
	}
	s = max(s, seq)
	if old, known := since[to]; known && old <= s {
		return false
	}
	since[to] = s
	return true
}
