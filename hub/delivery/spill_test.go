package delivery

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"raccordo/connectors"
	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

// small makes windows that fill fast.
func small(b *bench) {
	b.t.Helper()
	b.stop()
	b.change = func(o *Options) { o.WindowParts, o.ParcelRecords = 64, 32 }
	b.restart()
}

// TestSpill: a recipient that accepts connections and never answers holds up
// nobody; its records wait, and arrive in order when it is back.
func TestSpill(t *testing.T) {
	for _, c := range []struct {
		name string
		slow answer
	}{{"hangs", hang}, {"is away", away}, {"is busy", busy(0)}, {"is slow", slow(20 * time.Second)}, {"refuses the hub", shut}} {
		t.Run(c.name, func(t *testing.T) {
			run(t, func(b *bench) {
				small(b)
				for i := range 5 {
					b.give(fmt.Sprintf("Person %d", i), consentFlow)
				}
				b.sinks[beta].ever(c.slow)
				n := 0
				for range 30 { // ten a second, half a minute long
					for range 10 {
						n++
						b.accept(rec{ref: fmt.Sprintf("a%03d", n), person: fmt.Sprintf("Person %d", n%5), flows: flows(plainFlow, consentFlow)})
					}
					b.pass(time.Second)
				}
				if got := b.w.refs(alpha); len(got) != n {
					b.t.Errorf("the other one got %d of %d", len(got), n)
				}
				for _, w := range b.d.windows {
					if parts, _ := w.size(); parts > 64 {
						b.t.Errorf("a window holds %d parts", parts)
					}
				}
				if b.d.WaitingCounts()[beta] == 0 {
					b.t.Error("nothing waits")
				}
				b.sinks[beta].ever(nil)
				for i := range n {
					b.becomes(fmt.Sprintf("a%03d", i+1), consentFlow, exchange.StateDelivered)
				}
				if len(b.book().parked) > 0 {
					b.t.Error("something was parked")
				}
			})
		})
	}
}

// TestSpillDetaches: the parcel that is being sent while its lane is spilled is
// settled from waiting, whatever it ends as; a withdrawal meanwhile counts.
func TestSpillDetaches(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer answer
		gap    func(b *bench)
		state  exchange.State
	}{
		{"accepted", slow(25 * time.Second), nil, exchange.StateDelivered},
		{"unknown", hang, nil, exchange.StateDelivered},
		{"unknown, withdrawn", hang, func(b *bench) { b.withdraw("Ada", consentFlow) }, exchange.StatePossiblyDelivered},
		{"refused", func() answer {
			return func(ctx context.Context, s *sink, p connectors.Parcel) (connectors.Result, error) {
				_, _ = hang(ctx, s, p)
				return connectors.Result{Overall: connectors.Answered, Class: connectors.Permanent}, nil
			}
		}(), nil, exchange.StateParked},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, func(b *bench) {
				small(b)
				b.give("Ada", consentFlow)
				b.sinks[beta].then(c.answer)
				b.accept(rec{ref: "a1", person: "Ada", flows: flows(consentFlow)})
				b.pass(time.Millisecond)
				for i := range 80 {
					b.accept(rec{ref: fmt.Sprintf("b%02d", i), person: "Ada", flows: flows(consentFlow, plainFlow)})
				}
				b.pass(12 * time.Second)
				if n := b.book().kinds[exchange.KindSpill]; n == 0 {
					b.t.Error("nothing was spilled")
				}
				b.invariants() // while it is being sent
				if c.gap != nil {
					c.gap(b)
				}
				b.becomes("a1", consentFlow, c.state)
				b.pass(5 * time.Minute)
			})
		})
	}
}

// TestSpillCrash: the hub dies before or after a spill.
func TestSpillCrash(t *testing.T) {
	for _, after := range []bool{false, true} {
		for n := range 3 {
			t.Run(fmt.Sprintf("after %v %d", after, n), func(t *testing.T) {
				run(t, func(b *bench) {
					small(b)
					b.give("Ada", consentFlow)
					b.sinks[beta].ever(hang)
					if after {
						b.life.after(exchange.KindSpill, n+1)
					} else {
						b.life.before(exchange.KindSpill, n+1)
					}
					want := []string{}
					for i := range 120 {
						ref := fmt.Sprintf("a%03d", i)
						want = append(want, ref)
						b.accept(rec{ref: ref, person: "Ada", flows: flows(consentFlow)})
						if i%10 == 0 {
							b.pass(time.Second)
						}
					}
					b.pass(40 * time.Second)
					b.crash()
					b.sinks[beta].ever(nil)
					b.restart()
					b.becomes("a119", consentFlow, exchange.StateDelivered)
					if got := slices.Compact(b.w.refs(beta)); !slices.Equal(got, want) {
						b.t.Errorf("got %v", got)
					}
				})
			})
		}
	}
}

// TestMemory stays flat while a recipient takes nothing: what it is to get lies
// in the store.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("a few seconds")
	}
	run(t, func(b *bench) {
		small(b)
		b.sinks[alpha].ever(hang)
		heap := func() uint64 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before := uint64(0)
		for i := range 3000 {
			b.accept(rec{ref: fmt.Sprintf("a%04d", i), person: fmt.Sprintf("Person %d", i%50), flows: flows(plainFlow)})
			b.stream.mu.Lock()
			entry := &b.stream.topics[exchange.ClassPrompt].entries[i]
			entry.payload = append([]byte(nil), entry.payload...)
			b.stream.mu.Unlock()
			if i%20 == 19 {
				b.pass(time.Second)
			}
			if i == 1000 {
				before = heap()
			}
		}
		for _, w := range b.d.windows {
			if parts, _ := w.size(); parts > 64 {
				b.t.Errorf("a window holds %d parts", parts)
			}
		}
		if n := b.d.WaitingCounts()[alpha]; n < 2500 {
			b.t.Errorf("%d wait", n)
		}
		// 2,000 records of the stream in memory and of the bench are about 3 MB
		if after := heap(); after > before+16<<20 {
			b.t.Errorf("the heap grew from %d to %d", before, after)
		}
	})
}

// TestLag counts what lies in the window and behind it.
func TestLag(t *testing.T) {
	run(t, func(b *bench) {
		b.stop()
		b.change = func(o *Options) { o.WindowParts = 16; o.SpillAfter = time.Hour }
		b.restart()
		b.sinks[alpha].ever(away)
		for i := range 50 {
			b.accept(rec{ref: fmt.Sprintf("a%02d", i), person: "Ada", flows: flows(plainFlow)})
		}
		b.pass(time.Second)
		lane := store.LaneKey{Class: exchange.ClassPrompt, Lane: exchange.Lane(b.person("Ada"), 4)}
		if n := b.d.Lag()[lane]; n != 50 {
			b.t.Errorf("lag %d", n)
		}
		b.sinks[alpha].ever(nil)
		b.becomes("a49", plainFlow, exchange.StateDelivered)
		b.pass(2 * time.Second)
		if n := b.d.Lag()[lane]; n != 0 {
			b.t.Errorf("lag %d", n)
		}
	})
}
