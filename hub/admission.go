package hub

import (
	"context"
	"fmt"

	"raccordo/hub/exchange"
	"raccordo/hub/intake"
	"raccordo/hub/store"
)

// admission refuses pushes while delivery is too far behind or a recipient has
// no room (protocol.md 2.9).
func (h *Hub) admission() intake.Admission {
	return intake.NewAdmission(intake.AdmissionOptions{Lag: h.lag, Waiting: h.waiting, Clock: h.opt.Clock,
		MaxLag: h.cfg.Delivery.LagMax, MaxWaiting: h.cfg.Delivery.WaitingMax})
}

// lag is, per class, how many parts are in the stream beyond the slowest
// cursor. Cursors are per lane and offsets per class, so it is told for lane 0.
func (h *Hub) lag() (map[store.LaneKey]int, error) {
	out := map[store.LaneKey]int{}
	for _, class := range [2]exchange.Class{exchange.ClassPrompt, exchange.ClassBulk} {
		highest, err := h.stream.HighestAccepted(class.String())
		if err != nil {
			return nil, fmt.Errorf("end of the stream: %w", err)
		}
		out[store.LaneKey{Class: class}] = int(max(0, int64(highest)-h.deliverer.Lowest(class)))
	}
	return out, nil
}

func (h *Hub) waiting(ctx context.Context) (n map[exchange.SystemID]int, err error) {
	err = h.store.View(ctx, func(tx store.ReadTx) error {
		n, err = tx.WaitingCount()
		return err
	})
	return n, err
}
