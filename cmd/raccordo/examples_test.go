package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// order is in what order the examples of all commands are tried: as an operator
// would who meets the hub for the first time.
func order() []string {
	return []string{
		"version", "check", "explain", "map test", "schema check", "status", "token", "system list", "push", "consent give", "consent show",
		"mailbox", "consent withdraw", "dossier open", "dossier list", "dossier close", "person link", "person unlink",
		"person conflicts", "@parked", "parked list", "parked show", "parked discard", "parked replay", "system add-key", "system rotate-keys",
		"ledger checkpoint", "ledger prove", "ledger export", "ledger verify", "stop-disclosures", "demo",
	}
}

// site is a directory like the repository's root, with a hub running in it.
type site struct {
	t   *testing.T
	dir string
	env []string
}

func (s *site) sh(command string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Dir, cmd.Env = s.dir, s.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (s *site) must(command string) string {
	s.t.Helper()
	out, err := s.sh(command)
	require.NoError(s.t, err, "%s\n%s", command, out)
	return out
}

func (s *site) await(what, command string) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		out, err := s.sh(command)
		return err == nil && strings.Contains(out, what)
	}, patience, 50*time.Millisecond, command)
}

func newSite(t *testing.T) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "site") // short: a socket lies in it
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	deploy, err := filepath.Abs(filepath.Join("..", "..", "deploy"))
	require.NoError(t, err)
	require.NoError(t, os.Symlink(deploy, filepath.Join(dir, "deploy")))
	s := &site{t: t, dir: dir}
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "RACCORDO_") {
			s.env = append(s.env, e)
		}
	}
	s.env = append(s.env, "RACCORDO_CONFIG=deploy/raccordo.yaml", "RACCORDO_LISTEN=127.0.0.1:0", "RACCORDO_ADMIN_LISTEN=127.0.0.1:0",
		"RACCORDO_STREAM_SEGMENT_BYTES=4194304")
	return s
}

// serve runs the example of serve until the test ends.
func (s *site) serve(command string) {
	s.t.Helper()
	cmd := exec.Command("sh", "-c", "exec "+command)
	var log bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stderr = s.dir, s.env, &log
	require.NoError(s.t, cmd.Start())
	s.t.Cleanup(func() {
		require.NoError(s.t, cmd.Process.Signal(os.Interrupt))
		require.NoError(s.t, cmd.Wait(), "an interrupt ends the hub in order")
		if s.t.Failed() {
			s.t.Log(log.String())
		}
	})
	s.await(`"ready": true`, "raccordo status -o json")
	var status struct{ API string }
	require.NoError(s.t, json.Unmarshal([]byte(s.must("raccordo status -o json")), &status))
	s.env = append(s.env, "RACCORDO_URL="+status.API)
}

// benefit is one whose person the recipient's format cannot name, so that it is
// parked.
func benefit(ref string) string {
	return `{"record_type":"social_benefit","schema_version":"1.0.0","recorded_at":"2026-03-02T10:00:00+01:00","source":{"system":"prestazioni","ref":"` + ref +
		`"},"subject":[{"system":"STP","value":"STP0901011000137"}],"family_name":"Prova","given_name":"Uno","sex":"M","birth_year":1985,"birth_place":"E625",` +
		`"citizenship_num":"380","address":{"region":"09","municipality_istat":"047014","country_num":"380"},"operator_tax_code":"` + operatorCode +
		`","operation":"I","siuss_code":"A1.05","name":"Contributi economici per alloggio","application_ref":"` + ref +
		`","means_test":"1","character":"1","taken_in_charge":true,"start":"2026-02-01","amounts":{"monthly":{"amount":"100.50","currency":"EUR"}},"period_months":6}`
}

// operatorCode is a well-formed code of nobody.
const operatorCode = "PRVPRV80A01E625Y"

// Every example in every --help works as it stands, on a hub that was started
// by the example of serve.
func TestExamples(t *testing.T) {
	if testing.Short() {
		t.Skip("runs every command and the demo")
	}
	s := newSite(t)
	help := func(words string) []string {
		code, stdout, stderr := runHere("", append(strings.Fields(words), "--help")...)
		require.Equal(t, exitOK, code, stderr)
		var out []string
		for line := range strings.Lines(example(stdout)) {
			if line = strings.TrimSpace(line); line != "" {
				out = append(out, line)
			}
		}
		return out
	}
	tried := map[string]bool{"serve": true}
	s.serve(help("serve")[0])
	for _, words := range order() {
		switch words {
		case "@parked":
			s.park()
			continue
		}
		tried[words] = true
		for _, line := range help(words) {
			out, err := s.sh(line)
			require.NoError(t, err, "%s\n%s", line, out)
		}
	}
	for _, words := range leaves(t) {
		require.True(t, tried[strings.Join(words, " ")], "the examples of %s were not tried", words)
	}
}

// park leaves two parked records.
func (s *site) park() {
	s.must("raccordo token --as sds_pistoiese_sociale --key social.key --new-key | raccordo system add-key sds_pistoiese_sociale -")
	for n := range 2 {
		file := filepath.Join(s.dir, fmt.Sprintf("benefit%d.json", n))
		require.NoError(s.t, os.WriteFile(file, []byte(benefit(fmt.Sprintf("B-%d", n))), 0o600))
		s.must("raccordo push --as sds_pistoiese_sociale --key social.key social_benefit " + file)
	}
	s.await("\n2\n", "echo; raccordo parked list --ids | wc -l")
}
