package intake_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"raccordo/hub/exchange"
	"raccordo/hub/intake"
	"raccordo/hub/person"
	"raccordo/hub/store"
	"raccordo/hub/stream"
)

// publisher stands before the stream and fails where it is told to.
type publisher struct {
	intake.Publisher
	before  func() error // instead of appending
	after   func() error // although it was appended
	message func() error
	ctx     context.Context // that came with the last append
}

func (p *publisher) Append(ctx context.Context, topic string, msgs ...*message.Message) ([]stream.Offset, error) {
	p.ctx = ctx
	if p.before != nil {
		if err := p.before(); err != nil {
			return nil, err
		}
	}
	o, err := p.Publisher.Append(ctx, topic, msgs...)
	if p.after != nil && err == nil {
		if err := p.after(); err != nil {
			return nil, err
		}
	}
	return o, err
}

func (p *publisher) Message(topic string, o stream.Offset) (*message.Message, error) {
	if p.message != nil {
		if err := p.message(); err != nil {
			return nil, err
		}
	}
	return p.Publisher.Message(topic, o)
}

func withPublisher(p *publisher) func(*fixture) {
	return func(f *fixture) {
		f.wrap = func(real intake.Publisher) intake.Publisher { p.Publisher = real; return p }
	}
}

const one = `{"id":"canarino","persons":["LOCAL A1"]}`

func (f *fixture) keysKnown(system exchange.SystemID) (n int) {
	f.t.Helper()
	require.NoError(f.t, f.store.View(context.Background(), func(tx store.ReadTx) (err error) {
		n, err = tx.KeyCount(system)
		return err
	}))
	return n
}

func TestWhatTheStreamSays(t *testing.T) {
	for _, c := range []struct {
		err    error
		code   exchange.Code
		reason exchange.Reason
	}{
		{stream.ErrFull, exchange.CodeUnavailable, exchange.ReasonOverloaded},
		{stream.ErrStopped, exchange.CodeUnavailable, exchange.ReasonQuarantined},
		{stream.ErrQuarantined, exchange.CodeUnavailable, exchange.ReasonQuarantined},
		{stream.ErrClosed, exchange.CodeUnavailable, exchange.ReasonShuttingDown},
		{stream.ErrTooLarge, exchange.CodeTooLarge, exchange.ReasonTooLarge},
		{stream.ErrUnknownOutcome, exchange.CodeUnknownOutcome, exchange.ReasonOutcomeUnknown},
		{errors.Join(stream.ErrStopped, stream.ErrUnknownOutcome), exchange.CodeUnknownOutcome, exchange.ReasonOutcomeUnknown},
		{errors.New("something nobody foresaw"), exchange.CodeUnknownOutcome, exchange.ReasonOutcomeUnknown},
	} {
		t.Run(c.err.Error(), func(t *testing.T) {
			p := &publisher{before: func() error { return fmt.Errorf("append: %w", c.err) }}
			f := newFixture(t, withFakePlan, withPublisher(p))
			_, err := f.pushFake("k", one)
			e := refused(t, err, c.code, c.reason)
			require.Equal(t, c.code != exchange.CodeTooLarge, e.RetryAfter > 0)
			require.ErrorIs(t, err, c.err)
			require.Empty(t, f.stored(exchange.ClassPrompt))
			require.Empty(t, f.metrics.accepted)
			// Nothing was half done: the same key goes through when the stream does.
			p.before = nil
			ack, err := f.pushFake("k", one)
			require.NoError(t, err)
			require.True(t, ack.Lines[0].Accepted())
			require.Len(t, f.stored(exchange.ClassPrompt), 1)
		})
	}
}

// TestAnUnknownOutcomeIsResolvedByTheStream: the frame was written although the
// append said that it did not know; after the restart the key answers.
func TestAnUnknownOutcomeIsResolvedByTheStream(t *testing.T) {
	p := &publisher{after: func() error { return stream.ErrUnknownOutcome }}
	f := newFixture(t, withFakePlan, withPublisher(p))
	_, err := f.pushFake("k", one)
	refused(t, err, exchange.CodeUnknownOutcome, exchange.ReasonOutcomeUnknown)
	f.close()
	p.after = nil
	require.Equal(t, 1, f.open())
	ack, err := f.pushFake("k", one)
	require.NoError(t, err)
	parts := f.stored(exchange.ClassPrompt)
	require.Len(t, parts, 1)
	require.Equal(t, parts[0].Header.Records[0].Record, ack.Lines[0].Record)
}

func TestAFullStream(t *testing.T) {
	f := newFixture(t, withFakePlan)
	f.log.Close()
	_, err := f.pushFake("k", one)
	refused(t, err, exchange.CodeUnavailable, exchange.ReasonShuttingDown)
	require.Zero(t, f.keysKnown("desk_a"))
}

func TestAFrameTooLargeToBeReadAgain(t *testing.T) {
	f := newFixture(t, withFakePlan, withPublisher(&publisher{before: func() error { return errors.New("handed to the stream") }}))
	lines := make([]string, 8)
	for i := range lines {
		lines[i] = `{"id":"1","big":"x","persons":["LOCAL A1"]}` // 9 MiB each, one lane
	}
	_, err := f.pushFakeLines("k", lines...)
	refused(t, err, exchange.CodeTooLarge, exchange.ReasonTooLarge)
	require.Empty(t, f.stored(exchange.ClassPrompt))
}

// directory fails where it is told to.
type directory struct {
	intake.Directory
	fail  error
	asked int
	hook  func()
	after func()
}

func (d *directory) Resolve(ctx context.Context, r []person.Request) ([]person.Result, error) {
	d.asked++
	if d.hook != nil {
		d.hook()
	}
	if d.fail != nil {
		return nil, d.fail
	}
	if d.after != nil {
		defer d.after()
	}
	return d.Directory.Resolve(ctx, r)
}

func withDirectory(d *directory) func(*fixture) {
	return func(f *fixture) {
		f.directory = func(real intake.Directory) intake.Directory { d.Directory = real; return d }
	}
}

func TestADirectoryThatCannotBeReached(t *testing.T) {
	d := &directory{fail: person.ErrUnavailable}
	f := newFixture(t, withFakePlan, withDirectory(d), func(f *fixture) { f.maxKeys = 1 })
	for range 3 {
		_, err := f.pushFake("k", one)
		e := refused(t, err, exchange.CodeUnavailable, exchange.ReasonOverloaded)
		require.Positive(t, e.RetryAfter)
	}
	require.Empty(t, f.stored(exchange.ClassPrompt))
	d.fail = nil
	_, err := f.pushFake("k", one)
	require.NoError(t, err, "and it took no room among the keys")
}

func TestOneResolveForAllLines(t *testing.T) {
	d := &directory{}
	f := newFixture(t, withFakePlan, withDirectory(d))
	_, err := f.pushFakeLines("k", one, one, `{"id":"2","persons":["LOCAL A2","LOCAL A3"]}`, `{}`)
	require.NoError(t, err)
	require.Equal(t, 1, d.asked)
}

// refuser is an admission that says no.
type refuser struct {
	err        error
	class      exchange.Class
	recipients []exchange.SystemID
}

func (r *refuser) Admit(c exchange.Class, to []exchange.SystemID) error {
	r.class, r.recipients = c, to
	return r.err
}

func TestAdmissionRefusesBeforeAnythingIsWritten(t *testing.T) {
	no := &refuser{err: exchange.NewError(exchange.CodeTooMany, exchange.ReasonOverloaded, "").After(time.Minute)}
	d := &directory{}
	f := newFixture(t, withFakePlan, withDirectory(d), func(f *fixture) { f.admission = no })
	_, err := f.pushFakeLines("k", `{"id":"1","flows":2,"persons":["LOCAL A1"]}`, `{"id":"1","flows":3,"persons":["LOCAL A1"]}`, `{}`)
	e := refused(t, err, exchange.CodeTooMany, exchange.ReasonOverloaded)
	require.Equal(t, time.Minute, e.RetryAfter)
	require.Equal(t, []exchange.SystemID{"recipient_0", "recipient_1", "recipient_2"}, no.recipients)
	require.Equal(t, exchange.ClassPrompt, no.class)
	require.Zero(t, d.asked, "nobody was made")
	require.Empty(t, f.stored(exchange.ClassPrompt))
	// What is wrong with the request itself is said all the same.
	_, err = f.pushFake("k", `{"id":"1","persons":["CF X"]}`)
	refused(t, err, exchange.CodeInvalid, exchange.ReasonBadIdentifier)
	// A known key is answered, whatever the load.
	no.err = nil
	first, err := f.pushFake("k2", one)
	require.NoError(t, err)
	no.err = e
	again, err := f.pushFake("k2", one)
	require.NoError(t, err)
	require.Equal(t, first, again)
}

func TestCancelledBeforeTheAppendStoresNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	d := &directory{}
	f := newFixture(t, withFakePlan, withDirectory(d))
	push := func() error {
		_, err := f.intake.Push(ctx, intake.Push{System: "desk_a", Type: "test_record", Key: "k", MediaType: "application/json", Body: exchange.NewPayload([]byte(one))})
		return err
	}
	d.hook = cancel // after the line was read, before the frame
	refused(t, push(), exchange.CodeUnavailable, exchange.ReasonOverloaded)
	d.hook = nil
	err := push() // cancelled from the start
	refused(t, err, exchange.CodeUnavailable, exchange.ReasonOverloaded)
	ctx, cancel = context.WithCancel(context.Background())
	d.after = cancel // the last moment
	err = push()
	refused(t, err, exchange.CodeUnavailable, exchange.ReasonOverloaded)
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, f.stored(exchange.ClassPrompt))
	_, err = f.pushFake("k", one)
	require.NoError(t, err)
}

func TestCancelledDuringTheAppendIsNotTorn(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	p := &publisher{before: func() error { cancel(); return nil }}
	f := newFixture(t, withFakePlan, withPublisher(p))
	ack, err := f.intake.Push(ctx, intake.Push{System: "desk_a", Type: "test_record", Key: "k", MediaType: "application/json", Body: exchange.NewPayload([]byte(one))})
	require.NoError(t, err)
	require.True(t, ack.Lines[0].Accepted())
	require.NoError(t, p.ctx.Err())
	require.Len(t, f.stored(exchange.ClassPrompt), 1)
}

// TestWhoWaitsForAKeyMayGo: a second request with the key that is under way.
func TestWhoWaitsForAKeyMayGo(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	p := &publisher{before: func() error { once.Do(func() { close(begun); <-release }); return nil }}
	f := newFixture(t, withFakePlan, withPublisher(p))
	done := make(chan error, 1)
	go func() { _, err := f.pushFake("k", one); done <- err }()
	<-begun
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_, err := f.intake.Push(ctx, intake.Push{System: "desk_a", Type: "test_record", Key: "k", MediaType: "application/json", Body: exchange.NewPayload([]byte(one))})
	refused(t, err, exchange.CodeUnavailable, exchange.ReasonOverloaded)
	close(release)
	require.NoError(t, <-done)
	require.Len(t, f.stored(exchange.ClassPrompt), 1)
}

func TestKeysThatCannotBeReached(t *testing.T) {
	f := newFixture(t, withFakePlan)
	require.NoError(t, f.keys.DestroyBefore(1, 40_000)) // every day of the stream's keys
	_, err := f.pushFake("k", one)
	refused(t, err, exchange.CodeUnavailable, exchange.ReasonOverloaded)
	require.Empty(t, f.stored(exchange.ClassPrompt))
}
