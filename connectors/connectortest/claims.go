package connectortest

import (
	"context"
	"sort"
	"sync"
	"time"

	"raccordo/connectors"
	"raccordo/hub/exchange"
)

// Claims is the hub's side of an outlet in memory, with the rules of
// protocol.md 6.2 and 6.3 about listing, leases and settling. Safe for
// concurrent use.
type Claims struct {
	clock  func() time.Time
	system exchange.SystemID

	mu      sync.Mutex
	rows    []*row
	last    map[exchange.BodyID]int64 // FetchableAt given last
	claimed int                       // calls of Fetch that committed
	fails   error
}

type row struct {
	producer exchange.BodyID
	item     connectors.Fetched
	fetched  bool
	repeats  int
	state    exchange.State
	reason   exchange.Reason
}

// NewClaims serves one system.
func NewClaims(system exchange.SystemID, clock func() time.Time) *Claims {
	return &Claims{clock: clock, system: system, last: map[exchange.BodyID]int64{}}
}

// Queue makes an item fetchable.
func (c *Claims) Queue(producer exchange.BodyID, name string, i connectors.Item) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &row{producer: producer, state: exchange.StateWaiting, reason: exchange.ReasonAwaitingFetch,
		item: connectors.Fetched{Item: i, Name: name}}
	r.item.Attempt = 0
	c.offer(r)
	c.rows = append(c.rows, r)
}

// offer gives a FetchableAt that is greater than any before, whatever the
// clock does.
func (c *Claims) offer(r *row) {
	c.last[r.producer] = max(c.clock().UnixMilli(), c.last[r.producer]+1)
	r.item.FetchableAt = c.last[r.producer]
	r.item.LeasedUntil = time.Time{}
}

// Fail makes every further call fail with err; nil ends that.
func (c *Claims) Fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fails = err
}

// Claimed is how many fetches have committed.
func (c *Claims) Claimed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.claimed
}

// State is where a disclosure is, and why.
func (c *Claims) State(d exchange.DisclosureID) (exchange.State, exchange.Reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.rows {
		if r.item.Disclosure == d {
			return r.state, r.reason
		}
	}
	return 0, ""
}

// Fetch implements [connectors.Claims].
func (c *Claims) Fetch(_ context.Context, q connectors.FetchRequest) (connectors.FetchResult, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fails != nil {
		return connectors.FetchResult{}, c.fails
	}
	now := c.clock()
	var open []*row
	for _, r := range c.rows {
		if q.System == c.system && (q.Producer == "" || q.Producer == r.producer) && !r.state.Final() && r.state != exchange.StateParked &&
			r.item.FetchableAt > q.Since && !r.item.LeasedUntil.After(now) {
			open = append(open, r)
		}
	}
	sort.Slice(open, func(i, j int) bool { return open[i].item.FetchableAt < open[j].item.FetchableAt })
	var out connectors.FetchResult
	size := 0
	for _, r := range open {
		if len(out.Items) == q.Max || len(out.Items) > 0 && size+r.item.Body.Len() > q.MaxBytes {
			out.More = true
			break
		}
		size += r.item.Body.Len()
		r.fetched, r.state = true, exchange.StateClaimed
		r.item.Attempt++
		if q.Lease > 0 {
			r.item.LeasedUntil = now.Add(q.Lease)
		}
		out.Items = append(out.Items, r.item)
	}
	c.claimed++
	return out, nil
}

// Acknowledge implements [connectors.Claims].
func (c *Claims) Acknowledge(_ context.Context, q connectors.AckRequest) ([]connectors.AckResult, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fails != nil {
		return nil, c.fails
	}
	out := make([]connectors.AckResult, len(q.Acks))
	for i, a := range q.Acks {
		for _, r := range c.rows {
			same := r.item.Disclosure == a.Disclosure
			if a.Disclosure == (exchange.DisclosureID{}) {
				same = a.Name != "" && r.item.Name == a.Name
			}
			if same && r.fetched && q.System == c.system && (q.Producer == "" || q.Producer == r.producer) {
				out[i] = c.settle(r, a)
			}
		}
	}
	return out, nil
}

func (c *Claims) settle(r *row, a connectors.Ack) connectors.AckResult {
	switch {
	case r.state == exchange.StateDelivered:
		return connectors.AckRepeated
	case a.Result == connectors.AckAccepted:
		r.state, r.reason = exchange.StateDelivered, exchange.ReasonDelivered
		return connectors.AckSettled
	case r.state != exchange.StateClaimed, a.FetchableAt != 0 && a.FetchableAt < r.item.FetchableAt:
		return connectors.AckRepeated
	case a.Result == connectors.AckRetry && r.repeats < connectors.Repeats:
		r.repeats++
		r.state = exchange.StateWaiting
		c.offer(r)
		return connectors.AckSettled
	}
	r.state, r.reason = exchange.StateParked, a.Reason
	return connectors.AckSettled
}
