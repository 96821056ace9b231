package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"raccordo/connectors"
)

// Options are what a demonstration is run with. Kinds and Network are required.
type Options struct {
	Kinds   *connectors.Set // kinds of connector that come with the binary
	Network fs.FS           // the built-in network reticulate
	Version string

	Once    bool   // play the scenario and end
	Seed    uint64 // same seed, same content; 0 counts as 1
	DataDir string // where everything is kept, empty or not there yet; "" is a temporary directory, removed at the end
	Out     string // directory to leave what was received, ledger, key and summary in; "" leaves nothing
	Listen  string // address of the API; "" is 127.0.0.1:8080, or a free port where that is taken
	Admin   string // address of the metrics; "" is 127.0.0.1:9464, or a free port

	Screen     io.Writer     // for the table and the commands to try; nil shows nothing
	Executable string        // as the commands to try name it; "" is this binary
	Logger     *slog.Logger  // nil logs to hub.log in the data directory
	Pace       time.Duration // between two requests after the scenario; 0 is a second

	refresh time.Duration // of the table; 0 is a second on a terminal, else a quarter of a minute
}

var (
	// ErrMismatch says that the numbers of a run do not fit each other; every
	// finding is in the summary.
	ErrMismatch = errors.New("the numbers of the demonstration do not balance")
	// ErrUsed says that the data directory is no empty directory.
	ErrUsed = errors.New("the data directory of a demonstration must be empty, or not there yet")
)

func (o *Options) defaults() error {
	if o.Kinds == nil || o.Network == nil {
		return errors.New("demonstration: kinds of connector and network are required")
	}
	if o.Seed == 0 {
		o.Seed = 1
	}
	if o.Pace <= 0 {
		o.Pace = time.Second
	}
	if o.Screen == nil {
		o.Screen = io.Discard
	}
	if o.Executable == "" {
		path, err := os.Executable()
		if err != nil {
			return fmt.Errorf("demonstration: %w", err)
		}
		o.Executable = path
	}
	return nil
}

// Run brings a hub and the simulated systems up, plays the scenario, and, unless
// Once is set, trickles requests until ctx ends. Then everything under way ends,
// the ledger is exported and verified, and the numbers are held against each
// other. The summary is filled in as far as the run came, also with an error.
// Errors: [ErrMismatch], [ErrUsed], those of [hub.New].
func Run(ctx context.Context, opt Options) (Summary, error) {
	if err := opt.defaults(); err != nil {
		return Summary{}, err
	}
	dir := opt.DataDir
	if dir == "" {
		temporary, err := os.MkdirTemp("", "raccordo-demo-")
		if err != nil {
			return Summary{}, fmt.Errorf("demonstration: %w", err)
		}
		defer func() { _ = os.RemoveAll(temporary) }()
		dir = temporary
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Summary{}, fmt.Errorf("demonstration: %w", err)
	}
	switch entries, err := os.ReadDir(dir); {
	case errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, syscall.ENOTDIR), err == nil && len(entries) > 0:
		return Summary{}, fmt.Errorf("%w: %s", ErrUsed, dir)
	case err != nil:
		return Summary{}, fmt.Errorf("demonstration: data directory: %w", err)
	}
	w, err := open(ctx, opt, dir)
	if err != nil {
		return Summary{}, err
	}
	s, err := w.play(ctx)
	s.Run.Milliseconds = time.Since(w.started).Milliseconds()
	if opt.Out != "" {
		err = errors.Join(err, w.leaveSummary(&s))
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	return s, errors.Join(err, w.close(end))
}

// play is the run between coming up and going down.
func (w *world) play(ctx context.Context) (Summary, error) {
	screen := newScreen(w)
	defer screen.stop()
	if err := w.scenario(ctx, screen.step); err != nil {
		return Summary{Seed: w.opt.Seed}, err
	}
	if !w.opt.Once {
		tries, err := w.handOver(ctx)
		if err != nil {
			return Summary{Seed: w.opt.Seed}, err
		}
		screen.offer(tries)
		w.trickle(ctx)
	}
	// Ctrl-C ends the trickle; what is under way is still seen to its end.
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	screen.step("everything under way ends")
	for _, finish := range []func(context.Context) error{w.settle, w.stopPolling, w.settle} {
		if err := finish(end); err != nil {
			return Summary{Seed: w.opt.Seed}, err
		}
	}
	w.lookAgain(end)
	s, err := w.summarise(end)
	if err == nil && len(s.Findings) > 0 {
		err = fmt.Errorf("%w: %d findings, the first: %s", ErrMismatch, len(s.Findings), s.Findings[0])
	}
	screen.end(&s)
	return s, err
}
