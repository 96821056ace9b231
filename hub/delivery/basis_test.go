package delivery

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"raccordo/connectors"
	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

// TestHold: a record waits for consent; when it is given it goes before the
// lane's new ones, and in order.
func TestHold(t *testing.T) {
	run(t, func(b *bench) {
		b.accept(rec{ref: "a1", person: "Ada", flows: flows(consentFlow)}, rec{ref: "a2", person: "Ada", flows: flows(consentFlow)})
		b.pass(holdTime / 2)
		b.stands("a1", consentFlow, exchange.StateWaiting, exchange.ReasonConsentMissing)
		b.stands("a2", consentFlow, exchange.StateWaiting, exchange.ReasonQueued)
		b.give("Ada", consentFlow)
		b.accept(rec{ref: "a3", person: "Ada", flows: flows(consentFlow)})
		b.becomes("a3", consentFlow, exchange.StateDelivered)
		if got := b.w.refs(beta); !slices.Equal(got, []string{"a1", "a2", "a3"}) {
			b.t.Errorf("got %v", got)
		}
	})
}

// TestHoldExpires at its deadline, and the one behind it is decided.
func TestHoldExpires(t *testing.T) {
	run(t, func(b *bench) {
		b.accept(rec{ref: "a1", person: "Ada", flows: flows(consentFlow)})
		b.pass(holdTime - 20*time.Minute)
		b.accept(rec{ref: "a2", person: "Ada", flows: flows(consentFlow)})
		b.pass(10 * time.Minute)
		b.stands("a1", consentFlow, exchange.StateWaiting, exchange.ReasonConsentMissing)
		b.pass(20 * time.Minute)
		b.stands("a1", consentFlow, exchange.StateExpired, exchange.ReasonHoldExpired)
		b.stands("a2", consentFlow, exchange.StateWaiting, exchange.ReasonConsentMissing)
		b.give("Ada", consentFlow)
		b.becomes("a2", consentFlow, exchange.StateDelivered)
		b.stands("a1", consentFlow, exchange.StateExpired, "")
	})
}

// TestRefusal ends what waits.
func TestRefusal(t *testing.T) {
	run(t, func(b *bench) {
		b.accept(rec{ref: "a1", person: "Ada", flows: flows(consentFlow)})
		b.pass(time.Second)
		b.refuse("Ada", consentFlow)
		b.becomes("a1", consentFlow, exchange.StateWithheld)
		b.stands("a1", consentFlow, exchange.StateWithheld, exchange.ReasonConsentRefused)
	})
}

// TestOtherConsent: a consent to something else wakes nothing, and costs the
// ledger nothing.
func TestOtherConsent(t *testing.T) {
	run(t, func(b *bench) {
		b.accept(rec{ref: "a1", person: "Ada", flows: flows(consentFlow)})
		b.pass(time.Second)
		b.give("Ada", askFlow)
		b.pass(time.Second)
		before := b.w.head()
		b.pass(10 * time.Minute)
		if n := b.w.head() - before; n > 0 {
			b.t.Errorf("%d entries in ten minutes", n)
		}
		b.stands("a1", consentFlow, exchange.StateWaiting, exchange.ReasonConsentMissing)
	})
}

// TestLostWakeUp: a row whose event happened without waking it is found.
func TestLostWakeUp(t *testing.T) {
	run(t, func(b *bench) {
		b.accept(rec{ref: "a1", person: "Ada", flows: flows(consentFlow)})
		b.pass(time.Second)
		b.deaf = true
		b.give("Ada", consentFlow)
		b.becomes("a1", consentFlow, exchange.StateDelivered)
	})
}

// TestWithdrawal at every place where a record can be (reliability.md F46).
func TestWithdrawal(t *testing.T) {
	for _, c := range []struct {
		name   string
		where  func(b *bench) // brings a1 there; the consent is given
		state  exchange.State
		reason exchange.Reason
		flow   exchange.FlowID
		seen   int
	}{
		{"in the lane, behind a backed off one", func(b *bench) {
			b.sinks[beta].ever(away)
			b.accept(rec{ref: "b1", person: "Bea", flows: flows(consentFlow)})
			b.pass(time.Minute)
			b.accept(rec{ref: "a1", person: "Ada", flows: flows(consentFlow)})
		}, exchange.StateWithheld, exchange.ReasonConsentWithdrawn, consentFlow, 0},
		{"claimed, nothing left", func(b *bench) {
			b.sinks[beta].ever(away)
			b.accept(rec{ref: "a1", person: "Ada", flows: flows(consentFlow)})
			b.pass(time.Millisecond)
		}, exchange.StateWithheld, exchange.ReasonConsentWithdrawn, consentFlow, 0},
		{"between two attempts", func(b *bench) {
			b.sinks[beta].ever(busy(time.Minute))
			b.accept(rec{ref: "a1", person: "Ada", flows: flows(consentFlow)})
			b.pass(time.Millisecond)
		}, exchange.StatePossiblyDelivered, exchange.ReasonConsentWithdrawn, consentFlow, 1},
		{"its answer was lost", func(b *bench) {
			b.sinks[beta].then(reset)
			b.accept(rec{ref: "a1", person: "Ada", flows: flows(consentFlow)})
			b.pass(time.Millisecond)
		}, exchange.StatePossiblyDelivered, exchange.ReasonConsentWithdrawn, consentFlow, 1},
		{"in retry", func(b *bench) {
			b.sinks[beta].then(items(map[string]connectors.ItemResult{"later": {Status: connectors.ItemRetry}}))
			b.acceptFrame(rec{ref: "a1", person: "Ada", do: "later", flows: flows(consentFlow)}, rec{ref: "b1", person: "Bea", flows: flows(consentFlow)})
			b.pass(time.Millisecond)
			b.stands("a1", consentFlow, exchange.StateWaiting, exchange.ReasonAwaitingRetry)
		}, exchange.StatePossiblyDelivered, exchange.ReasonConsentWithdrawn, consentFlow, 1},
		{"queued behind one that is retried", func(b *bench) {
			b.sinks[beta].ever(items(map[string]connectors.ItemResult{"later": {Status: connectors.ItemRetry}}))
			b.acceptFrame(rec{ref: "a0", person: "Ada", do: "later", flows: flows(consentFlow)}, rec{ref: "b1", person: "Bea", flows: flows(consentFlow)})
			b.pass(time.Millisecond)
			b.acceptFrame(rec{ref: "a1", person: "Ada", flows: flows(consentFlow)})
			b.pass(time.Millisecond)
			b.stands("a1", consentFlow, exchange.StateWaiting, exchange.ReasonQueued)
		}, exchange.StateWithheld, exchange.ReasonConsentWithdrawn, consentFlow, 0},
		{"while it is sent", func(b *bench) {
			b.sinks[beta].then(slow(time.Second))
			b.accept(rec{ref: "a1", person: "Ada", flows: flows(consentFlow)})
			b.pass(time.Millisecond)
		}, exchange.StateDelivered, exchange.ReasonDelivered, consentFlow, 1},
		{"while it is sent in vain", func(b *bench) {
			b.sinks[beta].then(hang)
			b.accept(rec{ref: "a1", person: "Ada", flows: flows(consentFlow)})
			b.pass(time.Millisecond)
		}, exchange.StatePossiblyDelivered, exchange.ReasonConsentWithdrawn, consentFlow, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, func(b *bench) {
				b.give("Ada", c.flow)
				b.give("Bea", c.flow)
				c.where(b)
				seen := func() (n int) {
					for _, r := range b.w.all() {
						if r.Ref == "a1" {
							n++
						}
					}
					return n
				}
				b.withdraw("Ada", c.flow)
				b.sinks[beta].ever(nil)
				b.becomes("a1", c.flow, c.state)
				b.stands("a1", c.flow, c.state, c.reason)
				b.pass(time.Hour)
				if n := seen(); n != c.seen {
					b.t.Errorf("seen %d times", n)
				}
			})
		})
	}
}

// TestBatch: of a batch of N persons exactly those are sent who may be; each is
// asked about (reliability.md F47, Boulder's CAA bug).
func TestBatch(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(rt, "persons")
		out := rapid.SliceOfDistinct(rapid.IntRange(0, n-1), rapid.ID[int]).Draw(rt, "withdrawn")
		late := rapid.Bool().Draw(rt, "after the claim was prepared")
		run(t, func(b *bench) {
			var part []rec
			for i := range n {
				name := fmt.Sprintf("Person %02d", i)
				b.give(name, consentFlow)
				// all of one lane: the principal is the same, the others differ
				part = append(part, rec{ref: name, person: "Ada", household: []string{name}, flows: flows(consentFlow)})
			}
			b.give("Ada", consentFlow)
			withdraw := func() {
				for _, i := range out {
					b.withdraw(part[i].ref, consentFlow)
				}
			}
			if late {
				b.life.ahead(withdraw)
			} else {
				withdraw()
			}
			b.acceptFrame(part...)
			b.pass(time.Minute)
			want := []string{}
			for i, r := range part {
				if !slices.Contains(out, i) {
					want = append(want, r.ref)
				}
			}
			if got := b.w.refs(beta); !slices.Equal(got, want) {
				rt.Errorf("got %v, want %v", got, want)
			}
		})
	})
}

// TestAffected: an affected person who is not permitted is left out where the
// mapping can, else the record is withheld.
func TestAffected(t *testing.T) {
	run(t, func(b *bench) {
		for _, name := range []string{"Ada", "Bea"} {
			b.give(name, consentFlow)
		}
		b.refuse("Cleo", consentFlow)
		family := []string{"Bea", "Cleo"}
		b.accept(rec{ref: "a1", person: "Ada", household: family, flows: flows(consentFlow, prunedFlow)})
		b.becomes("a1", prunedFlow, exchange.StateDelivered)
		b.becomes("a1", consentFlow, exchange.StateWithheld)
		got := b.w.all()
		if len(got) != 1 || !slices.Equal(got[0].Persons, []string{canary + " Ada", canary + " Bea"}) {
			b.t.Errorf("got %v", got)
		}
		// what is accounted about her says so
		for _, r := range b.rowsOf("a1", prunedFlow) {
			if r.Subject == b.person("Cleo") && (r.State != exchange.StateWithheld || r.Reason != exchange.ReasonPruned) {
				b.t.Errorf("a row says %s (%s) of who was left out", r.State, r.Reason)
			}
		}
	})
}

// TestAffectedHold: one affected person's silence holds the record, for hers.
func TestAffectedHold(t *testing.T) {
	run(t, func(b *bench) {
		b.give("Ada", consentFlow)
		b.accept(rec{ref: "a1", person: "Ada", household: []string{"Bea", "Cleo"}, flows: flows(consentFlow)})
		b.pass(time.Second)
		b.give("Bea", consentFlow)
		b.pass(time.Second)
		b.stands("a1", consentFlow, exchange.StateWaiting, exchange.ReasonConsentMissing)
		b.give("Cleo", consentFlow)
		b.becomes("a1", consentFlow, exchange.StateDelivered)
	})
}

// TestAlias: a restriction under another known id of the person binds the
// record; silence under it does not.
func TestAlias(t *testing.T) {
	run(t, func(b *bench) {
		b.give("Ada", consentFlow)
		b.accept(rec{ref: "a1", person: "Ada", alias: "Ada as STP", flows: flows(consentFlow)})
		b.becomes("a1", consentFlow, exchange.StateDelivered)
		b.refuse("Ada as STP", consentFlow)
		b.accept(rec{ref: "a2", person: "Ada", alias: "Ada as STP", flows: flows(consentFlow)})
		b.becomes("a2", consentFlow, exchange.StateWithheld)
	})
}

// TestLinked: a withdrawal under one id stops the other, and a consent under
// one releases what waits under the other, once they are linked.
func TestLinked(t *testing.T) {
	run(t, func(b *bench) {
		b.accept(rec{ref: "a1", person: "Ada", flows: flows(consentFlow)})
		b.give("Ada as STP", consentFlow)
		b.pass(time.Minute)
		b.stands("a1", consentFlow, exchange.StateWaiting, exchange.ReasonConsentMissing)
		b.link("Ada", "Ada as STP")
		b.becomes("a1", consentFlow, exchange.StateDelivered)
		b.withdraw("Ada as STP", consentFlow)
		b.accept(rec{ref: "a2", person: "Ada", flows: flows(consentFlow)})
		b.becomes("a2", consentFlow, exchange.StateWithheld)
	})
}

// TestDossier: no dossier, no data; another flow to the same system is not
// touched by that.
func TestDossier(t *testing.T) {
	run(t, func(b *bench) {
		b.accept(rec{ref: "a1", person: "Ada", flows: flows(caseFlow, plainFlow)})
		b.becomes("a1", plainFlow, exchange.StateDelivered)
		b.stands("a1", caseFlow, exchange.StateWithheld, exchange.ReasonNoDossier)
		b.dossier("Ada", caseFlow)
		b.accept(rec{ref: "a2", person: "Ada", flows: flows(caseFlow, plainFlow)})
		b.becomes("a2", caseFlow, exchange.StateDelivered)
		b.stands("a2", plainFlow, exchange.StateDelivered, "")
		if got := b.w.refs(alpha); !slices.Equal(got, []string{"a1", "a2", "a2"}) {
			b.t.Errorf("got %v", got)
		}
	})
}

// TestCondition that is not met withholds; one that cannot be asked parks.
func TestCondition(t *testing.T) {
	run(t, func(b *bench) {
		b.accept(rec{ref: "a1", person: "Ada", do: "unmet", flows: flows(plainFlow)}, rec{ref: "a2", person: "Ada", do: "panic_condition", flows: flows(plainFlow)},
			rec{ref: "a3", person: "Ada", flows: flows(plainFlow)})
		b.becomes("a3", plainFlow, exchange.StateDelivered)
		b.stands("a1", plainFlow, exchange.StateWithheld, exchange.ReasonConditionNotMet)
		b.stands("a2", plainFlow, exchange.StateParked, exchange.ReasonPanicked)
	})
}

// TestStop: the switch pauses everything and loses nothing; what runs out
// meanwhile does not.
func TestStop(t *testing.T) {
	run(t, func(b *bench) {
		b.accept(rec{ref: "a0", person: "Ada", flows: flows(consentFlow)}, rec{ref: "m0", person: "Ada", flows: flows(mailFlow)})
		b.pass(time.Second)
		b.sinks[alpha].then(busy(0))
		b.accept(rec{ref: "a1", person: "Ada", flows: flows(plainFlow)})
		b.pass(time.Millisecond)
		b.halt(true)
		b.accept(rec{ref: "a2", person: "Ada", flows: flows(plainFlow)})
		b.give("Ada", consentFlow)
		seen := len(b.w.all())
		b.pass(keepTime + time.Hour)
		if n := len(b.w.all()); n != seen {
			b.t.Errorf("%d records were sent", n-seen)
		}
		if _, err := b.d.Fetch(context.Background(), connectors.FetchRequest{System: gamma, Max: 10, Lease: time.Minute}); exchange.AsError(err).Reason != exchange.ReasonStopped {
			b.t.Errorf("a fetch ended with %v", err)
		}
		b.stands("a2", plainFlow, exchange.StatePending, "")
		b.stands("m0", mailFlow, exchange.StateWaiting, "")
		b.halt(false)
		b.becomes("a2", plainFlow, exchange.StateDelivered)
		b.becomes("a0", consentFlow, exchange.StateDelivered)
	})
}

// TestNewNetwork: a network that changes between preparing and claiming is
// decided anew; a flow that is gone ends what is left as flow_ended.
func TestNewNetwork(t *testing.T) {
	run(t, func(b *bench) {
		b.life.ahead(func() { b.adopt(newNetwork("2", caseFlow)) })
		b.accept(rec{ref: "a1", person: "Ada", flows: flows(plainFlow, caseFlow)})
		b.becomes("a1", plainFlow, exchange.StateDelivered)
		b.stands("a1", caseFlow, exchange.StateWithheld, exchange.ReasonFlowEnded)
	})
	run(t, func(b *bench) { // the ledger has a network that this replica does not have yet
		n := newNetwork("2")
		b.adoptLedger(n)
		b.accept(rec{ref: "a1", person: "Ada", flows: flows(plainFlow)})
		b.pass(5 * time.Minute)
		b.stands("a1", plainFlow, exchange.StatePending, "")
		b.plan.Store(n)
		b.becomes("a1", plainFlow, exchange.StateDelivered)
	})
}

// TestFlowEnded: what waits for a flow that is gone is withheld, also where the
// whole recipient is gone.
func TestFlowEnded(t *testing.T) {
	run(t, func(b *bench) {
		b.sinks[alpha].ever(busy(10 * time.Minute))
		b.accept(rec{ref: "a1", person: "Ada", flows: flows(plainFlow, mailFlow)})
		b.pass(time.Millisecond)
		b.accept(rec{ref: "a2", person: "Bea", flows: flows(plainFlow)}, rec{ref: "a3", person: "Ada", flows: flows(consentFlow)})
		b.pass(time.Second)
		b.stop()
		b.adopt(newNetwork("2", plainFlow, caseFlow, mailFlow, askFlow))
		delete(b.sinks, alpha)
		b.change = func(o *Options) { delete(o.Outlets, gamma) }
		b.restart()
		b.becomes("a1", plainFlow, exchange.StatePossiblyDelivered)
		b.becomes("a1", mailFlow, exchange.StateWithheld)
		b.becomes("a2", plainFlow, exchange.StateWithheld)
		b.stands("a2", plainFlow, exchange.StateWithheld, exchange.ReasonFlowEnded)
		b.give("Ada", consentFlow)
		b.becomes("a3", consentFlow, exchange.StateDelivered)
	})
}

// TestEndedAgreement: an agreement that ends while a record waits is not
// released.
func TestEndedAgreement(t *testing.T) {
	run(t, func(b *bench) {
		b.accept(rec{ref: "a1", person: "Ada", flows: flows(consentFlow)}, rec{ref: "m1", person: "Ada", flows: flows(mailFlow)})
		b.pass(time.Second)
		b.plan.Load().flows[consentFlow].clause.InForce.Until = b.clock.Now()
		b.plan.Load().flows[mailFlow].clause.InForce.Until = b.clock.Now()
		b.give("Ada", consentFlow)
		b.becomes("a1", consentFlow, exchange.StateWithheld)
		b.stands("a1", consentFlow, exchange.StateWithheld, exchange.ReasonClauseNotInForce)
		if got, err := b.d.Fetch(context.Background(), connectors.FetchRequest{System: gamma, Max: 10, Lease: time.Minute}); err != nil || len(got.Items) > 0 {
			b.t.Errorf("fetched %d, %v", len(got.Items), err)
		}
		b.stands("m1", mailFlow, exchange.StateWithheld, exchange.ReasonClauseNotInForce)
	})
}

// TestBadRecords are parked with a reason; others go on (reliability.md F3).
func TestBadRecords(t *testing.T) {
	run(t, func(b *bench) {
		b.acceptFrame(
			rec{ref: "a1", person: "Ada", do: "panic_render", flows: flows(plainFlow)},
			rec{ref: "a2", person: "Ada", do: "misfit", flows: flows(plainFlow)},
			rec{ref: "a3", person: "Ada", raw: []byte("{"), flows: flows(plainFlow)},
			rec{ref: "a4", person: "Ada", badSeal: true, flows: flows(plainFlow)},
			rec{ref: "a5", person: "Ada", flows: flows(plainFlow)},
			rec{ref: "m1", person: "Ada", do: "misfit", flows: flows(mailFlow)},
			rec{ref: "c1", person: "Ada", badSeal: true, flows: flows(consentFlow)})
		b.becomes("a5", plainFlow, exchange.StateDelivered)
		b.stands("a1", plainFlow, exchange.StateParked, exchange.ReasonPanicked)
		b.stands("a2", plainFlow, exchange.StateParked, exchange.ReasonFormatMismatch)
		b.stands("a3", plainFlow, exchange.StateParked, exchange.ReasonUndecodable)
		b.stands("a4", plainFlow, exchange.StateParked, exchange.ReasonUndecodable)
		b.becomes("m1", mailFlow, exchange.StateParked)
		b.becomes("c1", consentFlow, exchange.StateParked)
		b.must(b.store.View(context.Background(), func(tx store.ReadTx) error {
			rows, err := tx.ParkedList(0, 10)
			for _, r := range rows {
				if r.Reason == exchange.ReasonFormatMismatch && (len(r.Faults) != 1 || r.Faults[0].Rule != "pattern") {
					b.t.Errorf("faults %v", r.Faults)
				}
			}
			return err
		}))
	})
}

// TestMaxBody: what the recipient's protocol cannot carry is parked before it
// is claimed.
func TestMaxBody(t *testing.T) {
	run(t, func(b *bench) {
		b.stop()
		b.sinks[alpha].maxBody = 1024
		b.change = func(o *Options) { o.Outlets[gamma].MaxBody = 1024 }
		b.restart()
		b.accept(rec{ref: "a1", person: "Ada", do: "large", flows: flows(plainFlow, mailFlow)}, rec{ref: "a2", person: "Ada", flows: flows(plainFlow, mailFlow)})
		b.becomes("a2", plainFlow, exchange.StateDelivered)
		b.stands("a1", plainFlow, exchange.StateParked, exchange.ReasonFormatMismatch)
		b.stands("a1", mailFlow, exchange.StateParked, exchange.ReasonFormatMismatch)
		b.stands("a2", mailFlow, exchange.StateWaiting, exchange.ReasonAwaitingFetch)
	})
}

// TestKeysAway: while the keys cannot be reached everything waits where it is
// (reliability.md F38).
func TestKeysAway(t *testing.T) {
	run(t, func(b *bench) {
		b.give("Ada", consentFlow)
		b.give("Bea", consentFlow)
		b.sinks[beta].then(items(map[string]connectors.ItemResult{"later": {Status: connectors.ItemRetry}}))
		b.acceptFrame(rec{ref: "c1", person: "Ada", do: "later", flows: flows(consentFlow)}, rec{ref: "c2", person: "Bea", flows: flows(consentFlow)})
		b.accept(rec{ref: "m1", person: "Ada", flows: flows(mailFlow)})
		b.pass(10 * time.Millisecond)
		b.sealer.away.Store(true)
		b.accept(rec{ref: "a1", person: "Ada", flows: flows(plainFlow)})
		b.pass(10 * time.Minute)
		b.stands("a1", plainFlow, exchange.StatePending, "")
		b.stands("c1", consentFlow, exchange.StateWaiting, "")
		if _, err := b.d.Fetch(context.Background(), connectors.FetchRequest{System: gamma, Max: 1, Lease: time.Minute}); exchange.AsError(err).Code != exchange.CodeUnavailable {
			b.t.Errorf("a fetch ended with %v", err)
		}
		if len(b.book().parked) > 0 {
			b.t.Error("something was parked")
		}
		b.sealer.away.Store(false)
		b.becomes("a1", plainFlow, exchange.StateDelivered)
		b.becomes("c1", consentFlow, exchange.StateDelivered)
	})
}

// TestChangedMeanwhile: what changes between preparing and claiming is decided
// anew, and what leaves is what the newer decision permits.
func TestChangedMeanwhile(t *testing.T) {
	for _, c := range []struct {
		name    string
		flow    exchange.FlowID
		before  func(b *bench)
		between func(b *bench)
		state   exchange.State
		shown   []string
	}{
		{"an affected person refuses", prunedFlow, func(b *bench) { b.give("Ada", prunedFlow); b.give("Bea", prunedFlow) },
			func(b *bench) { b.withdraw("Bea", prunedFlow) }, exchange.StateDelivered, []string{"Ada"}},
		{"an affected person agrees", prunedFlow, func(b *bench) { b.give("Ada", prunedFlow) },
			func(b *bench) { b.give("Bea", prunedFlow) }, exchange.StateDelivered, []string{"Ada", "Bea"}},
		{"the person agrees", consentFlow, func(b *bench) { b.give("Bea", consentFlow) },
			func(b *bench) { b.give("Ada", consentFlow) }, exchange.StateDelivered, []string{"Ada", "Bea"}},
		{"the person withdraws", consentFlow, func(b *bench) { b.give("Ada", consentFlow); b.give("Bea", consentFlow) },
			func(b *bench) { b.withdraw("Ada", consentFlow) }, exchange.StateWithheld, nil},
		{"disclosures are stopped", consentFlow, func(b *bench) { b.give("Ada", consentFlow); b.give("Bea", consentFlow) },
			func(b *bench) { b.halt(true) }, exchange.StatePending, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, func(b *bench) {
				c.before(b)
				b.life.ahead(func() { c.between(b) })
				b.accept(rec{ref: "a1", person: "Ada", household: []string{"Bea"}, flows: flows(c.flow)})
				b.pass(10 * time.Second)
				b.stands("a1", c.flow, c.state, "")
				var shown []string
				for _, r := range b.w.all() {
					shown = append(shown, r.Persons...)
				}
				for i := range c.shown {
					c.shown[i] = canary + " " + c.shown[i]
				}
				if !slices.Equal(shown, c.shown) {
					b.t.Errorf("shown %d persons, want %d", len(shown), len(c.shown))
				}
			})
		})
	}
}

// TestReleasedLate: once a held record is released, the deadline of its hold is
// none of its any more.
func TestReleasedLate(t *testing.T) {
	run(t, func(b *bench) {
		b.accept(rec{ref: "a1", person: "Ada", flows: flows(consentFlow)})
		b.pass(holdTime - time.Minute)
		b.sinks[beta].ever(busy(20 * time.Minute))
		b.give("Ada", consentFlow)
		b.pass(10 * time.Minute)
		b.sinks[beta].ever(nil)
		b.becomes("a1", consentFlow, exchange.StateDelivered)
	})
}

// TestClockBack: a clock that was set back does not stop what is decided at
// ledger time.
func TestClockBack(t *testing.T) {
	run(t, func(b *bench) {
		b.accept(rec{ref: "a1", person: "Ada", flows: flows(plainFlow)})
		b.becomes("a1", plainFlow, exchange.StateDelivered)
		b.plan.Load().flows[plainFlow].clause.InForce.From = b.clock.Now().Add(-time.Minute)
		b.clock.step.Store(-int64(30 * time.Minute))
		b.accept(rec{ref: "a2", person: "Ada", flows: flows(plainFlow)})
		b.pass(10 * time.Second)
		b.stands("a2", plainFlow, exchange.StateDelivered, "")
	})
}
