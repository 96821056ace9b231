package hub

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"raccordo/hub/api"
	"raccordo/hub/control"
	"raccordo/hub/exchange"
	"raccordo/hub/store/sqlite"
	"raccordo/hub/telemetry"
)

// maxConnections of the API at once; more wait in the system's queue.
const maxConnections = 2048

// bind opens the listeners of the network, so that a port that is taken is
// known before anything is made in the data directory. A port that another hub
// on this very directory has taken is told as what it is.
func (h *Hub) bind(ctx context.Context) error {
	err := h.bindPorts()
	if err == nil {
		return nil
	}
	if _, there := os.Stat(filepath.Join(h.cfg.DataDir, sqlite.FileName)); there == nil {
		if used := h.openData(ctx); errors.Is(used, ErrInUse) {
			return used
		}
	}
	return err
}

func (h *Hub) bindPorts() error {
	var err error
	if h.apiListener, err = h.listen(h.cfg.Listen, "listen"); err != nil {
		return err
	}
	h.adminListener, err = h.listen(h.cfg.Admin.Listen, "admin.listen")
	return err
}

func (h *Hub) listen(address, key string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrConfig, key, err)
	}
	h.onClose(key, func(context.Context) error { return closed(l) })
	return l, nil
}

func closed(l net.Listener) error {
	if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// bindControl opens the operators' socket. It is made where nobody else can
// look and only then takes its name, so that at no moment others than the owner
// can open it. One that a killed hub left goes: nobody is on it, since the store
// is locked.
func (h *Hub) bindControl(context.Context) error {
	if err := h.openControl(); err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	return nil
}

func (h *Hub) openControl() error {
	private, path := filepath.Join(h.cfg.DataDir, ".ctl"), filepath.Join(h.cfg.DataDir, controlSocket)
	if err := os.RemoveAll(private); err != nil {
		return err
	}
	if err := os.Mkdir(private, 0o700); err != nil {
		return err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(private, "s"), Net: "unix"})
	if err != nil {
		return errors.Join(err, os.RemoveAll(private))
	}
	l.SetUnlinkOnClose(false) // it has another name by then
	h.control = l
	h.onClose("control socket", func(context.Context) error {
		err := os.Remove(path)
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return errors.Join(err, closed(l))
	})
	err = os.Chmod(filepath.Join(private, "s"), 0o600)
	if err == nil {
		err = os.Rename(filepath.Join(private, "s"), path)
	}
	return errors.Join(err, os.RemoveAll(private))
}

func (h *Hub) serveAdmin() error {
	if err := h.metrics.Registry().Register(telemetry.NewGauges(h.sums)); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
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
	h.onClose("admin listener", h.serve("admin listener", h.adminListener, h.server(mux)))
	return nil
}

func (h *Hub) serveControl() {
	h.onClose("control socket", h.serve("control socket", h.control,
		h.server(control.Handler(&operator{h}, h.log))))
}

// serveAPI answers callers from now on: 503 while the hub is not up, and it is
// what a stop ends first.
func (h *Hub) serveAPI() error {
	s, err := api.NewServer(api.ServerOptions{Handler: http.HandlerFunc(h.door), Certificate: h.edge.certificate, Logger: h.log})
	if err != nil {
		return err
	}
	l := api.Bound(h.apiListener, maxConnections)
	if h.edge.certificate != nil {
		l = tls.NewListener(l, s.TLSConfig)
	}
	h.doors = append(h.doors, closer{"API", h.serve("API", l, s)})
	return nil
}

// door lets callers through to the API while the hub is up. What began before a
// stop is finished.
func (h *Hub) door(w http.ResponseWriter, r *http.Request) {
	err := h.here()
	if err == nil {
		h.api.ServeHTTP(w, r)
		return
	}
	e := exchange.AsError(err)
	h.metrics.Observe("none", http.StatusServiceUnavailable, string(e.Reason), 0)
	b, err := json.Marshal(map[string]any{"type": "urn:raccordo:problem:" + string(e.Reason), "title": http.StatusText(http.StatusServiceUnavailable),
		"status": http.StatusServiceUnavailable, "detail": e.Detail, "reason": e.Reason})
	if err != nil { // texts and a number
		b = nil
	}
	head := w.Header()
	head.Set("Content-Type", "application/problem+json")
	head.Set("Cache-Control", "no-store")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Retry-After", strconv.Itoa(int(e.RetryAfter.Seconds())))
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = w.Write(b)
}

// server is for the listeners of operations. What net/http itself tells of
// connections is for those who look for it.
func (h *Hub) server(handler http.Handler) *http.Server {
	return &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(h.log.Handler(), slog.LevelDebug)}
}

// serve answers on l until the server is shut down by what is returned: no new
// request, those under way end or are cut off with ctx.
func (h *Hub) serve(name string, l net.Listener, s *http.Server) func(context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			h.log.Error("listener ended", "listener", name, "error", err.Error())
		}
	}()
	return func(ctx context.Context) error {
		err := s.Shutdown(ctx)
		if err != nil {
			err = errors.Join(err, s.Close())
		}
		<-done
		return err
	}
}
