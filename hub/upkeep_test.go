package hub_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"raccordo/hub"
	"raccordo/hub/client"
	"raccordo/hub/control"
	"raccordo/hub/exchange"
	"raccordo/hub/hubtest"
	"raccordo/hub/keys"
	"raccordo/hub/store"
)

// fill pushes n frames of some size, one record each, and waits until all are
// delivered.
func fill(t *testing.T, h *hubtest.Hub, from, n int) {
	t.Helper()
	c := h.As(livorno)
	var all errgroup.Group
	all.SetLimit(16)
	for i := from; i < from+n; i++ {
		all.Go(func() error {
			_, err := c.Push(t.Context(), filling(i))
			return err
		})
	}
	require.NoError(t, all.Wait())
	h.AwaitFlow("livorno_provider", exchange.StateDelivered, int64(from+n))
}

func filling(i int) client.Push {
	body := strings.Replace(request(i, "IGIENE", fmt.Sprintf("LI-%d", i%7)), `"nome":"Prova"`, `"nome":"`+strings.Repeat("x", 60)+`"`, 1)
	return client.Push{Type: "service_request", Key: fmt.Sprintf("fill-%d", i), MediaType: "application/json", Body: exchange.NewPayload([]byte(body))}
}

func firstOffset(t *testing.T, h *hubtest.Hub) int64 {
	t.Helper()
	first, _, err := h.Stream().Bounds(exchange.ClassPrompt.String(), 0)
	require.NoError(t, err)
	return int64(first)
}

func lowestCursor(t *testing.T, h *hubtest.Hub) int64 {
	t.Helper()
	lowest := int64(1 << 62)
	require.NoError(t, h.Store().View(t.Context(), func(tx store.ReadTx) error {
		all, err := tx.AllCursors()
		for k, c := range all {
			if k.Class == exchange.ClassPrompt {
				lowest = min(lowest, c.Offset)
			}
		}
		return err
	}))
	return lowest
}

// sealedBefore tells whether what was sealed at a place on a day can still be
// opened.
func sealedBefore(t *testing.T, h *hubtest.Hub, sealed []byte) bool {
	t.Helper()
	_, err := h.Keyring().Open(sealed, []byte("probe"))
	if err != nil {
		require.ErrorIs(t, err, keys.ErrDestroyed)
	}
	return err == nil
}

// The stream is cleaned up only below what recipients' cursors, the index and
// keys that still answer need, and data keys of a day go only when nothing
// sealed under them is needed (protocol.md 8.3).
func TestUpkeepGivesUpWhatNobodyNeeds(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	h := hubtest.Start(t, withClock(clock), hubtest.With(oneLane), hubtest.With(func(o *hub.Options) {
		o.Config.Stream.SegmentBytes, o.Config.Stream.MaxBytes = 1<<20, 8<<20
		o.Config.Clock.MaxDowntime = 2000 * time.Hour
	}))
	probe := map[keys.Place][]byte{}
	for _, place := range []keys.Place{keys.PlaceStream, keys.PlaceWaiting, keys.PlaceParked} {
		sealed, err := h.Keyring().Seal(place, clock.Now(), []byte("probe"), []byte("probe"))
		require.NoError(t, err)
		probe[place] = sealed
	}
	h.Push(livorno, "service_request", request(0, "LAVORO", "LI-1")) // waits to be fetched, for up to 60 days
	h.AwaitFlow("livorno_work", exchange.StateWaiting, 1)
	fill(t, h, 0, 1300)
	require.NoError(t, h.Tidy(t.Context()))
	require.EqualValues(t, 1, firstOffset(t, h), "keys still answer")
	for place := range probe {
		require.True(t, sealedBefore(t, h, probe[place]), "%v: today is never destroyed", place)
	}

	clock.pass(50 * time.Hour)
	fill(t, h, 1300, 5)
	require.NoError(t, h.Tidy(t.Context()))
	require.EqualValues(t, 1, firstOffset(t, h), "keys answer for 72 hours")
	require.True(t, sealedBefore(t, h, probe[keys.PlaceStream]))

	clock.pass(26 * time.Hour)
	fill(t, h, 1305, 1200) // recipients that get nothing move their cursors every 1,000 parts
	low := int64(0)
	hubtest.Eventually(t, "all cursors have moved", func() bool { low = lowestCursor(t, h); return low > 1310 }, func() any { return low })
	require.NoError(t, h.Tidy(t.Context()))
	first := firstOffset(t, h)
	require.Greater(t, first, int64(1), "a segment has gone")
	require.LessOrEqual(t, first, lowestCursor(t, h))
	require.False(t, sealedBefore(t, h, probe[keys.PlaceStream]), "what is left came days later")
	require.True(t, sealedBefore(t, h, probe[keys.PlaceWaiting]), "a record of that day waits")

	// What is left is whole: keys of today answer, what waits is fetched.
	ack, err := h.As(livorno).Push(t.Context(), filling(2400))
	require.NoError(t, err)
	require.NotNil(t, ack.Lines[0].Record)
	h.AwaitFlow("livorno_provider", exchange.StateDelivered, 2505)
	h.Restart()
	h.Await("ready", func(s control.Status) bool { return s.Ready })
	require.Equal(t, first, firstOffset(t, h))
	fetched(t, h, "arti_livorno", 1)
	h.AwaitFlow("livorno_work", exchange.StateDelivered, 1)

	require.NoError(t, h.Tidy(t.Context()))
	require.False(t, sealedBefore(t, h, probe[keys.PlaceWaiting]), "nothing of that day waits any more")
	require.False(t, sealedBefore(t, h, probe[keys.PlaceParked]))
	verifies(t, h)
}

// Nothing is given up while the clock is not trusted.
func TestUpkeepWaitsForTheClock(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	h := hubtest.Start(t, withClock(clock))
	sealed, err := h.Keyring().Seal(keys.PlaceParked, clock.Now(), []byte("probe"), []byte("probe"))
	require.NoError(t, err)
	clock.jump(100 * 24 * time.Hour)
	require.NoError(t, h.Tidy(t.Context()))
	require.True(t, sealedBefore(t, h, sealed))
	hubtest.Call[control.Nothing](h, "confirm-clock", control.Nothing{})
	require.NoError(t, h.Tidy(t.Context()))
	require.False(t, sealedBefore(t, h, sealed))
}

// The ids of used tokens are forgotten when the tokens would be refused anyway.
func TestUpkeepForgetsTokens(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	h := hubtest.Start(t, withClock(clock))
	use := func(id string, until time.Time) (fresh bool) {
		require.NoError(t, h.Store().Side(context.Background(), func(tx store.SideTx) (err error) {
			fresh, err = tx.UseOnce("client_assertion", exchange.DigestOf([]byte(id)), until.UnixMilli())
			return err
		}))
		return fresh
	}
	require.True(t, use("short", clock.Now().Add(time.Minute)))
	require.True(t, use("long", clock.Now().Add(time.Hour)))
	require.NoError(t, h.Tidy(t.Context()))
	require.False(t, use("short", clock.Now().Add(time.Minute)))
	clock.pass(2 * time.Minute)
	require.NoError(t, h.Tidy(t.Context()))
	require.True(t, use("short", clock.Now().Add(time.Minute)))
	require.False(t, use("long", clock.Now().Add(time.Hour)))
}
