package officer

import (
	"context"
	"slices"

	"raccordo/hub/exchange"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
)

// Link says that two ids are one person, or no longer (protocol.md 8.1). The
// restrictions of both count from the entry on. CodeNotFound for a person
// nobody knows; CodeConflict where that is so already, or where identifiers name
// several persons.
func (r *Register) Link(ctx context.Context, a, b Person, linked bool) (ledger.Result, error) {
	x, err := r.one(ctx, By{Operator: true}, a)
	if err != nil {
		return ledger.Result{}, err
	}
	y, err := r.one(ctx, By{Operator: true}, b)
	if err != nil {
		return ledger.Result{}, err
	}
	if x == y {
		return ledger.Result{}, exchange.NewError(exchange.CodeConflict, exchange.ReasonSemantic, "both are the same person already")
	}
	x, y = ordered(x, y)
	res, err := r.link(ctx, x, y, linked)
	if err != nil {
		return ledger.Result{}, err
	}
	// The question is answered. If its row stays, [Register.Conflicts] knows.
	_ = r.opt.Store.Side(ctx, func(tx store.SideTx) error { return tx.DeleteConflict(x, y) })
	r.opt.Woken()
	return res, nil
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

// Conflicts are pairs of ids that one record gave for one person and that are
// not linked, the oldest first; at most limit are looked at.
func (r *Register) Conflicts(ctx context.Context, limit int) ([]store.ConflictRow, error) {
	var rows []store.ConflictRow
	var f *ledger.Facts
	err := r.opt.Store.View(ctx, func(tx store.ReadTx) (err error) {
		if rows, err = tx.Conflicts(limit); err != nil {
			return err
		}
		subjects := make([]exchange.SubjectID, len(rows))
		for i := range rows {
			subjects[i] = rows[i].A
		}
		f, err = ledger.ReadFacts(tx, subjects, r.opt.Clock.Now())
		return err
	})
	if err != nil {
		return nil, unavailable(err)
	}
	return slices.DeleteFunc(rows, func(c store.ConflictRow) bool { return slices.Contains(f.Component(c.A), c.B) }), nil
}

// Stop stops all disclosures, or lets them go on, for a reason that is a code
// ([a-z0-9_], from a letter on). What is claimed already may still be sent
// within send_timeout.
func (r *Register) Stop(ctx context.Context, stopped bool, reason string) (ledger.Result, error) {
	if !exchange.ValidName(reason) {
		return ledger.Result{}, exchange.NewError(exchange.CodeInvalid, exchange.ReasonParameter, "a reason is a code: small letters, digits and underscores",
			exchange.Fault{Pointer: "/reason", Rule: "name"})
	}
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
