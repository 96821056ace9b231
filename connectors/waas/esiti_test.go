package waas_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"raccordo/connectors"
	"raccordo/connectors/connectortest"
	"raccordo/hub/exchange"
)

func TestEsiti(t *testing.T) {
	o, claims, b := open(t)
	items := queue(t, o, claims, "comune_alfa", 5)
	flows := list(t, o, base+"/flussi?since=0&limit=4")
	post := func(body string) {
		t.Helper()
		if w := ask(o, connectortest.System, "POST", base+"/esiti", body); w.Code != http.StatusNoContent || w.Body.Len() != 0 {
			t.Errorf("esiti: %d", w.Code)
		}
	}
	// Another body's e-service does not know this body's flows.
	if w := ask(o, connectortest.System, "POST", "/waas/z902/v1/esiti", esiti(esito(flows[0].ID, flows[0].Stamp, "RICHIESTA_INVALIDA"))); w.Code != http.StatusNoContent {
		t.Errorf("esiti to another body: %d", w.Code)
	}
	state := func(n int, want exchange.State, why exchange.Reason) {
		t.Helper()
		if s, r := claims.State(items[n].Disclosure); s != want || why != "" && r != why {
			t.Errorf("flow %d is %v (%s), want %v (%s)", n, s, r, want, why)
		}
	}
	first := esiti(
		esito(flows[0].ID, flows[0].Stamp, "OK"),
		esito(flows[1].ID, flows[1].Stamp, "RICHIESTA_INVALIDA"),
		esito(flows[2].ID, flows[2].Stamp, "DATI_NON_TROVATI"),
		esito(flows[3].ID, flows[3].Stamp, "ERRORE_GENERICO"),
		esito("Z901.PS.20260301.0000005", flows[3].Stamp, "OK"), // never fetched
		esito("Z901.PS.20260301.9999999", flows[3].Stamp, "OK"), // not there
		esito("something else", flows[3].Stamp, "OK"),
	)
	for range 2 {
		post(first)
		state(0, exchange.StateDelivered, exchange.ReasonDelivered)
		state(1, exchange.StateParked, exchange.ReasonRecipientInvalid)
		state(2, exchange.StateParked, exchange.ReasonRecipientNoData)
		state(3, exchange.StateWaiting, "")
		state(4, exchange.StateWaiting, "")
	}
	if n := b.Counted(connectors.EventUnknownDisclosure); n != 7 {
		t.Errorf("%d unknown outcomes counted, want 7", n)
	}
	post(esiti(esito(flows[0].ID, flows[0].Stamp, "RICHIESTA_INVALIDA"))) // an OK stands
	state(0, exchange.StateDelivered, exchange.ReasonDelivered)

	// A general error is offered again five times, each later than everything before.
	last := flows[3].Stamp
	for n := range connectors.Repeats {
		var again *entry
		for _, f := range list(t, o, base+"/flussi?since=0&limit=100") {
			if f.ID == flows[3].ID {
				again = &f
			}
		}
		if again == nil || again.Stamp <= last {
			t.Fatalf("repetition %d: not offered with a later time", n)
		}
		post(esiti(esito(again.ID, last, "ERRORE_GENERICO"))) // a repeat about the earlier offering
		state(3, exchange.StateClaimed, "")
		last = again.Stamp
		post(esiti(esito(again.ID, last, "ERRORE_GENERICO")))
	}
	state(3, exchange.StateParked, exchange.ReasonRecipientError)
	post(esiti(esito(flows[3].ID, "2026-03-01T11:00:00+01:00", "OK"))) // late, but it has arrived
	state(3, exchange.StateDelivered, "")
	post(esiti())
	post("{}")
}

func TestMalformedEsitiSettleNothing(t *testing.T) {
	o, claims, _ := open(t)
	items := queue(t, o, claims, "comune_alfa", 1)
	flow := list(t, o, base+"/flussi?since=0")[0]
	good := esito(flow.ID, flow.Stamp, "OK")
	without := func(member string) string {
		var m map[string]any
		if err := json.Unmarshal([]byte(good), &m); err != nil {
			t.Fatal(err)
		}
		delete(m, member)
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	many := make([]string, 101)
	for i := range many {
		many[i] = good
	}
	for name, c := range map[string]struct {
		body string
		want int
	}{
		"empty":           {"", 400},
		"null":            {"null", 400},
		"array":           {"[]", 400},
		"cut":             {esiti(good)[:40], 400},
		"behind":          {esiti(good) + "x", 400},
		"other member":    {`{"elenco_esiti":[` + good + `],"x":1}`, 400},
		"wrong member":    {`{"ELENCO_ESITI":[` + good + `]}`, 400},
		"member twice":    {`{"elenco_esiti":[],"elenco_esiti":[` + good + `]}`, 400},
		"code twice":      {esiti(strings.Replace(good, `"codice_esito"`, `"codice_esito":"OK","codice_esito"`, 1)), 400},
		"not a list":      {`{"elenco_esiti":{}}`, 400},
		"not an object":   {`{"elenco_esiti":["x"]}`, 400},
		"101":             {esiti(many...), 400},
		"second bad":      {esiti(good, esito(flow.ID, flow.Stamp, "BENE")), 400},
		"code in lower":   {esiti(esito(flow.ID, flow.Stamp, "ok")), 400},
		"no date":         {esiti(esito(flow.ID, "yesterday", "OK")), 400},
		"number":          {esiti(strings.Replace(good, `"OK"`, "1", 1)), 400},
		"id_flusso":       {esiti(without("id_flusso")), 400},
		"tipo":            {esiti(without("tipo")), 400},
		"ts_flusso":       {esiti(without("ts_flusso")), 400},
		"ts_acquisizione": {esiti(without("ts_acquisizione")), 400},
		"codice_esito":    {esiti(without("codice_esito")), 400},
		"not UTF-8":       {strings.Replace(esiti(good), "a text", "\xff", 1), 400},
		"deep":            {strings.Repeat("[", 100_000), 400},
		"large":           {strings.Replace(esiti(good), "a text", strings.Repeat("x", 1<<20), 1), 413},
	} {
		w := ask(o, connectortest.System, "POST", base+"/esiti", c.body)
		if w.Code != c.want || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d, want %d", name, w.Code, c.want)
		}
		if strings.Contains(w.Body.String(), flow.ID) {
			t.Errorf("%s: the answer echoes the request", name)
		}
		if s, _ := claims.State(items[0].Disclosure); s != exchange.StateClaimed {
			t.Errorf("%s: something was settled: %v", name, s)
		}
	}
	r := httptest.NewRequest("POST", base+"/esiti", strings.NewReader(esiti(good)))
	r.Header.Set("Content-Type", "text/plain")
	w := httptest.NewRecorder()
	o.Mounts()[0].Handler.ServeHTTP(w, r.WithContext(connectors.WithCaller(r.Context(), connectortest.System)))
	if w.Code != http.StatusUnsupportedMediaType {
		t.Errorf("text/plain: %d", w.Code)
	}
	claims.Fail(exchange.NewError(exchange.CodeUnknownOutcome, exchange.ReasonOutcomeUnknown, "").After(2 * time.Hour))
	if w := ask(o, connectortest.System, "POST", base+"/esiti", esiti(good)); w.Code != 503 || w.Header().Get("Retry-After") != "3600" {
		t.Errorf("hub cannot settle: %d, Retry-After %q; INPS must repeat it", w.Code, w.Header().Get("Retry-After"))
	}
}
