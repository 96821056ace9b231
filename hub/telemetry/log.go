package telemetry

import (
	"io"
	"log/slog"
	"sync"
)

// NewLogger writes JSON lines to w, through a bounded queue: a blocked pipe or
// a full disk drops lines and counts them, and stalls nobody. Close writes
// what is queued.
func NewLogger(w io.Writer, level slog.Level, dropped func()) (*slog.Logger, io.Closer) {
	q := &queue{lines: make(chan []byte, 1024), done: make(chan struct{}), dropped: dropped}
	go q.run(w)
	return slog.New(slog.NewJSONHandler(q, &slog.HandlerOptions{Level: level})), q
}

type queue struct {
	lines   chan []byte
	done    chan struct{}
	dropped func()

	mu     sync.RWMutex
	closed bool
}

func (q *queue) Write(b []byte) (int, error) {
	q.mu.RLock()
	defer q.mu.RUnlock()
	if q.closed {
		return len(b), nil
	}
	select {
	case q.lines <- append([]byte(nil), b...):
	default:
		if q.dropped != nil {
			q.dropped()
		}
	}
	return len(b), nil
}

func (q *queue) run(w io.Writer) {
	defer close(q.done)
	for b := range q.lines {
		_, _ = w.Write(b)
	}
}

// Close writes what is queued and ends.
func (q *queue) Close() error {
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		close(q.lines)
	}
	q.mu.Unlock()
	<-q.done
	return nil
}
