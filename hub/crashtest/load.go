package crashtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"raccordo/hub/client"
	"raccordo/hub/exchange"
)

// Request is what a client sends under one key until it is answered.
type Request struct {
	Key   string
	Batch bool // NDJSON
	Sent  []Sent
}

func (r *Request) push() client.Push {
	p := client.Push{Type: "service_request", Key: r.Key, MediaType: "application/json"}
	var b bytes.Buffer
	for _, s := range r.Sent {
		b.Write(s.Body())
		b.WriteByte('\n')
	}
	if r.Batch {
		p.MediaType = client.MediaNDJSON
	}
	p.Body = exchange.NewPayload(b.Bytes())
	return p
}

// Answered is a request and what the hub acknowledged, by line.
type Answered struct {
	*Request
	Records []*exchange.RecordID // nil: refused
	Tries   int
}

// History keeps every call and answer of a run, in memory and in a file: keys,
// numbers and ids, nothing of a person.
type History struct {
	mu       sync.Mutex
	out      *json.Encoder
	began    time.Time
	answered []*Answered
}

// NewHistory writes to w, one JSON object a line.
func NewHistory(w io.Writer) *History { return &History{out: json.NewEncoder(w), began: time.Now()} }

// Note writes one line about anything that happened.
func (h *History) Note(what string, facts map[string]any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.write(what, facts)
}

func (h *History) write(what string, facts map[string]any) {
	line := map[string]any{"at": time.Since(h.began).String(), "what": what}
	for k, v := range facts {
		line[k] = v
	}
	_ = h.out.Encode(line) // a history that cannot be written fails nothing
}

func (h *History) acknowledge(a *Answered) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answered = append(h.answered, a)
	numbers := make([]string, len(a.Sent))
	for i, s := range a.Sent {
		numbers[i] = s.Number
	}
	h.write("acknowledged", map[string]any{"key": a.Key, "tries": a.Tries, "numbers": numbers, "records": a.Records})
}

// Answered are all requests that were answered so far.
func (h *History) Answered() []*Answered {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]*Answered(nil), h.answered...)
}

// Records is how many records were acknowledged so far.
func (h *History) Records() (n int) {
	for _, a := range h.Answered() {
		for _, id := range a.Records {
			if id != nil {
				n++
			}
		}
	}
	return n
}

// Worker is one client: persons of its own, one request at a time, so that the
// order in which a person's records were accepted is known.
type Worker struct {
	Run, Name string
	Rand      *rand.Rand
	Client    *client.Client
	History   *History
	Persons   []Person
	Lines     int // most lines of a batch
	BadEvery  int // every so manieth record is bad; 0: none

	requests, records int
}

// Sent is how many records the worker has made.
func (w *Worker) Sent() int { return w.records }

// Next makes the worker's next request.
func (w *Worker) Next() *Request {
	w.requests++
	r := &Request{Key: fmt.Sprintf("%s-%s-%d", w.Run, w.Name, w.requests), Batch: w.Lines > 1 && w.Rand.IntN(2) == 0}
	n := 1
	if r.Batch {
		n = 2 + w.Rand.IntN(w.Lines-1)
	}
	for range n {
		r.Sent = append(r.Sent, w.next())
	}
	return r
}

// Batch makes one NDJSON request of so many lines.
func (w *Worker) Batch(lines int) *Request {
	w.requests++
	r := &Request{Key: fmt.Sprintf("%s-%s-%d", w.Run, w.Name, w.requests), Batch: true}
	for range lines {
		r.Sent = append(r.Sent, w.next())
	}
	return r
}

func (w *Worker) next() Sent {
	w.records++
	s := NewSent(w.Rand, fmt.Sprintf("%s-%s-%d", w.Run, w.Name, w.records), w.records, w.Persons[w.Rand.IntN(len(w.Persons))])
	s.Bad = w.BadEvery > 0 && w.records%w.BadEvery == 0
	return s
}

// Push repeats r until the hub says yes or no; an error is one of ctx, or an
// answer that no request of this package deserves.
func (w *Worker) Push(ctx context.Context, r *Request) (*Answered, error) {
	a := &Answered{Request: r, Records: make([]*exchange.RecordID, len(r.Sent))}
	p := r.push()
	for {
		a.Tries++
		ack, err := w.Client.Push(ctx, p)
		if err == nil {
			if err := a.take(ack); err != nil {
				return nil, err
			}
			w.History.acknowledge(a)
			return a, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		e := exchange.AsError(err)
		w.History.Note("not acknowledged", map[string]any{"key": r.Key, "try": a.Tries, "reason": e.Reason})
		switch e.Code {
		case exchange.CodeUnknownOutcome, exchange.CodeUnavailable, exchange.CodeTooMany:
			pause(ctx, 20*time.Millisecond)
		case exchange.CodeInvalid:
			if r.allBad() {
				w.History.acknowledge(a)
				return a, nil
			}
			return nil, fmt.Errorf("request %s: refused: %w", r.Key, err)
		default:
			return nil, fmt.Errorf("request %s: %w", r.Key, err)
		}
	}
}

// allBad says that nothing of r can be accepted.
func (r *Request) allBad() bool {
	for _, s := range r.Sent {
		if !s.Bad {
			return false
		}
	}
	return true
}

// take reads an acknowledgement, line by line.
func (a *Answered) take(ack *client.Acknowledgement) error {
	if len(ack.Lines) != len(a.Sent) {
		return fmt.Errorf("request %s: %d lines, %d answers", a.Key, len(a.Sent), len(ack.Lines))
	}
	for i, l := range ack.Lines {
		if l.Line != i+1 {
			return fmt.Errorf("request %s: answer %d is for line %d", a.Key, i+1, l.Line)
		}
		switch bad := a.Sent[i].Bad; {
		case bad && (l.Record != nil || len(l.Errors) == 0):
			return fmt.Errorf("request %s: line %d is bad and was accepted", a.Key, l.Line)
		case !bad && l.Record == nil:
			return fmt.Errorf("request %s: line %d is good and was refused: %v", a.Key, l.Line, l.Errors)
		}
		a.Records[i] = l.Record
	}
	return nil
}

// Work pushes requests until more says no. A request that was begun is pushed
// to its end.
func (w *Worker) Work(ctx context.Context, more func() bool) error {
	for more() {
		if _, err := w.Push(ctx, w.Next()); err != nil {
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		}
	}
	return nil
}
