package crashtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"raccordo/hub/control"
)

// ChildVar is the environment variable whose presence makes the test's binary
// a hub; its value is a [Setup] in JSON.
const ChildVar = "CRASHTEST_HUB"

// Setup is what a hub is started with.
type Setup struct {
	DataDir     string        `json:"data_dir"`
	Network     string        `json:"network"` // a directory
	Listen      string        `json:"listen"`
	Admin       string        `json:"admin"`
	Checkpoints string        `json:"checkpoints"` // their second place
	SendTimeout time.Duration `json:"send_timeout"`
	SpillAfter  time.Duration `json:"spill_after"`
	StreamBytes int64         `json:"stream_bytes,omitempty"`
	ClockAhead  time.Duration `json:"clock_ahead,omitempty"` // how far the hub's clock is off
}

// Process is a hub that runs.
type Process struct {
	setup Setup
	cmd   *exec.Cmd
	log   *os.File
	ended chan struct{}
	err   error // valid once ended

	control *control.Client

	mu   sync.Mutex
	peak Peak
}

// Peak is the most of each that was seen.
type Peak struct {
	Resident    int64 // bytes
	Descriptors int
	Goroutines  int
}

// StartProcess runs the test's own binary as a hub. Its log is appended to the
// named file.
func StartProcess(s Setup, log string) (*Process, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(s)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	p := &Process{setup: s, cmd: exec.Command(os.Args[0]), log: f, ended: make(chan struct{}),
		control: control.Dial(filepath.Join(s.DataDir, "control.sock"))}
	p.cmd.Env = append(os.Environ(), ChildVar+"="+string(b))
	p.cmd.Stdout, p.cmd.Stderr = f, f
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	go func() {
		p.err = p.cmd.Wait()
		_ = f.Close()
		close(p.ended)
	}()
	go p.sample()
	return p, nil
}

// Ready waits until the hub serves and says how long that took.
func (p *Process) Ready(ctx context.Context, within time.Duration) (time.Duration, error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		why, err := p.get(ctx, "/readyz")
		if err == nil {
			return time.Since(began), nil
		}
		select {
		case <-p.ended:
			return 0, fmt.Errorf("the hub ended before it was ready: %v", p.err)
		case <-ctx.Done():
			return 0, fmt.Errorf("not ready within %s: %s", within, strings.TrimSpace(why))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// get asks the admin listener.
func (p *Process) get(ctx context.Context, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.setup.Admin+path, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return string(b), fmt.Errorf("%s: %d", path, resp.StatusCode)
	}
	return string(b), nil
}

// Metrics is the text of /metrics.
func (p *Process) Metrics(ctx context.Context) (string, error) { return p.get(ctx, "/metrics") }

// Control talks to the hub's socket.
func (p *Process) Control() *control.Client { return p.control }

// Kill ends the hub at once (SIGKILL).
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // may have ended by itself
	<-p.ended
}

// Terminate asks the hub to end (SIGTERM) and says how it did.
func (p *Process) Terminate(within time.Duration) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return p.Wait(within)
}

// Wait waits for the hub to end by itself and gives what it ended with.
func (p *Process) Wait(within time.Duration) error {
	select {
	case <-p.ended:
		return p.err
	case <-time.After(within):
		p.Kill()
		return fmt.Errorf("did not end within %s", within)
	}
}

// Peak is the most that was seen of memory, descriptors and goroutines.
func (p *Process) Peak() Peak {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.peak
}

// sample looks at the process five times a second until it ends.
func (p *Process) sample() {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	proc := filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid))
	for {
		select {
		case <-tick.C:
		case <-p.ended:
			return
		}
		var now Peak
		if b, err := os.ReadFile(filepath.Join(proc, "statm")); err == nil {
			if f := bytes.Fields(b); len(f) > 1 {
				pages, _ := strconv.ParseInt(string(f[1]), 10, 64)
				now.Resident = pages * int64(os.Getpagesize())
			}
		}
		if d, err := os.ReadDir(filepath.Join(proc, "fd")); err == nil {
			now.Descriptors = len(d)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		if m, err := p.Metrics(ctx); err == nil {
			now.Goroutines = int(Value(m, "go_goroutines"))
		}
		cancel()
		p.mu.Lock()
		p.peak = Peak{max(p.peak.Resident, now.Resident), max(p.peak.Descriptors, now.Descriptors), max(p.peak.Goroutines, now.Goroutines)}
		p.mu.Unlock()
	}
}

// Value is the value of a series in the text of /metrics, -1 if it is not there.
func Value(metrics, series string) float64 {
	for line := range strings.Lines(metrics) {
		if rest, ok := strings.CutPrefix(line, series+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err == nil {
				return v
			}
		}
	}
	return -1
}

// FreePort finds a port that can be bound again and again: below the range
// from which the system takes ports for outgoing connections.
func FreePort(from int) (int, error) {
	for n := range 2000 {
		port := 12_000 + (from+n)%18_000
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("no free port")
}
