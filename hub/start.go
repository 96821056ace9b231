package hub

import (
	"context"
	"errors"
	"fmt"
	"time"

	"raccordo/hub/exchange"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
)

// errOnce says that a hub is started once; make another one.
var errOnce = errors.New("the hub was started or stopped before")

// undoing bounds how long a failed start may take to close what it opened.
const undoing = 30 * time.Second

// Start brings the hub up: the admin and control listeners first, so that an
// operator sees and can end what holds it up, then ledger, index and delivery;
// the API answers 503 until all of it is there. On an error everything is
// closed again.
//
// It is no error when the hub may not serve yet: while the clock cannot be
// trusted nothing is written, and the rest comes up when an operator confirms
// it; when its parts do not fit each other the hub is quarantined. [Hub.Ready]
// and the operators' status say why.
func (h *Hub) Start(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.started || h.stopped {
		return errOnce
	}
	h.started = true
	err := h.start(ctx)
	if err == nil {
		return nil
	}
	h.stopped = true
	h.stand(phaseStopping, "the start failed")
	h.stopOnce.Do(func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoing)
		defer cancel()
		h.stopErr = h.close(closing)
	})
	return errors.Join(err, h.stopErr)
}

func (h *Hub) start(ctx context.Context) error {
	h.writer.Start()
	h.onClose("ledger writer", func(context.Context) error { h.writer.Stop(); return nil })
	if err := h.serveAdmin(); err != nil {
		return err
	}
	h.serveControl()
	if err := h.serveAPI(); err != nil {
		return err
	}
	h.watch()
	if err := h.signer.Compare(ctx); err != nil {
		if errors.Is(err, ledger.ErrBehindOutside) || errors.Is(err, ledger.ErrForked) || errors.Is(err, ledger.ErrOutside) {
			h.quarantine(err)
			return nil
		}
		return fmt.Errorf("compare with the second place: %w", err)
	}
	if err := h.compareTruths(ctx); err != nil {
		if errors.Is(err, errTruths) {
			h.quarantine(err)
			return nil
		}
		return fmt.Errorf("compare stream and store: %w", err)
	}
	err := h.adopt(ctx)
	if err == nil {
		return h.rise(ctx)
	}
	if !untrusted(err) {
		return err
	}
	h.log.Error("the clock is not trusted: nothing is accepted or disclosed", "why", exchange.AsError(err).Detail)
	h.stand(phaseClock, exchange.AsError(err).Detail)
	h.background("wait for the clock", clockLook, clockLook, h.whenClockConfirmed)
	return nil
}

// clockLook is how often a hub that waits looks whether its clock was confirmed.
const clockLook = 200 * time.Millisecond

func untrusted(err error) bool {
	return err != nil && exchange.AsError(err).Reason == exchange.ReasonClockJump
}

// whenClockConfirmed goes on with the start once an operator has confirmed.
func (h *Hub) whenClockConfirmed(ctx context.Context) {
	if h.writer.Clock() != nil || h.standing.Load().phase != phaseClock {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped {
		return
	}
	err := h.adopt(ctx)
	if untrusted(err) {
		return // it jumped once more
	}
	if err == nil {
		err = h.rise(ctx)
	}
	if err != nil {
		h.stand(phaseStarting, "the start failed: see the log of the hub, then restart it")
		h.fail(fmt.Errorf("start: %w", err))
	}
}

// rise brings up what accepts and discloses.
func (h *Hub) rise(ctx context.Context) error {
	if err := h.finishRotation(ctx); err != nil {
		return fmt.Errorf("finish the rotation of the signing key: %w", err)
	}
	n, err := h.index.Rebuild(ctx, h.stream)
	if err != nil {
		return fmt.Errorf("rebuild the index of keys: %w", err)
	}
	if n > 0 {
		h.log.Info("frames indexed again", "frames", n)
	}
	go h.index.Run()
	h.onClose("index", func(context.Context) error { h.index.Stop(); return nil })
	if err := h.follower.Start(ctx); err != nil {
		return fmt.Errorf("start the status follower: %w", err)
	}
	h.onClose("status follower", func(context.Context) error { h.follower.Stop(); return nil })
	if err := h.signer.Start(ctx); err != nil {
		return fmt.Errorf("start checkpoints: %w", err)
	}
	h.onClose("checkpoints", h.lastCheckpoint)
	if err := h.deliverer.Start(ctx); err != nil {
		return fmt.Errorf("start delivery: %w", err)
	}
	h.onClose("delivery", h.deliverer.Stop)
	h.upkeep()
	h.stand(phaseUp, "")
	h.log.Info("ready", "api", h.Addr(), "admin", h.AdminAddr(), "network", h.Network().Name, "version", h.opt.Version)
	return nil
}

// lastCheckpoint signs what a stop leaves. A ledger that is no longer signed or
// written has said so before.
func (h *Hub) lastCheckpoint(ctx context.Context) error {
	h.signer.Stop()
	if h.signer.Failed() != nil || h.broken() != nil {
		return nil
	}
	_, err := h.signer.Sign(ctx)
	return err
}

// errTruths says that the stream and the store do not fit each other.
var errTruths = errors.New("the stream ends below what the store has seen of it: it was cut short, or is an older copy")

// compareTruths holds what the store knows of the stream against it (protocol.md
// 3.4); cursors are compared, lane by lane, when delivery takes the lanes.
func (h *Hub) compareTruths(ctx context.Context) error {
	return h.store.View(ctx, func(tx store.ReadTx) error {
		for _, class := range classes {
			seen, _, err := tx.Progress("index/" + class.String())
			if err != nil {
				return err
			}
			highest, err := h.stream.HighestAccepted(class.String())
			if err != nil {
				return err
			}
			if int64(highest) < seen {
				return fmt.Errorf("class %s: %w", class, errTruths)
			}
		}
		return nil
	})
}

// finishRotation announces and activates a signing key that a stop left
// between the two; announcing again is harmless.
func (h *Hub) finishRotation(ctx context.Context) error {
	r, pending, err := h.keys.PendingSigning()
	if err != nil || !pending {
		return err
	}
	_, err = h.announce(ctx, r)
	return err
}

// quarantine keeps the hub from accepting, disclosing and writing until an
// operator has looked; admin and control listeners say why.
func (h *Hub) quarantine(err error) {
	h.log.Error("quarantine: nothing is accepted, nothing disclosed", "why", err.Error())
	h.stand(phaseQuarantined, "quarantined: "+err.Error())
}

// adopt opens the ledger, if it is new, and makes the network the one in force.
func (h *Hub) adopt(ctx context.Context) error {
	n := h.Network()
	origin, err := exchange.EncodeFact(exchange.OriginFact{Hub: h.store.Hub(), Origin: h.keys.Origin(), Key: h.keys.VerifierKeys()[0]})
	if err != nil {
		return err
	}
	_, err = h.writer.Submit(ctx, &ledger.Item{Decide: func(s *ledger.State) (*ledger.Change, error) {
		if s.Head.Size > 0 {
			return nil, nil
		}
		return &ledger.Change{Draft: &ledger.Draft{Kind: exchange.KindOrigin, Fact: origin}}, nil
	}})
	if err != nil {
		return fmt.Errorf("open the ledger: %w", err)
	}
	fact, err := exchange.EncodeFact(n.Adoption())
	if err != nil {
		return err
	}
	_, err = h.writer.Submit(ctx, &ledger.Item{Decide: func(s *ledger.State) (*ledger.Change, error) {
		if s.Head.Network == n.Digest {
			return nil, nil
		}
		return &ledger.Change{Draft: &ledger.Draft{Kind: exchange.KindAdoption, Fact: fact}, Adopt: &n.Digest}, nil
	}})
	if err != nil {
		return fmt.Errorf("adopt the network: %w", err)
	}
	return nil
}
