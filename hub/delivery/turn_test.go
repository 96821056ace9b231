package delivery

import (
	"slices"
	"testing"

	"raccordo/hub/exchange"
)

// Every parcel looks at each window once, prompt ones first; and every lane is
// the first of its class once in as many parcels as there are lanes, however
// full the others are.
func TestLanesTakeTurns(t *testing.T) {
	const lanes = 3
	r := &recipient{d: New(Options{Lanes: lanes})}
	first := map[exchange.Class][]uint16{}
	for r.turn = range lanes {
		var order []int
		for i := range r.d.windows {
			n := r.inTurn(i)
			if want := exchange.ClassPrompt; i < lanes && r.d.windows[n].lane.Class != want {
				t.Errorf("parcel %d, window %d: %v", r.turn, i, r.d.windows[n].lane)
			}
			if i%lanes == 0 {
				w := r.d.windows[n].lane
				first[w.Class] = append(first[w.Class], w.Lane)
			}
			order = append(order, n)
		}
		slices.Sort(order)
		if !slices.Equal(order, []int{0, 1, 2, 3, 4, 5}) {
			t.Errorf("parcel %d looks at %v", r.turn, order)
		}
	}
	for class, lanes := range first {
		slices.Sort(lanes)
		if !slices.Equal(lanes, []uint16{0, 1, 2}) {
			t.Errorf("%s: first were %v", class, lanes)
		}
	}
}
