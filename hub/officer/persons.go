package officer

import (
	"bytes"
	"context"

	"raccordo/hub/exchange"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
)

// Link says that two ids are one person, or no longer (protocol.md 8.1). The
// restrictions of both count from the entry on. CodeConflict where that is so
// already.
func (r *Register) Link(ctx context.Context, a, b Person, linked bool) (ledger.Result, error) {
	x, okX, err := r.subject(ctx, a, false)
	if err != nil {
		return ledger.Result{}, err
	}
	y, okY, err := r.subject(ctx, b, false)
	if err != nil {
		return ledger.Result{}, err
	}
	if !okX || !okY {
		return ledger.Result{}, notFound()
	}
	if x == y {
		return ledger.Result{}, exchange.NewError(exchange.CodeConflict, exchange.ReasonSemantic, "both are the same person already")
	}
	if bytes.Compare(x[:], y[:]) > 0 {
		x, y = y, x
	}
	res, err := r.link(ctx, x, y, linked)
	if err != nil {
		return ledger.Result{}, err
	}
	err = r.opt.Store.Side(ctx, func(tx store.SideTx) error { return tx.DeleteConflict(x, y) })
	r.opt.Woken()
	return res, unavailable(err)
}

func (r *Register) link(ctx context.Context, x, y exchange.SubjectID, linked bool) (ledger.Result, error) {
	fact, err := exchange.EncodeFact(exchange.LinkFact{A: x, B: y, Linked: linked})
	if err != nil {
		return ledger.Result{}, err
	}
	res, err := r.opt.Ledger.Submit(ctx, &ledger.Item{Needs: ledger.Needs{Subjects: []exchange.SubjectID{x, y}},
		Decide: func(s *ledger.State) (*ledger.Change, error) {
			if s.Facts.Linked(x, y) == linked {
				return nil, exchange.NewError(exchange.CodeConflict, exchange.ReasonSemantic, "that is so already")
			}
			row := store.LinkRow{A: x, B: y, Seq: s.Seq}
			both := append(append([]exchange.SubjectID(nil), s.Facts.Component(x)...), s.Facts.Component(y)...)
			c := &ledger.Change{Draft: &ledger.Draft{Kind: exchange.KindLink, Fact: fact},
				Wake: []ledger.Wake{{Event: store.EventConsent, Subjects: both}, {Event: store.EventDossier, Subjects: both}}}
			if linked {
				c.Links = []store.LinkRow{row}
			} else {
				c.Unlink = []store.LinkRow{row}
			}
			return c, nil
		}})
	return res, passOn(err)
}

// Conflicts are pairs of ids that one record gave for one person.
func (r *Register) Conflicts(ctx context.Context, limit int) (rows []store.ConflictRow, err error) {
	err = r.opt.Store.View(ctx, func(tx store.ReadTx) error {
		rows, err = tx.Conflicts(limit)
		return err
	})
	return rows, unavailable(err)
}

// Stop stops all disclosures, or lets them go on. What is claimed already may
// still be sent within send_timeout.
func (r *Register) Stop(ctx context.Context, stopped bool, reason string) (ledger.Result, error) {
	fact, err := exchange.EncodeFact(exchange.StopFact{Stopped: stopped, Reason: reason})
	if err != nil {
		return ledger.Result{}, err
	}
	res, err := r.opt.Ledger.Submit(ctx, &ledger.Item{Decide: func(s *ledger.State) (*ledger.Change, error) {
		if s.Head.Stopped == stopped {
			return nil, exchange.NewError(exchange.CodeConflict, exchange.ReasonSemantic, "that is so already")
		}
		return &ledger.Change{Draft: &ledger.Draft{Kind: exchange.KindStop, Fact: fact}, Stop: &stopped}, nil
	}})
	if err != nil {
		return res, passOn(err)
	}
	r.opt.Woken()
	return res, nil
}
