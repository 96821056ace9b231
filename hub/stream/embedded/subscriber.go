package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"raccordo/hub/stream"
)

// SubscriberConfig says what a subscriber delivers.
type SubscriberConfig struct {
	// Group is the name of a consumer group. Its position in each topic is kept
	// with the log; a new group starts at the oldest message. Its subscriptions
	// share the messages, one message of the group and topic at a time. The position is
	// synced when a subscription ends, so that after a power cut messages may
	// come again; none is ever skipped. Excludes Lanes and Start.
	Group string
	// Without a group the caller keeps the position. Lanes are the lanes to
	// deliver; empty means all.
	Lanes []int
	// Start gives the first offset to deliver of a lane, inclusive; 0 and a nil
	// Start mean the oldest. It is asked at each Subscribe.
	Start func(lane int) stream.Offset
}

// Subscriber is the log as a Watermill subscriber.
type Subscriber struct {
	log    *Log
	config SubscriberConfig

	mu     sync.Mutex
	cancel context.CancelFunc
	base   context.Context
	active sync.WaitGroup
	closed bool
}

var _ message.Subscriber = (*Subscriber)(nil)

// Subscriber gives a subscriber. It must be closed; [Log.Close] does so too.
func (l *Log) Subscriber(config SubscriberConfig) (*Subscriber, error) {
	if config.Group != "" {
		if _, err := encodeName(config.Group); err != nil {
			return nil, fmt.Errorf("consumer group: %w", err)
		}
		if len(config.Lanes) > 0 || config.Start != nil {
			return nil, errors.New("a subscriber has a group, or lanes and a start, not both")
		}
	}
	for _, lane := range config.Lanes {
		if lane < 0 || lane >= l.opt.Lanes {
			return nil, fmt.Errorf("lane %d of %d: %w", lane, l.opt.Lanes, ErrLane)
		}
	}
	s := &Subscriber{log: l, config: config}
	s.base, s.cancel = context.WithCancel(context.Background())
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		s.cancel()
		return nil, stream.ErrClosed
	}
	l.subs[s] = struct{}{}
	return s, nil
}

// source is where a subscription gets its messages.
type source interface {
	// hold waits for the right to deliver; give ends it.
	hold(ctx context.Context) error
	give()
	// peek waits for the next message; done moves behind it.
	peek(ctx context.Context) (item, *reader, error)
	done() error
	close() error
}

// Subscribe delivers a topic until ctx or the subscriber ends; then the channel
// is closed. The next message is withheld until Ack; Nack delivers the same one
// again, at once. The context of a message carries offset and lane, and ends
// with Ack, Nack or the subscription.
//
// [stream.ErrBelowStart] and [stream.ErrAboveEnd] say that a start does not fit
// the stream, [stream.ErrQuarantined] that nothing is delivered. If damage is
// found later the channel is closed and [Log.Fault] says why.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, stream.ErrClosed
	}
	t, err := s.log.topic(topic, true)
	if err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	src, err := s.source(t)
	if err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	out := make(chan *message.Message)
	s.active.Add(1)
	go func() {
		defer s.active.Done()
		defer close(out)
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(s.base, cancel)()
		err := deliver(ctx, src, out)
		closing := src.close()
		if ctx.Err() == nil { // it ended by itself
			s.log.opt.Logger.Error("subscription ended", slog.String("topic", topic), slog.Any("error", errors.Join(err, closing)))
		}
	}()
	return out, nil
}

func (s *Subscriber) source(t *topic) (source, error) {
	if bad := t.quarantined(); bad != nil {
		return nil, bad
	}
	if s.config.Group != "" {
		return t.joinGroup(s.config.Group)
	}
	return newLaneSource(t, s.config)
}

// deliver passes messages on one at a time until ctx ends.
func deliver(ctx context.Context, src source, out chan<- *message.Message) error {
	for {
		if err := src.hold(ctx); err != nil {
			return err
		}
		err := deliverOne(ctx, src, out)
		src.give()
		if err != nil {
			return err
		}
	}
}

// deliverOne repeats the next message until it is acknowledged.
func deliverOne(ctx context.Context, src source, out chan<- *message.Message) error {
	it, r, err := src.peek(ctx)
	if err != nil {
		return err
	}
	for {
		own, cancel := context.WithCancel(ctx)
		m, err := r.decode(own, it)
		if err != nil {
			cancel()
			return err
		}
		acked, err := offer(ctx, m, out)
		cancel()
		if err != nil {
			return err
		}
		if acked {
			return src.done()
		}
	}
}

// offer passes one message on and waits for its Ack or Nack.
func offer(ctx context.Context, m *message.Message, out chan<- *message.Message) (acked bool, err error) {
	select {
	case out <- m:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	select {
	case <-m.Acked():
		return true, nil
	case <-m.Nacked():
		return false, nil
	case <-ctx.Done():
	}
	select { // an Ack given before the end counts
	case <-m.Acked():
		return true, nil
	default:
		return false, ctx.Err()
	}
}

// Close ends all subscriptions and waits until their channels are closed.
func (s *Subscriber) Close() error {
	s.mu.Lock()
	s.closed = true
	s.cancel()
	s.mu.Unlock()
	s.active.Wait()
	s.log.mu.Lock()
	delete(s.log.subs, s)
	s.log.mu.Unlock()
	return nil
}

// laneSource delivers some lanes from where the caller says. It has no state
// beyond the subscription.
type laneSource struct {
	r      *reader
	starts []stream.Offset // by lane; -1 for one that is not delivered
}

func newLaneSource(t *topic, config SubscriberConfig) (*laneSource, error) {
	s := &laneSource{starts: make([]stream.Offset, t.opt.Lanes)}
	from := stream.Offset(-1)
	for lane := range s.starts {
		if s.starts[lane] = -1; len(config.Lanes) > 0 && !slices.Contains(config.Lanes, lane) {
			continue
		}
		s.starts[lane] = 0
		if config.Start != nil {
			s.starts[lane] = config.Start(lane)
		}
		start, err := t.checkStart(lane, s.starts[lane])
		if err != nil {
			return nil, err
		}
		if from < 0 || start < from {
			from = start
		}
	}
	var err error
	s.r, err = t.newReader(from)
	return s, err
}

// checkStart makes sure that a lane can be read from start without a gap.
func (t *topic) checkStart(lane int, start stream.Offset) (stream.Offset, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case start == 0:
		return t.first(), nil
	case start < t.first():
		return 0, fmt.Errorf("topic %s, lane %d, offset %d, start %d: %w", t.name, lane, start, t.first(), stream.ErrBelowStart)
	case start > t.next:
		return 0, fmt.Errorf("topic %s, lane %d, offset %d, end %d: %w", t.name, lane, start, t.next, stream.ErrAboveEnd)
	}
	return start, nil
}

func (t *topic) quarantined() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.bad != nil {
		return t.bad
	}
	return nil
}

func (s *laneSource) hold(ctx context.Context) error { return ctx.Err() }
func (s *laneSource) give()                          {}
func (s *laneSource) done() error                    { s.r.advance(); return nil }
func (s *laneSource) close() error                   { s.r.close(); return nil }

func (s *laneSource) peek(ctx context.Context) (item, *reader, error) {
	for {
		it, err := s.r.peek(ctx)
		if err != nil {
			return it, nil, err
		}
		if start := s.starts[it.lane]; start >= 0 && it.offset >= start {
			return it, s.r, nil
		}
		s.r.advance()
	}
}
