package connectortest

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// recipient is a listener whose every connection is given to one function: it
// can answer, lie, hang or break off as no HTTP server library would.
type recipient struct {
	t        testing.TB
	listener net.Listener
	serve    func(*conn)
	done     chan struct{} // closed at the end: hanging ones let go
	wg       sync.WaitGroup

	mu    sync.Mutex
	conns int
	seen  strings.Builder // all request bodies
}

// conn is one connection to a recipient.
type conn struct {
	*net.TCPConn
	reader *bufio.Reader
	r      *recipient
}

func newRecipient(t testing.TB, serve func(*conn)) *recipient {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &recipient{t: t, listener: l, serve: serve, done: make(chan struct{})}
	r.wg.Go(r.accept)
	t.Cleanup(r.close)
	return r
}

func (r *recipient) accept() {
	for {
		c, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		r.conns++
		r.mu.Unlock()
		r.wg.Go(func() {
			defer func() { _ = c.Close() }()
			r.serve(&conn{TCPConn: c.(*net.TCPConn), reader: bufio.NewReader(c), r: r})
		})
	}
}

func (r *recipient) close() {
	_ = r.listener.Close()
	close(r.done)
	r.wg.Wait()
}

func (r *recipient) address() string  { return r.listener.Addr().String() }
func (r *recipient) endpoint() string { return "http://" + r.address() + "/in" }

func (r *recipient) connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.conns
}

func (r *recipient) bodies() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen.String()
}

// request reads one whole request.
func (c *conn) request() *http.Request {
	req, err := http.ReadRequest(c.reader)
	if err != nil {
		return nil
	}
	b, err := io.ReadAll(req.Body)
	if err != nil {
		return nil
	}
	c.r.mu.Lock()
	c.r.seen.Write(b)
	c.r.mu.Unlock()
	return req
}

func (c *conn) say(s string) { _, _ = io.WriteString(c, s) }

// trickle says one byte after the other until the recipient ends.
func (c *conn) trickle() {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-c.r.done:
			return
		case <-tick.C:
			c.say(" ")
		}
	}
}

// reset breaks the connection off with an RST.
func (c *conn) reset() {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// answering answers every request with text once it was read.
func answering(text string) func(*conn) {
	return func(c *conn) {
		if c.request() != nil {
			c.say(text)
		}
	}
}
