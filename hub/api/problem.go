package api

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"raccordo/hub/exchange"
)

// problemType begins the type of every problem; the reason follows.
const problemType = "urn:raccordo:problem:"

const (
	mediaProblem     = "application/problem+json"
	maxProblemFaults = 10_000
	defaultRetry     = 5 * time.Second
)

// problem is a problem document (RFC 9457).
type problem struct {
	Type        string  `json:"type"`
	Title       string  `json:"title"`
	Status      int     `json:"status"`
	Detail      string  `json:"detail"`
	Reason      string  `json:"reason,omitempty"`
	Incident    string  `json:"incident,omitempty"`
	Errors      []fault `json:"errors,omitempty"`
	OAuthError  string  `json:"error,omitempty"`
	OAuthDetail string  `json:"error_description,omitempty"`
}

type fault struct {
	Pointer exchange.Pointer `json:"pointer"`
	Rule    string           `json:"rule"`
	Line    int              `json:"line,omitempty"`
}

var (
	errNotFound = exchange.NewError(exchange.CodeNotFound, exchange.ReasonNotFound, "")
	errMethod   = errors.New("no such method here")
)

// statuses translates codes; what is not in it is a fault of ours.
var statuses = map[exchange.Code]int{
	exchange.CodeMalformed:       http.StatusBadRequest,
	exchange.CodeUnauthenticated: http.StatusUnauthorized,
	exchange.CodeForbidden:       http.StatusForbidden,
	exchange.CodeNotFound:        http.StatusNotFound,
	exchange.CodeConflict:        http.StatusConflict,
	exchange.CodeTooLarge:        http.StatusRequestEntityTooLarge,
	exchange.CodeUnsupported:     http.StatusUnsupportedMediaType,
	exchange.CodeInvalid:         http.StatusUnprocessableEntity,
	exchange.CodeTooMany:         http.StatusTooManyRequests,
	exchange.CodeUnavailable:     http.StatusServiceUnavailable,
	exchange.CodeUnknownOutcome:  http.StatusServiceUnavailable,
}

// fail is the one place where an error becomes a problem document.
func (c *call) fail(err error) {
	if errors.Is(err, errMethod) {
		c.Header().Set("Allow", c.allow)
		c.problem(problem{Status: http.StatusMethodNotAllowed, Reason: string(exchange.ReasonParameter), Detail: "the method is not one of this path"}, 0)
		return
	}
	e := exchange.AsError(err)
	status, known := statuses[e.Code]
	switch {
	case !known && c.r.Context().Err() != nil:
		// The caller went away or the hub is stopping: nobody's fault, and
		// whether it happened is not known.
		c.problem(problem{Status: http.StatusServiceUnavailable, Reason: string(exchange.ReasonOutcomeUnknown),
			Detail: "the request was cut off; repeat it with the same key"}, defaultRetry)
	case !known:
		c.internal("request failed", slog.String("error", causes(err)))
	case status == http.StatusNotFound, c.hides(e):
		c.problem(problem{Status: http.StatusNotFound, Reason: string(exchange.ReasonNotFound), Detail: "there is nothing here for this caller"}, 0)
	default:
		c.problem(problem{Status: status, Reason: string(e.Reason), Detail: e.Detail, Errors: faults(e.Faults, maxProblemFaults)}, e.RetryAfter)
	}
}

// hides says whether a refusal would tell that somebody else's thing is there
// (design.md 5.8). That a caller may never use an operation says nothing of
// any thing.
func (c *call) hides(e *exchange.Error) bool {
	return e.Code == exchange.CodeForbidden && e.Reason != exchange.ReasonRoleMissing && c.route != nil && c.route.byID
}

// causes is the error with what it wraps, for the log: texts of the hub's own.
func causes(err error) string {
	var e *exchange.Error
	if errors.As(err, &e) && errors.Unwrap(e) != nil {
		return fmt.Sprintf("%v: %v", err, errors.Unwrap(e))
	}
	return err.Error()
}

func faults(in []exchange.Fault, most int) []fault {
	if len(in) == 0 {
		return nil
	}
	out := make([]fault, 0, min(len(in), most))
	for _, f := range in[:min(len(in), most)] {
		out = append(out, fault{f.Pointer, f.Rule, f.Line})
	}
	return out
}

// internal answers with an incident, under which what happened is logged.
func (c *call) internal(message string, attrs ...slog.Attr) {
	var id [8]byte
	_, _ = io.ReadFull(c.api.o.Random, id[:]) // zeros are an incident too
	incident := hex.EncodeToString(id[:])
	attrs = append(attrs, slog.String("incident", incident), slog.String("route", c.pattern))
	c.api.o.Logger.LogAttrs(context.WithoutCancel(c.r.Context()), slog.LevelError, message, attrs...)
	c.problem(problem{Status: http.StatusInternalServerError, Reason: string(exchange.ReasonInternal),
		Detail: "a fault of the hub, which is logged under the incident", Incident: incident}, 0)
}

// catch makes an incident of a panic. A panic's value may hold anything, so
// only the runtime's own is logged, and of others the type.
func (c *call) catch() {
	p := recover()
	if p == nil {
		return
	}
	what := fmt.Sprintf("%T", p)
	if e, ok := p.(runtime.Error); ok {
		what = e.Error()
	}
	if c.status != 0 {
		// An answer has begun; what is left is to cut it off.
		c.reason = string(exchange.ReasonInternal)
		c.api.o.Logger.LogAttrs(context.WithoutCancel(c.r.Context()), slog.LevelError, "panic after the answer began",
			slog.String("panic", what), slog.String("route", c.pattern), slog.String("stack", string(debug.Stack())))
		panic(http.ErrAbortHandler)
	}
	c.internal("panic", slog.String("panic", what), slog.String("stack", string(debug.Stack())))
}

func (c *call) problem(p problem, retry time.Duration) {
	p.Type, p.Title = problemType+p.Reason, http.StatusText(p.Status)
	if p.Detail == "" {
		p.Detail = p.Title
	}
	c.reason = p.Reason
	h := c.Header()
	if p.Status < 500 {
		c.limitHeaders(h)
	}
	switch p.Status {
	case http.StatusUnauthorized:
		challenge := `Bearer realm="raccordo"`
		if p.Reason != string(exchange.ReasonTokenMissing) {
			challenge += `, error="invalid_token"`
		}
		h.Set("WWW-Authenticate", challenge)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if retry <= 0 {
			retry = defaultRetry
		}
		h.Set("Retry-After", strconv.Itoa(wholeSeconds(retry, 1)))
	case http.StatusRequestEntityTooLarge:
		h.Set("Connection", "close") // what is left of the body is not read
	}
	if c.route != nil && c.route.path == tokenPath {
		p.OAuthError, p.OAuthDetail = oauthError(p.Status), p.Detail
	}
	h.Set("Content-Type", mediaProblem)
	h.Set("Cache-Control", noStore)
	body, err := json.Marshal(p)
	if err != nil { // a struct of texts and numbers
		body = []byte(`{"type":"` + problemType + `internal","title":"Internal Server Error","status":500,"detail":"Internal Server Error"}`)
	}
	c.send(p.Status, body)
}

// oauthError is the code of RFC 6749 section 5.2 (and 4.1.2.1 for what is the
// server's own) that goes with a status.
func oauthError(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "invalid_client"
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return "temporarily_unavailable"
	case http.StatusInternalServerError:
		return "server_error"
	}
	return "invalid_request"
}
