package delivery

import (
	"bytes"
	"context"
	"encoding/json"
	"sync"
	"time"

	"raccordo/connectors"
	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

// receipt is one record that a recipient saw, and what was durable then.
type receipt struct {
	system     exchange.SystemID
	disclosure exchange.DisclosureID
	record     exchange.RecordID
	flow       exchange.FlowID
	attempt    int
	sequence   uint64
	head       uint64 // entries of the ledger when it arrived
	accepted   bool
	rendered
}

// witness notes what recipients see, whatever they answer.
type witness struct {
	b    *bench
	mu   sync.Mutex
	seen []receipt
}

func (w *witness) note(system exchange.SystemID, it connectors.Item, head uint64, accepted bool) {
	var r rendered
	if err := json.Unmarshal(bytes.TrimSpace(it.Body.Reveal()), &r); err != nil {
		w.b.t.Errorf("a body that is none")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, receipt{system, it.Disclosure, it.Record, it.Flow, it.Attempt, it.Sequence, head, accepted, r})
}

func (w *witness) all() []receipt {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]receipt(nil), w.seen...)
}

// refs are the records a system accepted, in order, each as often as it did.
func (w *witness) refs(system exchange.SystemID) []string {
	out := []string{}
	for _, r := range w.all() {
		if r.system == system && r.accepted {
			out = append(out, r.Ref)
		}
	}
	return out
}

func (w *witness) head() uint64 {
	var n uint64
	err := w.b.store.View(context.Background(), func(tx store.ReadTx) error {
		h, err := tx.Head()
		n = h.Size
		return err
	})
	if err != nil {
		w.b.t.Errorf("read the head: %v", err)
	}
	return n
}

// answer is what a recipient does with one parcel.
type answer func(ctx context.Context, s *sink, p connectors.Parcel) (connectors.Result, error)

// sink is a recipient that does what its script says, and then accepts.
type sink struct {
	w      *witness
	system exchange.SystemID
	life   *life // of the hub that calls

	mu      sync.Mutex
	script  []answer
	always  answer
	sizes   []int // of the parcels that were sent
	maxBody int
}

func (s *sink) MaxBody() int { return s.maxBody }

// then adds to the script.
func (s *sink) then(as ...answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = append(s.script, as...)
}

// ever is what it does when the script is over; nil accepts.
func (s *sink) ever(a answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.always = a
}

func (s *sink) parcels() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]int(nil), s.sizes...)
}

func (s *sink) Send(ctx context.Context, p connectors.Parcel) (connectors.Result, error) {
	if s.life.over() {
		return connectors.Result{Overall: connectors.NotSent}, nil
	}
	s.mu.Lock()
	do := s.always
	if len(s.script) > 0 {
		do, s.script = s.script[0], s.script[1:]
	}
	s.sizes = append(s.sizes, len(p.Items))
	s.mu.Unlock()
	if do == nil {
		do = accept
	}
	return do(ctx, s, p)
}

func (s *sink) Close(context.Context) error { return nil }

// sees notes that the recipient has read the whole parcel.
func (s *sink) sees(p connectors.Parcel, accepted func(connectors.Item) bool) {
	head := s.w.head()
	for _, it := range p.Items {
		s.w.note(s.system, it, head, accepted == nil || accepted(it))
	}
}

func never(connectors.Item) bool { return false }

func accept(_ context.Context, s *sink, p connectors.Parcel) (connectors.Result, error) {
	s.sees(p, nil)
	return connectors.Result{Overall: connectors.Answered, Class: connectors.Accepted}, nil
}

// refused answers 400 to what holds a record that says it is poison.
func refused(_ context.Context, s *sink, p connectors.Parcel) (connectors.Result, error) {
	for _, it := range p.Items {
		if bytes.Contains(it.Body.Reveal(), []byte(`"poison"`)) {
			s.sees(p, never)
			return connectors.Result{Overall: connectors.Answered, Class: connectors.Permanent}, nil
		}
	}
	return accept(context.Background(), s, p)
}

// ill answers 500 to what holds a record that says it is poison.
func ill(_ context.Context, s *sink, p connectors.Parcel) (connectors.Result, error) {
	for _, it := range p.Items {
		if bytes.Contains(it.Body.Reveal(), []byte(`"poison"`)) {
			return busy(0)(context.Background(), s, p)
		}
	}
	return accept(context.Background(), s, p)
}

// busy answers 503.
func busy(after time.Duration) answer {
	return func(_ context.Context, s *sink, p connectors.Parcel) (connectors.Result, error) {
		s.sees(p, never)
		return connectors.Result{Overall: connectors.Answered, Class: connectors.Transient, RetryAfter: after}, nil
	}
}

// shut answers 401.
func shut(_ context.Context, s *sink, p connectors.Parcel) (connectors.Result, error) {
	s.sees(p, never)
	return connectors.Result{Overall: connectors.Answered, Class: connectors.Stop}, nil
}

// away cannot be connected to.
func away(context.Context, *sink, connectors.Parcel) (connectors.Result, error) {
	return connectors.Result{Overall: connectors.NotSent}, connectors.TroubleConnect
}

// foreign answers 200 with a page that is no answer.
func foreign(_ context.Context, s *sink, p connectors.Parcel) (connectors.Result, error) {
	s.sees(p, never)
	return connectors.Result{Overall: connectors.Unknown}, connectors.TroubleAlien
}

// reset takes everything and breaks the connection before it answers.
func reset(_ context.Context, s *sink, p connectors.Parcel) (connectors.Result, error) {
	s.sees(p, nil)
	return connectors.Result{Overall: connectors.Unknown}, connectors.TroubleReset
}

// hang takes everything and never answers.
func hang(ctx context.Context, s *sink, p connectors.Parcel) (connectors.Result, error) {
	s.sees(p, never)
	<-ctx.Done()
	return connectors.Result{Overall: connectors.Unknown}, connectors.TroubleTimeout
}

// slow accepts after a time.
func slow(d time.Duration) answer {
	return func(ctx context.Context, s *sink, p connectors.Parcel) (connectors.Result, error) {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			return accept(ctx, s, p)
		case <-ctx.Done():
			return hang(ctx, s, p)
		}
	}
}

// items answers for each record what its "do" says; others are accepted.
func items(status map[string]connectors.ItemResult) answer {
	return func(_ context.Context, s *sink, p connectors.Parcel) (connectors.Result, error) {
		res := connectors.Result{Overall: connectors.Answered, Class: connectors.Accepted, Items: map[exchange.DisclosureID]connectors.ItemResult{}}
		s.sees(p, func(it connectors.Item) bool {
			var r rendered
			_ = json.Unmarshal(it.Body.Reveal(), &r)
			x, special := status[r.Do]
			if special {
				res.Items[it.Disclosure] = x
			}
			return !special
		})
		return res, nil
	}
}

// broken panics, holding a record that says so.
func broken(_ context.Context, s *sink, p connectors.Parcel) (connectors.Result, error) {
	for _, it := range p.Items {
		if bytes.Contains(it.Body.Reveal(), []byte(`"poison"`)) {
			panic("SYNTHETIC value in a panic")
		}
	}
	return accept(context.Background(), s, p)
}
