package exchange

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestStates(t *testing.T) {
	final := map[State]bool{StateDelivered: true, StatePossiblyDelivered: true, StateUnchanged: true, StateWithheld: true,
		StateExpired: true, StateDiscarded: true, StateErased: true}
	if len(States()) != 11 {
		t.Errorf("%d states", len(States()))
	}
	for _, s := range States() {
		if got, err := ParseState(s.String()); err != nil || got != s || !s.IsValid() || s.Final() != final[s] {
			t.Errorf("%s: %v, final %t", s, err, s.Final())
		}
	}
	for _, s := range []State{0, 12, 255} {
		if s.IsValid() || s.Final() || s.String() != "invalid" {
			t.Errorf("state %d", s)
		}
	}
	for _, text := range []string{"", "invalid", "Pending"} {
		if _, err := ParseState(text); err == nil {
			t.Errorf("%q is read as a state", text)
		}
	}
	if OutcomeDeny != 0 || OutcomePermit.String() != "permit" || OutcomeHold.String() != "hold" {
		t.Error("the zero outcome must deny")
	}
}

// The mark only rises, and an end never says less than it (protocol.md 5.5).
func TestMarks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := Mark(rapid.IntRange(0, 2).Draw(t, "mark"))
		o := Mark(rapid.IntRange(0, 2).Draw(t, "other"))
		if up := m.Raise(o); up < m || up < o || up != m && up != o {
			t.Fatalf("%s raised by %s is %s", m, o, up)
		}
		for _, s := range States() {
			end := m.End(s)
			switch {
			case s != StateWithheld && s != StateExpired:
				if end != s {
					t.Fatalf("%s ends as %s", s, end)
				}
			case (m == MarkNo) != (end == s), m != MarkNo && end != StatePossiblyDelivered:
				t.Fatalf("%s with the mark %s ends as %s", s, m, end)
			}
		}
	})
	if MarkNo.String() != "no" || MarkPossibly.String() != "possibly" || MarkYes.String() != "yes" {
		t.Error("names of marks")
	}
}

func TestReasons(t *testing.T) {
	seen := map[Reason]bool{}
	for n := uint16(1); ; n++ {
		r, err := ReasonFromNumber(n)
		if err != nil {
			if int(n) != len(ledgerReasons) {
				t.Errorf("reasons end at %d", n)
			}
			break
		}
		if seen[r] || r.Number() != n || !ValidName(string(r)) {
			t.Errorf("reason %d %q", n, r)
		}
		seen[r] = true
	}
	if _, err := ReasonFromNumber(0); err == nil {
		t.Error("0 is a reason")
	}
	if ReasonInternal.Number() != 0 || Reason("").Number() != 0 {
		t.Error("a reason no row can hold has a number")
	}
}

func TestCategorySets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) (CategorySet, map[Category]bool) {
			list := rapid.SliceOfDistinct(rapid.Custom(func(t *rapid.T) Category { return Category(rapid.IntRange(0, 127).Draw(t, "c")) }),
				func(c Category) Category { return c }).Draw(t, name)
			m := map[Category]bool{}
			for _, c := range list {
				m[c] = true
			}
			return NewCategorySet(list...), m
		}
		a, am := draw("a")
		b, bm := draw("b")
		for c := range Category(MaxCategories) {
			if a.Has(c) != am[c] || a.Union(b).Has(c) != (am[c] || bm[c]) || a.Minus(b).Has(c) != (am[c] && !bm[c]) ||
				a.Intersect(b).Has(c) != (am[c] && bm[c]) {
				t.Fatalf("category %d", c)
			}
		}
		if a.Len() != len(am) || len(a.Each()) != len(am) || a.Empty() != (len(am) == 0) || a.Within(b) != a.Minus(b).Empty() {
			t.Fatal("size or inclusion")
		}
		if NewCategorySet(a.Each()...) != a || CategorySetFromBytes(a.Bytes()) != a || len(a.String()) != 32 {
			t.Fatal("round trip")
		}
	})
	if got := NewCategorySet(0, 127).String(); got != "80000000000000000000000000000001" {
		t.Errorf("big-endian form: %s", got)
	}
}

func TestClock(t *testing.T) {
	c := NewSystemClock()
	before := c.Monotonic()
	if d := time.Since(c.Now()); d < 0 || d > time.Minute {
		t.Errorf("now is off by %s", d)
	}
	if c.Monotonic() < before {
		t.Error("the monotonic clock went back")
	}
}
