package delivery

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"raccordo/connectors"
	"raccordo/hub/exchange"
)

// yearly names items like WaaS does: a number per body and year.
type yearly struct{}

func (yearly) Series(body exchange.BodyID, _ exchange.RecordType, at time.Time) (string, error) {
	return string(body) + "/" + strconv.Itoa(at.Year()), nil
}

func (yearly) Name(series string, n uint64) (string, error) {
	return fmt.Sprintf("%s-%06d", series, n), nil
}

// fetch fetches for gamma and notes what it got.
func (b *bench) fetch(q connectors.FetchRequest) connectors.FetchResult {
	b.t.Helper()
	q.System = gamma
	got, err := b.d.Fetch(context.Background(), q)
	b.must(err)
	head := b.w.head()
	for _, it := range got.Items {
		b.w.note(gamma, it.Item, head, true)
	}
	return got
}

func (b *bench) acknowledge(acks ...connectors.Ack) []connectors.AckResult {
	b.t.Helper()
	got, err := b.d.Acknowledge(context.Background(), connectors.AckRequest{System: gamma, Acks: acks})
	b.must(err)
	return got
}

func disclosures(r connectors.FetchResult) (out []exchange.DisclosureID) {
	for _, it := range r.Items {
		out = append(out, it.Disclosure)
	}
	return out
}

func all(as connectors.AckOutcome, r connectors.FetchResult) (out []connectors.Ack) {
	for _, it := range r.Items {
		out = append(out, connectors.Ack{Disclosure: it.Disclosure, Result: as, Reason: exchange.ReasonRecipientError})
	}
	return out
}

func mail(ref, person string) rec { return rec{ref: ref, person: person, flows: flows(mailFlow)} }

var leased = connectors.FetchRequest{Max: 10, Lease: 5 * time.Minute}

// TestFetch: the fetch is the claim; all records of a person can be fetched at
// once, in order; what is acknowledged is delivered.
func TestFetch(t *testing.T) {
	run(t, func(b *bench) {
		b.accept(mail("m1", "Ada"), mail("m2", "Ada"), mail("m3", "Bea"), mail("m4", "Ada"))
		b.pass(time.Second)
		if k := b.book(); len(k.claims) != 0 {
			b.t.Error("claimed before anybody came")
		}
		got := b.fetch(leased)
		if len(got.Items) != 4 || got.More {
			b.t.Fatalf("fetched %d, more %v", len(got.Items), got.More)
		}
		if again := b.fetch(leased); len(again.Items) != 0 {
			b.t.Errorf("fetched %d under a lease", len(again.Items))
		}
		for i, r := range b.acknowledge(all(connectors.AckAccepted, got)...) {
			if r != connectors.AckSettled {
				b.t.Errorf("acknowledgement %d: %s", i, r)
			}
		}
		for _, ref := range []string{"m1", "m2", "m3", "m4"} {
			b.stands(ref, mailFlow, exchange.StateDelivered, "")
		}
		if r := b.acknowledge(all(connectors.AckAccepted, got)[0]); r[0] != connectors.AckUnknown {
			b.t.Errorf("a second acknowledgement: %s", r[0])
		}
	})
}

// TestFetchAgain: what was not acknowledged is claimed again, under the same
// disclosure id, when its lease is over; an older acknowledgement still counts.
func TestFetchAgain(t *testing.T) {
	run(t, func(b *bench) {
		b.accept(mail("m1", "Ada"))
		b.pass(time.Second)
		first := b.fetch(leased)
		b.pass(5 * time.Minute)
		second := b.fetch(leased)
		if len(second.Items) != 1 || second.Items[0].Disclosure != first.Items[0].Disclosure || second.Items[0].Attempt != 2 {
			b.t.Fatalf("fetched %v, then %v", disclosures(first), disclosures(second))
		}
		if r := b.acknowledge(all(connectors.AckAccepted, first)...); r[0] != connectors.AckSettled {
			b.t.Errorf("answered %s", r[0])
		}
	})
}

// TestFetchWithdrawn: what is withdrawn in an unread mailbox is not returned
// (reliability.md F46); what was fetched before ends by its mark.
func TestFetchWithdrawn(t *testing.T) {
	run(t, func(b *bench) {
		b.give("Ada", askFlow)
		b.give("Bea", askFlow)
		b.accept(rec{ref: "m1", person: "Ada", flows: flows(askFlow)}, rec{ref: "m2", person: "Bea", flows: flows(askFlow)},
			rec{ref: "m3", person: "Cleo", flows: flows(askFlow)})
		b.pass(time.Second)
		b.withdraw("Ada", askFlow)
		if got := b.fetch(leased); len(got.Items) != 1 {
			b.t.Fatalf("fetched %d", len(got.Items))
		}
		b.stands("m1", askFlow, exchange.StateWithheld, exchange.ReasonConsentWithdrawn)
		b.stands("m3", askFlow, exchange.StateWaiting, exchange.ReasonConsentMissing)
		b.withdraw("Bea", askFlow)
		b.pass(6 * time.Minute)
		if got := b.fetch(leased); len(got.Items) != 0 {
			b.t.Errorf("fetched %d", len(got.Items))
		}
		b.stands("m2", askFlow, exchange.StatePossiblyDelivered, exchange.ReasonConsentWithdrawn)
		b.give("Cleo", askFlow)
		b.pass(time.Second)
		if got := b.fetch(leased); len(got.Items) != 1 {
			b.t.Errorf("fetched %d after the consent", len(got.Items))
		}
	})
}

// TestRetryFiveTimes: what the recipient cannot process is offered again with a
// new time, five times, then parked; listing it often is no answer.
func TestRetryFiveTimes(t *testing.T) {
	run(t, func(b *bench) {
		b.accept(mail("m1", "Ada"))
		b.pass(time.Second)
		since := int64(0)
		for n := range 6 {
			for range 3 { // a pager that looks three times
				b.fetch(connectors.FetchRequest{Max: 10, Since: since})
			}
			got := b.fetch(connectors.FetchRequest{Max: 10, Since: since})
			if len(got.Items) != 1 || got.Items[0].FetchableAt <= since {
				b.t.Fatalf("round %d: fetched %d", n, len(got.Items))
			}
			since = got.Items[0].FetchableAt
			a := connectors.Ack{Disclosure: got.Items[0].Disclosure, FetchableAt: since, Result: connectors.AckRetry, Reason: exchange.ReasonRecipientError}
			if r := b.acknowledge(a, a); !slices.Equal(r, []connectors.AckResult{connectors.AckSettled, connectors.AckRepeated}) {
				b.t.Fatalf("round %d: %v", n, r)
			}
			if n < 5 {
				b.stands("m1", mailFlow, exchange.StateWaiting, exchange.ReasonAwaitingRetry)
				if r := b.acknowledge(a); r[0] != connectors.AckRepeated {
					b.t.Errorf("an answer about an earlier offering: %s", r[0])
				}
			}
		}
		b.stands("m1", mailFlow, exchange.StateParked, exchange.ReasonRecipientError)
	})
}

// TestLateAcceptance stands against an earlier word of the recipient.
func TestLateAcceptance(t *testing.T) {
	run(t, func(b *bench) {
		b.accept(mail("m1", "Ada"))
		b.pass(time.Second)
		got := b.fetch(leased)
		b.acknowledge(all(connectors.AckRetry, got)...)
		if r := b.acknowledge(all(connectors.AckAccepted, got)...); r[0] != connectors.AckSettled {
			b.t.Errorf("answered %s", r[0])
		}
		b.stands("m1", mailFlow, exchange.StateDelivered, "")
	})
}

// TestAcknowledgements: only what was fetched, only by whoever did, and in the
// producer's name where one is given.
func TestAcknowledgements(t *testing.T) {
	run(t, func(b *bench) {
		b.accept(mail("m1", "Ada"), mail("m2", "Ada"))
		b.pass(time.Second)
		id := exchange.NewDisclosureID(b.accepted[0].record, mailFlow)
		if r := b.acknowledge(connectors.Ack{Disclosure: id, Result: connectors.AckAccepted}, connectors.Ack{Name: "nobody", Result: connectors.AckAccepted},
			connectors.Ack{Result: connectors.AckAccepted}); !slices.Equal(r, make([]connectors.AckResult, 3)) {
			b.t.Errorf("never fetched: %v", r)
		}
		got := b.fetch(leased)
		for _, q := range []connectors.AckRequest{
			{System: alpha, Acks: all(connectors.AckAccepted, got)},
			{System: "nobody", Acks: all(connectors.AckAccepted, got)},
			{System: gamma, Producer: "body_other", Acks: all(connectors.AckAccepted, got)},
		} {
			r, err := b.d.Acknowledge(context.Background(), q)
			if err != nil || !slices.Equal(r, make([]connectors.AckResult, 2)) {
				b.t.Errorf("%s of %s: %v, %v", q.System, q.Producer, r, err)
			}
		}
		refuse := connectors.Ack{Disclosure: got.Items[0].Disclosure, Result: connectors.AckRefused, Reason: exchange.ReasonRecipientInvalid}
		earlier := connectors.Ack{Disclosure: got.Items[1].Disclosure, FetchableAt: got.Items[1].FetchableAt - 1, Result: connectors.AckRefused}
		if r := b.acknowledge(refuse, earlier); !slices.Equal(r, []connectors.AckResult{connectors.AckSettled, connectors.AckRepeated}) {
			b.t.Errorf("refused: %v", r)
		}
		b.stands("m1", mailFlow, exchange.StateParked, exchange.ReasonRecipientInvalid)
		b.stands("m2", mailFlow, exchange.StateClaimed, "")
	})
}

// TestFetchedExpires: what was fetched and never acknowledged ends by its mark
// at its deadline; what nobody fetched expires.
func TestFetchedExpires(t *testing.T) {
	run(t, func(b *bench) {
		b.accept(mail("m1", "Ada"), mail("m2", "Ada"))
		b.pass(time.Second)
		if got := b.fetch(connectors.FetchRequest{Max: 1, Lease: keepTime + time.Hour}); len(got.Items) != 1 {
			b.t.Fatal("nothing was fetched")
		}
		b.pass(keepTime)
		b.stands("m2", mailFlow, exchange.StateExpired, exchange.ReasonLeaseExpired)
		b.stands("m1", mailFlow, exchange.StateClaimed, "") // its lease is not over
		b.pass(2 * time.Hour)
		b.stands("m1", mailFlow, exchange.StatePossiblyDelivered, exchange.ReasonLeaseExpired)
	})
}

// TestPages: the list ends by number and by size, says so, and misses nothing.
func TestPages(t *testing.T) {
	run(t, func(b *bench) {
		for i := range 25 {
			b.accept(mail(fmt.Sprintf("m%02d", i), fmt.Sprintf("Person %d", i%3)))
		}
		b.pass(time.Second)
		pages := 0
		for more := true; more; pages++ {
			got := b.fetch(connectors.FetchRequest{Max: 10, Lease: time.Hour})
			more = got.More
		}
		if n := len(b.w.all()); n != 25 || pages != 3 {
			b.t.Errorf("%d items on %d pages", n, pages)
		}
	})
	run(t, func(b *bench) {
		for i := range 5 {
			b.accept(mail(fmt.Sprintf("m%02d", i), "Ada"))
		}
		b.pass(time.Second)
		for range 5 {
			got := b.fetch(connectors.FetchRequest{Max: 10, MaxBytes: 1, Lease: time.Hour})
			if len(got.Items) != 1 {
				b.t.Errorf("%d items of more than one byte", len(got.Items))
			}
		}
		if got := b.fetch(leased); len(got.Items) != 0 || got.More {
			b.t.Errorf("%d items, more %v, when all are fetched", len(got.Items), got.More)
		}
	})
}

// TestNames are given once, stay the same, and are in the encoded bytes.
func TestNames(t *testing.T) {
	run(t, func(b *bench) {
		b.stop()
		b.namer = yearly{}
		b.restart()
		part := []rec{}
		for i := range 20 {
			part = append(part, mail(fmt.Sprintf("m%02d", i), "Ada"))
		}
		b.acceptFrame(part...)
		b.pass(time.Second)
		first, second := b.fetch(connectors.FetchRequest{Max: 20}), b.fetch(connectors.FetchRequest{Max: 20})
		for i := range first.Items {
			want := fmt.Sprintf("body_desk/2000-%06d", i+1)
			if first.Items[i].Name != want || second.Items[i].Name != want || b.w.all()[i].Name != want {
				b.t.Errorf("item %d is %s, then %s, in the bytes %s", i, first.Items[i].Name, second.Items[i].Name, b.w.all()[i].Name)
			}
		}
		if r := b.acknowledge(connectors.Ack{Name: first.Items[3].Name, Result: connectors.AckAccepted}); r[0] != connectors.AckSettled {
			b.t.Errorf("by its name: %s", r[0])
		}
		b.stands("m03", mailFlow, exchange.StateDelivered, "")
	})
}

// TestTwoFetchers never get the same row under a lease.
func TestTwoFetchers(t *testing.T) {
	run(t, func(b *bench) {
		for i := range 60 {
			b.accept(mail(fmt.Sprintf("m%02d", i), fmt.Sprintf("Person %d", i)))
		}
		b.pass(time.Second)
		var mu sync.Mutex
		seen := map[exchange.DisclosureID]int{}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 30 {
					got, err := b.d.Fetch(context.Background(), connectors.FetchRequest{System: gamma, Max: 3, Lease: time.Hour})
					if err != nil {
						b.t.Error(err)
						return
					}
					mu.Lock()
					for _, it := range got.Items {
						seen[it.Disclosure]++
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if len(seen) != 60 {
			b.t.Errorf("%d of 60 fetched", len(seen))
		}
		for id, n := range seen {
			if n != 1 {
				b.t.Errorf("%s was fetched %d times under its lease", id, n)
			}
		}
	})
}

// TestPager: whoever asks for what lies behind the last it saw misses nothing,
// whatever the clock does, and gets every offering once.
func TestPager(t *testing.T) {
	checks := 12
	rapid.Check(t, func(rt *rapid.T) {
		if checks--; testing.Short() && checks < 9 {
			return
		}
		run(t, func(b *bench) {
			since, n := int64(0), 0
			offered, settled := map[string]int64{}, map[string]bool{}
			for range rapid.IntRange(3, 25).Draw(rt, "steps") {
				switch rapid.SampledFrom([]string{"accept", "accept", "fetch", "fetch", "step", "pass"}).Draw(rt, "step") {
				case "accept":
					n++
					b.accept(mail(fmt.Sprintf("m%02d", n), fmt.Sprintf("Person %d", n%3)))
				case "step": // less than what needs an operator's word
					b.clock.step.Add(int64(time.Duration(rapid.IntRange(-2000, 2000).Draw(rt, "seconds")) * time.Second / 4))
					b.clock.step.Store(min(max(b.clock.step.Load(), -int64(25*time.Minute)), int64(25*time.Minute)))
				case "pass":
					b.pass(time.Duration(rapid.IntRange(1, 2000).Draw(rt, "ms")) * time.Millisecond)
				case "fetch":
					since = b.page(rt, since, offered, settled)
				}
			}
			b.pass(3 * time.Second)
			for range 40 {
				next := b.page(rt, since, offered, settled)
				if next == since {
					break
				}
				since = next
			}
			for _, x := range b.accepted {
				if _, ok := offered[x.ref]; !ok {
					rt.Errorf("%s was never listed", x.ref)
				}
			}
		})
	})
}

// page fetches one page, answers some of it, and gives where it ends.
func (b *bench) page(rt *rapid.T, since int64, offered map[string]int64, settled map[string]bool) int64 {
	got := b.fetch(connectors.FetchRequest{Max: rapid.IntRange(1, 4).Draw(rt, "limit"), Since: since})
	seen := b.w.all()
	seen = seen[len(seen)-len(got.Items):]
	for i, it := range got.Items {
		ref := seen[i].Ref
		if it.FetchableAt <= since || it.FetchableAt <= offered[ref] || settled[ref] {
			rt.Errorf("%s at %d, behind %d, offered at %d before, settled %v", ref, it.FetchableAt, since, offered[ref], settled[ref])
		}
		since, offered[ref] = it.FetchableAt, it.FetchableAt
		a := connectors.Ack{Disclosure: it.Disclosure, FetchableAt: it.FetchableAt, Reason: exchange.ReasonRecipientError,
			Result: rapid.SampledFrom([]connectors.AckOutcome{0, connectors.AckAccepted, connectors.AckRefused, connectors.AckRetry, connectors.AckRetry}).Draw(rt, "answer")}
		if a.Result == 0 {
			continue
		}
		if r := b.acknowledge(a); r[0] != connectors.AckSettled {
			rt.Errorf("%s of %s: %s", a.Result, ref, r[0])
		}
		settled[ref] = a.Result != connectors.AckRetry
	}
	return since
}

// TestFormerSink: a recipient that was called and now fetches gets what was
// under way when it changed.
func TestFormerSink(t *testing.T) {
	run(t, func(b *bench) {
		b.sinks[alpha].ever(reset)
		b.accept(rec{ref: "a1", person: "Ada", flows: flows(plainFlow)})
		b.pass(time.Millisecond)
		b.crash()
		delete(b.sinks, alpha)
		b.change = func(o *Options) { o.Outlets[alpha] = &Outlet{} }
		b.restart()
		b.pass(time.Minute)
		got, err := b.d.Fetch(context.Background(), connectors.FetchRequest{System: alpha, Max: 10, Lease: time.Minute})
		b.must(err)
		if len(got.Items) != 1 {
			b.t.Fatalf("fetched %d", len(got.Items))
		}
		b.stop() // and one that fetched is called
		b.sinks[alpha] = &sink{w: b.w, system: alpha}
		b.change = nil
		b.restart()
		b.becomes("a1", plainFlow, exchange.StateDelivered)
	})
}
