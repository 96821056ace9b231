package hub

import (
	"context"
	"fmt"
	"net/http"
	"net/http/pprof"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
	"raccordo/hub/telemetry"
)

// profiles mounts the Go profiles; the admin listener is on loopback.
func profiles(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
}

// sums reads the states of protocol.md 7 and whether they balance.
func (h *Hub) sums(ctx context.Context) (telemetry.Sums, error) {
	s := telemetry.Sums{States: map[exchange.FlowID]map[exchange.State]int64{}, Lag: map[string]int{}, Ready: h.Ready(ctx) == nil}
	err := h.store.View(ctx, func(tx store.ReadTx) error {
		head, err := tx.Head()
		if err != nil {
			return err
		}
		counts, err := tx.StateCounts()
		if err != nil {
			return err
		}
		total := map[exchange.State]int64{}
		for number, states := range counts {
			s.States[h.flowName(number)] = states
			for state, n := range states {
				total[state] += n
			}
		}
		if s.Waiting, err = tx.WaitingCount(); err != nil {
			return err
		}
		followed, _, err := tx.Progress("status")
		s.Ledger, s.Behind = head.Size, head.Size-min(head.Size, uint64(followed))
		if err != nil || s.Behind > 0 {
			return err // the two books can only be compared when both are up to date
		}
		n, err := imbalance(tx, total, s.Waiting)
		h.imbalance.Store(n)
		return err
	})
	s.Imbalance = h.imbalance.Load()
	for lane, n := range h.deliverer.Lag() {
		s.Lag[fmt.Sprintf("%s/%d", lane.Class, lane.Lane)] = n
	}
	return s, err
}

// imbalance compares two books of the same records: the states that followers
// drew from the ledger, and the queues, open claims and parked rows that the
// ledger's transactions kept. It is 0 unless one of them is wrong.
func imbalance(tx store.ReadTx, total map[exchange.State]int64, waiting map[exchange.SystemID]int) (int64, error) {
	var set int64
	for _, n := range waiting {
		set += int64(n)
	}
	claims, err := tx.OpenClaims()
	if err != nil {
		return 0, err
	}
	for i := range claims {
		for _, r := range claims[i].Rows {
			if r.Waiting == 0 {
				set++
			}
		}
	}
	parked, err := tx.ParkedCount()
	diff := func(a, b int64) int64 { return max(a-b, b-a) }
	return diff(total[exchange.StateWaiting]+total[exchange.StateClaimed], set) + diff(total[exchange.StateParked], int64(parked)), err
}

// flowName is the name of a flow's number, also of one that left the network.
func (h *Hub) flowName(n exchange.Number) exchange.FlowID {
	if f := h.Network().FlowByNumber(n); f != nil {
		return f.ID
	}
	for id, f := range h.former {
		if f.Number == n {
			return id
		}
	}
	return exchange.FlowID(fmt.Sprintf("former_%08x", uint32(n)))
}
