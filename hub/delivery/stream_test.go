package delivery

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
	"raccordo/hub/stream"
)

// memStream is a stream in memory that can also be one that misbehaves.
type memStream struct {
	mu     sync.Mutex
	topics map[exchange.Class]*memTopic

	repeat int                      // every part is delivered so many times more
	cut    int                      // a subscription ends after so many parts, if positive
	rewind int64                    // a later subscription begins so many offsets earlier
	swap   bool                     // two neighbours of a lane change places
	fault  map[exchange.Class]error // what Bounds, FrameAt and Subscribe answer
	subs   map[store.LaneKey]int    // subscriptions so far
}

type memTopic struct {
	first   int64
	entries []memEntry // from first on
	changed chan struct{}
}

type memEntry struct {
	lane    uint16
	frame   exchange.FrameID
	payload []byte
}

func newMemStream() *memStream {
	s := &memStream{topics: map[exchange.Class]*memTopic{}, fault: map[exchange.Class]error{}, subs: map[store.LaneKey]int{}}
	for _, c := range [2]exchange.Class{exchange.ClassPrompt, exchange.ClassBulk} {
		s.topics[c] = &memTopic{first: 1, changed: make(chan struct{})}
	}
	return s
}

func (s *memStream) append(class exchange.Class, lane uint16, frame exchange.FrameID, payload []byte) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[class]
	t.entries = append(t.entries, memEntry{lane, frame, payload})
	close(t.changed)
	t.changed = make(chan struct{})
	return t.first + int64(len(t.entries)) - 1
}

// truncate loses what lies at offset and behind it.
func (s *memStream) truncate(class exchange.Class, offset int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[class]
	t.entries = t.entries[:offset-t.first]
}

// trim gives up what lies before offset.
func (s *memStream) trim(class exchange.Class, offset int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[class]
	t.entries = t.entries[offset-t.first:]
	t.first = offset
}

func (s *memStream) Bounds(class exchange.Class) (first, next int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[class]
	return t.first, t.first + int64(len(t.entries)), s.fault[class]
}

func (s *memStream) FrameAt(class exchange.Class, offset int64) (exchange.FrameID, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[class]
	if err := s.fault[class]; err != nil {
		return exchange.FrameID{}, false, err
	}
	if i := offset - t.first; i >= 0 && i < int64(len(t.entries)) {
		return t.entries[i].frame, true, nil
	}
	return exchange.FrameID{}, false, nil
}

// Unread counts the parts of a lane at offset and behind it.
func (s *memStream) Unread(lane store.LaneKey, offset int64) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, n := s.topics[lane.Class], int64(0)
	for i := range t.entries {
		if t.first+int64(i) >= offset && t.entries[i].lane == lane.Lane {
			n++
		}
	}
	return n, nil
}

func (s *memStream) Subscriber(lane store.LaneKey, from int64) (message.Subscriber, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[lane.Class]
	switch {
	case s.fault[lane.Class] != nil:
		return nil, s.fault[lane.Class]
	case from < t.first:
		return nil, fmt.Errorf("offset %d, start %d: %w", from, t.first, stream.ErrBelowStart)
	case from > t.first+int64(len(t.entries)):
		return nil, fmt.Errorf("offset %d: %w", from, stream.ErrAboveEnd)
	}
	if s.subs[lane]++; s.subs[lane] > 1 {
		from = max(t.first, from-s.rewind)
	}
	return &memSubscriber{s: s, lane: lane, at: from, back: -1}, nil
}

type memSubscriber struct {
	s    *memStream
	lane store.LaneKey
	at   int64
	back int64 // index of a part that comes late, -1 if there is none
}

func (*memSubscriber) Close() error { return nil }

// next waits for the next message of the lane.
func (m *memSubscriber) next(ctx context.Context) (*message.Message, error) {
	for {
		m.s.mu.Lock()
		t := m.s.topics[m.lane.Class]
		if i := m.back; i >= 0 {
			m.back = -1
			msg := m.message(t.first+i, t.entries[i])
			m.s.mu.Unlock()
			return msg, nil
		}
		for i := max(m.at-t.first, 0); i < int64(len(t.entries)); i++ {
			if t.entries[i].lane == m.lane.Lane {
				i = m.swapped(t, i)
				m.at = t.first + i + 1
				msg := m.message(t.first+i, t.entries[i])
				m.s.mu.Unlock()
				return msg, nil
			}
		}
		changed := t.changed
		m.s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// swapped gives the neighbour first, where the stream is to do so.
func (m *memSubscriber) swapped(t *memTopic, i int64) int64 {
	if !m.s.swap {
		return i
	}
	for j := i + 1; j < int64(len(t.entries)); j++ {
		if t.entries[j].lane == m.lane.Lane {
			m.s.swap = false
			m.back = i // it comes behind its neighbour
			return j
		}
	}
	return i
}

func (m *memSubscriber) message(offset int64, e memEntry) *message.Message {
	msg := message.NewMessage(watermill.NewShortUUID(), e.payload)
	msg.SetContext(stream.WithOffset(context.Background(), stream.Offset(offset)))
	return msg
}

func (m *memSubscriber) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		for n := 1; ; n++ {
			msg, err := m.next(ctx)
			if err != nil {
				return
			}
			for range 1 + m.s.repeat {
				if !deliverTo(ctx, msg, out) {
					return
				}
			}
			if m.s.cut > 0 && n >= m.s.cut {
				return
			}
		}
	}()
	return out, nil
}

// deliverTo passes a message on until it is acknowledged.
func deliverTo(ctx context.Context, msg *message.Message, out chan<- *message.Message) bool {
	for {
		own, cancel := context.WithCancel(ctx)
		offset, _ := stream.OffsetOf(msg.Context())
		m := message.NewMessage(msg.UUID, msg.Payload)
		m.SetContext(stream.WithOffset(own, offset))
		select {
		case out <- m:
		case <-ctx.Done():
			cancel()
			return false
		}
		select {
		case <-m.Acked():
			cancel()
			return true
		case <-m.Nacked():
			cancel()
		case <-ctx.Done():
			cancel()
			return false
		}
	}
}

// frameID is the n-th made-up one.
func frameID(n int) exchange.FrameID {
	var mac [32]byte
	binary.BigEndian.PutUint64(mac[:], uint64(n)+1)
	return exchange.FrameIDFromMAC(mac)
}
