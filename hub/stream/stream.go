package stream

import (
	"context"
	"errors"
)

// Offset is the place of a message in its topic (embedded) or in its lane
// (Kafka): strictly increasing, from 1. The zero value is before every message.
type Offset int64

// Metadata keys of a message (protocol.md 2.4). Beside them only traceparent
// is carried; the offset is not metadata, it comes in the message's context.
const (
	MetaFrame = "frame" // frame id
	MetaLane  = "lane"  // decimal; absent means lane 0
	MetaPart  = "part"  // k/n, both from 1
)

// Errors of every adapter. Texts carry topics, lanes, offsets and file names,
// never a value of a record.
var (
	// ErrQuarantined: what is stored does not fit together (a damaged or missing
	// place, a log that starts above or ends below a cursor). Nothing is read
	// past the place and nothing is accepted until an operator has looked.
	ErrQuarantined = errors.New("stream quarantined")
	// ErrUnknownOutcome: a produce began and may or may not have happened. It is
	// never taken for a no (protocol.md 2.8).
	ErrUnknownOutcome = errors.New("the message may or may not be in the stream")
	// ErrStopped: after an error of unknown outcome nothing more is accepted
	// until the stream was opened, and the truth read, again. A definite no.
	ErrStopped = errors.New("the stream accepts nothing more until it is opened again")
	// ErrFull: no room; nothing was written. Later there may be.
	ErrFull = errors.New("the stream is full")
	// ErrTooLarge: over a fixed bound; nothing was written and never will be.
	ErrTooLarge = errors.New("too large for the stream")
	// ErrClosed: the publisher, subscriber or stream was closed; nothing was written.
	ErrClosed = errors.New("the stream is closed")
	// ErrBelowStart: the offset was trimmed away. For a cursor this is a gap.
	ErrBelowStart = errors.New("the offset lies below the start of the stream")
	// ErrAboveEnd: the offset was never given. For a cursor this means that the
	// stream was cut short or belongs to an older state.
	ErrAboveEnd = errors.New("the offset lies above the end of the stream")
)

type offsetKey struct{}

type laneKey struct{}

// WithOffset gives a context that carries the offset of a message.
func WithOffset(ctx context.Context, o Offset) context.Context {
	return context.WithValue(ctx, offsetKey{}, o)
}

// OffsetOf reads the offset of the message whose context ctx is.
func OffsetOf(ctx context.Context) (Offset, bool) {
	o, ok := ctx.Value(offsetKey{}).(Offset)
	return o, ok
}

// WithLane gives a context that carries the lane of a message.
func WithLane(ctx context.Context, lane int) context.Context {
	return context.WithValue(ctx, laneKey{}, lane)
}

// LaneOf reads the lane of the message whose context ctx is.
func LaneOf(ctx context.Context) (int, bool) {
	lane, ok := ctx.Value(laneKey{}).(int)
	return lane, ok
}
