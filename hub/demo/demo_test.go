package demo

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"raccordo/connectors"
	"raccordo/connectors/standard"
	"raccordo/deploy/networks"
)

// options of a run in a test: free ports, everything left in a directory.
func options(t *testing.T) Options {
	t.Helper()
	all, err := networks.FS()
	require.NoError(t, err)
	set, err := connectors.NewSet(standard.Kinds()...)
	require.NoError(t, err)
	// Not t.TempDir for the data: the path of a Unix socket has at most 107 bytes.
	dir, err := os.MkdirTemp("", "demo")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return Options{Kinds: set, Network: all["reticulate"], Version: "test", Once: true, Seed: 7, DataDir: filepath.Join(dir, "d"),
		Out: t.TempDir()}
}

func once(t *testing.T, opt Options) Summary {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	s, err := Run(ctx, opt)
	require.NoError(t, err, "%v", s.Findings)
	return s
}

func TestOnce(t *testing.T) {
	opt := options(t)
	log, err := os.Create(filepath.Join(t.TempDir(), "hub.log"))
	require.NoError(t, err)
	opt.Logger = slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := once(t, opt)
	require.True(t, s.Verified)
	require.True(t, s.Balanced)
}
