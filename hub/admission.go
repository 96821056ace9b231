package hub

import (
	"context"

	"raccordo/hub/exchange"
	"raccordo/hub/intake"
	"raccordo/hub/store"
)

// admission refuses pushes while delivery is too far behind or a recipient has
// no room (protocol.md 2.9).
func (h *Hub) admission() intake.Admission {
	return intake.NewAdmission(intake.AdmissionOptions{Lag: func() (map[store.LaneKey]int, error) { return h.deliverer.Lag(), nil }, Waiting: h.waiting, Clock: h.opt.Clock,
		MaxLag: h.cfg.Delivery.LagMax, MaxWaiting: h.cfg.Delivery.WaitingMax})
}

func (h *Hub) waiting(ctx context.Context) (n map[exchange.SystemID]int, err error) {
	err = h.store.View(ctx, func(tx store.ReadTx) error {
		n, err = tx.WaitingCount()
		return err
	})
	return n, err
}
