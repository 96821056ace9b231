package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"raccordo/connectors"
	"raccordo/connectors/standard"
	"raccordo/deploy/networks"
	"raccordo/hub"
	"raccordo/hub/telemetry"
)

// drainAfterSend is what a stop may take beyond the longest send.
const drainAfterSend = 15 * time.Second

func (p *process) serve(ctx context.Context, args []string) error {
	c := p.command("serve", "",
		`Runs the hub in the foreground, as the configuration says (deploy/raccordo.yaml shows every key; each can be given as RACCORDO_KEY too).
		It logs JSON lines to standard error and prints its addresses when it serves. SIGTERM or an interrupt lets what is under way end; a second
		one ends at once, which loses nothing either. It exits 3 when the configuration or the network has faults, all of which are listed, or when
		another hub uses the data directory.`,
		`raccordo serve --config deploy/raccordo.yaml`)
	if err := c.parse(args, 0, 0); err != nil {
		return err
	}
	config, err := c.loadConfig()
	if err != nil {
		return err
	}
	kinds, err := connectors.NewSet(standard.Kinds()...)
	if err != nil {
		return err
	}
	builtin, err := networks.FS()
	if err != nil {
		return err
	}
	var running atomic.Pointer[hub.Hub]
	logger, closer := telemetry.NewLogger(p.stderr, levelOf(config.Log.Level), func() {
		if h := running.Load(); h != nil {
			h.LogDropped()
		}
	})
	defer func() { _ = closer.Close() }()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	h, err := hub.New(ctx, hub.Options{Config: config, Kinds: kinds, Builtin: builtin, Logger: logger, Version: version(),
		Getenv: func(name string) (string, bool) { v := p.getenv(name); return v, v != "" }})
	if err != nil {
		return err
	}
	running.Store(h)
	if err := h.Start(ctx); err != nil {
		return errors.Join(err, p.stop(h, signals, config))
	}
	if err := c.announce(ctx, h, config); err != nil {
		return errors.Join(err, p.stop(h, signals, config))
	}
	select {
	case s := <-signals:
		logger.Info("stopping", "signal", s.String())
		return p.stop(h, signals, config)
	case <-h.Failed(): // what was written last is not known: only a restart reads it again
		return errors.Join(errBroken, p.stop(h, signals, config))
	}
}

// errBroken has the process exit 1, so that whoever supervises it starts it again.
var errBroken = errors.New("the hub cannot go on: see its log; the next start goes on from what is on disk")

// stop drains the hub, within a bound; a second signal cuts it off.
func (p *process) stop(h *hub.Hub, signals <-chan os.Signal, config hub.Config) error {
	ctx, cancel := context.WithTimeout(context.Background(), config.Delivery.SendTimeout+drainAfterSend)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- h.Stop(ctx) }()
	select {
	case err := <-ended:
		return err
	case <-signals:
		return errors.New("ended by a second signal, before everything under way had; the next start goes on from what is on disk")
	}
}

// addresses are where a hub serves.
type addresses struct {
	Version string `json:"version"`
	Network string `json:"network"`
	API     string `json:"api"`
	Admin   string `json:"admin"`
	DataDir string `json:"data_dir"`
	Ready   bool   `json:"ready"`
	Why     string `json:"why,omitempty"`
}

func (c *command) announce(ctx context.Context, h *hub.Hub, config hub.Config) error {
	a := addresses{Version: version(), Network: h.Network().Name, API: h.URL(), Admin: "http://" + h.AdminAddr(), DataDir: config.DataDir, Ready: true}
	if err := h.Ready(ctx); err != nil {
		a.Ready, a.Why = false, err.Error()
	}
	return c.show(a, func(w io.Writer) {
		fmt.Fprintf(w, "raccordo %s, network %s\n", a.Version, a.Network)
		table(w, [][]string{{"  API", a.API}, {"  metrics", a.Admin + "/metrics"}, {"  operators", filepath.Join(a.DataDir, "control.sock")}})
		if !a.Ready {
			fmt.Fprintf(w, "not ready: %s\n", a.Why)
		}
	})
}

func levelOf(name string) slog.Level {
	var l slog.Level
	if err := l.UnmarshalText([]byte(name)); err != nil { // the configuration was validated
		return slog.LevelInfo
	}
	return l
}

// networkFS opens a network by its name in a configuration or an argument.
func networkFS(name string) (fs.FS, error) {
	builtin, err := networks.FS()
	if err != nil {
		return nil, err
	}
	return hub.NetworkFS(name, builtin)
}
