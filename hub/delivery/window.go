package delivery

import (
	"context"
	"sync"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

// part is one part of a frame in a lane's window.
type part struct {
	offset int64
	*exchange.FramePart
	bytes int
}

// window holds the parts of one lane that some recipient has not passed. It is
// read by every recipient and filled by the one reader of the lane; it is
// bounded, and a recipient that lets it fill is spilled.
type window struct {
	lane     store.LaneKey
	maxParts int
	maxBytes int

	mu      sync.Mutex
	parts   []*part
	bytes   int
	passed  map[exchange.SystemID]exchange.Position // how far each recipient has come
	changed chan struct{}                           // closed and replaced whenever something changes
	end     int64                                   // offset of the last part admitted, -1 if none
}

func newWindow(lane store.LaneKey, maxParts, maxBytes int) *window {
	return &window{lane: lane, maxParts: maxParts, maxBytes: maxBytes, end: -1,
		passed: map[exchange.SystemID]exchange.Position{}, changed: make(chan struct{})}
}

// join makes a recipient one whose progress the window waits for.
func (w *window) join(s exchange.SystemID, at exchange.Position) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.passed[s] = at
}

// admit adds a part; it blocks while the window is full. A part that everyone
// has passed already is not kept.
func (w *window) admit(ctx context.Context, p *part) error {
	for {
		w.mu.Lock()
		if p.offset <= w.end { // read again after a reconnect
			w.mu.Unlock()
			return nil
		}
		if len(w.parts) == 0 || len(w.parts) < w.maxParts && w.bytes+p.bytes <= w.maxBytes {
			w.parts = append(w.parts, p)
			w.bytes += p.bytes
			w.end = p.offset
			w.notify()
			w.mu.Unlock()
			return nil
		}
		changed := w.changed
		w.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pass says that s needs nothing before at any more.
func (w *window) pass(s exchange.SystemID, at exchange.Position) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.passed[s].Before(at) {
		return
	}
	w.passed[s] = at
	w.trim()
}

// trim drops parts that every recipient has passed.
func (w *window) trim() {
	n := 0
	for n < len(w.parts) && w.passedByAll(w.parts[n]) {
		w.bytes -= w.parts[n].bytes
		n++
	}
	if n == 0 {
		return
	}
	w.parts = append(w.parts[:0:0], w.parts[n:]...)
	w.notify()
}

func (w *window) passedByAll(p *part) bool {
	done := exchange.Position{Offset: p.offset, Passed: uint32(len(p.Records))}
	for _, at := range w.passed {
		if at.Before(done) {
			return false
		}
	}
	return true
}

// laggards are the recipients that hold the first part while the window is at
// least half full.
func (w *window) laggards() []exchange.SystemID {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.parts) < w.maxParts/2 && w.bytes < w.maxBytes/2 || len(w.parts) == 0 {
		return nil
	}
	done := exchange.Position{Offset: w.parts[0].offset, Passed: uint32(len(w.parts[0].Records))}
	var out []exchange.SystemID
	for s, at := range w.passed {
		if at.Before(done) {
			out = append(out, s)
		}
	}
	return out
}

// after gives the first parts, up to max, that hold anything after at.
func (w *window) after(at exchange.Position, max int) []*part {
	w.mu.Lock()
	defer w.mu.Unlock()
	lo, hi := 0, len(w.parts)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		p := w.parts[mid]
		if at.Before(exchange.Position{Offset: p.offset, Passed: uint32(len(p.Records))}) {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return append([]*part(nil), w.parts[lo:min(lo+max, len(w.parts))]...)
}

// wait is closed at the next change.
func (w *window) wait() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed
}

func (w *window) notify() {
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *window) size() (parts, bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.parts), w.bytes
}

func (w *window) position(s exchange.SystemID) exchange.Position {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.passed[s]
}

// progress counts the parts between two positions, as far as the window still
// holds them or has dropped them since.
func (w *window) progress(from, to exchange.Position) int {
	if from == to {
		return 0
	}
	return int(to.Offset - from.Offset)
}
