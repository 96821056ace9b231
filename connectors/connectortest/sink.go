package connectortest

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"raccordo/connectors"
	"raccordo/hub/exchange"
)

// Endpoint writes the configuration of a kind for a recipient at that endpoint
// (http), whose address (host:port) must be allowed by it.
type Endpoint func(endpoint, address string) string

// TestSink holds a sink that speaks HTTP to the contract.
func TestSink(t *testing.T, k connectors.Kind, config Endpoint) {
	t.Helper()
	s := suite{kind: k, config: config}
	t.Run("every status", s.everyStatus)
	t.Run("retry after", s.retryAfter)
	t.Run("not sent", s.notSent)
	t.Run("broken answers", s.brokenAnswers)
	t.Run("answers by disclosure", s.answersByDisclosure)
	t.Run("hanging", s.hanging)
	t.Run("floods", s.floods)
	t.Run("answered before it was sent", s.early)
	t.Run("redirect", s.redirect)
	t.Run("environment proxy", s.proxy)
	t.Run("close", s.closing)
	t.Run("concurrent", s.concurrent)
}

type suite struct {
	kind   connectors.Kind
	config Endpoint
}

// sink opens one for r.
func (s suite) sink(t *testing.T, b *Bench, endpoint, address string) connectors.Sink {
	t.Helper()
	sink, err := s.kind.OpenSink(Decode(t, s.kind, s.config(endpoint, address)), b.Settings())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := sink.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return sink
}

// open makes bench, recipient and sink.
func (s suite) open(t *testing.T, serve func(*conn)) (*Bench, *recipient, connectors.Sink) {
	t.Helper()
	b := NewBench(t)
	r := newRecipient(t, serve)
	return b, r, s.sink(t, b, r.endpoint(), r.address())
}

// send sends items within d and checks what holds for every send.
func send(t *testing.T, sink connectors.Sink, d time.Duration, items []connectors.Item) connectors.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return sendIn(ctx, t, sink, items)
}

func sendIn(ctx context.Context, t *testing.T, sink connectors.Sink, items []connectors.Item) connectors.Result {
	t.Helper()
	start := time.Now()
	result, err := sink.Send(ctx, connectors.Parcel{Recipient: System, Items: items})
	noCanary(t, err)
	if end, ok := ctx.Deadline(); ok && time.Since(start) > end.Sub(start)+2*time.Second {
		t.Errorf("the send outlived its deadline by %v", time.Since(end))
	}
	if result.RetryAfter < 0 || result.RetryAfter > connectors.MaxRetryAfter {
		t.Errorf("RetryAfter is %v", result.RetryAfter)
	}
	known := map[exchange.DisclosureID]bool{}
	for _, i := range items {
		known[i.Disclosure] = true
	}
	for d, i := range result.Items {
		if !known[d] {
			t.Error("a result for a disclosure that was not sent")
		}
		if i.Reason.Number() == 0 {
			t.Errorf("a result's reason is no code of the hub")
		}
	}
	return result
}

// all fails the test unless the fate of every item is one of want.
func all(t *testing.T, r connectors.Result, items []connectors.Item, want ...connectors.ItemStatus) {
	t.Helper()
	for n, i := range items {
		have := r.For(i.Disclosure).Status
		ok := false
		for _, w := range want {
			ok = ok || have == w
		}
		if !ok {
			t.Errorf("item %d is %v, want one of %v", n, have, want)
		}
	}
}

// fate is the table of protocol.md 5.7 written a second time, on purpose.
func fate(status int) []connectors.ItemStatus {
	switch {
	case status < 200 || status > 599:
		return []connectors.ItemStatus{connectors.ItemUnknown}
	case status < 300:
		return []connectors.ItemStatus{connectors.ItemAccepted}
	case status == 400 || status == 413 || status == 422:
		return []connectors.ItemStatus{connectors.ItemSuspected, connectors.ItemRefused}
	case status == 408 || status == 429 || status > 499:
		return []connectors.ItemStatus{connectors.ItemRetry}
	}
	return []connectors.ItemStatus{connectors.ItemStopped}
}

func (s suite) everyStatus(t *testing.T) {
	status := make(chan int, 1)
	_, _, sink := s.open(t, func(c *conn) {
		if c.request() != nil {
			// What follows the reason phrase is the recipient's to write: it may
			// echo the record anywhere.
			c.say(fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Length: 0\r\nX-Echo: %s\r\n\r\n", <-status, canary, canary))
		}
	})
	one := Items(1)
	for n := 100; n <= 599; n++ {
		status <- n
		r := send(t, sink, 10*time.Second, one)
		all(t, r, one, fate(n)...)
		if want := n >= 200; (r.Overall == connectors.Answered) != want {
			t.Errorf("status %d: overall is %v", n, r.Overall)
		}
		if t.Failed() {
			t.Fatalf("at status %d", n)
		}
	}
}

func (s suite) retryAfter(t *testing.T) {
	value := make(chan string, 1)
	_, _, sink := s.open(t, func(c *conn) {
		if c.request() != nil {
			c.say("HTTP/1.1 503 Busy\r\nRetry-After: " + <-value + "\r\nContent-Length: 0\r\n\r\n")
		}
	})
	hour := connectors.MaxRetryAfter
	for _, c := range []struct {
		value    string
		min, max time.Duration
	}{
		{"7", 7 * time.Second, 7 * time.Second},
		{"0", 0, 0},
		{"3600", hour, hour},
		{"86400", hour, hour},
		{"99999999999999999999999999", hour, hour},
		{"-5", 0, 0},
		{"soon", 0, 0},
		{time.Now().Add(30 * time.Second).UTC().Format(http.TimeFormat), 20 * time.Second, 30 * time.Second},
		{time.Now().AddDate(5, 0, 0).UTC().Format(http.TimeFormat), hour, hour},
		{time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat), 0, 0},
	} {
		value <- c.value
		r := send(t, sink, 10*time.Second, Items(1))
		all(t, r, Items(1), connectors.ItemRetry)
		if r.RetryAfter < c.min || r.RetryAfter > c.max {
			t.Errorf("Retry-After %q: %v, want %v to %v", c.value, r.RetryAfter, c.min, c.max)
		}
	}
}

func (s suite) notSent(t *testing.T) {
	items := Items(3)
	certain := func(t *testing.T, r connectors.Result) {
		t.Helper()
		all(t, r, items, connectors.ItemNotSent)
		if r.Overall != connectors.NotSent {
			t.Errorf("overall is %v", r.Overall)
		}
	}
	t.Run("nobody listens", func(t *testing.T) {
		b := NewBench(t)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := l.Addr().String()
		_ = l.Close()
		certain(t, send(t, s.sink(t, b, "http://"+address+"/in", address), 5*time.Second, items))
	})
	t.Run("name not resolved", func(t *testing.T) {
		b := NewBench(t)
		certain(t, send(t, s.sink(t, b, "https://recipient.invalid/in", "127.0.0.1:1"), 5*time.Second, items))
	})
	t.Run("address not allowed", func(t *testing.T) {
		b := NewBench(t)
		r := newRecipient(t, answering("HTTP/1.1 204 No Content\r\n\r\n"))
		endpoint := strings.Replace(r.endpoint(), "http:", "https:", 1)
		certain(t, send(t, s.sink(t, b, endpoint, "127.0.0.1:1"), 5*time.Second, items))
		if r.connections() != 0 || b.Counted(connectors.EventAddressRefused) == 0 {
			t.Error("the address was called, or its refusal not counted")
		}
	})
	t.Run("no TLS there", func(t *testing.T) {
		b := NewBench(t)
		r := newRecipient(t, func(c *conn) { c.say("HTTP/1.1 400 Bad Request\r\n\r\n" + canary) })
		endpoint := strings.Replace(r.endpoint(), "http:", "https:", 1)
		certain(t, send(t, s.sink(t, b, endpoint, r.address()), 5*time.Second, items))
	})
	t.Run("time over before", func(t *testing.T) {
		_, r, sink := s.open(t, answering("HTTP/1.1 204 No Content\r\n\r\n"))
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		certain(t, sendIn(ctx, t, sink, items))
		if strings.Contains(r.bodies(), canary) {
			t.Error("bytes left after the time was over")
		}
	})
}

func (s suite) brokenAnswers(t *testing.T) {
	blank := compressed(" ") // an acceptance to whoever unpacks it
	html := "<!doctype html><p>" + canary
	for name, serve := range map[string]func(*conn){
		"closed after reading": func(c *conn) { c.request() },
		"reset after reading":  func(c *conn) { c.request(); c.reset() },
		"cut in the headers":   answering("HTTP/1.1 200 OK\r\nContent-Le"),
		"cut in the body":      answering("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"results\":["),
		"cut chunk":            answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n{\"results\""),
		"empty but cut":        answering("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"),
		"HTML":                 answering(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s", len(html), html)),
		"other JSON":           answering("HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"status\":\"ok\"}"),
		"compressed":           answering(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", len(blank), blank)),
		"not HTTP":             answering(canary + " speaks another language\r\n\r\n"),
		"status not a number":  answering("HTTP/1.1 " + canary + " OK\r\n\r\n"),
		"status 999":           answering("HTTP/1.1 999 Strange\r\nContent-Length: 0\r\n\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			_, _, sink := s.open(t, serve)
			items := Items(3)
			r := send(t, sink, 5*time.Second, items)
			if r.For(items[0].Disclosure).Status != connectors.ItemUnknown {
				t.Errorf("the first item is %v", r.For(items[0].Disclosure).Status)
			}
			// A sink with one request an item has not sent the others.
			all(t, r, items, connectors.ItemUnknown, connectors.ItemNotSent)
		})
	}
	t.Run("closed before reading", func(t *testing.T) {
		_, _, sink := s.open(t, func(*conn) {})
		all(t, send(t, sink, 5*time.Second, Items(3)), Items(3), connectors.ItemUnknown, connectors.ItemNotSent)
	})
}

func compressed(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, s) // a buffer takes everything
	_ = w.Close()
	return b.String()
}

// answerOf is a 200 with that body.
func answerOf(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

func (s suite) answersByDisclosure(t *testing.T) {
	one := Items(1)
	id := one[0].Disclosure.String()
	foreign := Items(2)[1].Disclosure.String()
	entry := func(id, result, reason string) string {
		return fmt.Sprintf(`{"disclosure_id":%q,"result":%q,"reason":%q}`, id, result, reason)
	}
	list := func(entries ...string) string { return `{"results":[` + strings.Join(entries, ",") + `]}` }
	for name, c := range map[string]struct {
		body   string
		want   connectors.ItemStatus
		reason exchange.Reason
	}{
		"white space":           {" \r\n", connectors.ItemAccepted, exchange.ReasonDelivered},
		"accepted":              {list(entry(id, "accepted", "")), connectors.ItemAccepted, exchange.ReasonDelivered},
		"refused":               {list(entry(id, "refused", "format_mismatch")), connectors.ItemRefused, exchange.ReasonFormatMismatch},
		"refused, free text":    {list(entry(id, "refused", canary)), connectors.ItemRefused, exchange.ReasonRefused},
		"refused, another code": {list(entry(id, "refused", "consent_missing")), connectors.ItemRefused, exchange.ReasonRefused},
		"retry":                 {list(entry(id, "retry", "")), connectors.ItemRetry, exchange.ReasonAwaitingRetry},
		"not named":             {list(), connectors.ItemUnknown, exchange.ReasonUnknownOutcome},
		"strange result":        {list(entry(id, canary, "")), connectors.ItemUnknown, exchange.ReasonUnknownOutcome},
		"foreign id":            {list(entry(id, "accepted", ""), entry(foreign, "accepted", "")), connectors.ItemUnknown, exchange.ReasonUnknownOutcome},
		"named twice":           {list(entry(id, "accepted", ""), entry(id, "refused", "")), connectors.ItemUnknown, exchange.ReasonUnknownOutcome},
		"member twice":          {`{"results":[],` + list(entry(id, "accepted", ""))[1:], connectors.ItemUnknown, exchange.ReasonUnknownOutcome},
		"something behind":      {list(entry(id, "accepted", "")) + "{}", connectors.ItemUnknown, exchange.ReasonUnknownOutcome},
		"deep":                  {`{"results":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`, connectors.ItemUnknown, exchange.ReasonUnknownOutcome},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, sink := s.open(t, answering(answerOf(c.body)))
			have := send(t, sink, 5*time.Second, one).For(one[0].Disclosure)
			if have.Status != c.want || have.Reason != c.reason {
				t.Errorf("have %v %s, want %v %s", have.Status, have.Reason, c.want, c.reason)
			}
		})
	}
}
