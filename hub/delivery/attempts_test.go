package delivery

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"raccordo/connectors"
	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

func flows(ids ...exchange.FlowID) []exchange.FlowID { return ids }

// TestAnswers: what becomes of one record after each sort of answer.
func TestAnswers(t *testing.T) {
	again := func(a answer, n int) []answer { return slices.Repeat([]answer{a}, n) }
	for _, c := range []struct {
		name     string
		script   []answer
		state    exchange.State
		reason   exchange.Reason
		mark     exchange.Mark
		attempts int // what the recipient saw
		settles  int
		renewals int
	}{
		{"accepted", nil, exchange.StateDelivered, exchange.ReasonDelivered, exchange.MarkYes, 1, 1, 0},
		{"busy once", again(busy(0), 1), exchange.StateDelivered, exchange.ReasonDelivered, exchange.MarkYes, 2, 1, 1},
		{"busy four times", again(busy(0), 4), exchange.StateDelivered, exchange.ReasonDelivered, exchange.MarkYes, 5, 1, 4},
		{"busy for long", again(busy(0), 12), exchange.StateDelivered, exchange.ReasonDelivered, exchange.MarkYes, 13, 9, 4},
		{"away", again(away, 3), exchange.StateDelivered, exchange.ReasonDelivered, exchange.MarkYes, 1, 4, 0},
		{"away after busy", []answer{busy(0), away, away}, exchange.StateDelivered, exchange.ReasonDelivered, exchange.MarkYes, 2, 1, 3},
		{"hanging", again(hang, 1), exchange.StateDelivered, exchange.ReasonDelivered, exchange.MarkYes, 2, 1, 1},
		{"reset after it took it", again(reset, 1), exchange.StateDelivered, exchange.ReasonDelivered, exchange.MarkYes, 2, 1, 1},
		{"foreign twice", again(foreign, 2), exchange.StateDelivered, exchange.ReasonDelivered, exchange.MarkYes, 3, 1, 2},
		{"foreign for ever", again(foreign, 9), exchange.StateParked, exchange.ReasonUnknownOutcome, exchange.MarkPossibly, 5, 1, 4},
		{"shut", again(shut, 7), exchange.StateDelivered, exchange.ReasonDelivered, exchange.MarkYes, 8, 1, 7},
		{"refused", []answer{refused}, exchange.StateParked, exchange.ReasonRefused, exchange.MarkPossibly, 1, 1, 0},
		{"refused by name", []answer{items(map[string]connectors.ItemResult{"poison": {Status: connectors.ItemRefused, Reason: exchange.ReasonFormatMismatch}})},
			exchange.StateParked, exchange.ReasonFormatMismatch, exchange.MarkPossibly, 1, 1, 0},
		{"for now, by name", again(items(map[string]connectors.ItemResult{"poison": {Status: connectors.ItemRetry, Reason: exchange.ReasonAwaitingRetry}}), 2),
			exchange.StateDelivered, exchange.ReasonDelivered, exchange.MarkYes, 3, 1, 2},
		{"left out of every answer", again(items(map[string]connectors.ItemResult{"poison": {}}), 9), exchange.StateParked, exchange.ReasonUnknownOutcome,
			exchange.MarkPossibly, 5, 1, 4},
		{"panic", []answer{broken}, exchange.StateParked, exchange.ReasonPanicked, exchange.MarkPossibly, 0, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, func(b *bench) {
				b.sinks[alpha].then(c.script...)
				b.accept(rec{ref: "a1", person: "Ada", do: "poison", household: []string{"Bea"}, flows: flows(plainFlow)})
				b.becomes("a1", plainFlow, c.state)
				s := b.state("a1", plainFlow)
				if s.reason != c.reason || s.mark != c.mark {
					b.t.Errorf("reason %s, mark %s", s.reason, s.mark)
				}
				k := b.book()
				if n := len(b.w.all()); n != c.attempts || k.kinds[exchange.KindSettle] != c.settles || k.kinds[exchange.KindRenewal] != c.renewals {
					b.t.Errorf("seen %d times, %d settled, %d renewed", n, k.kinds[exchange.KindSettle], k.kinds[exchange.KindRenewal])
				}
				ids := map[exchange.DisclosureID]bool{}
				for _, r := range b.w.all() {
					ids[r.disclosure] = true
				}
				if len(ids) > 1 {
					b.t.Errorf("%d disclosure ids", len(ids))
				}
			})
		})
	}
}

// TestRetryAfter: what a recipient asks for is honoured, up to an hour, and
// while it is nothing is sent.
func TestRetryAfter(t *testing.T) {
	run(t, func(b *bench) {
		b.sinks[alpha].then(busy(10*time.Minute), busy(48*time.Hour))
		b.accept(rec{ref: "a1", person: "Ada", flows: flows(plainFlow)})
		b.until(time.Minute, "the first attempt", func() bool { return len(b.w.all()) == 1 })
		b.pass(10*time.Minute - 10*time.Second)
		if n := len(b.w.all()); n != 1 {
			b.t.Errorf("%d attempts in ten minutes", n)
		}
		b.pass(time.Minute)
		if n := len(b.w.all()); n != 2 {
			b.t.Errorf("%d attempts after ten minutes", n)
		}
		b.pass(59 * time.Minute)
		if n := len(b.w.all()); n != 2 {
			b.t.Errorf("%d attempts in an hour", n)
		}
		b.pass(2 * time.Minute)
		b.stands("a1", plainFlow, exchange.StateDelivered, "")
	})
}

// TestDown: a recipient that is down for an hour is asked rarely, and gets
// everything, the oldest first, when it is back (reliability.md F28).
func TestDown(t *testing.T) {
	run(t, func(b *bench) {
		b.sinks[alpha].ever(away)
		var want []string
		for i := range 300 {
			ref := fmt.Sprintf("a%03d", i)
			want = append(want, ref)
			b.accept(rec{ref: ref, person: "Ada", flows: flows(plainFlow)})
		}
		b.accept(rec{ref: "b1", person: "Bea", flows: flows(consentFlow)})
		b.pass(time.Hour)
		if n := len(b.sinks[alpha].parcels()); n < 40 || n > 130 {
			b.t.Errorf("%d attempts in an hour", n)
		}
		b.sinks[alpha].ever(nil)
		b.becomes("a299", plainFlow, exchange.StateDelivered)
		if got := b.w.refs(alpha); !slices.Equal(got, want) {
			b.t.Errorf("got %v", got)
		}
	})
}

// TestBisect: the guilty ones among many are found and parked, alone, each half
// decided again before it is sent.
func TestBisect(t *testing.T) {
	for _, guilty := range [][]int{{0}, {63}, {20, 21}, {1, 31, 32, 60}} {
		t.Run(fmt.Sprint(guilty), func(t *testing.T) {
			run(t, func(b *bench) {
				b.sinks[alpha].ever(refused)
				b.sinks[alpha].then(away) // so that all of them come in one parcel
				part := make([]rec, 64)
				for i := range part {
					part[i] = rec{ref: fmt.Sprintf("a%02d", i), person: "Ada", flows: flows(plainFlow)}
					if slices.Contains(guilty, i) {
						part[i].do = "poison"
					}
				}
				b.acceptFrame(part...)
				b.becomes("a62", plainFlow, exchange.StateDelivered)
				b.pass(time.Minute)
				for i, r := range part {
					if slices.Contains(guilty, i) {
						b.stands(r.ref, plainFlow, exchange.StateParked, exchange.ReasonRefused)
					} else {
						b.stands(r.ref, plainFlow, exchange.StateDelivered, "")
					}
				}
				if n := len(b.sinks[alpha].parcels()); n > 2+2*7*len(guilty) {
					b.t.Errorf("%d parcels for %d guilty", n, len(guilty))
				}
			})
		})
	}
}

// TestBisectWithdrawal: who withdraws while the guilty record is sought is not
// sent any more; what was accepted before stays delivered.
func TestBisectWithdrawal(t *testing.T) {
	run(t, func(b *bench) {
		part := []rec{}
		for i := range 8 {
			r := rec{ref: fmt.Sprintf("a%d", i), person: "Ada", household: []string{fmt.Sprintf("Kin %d", i)}, flows: flows(consentFlow)}
			if i == 7 {
				r.do = "poison"
			}
			part = append(part, r)
			b.give(r.household[0], consentFlow)
		}
		b.give("Ada", consentFlow)
		n := 0
		b.sinks[beta].ever(func(ctx context.Context, s *sink, p connectors.Parcel) (connectors.Result, error) {
			if n++; n == 2 { // the first half is accepted
				b.withdraw("Kin 1", consentFlow)
				b.withdraw("Kin 5", consentFlow)
			}
			return refused(ctx, s, p)
		})
		b.acceptFrame(part...)
		b.becomes("a7", consentFlow, exchange.StateParked)
		b.stands("a1", consentFlow, exchange.StateDelivered, "")
		b.stands("a5", consentFlow, exchange.StatePossiblyDelivered, exchange.ReasonConsentWithdrawn) // it was in the first request
		b.stands("a6", consentFlow, exchange.StateDelivered, "")
	})
}

// TestPoisoned500: one record that makes the recipient fail does not stop the
// others for ever.
func TestPoisoned500(t *testing.T) {
	run(t, func(b *bench) {
		b.sinks[alpha].ever(ill)
		for i := range 20 {
			r := rec{ref: fmt.Sprintf("a%02d", i), person: fmt.Sprintf("Person %d", i), flows: flows(plainFlow)}
			if i == 3 {
				r.do = "poison"
			}
			b.accept(r)
		}
		b.pass(30 * time.Minute)
		for i := range 20 {
			if i != 3 {
				b.stands(fmt.Sprintf("a%02d", i), plainFlow, exchange.StateDelivered, "")
			}
		}
		if s := b.state("a03", plainFlow); s.state != exchange.StateWaiting && s.state != exchange.StateClaimed {
			b.t.Errorf("the poison is %s", s.state)
		}
	})
}

// TestPartly: some rows refused for now wait, the others are done, and the
// recipient as a whole is not backed off.
func TestPartly(t *testing.T) {
	run(t, func(b *bench) {
		b.disorder = true
		later := items(map[string]connectors.ItemResult{"later": {Status: connectors.ItemRetry}, "never": {Status: connectors.ItemRefused}})
		b.sinks[alpha].then(later, later)
		b.acceptFrame(rec{ref: "a1", person: "Ada", flows: flows(plainFlow)}, rec{ref: "a2", person: "Ada", do: "later", flows: flows(plainFlow)},
			rec{ref: "a3", person: "Ada", do: "never", flows: flows(plainFlow)})
		b.pass(10 * time.Millisecond)
		b.stands("a1", plainFlow, exchange.StateDelivered, "")
		b.stands("a2", plainFlow, exchange.StateWaiting, exchange.ReasonAwaitingRetry)
		b.stands("a3", plainFlow, exchange.StateParked, exchange.ReasonRefused)
		// a new one of another person goes at once, a new one of this person queues
		b.accept(rec{ref: "b1", person: "Bea", flows: flows(plainFlow)}, rec{ref: "a4", person: "Ada", flows: flows(plainFlow)})
		b.pass(10 * time.Millisecond)
		b.stands("b1", plainFlow, exchange.StateDelivered, "")
		b.stands("a4", plainFlow, exchange.StateWaiting, exchange.ReasonQueued)
		b.becomes("a4", plainFlow, exchange.StateDelivered)
		if got := b.w.refs(alpha); !slices.Equal(got, []string{"a1", "b1", "a2", "a4"}) {
			b.t.Errorf("got %v", got)
		}
	})
}

// TestLateSend: a claim that is too old when its send could begin is not sent.
func TestLateSend(t *testing.T) {
	run(t, func(b *bench) {
		b.accept(rec{ref: "a0", person: "Ada", flows: flows(plainFlow)})
		b.becomes("a0", plainFlow, exchange.StateDelivered)
		r := b.d.recipients[alpha]
		rec0 := fromPart(&part{offset: 1, FramePart: &exchange.FramePart{Header: &exchange.Header{Records: []exchange.RecordHeader{{}}}, Records: [][]byte{nil}}}, 0,
			plainFlow, b.plan.Load(), store.LaneKey{}, alpha)
		b.pass(time.Hour)
		p := newParcel(b.plan.Load())
		p.committed = b.clock.Monotonic() - b.d.opt.SendTimeout
		for _, x := range r.send(context.Background(), p, []*record{rec0}) {
			if x.status != connectors.ItemNotSent {
				b.t.Errorf("it ended %s", x.status)
			}
		}
		if n := len(b.sinks[alpha].parcels()); n != 1 {
			b.t.Errorf("%d parcels were sent", n)
		}
	})
}

// TestDrain: a stop lets the parcel under way end and settles it; nothing is
// parked because of it (reliability.md F5).
func TestDrain(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer answer
		state  exchange.State
	}{
		{"a slow one takes it", slow(20 * time.Second), exchange.StateDelivered},
		{"it never answers", hang, exchange.StateWaiting},
		{"it is busy", busy(time.Hour), exchange.StateWaiting},
		{"it is away", away, exchange.StatePending},
		{"it refuses the hub", shut, exchange.StateWaiting},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, func(b *bench) {
				b.sinks[alpha].ever(c.answer)
				for i := range 50 {
					b.accept(rec{ref: fmt.Sprintf("a%02d", i), person: "Ada", flows: flows(plainFlow)})
				}
				b.pass(time.Millisecond)
				began := time.Now()
				b.stop()
				if d := time.Since(began); d > b.d.opt.SendTimeout {
					b.t.Errorf("the drain took %s", d)
				}
				k := b.book()
				if len(k.open) > 0 || len(k.parked) > 0 {
					b.t.Errorf("%d open, %d parked", len(k.open), len(k.parked))
				}
				b.stands("a00", plainFlow, c.state, "")
				b.sinks[alpha].ever(nil)
				b.restart()
				for i := range 50 {
					b.becomes(fmt.Sprintf("a%02d", i), plainFlow, exchange.StateDelivered)
				}
			})
		})
	}
}

// TestLogs: what goes wrong is said without a word of the record.
func TestLogs(t *testing.T) {
	run(t, func(b *bench) {
		b.sinks[alpha].then(hang, shut, foreign, broken)
		b.accept(rec{ref: "a1", person: "Ada", do: "poison", flows: flows(plainFlow)})
		b.pass(5 * time.Minute)
		if !strings.Contains(b.log.String(), "without a plain answer") || !strings.Contains(b.log.String(), "refuses the hub itself") {
			b.t.Error("nothing was said")
		}
	})
}

// TestNotSentMixed: where some of a range has a fate already, what was not sent
// waits; nothing is decided twice.
func TestNotSentMixed(t *testing.T) {
	run(t, func(b *bench) {
		b.sinks[alpha].then(away, away)
		b.acceptFrame(rec{ref: "a1", person: "Ada", flows: flows(plainFlow)}, rec{ref: "a2", person: "Ada", do: "unmet", flows: flows(plainFlow)},
			rec{ref: "a3", person: "Ada", do: "misfit", flows: flows(plainFlow)}, rec{ref: "a4", person: "Ada", flows: flows(plainFlow)})
		b.pass(10 * time.Millisecond)
		b.stands("a1", plainFlow, exchange.StateWaiting, exchange.ReasonNotSent)
		b.stands("a2", plainFlow, exchange.StateWithheld, "")
		b.stands("a3", plainFlow, exchange.StateParked, "")
		b.becomes("a4", plainFlow, exchange.StateDelivered)
		if got := b.w.refs(alpha); !slices.Equal(got, []string{"a1", "a4"}) {
			b.t.Errorf("got %v", got)
		}
	})
}
