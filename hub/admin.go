package hub

import (
	"context"
	"fmt"
	"net/http"
	"net/http/pprof"
	"time"

	"raccordo/hub/exchange"
	"raccordo/hub/keys"
	"raccordo/hub/store"
	"raccordo/hub/stream"
	"raccordo/hub/stream/feed"
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
	return exchange.FlowID(fmt.Sprintf("former_%08x", uint32(n)))
}

// upkeep forgets what is over: used token ids, parts of the stream that every
// recipient has passed and no key answers from any more, and the data keys of
// days nothing is left of.
func (h *Hub) upkeep() {
	quit, done := make(chan struct{}), make(chan struct{})
	h.onClose("upkeep", func(context.Context) error { close(quit); <-done; return nil })
	go func() {
		defer close(done)
		t := time.NewTicker(10 * time.Minute)
		defer t.Stop()
		for {
			select {
			case <-t.C:
			case <-quit:
				return
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			if err := h.tidy(ctx); err != nil {
				h.log.Warn("upkeep is held up", "error", err.Error())
			}
			cancel()
		}
	}()
}

func (h *Hub) tidy(ctx context.Context) error {
	now := h.opt.Clock.Now()
	for {
		var n int
		err := h.store.Side(ctx, func(tx store.SideTx) (err error) {
			n, err = tx.ForgetUsed(now.UnixMilli(), 5000)
			return err
		})
		if err != nil {
			return fmt.Errorf("forget used token ids: %w", err)
		}
		if n == 0 {
			break
		}
	}
	for _, class := range [2]exchange.Class{exchange.ClassPrompt, exchange.ClassBulk} {
		before, err := h.trimBefore(ctx, class, now.Add(-h.cfg.Intake.KeepKeys))
		if err != nil {
			return err
		}
		if before > 1 {
			if err := h.stream.Trim(class.String(), before); err != nil {
				return fmt.Errorf("clean up the stream: %w", err)
			}
		}
	}
	return h.destroyKeys(ctx, now)
}

// destroyKeys destroys the data keys of days from which nothing sealed is
// needed any more (protocol.md 8.3).
func (h *Hub) destroyKeys(ctx context.Context, now time.Time) error {
	oldest := map[keys.Place]int64{}
	err := h.store.View(ctx, func(tx store.ReadTx) error {
		for place, read := range map[keys.Place]func() (int64, bool, error){
			keys.PlaceWaiting: tx.OldestWaiting, keys.PlaceParked: tx.OldestParked} {
			at, found, err := read()
			if err != nil {
				return err
			}
			if !found {
				at = now.UnixMilli()
			}
			oldest[place] = at
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("oldest of what is set aside: %w", err)
	}
	oldest[keys.PlaceStream] = now.UnixMilli()
	for _, class := range [2]exchange.Class{exchange.ClassPrompt, exchange.ClassBulk} {
		at, found, err := h.oldestFrame(ctx, class)
		if err != nil {
			return err
		}
		if found {
			oldest[keys.PlaceStream] = min(oldest[keys.PlaceStream], at)
		}
	}
	for place, at := range oldest {
		if err := h.keys.DestroyBefore(place, keys.DayOf(time.UnixMilli(at))); err != nil {
			return fmt.Errorf("destroy data keys of %s: %w", place, err)
		}
	}
	return nil
}

// oldestFrame is when the first frame that is still needed was received.
func (h *Hub) oldestFrame(ctx context.Context, class exchange.Class) (int64, bool, error) {
	from, err := h.trimBefore(ctx, class, h.opt.Clock.Now().Add(-h.cfg.Intake.KeepKeys))
	if err != nil {
		return 0, false, err
	}
	return feed.ReceivedAt(ctx, h.stream, class, from)
}

// trimBefore is the lowest offset that is still needed: by a recipient's
// cursor, by the index, or by a key that still answers.
func (h *Hub) trimBefore(ctx context.Context, class exchange.Class, kept time.Time) (stream.Offset, error) {
	lowest := h.deliverer.Lowest(class)
	err := h.store.View(ctx, func(tx store.ReadTx) error {
		oldest, found, err := tx.OldestKey(class, kept.UnixMilli())
		if err != nil {
			return err
		}
		if found {
			lowest = min(lowest, oldest)
		}
		indexed, _, err := tx.Progress("index/" + class.String())
		lowest = min(lowest, indexed)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("what the stream still needs: %w", err)
	}
	return stream.Offset(max(lowest, 0)), nil
}
