package waas

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"regexp"
	"time"

	"raccordo/connectors"
	"raccordo/hub/exchange"
)

const (
	maxOutcomes     = 100     // ElencoEsiti.elenco_esiti.maxItems
	maxOutcomesBody = 1 << 20 // bytes of one POST /esiti
)

// outcomes answers POST /esiti. 204 is answered only when everything that was
// to be settled is durable: INPS repeats a notification that got anything else.
func (s *service) outcomes(w http.ResponseWriter, r *http.Request) {
	if !s.admit(w, r, http.MethodPost) {
		return
	}
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		problem(w, http.StatusUnsupportedMediaType, "the body must be application/json", 0)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxOutcomesBody))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			problem(w, http.StatusRequestEntityTooLarge, "the body is too large", 0)
			return
		}
		problem(w, http.StatusBadRequest, "the body could not be read", 0)
		return
	}
	acks, unknown, rule := parseOutcomes(body)
	if rule != "" {
		problem(w, http.StatusBadRequest, rule, 0)
		return
	}
	if len(acks) > 0 {
		results, err := s.outlet.claims.Acknowledge(r.Context(), connectors.AckRequest{
			System:   s.outlet.settings.System,
			Producer: exchange.BodyID(s.body.Body),
			Acks:     acks,
		})
		if err != nil {
			s.failed(w, "esiti", err)
			return
		}
		for _, result := range results {
			if result == connectors.AckUnknown {
				unknown++
			}
		}
	}
	if unknown > 0 {
		s.outlet.settings.Metrics.Count(connectors.EventUnknownDisclosure, unknown)
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
}

// flowID is what an id_flusso looks like; nothing else can be one of ours. The
// official example has eight digits at the end where its description says
// seven.
var flowID = regexp.MustCompile(`^[A-Z][0-9]{3}\.(PS|SINBA)\.[0-9]{8}\.[0-9]{7,8}$`)

// parseOutcomes reads ElencoEsiti: no further member beside elenco_esiti, at
// most 100 elements, each with its required members. Members of an element that
// are not known are ignored, as the schema of EsitoFlusso leaves them open. The
// rule names the member, never its value; unknown counts the outcomes about
// what cannot be an id of ours.
func parseOutcomes(body []byte) (acks []connectors.Ack, unknown int, rule string) {
	v, err := connectors.ParseJSON(body)
	if err != nil {
		return nil, 0, "the body must be one JSON object without repeated members"
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, 0, "the body must be an object"
	}
	list, present := object["elenco_esiti"]
	if len(object) > 1 || (len(object) == 1 && !present) {
		return nil, 0, "the body may only have the member elenco_esiti"
	}
	if !present {
		return nil, 0, ""
	}
	elements, ok := list.([]any)
	if !ok || len(elements) > maxOutcomes {
		return nil, 0, "elenco_esiti must be a list of at most 100 elements"
	}
	acks = make([]connectors.Ack, 0, len(elements))
	for _, e := range elements {
		ack, rule := parseOutcome(e)
		switch {
		case rule != "":
			return nil, 0, rule
		case flowID.MatchString(ack.Name):
			acks = append(acks, ack)
		default:
			unknown++
		}
	}
	return acks, unknown, ""
}

func parseOutcome(v any) (ack connectors.Ack, rule string) {
	element, ok := v.(map[string]any)
	if !ok {
		return ack, "an element of elenco_esiti must be an object"
	}
	texts := map[string]string{}
	for _, name := range []string{"id_flusso", "tipo", "ts_flusso", "ts_acquisizione", "codice_esito"} {
		t, ok := element[name].(string)
		if !ok {
			return ack, "an element of elenco_esiti must have the text " + name
		}
		texts[name] = t
	}
	offered, err := time.Parse(time.RFC3339, texts["ts_flusso"])
	if err != nil {
		return ack, "ts_flusso must be a date and time (RFC 3339)"
	}
	if _, err := time.Parse(time.RFC3339, texts["ts_acquisizione"]); err != nil {
		return ack, "ts_acquisizione must be a date and time (RFC 3339)"
	}
	ack = connectors.Ack{Name: texts["id_flusso"], FetchableAt: offered.UnixMilli()}
	switch texts["codice_esito"] {
	case "OK":
		ack.Result, ack.Reason = connectors.AckAccepted, exchange.ReasonDelivered
	case "RICHIESTA_INVALIDA":
		ack.Result, ack.Reason = connectors.AckRefused, exchange.ReasonRecipientInvalid
	case "DATI_NON_TROVATI":
		ack.Result, ack.Reason = connectors.AckRefused, exchange.ReasonRecipientNoData
	case "ERRORE_GENERICO":
		ack.Result, ack.Reason = connectors.AckRetry, exchange.ReasonRecipientError
	default:
		return ack, "codice_esito must be OK, DATI_NON_TROVATI, RICHIESTA_INVALIDA or ERRORE_GENERICO"
	}
	return ack, ""
}
