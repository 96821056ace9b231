package demo

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"raccordo/hub"
	"raccordo/hub/control"
	"raccordo/hub/exchange"
	"raccordo/hub/network"
	"raccordo/hub/network/endpoints"
	"raccordo/hub/telemetry"
)

// world is a hub with everything around it.
type world struct {
	opt     Options
	dir     string
	out     *os.Root // nil: nothing is left
	hub     *hub.Hub
	control *control.Client
	http    *http.Client

	cast    *cast
	shelf   *shelf
	servers map[exchange.SystemID]*webhookServer
	callers map[exchange.SystemID]*caller
	desks   map[exchange.Territory]*desk
	offices map[exchange.BodyID]*benefitsOffice
	inps    *inpsPoller
	pollers []*poller

	started      time.Time
	sent         []*sent
	refused      map[exchange.Reason]int
	refusedLines int
	repeats      int
	trickled     int
	findings     []string                 // of the scenario
	loose        bool                     // others push too: what waits is not known in advance
	standing     atomic.Pointer[standing] // for those who try for themselves

	closers []func(context.Context) error
}

// open brings everything up; nothing has been pushed on return.
func open(ctx context.Context, opt Options, dir string) (*world, error) {
	w := &world{opt: opt, dir: dir, started: time.Now(), cast: newCast(opt.Seed), refused: map[exchange.Reason]int{}, http: &http.Client{Timeout: time.Minute,
		Transport: &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute}}}
	w.onClose(func(context.Context) error { w.http.CloseIdleConnections(); return nil })
	for _, step := range []func(context.Context) error{w.openFiles, w.openServers, w.openHub, w.openShelf, w.openCallers, w.openSystems} {
		if err := step(ctx); err != nil {
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
			defer cancel()
			return nil, errors.Join(err, w.close(end))
		}
	}
	return w, nil
}

func (w *world) onClose(fn func(context.Context) error) { w.closers = append(w.closers, fn) }

// close brings everything down, last come first.
func (w *world) close(ctx context.Context) error {
	var errs []error
	for _, fn := range slices.Backward(w.closers) {
		errs = append(errs, fn(ctx))
	}
	w.closers = nil
	return errors.Join(errs...)
}

func (w *world) openFiles(context.Context) error {
	if err := os.MkdirAll(filepath.Join(w.dir, "keys"), 0o700); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	if w.opt.Out != "" {
		if err := os.MkdirAll(w.opt.Out, 0o755); err != nil {
			return fmt.Errorf("directory to leave things in: %w", err)
		}
		root, err := os.OpenRoot(w.opt.Out)
		if err != nil {
			return fmt.Errorf("directory to leave things in: %w", err)
		}
		w.out = root
		w.onClose(func(context.Context) error { return root.Close() })
		for _, name := range []string{"received", "ledger"} {
			if _, err := root.Lstat(name); err == nil {
				return fmt.Errorf("%s holds the %s of another run: give an empty directory", w.opt.Out, name)
			}
		}
	}
	if w.opt.Logger != nil {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(w.dir, "hub.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("log file: %w", err)
	}
	log, closer := telemetry.NewLogger(f, slog.LevelInfo, nil)
	w.opt.Logger = log
	w.onClose(func(context.Context) error { return errors.Join(closer.Close(), f.Close()) })
	return nil
}

// openServers opens a socket for every system that the hub calls.
func (w *world) openServers(context.Context) error {
	called, err := endpoints.Of(w.opt.Network)
	if err != nil {
		return err
	}
	w.servers = map[exchange.SystemID]*webhookServer{}
	for _, id := range called {
		s, err := newWebhookServer(id, kinds[id] == kindSocial)
		if err != nil {
			return err
		}
		w.servers[id] = s
		w.onClose(s.stop)
	}
	return nil
}

func (w *world) config() hub.Config {
	c := hub.DefaultConfig()
	c.DataDir, c.Network = filepath.Join(w.dir, "hub"), "builtin:reticulate"
	c.Listen, c.Admin.Listen = address(w.opt.Listen, "127.0.0.1:8080", w.opt.Once), address(w.opt.Admin, "127.0.0.1:9464", w.opt.Once)
	c.Delivery.SendTimeout = 10 * time.Second
	c.Delivery.BackoffMin, c.Delivery.BackoffMax = 100*time.Millisecond, time.Second
	c.Checkpoint.Every = 2 * time.Second
	c.Stream.SegmentBytes = 16 << 20
	return c
}

// address is the one that is wanted, else the usual one if it is free; a run
// that ends by itself needs no usual one.
func address(wanted, usual string, once bool) string {
	const free = "127.0.0.1:0"
	switch {
	case wanted != "":
		return wanted
	case once:
		return free
	}
	l, err := net.Listen("tcp", usual)
	if err != nil {
		return free
	}
	_ = l.Close()
	return usual
}

func (w *world) openHub(ctx context.Context) error {
	at := map[exchange.SystemID]string{}
	for id, s := range w.servers {
		at[id] = s.url()
	}
	fsys, err := endpoints.Override(w.opt.Network, at)
	if err != nil {
		return err
	}
	h, err := hub.New(ctx, hub.Options{Config: w.config(), Kinds: w.opt.Kinds, Network: fsys, Logger: w.opt.Logger,
		Getenv: secret, Version: w.opt.Version})
	if err != nil {
		return err
	}
	w.hub = h
	w.onClose(h.Stop)
	if err := h.Start(ctx); err != nil {
		return fmt.Errorf("start the hub: %w", err)
	}
	w.control = control.Dial(filepath.Join(w.dir, "hub", "control.sock"))
	return w.until(ctx, "the hub is ready", func(ctx context.Context) (bool, error) { return h.Ready(ctx) == nil, nil })
}

// secret stands in for every secret that the network names: the simulated
// systems ask for none.
func secret(name string) (string, bool) {
	if v, ok := os.LookupEnv(name); ok {
		return v, true
	}
	return "demonstration", true
}

func (w *world) openShelf(ctx context.Context) error {
	bodies := map[exchange.SystemID]exchange.BodyID{}
	for _, s := range w.hub.Network().Systems() {
		bodies[s.ID] = s.Body.ID
	}
	keep := 0
	if !w.opt.Once {
		keep = 10_000
	}
	w.shelf = newShelf(bodies, w.out, keep)
	for _, s := range w.servers {
		s.start(w.shelf)
	}
	return nil
}

// openCallers makes a key for every system that calls the hub and brings it in
// as an operator does.
func (w *world) openCallers(ctx context.Context) error {
	w.callers = map[exchange.SystemID]*caller{}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for _, s := range w.hub.Network().Systems() {
		_, served := w.servers[s.ID]
		if s.Client == "" || served && len(s.Produces) == 0 && !s.OpensDossiers {
			continue
		}
		group.Go(func() error {
			c, err := w.openCaller(ctx, s)
			mu.Lock()
			defer mu.Unlock()
			w.callers[s.ID] = c
			return err
		})
	}
	return group.Wait()
}

func (w *world) openCaller(ctx context.Context, s *network.System) (*caller, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("key of system %s: %w", s.ID, err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("key of system %s: %w", s.ID, err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("key of system %s: %w", s.ID, err)
	}
	if err := os.WriteFile(w.keyFile(s.ID), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600); err != nil {
		return nil, fmt.Errorf("key of system %s: %w", s.ID, err)
	}
	_, err = control.Call[control.System](ctx, w.control, "system/add-key", control.KeyRequest{System: s.ID,
		Key: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})})
	if err != nil {
		return nil, fmt.Errorf("bring in the key of system %s: %w", s.ID, err)
	}
	ids := slices.Sorted(maps.Keys(s.Purposes))
	if len(ids) == 0 {
		return nil, fmt.Errorf("system %s has no purpose", s.ID)
	}
	return newCaller(s.ID, w.hub.URL(), s.Client, ids[0], key, rand.Reader, w.http)
}

func (w *world) keyFile(id exchange.SystemID) string {
	return filepath.Join(w.dir, "keys", string(id)+".pem")
}

// until asks until a condition holds, and gives up after a while.
func (w *world) until(ctx context.Context, what string, holds func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	wait := time.Millisecond
	for {
		ok, err := holds(ctx)
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("until %s: %w", what, err)
		}
		if ok {
			return nil
		}
		if err := pause(ctx, wait); err != nil {
			return errors.Join(fmt.Errorf("not in %s: %s: %w", patience, what, err), w.shelfFailures())
		}
		wait = min(2*wait, 50*time.Millisecond)
	}
}

const patience = 20 * time.Second

func (w *world) shelfFailures() error {
	if w.shelf == nil {
		return nil
	}
	return w.shelf.failed()
}

// status asks the hub how it fares, as an operator does.
func (w *world) status(ctx context.Context) (control.Status, error) {
	return control.Call[control.Status](ctx, w.control, "status", control.Nothing{})
}

// poke has every polling system come at once.
func (w *world) poke() {
	for _, p := range w.pollers {
		p.poke()
	}
}

// prefixOf gives a desk's request numbers their beginning.
func prefixOf(t exchange.Territory) string { return strings.ToUpper(string(t[:2])) }
