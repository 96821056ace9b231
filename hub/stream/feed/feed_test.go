package feed

import (
	"context"
	"crypto/rand"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"raccordo/hub/delivery"
	"raccordo/hub/exchange"
	"raccordo/hub/intake"
	"raccordo/hub/store"
	"raccordo/hub/stream"
	"raccordo/hub/stream/embedded"
)

var (
	_ intake.Publisher = Frames{}
	_ delivery.Stream  = Lanes{}
	_ delivery.Unread  = Lanes{}
)

func TestLanes(t *testing.T) {
	hub, err := exchange.NewHubID(rand.Reader)
	require.NoError(t, err)
	log, err := embedded.Open(embedded.Options{Dir: t.TempDir(), Hub: hub, Lanes: 2, SegmentBytes: 1 << 20, MaxBytes: 8 << 20, Random: rand.Reader})
	require.NoError(t, err)
	defer func() { require.NoError(t, log.Close()) }()
	lanes, ctx := Lanes{Log: log}, context.Background()
	class := exchange.ClassPrompt

	_, found, err := lanes.FrameAt(class, 1)
	require.NoError(t, err)
	require.False(t, found, "nothing was ever written")
	_, found, err = ReceivedAt(ctx, log, class, 0)
	require.NoError(t, err)
	require.False(t, found)

	id := exchange.FrameIDFromMAC([32]byte{7})
	m := message.NewMessage("m", []byte("no part"))
	m.Metadata = message.Metadata{stream.MetaFrame: id.String(), stream.MetaLane: "1", stream.MetaPart: "1/1"}
	offsets, err := Frames{Log: log}.Append(ctx, class.String(), m)
	require.NoError(t, err)
	got, err := Frames{Log: log}.Message(class.String(), offsets[0])
	require.NoError(t, err)
	require.Equal(t, "no part", string(got.Payload))

	frame, found, err := lanes.FrameAt(class, int64(offsets[0]))
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, id, frame)
	first, next, err := lanes.Bounds(class)
	require.NoError(t, err)
	require.Equal(t, []int64{1, 2}, []int64{first, next})
	n, err := lanes.Unread(store.LaneKey{Class: class, Lane: 1}, 1)
	require.NoError(t, err)
	require.GreaterOrEqual(t, n, int64(1), "never fewer than there are")
	n, err = lanes.Unread(store.LaneKey{Class: class, Lane: 1}, 2)
	require.NoError(t, err)
	require.Zero(t, n)
	_, _, err = ReceivedAt(ctx, log, class, 0)
	require.Error(t, err, "what is no part of a frame has no time")
}
