package connectortest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"raccordo/connectors"
)

// large is one item whose body does not fit the buffers of a socket.
func large() []connectors.Item {
	b := append([]byte(`{"filler":"`), bytes.Repeat([]byte("x"), 24<<20)...)
	return []connectors.Item{item(0, "application/json", append(b, `"}`...))}
}

// hanging: the time of a send ends while the recipient has some of the body. It
// is ended by the recipient's own sign, so that a slow machine changes nothing.
func (s suite) hanging(t *testing.T) {
	request := func(c *conn) { c.request() }
	for name, c := range map[string]struct {
		take  func(*conn) // until some of the body has arrived
		say   func(*conn)
		items []connectors.Item
	}{
		"never reads on": {func(c *conn) { _, _ = io.CopyN(io.Discard, c.reader, 64<<10) }, func(*conn) {}, large()},
		"never answers":  {request, func(*conn) {}, Items(3)},
		"never ends":     {request, func(c *conn) { c.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{") }, Items(3)},
		"one byte at a time": {request, func(c *conn) {
			c.say("HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
			c.trickle()
		}, Items(3)},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			_, _, sink := s.open(t, func(k *conn) {
				c.take(k)
				cancel()
				c.say(k)
				<-k.r.done
			})
			r := sendIn(ctx, t, sink, c.items)
			all(t, r, c.items[:1], connectors.ItemUnknown)
			all(t, r, c.items, connectors.ItemUnknown, connectors.ItemNotSent)
			if ctx.Err() != context.Canceled {
				t.Error("the send outlived its time")
			}
		})
	}
	t.Run("deadline", func(t *testing.T) {
		_, _, sink := s.open(t, func(c *conn) {
			c.request()
			c.say("HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
			c.trickle()
		})
		r := send(t, sink, 300*time.Millisecond, Items(3)) // not sent, where the machine is that slow
		all(t, r, Items(3), connectors.ItemUnknown, connectors.ItemNotSent)
	})
}

func (s suite) floods(t *testing.T) {
	var wrote atomic.Int64
	flood := func(head, block string) func(*conn) {
		return func(c *conn) {
			c.request()
			c.say(head)
			for range 2 << 30 / len(block) { // 2 GB
				n, err := c.Write([]byte(block))
				wrote.Add(int64(n))
				if err != nil {
					return
				}
			}
		}
	}
	block := strings.Repeat(" ", 64<<10)
	var many strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&many, "X-%d: %s\r\n", i, canary)
	}
	for name, serve := range map[string]func(*conn){
		"2 GB":                flood("HTTP/1.1 200 OK\r\nContent-Length: 2147483648\r\n\r\n", block),
		"2 GB without length": flood("HTTP/1.1 200 OK\r\n\r\n", block),
		"2 GB with an error":  flood("HTTP/1.1 500 No\r\nContent-Length: 2147483648\r\n\r\n", block),
		"10,000 headers":      answering("HTTP/1.1 200 OK\r\n" + many.String() + "Content-Length: 0\r\n\r\n"),
		"endless header":      flood("HTTP/1.1 200 OK\r\nX-A: ", block),
		"endless interim":     flood("", strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 1000)),
		"gzip bomb":           flood("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2147483648\r\n\r\n", block),
	} {
		t.Run(name, func(t *testing.T) {
			wrote.Store(0)
			_, _, sink := s.open(t, serve)
			r := send(t, sink, 10*time.Second, Items(1))
			if strings.HasSuffix(name, "error") {
				all(t, r, Items(1), connectors.ItemRetry)
			} else {
				all(t, r, Items(1), connectors.ItemUnknown)
			}
			if n := wrote.Load(); n > 64<<20 { // what sockets buffer, with room
				t.Errorf("%d bytes of the answer were taken", n)
			}
		})
	}
}

// early: who answers before it has the whole request has not read it.
func (s suite) early(t *testing.T) {
	_, _, sink := s.open(t, func(c *conn) {
		_, _ = c.reader.ReadByte()
		c.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		<-c.r.done
	})
	all(t, send(t, sink, 30*time.Second, large()), large(), connectors.ItemUnknown)
}

func (s suite) redirect(t *testing.T) {
	b := NewBench(t)
	inner := newRecipient(t, answering("HTTP/1.1 204 No Content\r\n\r\n"))
	for _, status := range []int{301, 302, 303, 307, 308} {
		outer := newRecipient(t, answering(fmt.Sprintf("HTTP/1.1 %d Over there\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", status, inner.endpoint())))
		sink := s.sink(t, b, outer.endpoint(), outer.address())
		all(t, send(t, sink, 5*time.Second, Items(2)), Items(2), connectors.ItemStopped, connectors.ItemNotSent)
	}
	if inner.connections() != 0 {
		t.Error("a redirect was followed")
	}
}

func (s suite) proxy(t *testing.T) {
	proxy := newRecipient(t, answering("HTTP/1.1 204 No Content\r\n\r\n"))
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"} {
		t.Setenv(name, "http://"+proxy.address())
	}
	b := NewBench(t)
	sink := s.sink(t, b, "https://recipient.invalid/in", "127.0.0.1:1")
	all(t, send(t, sink, 5*time.Second, Items(1)), Items(1), connectors.ItemNotSent)
	if proxy.connections() != 0 {
		t.Error("a proxy of the environment was used")
	}
}

func (s suite) closing(t *testing.T) {
	arrived, release := make(chan struct{}, 1), make(chan struct{})
	_, r, sink := s.open(t, func(c *conn) {
		c.request()
		arrived <- struct{}{}
		select {
		case <-release:
			c.say("HTTP/1.1 204 No Content\r\n\r\n")
		case <-c.r.done:
		}
	})
	sent := make(chan connectors.Result, 1)
	go func() { sent <- send(t, sink, 10*time.Second, Items(1)) }()
	<-arrived
	closed := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		closed <- sink.Close(ctx)
	}()
	before := 0
	poll(t, "close to refuse new sends", func() bool {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_, err := sink.Send(ctx, connectors.Parcel{Recipient: System, Items: Items(1)})
		before = r.connections()
		return err != nil && strings.Contains(err.Error(), connectors.TroubleClosed.Error())
	})
	select {
	case <-closed:
		t.Error("close did not wait for the send under way")
	default:
	}
	close(release)
	if err := <-closed; err != nil {
		t.Errorf("close: %v", err)
	}
	all(t, <-sent, Items(1), connectors.ItemAccepted)
	all(t, send(t, sink, time.Second, Items(1)), Items(1), connectors.ItemNotSent)
	if r.connections() != before {
		t.Error("a closed sink connects")
	}
	t.Run("cut", func(t *testing.T) {
		arrived := make(chan struct{}, 1)
		_, _, sink := s.open(t, func(c *conn) {
			c.request()
			arrived <- struct{}{}
			<-c.r.done
		})
		sent := make(chan connectors.Result, 1)
		go func() { sent <- send(t, sink, 10*time.Second, Items(1)) }()
		<-arrived
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := sink.Close(ctx); err == nil {
			t.Error("close did not say that it cut a send")
		}
		all(t, <-sent, Items(1), connectors.ItemUnknown)
	})
}

func (s suite) concurrent(t *testing.T) {
	_, r, sink := s.open(t, answering("HTTP/1.1 204 No Content\r\n\r\n"))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				all(t, send(t, sink, 10*time.Second, Items(5)), Items(5), connectors.ItemAccepted)
			}
		})
	}
	wg.Wait()
	if !strings.Contains(r.bodies(), canary) {
		t.Error("the records did not arrive")
	}
}
