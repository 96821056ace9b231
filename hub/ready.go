package hub

import (
	"context"
	"errors"
	"time"

	"raccordo/hub/exchange"
	"raccordo/hub/stream"
)

// phase is how far a hub has come. It is served in phaseUp only.
type phase uint8

const (
	phaseStarting    phase = iota
	phaseClock             // waits for an operator's word on the clock
	phaseQuarantined       // its parts do not fit each other
	phaseUp
	phaseStopping
)

// standing is a phase and, where it is not up, why.
type standing struct {
	phase phase
	why   string
}

func (h *Hub) stand(p phase, why string) { h.standing.Store(&standing{p, why}) }

// retryAfter is what callers are told while the hub does not serve.
const retryAfter = 5 * time.Second

func notNow(reason exchange.Reason, why string) error {
	return exchange.NewError(exchange.CodeUnavailable, reason, why).After(retryAfter)
}

// Ready is nil when the hub serves, else CodeUnavailable and why it does not.
func (h *Hub) Ready(context.Context) error {
	if err := h.here(); err != nil {
		return err
	}
	if h.broken() != nil {
		return notNow(exchange.ReasonShuttingDown, "what was written last is not known for certain: restart the hub, it reads again what is on disk")
	}
	if err := h.writer.Clock(); err != nil {
		return err
	}
	for _, class := range classes {
		if h.stream.Fault(class.String()) != nil {
			return notNow(exchange.ReasonQuarantined, "the stream is quarantined: it is damaged")
		}
	}
	switch {
	case len(h.deliverer.Quarantined()) > 0:
		return notNow(exchange.ReasonQuarantined, "a lane is quarantined")
	case h.signer.Failed() != nil:
		return notNow(exchange.ReasonQuarantined, "the ledger does not fit its checkpoints: "+h.signer.Failed().Error())
	case h.keysGone():
		return notNow(exchange.ReasonOverloaded, "the keys are not available")
	}
	return nil
}

// here tells whether the hub is up at all, whatever else is wrong with it.
func (h *Hub) here() error {
	switch s := h.standing.Load(); s.phase {
	case phaseUp:
		return nil
	case phaseClock:
		if err := h.writer.Clock(); err != nil {
			return err
		}
		return notNow(exchange.ReasonClockJump, "the clock was confirmed; the rest comes up")
	case phaseQuarantined:
		return notNow(exchange.ReasonQuarantined, s.why)
	default:
		return notNow(exchange.ReasonShuttingDown, s.why)
	}
}

// writable refuses to write into a ledger that does not fit its checkpoints or
// its stream: each entry would be one of a second history.
func (h *Hub) writable() error {
	if err := h.here(); err != nil {
		return err
	}
	if err := h.signer.Failed(); err != nil {
		return notNow(exchange.ReasonQuarantined, "the ledger does not fit its checkpoints: "+err.Error())
	}
	return nil
}

// broken is why the hub can only be restarted: an error of unknown outcome has
// stopped the store or the stream (design.md 5.5).
func (h *Hub) broken() error {
	if err := h.writer.Failed(); err != nil {
		return err
	}
	for _, class := range classes {
		if err := h.stream.Fault(class.String()); errors.Is(err, stream.ErrStopped) {
			return err
		}
	}
	return nil
}

// classes are both stream classes.
var classes = [2]exchange.Class{exchange.ClassPrompt, exchange.ClassBulk}

// Failed is closed when the hub cannot go on and only a restart, which reads
// again what is on disk, helps: then the process should stop it and exit.
func (h *Hub) Failed() <-chan struct{} { return h.failed }

// LogDropped counts a line of the log that could not be written.
func (h *Hub) LogDropped() { h.metrics.LogDropped() }

func (h *Hub) fail(err error) {
	h.failOnce.Do(func() {
		h.log.Error("the hub cannot go on and must be restarted", "error", err.Error())
		close(h.failed)
	})
}

// watch looks whether the hub is broken until it is closed.
func (h *Hub) watch() {
	h.background("watch", 500*time.Millisecond, 500*time.Millisecond, func(context.Context) {
		if err := h.broken(); err != nil {
			h.fail(err)
		}
	})
}

// background calls fn first and then every so often, until the hub is closed;
// a call under way is cut short and waited for.
func (h *Hub) background(name string, first, every time.Duration, fn func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	h.onClose(name, func(context.Context) error { cancel(); <-done; return nil })
	go func() {
		defer close(done)
		t := time.NewTimer(first)
		defer t.Stop()
		for {
			select {
			case <-t.C:
			case <-ctx.Done():
				return
			}
			fn(ctx)
			t.Reset(every)
		}
	}()
}

// keysGone looks at the keys at most once a second: every push asks, and the
// look reads a file.
func (h *Hub) keysGone() bool {
	now := h.opt.Clock.Monotonic()
	last := h.keyLook.Load()
	if last == nil || now-last.at >= time.Second {
		last = &keyLook{at: now, gone: h.keys.Check() != nil}
		h.keyLook.Store(last)
	}
	return last.gone
}

// keyLook is what a look at the keys showed, and when (monotonic).
type keyLook struct {
	at   time.Duration
	gone bool
}
