package embedded

import (
	"context"
	"errors"
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"

	"raccordo/hub/stream"
)

// Bounds are the oldest offset kept and the one the next message will get; both
// are 1 for a topic never written to. Offsets count all lanes of the topic, so
// that the answer is the same for each of them. A cursor below first or above
// next does not fit the stream (protocol.md 3.4).
func (l *Log) Bounds(topic string, lane int) (first, next stream.Offset, err error) {
	if lane < 0 || lane >= l.opt.Lanes {
		return 0, 0, fmt.Errorf("lane %d of %d: %w", lane, l.opt.Lanes, ErrLane)
	}
	t, err := l.topic(topic, false)
	if err != nil {
		return 0, 0, err
	}
	if t == nil {
		return 1, 1, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.first(), t.next, nil
}

// Lag is the number of messages of a lane at offset or later. It is never less
// than the truth, and more by the messages in 64 KiB of the log at most, or in
// one group commit if that is larger; it reads nothing from disk.
func (l *Log) Lag(topic string, lane int, offset stream.Offset) (int64, error) {
	if lane < 0 || lane >= l.opt.Lanes {
		return 0, fmt.Errorf("lane %d of %d: %w", lane, l.opt.Lanes, ErrLane)
	}
	t, err := l.topic(topic, false)
	if err != nil || t == nil {
		return 0, err
	}
	return t.lag(lane, offset), nil
}

// HighestAccepted is the offset of the newest durable message, 0 if there never
// was one.
func (l *Log) HighestAccepted(topic string) (stream.Offset, error) {
	_, next, err := l.Bounds(topic, 0)
	if err != nil {
		return 0, err
	}
	return next - 1, nil
}

// Usage is the disk space a topic takes, spare segments included, and its bound.
func (l *Log) Usage(topic string) (used, bound int64, err error) {
	t, err := l.topic(topic, false)
	if err != nil || t == nil {
		return 0, l.opt.MaxBytes, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.allocated, l.opt.MaxBytes, nil
}

// Fault is why the topic accepts nothing: a [QuarantineError], or an error that
// wraps [stream.ErrStopped] or [stream.ErrClosed]. Nil while all is well.
func (l *Log) Fault(topic string) error {
	t, err := l.topic(topic, false)
	if err != nil || t == nil {
		return err
	}
	return t.refusalOf()
}

// Read calls fn for at most limit messages (all that are durable now, if limit
// is 0), in order, from offset from (0 means the oldest). It does not wait for
// more. The message's context carries offset and lane too. An error of fn ends
// it and is returned as it is; [stream.ErrBelowStart], [stream.ErrAboveEnd] and
// [stream.ErrQuarantined] as in a subscription.
func (l *Log) Read(ctx context.Context, topic string, from stream.Offset, limit int,
	fn func(offset stream.Offset, lane int, m *message.Message) error) error {
	t, err := l.topic(topic, false)
	if err != nil {
		return err
	}
	if t == nil {
		if from > 1 {
			return fmt.Errorf("topic %s was never written to: %w", topic, stream.ErrAboveEnd)
		}
		return nil
	}
	r, err := t.newReader(from)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	defer r.close()
	for n := 0; limit <= 0 || n < limit; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		it, err := r.peekNow()
		if errors.Is(err, errEnd) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		m, err := r.decode(ctx, it)
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if err := fn(it.offset, it.lane, m); err != nil {
			return err
		}
		r.advance()
	}
	return nil
}

// ReadAt reads the one message at offset; its context carries offset and lane.
func (l *Log) ReadAt(topic string, offset stream.Offset) (*message.Message, error) {
	var found *message.Message
	if offset < 1 {
		return nil, fmt.Errorf("offset %d: %w", offset, stream.ErrBelowStart)
	}
	err := l.Read(context.Background(), topic, offset, 1, func(_ stream.Offset, _ int, m *message.Message) error {
		found = m
		return nil
	})
	if err == nil && found == nil {
		err = fmt.Errorf("topic %s, offset %d: %w", topic, offset, stream.ErrAboveEnd)
	}
	return found, err
}

// Trim gives up, durably, the segments that lie wholly below before. It never
// touches a message at or above it, nor the segment being written. A reader
// that is still below keeps what it has open and is told [stream.ErrBelowStart]
// where its segment ends.
func (l *Log) Trim(topic string, before stream.Offset) error {
	t, err := l.topic(topic, false)
	if err != nil || t == nil {
		return err
	}
	return t.trim(before)
}
