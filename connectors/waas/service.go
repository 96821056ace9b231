package waas

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"raccordo/connectors"
	"raccordo/hub/exchange"
)

// service is the e-service of one body.
type service struct {
	outlet *Outlet
	body   Body
}

// admit reports whether the request is the configured system's and has the
// method; else it has answered.
func (s *service) admit(w http.ResponseWriter, r *http.Request, method string) bool {
	caller, ok := connectors.CallerFrom(r.Context())
	if !ok || caller != s.outlet.settings.System {
		s.outlet.settings.Metrics.Count(connectors.EventWrongCaller, 1)
		notFound(w, r)
		return false
	}
	return allow(w, r, method)
}

func allow(w http.ResponseWriter, r *http.Request, method string) bool {
	if r.Method != method {
		w.Header().Set("Allow", method)
		problem(w, http.StatusMethodNotAllowed, "the method is not allowed here", 0)
		return false
	}
	return true
}

// flows answers GET /flussi.
func (s *service) flows(w http.ResponseWriter, r *http.Request) {
	if !s.admit(w, r, http.MethodGet) { // HEAD too is refused: it would claim and write nothing
		return
	}
	since, limit, rule := parameters(r.URL.RawQuery)
	if rule != "" {
		problem(w, http.StatusBadRequest, rule, 0)
		return
	}
	if limit == 0 {
		writeJSON(w, []byte(`{"elenco_flussi":[]}`))
		return
	}
	result, err := s.outlet.claims.Fetch(r.Context(), connectors.FetchRequest{
		System:   s.outlet.settings.System,
		Producer: exchange.BodyID(s.body.Body),
		Since:    since,
		Max:      limit,
		MaxBytes: maxPage,
	})
	if err != nil {
		s.failed(w, "fetch", err)
		return
	}
	page, err := s.page(result.Items, since, limit)
	if err != nil {
		s.failed(w, "fetch", err)
		return
	}
	writeJSON(w, page)
}

// parameters reads since and limit; rule says what is wrong with them.
func parameters(query string) (since int64, limit int, rule string) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return 0, 0, "the query string is malformed"
	}
	if len(values["since"]) != 1 || len(values["limit"]) > 1 {
		return 0, 0, "since must be given once, limit at most once"
	}
	if since, err = digits(values.Get("since"), 64); err != nil {
		return 0, 0, "since must be a time in milliseconds, a whole number from 0"
	}
	if !values.Has("limit") {
		return since, 10, ""
	}
	n, err := digits(values.Get("limit"), 32)
	if err != nil || n > 100 {
		return 0, 0, "limit must be a whole number from 0 to 100"
	}
	return since, int(n), ""
}

// digits reads a number without sign.
func digits(s string, bits int) (int64, error) {
	if s == "" || s[0] < '0' || s[0] > '9' {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseInt(s, 10, bits)
}

var errOrder = errors.New("the claimed items are not in the order of their times, or too many")

// flow is one element of elenco_flussi. Its base64 is written by hand: it is
// the bulk of the answer.
type flow struct {
	Body  string `json:"codice_ente"`
	Name  string `json:"denominazione_ente"`
	ID    string `json:"id_flusso"`
	Type  string `json:"tipo"`
	Stamp string `json:"ts_flusso"`
}

// page writes the answer. Items that cannot be presented are left out, logged
// and counted: they stay claimed, and the hub has bounded and named them.
func (s *service) page(items []connectors.Fetched, since int64, limit int) ([]byte, error) {
	if len(items) > limit {
		return nil, errOrder
	}
	size := 64
	for i := range items {
		size += 512 + 2*len(s.body.Name) + base64.StdEncoding.EncodedLen(items[i].Body.Len())
	}
	b := append(make([]byte, 0, size), `{"elenco_flussi":[`...)
	first := true
	for i := range items {
		it := &items[i]
		if it.FetchableAt <= since {
			return nil, errOrder
		}
		since = it.FetchableAt
		tipo := s.outlet.config.Types[string(it.Type)]
		if tipo == "" || it.Name == "" || len(it.Name) > 50 || it.Body.Len() == 0 || it.Body.Len() > s.outlet.MaxBody() {
			s.outlet.settings.Metrics.Count(connectors.EventUnpresentable, 1)
			s.outlet.settings.Logger.Error("a claimed flow cannot be presented", "disclosure", it.Disclosure.String())
			continue
		}
		head, err := json.Marshal(flow{Body: s.body.Belfiore, Name: s.body.Name, ID: it.Name, Type: tipo, Stamp: stamp(it.FetchableAt)})
		if err != nil {
			return nil, errOrder
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, head[:len(head)-1]...)
		b = append(b, `,"flusso":"`...)
		b = base64.StdEncoding.AppendEncode(b, it.Body.Reveal())
		b = append(b, `"}`...)
	}
	return append(b, `]}`...), nil
}

// stampLayout is RFC 3339 in UTC with milliseconds, always three digits.
const stampLayout = "2006-01-02T15:04:05.000Z"

func stamp(ms int64) string { return time.UnixMilli(ms).UTC().Format(stampLayout) }

// status answers GET /status. It says that the e-service is there; whether the
// hub is ready is asked elsewhere.
func (s *service) status(w http.ResponseWriter, r *http.Request) {
	if !allow(w, r, http.MethodGet) {
		return
	}
	problem(w, http.StatusOK, "the service is there", 0)
}

// failed answers for an error of the hub. Its cause is for the log.
func (s *service) failed(w http.ResponseWriter, what string, err error) {
	e := exchange.AsError(err)
	s.outlet.settings.Logger.Error("the hub could not serve a request for flows", "what", what, "reason", string(e.Reason), "error", err)
	switch e.Code {
	case exchange.CodeTooMany:
		problem(w, http.StatusTooManyRequests, "too many requests", e.RetryAfter)
	case exchange.CodeUnavailable, exchange.CodeUnknownOutcome:
		problem(w, http.StatusServiceUnavailable, "not now", max(e.RetryAfter, time.Second))
	case exchange.CodeNotFound, exchange.CodeForbidden:
		problem(w, http.StatusNotFound, "there is nothing here", 0)
	default:
		problem(w, http.StatusInternalServerError, "the request could not be served", 0)
	}
}

func notFound(w http.ResponseWriter, _ *http.Request) {
	problem(w, http.StatusNotFound, "there is nothing here", 0)
}

// problem answers application/problem+json (RFC 9457), as the OpenAPI's Problem
// schema, which also /status uses.
func problem(w http.ResponseWriter, status int, detail string, after time.Duration) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if after > 0 {
		h.Set("Retry-After", strconv.Itoa(int(min(after, connectors.MaxRetryAfter).Round(time.Second)/time.Second)))
	}
	b, err := json.Marshal(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{"about:blank", http.StatusText(status), status, detail})
	if err != nil {
		b = nil
	}
	w.WriteHeader(status)
	_, _ = w.Write(b) // the caller is gone
}

func writeJSON(w http.ResponseWriter, b []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = w.Write(b) // the caller is gone: what it did not get is listed again
}
