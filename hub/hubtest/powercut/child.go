package powercut

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	childVar   = "RACCORDO_POWERCUT_CHILD"
	ackFile    = 3
	defaultRun = 3
)

// Cuts is how many power cuts a test makes: RACCORDO_CUTS, or 3.
func Cuts(t testing.TB) int { return fromEnvironment(t, "RACCORDO_CUTS") }

// Kills is how many times a test kills a child: RACCORDO_KILLS, or 3.
func Kills(t testing.TB) int { return fromEnvironment(t, "RACCORDO_KILLS") }

func fromEnvironment(t testing.TB, name string) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return defaultRun
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		t.Fatalf("%s is not a number", name)
	}
	return n
}

// InChild reports whether this process was started by [Start], with the
// directory to work in and where to write a line for everything that was
// acknowledged. A test that uses Start asks this first, and works until it is
// killed or fails.
func InChild() (dir string, acks io.Writer, ok bool) {
	dir = os.Getenv(childVar)
	if dir == "" {
		return "", nil, false
	}
	return dir, os.NewFile(ackFile, "acks"), true
}

// Child is a process that runs the same test on a directory.
type Child struct {
	t      testing.TB
	cmd    *exec.Cmd
	stderr bytes.Buffer
	done   chan struct{} // all lines were read

	mu    sync.Mutex
	lines []string
	ended bool
}

// Start runs the test t again as a process of its own, in which [InChild]
// says so. It is killed at the end of the test at the latest.
func Start(t testing.TB, dir string) *Child {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := &Child{t: t, done: make(chan struct{})}
	c.cmd = exec.Command(os.Args[0], "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$", "-test.timeout=10m")
	c.cmd.Env = append(os.Environ(), childVar+"="+dir)
	c.cmd.ExtraFiles = []*os.File{w}
	c.cmd.Stdout, c.cmd.Stderr = &c.stderr, &c.stderr
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close() // the child has its own
	t.Cleanup(func() { c.Kill() })
	go func() {
		defer close(c.done)
		defer func() { _ = r.Close() }()
		in := bufio.NewReader(r)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return // a line that was cut was not acknowledged
			}
			c.mu.Lock()
			c.lines = append(c.lines, line[:len(line)-1])
			c.mu.Unlock()
		}
	}()
	return c
}

// Wait waits until the child has written n lines.
func (c *Child) Wait(n int) {
	c.t.Helper()
	deadline := time.After(60 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		c.mu.Lock()
		got := len(c.lines)
		c.mu.Unlock()
		if got >= n {
			return
		}
		select {
		case <-tick.C:
		case <-c.done:
			c.Kill()
			c.t.Fatalf("the child ended after %d of %d lines: %s", got, n, c.stderr.String())
		case <-deadline:
			c.t.Fatalf("the child wrote %d of %d lines in a minute", got, n)
		}
	}
}

// Kill ends the child at once (SIGKILL), waits for it, and gives all lines it
// wrote. A second call gives the same.
func (c *Child) Kill() []string {
	c.mu.Lock()
	ended := c.ended
	c.ended = true
	c.mu.Unlock()
	if !ended {
		_ = c.cmd.Process.Kill() // may have ended by itself
		_ = c.cmd.Wait()         // killed: never nil
	}
	<-c.done
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.lines)
}

// Report writes a line. An error means that the parent is gone.
func Report(acks io.Writer, format string, args ...any) error {
	_, err := fmt.Fprintf(acks, format+"\n", args...)
	return err
}
