package codec

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"raccordo/hub/exchange"
)

// LineLimits bound an NDJSON body. Each must be positive.
type LineLimits struct {
	MaxBytes     int64 // of the whole body
	MaxLines     int   // lines that are not blank
	MaxLineBytes int   // of one line, without its end
}

const readChunk = 32 << 10

// Lines splits an NDJSON body and calls line once for each line that is not
// blank, in order, with its number from 1 (blank lines are counted, so that
// the number is the one an editor shows). b is valid only during the call and
// holds neither LF nor CR LF; a CR elsewhere is left to the parser.
//
// A line longer than MaxLineBytes is read over and handed on as a nil b with
// an [*exchange.Error], because one bad line never costs the others. Lines
// stops at the first error: line's own as it is, the reader's wrapped, and
// CodeTooLarge when MaxBytes or MaxLines is passed (the lines before it have
// been handed on already). Memory is bounded by MaxLineBytes.
func Lines(r io.Reader, limits LineLimits, line func(number int, b []byte, fault error) error) error {
	s := splitter{limits: limits, line: line, buf: make([]byte, 0, min(limits.MaxLineBytes+2, readChunk))}
	chunk := make([]byte, readChunk)
	var total int64
	idle := 0
	for {
		n, err := r.Read(chunk)
		if idle++; n > 0 {
			idle = 0
		} else if idle > 100 && err == nil {
			return fmt.Errorf("read lines: %w", io.ErrNoProgress)
		}
		total += int64(n)
		if total > limits.MaxBytes {
			return tooLarge("body_bytes")
		}
		if err := s.feed(chunk[:n]); err != nil {
			return err
		}
		switch {
		case errors.Is(err, io.EOF):
			if len(s.buf) > 0 || s.over {
				return s.end()
			}
			return nil
		case err != nil:
			return fmt.Errorf("read lines: %w", err)
		}
	}
}

type splitter struct {
	limits LineLimits
	line   func(int, []byte, error) error
	buf    []byte
	number int // of lines ended
	given  int // of lines handed on
	over   bool
}

func (s *splitter) feed(b []byte) error {
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		part := b
		if i >= 0 {
			part = b[:i]
		}
		// One byte more than a line may have: the CR of a CR LF.
		if s.over || len(s.buf)+len(part) > s.limits.MaxLineBytes+1 {
			s.over, s.buf = true, s.buf[:0]
		} else {
			s.buf = append(s.buf, part...)
		}
		if i < 0 {
			return nil
		}
		if err := s.end(); err != nil {
			return err
		}
		b = b[i+1:]
	}
	return nil
}

func (s *splitter) end() error {
	s.number++
	b, over := s.buf, s.over
	s.buf, s.over = s.buf[:0], false
	if n := len(b); n > 0 && b[n-1] == '\r' {
		b = b[:n-1]
	}
	if !over && len(bytes.Trim(b, " \t\r")) == 0 {
		return nil
	}
	if s.given++; s.given > s.limits.MaxLines {
		return tooLarge("lines")
	}
	if over || len(b) > s.limits.MaxLineBytes {
		return s.line(s.number, nil, exchange.NewError(exchange.CodeTooLarge, exchange.ReasonTooLarge,
			"a line is longer than allowed", exchange.Fault{Rule: "line_bytes", Line: s.number}))
	}
	return s.line(s.number, b, nil)
}

func tooLarge(rule string) error {
	return exchange.NewError(exchange.CodeTooLarge, exchange.ReasonTooLarge,
		"the body is larger than allowed", exchange.Fault{Rule: rule})
}
