package delivery

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"raccordo/connectors"
	"raccordo/hub/exchange"
	"raccordo/hub/store"
	"raccordo/hub/stream"
)

// TestCrash: the hub dies at each failpoint, and comes back. Nothing is lost,
// nothing is sent without a fresh decision, and what may have arrived is sent
// again under the same disclosure id (reliability.md F2).
func TestCrash(t *testing.T) {
	withdrawn := func(b *bench) { b.withdraw("Ada", consentFlow) }
	for _, c := range []struct {
		name  string
		point func(b *bench)
		first answer // of the recipient
		gap   func(b *bench)
		state exchange.State
		seen  int // attempts of a1
	}{
		{"before the claim", func(b *bench) { b.life.before(exchange.KindClaim, 1) }, nil, nil, exchange.StateDelivered, 1},
		{"before the claim, then withdrawn", func(b *bench) { b.life.before(exchange.KindClaim, 1) }, nil, withdrawn, exchange.StateWithheld, 0},
		{"after the claim", func(b *bench) { b.life.after(exchange.KindClaim, 1) }, nil, nil, exchange.StateDelivered, 1},
		{"after the claim, then withdrawn", func(b *bench) { b.life.after(exchange.KindClaim, 1) }, nil, withdrawn, exchange.StatePossiblyDelivered, 0},
		{"while it is sent", nil, killing, nil, exchange.StateDelivered, 2},
		{"while it is sent, then withdrawn", nil, killing, withdrawn, exchange.StatePossiblyDelivered, 1},
		{"before the settle", func(b *bench) { b.life.before(exchange.KindSettle, 1) }, nil, nil, exchange.StateDelivered, 2},
		{"after the settle", func(b *bench) { b.life.after(exchange.KindSettle, 1) }, nil, nil, exchange.StateDelivered, 1},
		{"before the renewal", func(b *bench) { b.life.before(exchange.KindRenewal, 1) }, busy(0), nil, exchange.StateDelivered, 2},
		{"after the renewal", func(b *bench) { b.life.after(exchange.KindRenewal, 1) }, busy(0), withdrawn, exchange.StatePossiblyDelivered, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, func(b *bench) {
				b.give("Ada", consentFlow)
				b.give("Bea", consentFlow)
				if c.point != nil {
					c.point(b)
				}
				if c.first != nil {
					b.sinks[beta].then(c.first)
				}
				b.accept(rec{ref: "a1", person: "Ada", household: []string{"Bea"}, flows: flows(consentFlow)})
				b.pass(time.Second)
				b.crash()
				if c.gap != nil {
					c.gap(b)
				}
				b.restart()
				b.accept(rec{ref: "a2", person: "Bea", flows: flows(consentFlow)}, rec{ref: "c1", person: "Ada", flows: flows(plainFlow)})
				b.becomes("c1", plainFlow, exchange.StateDelivered)
				b.becomes("a1", consentFlow, c.state)
				b.becomes("a2", consentFlow, exchange.StateDelivered)
				n := 0
				for _, r := range b.w.all() {
					if r.Ref == "a1" {
						n++
					}
				}
				if n != c.seen {
					b.t.Errorf("a1 was seen %d times, want %d", n, c.seen)
				}
			})
		})
	}
}

// killing sees everything, and the hub is gone before it hears of it.
func killing(_ context.Context, s *sink, p connectors.Parcel) (connectors.Result, error) {
	s.sees(p, nil)
	s.life.dead.Store(true)
	return connectors.Result{Overall: connectors.Answered, Class: connectors.Accepted}, nil
}

// TestCrashWaits: what was open is not renewed before send_timeout has passed
// since the lanes were taken; only its recipient waits for it.
func TestCrashWaits(t *testing.T) {
	run(t, func(b *bench) {
		b.sinks[alpha].then(killing)
		b.accept(rec{ref: "a1", person: "Ada", flows: flows(plainFlow)})
		b.pass(time.Second)
		b.crash()
		b.give("Ada", consentFlow)
		b.restart()
		b.accept(rec{ref: "b1", person: "Ada", flows: flows(consentFlow)})
		b.pass(b.d.opt.SendTimeout - time.Second)
		b.stands("b1", consentFlow, exchange.StateDelivered, "")
		b.stands("a1", plainFlow, exchange.StateClaimed, "")
		b.pass(2 * time.Second)
		b.stands("a1", plainFlow, exchange.StateDelivered, "")
	})
}

// TestCrashedWaiting: a claim out of waiting that was left open is resolved too.
func TestCrashedWaiting(t *testing.T) {
	run(t, func(b *bench) {
		b.accept(rec{ref: "a1", person: "Ada", flows: flows(consentFlow)}, rec{ref: "a2", person: "Ada", flows: flows(consentFlow)},
			rec{ref: "b1", person: "Bea", flows: flows(consentFlow)})
		b.pass(time.Second)
		b.give("Bea", consentFlow)
		b.pass(time.Second)
		b.sinks[beta].then(killing)
		b.give("Ada", consentFlow)
		b.pass(time.Second)
		b.crash()
		b.restart()
		b.becomes("a2", consentFlow, exchange.StateDelivered)
		if got := b.w.refs(beta); !slices.Equal(got, []string{"b1", "a1", "a1", "a2"}) {
			b.t.Errorf("got %v", got)
		}
	})
}

// TestNewRecipient: one that is new in the network is not passed by, even if it
// could not be sent anything before the hub died.
func TestNewRecipient(t *testing.T) {
	run(t, func(b *bench) {
		b.stop()
		b.adopt(newNetwork("2"))
		b.sinks[alpha].ever(away)
		b.restart()
		for i := range 20 {
			b.accept(rec{ref: fmt.Sprintf("a%02d", i), person: "Ada", flows: flows(plainFlow, mailFlow)})
		}
		b.pass(time.Second)
		b.crash()
		b.sinks[alpha].ever(nil)
		b.restart()
		b.becomes("a19", plainFlow, exchange.StateDelivered)
		b.stands("a00", plainFlow, exchange.StateDelivered, "")
	})
}

// TestStaleOwner: whoever does not own the lanes any more writes nothing more:
// no claim, no renewal, no settle (protocol.md 3.1).
func TestStaleOwner(t *testing.T) {
	for _, c := range []struct {
		name  string
		first answer
	}{
		{"between two claims", nil}, {"backed off", busy(5 * time.Second)}, {"sending", slow(10 * time.Second)},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, func(b *bench) {
				if c.first != nil {
					b.sinks[alpha].then(c.first)
				}
				b.accept(rec{ref: "a1", person: "Ada", flows: flows(plainFlow)})
				b.pass(time.Second)
				old := b.d
				b.restart() // the old one lives on
				b.accept(rec{ref: "a2", person: "Ada", flows: flows(plainFlow)})
				b.becomes("a2", plainFlow, exchange.StateDelivered)
				b.pass(time.Minute)
				if n := len(old.Quarantined()); n != 8 {
					b.t.Errorf("the old owner gave up %d lanes", n)
				}
				b.must(old.Stop(context.Background()))
			})
		})
	}
}

// TestMismatch: where cursors and stream do not fit each other the lane is
// quarantined, and the others run (protocol.md 3.4).
func TestMismatch(t *testing.T) {
	lane := func(b *bench) store.LaneKey {
		return store.LaneKey{Class: exchange.ClassPrompt, Lane: exchange.Lane(b.person("Ada"), 4)}
	}
	a := rec{person: "Ada", flows: flows(plainFlow)}
	for _, c := range []struct {
		name   string
		change func(b *bench)
		bad    bool
	}{
		{"as it was", func(*bench) {}, false},
		{"cut short", func(b *bench) { b.stream.truncate(exchange.ClassPrompt, 3) }, true},
		{"cut short and refilled", func(b *bench) {
			b.stream.truncate(exchange.ClassPrompt, 3)
			b.accepted = b.accepted[:2]
			b.acceptFrame(rec{ref: "x1", person: "Ada", flows: flows(plainFlow)})
			b.acceptFrame(rec{ref: "x2", person: "Ada", flows: flows(plainFlow)})
		}, true},
		{"trimmed below the cursor", func(b *bench) { b.stream.trim(exchange.ClassPrompt, 3) }, false},
		{"trimmed up to the cursor", func(b *bench) { b.stream.trim(exchange.ClassPrompt, 4) }, false},
		{"trimmed above the cursor", func(b *bench) {
			b.acceptFrame(rec{ref: "x1", person: "Ada", flows: flows(plainFlow)})
			b.acceptFrame(rec{ref: "x2", person: "Ada", flows: flows(plainFlow)})
			b.stream.trim(exchange.ClassPrompt, 5)
		}, true},
		{"damaged", func(b *bench) { b.stream.fault[exchange.ClassPrompt] = fmt.Errorf("a test: %w", stream.ErrQuarantined) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, func(b *bench) {
				for i := range 3 {
					a.ref = fmt.Sprintf("a%d", i)
					b.accept(a)
				}
				b.becomes("a2", plainFlow, exchange.StateDelivered)
				b.pass(2 * saveAfter)
				if n := b.d.Lowest(exchange.ClassPrompt); n != 3 {
					b.t.Errorf("the stream is needed from %d on", n)
				}
				b.stop()
				c.change(b)
				b.restart()
				bad := b.d.Quarantined()[lane(b)] != ""
				if bad != c.bad {
					b.t.Errorf("quarantined: %v", b.d.Quarantined())
				}
				b.accept(rec{ref: "b1", person: "Bea", class: exchange.ClassBulk, flows: flows(plainFlow)})
				b.becomes("b1", plainFlow, exchange.StateDelivered)
				if !c.bad {
					b.accept(rec{ref: "a9", person: "Ada", flows: flows(plainFlow)})
					b.becomes("a9", plainFlow, exchange.StateDelivered)
				}
				if c.name == "cut short" || c.name == "cut short and refilled" {
					b.accepted = nil // the stream is not the one that was accepted
					b.forgotten = true
				}
			})
		})
	}
}

// TestOpenClaimAboveEnd: a stream that ends below the range of an open claim is
// quarantined too, and one in which the range holds other records.
func TestOpenClaimAboveEnd(t *testing.T) {
	for _, refill := range []bool{false, true} {
		run(t, func(b *bench) {
			b.sinks[alpha].then(killing)
			b.accept(rec{ref: "a1", person: "Ada", flows: flows(plainFlow)})
			b.pass(time.Second)
			b.crash()
			b.stream.truncate(exchange.ClassPrompt, 1)
			b.accepted, b.forgotten = nil, true
			if refill {
				b.accept(rec{ref: "x1", person: "Ada", flows: flows(plainFlow)})
			}
			b.restart()
			b.accept(rec{ref: "b1", person: "Bea", class: exchange.ClassBulk, flows: flows(plainFlow)})
			b.becomes("b1", plainFlow, exchange.StateDelivered)
			if b.d.Quarantined()[store.LaneKey{Class: exchange.ClassPrompt, Lane: exchange.Lane(b.person("Ada"), 4)}] == "" {
				b.t.Errorf("refilled %v: the lane is delivered", refill)
			}
		})
	}
}

// TestUnreadable: a part that is no frame, of another lane, or with a flow that
// nobody ever had, is never skipped.
func TestUnreadable(t *testing.T) {
	for _, c := range []struct {
		name string
		put  func(b *bench, lane uint16)
	}{
		{"no frame", func(b *bench, lane uint16) {
			b.stream.append(exchange.ClassPrompt, lane, frameID(99), []byte("nonsense"))
		}},
		{"another lane's", func(b *bench, lane uint16) {
			b.accept(rec{ref: "x1", person: "Ada", flows: flows(plainFlow)})
			t := b.stream.topics[exchange.ClassPrompt]
			last := t.entries[len(t.entries)-1]
			b.stream.truncate(exchange.ClassPrompt, 3)
			b.accepted = b.accepted[:len(b.accepted)-1]
			b.stream.append(exchange.ClassPrompt, (lane+1)%4, last.frame, last.payload)
		}},
		{"an unknown flow", func(b *bench, _ uint16) { b.accept(rec{ref: "x1", person: "Ada", flows: flows("nobody_knows")}) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, func(b *bench) {
				b.accept(rec{ref: "a1", person: "Ada", flows: flows(plainFlow)}, rec{ref: "a2", person: "Ada", flows: flows(plainFlow)})
				b.becomes("a2", plainFlow, exchange.StateDelivered)
				c.put(b, exchange.Lane(b.person("Ada"), 4))
				b.pass(time.Minute)
				if n := len(b.d.Quarantined()); n != 1 {
					b.t.Errorf("%d lanes are quarantined", n)
				}
				b.accepted = slices.DeleteFunc(b.accepted, func(x expected) bool { return x.flow == "nobody_knows" })
			})
		})
	}
}

// TestStreamMisbehaves: what is read again is delivered once; what comes in
// another order, or twice at two places, is not guessed at.
func TestStreamMisbehaves(t *testing.T) {
	all := func(b *bench) {
		for i := range 12 {
			b.accept(rec{ref: fmt.Sprintf("a%02d", i), person: "Ada", flows: flows(plainFlow)})
		}
	}
	delivered := func(b *bench) {
		b.becomes("a11", plainFlow, exchange.StateDelivered)
		if got := b.w.refs(alpha); len(got) != 12 || !slices.IsSorted(got) {
			b.t.Errorf("got %v", got)
		}
	}
	for _, c := range []struct {
		name   string
		change func(s *memStream)
		after  func(b *bench)
	}{
		{"repeats parts", func(s *memStream) { s.repeat = 2 }, delivered},
		{"breaks off", func(s *memStream) { s.cut = 2 }, delivered},
		{"breaks off and begins earlier", func(s *memStream) { s.cut, s.rewind = 3, 2 }, delivered},
		{"exchanges two parts", func(s *memStream) { s.swap = true }, func(b *bench) {
			b.pass(time.Minute)
			if n := len(b.d.Quarantined()); n != 1 {
				b.t.Errorf("%d lanes are quarantined", n)
			}
			b.forgotten = true
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, func(b *bench) {
				b.stop()
				c.change(b.stream)
				all(b)
				b.restart()
				c.after(b)
			})
		})
	}
	t.Run("plays a part twice", func(t *testing.T) {
		run(t, func(b *bench) {
			all(b)
			delivered(b)
			e := b.stream.topics[exchange.ClassPrompt].entries[5]
			b.stream.append(exchange.ClassPrompt, e.lane, e.frame, e.payload)
			b.pass(time.Minute)
			if n := len(b.d.Quarantined()); n != 1 {
				b.t.Errorf("%d lanes are quarantined", n)
			}
		})
	})
}

// TestReconnect: a stream that was exchanged while the connection was gone is
// noticed before anything more is read.
func TestReconnect(t *testing.T) {
	run(t, func(b *bench) {
		b.stop()
		b.stream.cut = 3
		b.restart()
		for i := range 3 {
			b.accept(rec{ref: fmt.Sprintf("a%d", i), person: "Ada", flows: flows(plainFlow)})
		}
		b.pass(10 * time.Millisecond)
		b.stream.truncate(exchange.ClassPrompt, 2)
		b.accepted, b.forgotten = nil, true
		for i := range 5 {
			b.accept(rec{ref: fmt.Sprintf("x%d", i), person: "Ada", flows: flows(plainFlow)})
		}
		b.pass(time.Minute)
		if n := len(b.d.Quarantined()); n != 1 {
			b.t.Errorf("%d lanes are quarantined", n)
		}
		if got := b.w.refs(alpha); !slices.Equal(got, []string{"a0", "a1", "a2"}) {
			b.t.Errorf("got %v", got)
		}
	})
}

// note is a work file in memory.
type workNote struct{ b []byte }

func (n *workNote) WriteAt(p []byte, at int64) (int, error) {
	n.b = append(n.b[:at:at], p...)
	return len(p), nil
}

func (n *workNote) Truncate(size int64) error { n.b = n.b[:size]; return nil }

// TestSuspects: a record that kills the process is found and parked untouched
// after two deaths, those with it are not (reliability.md F4).
func TestSuspects(t *testing.T) {
	run(t, func(b *bench) {
		b.stop()
		file := &workNote{}
		b.change = func(o *Options) { o.WorkFile = file }
		b.life.dead.Store(true)
		part := []rec{}
		for i := range 10 {
			part = append(part, rec{ref: fmt.Sprintf("a%d", i), person: "Ada", flows: flows(plainFlow)})
		}
		part[4].do = "kills"
		b.acceptFrame(part...)
		deaths := 0
		for range 4 {
			dead := b.dieOn("kills", file)
			if !dead {
				break
			}
			deaths++
		}
		if deaths != 2 {
			b.t.Errorf("%d deaths", deaths)
		}
		b.becomes("a9", plainFlow, exchange.StateDelivered)
		b.stands("a4", plainFlow, exchange.StateParked, exchange.ReasonSuspect)
		if got := b.w.refs(alpha); len(got) != 9 {
			b.t.Errorf("got %v", got)
		}
		// no one is suspected any more, and an operator may try it again
		b.must(b.store.View(context.Background(), func(tx store.ReadTx) error {
			s, err := tx.Suspects()
			if len(s) != 1 {
				b.t.Errorf("%d are suspected", len(s))
			}
			return err
		}))
		for _, f := range b.plan.Load().flows {
			f.kill = nil
		}
		b.must(b.d.Replay(context.Background(), Reopen{IDs: b.parkedIDs(), Reason: "test", OutOfOrder: true}))
		b.disorder = true
		b.becomes("a4", plainFlow, exchange.StateDelivered)
	})
}

// dieOn starts the hub; it dies when a record says so. It reports whether it did.
func (b *bench) dieOn(what string, file *workNote) bool {
	b.t.Helper()
	worked, err := ReadWork(bytes.NewReader(file.b))
	b.must(err)
	b.worked = worked
	var left []byte
	for _, f := range b.plan.Load().flows {
		f.kill = func(do string) {
			if do == what && !b.life.over() {
				left = slices.Clone(file.b) // what a process that dies here leaves
				b.life.dead.Store(true)
			}
		}
	}
	b.restart()
	b.pass(time.Minute)
	if !b.life.over() {
		return false
	}
	b.crash()
	file.b = left
	return true
}

func (b *bench) parkedIDs() (ids []uint64) {
	b.t.Helper()
	b.must(b.store.View(context.Background(), func(tx store.ReadTx) error {
		rows, err := tx.ParkedList(0, 100)
		for _, r := range rows {
			ids = append(ids, r.ID)
		}
		return err
	}))
	return ids
}

// TestReplay: an operator's word puts parked records back, in order or not.
func TestReplay(t *testing.T) {
	run(t, func(b *bench) {
		b.disorder = true
		b.sinks[alpha].then(refused)
		b.accept(rec{ref: "a1", person: "Ada", do: "poison", flows: flows(plainFlow)})
		b.becomes("a1", plainFlow, exchange.StateParked)
		ids := b.parkedIDs()
		b.must(b.d.Replay(context.Background(), Reopen{IDs: ids, Reason: "fixed"}))
		b.becomes("a1", plainFlow, exchange.StateDelivered)
		if err := b.d.Replay(context.Background(), Reopen{IDs: ids, Reason: "fixed"}); exchange.AsError(err).Code != exchange.CodeNotFound {
			b.t.Errorf("a second replay: %v", err)
		}
		// behind a newer one that was delivered
		b.sinks[alpha].then(refused)
		b.accept(rec{ref: "a2", person: "Ada", do: "poison", flows: flows(plainFlow)})
		b.becomes("a2", plainFlow, exchange.StateParked)
		b.accept(rec{ref: "a3", person: "Ada", flows: flows(plainFlow)})
		b.becomes("a3", plainFlow, exchange.StateDelivered)
		ids = b.parkedIDs()
		if err := b.d.Replay(context.Background(), Reopen{IDs: ids, Reason: "fixed"}); exchange.AsError(err).Code != exchange.CodeConflict {
			b.t.Errorf("out of order: %v", err)
		}
		b.must(b.d.Replay(context.Background(), Reopen{IDs: ids, Reason: "fixed", OutOfOrder: true}))
		b.becomes("a2", plainFlow, exchange.StateDelivered)
	})
}

// TestReplayOvertaken: a newer record that was delivered before the older was
// parked counts too.
func TestReplayOvertaken(t *testing.T) {
	run(t, func(b *bench) {
		b.disorder = true
		b.sinks[alpha].then(items(map[string]connectors.ItemResult{"later": {Status: connectors.ItemRetry}}),
			items(map[string]connectors.ItemResult{"later": {Status: connectors.ItemRefused}}))
		b.acceptFrame(rec{ref: "a1", person: "Ada", do: "later", flows: flows(plainFlow)}, rec{ref: "a2", person: "Ada", flows: flows(plainFlow)})
		b.becomes("a1", plainFlow, exchange.StateParked)
		b.stands("a2", plainFlow, exchange.StateDelivered, "")
		if err := b.d.Replay(context.Background(), Reopen{IDs: b.parkedIDs(), Reason: "fixed"}); exchange.AsError(err).Code != exchange.CodeConflict {
			b.t.Errorf("out of order: %v", err)
		}
	})
}

// TestDiscard ends a parked record for good.
func TestDiscard(t *testing.T) {
	run(t, func(b *bench) {
		b.accept(rec{ref: "a1", person: "Ada", household: []string{"Bea"}, do: "misfit", flows: flows(plainFlow)}, rec{ref: "a2", person: "Ada", badSeal: true, flows: flows(plainFlow)})
		b.becomes("a2", plainFlow, exchange.StateParked)
		ids := b.parkedIDs()
		if err := b.d.Replay(context.Background(), Reopen{IDs: ids, Reason: "try"}); exchange.AsError(err).Code != exchange.CodeConflict {
			b.t.Errorf("replay of what cannot be opened: %v", err)
		}
		b.sealer.away.Store(true)
		if err := b.d.Replay(context.Background(), Reopen{IDs: ids[:1], Reason: "try"}); exchange.AsError(err).Code != exchange.CodeUnavailable {
			b.t.Errorf("replay without keys: %v", err)
		}
		b.sealer.away.Store(false)
		b.must(b.d.Discard(context.Background(), Reopen{IDs: ids, Reason: "useless"}))
		b.stands("a1", plainFlow, exchange.StateDiscarded, exchange.ReasonDiscarded)
		for _, bad := range [][]uint64{nil, {4711}, append(ids, 1), make([]uint64, 501)} {
			err, err2 := b.d.Discard(context.Background(), Reopen{IDs: bad, Reason: "x"}), b.d.Replay(context.Background(), Reopen{IDs: bad, Reason: "x"})
			if err == nil || err2 == nil {
				b.t.Errorf("%v: %v, %v", bad, err, err2)
			}
		}
	})
}
