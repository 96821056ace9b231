package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"raccordo/hub/exchange"
)

// webhookServer is a system that the hub calls: the social record of a Comune
// or the management software of a provider.
type webhookServer struct {
	system   exchange.SystemID
	shelf    *shelf
	listener net.Listener
	server   *http.Server
	answers  bool // names a result per disclosure; else an empty 204 takes all

	down    atomic.Bool
	refused atomic.Int64 // requests turned away while down
	done    chan struct{}
}

// webhookPath is where requests are taken.
const webhookPath = "/api/richieste"

const maxRequest = 64 << 20

func newWebhookServer(system exchange.SystemID, answers bool) (*webhookServer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("simulated system %s: %w", system, err)
	}
	return &webhookServer{system: system, listener: l, answers: answers, done: make(chan struct{})}, nil
}

// url is where the hub is told to call.
func (w *webhookServer) url() string { return "http://" + w.listener.Addr().String() + webhookPath }

func (w *webhookServer) start(s *shelf) {
	w.shelf = s
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+webhookPath, w.receive)
	w.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		defer close(w.done)
		if err := w.server.Serve(w.listener); !errors.Is(err, http.ErrServerClosed) {
			w.shelf.fail(fmt.Errorf("simulated system %s: %w", w.system, err))
		}
	}()
}

func (w *webhookServer) stop(ctx context.Context) error {
	if w.server == nil {
		return w.listener.Close()
	}
	err := w.server.Shutdown(ctx)
	<-w.done
	return err
}

// delivery is the body of a request of several records (connectors/webhook).
type delivery struct {
	Recipient   exchange.SystemID `json:"recipient"`
	Disclosures []struct {
		Disclosure string              `json:"disclosure_id"`
		Record     exchange.RecordID   `json:"record_id"`
		Type       exchange.RecordType `json:"record_type"`
		Flow       exchange.FlowID     `json:"flow"`
		Sequence   uint64              `json:"sequence"`
		Attempt    int                 `json:"attempt"`
		Content    json.RawMessage     `json:"record"`
	} `json:"disclosures"`
}

func (w *webhookServer) receive(rw http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(io.LimitReader(r.Body, maxRequest))
	if err != nil {
		rw.WriteHeader(http.StatusBadRequest)
		return
	}
	if w.down.Load() { // nothing is kept: whoever is down has nothing
		w.refused.Add(1)
		rw.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	var d delivery
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil || d.Recipient != w.system || len(d.Disclosures) == 0 {
		w.shelf.fail(fmt.Errorf("%s: a request that is not of the contract", w.system))
		rw.WriteHeader(http.StatusBadRequest)
		return
	}
	w.shelf.raw(w.system, "request", "json", b)
	type result struct {
		Disclosure string `json:"disclosure_id"`
		Result     string `json:"result"`
	}
	results := make([]result, len(d.Disclosures))
	for i, x := range d.Disclosures {
		p := &parcelled{System: w.system, Disclosure: x.Disclosure, Record: x.Record, Flow: x.Flow, Sequence: x.Sequence, Content: x.Content}
		if err := p.read(); err != nil {
			w.shelf.fail(err)
		}
		w.shelf.take(p)
		results[i] = result{x.Disclosure, "accepted"}
	}
	if !w.answers {
		rw.WriteHeader(http.StatusNoContent)
		return
	}
	rw.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(rw).Encode(map[string]any{"results": results})
}
