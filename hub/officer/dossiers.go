package officer

import (
	"context"
	"errors"
	"slices"
	"time"

	"raccordo/hub/exchange"
	"raccordo/hub/ledger"
	"raccordo/hub/network"
	"raccordo/hub/store"
)

// Opening is a case to open: a body's, in a role and capacity.
type Opening struct {
	Person   Person
	Body     exchange.BodyID
	Role     exchange.Role
	Capacity string    // as clauses name it, e.g. case_manager
	Until    time.Time // zero: open until closed
}

// Dossier is a body's case.
type Dossier struct {
	store.DossierRow
	Time int64 // ledger time of the newest entry, Unix milliseconds; 0 if not known
}

// OpenDossier opens a case. Errors: CodeForbidden where the body does not hold
// the role or the system may not open dossiers in it; CodeInvalid for what is no
// capacity or an end that has passed; CodeConflict where the same case is open,
// under any linked id.
func (r *Register) OpenDossier(ctx context.Context, by By, o Opening) (Dossier, error) {
	if err := r.mayOpen(by, o.Body, o.Role); err != nil {
		return Dossier{}, err
	}
	if !exchange.ValidName(o.Capacity) {
		return Dossier{}, exchange.NewError(exchange.CodeInvalid, exchange.ReasonSemantic, "a dossier has a capacity",
			exchange.Fault{Pointer: "/capacity", Rule: "name"})
	}
	if !r.known(o.Capacity) {
		return Dossier{}, exchange.NewError(exchange.CodeInvalid, exchange.ReasonSemantic, "no clause asks for a dossier in this capacity",
			exchange.Fault{Pointer: "/capacity", Rule: "no_clause"})
	}
	if !o.Until.IsZero() && !o.Until.After(r.opt.Clock.Now()) {
		return Dossier{}, exchange.NewError(exchange.CodeInvalid, exchange.ReasonSemantic, "a dossier ends in the future",
			exchange.Fault{Pointer: "/until", Rule: "in_future"})
	}
	subject, err := r.resolve(ctx, by, o.Person)
	if err != nil {
		return Dossier{}, err
	}
	id, err := exchange.NewDossierID(r.opt.Rand)
	if err != nil {
		return Dossier{}, unavailable(err)
	}
	row := store.DossierRow{Dossier: id, Subject: subject, Body: o.Body, Role: o.Role, Capacity: o.Capacity}
	if !o.Until.IsZero() {
		row.Until = o.Until.UnixMilli()
	}
	return r.putDossier(ctx, row, func(f *ledger.Facts) error {
		if f.Dossier(subject, o.Body, o.Role, o.Capacity) != 0 {
			return exchange.NewError(exchange.CodeConflict, exchange.ReasonDossierState, "this dossier is open already")
		}
		return nil
	})
}

// CloseDossier closes a case of the caller's body. CodeNotFound for another's;
// CodeConflict where it is closed.
func (r *Register) CloseDossier(ctx context.Context, by By, id exchange.DossierID) (Dossier, error) {
	var row store.DossierRow
	err := r.opt.Store.View(ctx, func(tx store.ReadTx) (err error) {
		row, err = tx.DossierByID(id)
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return Dossier{}, notFound()
	case err != nil:
		return Dossier{}, unavailable(err)
	case !by.Operator && r.mayOpen(by, row.Body, row.Role) != nil:
		return Dossier{}, notFound()
	}
	row.Closed = true
	return r.putDossier(ctx, row, func(f *ledger.Facts) error {
		for _, d := range f.Dossiers(row.Subject) {
			if d.Dossier == id && d.Closed {
				return exchange.NewError(exchange.CodeConflict, exchange.ReasonDossierState, "the dossier is closed already")
			}
		}
		return nil
	})
}

func (r *Register) putDossier(ctx context.Context, row store.DossierRow, allowed func(*ledger.Facts) error) (Dossier, error) {
	fact, err := exchange.EncodeFact(exchange.DossierFact{Dossier: row.Dossier, Subject: row.Subject, Body: row.Body,
		Role: row.Role, Capacity: row.Capacity, Until: row.Until, Closed: row.Closed})
	if err != nil {
		return Dossier{}, err
	}
	res, err := r.opt.Ledger.Submit(ctx, &ledger.Item{Needs: ledger.Needs{Subjects: []exchange.SubjectID{row.Subject}},
		Decide: func(s *ledger.State) (*ledger.Change, error) {
			if err := allowed(s.Facts); err != nil {
				return nil, err
			}
			row.Seq = s.Seq
			return &ledger.Change{Draft: &ledger.Draft{Kind: exchange.KindDossier, Fact: fact}, Dossiers: []store.DossierRow{row},
				Wake: []ledger.Wake{{Event: store.EventDossier, Subjects: s.Facts.Component(row.Subject)}}}, nil
		}})
	if err != nil {
		return Dossier{}, passOn(err)
	}
	r.opt.Woken()
	return Dossier{DossierRow: row, Time: res.Time}, nil
}

func (r *Register) mayOpen(by By, body exchange.BodyID, role exchange.Role) error {
	n := r.opt.Network()
	b := n.Body(body)
	if b == nil || !r.holds(b, role, "") {
		return exchange.NewError(exchange.CodeForbidden, exchange.ReasonRoleMissing, "the body does not hold this role")
	}
	if by.Operator {
		return nil
	}
	s := n.System(by.System)
	if s == nil || !s.OpensDossiers || s.Body.ID != body || !s.ActsIn(role) {
		return exchange.NewError(exchange.CodeForbidden, exchange.ReasonRoleMissing, "the system may not open dossiers in this role")
	}
	return nil
}

// Dossiers lists the dossiers on a person, over linked ids (operators only).
func (r *Register) Dossiers(ctx context.Context, p Person) ([]Dossier, error) {
	found, err := r.find(ctx, By{Operator: true}, p)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	f, err := r.facts(ctx, found...)
	if err != nil {
		return nil, err
	}
	var out []Dossier
	seen := map[exchange.DossierID]bool{}
	for _, s := range found {
		for _, row := range f.Dossiers(s) {
			if !seen[row.Dossier] {
				out = append(out, Dossier{DossierRow: row})
			}
			seen[row.Dossier] = true
		}
	}
	return out, nil
}

// known reports whether some clause asks for dossiers in a capacity: one that
// none asks for is most likely misspelt, and would open nothing.
func (r *Register) known(capacity string) bool {
	return slices.ContainsFunc(r.opt.Network().Clauses(), func(c *network.Clause) bool { return c.Dossier == capacity })
}
