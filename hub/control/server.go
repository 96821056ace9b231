package control

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"raccordo/hub/exchange"
)

// maxRequest bounds a request.
const maxRequest = 1 << 20

// Handler serves a hub's control socket.
func Handler(h Hub) http.Handler {
	mux := http.NewServeMux()
	handle(mux, "status", h.Status)
	handle(mux, "confirm-clock", h.ConfirmClock)
	handle(mux, "stop-disclosures", h.StopDisclosures)
	handle(mux, "consent/give", h.GiveConsent)
	handle(mux, "consent/withdraw", h.WithdrawConsent)
	handle(mux, "consent/show", h.ShowConsents)
	handle(mux, "dossier/open", h.OpenDossier)
	handle(mux, "dossier/close", h.CloseDossier)
	handle(mux, "dossier/list", h.ListDossiers)
	handle(mux, "person/link", h.Link)
	handle(mux, "person/conflicts", h.Conflicts)
	handle(mux, "parked/list", h.ListParked)
	handle(mux, "parked/show", h.ShowParked)
	handle(mux, "parked/replay", h.ReplayParked)
	handle(mux, "parked/discard", h.DiscardParked)
	handle(mux, "system/add-key", h.AddKey)
	handle(mux, "system/list", h.ListSystems)
	handle(mux, "ledger/checkpoint", h.Checkpoint)
	handle(mux, "ledger/export", h.Export)
	handle(mux, "ledger/prove", h.Prove)
	handle(mux, "keys/rotate", h.RotateKeys)
	return mux
}

// refusal is an error on the wire.
type refusal struct {
	Code   exchange.Code    `json:"code"`
	Reason exchange.Reason  `json:"reason"`
	Detail string           `json:"detail"`
	Faults []exchange.Fault `json:"faults,omitempty"`
}

func handle[In, Out any](mux *http.ServeMux, op string, fn func(context.Context, In) (Out, error)) {
	mux.HandleFunc("POST /"+op, func(w http.ResponseWriter, r *http.Request) {
		var in In
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
		d.DisallowUnknownFields()
		if err := d.Decode(&in); err != nil || !errors.Is(d.Decode(new(json.RawMessage)), io.EOF) {
			refuse(w, exchange.NewError(exchange.CodeMalformed, exchange.ReasonMalformedJSON, "the request is not one of this version"))
			return
		}
		out, err := fn(r.Context(), in)
		if err != nil {
			refuse(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(out)
	})
}

func refuse(w http.ResponseWriter, err error) {
	e := exchange.AsError(err)
	detail := e.Detail
	if e.Code == exchange.CodeInternal && detail == "" {
		detail = "something went wrong; see the log of the hub"
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusUnprocessableEntity)
	_ = json.NewEncoder(w).Encode(refusal{e.Code, e.Reason, detail, e.Faults})
}
