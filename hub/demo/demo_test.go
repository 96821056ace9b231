package demo

import (
	"bytes"
	"context"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
		Out: filepath.Join(dir, "out")}
}

func once(t *testing.T, opt Options) Summary {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	s, err := Run(ctx, opt)
	require.NoError(t, err, "%v", s.Findings)
	return s
}

// The whole scenario: it balances, it is verified, and nothing of a person is
// anywhere but where it belongs (invariant I7).
func TestOnce(t *testing.T) {
	opt := options(t)
	var log bytes.Buffer
	opt.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := once(t, opt)
	require.True(t, s.Verified)
	require.True(t, s.Balanced)
	require.Empty(t, s.Findings)

	require.Greater(t, s.Requests.Accepted, 150)
	require.Equal(t, 5, s.Requests.Refused)
	require.Equal(t, 2, s.Requests.RefusedLines)
	require.Equal(t, 1, s.Requests.Repeated)
	require.Equal(t, map[string]int64{"withheld/consent_withdrawn": 2, "waiting/consent_missing": 1}, s.Flows["pistoia_health"].Reasons)
	require.Equal(t, map[string]int64{"withheld/consent_refused": 2, "waiting/consent_missing": 1}, s.Flows["grosseto_health"].Reasons)
	require.Equal(t, map[string]int64{"parked/recipient_says_invalid": 1}, s.Flows["siuss_livorno"].Reasons)
	require.Equal(t, map[string]int64{"parked/format_mismatch": 2}, s.Flows["siuss_capannori"].Reasons)
	require.EqualValues(t, 1, s.Flows["pistoia_sds"].States["delivered"])
	require.Equal(t, 1, s.Outcomes["ERRORE_GENERICO"])

	noCanaries(t, opt, log.Bytes())
	validFlows(t, filepath.Join(opt.Out, "received", "inps", "inps_siuss"))
	for _, name := range []string{"summary.json", "ledger.pub", "metrics.txt", "ledger/checkpoint"} {
		require.FileExists(t, filepath.Join(opt.Out, name))
	}
}

// noCanaries: not in the log, the metrics, the ledger, the names of files, nor
// in clear anywhere in the hub's own directory, where payloads are sealed.
func noCanaries(t *testing.T, opt Options, log []byte) {
	t.Helper()
	secrets := peopleOf(t, opt)
	clean := func(where string, b []byte) {
		b = bytes.ToLower(b)
		for _, s := range secrets {
			require.False(t, bytes.Contains(b, s), "%s holds what it must not", where)
		}
	}
	require.NotEmpty(t, log)
	clean("the log", log)
	require.NoError(t, filepath.WalkDir(opt.Out, func(path string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		clean("a file name", []byte(path))
		if d.IsDir() && d.Name() == "received" {
			return fs.SkipDir
		}
		if !d.IsDir() {
			b, err := os.ReadFile(path)
			require.NoError(t, err)
			clean(path, b)
		}
		return nil
	}))
	require.NoError(t, filepath.WalkDir(filepath.Join(opt.DataDir, "hub"), func(path string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		if d.Type().IsRegular() {
			b, err := os.ReadFile(path)
			require.NoError(t, err)
			clean(path, b)
		}
		return nil
	}))
}

// peopleOf reads who was in a run from what the bodies received: what is not
// there cannot have been taken from there.
func peopleOf(t *testing.T, opt Options) [][]byte {
	t.Helper()
	all := map[string]bool{}
	require.NoError(t, filepath.WalkDir(filepath.Join(opt.Out, "received"), func(path string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		if d.IsDir() {
			return nil
		}
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, m := range codes.FindAll(b, -1) {
			all[strings.ToLower(string(m))] = true
		}
		return nil
	}))
	require.Greater(t, len(all), 200, "the scan must know whom to look for")
	out := [][]byte{[]byte(strings.ToLower(healthPlace)), []byte(strings.ToLower(noteText))}
	for s := range all {
		out = append(out, []byte(s))
	}
	return out
}

// validFlows holds every document that INPS got to the official XSD.
func validFlows(t *testing.T, dir string) {
	t.Helper()
	docs, err := filepath.Glob(filepath.Join(dir, "*.xml"))
	require.NoError(t, err)
	require.Greater(t, len(docs), 15)
	xsd := shared(t, "inps/waas/PS_PSA_SINA201812.xsd")
	lint, err := exec.LookPath("xmllint")
	if xsd == "" || err != nil {
		require.Empty(t, os.Getenv("CI"), "CI needs xmllint")
		t.Log("xmllint or ../shared/data is not here: documents are not held to the XSD")
		return
	}
	out, err := exec.Command(lint, append([]string{"--noout", "--schema", xsd}, docs...)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// shared finds a file of ../shared/data beside the module; "" if it is not there.
func shared(t *testing.T, name string) string {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
	file := filepath.Join(dir, "..", "shared", "data", filepath.FromSlash(name))
	if _, err := os.Stat(file); err != nil {
		return ""
	}
	return file
}

func TestSameSeedSameNumbers(t *testing.T) {
	a, b := options(t), options(t)
	a.Out, b.Out = "", ""
	x, y := once(t, a), once(t, b)
	require.NotEqual(t, x.Run.Hub, y.Run.Hub)
	x.Run, y.Run = RunSummary{}, RunSummary{}
	require.Equal(t, x, y)
}

func TestUsedDirectoriesAreRefused(t *testing.T) {
	opt := options(t)
	require.NoError(t, os.MkdirAll(filepath.Join(opt.DataDir, "hub"), 0o700))
	_, err := Run(context.Background(), opt)
	require.ErrorIs(t, err, ErrUsed)

	opt = options(t)
	require.NoError(t, os.MkdirAll(opt.DataDir, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(opt.DataDir, "of_somebody"), nil, 0o600))
	_, err = Run(context.Background(), opt)
	require.ErrorIs(t, err, ErrUsed, "whatever it holds")
	opt.DataDir = filepath.Join(opt.DataDir, "of_somebody")
	_, err = Run(context.Background(), opt)
	require.ErrorIs(t, err, ErrUsed, "a file")

	opt = options(t)
	require.NoError(t, os.MkdirAll(filepath.Join(opt.Out, "received"), 0o700))
	_, err = Run(context.Background(), opt)
	require.ErrorContains(t, err, "another run")
	require.NoDirExists(t, filepath.Join(opt.DataDir, "hub"))
}

// A number that does not fit is an error.
func TestMismatch(t *testing.T) {
	opt := options(t)
	require.NoError(t, opt.defaults())
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	w, err := open(ctx, opt, opt.DataDir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.close(context.WithoutCancel(ctx))) })
	require.NoError(t, w.everyService(ctx))
	require.NoError(t, w.refusals(ctx))
	require.NoError(t, w.settle(ctx))
	w.shelf.take(&parcelled{System: "arti_livorno", Disclosure: "one too many", Ref: w.sent[0].ref})
	w.sent = w.sent[1:]
	w.refused["schema"]++
	s, err := w.summarise(ctx)
	require.NoError(t, err)
	require.False(t, s.Balanced)
	require.True(t, s.Verified)
	text := strings.Join(s.Findings, "\n")
	require.Contains(t, text, "arti_livorno has 2 disclosures; the hub says 1")
	require.Contains(t, text, "records were sent for")
	require.Contains(t, text, "refused records, the simulated systems 5")
}
