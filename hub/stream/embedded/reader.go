package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"

	"github.com/ThreeDotsLabs/watermill/message"

	"raccordo/hub/stream"
)

// errEnd says that there is nothing more yet.
var errEnd = errors.New("end of the stream for now")

// reader walks over the durable messages of a topic. Not for concurrent use.
type reader struct {
	t      *topic
	seg    *segment
	win    window
	pos    int64         // of the next record
	offset stream.Offset // of the next message
	body   []byte        // messages of the current record still to come
	left   int
}

// item is one message as stored; raw is valid until the reader moves on.
type item struct {
	offset stream.Offset
	lane   int
	raw    []byte
}

// newReader starts at offset from, inclusive; 0 means the oldest message.
func (t *topic) newReader(from stream.Offset) (*reader, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.segments) == 0 && t.bad != nil { // damaged from the first byte on
		return nil, t.bad
	}
	if from == 0 {
		from = t.first()
	}
	if from < t.first() {
		return nil, fmt.Errorf("topic %s, offset %d, start %d: %w", t.name, from, t.first(), stream.ErrBelowStart)
	}
	if from > t.next {
		if t.bad != nil {
			return nil, t.bad
		}
		return nil, fmt.Errorf("topic %s, offset %d, end %d: %w", t.name, from, t.next, stream.ErrAboveEnd)
	}
	i := len(t.segments) - 1
	for i > 0 && t.segments[i].base > from {
		i--
	}
	r := &reader{t: t}
	if err := r.enter(t.segments[i]); err != nil {
		return nil, err
	}
	if e, ok := r.seg.entryFor(from); ok {
		r.pos, r.offset = r.seg.index[e].pos, r.seg.index[e].first
	}
	t.mu.Unlock()
	err := r.skipTo(from)
	t.mu.Lock()
	if err != nil {
		r.leave()
		return nil, err
	}
	return r, nil
}

// enter makes s the segment read. The mutex is held.
func (r *reader) enter(s *segment) error {
	if s.refs == 0 {
		f, err := r.t.files.Open(path.Join(r.t.dir, segmentName(s.number)), os.O_RDONLY)
		if err != nil {
			return fmt.Errorf("topic %s: %w", r.t.name, err)
		}
		s.file = f
	}
	s.refs++
	r.leave()
	r.seg, r.pos, r.offset = s, segmentHeader, s.base
	r.win = window{file: s.file, buf: r.win.buf[:0]}
	return nil
}

// leave lets go of the segment. The mutex is held.
func (r *reader) leave() {
	if r.seg == nil {
		return
	}
	if r.seg.refs--; r.seg.refs == 0 {
		_ = r.seg.file.Close() // only read from
		r.seg.file = nil
	}
	r.seg = nil
}

func (r *reader) close() {
	r.t.mu.Lock()
	defer r.t.mu.Unlock()
	r.leave()
}

// skipTo moves to a message that is known to be there, or to the end.
func (r *reader) skipTo(from stream.Offset) error {
	for r.offset < from {
		if _, err := r.peekNow(); err != nil {
			return err
		}
		if skip := int(from - r.offset); skip >= r.left { // the rest of the record
			r.offset += stream.Offset(r.left)
			r.left = 0
			continue
		}
		r.advance()
	}
	return nil
}

// peek gives the next message without moving. Without ctx it does not wait and
// gives errEnd at the end.
func (r *reader) peek(ctx context.Context) (item, error) {
	for r.left == 0 {
		if err := r.nextRecord(ctx); err != nil {
			return item{}, err
		}
	}
	one, _, lane, err := cutMessage(r.body)
	if err != nil {
		return item{}, r.refuse(reasonBody)
	}
	return item{offset: r.offset, lane: lane, raw: one}, nil
}

// peekNow is peek that does not wait for what is not there yet: errEnd.
func (r *reader) peekNow() (item, error) {
	var never context.Context
	return r.peek(never)
}

// advance moves behind the message that peek gave.
func (r *reader) advance() {
	_, rest, _, err := cutMessage(r.body)
	if err != nil {
		return // peek says so again
	}
	r.body = rest
	r.left--
	r.offset++
}

// nextRecord reads one more record, once there is one.
func (r *reader) nextRecord(ctx context.Context) error {
	end, err := r.ready(ctx)
	if err != nil {
		return err
	}
	r.win.limit = end
	h, body, reason := r.win.record(r.pos, r.seg.generation)
	switch {
	case reason == "" && h.kind != kindData:
		reason = reasonNone
	case reason == "" && h.first != r.offset:
		reason = reasonSequence
	}
	if reason != "" {
		return r.refuse(reason)
	}
	r.body, r.left = body, h.count
	r.pos += h.size()
	return nil
}

// refuse quarantines the topic at the place where the reader stands.
func (r *reader) refuse(reason string) error {
	return r.t.quarantine(&QuarantineError{
		Topic: r.t.name, Segment: segmentName(r.seg.number), Position: r.pos, Offset: r.offset, Reason: reason,
	})
}

// ready waits until there is a record at pos, following the chain of segments,
// and gives the end of what is durable in the segment.
func (r *reader) ready(ctx context.Context) (int64, error) {
	for {
		r.t.mu.Lock()
		if bad := r.t.bad; bad != nil && r.offset >= bad.Offset {
			r.t.mu.Unlock()
			return 0, bad
		}
		if end := r.seg.end; r.pos < end {
			r.t.mu.Unlock()
			return end, nil
		}
		next, err := r.follower()
		if err == nil && next != nil {
			err = r.enter(next)
		}
		if err != nil || next != nil {
			r.t.mu.Unlock()
			if err != nil {
				return 0, err
			}
			continue
		}
		if ctx == nil {
			r.t.mu.Unlock()
			return 0, errEnd
		}
		changed := r.t.waiting()
		r.t.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// follower is the segment behind the current one, nil if that is the last. The
// mutex is held.
func (r *reader) follower() (*segment, error) {
	first := r.t.segments[0].number
	want := r.seg.number + 1
	switch {
	case want < first:
		return nil, fmt.Errorf("topic %s, offset %d: %w", r.t.name, r.offset, stream.ErrBelowStart)
	case want-first < uint64(len(r.t.segments)):
		return r.t.segments[want-first], nil
	}
	return nil, nil
}

// decode makes a Watermill message of an item; its context carries offset and
// lane on top of ctx.
func (r *reader) decode(ctx context.Context, it item) (*message.Message, error) {
	m, err := decodeMessage(it.raw)
	if err != nil {
		return nil, r.refuse(reasonBody)
	}
	m.SetContext(stream.WithLane(stream.WithOffset(ctx, it.offset), it.lane))
	return m, nil
}
