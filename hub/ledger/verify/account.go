package verify

import (
	"encoding/binary"
	"slices"

	"raccordo/hub/exchange"
)

// place is one (record, flow): it is in exactly one state at any moment.
type place struct {
	record exchange.RecordID
	flow   exchange.Number
}

// standing is where a place is.
type standing struct {
	claim     uint64 // under which it is claimed
	last      uint64 // entry that put it there
	principal uint32 // beginning of the subject id
	state     exchange.State
	mark      exchange.Mark
	fetch     bool // the recipient comes and fetches it
	fetched   bool // it has done so once
}

type records map[place]standing

// claim is what a recipient was about to be sent, or fetched, and is not
// settled.
type claim struct {
	system exchange.SystemID
	open   int
	lanes  []exchange.LaneRange
	loose  bool // fetched: its records may be settled one by one, without naming it
}

// account follows the rows of an entry.
func (v *verifier) account(e *entry) {
	act := ""
	if e.Kind == exchange.KindOperator {
		var f exchange.OperatorFact
		if v.decode(e, &f) {
			act = f.Act
		}
	}
	c := v.refers(e)
	v.ranges(e, c)
	pending, fresh, sent := 0, 0, 0
	for i := 0; i < len(e.rows); {
		n := v.group(e.rows, i)
		r := &e.rows[i]
		before := v.records[place{r.Record, r.Flow}]
		v.move(e, i, c, act)
		v.others(e, i, n)
		for j := i; j < i+n; j++ {
			if e.rows[j].State == exchange.StateClaimed {
				v.basis(e, j)
			}
		}
		switch r.State {
		case exchange.StateClaimed:
			v.report.Claims++
			fresh++
			if !before.fetch {
				sent++
			}
		case exchange.StatePending:
			pending++
		}
		i += n
	}
	v.close(e, c, fresh, sent, pending)
}

// group is how many rows, from i on, are of one (record, flow).
func (v *verifier) group(rows []exchange.Row, i int) int {
	n := 1
	for i+n < len(rows) && rows[i+n].Record == rows[i].Record && rows[i+n].Flow == rows[i].Flow &&
		rows[i+n].Part != exchange.PartPrincipal && rows[i+n].Part != exchange.PartThing {
		n++
	}
	return n
}

// refers finds the claim an entry answers, nil if it answers none.
func (v *verifier) refers(e *entry) *claim {
	if e.Refers == 0 || e.Kind != exchange.KindSettle && e.Kind != exchange.KindRenewal {
		return nil
	}
	c := v.claims[e.Refers]
	switch {
	case c == nil:
		v.find(e.seq, Whole, RuleRefers, "entry %d is no open claim", e.Refers)
	case c.system != e.System:
		v.find(e.seq, Whole, RuleRefers, "entry %d is a claim of %s", e.Refers, c.system)
		return nil
	}
	return c
}

// others holds the rows of further persons to the principal's.
func (v *verifier) others(e *entry, i, n int) {
	first := &e.rows[i]
	if first.Part != exchange.PartPrincipal && first.Part != exchange.PartThing {
		v.find(e.seq, i, RuleRecord, "a record's first row is the principal's or a thing's")
	}
	for j := i + 1; j < i+n; j++ {
		r := &e.rows[j]
		pruned := r.State == exchange.StateWithheld && r.Reason == exchange.ReasonPruned && r.Part == exchange.PartAffected
		if !pruned && (r.State != first.State || r.Mark != first.Mark) {
			v.find(e.seq, j, RuleRecord, "it contradicts the principal's row: %s, %s", r.State, first.State)
		}
	}
}

// move follows one (record, flow) to its next state.
func (v *verifier) move(e *entry, i int, c *claim, act string) {
	r := &e.rows[i]
	key := place{r.Record, r.Flow}
	old, known := v.records[key]
	wrong := func(rule, format string, args ...any) { v.find(e.seq, i, rule, format, args...) }
	who := binary.BigEndian.Uint32(r.Subject[:4])
	if known && old.last == e.Seq {
		wrong(RuleRecord, "accounted twice in one entry")
	}
	if known && old.principal != who {
		wrong(RuleRecord, "the record's principal is another than before")
	}
	if r.Mark < old.mark {
		wrong(RuleMark, "the mark falls from %s to %s", old.mark, r.Mark)
	}
	v.marks(e, i)
	if !slices.Contains(v.networks.former[r.Flow], e.System) && e.Kind != exchange.KindOperator {
		wrong(RuleFlow, "no network adopted so far has such a flow to %s", e.System)
	}
	if why := v.illegal(e, r, old, known, c, act); why != "" {
		wrong(RuleState, "%s", why)
	}
	next := standing{last: e.Seq, principal: who, state: r.State, mark: max(r.Mark, old.mark), fetched: old.fetched}
	switch r.State {
	case exchange.StateClaimed:
		next.claim, next.fetch, next.fetched = e.Seq, old.fetch, old.fetched || old.fetch
		if e.Kind == exchange.KindRenewal {
			next.claim = e.Refers
		}
	case exchange.StateWaiting:
		next.fetch = r.Reason == exchange.ReasonAwaitingFetch || r.Reason == exchange.ReasonAwaitingRetry && old.fetch
	}
	v.records[key] = next
	if old.state == exchange.StateClaimed && next.claim != old.claim {
		v.leave(old.claim)
	}
}

// leave takes one record out of a claim; one that was fetched ends with its
// last record.
func (v *verifier) leave(seq uint64) {
	c := v.claims[seq]
	if c == nil {
		return
	}
	if c.open--; c.open == 0 && c.loose {
		delete(v.claims, seq)
	}
}

// marks holds an end to what may have left (protocol.md 5.5).
func (v *verifier) marks(e *entry, i int) {
	r := &e.rows[i]
	var bad bool
	switch r.State {
	case exchange.StateWithheld, exchange.StateExpired:
		bad = r.Mark != exchange.MarkNo
	case exchange.StatePossiblyDelivered:
		bad = r.Mark == exchange.MarkNo
	case exchange.StateDelivered:
		bad = r.Mark != exchange.MarkYes
	}
	if bad {
		v.find(e.seq, i, RuleMark, "%s with the mark %s", r.State, r.Mark)
	}
}

// illegal says why a state cannot follow, "" if it can.
func (v *verifier) illegal(e *entry, r *exchange.Row, old standing, known bool, c *claim, act string) string {
	if known && old.state.Final() {
		if e.Kind == exchange.KindSettle && r.State == old.state && r.Mark > old.mark {
			return "" // a late answer raises the mark and changes nothing else
		}
		return r.State.String() + " after " + old.state.String() + ", which is final"
	}
	from, to := false, false
	switch e.Kind {
	case exchange.KindClaim:
		from = !known || old.state == exchange.StatePending
		if len(e.Lanes) == 0 {
			from = from || old.state == exchange.StateWaiting || old.state == exchange.StateClaimed && old.fetch
		}
		to = oneOf(r.State, exchange.StateClaimed, exchange.StateWaiting, exchange.StateWithheld, exchange.StatePossiblyDelivered,
			exchange.StateParked, exchange.StateUnchanged)
	case exchange.KindSettle:
		from = old.state == exchange.StateClaimed && (c != nil && old.claim == e.Refers || e.Refers == 0 && old.fetch)
		if e.Refers == 0 && old.fetched && old.state == exchange.StateWaiting {
			from = r.State == exchange.StateDelivered // it says late that it has what it fetched
		}
		to = oneOf(r.State, exchange.StateDelivered, exchange.StatePossiblyDelivered, exchange.StateUnchanged, exchange.StateWaiting,
			exchange.StateParked) || r.State == exchange.StatePending && c != nil && len(c.lanes) > 0
	case exchange.KindRenewal:
		from = old.state == exchange.StateClaimed && c != nil && old.claim == e.Refers
		to = oneOf(r.State, exchange.StateClaimed, exchange.StateWaiting, exchange.StateWithheld, exchange.StatePossiblyDelivered,
			exchange.StateParked)
	case exchange.KindOperator:
		from = old.state == exchange.StateParked
		to = act == "replay" && r.State == exchange.StateWaiting || act == "discard" && r.State == exchange.StateDiscarded
	case exchange.KindExpiry:
		from = old.state == exchange.StateWaiting || old.state == exchange.StateClaimed && old.fetch
		to = oneOf(r.State, exchange.StateExpired, exchange.StatePossiblyDelivered)
	case exchange.KindSpill:
		from = !known || old.state == exchange.StatePending
		to = r.State == exchange.StateWaiting
	}
	switch {
	case !known && !from:
		return r.State.String() + " by an entry of kind " + e.Kind.String() + ", of a record that was never decided"
	case !from:
		return r.State.String() + " by an entry of kind " + e.Kind.String() + ", which cannot follow " + old.state.String()
	case !to:
		return r.State.String() + " cannot come of an entry of kind " + e.Kind.String()
	}
	return ""
}

func oneOf(s exchange.State, of ...exchange.State) bool { return slices.Contains(of, s) }
