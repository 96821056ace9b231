package demo

import (
	"context"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// inpsPoller is INPS as it feeds the SIUSS: it asks each body's e-service for
// flows since the last one, a page at a time, and then says what became of each
// (WaaS-SIUSS 2.0.1).
type inpsPoller struct {
	caller *caller
	shelf  *shelf
	bases  []string // of the e-services, one per body
	limit  int

	mu      sync.Mutex
	since   map[string]int64
	offered map[string]int // times a flow was offered
	esiti   map[string]int // outcomes sent, per code
}

type waasFlow struct {
	Body   string    `json:"codice_ente"`
	Name   string    `json:"denominazione_ente"`
	ID     string    `json:"id_flusso"`
	Type   string    `json:"tipo"`
	Stamp  time.Time `json:"ts_flusso"`
	Flusso string    `json:"flusso"`
}

type waasOutcome struct {
	ID       string    `json:"id_flusso"`
	Type     string    `json:"tipo"`
	Stamp    time.Time `json:"ts_flusso"`
	TakenAt  time.Time `json:"ts_acquisizione"`
	Code     string    `json:"codice_esito"`
	Detail   string    `json:"descrizione_esito,omitempty"`
	Acquired string    `json:"id_acquisizione_siuss,omitempty"`
}

// What the number of an application says INPS will make of it: a simulated
// INPS has no register to look persons up in.
const (
	refInvalid   = "-RINV" // RICHIESTA_INVALIDA
	refUncertain = "-RGEN" // ERRORE_GENERICO the first time, then OK
)

func (p *inpsPoller) round(ctx context.Context) error {
	for _, base := range p.bases {
		if err := p.drain(ctx, base); err != nil {
			return err
		}
	}
	return nil
}

// drain pages through one body's flows.
func (p *inpsPoller) drain(ctx context.Context, base string) error {
	for {
		p.mu.Lock()
		since := p.since[base]
		p.mu.Unlock()
		var page struct {
			Flows []waasFlow `json:"elenco_flussi"`
		}
		b, err := p.caller.raw(ctx, fmt.Sprintf("%s/flussi?since=%d&limit=%d", base, since, p.limit), "flussi", &page)
		if err != nil {
			return err
		}
		if len(page.Flows) == 0 {
			return nil
		}
		p.shelf.raw(p.caller.system, "flussi", "json", b)
		if err := p.report(ctx, base, page.Flows); err != nil {
			return err
		}
		p.mu.Lock()
		p.since[base] = page.Flows[len(page.Flows)-1].Stamp.UnixMilli()
		p.mu.Unlock()
	}
}

// report reads the flows of a page and sends their outcomes.
func (p *inpsPoller) report(ctx context.Context, base string, flows []waasFlow) error {
	outcomes := make([]waasOutcome, len(flows))
	for i, f := range flows {
		code, err := p.judge(&f)
		if err != nil {
			p.shelf.fail(err)
		}
		outcomes[i] = waasOutcome{ID: f.ID, Type: f.Type, Stamp: f.Stamp, TakenAt: f.Stamp, Code: code}
		if code == "OK" {
			outcomes[i].Acquired = "SIUSS-" + f.ID
		} else {
			outcomes[i].Detail = "esito simulato"
		}
	}
	err := p.caller.call(ctx, http.MethodPost, base+"/esiti", "esiti", map[string]any{"elenco_esiti": outcomes}, nil)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range outcomes {
		p.esiti[o.Code]++
	}
	return nil
}

// judge reads one flow and decides its outcome.
func (p *inpsPoller) judge(f *waasFlow) (string, error) {
	doc, err := base64.StdEncoding.DecodeString(f.Flusso)
	if err != nil {
		return "RICHIESTA_INVALIDA", fmt.Errorf("%s: a flow that is no base64", p.caller.system)
	}
	p.shelf.raw(p.caller.system, "flusso-"+f.ID, "xml", doc)
	var x siussFlow
	if err := xml.Unmarshal(doc, &x); err != nil || x.Head.Name != f.ID || x.Head.Body.Code != f.Body {
		return "RICHIESTA_INVALIDA", fmt.Errorf("%s: a flow that is not the one it says", p.caller.system)
	}
	ref := x.Beneficiary.Benefit.Ref
	p.shelf.take(&parcelled{System: p.caller.system, Disclosure: f.ID, Ref: ref,
		Principal: x.Beneficiary.TaxCode, Content: doc})
	p.mu.Lock()
	p.offered[f.ID]++
	times := p.offered[f.ID]
	p.mu.Unlock()
	switch {
	case strings.HasSuffix(ref, refInvalid):
		return "RICHIESTA_INVALIDA", nil
	case strings.HasSuffix(ref, refUncertain) && times == 1:
		return "ERRORE_GENERICO", nil
	}
	return "OK", nil
}

func (p *inpsPoller) outcomes() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[string]int{}
	for k, v := range p.esiti {
		out[k] = v
	}
	return out
}
