package intake_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"raccordo/hub/exchange"
	"raccordo/hub/intake"
	"raccordo/hub/stream"
)

// TestTheSameKeyHasTheSameAnswer pushes again at once, when the index is in the
// store, and after restarts with and without it.
func TestTheSameKeyHasTheSameAnswer(t *testing.T) {
	for _, persisted := range []bool{true, false} {
		t.Run(fmt.Sprintf("persisted %v", persisted), func(t *testing.T) {
			f := newFixture(t, func(f *fixture) { f.noIndex = !persisted })
			body := [][]byte{request("1", "SPORTELLO LI-1"), []byte(`{"bad":1}`), nil, request("4", "SPORTELLO LI-2"), request("5", "SPORTELLO LI-3")}
			first, err := f.pushLines("k", body...)
			require.NoError(t, err)
			require.Len(t, first.Lines, 4)
			single, err := f.push("k single", body[0])
			require.NoError(t, err)
			frames := len(f.stored(exchange.ClassPrompt))
			again := func(when string) {
				t.Helper()
				f.clock.pass(time.Hour)
				ack, err := f.pushLines("k", body...)
				require.NoError(t, err, when)
				require.Equal(t, first, ack, when)
				ack, err = f.push("k single", body[0])
				require.NoError(t, err, when)
				require.Equal(t, single, ack, when)
				require.Len(t, f.stored(exchange.ClassPrompt), frames, when)
			}
			again("at once")
			if persisted {
				f.persisted(desk, 2)
				again("from the store")
			}
			f.close()
			found := f.open()
			require.Equal(t, map[bool]int{true: 0, false: 2}[persisted], found)
			again("after a restart")
			f.close()
			require.Zero(t, f.open(), "what was rebuilt is durable")
			again("after another")
		})
	}
}

func TestAKeyIsBoundToItsBodyTypeAndSystem(t *testing.T) {
	f := newFixture(t, withFakePlan)
	const body = `{"id":"1","persons":["LOCAL A1"]}`
	first, err := f.pushAs("desk_a", "k", body)
	require.NoError(t, err)
	for name, other := range map[string]string{"another body": `{"id":"2","persons":["LOCAL A1"]}`, "a blank more": body + " "} {
		_, err = f.pushAs("desk_a", "k", other)
		refused(t, err, exchange.CodeInvalid, exchange.ReasonKeyReused)
		require.Len(t, f.stored(exchange.ClassPrompt), 1, name)
	}
	_, err = f.intake.Push(context.Background(), intake.Push{System: "desk_a", Type: "test_place", Key: "k", MediaType: "application/json", Body: exchange.NewPayload([]byte(body))})
	refused(t, err, exchange.CodeInvalid, exchange.ReasonKeyReused)

	// Another system's key of the same name is another key.
	second, err := f.pushAs("desk_b", "k", body)
	require.NoError(t, err)
	require.NotEqual(t, first.Frame, second.Frame)
	require.NotEqual(t, first.Lines[0].Record, second.Lines[0].Record)
	third, err := f.pushAs("desk_a", "k2", body)
	require.NoError(t, err)
	require.NotEqual(t, first.Lines[0].Record, third.Lines[0].Record)
	require.Len(t, f.stored(exchange.ClassPrompt), 3)
}

func TestAKeyUsedAHundredTimesAtOnceMakesOneFrame(t *testing.T) {
	f := newFixture(t, withFakePlan)
	acks := make([]*intake.Acknowledgement, 100)
	errs := make([]error, 100)
	var wg sync.WaitGroup
	for i := range acks {
		wg.Go(func() { acks[i], errs[i] = f.pushFake("k", `{"id":"1","persons":["LOCAL A1"]}`) })
	}
	wg.Wait()
	for i := range acks {
		require.NoError(t, errs[i])
		require.Equal(t, acks[0], acks[i])
	}
	require.Len(t, f.stored(exchange.ClassPrompt), 1)
}

func TestManyKeysAtOnce(t *testing.T) {
	f := newFixture(t, withFakePlan)
	const pushers, each = 16, 25
	var mu sync.Mutex
	seen := map[exchange.RecordID]bool{}
	var wg sync.WaitGroup
	for p := range pushers {
		wg.Go(func() {
			for i := range each {
				ack, err := f.pushFake(fmt.Sprintf("k-%d-%d", p, i), fmt.Sprintf(`{"id":"%d-%d","persons":["LOCAL A%d"]}`, p, i, i))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				seen[ack.Lines[0].Record] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.Len(t, seen, pushers*each)
	subjects := map[exchange.SubjectID]bool{}
	for _, p := range f.stored(exchange.ClassPrompt) {
		for _, r := range p.Header.Records {
			subjects[r.Principal] = true
			require.True(t, seen[r.Record])
		}
	}
	require.Len(t, subjects, each, "one subject per code, whoever came first")
	f.persisted("desk_a", pushers*each)
	for id := range seen {
		require.Eventually(t, func() bool { _, inMemory := f.index.Record(id); return !inMemory }, 5*time.Second, time.Millisecond)
	}
}

func TestRecordIDsFollowFromKeyTimeLineAndContent(t *testing.T) {
	run := func(key string, at time.Duration, lines ...string) []exchange.RecordID {
		f := newFixture(t, withFakePlan)
		f.clock.pass(at)
		ack, err := f.pushFakeLines(key, lines...)
		require.NoError(t, err)
		var ids []exchange.RecordID
		for _, l := range ack.Lines {
			ids = append(ids, l.Record)
		}
		return ids
	}
	a, b := `{"id":"1","persons":["LOCAL A1"]}`, `{"id":"2","persons":["LOCAL A1"]}`
	base := run("k", 0, a, b)
	require.Equal(t, base, run("k", 0, a, b), "another hub with the same keys makes the same ids")
	require.Equal(t, base[0], run("k", 0, a)[0])
	require.NotEqual(t, base, run("k2", 0, a, b), "key")
	require.NotEqual(t, base, run("k", time.Millisecond, a, b), "time")
	require.NotEqual(t, base[1], run("k", 0, a, a)[1], "content")
	same := run("k", 0, a, a)
	require.NotEqual(t, same[0], same[1], "line")
	require.Equal(t, base[1], run("k", 0, a, b)[1])
}

func TestKeysAreBounded(t *testing.T) {
	f := newFixture(t, withFakePlan, func(f *fixture) { f.maxKeys = 3 })
	push := func(key string) error {
		_, err := f.pushFake(key, `{"id":"1","persons":["LOCAL A1"]}`)
		return err
	}
	// A refused push takes no room.
	for i := range 5 {
		_, err := f.pushFake(fmt.Sprint("bad", i), `{"id":"1","persons":["CF X"]}`)
		require.Error(t, err)
	}
	for i := range 3 {
		require.NoError(t, push(fmt.Sprint(i)))
	}
	e := refused(t, push("3"), exchange.CodeTooMany, exchange.ReasonKeysFull)
	require.Positive(t, e.RetryAfter)
	require.NoError(t, push("1"), "a known key still answers")
	_, err := f.pushAs("desk_b", "0", `{"id":"1","persons":["LOCAL A1"]}`)
	require.NoError(t, err, "another system is not concerned")
	f.persisted("desk_a", 3)
	f.close()
	f.open()
	refused(t, push("3"), exchange.CodeTooMany, exchange.ReasonKeysFull)
	require.Len(t, f.stored(exchange.ClassPrompt), 4)

	f.clock.pass(73 * time.Hour)
	f.index.Forget()
	require.NoError(t, push("3"), "forgotten keys make room")
}

func TestKeysAtOnceStayWithinTheBound(t *testing.T) {
	f := newFixture(t, withFakePlan, func(f *fixture) { f.maxKeys = 10 })
	var wg sync.WaitGroup
	var mu sync.Mutex
	ok := 0
	for i := range 60 {
		wg.Go(func() {
			if _, err := f.pushFake(fmt.Sprint(i), `{"id":"1","persons":["LOCAL A1"]}`); err == nil {
				mu.Lock()
				ok++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.Equal(t, 10, ok)
}

func TestAKeyIsForgottenInItsTime(t *testing.T) {
	f := newFixture(t, withFakePlan)
	const body = `{"id":"1","persons":["LOCAL A1"]}`
	first, err := f.pushFake("k", body)
	require.NoError(t, err)
	f.persisted("desk_a", 1)
	f.clock.pass(72 * time.Hour)
	f.index.Forget()
	again, err := f.pushFake("k", body)
	require.NoError(t, err)
	require.Equal(t, first, again, "72 h are not over")
	f.clock.pass(time.Millisecond)
	fresh, err := f.pushFake("k", body)
	require.NoError(t, err)
	require.NotEqual(t, first.Frame, fresh.Frame, "the key may be used anew before it is swept away")
	require.Eventually(t, func() bool { _, inMemory := f.index.Record(fresh.Lines[0].Record); return !inMemory }, 5*time.Second, time.Millisecond)
	f.index.Forget()
	again, err = f.pushFake("k", body)
	require.NoError(t, err)
	require.Equal(t, fresh, again)
	_, err = f.pushFake("k", `{"id":"2","persons":["LOCAL A1"]}`)
	refused(t, err, exchange.CodeInvalid, exchange.ReasonKeyReused)
	require.Len(t, f.stored(exchange.ClassPrompt), 2)
}

func TestAKeyInMemoryIsForgottenTooInItsTime(t *testing.T) {
	f := newFixture(t, withFakePlan, func(f *fixture) { f.noIndex = true })
	first, err := f.pushFake("k", one)
	require.NoError(t, err)
	f.clock.pass(72*time.Hour + time.Millisecond)
	second, err := f.pushFake("k", one)
	require.NoError(t, err)
	require.NotEqual(t, first.Frame, second.Frame)
	f.close()
	require.Equal(t, 2, f.open())
	again, err := f.pushFake("k", one)
	require.NoError(t, err)
	require.Equal(t, second, again, "the later one counts, also when both are read again")
}

// TestASmallKeepIsRaised holds the least time a key answers.
func TestASmallKeepIsRaised(t *testing.T) {
	f := newFixture(t, withFakePlan)
	x := intake.NewIndex(intake.IndexOptions{Store: f.store, Clock: f.clock, Keep: time.Minute})
	_, err := f.pushFake("k", `{"id":"1","persons":["LOCAL A1"]}`)
	require.NoError(t, err)
	f.persisted("desk_a", 1)
	mac := f.keys.MAC("idempotency key", []byte("desk_a"), []byte("k"))
	f.clock.pass(24 * time.Hour)
	_, known, err := x.Lookup(t.Context(), "desk_a", mac)
	require.NoError(t, err)
	require.True(t, known)
	f.clock.pass(time.Millisecond)
	_, known, err = x.Lookup(t.Context(), "desk_a", mac)
	require.NoError(t, err)
	require.False(t, known)
}

// TestAFrameThatIsGoneIsNoNewRequest: what a key answers from cannot be read.
func TestAFrameThatIsGoneIsNoNewRequest(t *testing.T) {
	broken := false
	f := newFixture(t, withFakePlan, func(f *fixture) {
		f.wrap = func(p intake.Publisher) intake.Publisher {
			return &publisher{Publisher: p, message: func() error {
				if broken {
					return stream.ErrBelowStart
				}
				return nil
			}}
		}
	})
	_, err := f.pushFake("k", `{"id":"1","persons":["LOCAL A1"]}`)
	require.NoError(t, err)
	broken = true
	_, err = f.pushFake("k", `{"id":"1","persons":["LOCAL A1"]}`)
	refused(t, err, exchange.CodeUnavailable, exchange.ReasonOverloaded)
	require.Len(t, f.stored(exchange.ClassPrompt), 1)
}

func TestAnNDJSONOfOneLineIsAnsweredAsOne(t *testing.T) {
	f := newFixture(t)
	body := request("1", "SPORTELLO LI-1")
	ack, err := f.pushLines("k", body)
	require.NoError(t, err)
	again, err := f.pushLines("k", bytes.Clone(body))
	require.NoError(t, err)
	require.Equal(t, ack, again)
}
