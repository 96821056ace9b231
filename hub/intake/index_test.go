package intake_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"raccordo/hub/exchange"
	"raccordo/hub/intake"
	"raccordo/hub/store"
	"raccordo/hub/stream"
)

// flaky is a store whose side transactions fail when told to.
type flaky struct {
	store.Store
	mu    sync.Mutex
	err   error
	tried chan struct{} // one for each failed attempt, if there is room
}

func (s *flaky) fail(err error) { s.mu.Lock(); defer s.mu.Unlock(); s.err = err }

func (s *flaky) Side(ctx context.Context, fn func(store.SideTx) error) error {
	s.mu.Lock()
	err := s.err
	s.mu.Unlock()
	if err != nil {
		select {
		case s.tried <- struct{}{}:
		default:
		}
		return err
	}
	return s.Store.Side(ctx, fn)
}

func (f *fixture) flakyIndex() (*intake.Index, *flaky) {
	s := &flaky{Store: f.store, tried: make(chan struct{}, 100)}
	return intake.NewIndex(intake.IndexOptions{Store: s, Clock: f.clock, Logger: slog.New(slog.DiscardHandler)}), s
}

// frame n of one record, at an offset.
func frameAt(n int, first, last int64, records int) *intake.Stored {
	name := fmt.Sprint("frame ", n)
	d := exchange.DigestOf([]byte(name))
	s := &intake.Stored{First: first, Last: last, Key: store.KeyRow{System: "desk_a", KeyMAC: d, BodyDigest: d, Frame: exchange.FrameID(d[:16]),
		Class: exchange.ClassPrompt, Offset: first, Records: uint32(records), ReceivedAt: start.UnixMilli()}}
	for i := range records {
		r := exchange.DigestOf([]byte(fmt.Sprint(name, i)))
		s.Records = append(s.Records, store.RecordRow{Record: exchange.RecordID(r[:16]), Producer: "desk_a", Type: "test_record",
			ReceivedAt: start.UnixMilli(), Flows: []exchange.FlowID{"flow_0"}})
	}
	return s
}

func (f *fixture) progress() (at int64) {
	f.t.Helper()
	require.NoError(f.t, f.store.View(context.Background(), func(tx store.ReadTx) (err error) {
		at, _, err = tx.Progress("index/prompt")
		return err
	}))
	return at
}

func TestProgressStopsAtTheFirstGap(t *testing.T) {
	f := newFixture(t, withFakePlan, func(f *fixture) { f.noIndex = true })
	x, _ := f.flakyIndex()
	go x.Run()
	defer x.Stop()
	reach := func(want int64, keys int) {
		t.Helper()
		f.persisted("desk_a", keys)
		require.Eventually(t, func() bool { return f.progress() == want }, 5*time.Second, time.Millisecond)
	}
	x.Stored(frameAt(2, 3, 5, 1)) // another's frame came first
	f.persisted("desk_a", 1)
	require.Zero(t, f.progress())
	x.Stored(frameAt(3, 8, 8, 1))
	f.persisted("desk_a", 2)
	x.Stored(frameAt(1, 1, 2, 1))
	reach(5, 3)
	x.Stored(frameAt(4, 6, 7, 1))
	reach(8, 4)
}

// TestNoProgressPastWhatWasNotWritten: the store fails, the index is stopped;
// a frame queued behind must not carry the mark over the one that is missing.
func TestNoProgressPastWhatWasNotWritten(t *testing.T) {
	f := newFixture(t, withFakePlan, func(f *fixture) { f.noIndex = true })
	_, err := f.pushFake("k1", one)
	require.NoError(t, err)
	x, s := f.flakyIndex()
	s.fail(errors.New("disk"))
	go x.Run()
	x.Stored(frameAt(1, 1, 1, 3000)) // a batch of its own
	<-s.tried
	_, known, err := x.Lookup(t.Context(), "desk_a", frameAt(1, 1, 1, 0).Key.KeyMAC)
	require.NoError(t, err)
	require.True(t, known, "memory answers meanwhile")
	x.Stored(frameAt(2, 2, 2, 1))
	done := make(chan struct{})
	go func() { x.Stop(); close(done) }()
	<-done
	s.fail(nil)
	require.Zero(t, f.progress())
	require.Zero(t, f.keysKnown("desk_a"))
	f.close()
	require.Equal(t, 1, f.open(), "the frame in the stream is found at the next start")
	require.EqualValues(t, 1, f.progress())
}

// TestNoProgressOverAFrameGivenUp: the store comes back just when the index is
// stopped, and takes what is queued behind.
func TestNoProgressOverAFrameGivenUp(t *testing.T) {
	f := newFixture(t, withFakePlan, func(f *fixture) { f.noIndex = true })
	x, s := f.flakyIndex()
	s.fail(errors.New("disk"))
	go x.Run()
	x.Stored(frameAt(1, 1, 1, 3000)) // a batch of its own
	for range 3 {                    // the next attempt is 400 ms away
		<-s.tried
	}
	x.Stored(frameAt(2, 2, 2, 1))
	s.fail(nil)
	x.Stop()
	_, known, err := intake.NewIndex(intake.IndexOptions{Store: f.store, Clock: f.clock}).Lookup(t.Context(), "desk_a", frameAt(1, 1, 1, 0).Key.KeyMAC)
	require.NoError(t, err)
	require.Equal(t, known, f.progress() > 0, "progress was noted past a frame that is not in the index")
}

func TestAFailedWriteIsRepeated(t *testing.T) {
	f := newFixture(t, withFakePlan, func(f *fixture) { f.noIndex = true })
	x, s := f.flakyIndex()
	s.fail(store.ErrUnknownOutcome)
	go x.Run()
	defer x.Stop()
	x.Stored(frameAt(1, 1, 1, 2))
	<-s.tried
	<-s.tried
	s.fail(nil)
	f.persisted("desk_a", 1)
	require.EqualValues(t, 1, f.progress())
}

func TestStopIsSafe(t *testing.T) {
	f := newFixture(t, withFakePlan, func(f *fixture) { f.noIndex = true })
	x, _ := f.flakyIndex()
	x.Stop() // never ran
	x.Stop()
	x.Run() // ends at once
	for n := range 5000 {
		x.Stored(frameAt(n, int64(n+1), int64(n+1), 1)) // never blocks once stopped
	}

	y, _ := f.flakyIndex()
	var wg sync.WaitGroup
	wg.Go(y.Run)
	for g := range 4 {
		wg.Go(func() {
			for n := range 200 {
				y.Stored(frameAt(g*1000+n, int64(g*200+n+1), int64(g*200+n+1), 1))
			}
		})
	}
	for range 3 {
		wg.Go(y.Stop)
	}
	wg.Wait()
}

func TestAnIndexTooFarBehindRefuses(t *testing.T) {
	f := newFixture(t, withFakePlan, func(f *fixture) { f.noIndex = true })
	f.index.Stored(frameAt(1, 1, 1, 100_000))
	_, err := f.pushFake("k", one)
	e := refused(t, err, exchange.CodeUnavailable, exchange.ReasonOverloaded)
	require.Positive(t, e.RetryAfter)
	require.Empty(t, f.stored(exchange.ClassPrompt))
	go f.index.Run()
	require.Eventually(t, func() bool { _, err := f.pushFake("k", one); return err == nil }, 30*time.Second, 10*time.Millisecond)
}

// TestRebuildReadsFramesOfManyParts: frames of as many parts as there are
// lanes, more messages than one round reads.
func TestRebuildReadsFramesOfManyParts(t *testing.T) {
	f := newFixture(t, withFakePlan, func(f *fixture) { f.noIndex, f.lanes = true, 1024 })
	var first *intake.Acknowledgement
	var lines []string
	for i := range 700 {
		lines = append(lines, fmt.Sprintf(`{"id":"%d","persons":["LOCAL P%d"]}`, i, i))
	}
	for n := range 6 {
		ack, err := f.pushFakeLines(fmt.Sprint("k", n), lines...)
		require.NoError(t, err)
		if n == 3 {
			first = ack
		}
	}
	parts := f.stored(exchange.ClassPrompt)
	require.Greater(t, len(parts), 1024)
	f.close()
	require.Equal(t, 6, f.open())
	require.EqualValues(t, len(parts), f.progress())
	again, err := f.pushFakeLines("k3", lines...)
	require.NoError(t, err)
	require.Equal(t, first, again)
	f.close()
	require.Zero(t, f.open())
}

// TestRebuildRefusesWhatIsNotWhole: intake must not answer wrongly.
func TestRebuildRefusesWhatIsNotWhole(t *testing.T) {
	part := func(k, n uint16, class exchange.Class) *message.Message {
		h, err := exchange.AppendHeader(nil, &exchange.Header{System: "desk_a", Class: class, Part: k, Parts: n,
			Records: []exchange.RecordHeader{{Type: "test_record", Version: "1.0.0"}}})
		require.NoError(t, err)
		return message.NewMessage("m", exchange.AppendPart(nil, h, nil, [][]byte{nil}))
	}
	p := exchange.ClassPrompt
	for name, c := range map[string]struct {
		msgs []*message.Message
		ok   bool
	}{
		"whole":           {[]*message.Message{part(1, 2, p), part(2, 2, p), part(1, 1, p)}, true},
		"garbage":         {[]*message.Message{message.NewMessage("m", []byte("canarino"))}, false},
		"cut at the end":  {[]*message.Message{part(1, 2, p)}, false},
		"second part":     {[]*message.Message{part(2, 2, p)}, false},
		"part missing":    {[]*message.Message{part(1, 2, p), part(1, 1, p)}, false},
		"of other class":  {[]*message.Message{part(1, 1, exchange.ClassBulk)}, false},
		"nothing at all":  {nil, true},
		"garbage behind":  {[]*message.Message{part(1, 1, p), message.NewMessage("m", nil)}, false},
		"read back empty": {[]*message.Message{part(1, 1, p)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, withFakePlan, func(f *fixture) { f.noIndex = true })
			x, _ := f.flakyIndex()
			found, err := x.Rebuild(t.Context(), topic(c.msgs))
			if c.ok {
				require.NoError(t, err)
				require.EqualValues(t, len(c.msgs), f.progress())
				return
			}
			require.ErrorIs(t, err, exchange.ErrFrame)
			require.NotContains(t, err.Error(), "canarino")
			require.Zero(t, found)
		})
	}
	f := newFixture(t, withFakePlan, func(f *fixture) { f.noIndex = true })
	x, _ := f.flakyIndex()
	_, err := x.Rebuild(t.Context(), brokenTopic{})
	require.ErrorIs(t, err, stream.ErrQuarantined)
}

// topic is a prompt topic with these messages.
type topic []*message.Message

func (s topic) Read(_ context.Context, name string, from stream.Offset, _ int, fn func(stream.Offset, int, *message.Message) error) error {
	if name != "prompt" {
		return nil
	}
	for i, m := range s {
		if o := stream.Offset(i + 1); o >= from {
			if err := fn(o, 0, m); err != nil {
				return err
			}
		}
	}
	return nil
}

type brokenTopic struct{}

func (brokenTopic) Read(context.Context, string, stream.Offset, int, func(stream.Offset, int, *message.Message) error) error {
	return stream.ErrQuarantined
}

func TestRecordsAreFoundBeforeTheStoreHasThem(t *testing.T) {
	f := newFixture(t, withFakePlan, func(f *fixture) { f.noIndex = true })
	ack, err := f.pushFake("k", one)
	require.NoError(t, err)
	row, ok := f.index.Record(ack.Lines[0].Record)
	require.True(t, ok)
	require.Equal(t, store.RecordRow{Record: ack.Lines[0].Record, Producer: "desk_a", Type: "test_record", ReceivedAt: start.UnixMilli(), Flows: []exchange.FlowID{"flow_0"}}, row)
	_, ok = f.index.Record(exchange.RecordID{1})
	require.False(t, ok)
	f.close()
	f.open()
	_, ok = f.index.Record(ack.Lines[0].Record)
	require.False(t, ok)
	var stored store.RecordRow
	var status []store.StatusRow
	require.NoError(t, f.store.View(t.Context(), func(tx store.ReadTx) (err error) {
		if stored, err = tx.Record(row.Record); err != nil {
			return err
		}
		status, err = tx.StatusOf(row.Record)
		return err
	}))
	require.Equal(t, row, stored)
	require.Len(t, status, 1)
	require.Equal(t, exchange.StatePending, status[0].State)
}
