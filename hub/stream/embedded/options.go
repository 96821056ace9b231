package embedded

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"raccordo/hub/exchange"
	"raccordo/hub/stream"
)

// Errors of opening and using a log, beside those of package stream.
var (
	ErrInUse   = errors.New("the stream's directory is in use by another process")
	ErrForeign = errors.New("the stream belongs to another hub")
	ErrLanes   = errors.New("the stream was made with another number of lanes and holds messages")
	ErrLane    = errors.New("no such lane")
	ErrName    = errors.New("not a name for a topic or group")
	ErrLayout  = errors.New("the stream's layout is not one this version can read")
)

// Defaults of [Options].
const (
	DefaultLanes        = 4
	DefaultSegmentBytes = 64 << 20
	DefaultMaxBytes     = 16 << 30
	maxLanes            = 1024
	minSegmentBytes     = 64 << 10
)

// Options are the settings of a log.
type Options struct {
	// Dir is the directory; it is made if it is not there. Required unless
	// Files is given.
	Dir string
	// Hub is compared with the one the log was made for ([ErrForeign]). Required.
	Hub exchange.HubID
	// Lanes; 0 means DefaultLanes. Fixed as long as the log holds messages.
	Lanes int
	// SegmentBytes is the size of a segment file, rounded up to whole pages of
	// 4 KiB; 0 means DefaultSegmentBytes.
	SegmentBytes int64
	// MaxBytes bounds the disk space of each topic, spare segments included, so
	// that bulk records can never use up the room of prompt ones. 0 means
	// DefaultMaxBytes; at least two segments.
	MaxBytes int64
	// Logger; nil means slog.Default().
	Logger *slog.Logger
	// Files replaces Dir, for tests. It is not closed.
	Files FileSystem
	// Random draws generations; nil means crypto/rand.
	Random io.Reader
}

func (o *Options) setDefaults() error {
	if o.Lanes == 0 {
		o.Lanes = DefaultLanes
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = DefaultSegmentBytes
	}
	o.SegmentBytes = roundPage(o.SegmentBytes)
	if o.MaxBytes == 0 {
		o.MaxBytes = max(DefaultMaxBytes, 2*o.SegmentBytes)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	switch {
	case o.Lanes < 1 || o.Lanes > maxLanes:
		return fmt.Errorf("stream: %d lanes, want 1 to %d", o.Lanes, maxLanes)
	case o.SegmentBytes < minSegmentBytes:
		return fmt.Errorf("stream: segments of %d bytes, want at least %d", o.SegmentBytes, minSegmentBytes)
	case o.MaxBytes < 2*o.SegmentBytes:
		return fmt.Errorf("stream: a bound of %d bytes, want at least two segments of %d", o.MaxBytes, o.SegmentBytes)
	case o.Dir == "" && o.Files == nil:
		return errors.New("stream: no directory given")
	}
	return nil
}

// QuarantineError says which place of which topic does not fit. It wraps
// [stream.ErrQuarantined].
type QuarantineError struct {
	Topic    string
	Segment  string // file name
	Position int64  // byte in the file
	Offset   stream.Offset
	Reason   string
}

func (e *QuarantineError) Error() string {
	return fmt.Sprintf("topic %s, segment %s, byte %d, offset %d: %s: %v",
		e.Topic, e.Segment, e.Position, e.Offset, e.Reason, stream.ErrQuarantined)
}

func (e *QuarantineError) Unwrap() error { return stream.ErrQuarantined }
