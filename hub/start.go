package hub

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"raccordo/hub/api"
	"raccordo/hub/control"
	"raccordo/hub/exchange"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
	"raccordo/hub/telemetry"
)

// Start brings the hub up: the admin and control listeners first, so that an
// operator sees and can end what holds it up, then ledger, index, delivery,
// and the API last. While the clock cannot be trusted nothing is written: the
// rest comes up when an operator confirms it.
func (h *Hub) Start(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.started || h.stopped {
		return nil
	}
	h.started = true
	h.writer.Start()
	h.onClose("ledger writer", func(context.Context) error { h.writer.Stop(); return nil })
	if err := h.serveAdmin(); err != nil {
		return err
	}
	h.serveControl()
	if err := h.signer.Compare(ctx); err != nil {
		if errors.Is(err, ledger.ErrBehindOutside) || errors.Is(err, ledger.ErrForked) {
			h.quarantine(err)
			return nil
		}
		return fmt.Errorf("compare with the second place: %w", err)
	}
	err := h.adopt(ctx)
	if e := exchange.AsError(err); err != nil && e.Reason == exchange.ReasonClockJump {
		h.log.Error("the clock is not trusted; nothing is accepted or disclosed", "why", e.Detail)
		h.notReady(e.Detail)
		bg, cancel := context.WithCancel(context.WithoutCancel(ctx))
		done := make(chan struct{})
		h.onClose("wait for the clock", func(context.Context) error { cancel(); <-done; return nil })
		go func() { defer close(done); h.whenClockConfirmed(bg) }()
		return nil
	}
	if err != nil {
		return err
	}
	return h.rise(ctx)
}

// whenClockConfirmed goes on with the start once an operator has confirmed.
func (h *Hub) whenClockConfirmed(ctx context.Context) {
	t := time.NewTicker(200 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		if h.writer.Clock() != nil {
			continue
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.stopped {
			return
		}
		if err := h.adopt(ctx); err == nil {
			err = h.rise(ctx)
			if err == nil {
				return
			}
			h.log.Error("start failed", "error", err.Error())
		}
		return
	}
}

// rise brings up what accepts and discloses.
func (h *Hub) rise(ctx context.Context) error {
	if err := h.compareTruths(ctx); err != nil {
		h.quarantine(err)
		return nil
	}
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
	h.onClose("checkpoints", func(ctx context.Context) error {
		h.signer.Stop()
		_, err := h.signer.Sign(ctx)
		return err
	})
	if err := h.deliverer.Start(ctx); err != nil {
		return fmt.Errorf("start delivery: %w", err)
	}
	h.onClose("delivery", h.deliverer.Stop)
	h.upkeep()
	if err := h.serveAPI(); err != nil {
		return err
	}
	h.notReady("")
	h.log.Info("ready", "api", h.Addr(), "admin", h.AdminAddr(), "network", h.Network().Name, "version", h.opt.Version)
	return nil
}

// errTruths says that the stream and the store do not fit each other.
var errTruths = errors.New("the stream ends below what the store has seen of it: it was cut short, or is an older copy")

// compareTruths holds what the store knows of the stream against it (protocol.md
// 3.4); cursors are compared, lane by lane, when delivery takes the lanes.
func (h *Hub) compareTruths(ctx context.Context) error {
	return h.store.View(ctx, func(tx store.ReadTx) error {
		for _, class := range [2]exchange.Class{exchange.ClassPrompt, exchange.ClassBulk} {
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

// quarantine keeps the hub from accepting and disclosing until an operator has
// looked; admin and control listeners say why.
func (h *Hub) quarantine(err error) {
	h.log.Error("quarantine: nothing is accepted, nothing disclosed", "why", err.Error())
	h.notReady("quarantined: " + err.Error())
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

func (h *Hub) serveAdmin() error {
	h.metrics.Registry().MustRegister(telemetry.NewGauges(h.sums))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(h.metrics.Registry(), promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := h.Ready(r.Context()); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = fmt.Fprintln(w, exchange.AsError(err).Detail)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	profiles(mux)
	h.serve("admin listener", h.adminListener, &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second})
	return nil
}

func (h *Hub) serveControl() {
	h.serve("control socket", h.control, &http.Server{Handler: control.Handler(&operator{h}), ReadHeaderTimeout: 5 * time.Second})
}

func (h *Hub) serveAPI() error {
	handler, err := h.api()
	if err != nil {
		return fmt.Errorf("API: %w", err)
	}
	o := api.ServerOptions{Handler: handler, Logger: h.log}
	if h.cfg.TLS.Certificate != "" {
		c, err := tls.LoadX509KeyPair(h.cfg.TLS.Certificate, h.cfg.TLS.Key)
		if err != nil {
			return fmt.Errorf("%w: tls: %w", ErrConfig, err)
		}
		o.Certificate = &c
	}
	s, err := api.NewServer(o)
	if err != nil {
		return err
	}
	l := api.Bound(h.apiListener, 2048)
	if o.Certificate != nil {
		l = tls.NewListener(l, s.TLSConfig)
	}
	h.serve("API", l, s)
	return nil
}

func (h *Hub) serve(name string, l net.Listener, s *http.Server) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			h.log.Error("listener ended", "listener", name, "error", err.Error())
		}
	}()
	h.onClose(name, func(ctx context.Context) error {
		err := s.Shutdown(ctx)
		if err != nil {
			err = errors.Join(err, s.Close())
		}
		<-done
		return err
	})
}
