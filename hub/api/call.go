package api

import (
	"context"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"raccordo/hub/access"
	"raccordo/hub/exchange"
)

// call is one request on its way. It is also the ResponseWriter that the mux
// hands on, which is how a route finds its call again.
type call struct {
	http.ResponseWriter
	api     *API
	r       *http.Request
	start   time.Time
	pattern string // of the route table, "none" if it is on none
	route   *route
	caller  Caller
	quota   access.Quota
	counted bool
	reason  string // for the account: "ok", or why not
	allow   string // Allow of a 405

	media string
	key   string
	body  []byte
	held  int64 // bytes of the budget

	status int
	bytes  int64
}

// WriteHeader notes the status for the account.
func (c *call) WriteHeader(status int) {
	if c.status == 0 {
		c.status = status
	}
	c.ResponseWriter.WriteHeader(status)
}

func (c *call) Write(b []byte) (int, error) {
	if c.status == 0 {
		c.status = http.StatusOK
	}
	n, err := c.ResponseWriter.Write(b)
	c.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (c *call) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// ServeHTTP serves one request and accounts for it: one log line and one
// observation, whatever happens.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{ResponseWriter: w, api: a, r: r, pattern: "none", reason: "ok", start: a.o.Now()}
	defer c.account()
	defer c.catch()
	if err := c.guard(); err != nil {
		c.fail(err)
		return
	}
	a.mux.ServeHTTP(c, r)
}

// finish writes what a route came to.
func (c *call) finish(ans *answer, err error) {
	if err != nil {
		c.fail(err)
		return
	}
	c.write(ans)
}

// dispatch takes a request through the checks, cheapest first, and to its
// handler. Nothing of a body is read before the caller is known.
func (c *call) dispatch(path string, routes []route) (*answer, error) {
	c.pattern = path
	for i := range routes {
		if routes[i].method == c.r.Method {
			c.route = &routes[i]
		}
	}
	if c.route == nil {
		c.allow = allowed(routes)
		return nil, errMethod
	}
	if err := c.admit(c.route.public, c.api.o.Expect); err != nil {
		return nil, err
	}
	if err := c.checkQuery(); err != nil {
		return nil, err
	}
	if err := c.readBody(); err != nil {
		return nil, err
	}
	return c.route.serve(c.r.Context(), c)
}

// admit recognises the caller, unless the route is public, and counts the call.
func (c *call) admit(public bool, expect access.Expect) error {
	if public {
		return c.count(addressKey(c.r.RemoteAddr))
	}
	raw, err := bearer(c.r.Header)
	if err == nil {
		c.caller, err = c.api.o.Verifier.Verify(c.r.Context(), raw, expect)
	}
	if err != nil {
		// Those who are not known share the budget of their address, so that
		// guessing tokens is slow.
		if limited := c.count(addressKey(c.r.RemoteAddr)); limited != nil {
			return limited
		}
		return err
	}
	return c.count(string(c.caller.System))
}

func (c *call) count(key string) error {
	c.quota, c.counted = c.api.o.Limits.Allow(key, 1), true
	if c.quota.OK {
		return nil
	}
	return exchange.NewError(exchange.CodeTooMany, exchange.ReasonRateLimited, "over the rate of the caller").After(c.quota.Reset)
}

// bearer is the one bearer token of a request.
func bearer(h http.Header) (string, error) {
	values := h.Values("Authorization")
	if len(values) == 0 {
		return "", exchange.NewError(exchange.CodeUnauthenticated, exchange.ReasonTokenMissing, "a voucher is required")
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	if len(values) > 1 || !ok || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", exchange.NewError(exchange.CodeUnauthenticated, exchange.ReasonTokenInvalid, "the token is not valid here")
	}
	return token, nil
}

// addressKey is the rate-limit key of one who is not known: the peer's own
// address (what proxies claim is not looked at), and of IPv6 the network that
// one host can roam in.
func addressKey(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return "address:"
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return "address:"
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return "address:" + p.String()
		}
	}
	return "address:" + addr.String()
}

func (c *call) limitHeaders(h http.Header) {
	if !c.counted {
		// Refused before anyone was counted: it counts all the same, and an
		// empty bucket only shows in the headers.
		_ = c.count(addressKey(c.r.RemoteAddr))
	}
	h["X-Ratelimit-Limit"] = []string{strconv.Itoa(c.quota.Limit)}
	h["X-Ratelimit-Remaining"] = []string{strconv.Itoa(c.quota.Remaining)}
	h["X-Ratelimit-Reset"] = []string{strconv.Itoa(wholeSeconds(c.quota.Reset, 0))}
}

func wholeSeconds(d time.Duration, least int) int {
	return min(86400, max(least, int(math.Ceil(d.Seconds()))))
}

func (c *call) write(ans *answer) {
	h := c.Header()
	c.limitHeaders(h)
	h.Set("Content-Type", ans.media)
	h.Set("Cache-Control", ans.cache)
	if ans.location != "" {
		h.Set("Location", ans.location)
	}
	c.send(ans.status, ans.body)
}

func (c *call) send(status int, body []byte) {
	h := c.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	c.WriteHeader(status)
	// Who went away learns nothing from the error; what was promised is durable.
	_, _ = c.Write(body)
}

// account gives back what the call held and accounts for it. The line has a
// closed set of fields: no path, no query, no header of the caller's.
func (c *call) account() {
	c.api.budget.release(c.held)
	took := c.api.o.Now().Sub(c.start)
	c.api.o.Metrics.Observe(c.pattern, c.status, c.reason, took)
	c.api.o.Logger.LogAttrs(context.WithoutCancel(c.r.Context()), slog.LevelInfo, "request",
		slog.String("method", knownMethod(c.r.Method)),
		slog.String("route", c.pattern),
		slog.Int("status", c.status),
		slog.String("reason", c.reason),
		slog.String("system", string(c.caller.System)),
		slog.Duration("duration", took),
		slog.Int("bytes_in", len(c.body)),
		slog.Int64("bytes_out", c.bytes))
}

func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodPost, http.MethodHead, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions, http.MethodTrace, http.MethodConnect:
		return m
	}
	return "other"
}
