package stream_test

import (
	"context"
	"testing"

	"raccordo/hub/stream"
)

func TestPositionInContext(t *testing.T) {
	ctx := context.Background()
	if _, ok := stream.OffsetOf(ctx); ok {
		t.Error("an offset out of nothing")
	}
	if _, ok := stream.LaneOf(ctx); ok {
		t.Error("a lane out of nothing")
	}
	ctx = stream.WithLane(stream.WithOffset(ctx, 7), 3)
	if o, ok := stream.OffsetOf(ctx); !ok || o != 7 {
		t.Errorf("offset %d, %v", o, ok)
	}
	if lane, ok := stream.LaneOf(ctx); !ok || lane != 3 {
		t.Errorf("lane %d, %v", lane, ok)
	}
}
