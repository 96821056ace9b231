package hubtest

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"raccordo/hub/exchange"
)

// Recipient is a fake system that the hub calls. It accepts everything unless
// it is told otherwise.
type Recipient struct {
	server *httptest.Server

	mu       sync.Mutex
	answer   http.HandlerFunc
	received []Received
	requests int
}

// Received is one disclosure, as it arrived.
type Received struct {
	Disclosure exchange.DisclosureID `json:"disclosure_id"`
	Record     exchange.RecordID     `json:"record_id"`
	Type       exchange.RecordType   `json:"record_type"`
	Flow       exchange.FlowID       `json:"flow"`
	Sequence   uint64                `json:"sequence"`
	Attempt    int                   `json:"attempt"`
	Content    json.RawMessage       `json:"record"`
}

func newRecipient(tb testing.TB) *Recipient {
	tb.Helper()
	r := &Recipient{}
	r.server = httptest.NewServer(http.HandlerFunc(r.serve))
	tb.Cleanup(func() {
		r.Answer(nil) // a handler that hangs must not hold the end up
		r.server.CloseClientConnections()
		r.server.Close()
	})
	return r
}

// Recipient is the fake that stands for a system of the network.
func (h *Hub) Recipient(system exchange.SystemID) *Recipient {
	h.tb.Helper()
	r := h.recipients[system]
	require.NotNil(h.tb, r, "the network does not call %s", system)
	return r
}

// URL is where the hub is told to call.
func (r *Recipient) URL() string { return r.server.URL + "/in" }

// Answer has another handler answer from now on; what it answers is not
// counted as received. Nil: accept everything again.
func (r *Recipient) Answer(h http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = h
}

// Received is what was accepted so far, in order of arrival; a disclosure that
// came twice is there twice.
func (r *Recipient) Received() []Received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.received)
}

// Requests is how many requests came, whatever was answered.
func (r *Recipient) Requests() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests
}

func (r *Recipient) serve(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	answer := r.answer
	r.requests++
	r.mu.Unlock()
	if answer != nil {
		answer(w, req)
		return
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	var in struct {
		Disclosures []Received `json:"disclosures"`
	}
	if err := json.Unmarshal(body, &in); err != nil || len(in.Disclosures) == 0 {
		http.Error(w, "not a batch of disclosures", http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	r.received = append(r.received, in.Disclosures...)
	r.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}

// Recipients are all fakes, by the system they stand for.
func (h *Hub) Recipients() map[exchange.SystemID]*Recipient { return maps.Clone(h.recipients) }
