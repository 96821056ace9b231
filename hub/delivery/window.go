package delivery

import (
	"context"
	"errors"
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

// end is the position behind the whole part.
func (p *part) end() exchange.Position {
	return exchange.Position{Offset: p.offset, Passed: uint32(len(p.Records))}
}

// What a stream must not do, and yet is looked for: whatever is skipped or met
// twice would be lost or disclosed twice.
var (
	errOrder  = errors.New("a part came behind a later one of its lane")
	errTwice  = errors.New("a part stands in the stream twice")
	errOther  = errors.New("another part was read at an offset before")
	errClosed = errors.New("the lane has another owner")
)

// remembered is how many parts back a window recognises what it has read.
const remembered = 8192

// window holds the parts of one lane that some recipient has not passed. It is
// read by every recipient and filled by the one reader of the lane; it is
// bounded, and a recipient that lets it fill is spilled.
type window struct {
	lane     store.LaneKey
	maxParts int
	maxBytes int
	pressure func() // called, without the lock, when it has become half full

	mu      sync.Mutex
	parts   []*part
	bytes   int
	trimmed int                                     // parts dropped so far
	passed  map[exchange.SystemID]exchange.Position // how far each recipient has come
	changed chan struct{}                           // closed and replaced whenever something changes
	end     int64                                   // offset of the last part admitted, or before the first
	last    exchange.FrameID                        // and its frame, zero if there is none
	floor   int64                                   // what lies before is not remembered
	known   map[int64]partID                        // the parts admitted last
	at      map[partID]int64
	order   []int64
	closed  bool
}

// partID names a part; within a lane it occurs once.
type partID struct {
	frame exchange.FrameID
	k     uint16
}

func newWindow(lane store.LaneKey, maxParts, maxBytes int) *window {
	return &window{lane: lane, maxParts: maxParts, maxBytes: maxBytes, end: -1, pressure: func() {},
		passed: map[exchange.SystemID]exchange.Position{}, changed: make(chan struct{}),
		known: map[int64]partID{}, at: map[partID]int64{}}
}

// begin says at which offset reading begins.
func (w *window) begin(from int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end, w.floor = from-1, from
}

// join makes a recipient one whose progress the window waits for.
func (w *window) join(s exchange.SystemID, at exchange.Position) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.passed[s] = at
}

// leave ends that: the recipient reads nothing more here.
func (w *window) leave(s exchange.SystemID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.passed, s)
	w.trim()
}

// close empties the window for good.
func (w *window) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed, w.parts, w.bytes = true, nil, 0
	w.notify()
}

// admit adds a part; it blocks while the window is full. A part that was read
// before is passed over; one that does not fit what was read is an error.
func (w *window) admit(ctx context.Context, p *part) error {
	for {
		w.mu.Lock()
		changed, full, err := w.tryAdmit(p)
		half := len(w.parts) >= w.maxParts/2 || w.bytes >= w.maxBytes/2
		w.mu.Unlock()
		if half {
			w.pressure()
		}
		if err != nil || !full {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (w *window) tryAdmit(p *part) (changed <-chan struct{}, full bool, err error) {
	id := partID{p.Header.Frame, p.Header.Part}
	was, seen := w.known[p.offset]
	at, met := w.at[id]
	switch {
	case w.closed:
		return nil, false, errClosed
	case seen && was != id:
		return nil, false, errOther
	case seen || p.offset < w.floor:
		return nil, false, nil // read again after a reconnect
	case met && at != p.offset:
		return nil, false, errTwice
	case p.offset <= w.end:
		return nil, false, errOrder
	case len(w.parts) > 0 && (len(w.parts) >= w.maxParts || w.bytes+p.bytes > w.maxBytes):
		return w.changed, true, nil
	}
	w.parts = append(w.parts, p)
	w.bytes += p.bytes
	w.end, w.last = p.offset, p.Header.Frame
	w.known[p.offset], w.at[id] = id, p.offset
	if w.order = append(w.order, p.offset); len(w.order) > remembered {
		w.forget(len(w.order) - remembered/2)
	}
	w.notify()
	return nil, false, nil
}

// forget drops the oldest n parts that are remembered.
func (w *window) forget(n int) {
	for _, o := range w.order[:n] {
		delete(w.at, w.known[o])
		delete(w.known, o)
	}
	w.order = append(w.order[:0:0], w.order[n:]...)
	w.floor = w.order[0]
}

// pass says that s needs nothing before at any more.
func (w *window) pass(s exchange.SystemID, at exchange.Position) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if was, ok := w.passed[s]; !ok || !was.Before(at) {
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
		w.parts[n] = nil
		n++
	}
	if n == 0 {
		return
	}
	w.parts = w.parts[n:]
	w.trimmed += n
	w.notify()
}

func (w *window) passedByAll(p *part) bool {
	done := p.end()
	for _, at := range w.passed {
		if at.Before(done) {
			return false
		}
	}
	return true
}

// pressed reports whether the window is at least half full.
func (w *window) pressed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.closed && len(w.parts) > 0 && (len(w.parts) >= w.maxParts/2 || w.bytes >= w.maxBytes/2)
}

// laggards are the recipients that have not passed the first part.
func (w *window) laggards() []exchange.SystemID {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.parts) == 0 {
		return nil
	}
	done := w.parts[0].end()
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
	lo := w.search(at)
	return append([]*part(nil), w.parts[lo:min(lo+max, len(w.parts))]...)
}

// search is the index of the first part that holds anything after at.
func (w *window) search(at exchange.Position) int {
	lo, hi := 0, len(w.parts)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if at.Before(w.parts[mid].end()) {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

// count is how many parts s has passed since the window was made.
func (w *window) count(s exchange.SystemID) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.trimmed + w.search(w.passed[s])
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

// read is the offset and frame of the last part admitted; a zero frame, and the
// offset before the first to read, if there is none.
func (w *window) read() (int64, exchange.FrameID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.end, w.last
}
