package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"raccordo/deploy/networks"
	"raccordo/hub/exchange"
	"raccordo/hub/network/endpoints"
)

// In a script, and in what a test runs through the shell, raccordo is this
// binary as a process of its own: flags, signals and exit codes are real.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"raccordo": main})
}

func TestScripts(t *testing.T) {
	accepts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	t.Cleanup(accepts.Close)
	released := make(chan struct{})
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-released:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() { close(released); hangs.Close() })
	testscript.Run(t, testscript.Params{
		Dir:   filepath.Join("testdata", "script"),
		Setup: setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"await":       await,
			"url":         setURL,
			"certificate": certificate,
			"flip":        flip,
			"network": func(ts *testscript.TestScript, _ bool, args []string) {
				address := accepts.URL
				if len(args) == 2 && args[1] == "hangs" {
					address = hangs.URL
				}
				writeNetwork(ts, ts.MkAbs(args[0]), address)
			},
		},
	})
}

// setup gives a script free ports and the files that deploy/ holds.
func setup(e *testscript.Env) error {
	deploy, err := filepath.Abs(filepath.Join("..", "..", "deploy"))
	if err != nil {
		return err
	}
	e.Setenv("RACCORDO_LISTEN", "127.0.0.1:0")
	e.Setenv("RACCORDO_ADMIN_LISTEN", "127.0.0.1:0")
	e.Setenv("RACCORDO_STREAM_SEGMENT_BYTES", "4194304")
	e.Setenv("RACCORDO_DELIVERY_BACKOFF_MIN", "20ms")
	e.Setenv("HOME", e.WorkDir)
	return os.Symlink(deploy, filepath.Join(e.WorkDir, "deploy"))
}

const patience = 30 * time.Second

// await [-stdout TEXT] COMMAND... runs a command until it succeeds; with a text,
// until it shows that, whatever its exit code.
func await(ts *testscript.TestScript, neg bool, args []string) {
	pattern := ""
	if len(args) > 2 && args[0] == "-stdout" {
		pattern, args = args[1], args[2:]
	}
	if neg || len(args) == 0 {
		ts.Fatalf("await [-stdout TEXT] COMMAND...")
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(patience)
	for {
		cmd := exec.Command(lookPath(ts, args[0]), args[1:]...)
		cmd.Dir = ts.MkAbs(".")
		cmd.Env = environment(ts)
		out, err := cmd.CombinedOutput()
		if pattern == "" && err == nil || pattern != "" && strings.Contains(string(out), pattern) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("not within %s: %v: %v\n%s", patience, args, err, out)
		}
		<-tick.C
	}
}

func lookPath(ts *testscript.TestScript, name string) string {
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode()&0o111 != 0 {
			return filepath.Join(dir, name)
		}
	}
	ts.Fatalf("%s is not in PATH", name)
	return ""
}

// environment is the script's, as far as commands read it.
func environment(ts *testscript.TestScript) []string {
	var out []string
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "RACCORDO_CONFIG", "RACCORDO_URL", "RACCORDO_KEY", "RACCORDO_CA", "RACCORDO_DATA_DIR",
		"RACCORDO_NETWORK", "RACCORDO_LISTEN", "RACCORDO_ADMIN_LISTEN", "RACCORDO_STREAM_SEGMENT_BYTES", "RACCORDO_DELIVERY_BACKOFF_MIN"} {
		if v := ts.Getenv(name); v != "" {
			out = append(out, name+"="+v)
		}
	}
	return out
}

// url DIR sets RACCORDO_URL to where the hub on a data directory serves.
func setURL(ts *testscript.TestScript, _ bool, args []string) {
	await(ts, false, []string{"raccordo", "status", "--data-dir", args[0]})
	cmd := exec.Command(lookPath(ts, "raccordo"), "status", "--data-dir", args[0], "-o", "json")
	cmd.Dir, cmd.Env = ts.MkAbs("."), environment(ts)
	out, err := cmd.Output()
	ts.Check(err)
	var s struct {
		API string `json:"api"`
	}
	ts.Check(json.Unmarshal(out, &s))
	ts.Setenv("RACCORDO_URL", s.API)
}

// writeNetwork writes the built-in network to dir, with every system that is
// called at address.
func writeNetwork(ts *testscript.TestScript, dir, address string) {
	all, err := networks.FS()
	ts.Check(err)
	called, err := endpoints.Of(all["reticulate"])
	ts.Check(err)
	addresses := map[exchange.SystemID]string{}
	for _, id := range called {
		addresses[id] = address + "/" + string(id)
	}
	fsys, err := endpoints.Override(all["reticulate"], addresses)
	ts.Check(err)
	ts.Check(os.CopyFS(dir, fsys))
}

// certificate CERT KEY writes a certificate for 127.0.0.1, signed by itself.
func certificate(ts *testscript.TestScript, _ bool, args []string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	ts.Check(err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
}

// flip FILE FROM TO replaces one occurrence of a text in a file.
func flip(ts *testscript.TestScript, _ bool, args []string) {
	file := ts.MkAbs(args[0])
	b, err := os.ReadFile(file)
	ts.Check(err)
	if !bytes.Contains(b, []byte(args[1])) {
		ts.Fatalf("%s does not hold %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(file, bytes.Replace(b, []byte(args[1]), []byte(args[2]), 1), 0o644))
}
