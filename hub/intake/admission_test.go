package intake_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"raccordo/hub/exchange"
	"raccordo/hub/intake"
	"raccordo/hub/store"
)

// gauge is what an admission reads.
type gauge struct {
	mu      sync.Mutex
	lag     map[store.LaneKey]int
	waiting map[exchange.SystemID]int
	err     error
	reads   atomic.Int32
	block   chan struct{}
}

func (g *gauge) admission(c *clock) *intake.Load {
	return intake.NewAdmission(intake.AdmissionOptions{Clock: c, MaxLag: 100, MaxWaiting: 1000, Arriving: 200,
		Lag: func() (map[store.LaneKey]int, error) {
			g.reads.Add(1)
			if g.block != nil {
				<-g.block
			}
			g.mu.Lock()
			defer g.mu.Unlock()
			return g.lag, g.err
		},
		Waiting: func(context.Context) (map[exchange.SystemID]int, error) {
			g.mu.Lock()
			defer g.mu.Unlock()
			return g.waiting, nil
		}})
}

func TestAdmissionByLoad(t *testing.T) {
	prompt, bulk := store.LaneKey{Class: exchange.ClassPrompt, Lane: 3}, store.LaneKey{Class: exchange.ClassBulk}
	to := []exchange.SystemID{"a", "b"}
	for name, c := range map[string]struct {
		gauge  *gauge
		code   exchange.Code // 0: admitted
		reason exchange.Reason
	}{
		"nothing behind":       {&gauge{}, 0, ""},
		"lag at its bound":     {&gauge{lag: map[store.LaneKey]int{prompt: 100}}, 0, ""},
		"lag over its bound":   {&gauge{lag: map[store.LaneKey]int{{Class: exchange.ClassPrompt}: 1, prompt: 101}}, exchange.CodeUnavailable, exchange.ReasonOverloaded},
		"another class's lag":  {&gauge{lag: map[store.LaneKey]int{bulk: 5000}}, 0, ""},
		"room for what may be": {&gauge{waiting: map[exchange.SystemID]int{"b": 799}}, 0, ""},
		"no room for it":       {&gauge{waiting: map[exchange.SystemID]int{"b": 800}}, exchange.CodeTooMany, exchange.ReasonOverloaded},
		"another's waiting":    {&gauge{waiting: map[exchange.SystemID]int{"c": 5000}}, 0, ""},
		"cannot be told":       {&gauge{err: errors.New("store is away")}, exchange.CodeUnavailable, exchange.ReasonOverloaded},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.gauge.admission(&clock{}).Admit(exchange.ClassPrompt, to)
			if c.code == 0 {
				require.NoError(t, err)
				return
			}
			e := refused(t, err, c.code, c.reason)
			require.Positive(t, e.RetryAfter)
		})
	}
}

func TestAdmissionReadsOnceInAWhile(t *testing.T) {
	g, c := &gauge{}, &clock{}
	a := g.admission(c)
	for range 1000 {
		require.NoError(t, a.Admit(exchange.ClassPrompt, nil))
	}
	require.EqualValues(t, 1, g.reads.Load())
	g.mu.Lock()
	g.lag = map[store.LaneKey]int{{Class: exchange.ClassPrompt}: 101}
	g.mu.Unlock()
	c.pass(99 * time.Millisecond)
	require.NoError(t, a.Admit(exchange.ClassPrompt, nil))
	c.pass(time.Millisecond)
	require.Error(t, a.Admit(exchange.ClassPrompt, nil))
	require.EqualValues(t, 2, g.reads.Load())
}

// TestASlowReadHoldsNobodyUp: one reads, the others go on with what is known,
// until that is too old.
func TestASlowReadHoldsNobodyUp(t *testing.T) {
	g, c := &gauge{}, &clock{}
	a := g.admission(c)
	require.NoError(t, a.Admit(exchange.ClassPrompt, nil))
	g.block = make(chan struct{})
	c.pass(time.Second)
	slow := make(chan error, 1)
	go func() { slow <- a.Admit(exchange.ClassPrompt, nil) }()
	require.Eventually(t, func() bool { return g.reads.Load() == 2 }, 5*time.Second, time.Millisecond)
	for range 100 {
		require.NoError(t, a.Admit(exchange.ClassPrompt, nil))
	}
	require.EqualValues(t, 2, g.reads.Load())
	c.pass(10 * time.Second) // now they wait for the truth
	late := make(chan error, 1)
	go func() { late <- a.Admit(exchange.ClassPrompt, nil) }()
	select {
	case <-late:
		t.Fatal("admitted on what is too old")
	case <-time.After(20 * time.Millisecond):
	}
	close(g.block)
	require.NoError(t, <-slow)
	require.NoError(t, <-late)
}

func TestAdmissionDefaults(t *testing.T) {
	waiting := map[exchange.SystemID]int{"a": 499_999, "b": 500_000}
	a := intake.NewAdmission(intake.AdmissionOptions{Clock: &clock{}, MaxLag: 2_000_000,
		Lag:     func() (map[store.LaneKey]int, error) { return nil, nil },
		Waiting: func(context.Context) (map[exchange.SystemID]int, error) { return waiting, nil }})
	require.NoError(t, a.Admit(exchange.ClassBulk, []exchange.SystemID{"a"}))
	require.Error(t, a.Admit(exchange.ClassBulk, []exchange.SystemID{"b"}), "half the quota at most is kept for what may come")
}

func BenchmarkAdmit(b *testing.B) {
	a := (&gauge{}).admission(&clock{})
	b.ReportAllocs()
	to := []exchange.SystemID{"a", "b"}
	for b.Loop() {
		if err := a.Admit(exchange.ClassPrompt, to); err != nil {
			b.Fatal(err)
		}
	}
}
