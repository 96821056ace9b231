package api

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"raccordo/hub/exchange"
)

// MaxLines bounds the lines of one NDJSON request.
const MaxLines = 10_000

// budget bounds the bytes of all bodies held at once.
type budget struct {
	left atomic.Int64
}

func newBudget(n int64) *budget {
	b := &budget{}
	b.left.Store(n)
	return b
}

func (b *budget) take(n int64) bool {
	if b.left.Add(-n) >= 0 {
		return true
	}
	b.left.Add(n)
	return false
}

func (b *budget) release(n int64) { b.left.Add(n) }

// readBody checks the headers that go with a body and reads it, if the route
// has one, within its bound and the budget.
func (c *call) readBody() error {
	if c.route.media == nil {
		if c.r.ContentLength != 0 {
			return exchange.NewError(exchange.CodeMalformed, exchange.ReasonParameter, "this method takes no body")
		}
		return nil
	}
	if err := c.checkMedia(); err != nil {
		return err
	}
	if c.route.keyed {
		var err error
		if c.key, err = idempotencyKey(c.r.Header); err != nil {
			return err
		}
	}
	if c.r.ContentLength > c.route.largest {
		return errTooLarge("max_bytes")
	}
	if err := c.fill(); err != nil {
		return err
	}
	if c.media == MediaNDJSON && lines(c.body) > MaxLines {
		return errTooLarge("max_lines")
	}
	return nil
}

func lines(b []byte) int {
	n := bytes.Count(b, []byte{'\n'})
	if len(b) > 0 && b[len(b)-1] != '\n' {
		n++
	}
	return n
}

func errTooLarge(rule string) error {
	return exchange.NewError(exchange.CodeTooLarge, exchange.ReasonTooLarge, "the body is over the bound of its media type",
		exchange.Fault{Rule: rule})
}

// firstBuffer is where a body of unknown length begins; a known length is not
// believed either until its bytes come, but its place is taken at once.
const firstBuffer = 16 << 10

// fill reads the body. Its place in the budget is taken before its bytes are,
// doubling where the length is not known, so that many senders who begin large
// bodies together are refused instead of filling the memory.
func (c *call) fill() error {
	size := c.r.ContentLength
	if size < 0 {
		size = firstBuffer
	}
	if !c.take(size) {
		return errBusy()
	}
	buf := make([]byte, 0, size)
	r := http.MaxBytesReader(c.ResponseWriter, c.r.Body, c.route.largest)
	for {
		if len(buf) == cap(buf) {
			// A known length is full here: one byte more tells the end.
			more := max(int64(cap(buf)), 512)
			if c.r.ContentLength >= 0 {
				more = 1
			}
			if !c.take(more) {
				return errBusy()
			}
			grown := make([]byte, len(buf), int64(cap(buf))+more)
			copy(grown, buf)
			buf = grown
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) {
			c.body = buf
			return nil
		}
		if err != nil {
			return readError(err)
		}
		if c.r.ContentLength >= 0 && int64(len(buf)) == c.r.ContentLength {
			c.body = buf // net/http hands out no byte beyond the length
			return nil
		}
	}
}

func (c *call) take(n int64) bool {
	if !c.api.budget.take(n) {
		return false
	}
	c.held += n
	return true
}

func readError(err error) error {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return errTooLarge("max_bytes")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return exchange.NewError(exchange.CodeMalformed, exchange.ReasonBadText, "the body did not come in time")
	default:
		return exchange.NewError(exchange.CodeMalformed, exchange.ReasonBadText, "the body could not be read to its end")
	}
}

func errBusy() error {
	return exchange.NewError(exchange.CodeUnavailable, exchange.ReasonOverloaded, "too many bodies are being read").After(time.Second)
}
