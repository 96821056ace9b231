package verify

import (
	"slices"

	"raccordo/hub/exchange"
)

// laneKey is one recipient's way through one lane.
type laneKey struct {
	system exchange.SystemID
	class  exchange.Class
	lane   uint16
}

// lane is how far the recipient has come.
type lane struct {
	at   exchange.Position
	open uint64 // claim whose range is not passed, 0 if none
}

func (v *verifier) lane(e *entry, g exchange.LaneRange) *lane {
	key := laneKey{e.System, g.Class, g.Lane}
	l := v.lanes[key]
	if l == nil {
		l = &lane{at: exchange.Start()}
		v.lanes[key] = l
	}
	return l
}

// ranges holds an entry's ranges to how far the recipient has come. A range may
// begin later than the last ended: what lies between held nothing for it.
func (v *verifier) ranges(e *entry, c *claim) {
	wrong := func(format string, args ...any) { v.find(e.seq, Whole, RuleLane, format, args...) }
	seen := make(map[laneKey]bool, len(e.Lanes))
	for _, g := range e.Lanes {
		key := laneKey{e.System, g.Class, g.Lane}
		if seen[key] || !g.From.Before(g.To) || g.Class != exchange.ClassPrompt && g.Class != exchange.ClassBulk {
			wrong("a range of %s lane %d is none, or named twice", g.Class, g.Lane)
		}
		seen[key] = true
		l := v.lane(e, g)
		switch e.Kind {
		case exchange.KindClaim:
			if l.open != 0 {
				wrong("%s lane %d: the claim of entry %d is open, its range cannot be decided as new", g.Class, g.Lane, l.open)
			}
			if g.From.Before(l.at) {
				wrong("%s lane %d: the range begins before the end of the last", g.Class, g.Lane)
			}
		case exchange.KindSpill:
			v.spilled(e, g, l)
		}
	}
	v.detach(e)
	if c != nil && !slices.Equal(c.lanes, e.Lanes) {
		wrong("the ranges are not those of the claim of entry %d", e.Refers)
	}
}

// detach lets open claims go on without the ranges that an entry has spilled.
func (v *verifier) detach(e *entry) {
	if e.Kind != exchange.KindSpill {
		return
	}
	for _, g := range e.Lanes {
		l := v.lane(e, g)
		if c := v.claims[l.open]; c != nil {
			c.lanes = nil
		}
		l.at, l.open = g.To, 0
	}
}

// spilled holds a spilled range to that of an open claim, which it must hold.
func (v *verifier) spilled(e *entry, g exchange.LaneRange, l *lane) {
	if g.From.Before(l.at) {
		v.find(e.seq, Whole, RuleLane, "%s lane %d: the range begins before the end of the last", g.Class, g.Lane)
	}
	if c := v.claims[l.open]; c != nil {
		for _, own := range c.lanes {
			if own.Class == g.Class && own.Lane == g.Lane && (own.From != g.From || g.To.Before(own.To)) {
				v.find(e.seq, Whole, RuleLane, "%s lane %d: the range does not hold that of the open claim of entry %d", g.Class, g.Lane, l.open)
			}
		}
	}
}

// close opens or ends the claim of an entry and passes its ranges.
func (v *verifier) close(e *entry, c *claim, fresh, sent, pending int) {
	switch e.Kind {
	case exchange.KindClaim:
		if fresh > 0 {
			v.claims[e.Seq] = &claim{system: e.System, open: fresh, lanes: e.Lanes, loose: sent == 0}
		}
		for _, g := range e.Lanes {
			if l := v.lane(e, g); fresh > 0 {
				l.open = e.Seq
			} else {
				l.at = g.To
			}
		}
	case exchange.KindSettle:
		if c == nil {
			return
		}
		if c.open > 0 && c.loose {
			return
		}
		if c.open > 0 {
			v.find(e.seq, Whole, RuleUnsettled, "the claim of entry %d is closed with %d records open", e.Refers, c.open)
		}
		if pending > 0 && pending < groups(e.rows) {
			v.find(e.seq, Whole, RuleUnsettled, "records not sent are left behind by a range that is passed")
		}
		v.pass(e, c, pending == 0)
	case exchange.KindRenewal:
		if c != nil && c.open == 0 {
			v.pass(e, c, true)
		}
	}
}

// pass ends a claim; the recipient is past its ranges unless they are to be
// decided again.
func (v *verifier) pass(e *entry, c *claim, past bool) {
	for _, g := range c.lanes {
		l := v.lane(e, g)
		l.open = 0
		if past {
			l.at = g.To
		}
	}
	delete(v.claims, e.Refers)
}

func groups(rows []exchange.Row) int {
	n := 0
	for i := range rows {
		if rows[i].Part == exchange.PartPrincipal || rows[i].Part == exchange.PartThing {
			n++
		}
	}
	return n
}
