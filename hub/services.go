package hub

import (
	"context"
	"fmt"
	"net/http"

	"raccordo/connectors"
	"raccordo/hub/access"
	"raccordo/hub/api"
)

// openAPI puts the HTTP API together; nobody is served before it is ready.
func (h *Hub) openAPI(context.Context) error {
	limits, err := access.NewLimits(access.LimitsOptions{Default: access.Rate{PerSecond: h.cfg.Limits.PerSecond, Burst: h.cfg.Limits.Burst},
		Of: h.rates(), Now: h.opt.Clock.Now})
	if err != nil {
		return fmt.Errorf("limits of the API: %w", err)
	}
	verifier, tokens, service, err := h.vouchers()
	if err != nil {
		return err
	}
	mac := h.keys.MAC("cursor", []byte("api"))
	h.api, err = api.New(api.Options{Intake: pushes{h}, Records: records{h}, Mailbox: mailboxes{h}, Consents: consents{h},
		Dossiers: dossiers{h}, Catalog: catalogue{h}, Ledger: proofs{h}, Readiness: h, Tokens: tokens, Verifier: verifier,
		Expect: access.Expect{EService: service}, Limits: limits, Metrics: h.metrics, Logger: h.log, Now: h.opt.Clock.Now,
		Random: h.opt.Rand, CursorKey: mac, BodyBytes: h.cfg.Intake.BodyBytes, Mounts: h.mounts(service)})
	if err != nil {
		return fmt.Errorf("API: %w", err)
	}
	return nil
}

func (h *Hub) rates() map[string]access.Rate {
	out := map[string]access.Rate{}
	for _, s := range h.Network().Systems() {
		if s.RateLimit.PerSecond > 0 {
			out[string(s.ID)] = access.Rate{PerSecond: s.RateLimit.PerSecond, Burst: max(s.RateLimit.Burst, 1)}
		}
	}
	return out
}

// mounts are the foreign contracts of outlets, behind the API's guard.
func (h *Hub) mounts(service access.EService) []api.Mount {
	var out []api.Mount
	for _, o := range h.outlets {
		for _, m := range o.Mounts() {
			handler := m.Handler
			out = append(out, api.Mount{Prefix: m.Base + "/", Open: m.Open, Expect: access.Expect{EService: service},
				Serve: func(w http.ResponseWriter, r *http.Request, c api.Caller) {
					handler.ServeHTTP(w, r.WithContext(connectors.WithCaller(r.Context(), c.System)))
				}})
		}
	}
	return out
}
