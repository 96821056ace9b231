package crashtest

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"raccordo/hub/client"
	"raccordo/hub/exchange"
)

// Arrival is one disclosure as a recipient got it.
type Arrival struct {
	System     exchange.SystemID     `json:"system"`
	Disclosure exchange.DisclosureID `json:"disclosure_id"`
	Record     exchange.RecordID     `json:"record_id"`
	Flow       exchange.FlowID       `json:"flow"`
	Sequence   uint64                `json:"sequence"`
	Content    json.RawMessage       `json:"record"`
}

// Arrivals collects what all recipients got, in order of arrival.
type Arrivals struct {
	mu  sync.Mutex
	all []Arrival
}

func (a *Arrivals) add(in ...Arrival) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, in...)
}

// All is what arrived so far; what came twice is there twice.
func (a *Arrivals) All() []Arrival {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.all)
}

// Mood is how a recipient behaves.
type Mood int32

// The moods.
const (
	Accepting Mood = iota
	Hanging        // takes connections and requests, never answers
	Unwell         // 503
	Forgetful      // takes what it gets, answers half and cuts the connection
)

// Recipient is a system that the hub calls. What it reads it has received,
// whatever it answers.
type Recipient struct {
	system   exchange.SystemID
	arrivals *Arrivals
	mood     atomic.Int32
	listener net.Listener
	server   *http.Server
	ended    chan struct{}
}

// NewRecipient listens on loopback until Close.
func NewRecipient(system exchange.SystemID, arrivals *Arrivals) (*Recipient, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &Recipient{system: system, arrivals: arrivals, listener: l, ended: make(chan struct{})}
	r.server = &http.Server{Handler: http.HandlerFunc(r.serve), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = r.server.Serve(l) }() // ends with Close
	return r, nil
}

// URL is where the hub calls.
func (r *Recipient) URL() string { return "http://" + r.listener.Addr().String() + "/in" }

// Be changes how it behaves.
func (r *Recipient) Be(m Mood) { r.mood.Store(int32(m)) }

// Close ends it; requests that hang are cut.
func (r *Recipient) Close() {
	close(r.ended)
	_ = r.server.Close()
}

func (r *Recipient) serve(w http.ResponseWriter, q *http.Request) {
	mood := Mood(r.mood.Load())
	if mood == Hanging {
		_, _ = io.Copy(io.Discard, q.Body)
		select {
		case <-q.Context().Done():
		case <-r.ended:
		}
		return
	}
	if mood == Unwell {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	var in struct {
		Disclosures []Arrival `json:"disclosures"`
	}
	if err := json.NewDecoder(q.Body).Decode(&in); err != nil {
		w.WriteHeader(http.StatusBadRequest) // cut off with the hub
		return
	}
	for i := range in.Disclosures {
		in.Disclosures[i].System = r.system
	}
	r.arrivals.add(in.Disclosures...)
	if mood == Forgetful {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(http.StatusNoContent)
}

// Fetcher empties the mailbox of a system, again and again.
type Fetcher struct {
	System   exchange.SystemID
	Client   *client.Client
	Arrivals *Arrivals
}

// Run fetches until ctx ends. What it fetched it acknowledges until the hub
// says what became of it.
func (f *Fetcher) Run(ctx context.Context) {
	for ctx.Err() == nil {
		page, err := f.Client.Fetch(ctx, 0)
		if err != nil || len(page.Items) == 0 {
			pause(ctx, 50*time.Millisecond)
			continue
		}
		acks := make([]client.ItemAcknowledgement, len(page.Items))
		for i, x := range page.Items {
			f.Arrivals.add(Arrival{System: f.System, Disclosure: x.Disclosure, Record: x.Record, Flow: x.Flow, Sequence: x.Sequence,
				Content: x.Content.Reveal()})
			acks[i].Disclosure = x.Disclosure
		}
		for ctx.Err() == nil {
			if _, err := f.Client.Acknowledge(ctx, acks...); err == nil {
				break
			}
			pause(ctx, 50*time.Millisecond)
		}
	}
}

// pause waits, shorter when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
