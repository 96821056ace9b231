package crashtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"raccordo/connectors"
	"raccordo/connectors/standard"
	"raccordo/hub"
	"raccordo/hub/crashtest"
	"raccordo/hub/exchange"
)

// The test's own binary is the hub when it is told so.
func TestMain(m *testing.M) {
	text, child := os.LookupEnv(crashtest.ChildVar)
	if !child {
		os.Exit(m.Run())
	}
	var s crashtest.Setup
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		fmt.Fprintln(os.Stderr, "setup:", err)
		os.Exit(2)
	}
	err := serve(s)
	if err != nil {
		fmt.Fprintln(os.Stderr, "hub:", err)
	}
	switch {
	case err == nil:
		os.Exit(0)
	case errors.Is(err, hub.ErrInUse), errors.Is(err, hub.ErrConfig):
		os.Exit(3)
	default:
		os.Exit(1)
	}
}

// serve runs a hub until SIGTERM, as the command does.
func serve(s crashtest.Setup) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	kinds, err := connectors.NewSet(standard.Kinds()...)
	if err != nil {
		return err
	}
	c := hub.DefaultConfig()
	c.DataDir, c.Network, c.Listen, c.Admin.Listen = s.DataDir, s.Network, s.Listen, s.Admin
	c.Checkpoint.Every, c.Checkpoint.CopyTo = 100*time.Millisecond, s.Checkpoints
	c.Stream.SegmentBytes, c.Stream.MaxBytes = 1<<20, 1<<30
	if s.StreamBytes > 0 {
		c.Stream.MaxBytes = s.StreamBytes
	}
	c.Delivery.SendTimeout, c.Delivery.SpillAfter = s.SendTimeout, s.SpillAfter
	c.Delivery.BackoffMin, c.Delivery.BackoffMax = 20*time.Millisecond, 500*time.Millisecond
	c.Limits.PerSecond, c.Limits.Burst = 10_000, 10_000
	h, err := hub.New(ctx, hub.Options{Config: c, Kinds: kinds, Clock: ahead{exchange.NewSystemClock(), s.ClockAhead}, Version: "crashtest",
		Logger: slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		return err
	}
	if err := h.Start(ctx); err != nil {
		return errors.Join(err, end(h))
	}
	<-ctx.Done()
	return end(h)
}

func end(h *hub.Hub) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return h.Stop(ctx)
}

// ahead is a wall clock that is off.
type ahead struct {
	exchange.SystemClock
	by time.Duration
}

func (a ahead) Now() time.Time { return a.SystemClock.Now().Add(a.by) }
