package client

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"raccordo/hub/access"
	"raccordo/hub/exchange"
)

// Bounds of answers: the largest is a page of a mailbox.
const (
	maxAnswer      = 96 << 20
	defaultTimeout = time.Minute
	early          = 30 * time.Second // a voucher is not used any more this long before it expires
)

// Options say who calls, and where.
type Options struct {
	URL       string        // base URL of the hub's API, required
	TokenURL  string        // where vouchers come from; default URL/v1/token.oauth2
	ClientID  string        // of the system, required
	PurposeID string        // vouchers are for, required
	Key       crypto.Signer // the system's RSA key, required
	HTTP      *http.Client  // default: one with a time-out of a minute; redirects are refused in any case
	Now       func() time.Time
	Random    io.Reader
}

// Client calls the hub in the name of one system. It is safe for concurrent
// use.
type Client struct {
	o    Options
	http *http.Client

	mu      sync.Mutex
	voucher Voucher
}

// New checks o. Nothing is called before the first request.
func New(o Options) (*Client, error) {
	o.URL = strings.TrimSuffix(o.URL, "/")
	if u, err := url.Parse(o.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("client: the URL of the hub must be http(s)://host:port")
	}
	if o.ClientID == "" || o.PurposeID == "" || o.Key == nil || o.Now == nil || o.Random == nil {
		return nil, errors.New("client: an option is missing")
	}
	if o.TokenURL == "" {
		o.TokenURL = o.URL + "/v1/token.oauth2"
	}
	h := http.Client{Timeout: defaultTimeout}
	if o.HTTP != nil {
		h = *o.HTTP
	}
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{o: o, http: &h}, nil
}

// Voucher is what a caller sends as its bearer token.
type Voucher struct {
	Token   string
	Expires time.Time
}

// Voucher is one that may still be used for a while; it is asked for if there
// is none.
func (c *Client) Voucher(ctx context.Context) (Voucher, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.o.Now()
	if c.voucher.Token != "" && now.Add(early).Before(c.voucher.Expires) {
		return c.voucher, nil
	}
	assertion, err := access.NewAssertion(c.o.Key, access.AssertionOptions{ClientID: c.o.ClientID, PurposeID: c.o.PurposeID,
		TokenEndpoint: c.o.TokenURL, Now: now, Random: c.o.Random})
	if err != nil {
		return Voucher{}, err
	}
	form := url.Values{"client_id": {c.o.ClientID}, "client_assertion": {assertion},
		"client_assertion_type": {access.AssertionType}, "grant_type": {access.GrantType}}
	var out struct {
		Token string `json:"access_token"`
		Life  int64  `json:"expires_in"`
	}
	err = c.send(ctx, request{method: http.MethodPost, url: c.o.TokenURL, media: "application/x-www-form-urlencoded",
		body: []byte(form.Encode())}, &out)
	if err != nil {
		return Voucher{}, fmt.Errorf("ask for a voucher: %w", err)
	}
	c.voucher = Voucher{Token: out.Token, Expires: now.Add(time.Duration(out.Life) * time.Second)}
	return c.voucher, nil
}

// forget drops a voucher that was refused.
func (c *Client) forget(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.voucher.Token == token {
		c.voucher = Voucher{}
	}
}

// JSON calls any operation of the API: path begins with /v1/ or is that of an
// inverse e-service. in and out may be nil. Errors are [*exchange.Error]s.
func (c *Client) JSON(ctx context.Context, method, path string, in, out any) error {
	r := request{method: method, url: c.o.URL + path}
	if in != nil {
		var err error
		if r.body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("write request: %w", err)
		}
		r.media = "application/json"
	}
	return c.authorised(ctx, r, out)
}

// authorised sends r with a voucher. A voucher that is refused (the issuer has
// other keys now) is replaced once.
func (c *Client) authorised(ctx context.Context, r request, out any) error {
	for again := false; ; again = true {
		v, err := c.Voucher(ctx)
		if err != nil {
			return err
		}
		r.token = v.Token
		err = c.send(ctx, r, out)
		var e *exchange.Error
		if !errors.As(err, &e) || e.Code != exchange.CodeUnauthenticated || again {
			return err
		}
		c.forget(v.Token)
	}
}

type request struct {
	method, url, media, key, token string
	body                           []byte
}

func (c *Client) send(ctx context.Context, r request, out any) error {
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, bytes.NewReader(r.body))
	if err != nil {
		return fmt.Errorf("call the hub: %w", err)
	}
	for name, value := range map[string]string{"Content-Type": r.media, "Idempotency-Key": r.key} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return lost(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return lost(err)
	}
	if resp.StatusCode/100 != 2 {
		return problem(resp, body)
	}
	if raw, ok := out.(*exchange.Payload); ok {
		*raw = exchange.NewPayload(body)
		return nil
	}
	if out == nil || resp.StatusCode == http.StatusNoContent {
		return nil
	}
	if json.Unmarshal(body, out) != nil {
		return exchange.NewError(exchange.CodeUnknownOutcome, exchange.ReasonOutcomeUnknown, "what answered is not a hub of this version")
	}
	return nil
}

// lost is an answer that did not come. Only where no connection was made it is
// known that nothing happened.
func lost(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return exchange.NewError(exchange.CodeUnavailable, exchange.ReasonOverloaded, "no hub answers at this address").Because(err)
	}
	return exchange.NewError(exchange.CodeUnknownOutcome, exchange.ReasonOutcomeUnknown,
		"the answer was lost; it may have happened: repeat it with the same key").Because(err)
}

var codes = map[int]exchange.Code{
	http.StatusBadRequest: exchange.CodeMalformed, http.StatusUnauthorized: exchange.CodeUnauthenticated,
	http.StatusForbidden: exchange.CodeForbidden, http.StatusNotFound: exchange.CodeNotFound,
	http.StatusMethodNotAllowed: exchange.CodeMalformed,
	http.StatusConflict:         exchange.CodeConflict, http.StatusRequestEntityTooLarge: exchange.CodeTooLarge,
	http.StatusUnsupportedMediaType: exchange.CodeUnsupported, http.StatusUnprocessableEntity: exchange.CodeInvalid,
	http.StatusTooManyRequests: exchange.CodeTooMany, http.StatusServiceUnavailable: exchange.CodeUnavailable,
}

// problem reads a problem document (RFC 9457). Of anything else only the status
// is told.
func problem(resp *http.Response, body []byte) error {
	var p struct {
		Detail string           `json:"detail"`
		Reason exchange.Reason  `json:"reason"`
		Errors []exchange.Fault `json:"errors"`
	}
	media, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	code, known := codes[resp.StatusCode]
	if media != "application/problem+json" || json.Unmarshal(body, &p) != nil || p.Reason == "" {
		if resp.StatusCode >= 500 {
			code, known = exchange.CodeUnknownOutcome, true
		}
		if !known {
			code = exchange.CodeInternal
		}
		return exchange.NewError(code, exchange.ReasonInternal, "answered with status "+strconv.Itoa(resp.StatusCode)+" and no problem document")
	}
	if p.Reason == exchange.ReasonOutcomeUnknown {
		code = exchange.CodeUnknownOutcome
	}
	e := exchange.NewError(code, p.Reason, p.Detail, p.Errors...)
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		e = e.After(time.Duration(s) * time.Second)
	}
	return e
}
