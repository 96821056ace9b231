package crashtest_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"raccordo/hub/control"
	"raccordo/hub/crashtest"
	"raccordo/hub/exchange"
	"raccordo/hub/hubtest/powercut"
)

// wavering is a person who gives and withdraws consent while records about her
// are pushed.
type wavering struct {
	w       *crashtest.Worker
	hub     func() *control.Client
	consent exchange.ConsentID // in force or last withdrawn
	given   bool
	after   map[string]bool // numbers pushed since the last withdrawal that was answered
}

func (p *wavering) person() control.Person {
	return control.Person{System: "LOCAL", Value: p.w.Persons[0].Code, Body: "co_so"}
}

// until repeats an operator's act until the hub has answered it.
func until[Out, In any](ctx context.Context, hub func() *control.Client, op string, in In) (Out, error) {
	for {
		out, err := control.Call[Out](ctx, hub(), op, in)
		if err == nil || ctx.Err() != nil {
			return out, err
		}
		if e := exchange.AsError(err); e.Code == exchange.CodeConflict {
			return out, nil // an answer that was lost: it is as wanted
		}
		<-time.After(10 * time.Millisecond)
	}
}

func (p *wavering) give(ctx context.Context) error {
	got, err := until[control.Consent](ctx, p.hub, "consent/give", control.ConsentRequest{Person: p.person(), Purpose: "health_accompaniment",
		Body: "sds_pistoiese", Role: "health_service"})
	if err == nil {
		p.consent, p.given = got.ID, true
	}
	return err
}

func (p *wavering) withdraw(ctx context.Context) error {
	if !p.given {
		return nil
	}
	_, err := until[control.ConsentEnd](ctx, p.hub, "consent/withdraw", control.WithdrawRequest{Consent: p.consent})
	if err == nil {
		p.given, p.after = false, map[string]bool{}
	}
	return err
}

func (p *wavering) push(ctx context.Context) error {
	q := p.w.Batch(1)
	q.Batch = false
	q.Sent[0].Service, q.Sent[0].Child, q.Sent[0].Bad = crashtest.HealthService, nil, false
	if p.after != nil {
		p.after[q.Sent[0].Number] = true
	}
	_, err := p.w.Push(ctx, q)
	return err
}

func (p *wavering) waver(ctx context.Context, r *rand.Rand, stopped func() bool) error {
	for !stopped() {
		step := p.push
		switch r.IntN(6) {
		case 0:
			step = p.give
		case 1:
			step = p.withdraw
		}
		if err := step(ctx); err != nil {
			return err
		}
	}
	// In the end all withdraw; what comes then never arrives.
	if err := p.give(ctx); err != nil {
		return err
	}
	if err := p.withdraw(ctx); err != nil {
		return err
	}
	for range 3 {
		if err := p.push(ctx); err != nil {
			return err
		}
	}
	return nil
}

// I2 under kills: consents are given and withdrawn while records about the same
// persons come in and are fetched. No claim stands on a consent that was not in
// force, and nothing that was pushed after an answered withdrawal arrives.
func TestConsentsUnderKills(t *testing.T) {
	r := crashtest.NewRun(t, reticulate(t), "", nil)
	r.Start()
	stop := r.Fetch()
	var mu sync.Mutex
	hub := r.Hub
	current := func() *control.Client {
		mu.Lock()
		defer mu.Unlock()
		return hub.Control()
	}
	l := &load{t: t}
	var persons []*wavering
	for n := range 6 {
		p := &wavering{w: r.WorkerOf("oss_pistoia_desk", fmt.Sprintf("p%d", n), 1), hub: current}
		persons = append(persons, p)
		seed := r.Rand.Uint64()
		l.all.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			defer cancel()
			if err := p.waver(ctx, rand.New(rand.NewPCG(seed, 7)), l.stop.Load); err != nil {
				t.Error(err)
			}
		})
	}
	for range powercut.Kills(t) {
		after(t, r, 100, r.Rand)
		r.Hub.Kill()
		r.Restart()
		mu.Lock()
		hub = r.Hub
		mu.Unlock()
	}
	after(t, r, 50, r.Rand)
	l.end()
	rests := func(f exchange.FlowID, row exchange.Row) bool {
		switch row.State {
		case exchange.StateDelivered:
			return true
		case exchange.StateWithheld:
			return f == crashtest.HealthFlow && row.Reason == exchange.ReasonConsentWithdrawn
		case exchange.StatePossiblyDelivered:
			return f == crashtest.HealthFlow
		}
		return false
	}
	r.Check(rests, func(state string) bool {
		return crashtest.Delivered(state) || state == "withheld" || state == "possibly_delivered"
	})
	stop()
	numbers := map[exchange.RecordID]string{}
	for _, a := range r.History.Answered() {
		for i, id := range a.Records {
			if id != nil {
				numbers[*id] = a.Sent[i].Number
			}
		}
	}
	health := 0
	for _, a := range r.Arrivals.All() {
		if a.Flow != crashtest.HealthFlow {
			continue
		}
		health++
		for _, p := range persons {
			if p.after[numbers[a.Record]] {
				t.Errorf("I2: record %s was pushed after the withdrawal was answered, and fetched", numbers[a.Record])
			}
		}
	}
	if health == 0 {
		t.Error("no record rested on a consent: the test proves nothing")
	}
}
