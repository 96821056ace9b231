package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"time"

	"raccordo/hub/exchange"
)

// Client talks to a running hub over its socket.
type Client struct {
	socket string
	http   *http.Client
}

// Dial makes a client for a socket; nothing is opened before the first call.
func Dial(socket string) *Client {
	return &Client{socket, &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", socket)
	}}}}
}

// Call asks for one operation; refusals come back as *exchange.Error.
func Call[Out, In any](ctx context.Context, c *Client, op string, in In) (Out, error) {
	var out Out
	b, err := json.Marshal(in)
	if err != nil {
		return out, fmt.Errorf("%s: %w", op, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://hub/"+op, bytes.NewReader(b))
	if err != nil {
		return out, fmt.Errorf("%s: %w", op, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return out, c.lost(err)
	}
	defer func() { _ = resp.Body.Close() }()
	d := json.NewDecoder(resp.Body)
	if resp.StatusCode != http.StatusOK {
		var r refusal
		if err := d.Decode(&r); err != nil {
			return out, fmt.Errorf("%s: the hub answered %d", op, resp.StatusCode)
		}
		return out, exchange.NewError(r.Code, r.Reason, r.Detail, r.Faults...).After(time.Duration(r.Retry) * time.Millisecond)
	}
	if err := d.Decode(&out); err != nil {
		return out, fmt.Errorf("%s: %w", op, err)
	}
	return out, nil
}

// lost is an answer that did not come. The URL of the request is of no use to
// anyone: it is the socket that was called.
func (c *Client) lost(err error) error {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		err = u.Err
	}
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return &silent{c.socket, err}
	}
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		err = op.Err
	}
	return fmt.Errorf("the hub's control socket %s: %w", c.socket, err)
}

// silent says that no hub is there; what the system says stays for errors.Is.
type silent struct {
	socket string
	cause  error
}

func (s *silent) Error() string {
	return "no hub answers on its control socket " + s.socket + "; is it running?"
}

func (s *silent) Unwrap() error { return s.cause }
