package demo

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"raccordo/hub/client"
	"raccordo/hub/exchange"
)

// caller is how one simulated system calls the hub's API: with its own key and
// a voucher for one of its purposes.
type caller struct {
	system exchange.SystemID
	api    *client.Client
}

func newCaller(system exchange.SystemID, url, clientID, purposeID string, key *rsa.PrivateKey, random io.Reader, h *http.Client) (*caller, error) {
	c, err := client.New(client.Options{URL: url, ClientID: clientID, PurposeID: purposeID, Key: key, HTTP: h, Now: time.Now, Random: random})
	if err != nil {
		return nil, fmt.Errorf("system %s: %w", system, err)
	}
	return &caller{system, c}, nil
}

// tries bounds how often a request that was put off is repeated.
const tries = 8

// again calls fn until it is answered with something else than "not now" or
// "not known": the same request with the same key.
func (c *caller) again(ctx context.Context, what string, fn func() error) error {
	for try := 1; ; try++ {
		err := fn()
		if err == nil {
			return nil
		}
		e := exchange.AsError(err)
		later := e.Code == exchange.CodeTooMany || e.Code == exchange.CodeUnavailable || e.Code == exchange.CodeUnknownOutcome
		if !later || try == tries {
			return c.failed(what, err)
		}
		if err := pause(ctx, max(e.RetryAfter, 100*time.Millisecond)); err != nil {
			return err
		}
	}
}

// failed names whose request failed, with the pointers and rules of a refusal.
func (c *caller) failed(what string, err error) error {
	var e *exchange.Error
	if errors.As(err, &e) && len(e.Faults) > 0 {
		return fmt.Errorf("%s: %s: %w: %v", c.system, what, err, e.Faults)
	}
	return fmt.Errorf("%s: %s: %w", c.system, what, err)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// push hands one body over.
func (c *caller) push(ctx context.Context, t exchange.RecordType, key, mediaType string, body []byte) (*client.Acknowledgement, error) {
	var ack *client.Acknowledgement
	err := c.again(ctx, "push "+key, func() (err error) {
		ack, err = c.api.Push(ctx, client.Push{Type: t, Key: key, MediaType: mediaType, Body: exchange.NewPayload(body)})
		return err
	})
	return ack, err
}

// call asks for an operation; in and out may be nil.
func (c *caller) call(ctx context.Context, method, path, what string, in, out any) error {
	return c.again(ctx, what, func() error { return c.api.JSON(ctx, method, path, in, out) })
}

// raw is call for whoever wants the bytes of the answer, and reads them too.
func (c *caller) raw(ctx context.Context, path, what string, out any) ([]byte, error) {
	var p exchange.Payload
	if err := c.call(ctx, http.MethodGet, path, what, nil, &p); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(p.Reveal(), out); err != nil {
		return nil, fmt.Errorf("%s: %s: the answer cannot be read", c.system, what)
	}
	return p.Reveal(), nil
}

// status is what became of a record this system pushed, per recipient.
func (c *caller) status(ctx context.Context, t exchange.RecordType, id exchange.RecordID) ([]client.Recipient, error) {
	var s client.RecordStatus
	err := c.again(ctx, "record status", func() (err error) {
		s, err = c.api.RecordStatus(ctx, t, id)
		return err
	})
	return s.Recipients, err
}
