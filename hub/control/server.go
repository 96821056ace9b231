package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"raccordo/hub/exchange"
)

// maxRequest bounds a request.
const maxRequest = 1 << 20

// Handler serves a hub's control socket. What is nobody's mistake but the hub's
// is logged; log may be nil.
func Handler(h Hub, log *slog.Logger) http.Handler {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	mux := &operations{http.NewServeMux(), log}
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
	return mux.mux
}

// operations are what can be asked, and where faults of the hub are told.
type operations struct {
	mux *http.ServeMux
	log *slog.Logger
}

// refusal is an error on the wire.
type refusal struct {
	Code   exchange.Code    `json:"code"`
	Reason exchange.Reason  `json:"reason"`
	Detail string           `json:"detail"`
	Faults []exchange.Fault `json:"faults,omitempty"`
	Retry  int64            `json:"retry_after_ms,omitempty"`
}

func handle[In, Out any](o *operations, op string, fn func(context.Context, In) (Out, error)) {
	o.mux.HandleFunc("POST /"+op, func(w http.ResponseWriter, r *http.Request) {
		var in In
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
		d.DisallowUnknownFields()
		if err := d.Decode(&in); err != nil || !errors.Is(d.Decode(new(json.RawMessage)), io.EOF) {
			o.refuse(w, op, exchange.NewError(exchange.CodeMalformed, exchange.ReasonMalformedJSON, "the request is not one of this version"))
			return
		}
		out, err := guarded(r.Context(), fn, in)
		if err != nil {
			o.refuse(w, op, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(out)
	})
}

// guarded makes an error of a panic, whose own text could hold anything.
func guarded[In, Out any](ctx context.Context, fn func(context.Context, In) (Out, error), in In) (out Out, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = exchange.NewError(exchange.CodeInternal, exchange.ReasonPanicked, "").Because(fmt.Errorf("panic of type %T", p))
		}
	}()
	return fn(ctx, in)
}

// refuse shows reason, faults and a sentence, never what an error of the hub
// itself wraps.
func (o *operations) refuse(w http.ResponseWriter, op string, err error) {
	e := exchange.AsError(err)
	detail := e.Detail
	if e.Code == exchange.CodeInternal {
		o.log.Error("an operator's request failed", "operation", op, "error", causes(err))
		if detail == "" {
			detail = "something went wrong; see the log of the hub"
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusUnprocessableEntity)
	_ = json.NewEncoder(w).Encode(refusal{e.Code, e.Reason, detail, e.Faults, e.RetryAfter.Milliseconds()})
}

// causes is an error with what it wraps: texts of the hub's own.
func causes(err error) string {
	var e *exchange.Error
	if errors.As(err, &e) && errors.Unwrap(e) != nil {
		return fmt.Sprintf("%v: %v", err, errors.Unwrap(e))
	}
	return err.Error()
}
