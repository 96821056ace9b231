package embedded_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"raccordo/hub/stream"
	"raccordo/hub/stream/embedded"
)

// 64 producers and a reader at the tail: nothing is missed, doubled or out of
// order, and what a Publish wrote together stands together.
func TestGroupCommit(t *testing.T) {
	l := openAt(t, t.TempDir())
	const producers, each, parts = 64, 40, 3
	s := subscriber(t, l, embedded.SubscriberConfig{})
	ch, err := s.Subscribe(t.Context(), "prompt")
	require.NoError(t, err)
	var highest atomic.Int64
	var all sync.WaitGroup
	for p := range producers {
		all.Go(func() {
			for i := range each {
				msgs := make([]*message.Message, parts)
				for k := range msgs {
					msgs[k] = message.NewMessage(fmt.Sprintf("%d/%d/%d", p, i, k), content(i, 200))
				}
				offsets, err := l.Append(context.Background(), "prompt", msgs...)
				if err != nil || len(offsets) != parts || offsets[0]+2 != offsets[2] {
					t.Errorf("append: %v %v", offsets, err)
					return
				}
				for o := int64(offsets[2]); ; {
					if h := highest.Load(); h >= o || highest.CompareAndSwap(h, o) {
						break
					}
				}
			}
		})
	}
	next := make([]int, producers)
	for i, m := range receive(t, ch, producers*each*parts) {
		require.Equal(t, stream.Offset(i+1), offsetOf(t, m))
		var p, n, k int
		_, err := fmt.Sscanf(m.UUID, "%d/%d/%d", &p, &n, &k)
		require.NoError(t, err)
		require.Equal(t, next[p], n*parts+k, "producer %d", p)
		require.Equal(t, i%parts, k, "parts of one Publish stand together")
		next[p]++
	}
	all.Wait()
	got, err := l.HighestAccepted("prompt")
	require.NoError(t, err)
	require.EqualValues(t, highest.Load(), got)
}

// A reader at the tail sees nothing before its fsync has returned.
func TestNotVisibleBeforeSync(t *testing.T) {
	d := newDisk()
	l, err := embedded.Open(onDisk(d))
	require.NoError(t, err)
	mustAppend(t, l, "prompt", numbered(0, 10))
	s := subscriber(t, l, embedded.SubscriberConfig{})
	ch, err := s.Subscribe(t.Context(), "prompt")
	require.NoError(t, err)
	receive(t, ch, 1)
	gate := make(chan struct{})
	d.mu.Lock()
	d.syncGate = gate
	d.mu.Unlock()
	done := make(chan error, 1)
	go func() {
		_, err := l.Append(context.Background(), "prompt", numbered(1, 10))
		done <- err
	}()
	for range 2000 {
		select {
		case <-ch:
			require.Fail(t, "seen before it was durable")
		case <-done:
			require.Fail(t, "acknowledged before it was durable")
		default:
			runtime.Gosched()
		}
	}
	_, err = l.ReadAt("prompt", 2)
	require.ErrorIs(t, err, stream.ErrAboveEnd)

	// Who leaves while the writer has the message does not know; who leaves
	// before, knows that nothing was written.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = l.Append(ctx, "prompt", numbered(99, 10))
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, stream.ErrUnknownOutcome)
	close(gate)
	require.NoError(t, <-done)
	require.EqualValues(t, 2, offsetOf(t, receive(t, ch, 1)[0]))
	mustAppend(t, l, "prompt", numbered(2, 10))
	m, err := l.ReadAt("prompt", 3)
	require.NoError(t, err)
	require.NoError(t, checkNumbered(m, 2), "the message of who left is not there")
	require.NoError(t, l.Close())
}

func TestFullAndTrim(t *testing.T) {
	l := openAt(t, t.TempDir(), func(o *embedded.Options) { o.SegmentBytes, o.MaxBytes = smallSegment, 4*smallSegment })
	n := 0
	fill := func() {
		for {
			_, err := l.Append(t.Context(), "bulk", numbered(n, 5000))
			if err != nil {
				require.ErrorIs(t, err, stream.ErrFull)
				require.NotErrorIs(t, err, stream.ErrUnknownOutcome)
				return
			}
			n++
		}
	}
	fill()
	require.NoError(t, l.Fault("bulk"), "full is not broken")
	mustAppend(t, l, "prompt", numbered(1, 10)) // another topic has its own room
	for range 20 {
		first, next, err := l.Bounds("bulk", 0)
		require.NoError(t, err)
		require.EqualValues(t, n+1, next)
		require.NoError(t, l.Trim("bulk", first+20))
		after, _, err := l.Bounds("bulk", 0)
		require.NoError(t, err)
		require.Greater(t, after, first)
		require.LessOrEqual(t, after, first+20, "nothing at or above the mark is given up")
		_, err = l.ReadAt("bulk", after-1)
		require.ErrorIs(t, err, stream.ErrBelowStart)
		fill()
	}
	require.NoError(t, l.Trim("bulk", stream.Offset(n+1)))
	m, err := l.ReadAt("bulk", stream.Offset(n))
	require.NoError(t, err, "the segment being written stays")
	require.NoError(t, checkNumbered(m, n-1))
}

// A reader below the mark of a trim is told so; it is never led past.
func TestTrimUnderReader(t *testing.T) {
	l := openAt(t, t.TempDir(), func(o *embedded.Options) { o.SegmentBytes = smallSegment })
	for i := range 100 {
		mustAppend(t, l, "bulk", numbered(i, 5000))
	}
	want := stream.Offset(1)
	err := l.Read(t.Context(), "bulk", 0, 0, func(o stream.Offset, _ int, m *message.Message) error {
		require.Equal(t, want, o)
		require.NoError(t, checkNumbered(m, int(o)-1))
		if want++; o == 2 {
			require.NoError(t, l.Trim("bulk", 90))
		}
		return nil
	})
	require.ErrorIs(t, err, stream.ErrBelowStart)
	require.Less(t, want, stream.Offset(20), "its own segment it may finish")
}

// A file system without room is full, not broken: nothing was begun, and it
// goes on when there is room again.
func TestNoSpace(t *testing.T) {
	d := newDisk()
	l, err := embedded.Open(onDisk(d))
	require.NoError(t, err)
	setFull := func(full bool) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.full = full
	}
	setFull(true)
	_, err = l.Append(t.Context(), "prompt", numbered(0, 10))
	require.ErrorIs(t, err, stream.ErrFull)
	setFull(false)
	n := 0
	mustAppend(t, l, "prompt", numbered(n, 10))
	setFull(true)
	for err = error(nil); err == nil; n++ {
		_, err = l.Append(t.Context(), "prompt", numbered(n+1, 5000))
	}
	require.ErrorIs(t, err, stream.ErrFull)
	require.NoError(t, l.Fault("prompt"))
	setFull(false)
	mustAppend(t, l, "prompt", numbered(n, 5000))
	next, err := readAll(l)
	require.NoError(t, err)
	require.EqualValues(t, n+2, next)
	require.NoError(t, l.Close())
}

// The bound holds for what is on disk, and the figure is the true one.
func TestUsage(t *testing.T) {
	dir := t.TempDir()
	l := openAt(t, dir, func(o *embedded.Options) { o.SegmentBytes, o.MaxBytes = smallSegment, 4*smallSegment })
	for i := range 200 {
		_, err := l.Append(t.Context(), "bulk", numbered(i, 5000))
		if err != nil {
			require.ErrorIs(t, err, stream.ErrFull)
			_, next, err := l.Bounds("bulk", 0)
			require.NoError(t, err)
			require.NoError(t, l.Trim("bulk", next))
		}
	}
	require.NoError(t, l.Close())
	l = openAt(t, dir, func(o *embedded.Options) { o.SegmentBytes, o.MaxBytes = smallSegment, 4*smallSegment })
	used, bound, err := l.Usage("bulk")
	require.NoError(t, err)
	require.EqualValues(t, 4*smallSegment, bound)
	var onDisk int64
	files, err := filepath.Glob(filepath.Join(dir, "topics", "bulk", "*s*e*"))
	require.NoError(t, err)
	for _, f := range files {
		info, err := os.Stat(f)
		require.NoError(t, err)
		onDisk += info.Size() / smallSegment * smallSegment
	}
	require.Equal(t, onDisk, used)
	require.LessOrEqual(t, used, bound)
}
