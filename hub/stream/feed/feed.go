// Package feed shows the embedded log as each part of the hub needs it: intake
// appends frames and reads one back, delivery reads a lane from its cursor on,
// upkeep asks how old the oldest frame is.
//
// It guarantees nothing of its own; what an offset means and when an append is
// durable is said in package embedded. It is here so that the composition needs
// to know nothing of Watermill.
package feed

import (
	"context"
	"errors"

	"github.com/ThreeDotsLabs/watermill/message"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
	"raccordo/hub/stream"
	"raccordo/hub/stream/embedded"
)

// Frames is the log as intake sees it.
type Frames struct{ Log *embedded.Log }

// Append writes the parts of one frame, all or none; durable on return.
func (f Frames) Append(ctx context.Context, topic string, msgs ...*message.Message) ([]stream.Offset, error) {
	return f.Log.Append(ctx, topic, msgs...)
}

// Message reads the message at an offset.
func (f Frames) Message(topic string, o stream.Offset) (*message.Message, error) {
	return f.Log.ReadAt(topic, o)
}

// Lanes is the log as delivery sees it.
type Lanes struct{ Log *embedded.Log }

// Subscriber reads one lane of a class from an offset on, in order.
func (l Lanes) Subscriber(lane store.LaneKey, from int64) (message.Subscriber, error) {
	return l.Log.Subscriber(embedded.SubscriberConfig{Lanes: []int{int(lane.Lane)},
		Start: func(int) stream.Offset { return stream.Offset(from) }})
}

// Bounds are the first offset of a class that can still be read and the next
// one to be given.
func (l Lanes) Bounds(class exchange.Class) (first, next int64, err error) {
	a, b, err := l.Log.Bounds(class.String(), 0)
	return int64(a), int64(b), err
}

// FrameAt is the frame of the part at an offset; found is false if it is gone.
func (l Lanes) FrameAt(class exchange.Class, offset int64) (id exchange.FrameID, found bool, err error) {
	m, err := l.Log.ReadAt(class.String(), stream.Offset(offset))
	if errors.Is(err, stream.ErrBelowStart) || errors.Is(err, stream.ErrAboveEnd) {
		return exchange.FrameID{}, false, nil
	}
	if err != nil {
		return exchange.FrameID{}, false, err
	}
	id, err = exchange.ParseFrameID(m.Metadata.Get(stream.MetaFrame))
	return id, err == nil, err
}

// Unread counts the parts of a lane at an offset and behind it: never fewer
// than there are, and a few too many at most.
func (l Lanes) Unread(lane store.LaneKey, offset int64) (int64, error) {
	return l.Log.Lag(lane.Class.String(), int(lane.Lane), stream.Offset(offset))
}

// ReceivedAt is when the frame at an offset, or the first one behind it, was
// received, in milliseconds; found is false if there is none.
func ReceivedAt(ctx context.Context, log *embedded.Log, class exchange.Class, from stream.Offset) (at int64, found bool, err error) {
	err = log.Read(ctx, class.String(), max(from, 1), 1, func(_ stream.Offset, _ int, m *message.Message) error {
		p, err := exchange.DecodePart(m.Payload)
		if err != nil {
			return err
		}
		at, found = p.Header.ReceivedAt, true
		return nil
	})
	if errors.Is(err, stream.ErrAboveEnd) {
		err = nil
	}
	return at, found, err
}
