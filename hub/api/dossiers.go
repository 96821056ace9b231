package api

import (
	"context"
	"net/http"
	"time"

	"raccordo/hub/exchange"
)

type dossierJSON struct {
	ID       exchange.DossierID `json:"dossier_id"`
	Role     exchange.Role      `json:"role"`
	Capacity string             `json:"capacity"`
	State    string             `json:"state"`
	OpenedAt time.Time          `json:"opened_at"`
	EndsOn   string             `json:"ends_on,omitempty"`
	ClosedAt *time.Time         `json:"closed_at,omitempty"`
	Entry    uint64             `json:"ledger_entry"`
}

func dossierOut(d Dossier) dossierJSON {
	out := dossierJSON{ID: d.ID, Role: d.Role, Capacity: d.Capacity, State: "open", OpenedAt: d.OpenedAt.UTC(), EndsOn: d.EndsOn,
		ClosedAt: optional(d.ClosedAt), Entry: d.Entry}
	if out.ClosedAt != nil {
		out.State = "closed"
	}
	return out
}

func (a *API) openDossier(ctx context.Context, c *call) (*answer, error) {
	var d DossierOpening
	err := c.decode(func(m *members) {
		d.Person = m.person()
		d.Role = exchange.Role(m.text("role", true, nameShape))
		d.Capacity = m.text("capacity", true, nameShape)
		d.EndsOn = m.day("ends_on")
	})
	if err != nil {
		return nil, err
	}
	made, err := a.o.Dossiers.Open(ctx, c.caller, d)
	if err != nil {
		return nil, err
	}
	return asJSON(http.StatusCreated, dossierOut(made))
}

func (a *API) closeDossier(ctx context.Context, c *call) (*answer, error) {
	id, err := exchange.ParseDossierID(uuidText(c.r.PathValue("dossier_id")))
	if err != nil {
		return nil, errNotFound
	}
	var reason string
	err = c.decode(func(m *members) {
		reason = m.oneOf("reason", true, "concluded", "handed_over", "interrupted", "opened_in_error")
	})
	if err != nil {
		return nil, err
	}
	closed, err := a.o.Dossiers.Close(ctx, c.caller, id, reason)
	if err != nil {
		return nil, err
	}
	return asJSON(http.StatusOK, dossierOut(closed))
}
