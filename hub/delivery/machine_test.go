package delivery

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"raccordo/connectors"
	"raccordo/hub/exchange"
)

// machine does to a delivery what a life can bring, in any order; the
// invariants hold at the end of every run, and everything comes to rest once
// recipients answer, disclosures go on and consents are decided.
type machine struct {
	*bench
	records  int
	versions int
	halted   bool
}

var (
	machinePeople  = []string{"Ada", "Bea", "Cleo", "Dora"}
	machineFlows   = []exchange.FlowID{plainFlow, caseFlow, consentFlow, prunedFlow, mailFlow, askFlow}
	machineAnswers = map[string]answer{"accept": nil, "busy": busy(0), "away": away, "hang": hang, "reset": reset, "foreign": foreign, "slow": slow(3 * time.Second),
		"refused": refused, "shut": shut, "killing": killing,
		"partly": items(map[string]connectors.ItemResult{"poison": {Status: connectors.ItemRetry}})}
	machineAnswerNames = []string{"accept", "accept", "busy", "away", "hang", "reset", "foreign", "slow", "refused", "shut", "killing", "partly"}
)

func (m *machine) Accept(t *rapid.T) {
	class := exchange.ClassPrompt
	person := rapid.SampledFrom(machinePeople).Draw(t, "person")
	part := make([]rec, rapid.IntRange(1, 4).Draw(t, "records"))
	for i := range part {
		m.records++
		part[i] = rec{ref: fmt.Sprintf("r%04d", m.records), person: person, class: class,
			do:    rapid.SampledFrom([]string{"", "", "", "poison", "misfit"}).Draw(t, "do"),
			flows: rapid.SliceOfNDistinct(rapid.SampledFrom(machineFlows), 1, 4, rapid.ID[exchange.FlowID]).Draw(t, "flows")}
		if rapid.IntRange(0, 3).Draw(t, "family") == 0 {
			part[i].household = []string{rapid.SampledFrom(machinePeople).Draw(t, "kin")}
		}
		if rapid.IntRange(0, 7).Draw(t, "alias") == 0 {
			part[i].alias = "Alias of " + person
		}
	}
	m.acceptFrame(part...)
}

// Crowd fills a window.
func (m *machine) Crowd(t *rapid.T) {
	person := rapid.SampledFrom(machinePeople).Draw(t, "person")
	for range rapid.IntRange(20, 60).Draw(t, "records") {
		m.records++
		m.accept(rec{ref: fmt.Sprintf("r%04d", m.records), person: person, flows: flows(plainFlow, consentFlow)})
	}
}

func (m *machine) Decide(t *rapid.T) {
	name := rapid.SampledFrom(append([]string{"Alias of Ada"}, machinePeople...)).Draw(t, "person")
	id := rapid.SampledFrom([]exchange.FlowID{consentFlow, askFlow}).Draw(t, "flow")
	if m.plan.Load().flows[id] == nil {
		t.Skip("the flow is gone")
	}
	_ = m.tryDecide(name, id, rapid.SampledFrom([]string{"give", "give", "give", "withdraw", "refuse"}).Draw(t, "what"))
}

func (m *machine) Link(t *rapid.T) {
	pair := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"Ada", "Bea", "Alias of Ada"}), 2, 2, rapid.ID[string]).Draw(t, "pair")
	m.link(pair[0], pair[1])
}

func (m *machine) Script(t *rapid.T) {
	s := m.sinks[rapid.SampledFrom([]exchange.SystemID{alpha, beta}).Draw(t, "recipient")]
	a := machineAnswers[rapid.SampledFrom(machineAnswerNames).Draw(t, "answer")]
	if rapid.IntRange(0, 3).Draw(t, "for long") == 0 {
		s.ever(a)
	} else {
		s.then(a)
	}
}

func (m *machine) Pass(t *rapid.T) {
	m.pass(time.Duration(rapid.SampledFrom([]int{1, 100, 1000, 7000, 40_000, 400_000}).Draw(t, "ms")) * time.Millisecond)
	m.revive()
}

// revive starts the hub again if something killed it.
func (m *machine) revive() {
	if m.life.over() {
		m.crash()
		m.restart()
	}
}

func (m *machine) Crash(t *rapid.T) {
	kind := rapid.SampledFrom([]exchange.EntryKind{exchange.KindClaim, exchange.KindSettle, exchange.KindRenewal, exchange.KindSpill, exchange.KindExpiry}).Draw(t, "kind")
	if rapid.Bool().Draw(t, "behind") {
		m.life.after(kind, rapid.IntRange(1, 3).Draw(t, "n"))
	} else {
		m.life.before(kind, rapid.IntRange(1, 3).Draw(t, "n"))
	}
}

func (m *machine) Restart(t *rapid.T) {
	if rapid.Bool().Draw(t, "cleanly") && !m.life.over() {
		m.stop()
	} else {
		m.crash()
	}
	m.restart()
}

func (m *machine) Reload(t *rapid.T) {
	m.versions++
	n := newNetwork(fmt.Sprint("reload ", m.versions), rapid.SliceOfNDistinct(rapid.SampledFrom([]exchange.FlowID{caseFlow, prunedFlow, askFlow}), 0, 2, rapid.ID[exchange.FlowID]).Draw(t, "without")...)
	m.adoptLedger(n)
	if rapid.Bool().Draw(t, "late") {
		m.pass(2 * time.Second)
	}
	m.plan.Store(n)
	m.revive()
}

func (m *machine) Halt(t *rapid.T) {
	m.halted = !m.halted
	m.halt(m.halted)
}

func (m *machine) Keys(t *rapid.T) { m.sealer.away.Store(!m.sealer.away.Load()) }

func (m *machine) Fetch(t *rapid.T) {
	q := connectors.FetchRequest{System: gamma, Max: rapid.IntRange(1, 5).Draw(t, "max"), Lease: time.Duration(rapid.IntRange(0, 100).Draw(t, "lease")) * time.Second}
	got, err := m.d.Fetch(context.Background(), q)
	if err != nil {
		return
	}
	head := m.w.head()
	var acks []connectors.Ack
	for _, it := range got.Items {
		m.w.note(gamma, it.Item, head, true)
		a := connectors.Ack{Disclosure: it.Disclosure, Result: connectors.AckOutcome(rapid.IntRange(0, 3).Draw(t, "answer")), Reason: exchange.ReasonRecipientError}
		if a.Result != 0 {
			acks = append(acks, a)
		}
	}
	_, _ = m.d.Acknowledge(context.Background(), connectors.AckRequest{System: gamma, Acks: acks})
}

func (m *machine) Reopen(t *rapid.T) {
	ids := m.parkedIDs()
	if len(ids) == 0 {
		t.Skip("nothing is parked")
	}
	q := Reopen{IDs: rapid.SliceOfNDistinct(rapid.SampledFrom(ids), 1, 3, rapid.ID[uint64]).Draw(t, "ids"), Reason: "test", OutOfOrder: rapid.Bool().Draw(t, "out of order")}
	if rapid.IntRange(0, 3).Draw(t, "discard") == 0 {
		_ = m.d.Discard(context.Background(), q)
	} else {
		_ = m.d.Replay(context.Background(), q)
	}
}

// rest lets everything come to an end that can.
func (m *machine) rest(t *rapid.T) {
	m.sealer.away.Store(false)
	m.revive()
	m.life.spare()
	if m.halted {
		m.Halt(t)
	}
	for _, s := range m.sinks {
		s.mu.Lock()
		s.script, s.always = nil, nil
		s.mu.Unlock()
	}
	m.pass(10 * time.Minute)
	m.revive()
	m.pass(holdTime + keepTime + time.Hour)
	k := m.book()
	for _, x := range m.accepted {
		s := k.now[place{x.record, exchange.FlowNumber(x.flow)}]
		if !s.state.Final() && s.state != exchange.StateParked {
			t.Errorf("%s for %s rests as %s (%s)", x.ref, x.flow, s.state, s.reason)
		}
	}
}

func TestMachine(t *testing.T) {
	runs := 60
	if testing.Short() {
		runs = 12
	}
	rapid.Check(t, func(rt *rapid.T) {
		if runs--; runs < 0 {
			return
		}
		var failed any
		synctest.Test(t, func(t *testing.T) {
			defer func() { failed = recover() }() // rapid ends a run by a panic, on this goroutine
			b := newBench(t)
			b.change = func(o *Options) { o.WindowParts, o.ParcelRecords, o.Sweep = 32, 16, 20*time.Second }
			b.disorder = true // replays and rows that are retried may be late
			defer b.end()
			b.start()
			m := &machine{bench: b}
			rt.Repeat(map[string]func(*rapid.T){"accept": m.Accept, "accept again": m.Accept, "crowd": m.Crowd, "decide": m.Decide, "link": m.Link, "script": m.Script,
				"pass": m.Pass, "pass again": m.Pass, "crash": m.Crash, "restart": m.Restart, "reload": m.Reload, "halt": m.Halt, "keys": m.Keys, "fetch": m.Fetch, "reopen": m.Reopen})
			m.rest(rt)
			b.stop()
			b.invariants()
			if t.Failed() {
				rt.Errorf("the invariants do not hold\n%s", b.log)
			}
		})
		if failed != nil {
			panic(failed)
		}
	})
}
