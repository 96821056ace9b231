package embedded_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"raccordo/hub/exchange"
	"raccordo/hub/stream"
	"raccordo/hub/stream/embedded"
)

func mustAppend(t testing.TB, l *embedded.Log, topic string, msgs ...*message.Message) []stream.Offset {
	t.Helper()
	offsets, err := l.Append(context.Background(), topic, msgs...)
	require.NoError(t, err)
	return offsets
}

// receive takes n messages, acknowledging each.
func receive(t testing.TB, ch <-chan *message.Message, n int) []*message.Message {
	t.Helper()
	out := make([]*message.Message, 0, n)
	deadline := time.After(30 * time.Second)
	for len(out) < n {
		select {
		case m, ok := <-ch:
			require.True(t, ok, "channel closed after %d of %d", len(out), n)
			m.Ack()
			out = append(out, m)
		case <-deadline:
			require.Failf(t, "too slow", "%d of %d messages", len(out), n)
		}
	}
	return out
}

func offsetOf(t testing.TB, m *message.Message) stream.Offset {
	t.Helper()
	o, ok := stream.OffsetOf(m.Context())
	require.True(t, ok)
	return o
}

func TestRefusalsOfOpen(t *testing.T) {
	dir := t.TempDir()
	opt := embedded.Options{Dir: dir, Hub: testHub, SegmentBytes: smallSegment, Logger: slog.New(slog.DiscardHandler)}
	l, err := embedded.Open(opt)
	require.NoError(t, err)
	_, err = embedded.Open(opt)
	require.ErrorIs(t, err, embedded.ErrInUse)
	require.NoError(t, l.Close())

	other := opt
	other.Lanes = 8
	l, err = embedded.Open(other)
	require.NoError(t, err, "an empty log takes another number of lanes")
	require.Equal(t, 8, l.Lanes())
	mustAppend(t, l, "prompt", numbered(7, 10))
	require.NoError(t, l.Close())
	_, err = embedded.Open(opt)
	require.ErrorIs(t, err, embedded.ErrLanes)

	other.Hub = exchange.HubID{9}
	_, err = embedded.Open(other)
	require.ErrorIs(t, err, embedded.ErrForeign)

	other.Hub = testHub
	l, err = embedded.Open(other)
	require.NoError(t, err, "a refusal changes nothing")
	_, err = l.ReadAt("prompt", 1)
	require.NoError(t, err)
	require.NoError(t, l.Close())

	for name, spoil := range map[string]func(t *testing.T){
		"meta lost":    func(t *testing.T) { require.NoError(t, os.Remove(filepath.Join(dir, "meta"))) },
		"meta garbled": func(t *testing.T) { require.NoError(t, os.WriteFile(filepath.Join(dir, "meta"), []byte("{"), 0o600)) },
		"meta newer": func(t *testing.T) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "meta"), []byte(`{"layout":2,"lanes":8}`), 0o600))
		},
	} {
		spoil(t)
		_, err = embedded.Open(other)
		require.ErrorIs(t, err, embedded.ErrLayout, name)
	}
	for _, bad := range []embedded.Options{
		{Dir: dir, Lanes: -1}, {Dir: dir, Lanes: 5000}, {Dir: dir, SegmentBytes: 10},
		{Dir: dir, SegmentBytes: 1 << 20, MaxBytes: 1 << 20}, {},
	} {
		_, err := embedded.Open(bad)
		require.Error(t, err)
	}
}

func TestRefusalsOfAppend(t *testing.T) {
	l := openAt(t, t.TempDir())
	for name, lane := range map[string]string{"above": "4", "negative": "-1", "no number": "x", "empty": ""} {
		m := message.NewMessage("u", nil)
		m.Metadata.Set(stream.MetaLane, lane)
		_, err := l.Append(t.Context(), "prompt", numbered(1, 1), m)
		require.ErrorIs(t, err, embedded.ErrLane, name)
	}
	_, err := l.Append(t.Context(), "prompt", message.NewMessage("u", make([]byte, embedded.MaxFrameBytes)))
	require.ErrorIs(t, err, stream.ErrTooLarge)
	_, err = l.Append(t.Context(), "prompt", message.NewMessage(strings.Repeat("u", 1<<16), nil))
	require.ErrorIs(t, err, stream.ErrTooLarge)
	for _, name := range []string{"", strings.Repeat("n", 81)} {
		_, err = l.Append(t.Context(), name, numbered(1, 1))
		require.ErrorIs(t, err, embedded.ErrName)
	}
	none, err := l.Append(t.Context(), "prompt")
	require.NoError(t, err)
	require.Empty(t, none)
	highest, err := l.HighestAccepted("prompt")
	require.NoError(t, err)
	require.Zero(t, highest, "nothing was written by any refusal")

	p := l.Publisher()
	require.NoError(t, p.Close())
	require.ErrorIs(t, p.Publish("prompt", numbered(1, 1)), stream.ErrClosed)
	require.NoError(t, l.Close())
	_, err = l.Append(t.Context(), "prompt", numbered(1, 1))
	require.ErrorIs(t, err, stream.ErrClosed)
	_, err = l.Subscriber(embedded.SubscriberConfig{})
	require.ErrorIs(t, err, stream.ErrClosed)
}

// Names of topics are told apart whatever they are made of, and stay inside.
func TestTopicNames(t *testing.T) {
	dir := t.TempDir()
	names := []string{"a", "A", ".", "..", "../a", "a/b", "%61", "a~", "è", "a b", "\x00", strings.Repeat("/", 80)}
	for round := range 2 {
		l := openAt(t, dir, func(o *embedded.Options) { o.SegmentBytes = smallSegment })
		for i, name := range names {
			if round == 0 {
				mustAppend(t, l, name, numbered(i, 20))
			}
			m, err := l.ReadAt(name, 1)
			require.NoError(t, err, "%q", name)
			require.NoError(t, checkNumbered(m, i))
		}
		require.NoError(t, l.Close())
	}
	left, err := os.ReadDir(filepath.Dir(dir))
	require.NoError(t, err)
	require.Len(t, left, 1, "nothing beside the directory")
}

// Each lane comes in order, from the offset asked for, with UUID, metadata,
// payload, offset and lane; the next is withheld until Ack.
func TestLanesAndStarts(t *testing.T) {
	l := openAt(t, t.TempDir())
	const n = 400
	for i := range n { // offset i+1 holds message i, of lane i%4
		mustAppend(t, l, "bulk", numbered(i, i))
	}
	starts := []stream.Offset{0, 101, 250, n + 1}
	for lane, start := range starts {
		s := subscriber(t, l, embedded.SubscriberConfig{
			Lanes: []int{lane}, Start: func(int) stream.Offset { return start },
		})
		ch, err := s.Subscribe(t.Context(), "bulk")
		require.NoError(t, err)
		var want []stream.Offset
		for o := max(start, 1); o <= n; o++ {
			if int(o-1)%4 == lane {
				want = append(want, o)
			}
		}
		for i, m := range receive(t, ch, len(want)) {
			require.Equal(t, want[i], offsetOf(t, m))
			require.NoError(t, checkNumbered(m, int(want[i])-1))
			got, ok := stream.LaneOf(m.Context())
			require.True(t, ok)
			require.Equal(t, lane, got)
		}
		mustAppend(t, l, "bulk", numbered(n+lane, 5)) // the tail goes on
		require.Equal(t, stream.Offset(n+lane+1), offsetOf(t, receive(t, ch, 1)[0]))
		require.NoError(t, s.Close())
	}
	both := subscriber(t, l, embedded.SubscriberConfig{Lanes: []int{1, 2}, Start: func(lane int) stream.Offset { return starts[lane] }})
	ch, err := both.Subscribe(t.Context(), "bulk")
	require.NoError(t, err)
	require.EqualValues(t, 102, offsetOf(t, receive(t, ch, 1)[0]), "lane 1 from 101")
	for want := stream.Offset(106); want < 250; want += 4 {
		require.Equal(t, want, offsetOf(t, receive(t, ch, 1)[0]), "lane 2 only from 250")
	}

	for start, want := range map[stream.Offset]error{-1: stream.ErrBelowStart, n + 6: stream.ErrAboveEnd} {
		s := subscriber(t, l, embedded.SubscriberConfig{Lanes: []int{0}, Start: func(int) stream.Offset { return start }})
		_, err := s.Subscribe(t.Context(), "bulk")
		require.ErrorIs(t, err, want)
	}
	_, err = l.Subscriber(embedded.SubscriberConfig{Lanes: []int{4}})
	require.ErrorIs(t, err, embedded.ErrLane)
	_, err = l.Subscriber(embedded.SubscriberConfig{Group: "g", Lanes: []int{1}})
	require.Error(t, err)
}

func TestNackAndWithhold(t *testing.T) {
	l := openAt(t, t.TempDir())
	mustAppend(t, l, "prompt", numbered(0, 5), numbered(4, 5))
	s := subscriber(t, l, embedded.SubscriberConfig{Lanes: []int{0}})
	ch, err := s.Subscribe(t.Context(), "prompt")
	require.NoError(t, err)
	for range 3 {
		m := <-ch
		require.EqualValues(t, 1, offsetOf(t, m))
		select {
		case <-ch:
			require.Fail(t, "the next message came before the Ack")
		default:
		}
		m.Nack()
		<-m.Context().Done()
	}
	require.Len(t, receive(t, ch, 2), 2)
}

// The position of a group outlives the process.
func TestGroupResumes(t *testing.T) {
	dir := t.TempDir()
	for round := range 4 {
		l := openAt(t, dir)
		mustAppend(t, l, "prompt", numbered(2*round, 5), numbered(2*round+1, 5))
		s := subscriber(t, l, embedded.SubscriberConfig{Group: "Gruppo/1"})
		ch, err := s.Subscribe(t.Context(), "prompt")
		require.NoError(t, err)
		for i, m := range receive(t, ch, 2) {
			require.Equal(t, stream.Offset(2*round+i+1), offsetOf(t, m))
		}
		require.NoError(t, l.Close())
	}
}

func TestLagIsNeverTooSmall(t *testing.T) {
	dir := t.TempDir()
	l := openAt(t, dir)
	const n = 3000
	for i := range n / 100 {
		msgs := make([]*message.Message, 100)
		for k := range msgs {
			msgs[k] = numbered(i*100+k, 300)
		}
		mustAppend(t, l, "bulk", msgs...)
	}
	require.NoError(t, l.Trim("bulk", 1500))
	check := func(l *embedded.Log) {
		first, next, err := l.Bounds("bulk", 0)
		require.NoError(t, err)
		for o := first; o <= next; o += 7 {
			for lane := range 4 {
				truth := int64(0)
				for m := o; m < next; m++ {
					if int(m-1)%4 == lane {
						truth++
					}
				}
				lag, err := l.Lag("bulk", lane, o)
				require.NoError(t, err)
				require.GreaterOrEqual(t, lag, truth)
				require.LessOrEqual(t, lag, truth+100, "an index step and a record above at most")
			}
		}
		lag, err := l.Lag("bulk", 0, next)
		require.NoError(t, err)
		require.Zero(t, lag)
	}
	check(l)
	require.NoError(t, l.Close())
	check(openAt(t, dir))
}

// Nothing runs on, and no file stays open, after Close.
func TestNoLeaks(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 3 {
		l := openAt(t, t.TempDir())
		for i := range 50 {
			mustAppend(t, l, "topic"+strconv.Itoa(i%5), numbered(i, 30_000))
		}
		for _, config := range []embedded.SubscriberConfig{{}, {Group: "g"}, {Lanes: []int{1, 3}}} {
			s := subscriber(t, l, config)
			for i := range 5 {
				_, err := s.Subscribe(context.Background(), "topic"+strconv.Itoa(i))
				require.NoError(t, err)
			}
		}
		require.NoError(t, l.Close())
	}
	tick, deadline := time.NewTicker(time.Millisecond), time.After(10*time.Second)
	defer tick.Stop()
	for runtime.NumGoroutine() > before {
		select {
		case <-tick.C:
		case <-deadline:
			require.Failf(t, "leak", "%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

func TestReadStopsWithItsFunction(t *testing.T) {
	l := openAt(t, t.TempDir())
	mustAppend(t, l, "prompt", numbered(0, 1), numbered(1, 1), numbered(2, 1))
	errEnough := errors.New("enough")
	seen := 0
	err := l.Read(t.Context(), "prompt", 2, 0, func(stream.Offset, int, *message.Message) error { seen++; return errEnough })
	require.ErrorIs(t, err, errEnough)
	require.Equal(t, 1, seen)
	seen = 0
	require.NoError(t, l.Read(t.Context(), "prompt", 2, 1, func(stream.Offset, int, *message.Message) error { seen++; return nil }))
	require.Equal(t, 1, seen)
	require.NoError(t, l.Read(t.Context(), "never", 0, 0, nil))
	require.ErrorIs(t, l.Read(t.Context(), "never", 5, 0, nil), stream.ErrAboveEnd)
}
