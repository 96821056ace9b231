package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ThreeDotsLabs/watermill/message"

	"raccordo/hub/stream"
)

// batchBytes is where a group commit stops gathering. A single Publish may be
// larger.
const batchBytes = 1 << 20

// States of a request.
const (
	requestQueued = iota
	requestTaken  // the writer has it: its outcome is the commit's
	requestLeft   // the caller went away before that: nothing is written
)

// request is one Publish on its way to the disk.
type request struct {
	body  []byte // encoded messages
	count int
	first stream.Offset // set by the writer
	err   error
	state atomic.Int32
	done  chan struct{} // one signal
}

// requestPool recycles requests and their buffers.
type requestPool struct{ pool sync.Pool }

func (p *requestPool) get() *request {
	if r, ok := p.pool.Get().(*request); ok {
		r.body, r.count, r.first, r.err = r.body[:0], 0, 0, nil
		r.state.Store(requestQueued)
		return r
	}
	return &request{done: make(chan struct{}, 1)}
}

func (p *requestPool) put(r *request) {
	if cap(r.body) <= batchBytes {
		p.pool.Put(r)
	}
}

// encode adds messages to the request.
func (r *request) encode(msgs []*message.Message, lanes int) error {
	for _, m := range msgs {
		lane, err := laneOfMessage(m, lanes)
		if err != nil {
			return err
		}
		if r.body, err = appendMessage(r.body, m, lane); err != nil {
			return err
		}
	}
	r.count = len(msgs)
	return nil
}

// submit queues r and waits for its commit. If ctx ends while the writer has
// r already, the outcome is unknown. inUse says that r must not be used again.
func (t *topic) submit(ctx context.Context, r *request) (inUse bool, err error) {
	t.mu.Lock()
	if err := t.refusal(); err != nil {
		t.mu.Unlock()
		return false, err
	}
	t.queue = append(t.queue, r)
	t.wake.Signal()
	t.mu.Unlock()
	select {
	case <-r.done:
		return false, r.err
	case <-ctx.Done():
	}
	if r.state.CompareAndSwap(requestQueued, requestLeft) {
		return true, fmt.Errorf("left before it was written: %w", context.Cause(ctx))
	}
	return true, fmt.Errorf("left while it was written: %w: %w", stream.ErrUnknownOutcome, context.Cause(ctx))
}

// write is the one goroutine that appends to the topic.
func (t *topic) write() {
	defer close(t.done)
	var batch []*request
	for {
		batch = t.take(batch[:0], false)
		if len(batch) == 0 {
			if err := t.mark(); err != nil {
				t.stop(err)
			}
			if batch = t.take(batch, true); len(batch) == 0 {
				return
			}
		}
		t.commit(batch)
		if len(batch) > 1 { // let those just answered queue again, so that they share the next commit
			runtime.Gosched()
		}
		clear(batch)
	}
}

// take moves what is ready, up to the bound of a batch, from the queue. With
// wait it gives nothing only when the topic closes.
func (t *topic) take(batch []*request, wait bool) []*request {
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		for len(t.queue) == 0 {
			if !wait || t.closing {
				return batch
			}
			t.wake.Wait()
		}
		bound := min(batchBytes, int(t.opt.SegmentBytes/4))
		n, size := 0, 0
		for _, r := range t.queue {
			if size > 0 && size+len(r.body) > bound {
				break
			}
			n++
			if r.state.CompareAndSwap(requestQueued, requestTaken) {
				batch = append(batch, r)
				size += len(r.body)
			}
		}
		t.queue = slices.Delete(t.queue, 0, n)
		if len(batch) > 0 {
			return batch
		}
	}
}

// commit makes one record of the batch, durable before anyone hears of it.
func (t *topic) commit(batch []*request) {
	if err := t.refusalOf(); err != nil && !errors.Is(err, stream.ErrClosed) { // closing ends behind the queue
		t.finish(batch, err)
		return
	}
	count := t.build(batch)
	if err := t.makeRoom(int64(len(t.buf))); err != nil {
		t.finish(batch, err)
		return
	}
	s := t.active()
	t.buf = finishRecord(t.buf, s.generation, t.next, count, kindData)
	t.marked = false
	_, err := t.file.WriteAt(t.buf, t.pos)
	if err == nil {
		err = t.file.Sync()
	}
	if err != nil {
		t.stop(err)
		t.finish(batch, fmt.Errorf("topic %s: %w: %w", t.name, stream.ErrUnknownOutcome, err))
		return
	}
	first := t.publish(s, count)
	for _, r := range batch {
		r.first = first
		first += stream.Offset(r.count)
	}
	t.finish(batch, nil)
	t.prepare()
	if cap(t.buf) > 2*batchBytes {
		t.buf = nil
	}
}

// build copies the batch behind the room for a record's header.
func (t *topic) build(batch []*request) (count int) {
	t.buf = append(t.buf[:0], make([]byte, recordHeader)...)
	for _, r := range batch {
		t.buf = append(t.buf, r.body...)
		count += r.count
	}
	clear(t.counts)
	if err := countLanes(t.buf[recordHeader:], count, t.counts); err != nil {
		panic(err) // encoded by this package a moment ago
	}
	return count
}

// publish shows a durable record to readers and gives its first offset.
func (t *topic) publish(s *segment, count int) stream.Offset {
	t.mu.Lock()
	defer t.mu.Unlock()
	first := t.next
	s.add(t.pos, int64(len(t.buf)), count, t.sums)
	for lane, n := range t.counts {
		t.sums[lane] += n
	}
	t.pos = s.end
	t.next = s.next
	t.notify()
	return first
}

func (t *topic) finish(batch []*request, err error) {
	for _, r := range batch {
		r.err = err
		r.done <- struct{}{}
	}
}

func (t *topic) refusalOf() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.refusal()
}

// stop ends accepting for good: what reached the disk is known only when the
// log is opened again.
func (t *topic) stop(cause error) {
	t.mu.Lock()
	if t.stopped == nil {
		t.stopped = fmt.Errorf("topic %s: %w: %w", t.name, stream.ErrStopped, cause)
	}
	t.notify()
	t.mu.Unlock()
	t.opt.Logger.Error("stream stopped", slog.String("topic", t.name), slog.Any("error", cause))
}

// active is the segment written to. Only the writer appends to the chain.
func (t *topic) active() *segment {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.segments[len(t.segments)-1]
}

// mark writes, unsynced, that everything before is durable. The next record
// overwrites it.
func (t *topic) mark() error {
	if err := t.refusalOf(); t.marked || err != nil && !errors.Is(err, stream.ErrClosed) {
		return nil
	}
	t.marked = true
	b := finishRecord(make([]byte, recordHeader), t.active().generation, t.next, 0, kindMark)
	_, err := t.file.WriteAt(b, t.pos)
	return err
}

// makeRoom starts a new segment if a record of size bytes and a seal do not fit
// into this one. [stream.ErrFull] leaves everything as it was.
func (t *topic) makeRoom(size int64) error {
	s := t.active()
	size = recordSize(int(size) - recordHeader)
	if t.pos+size+recordHeader <= s.size {
		return nil
	}
	spare, err := t.obtainSpare(max(t.opt.SegmentBytes, roundPage(segmentHeader+size+recordHeader)))
	if err == nil {
		err = t.roll(s, spare)
	}
	if err == nil {
		return nil
	}
	if errors.Is(err, stream.ErrFull) {
		return err
	}
	t.stop(err)
	return t.refusalOf()
}

func roundPage(n int64) int64 { return (n + 4095) &^ 4095 }

// roll makes spare the next segment and seals the old one.
func (t *topic) roll(old *segment, spare string) error {
	generation, err := newGeneration(t.opt.Random)
	if err != nil {
		return err
	}
	s := &segment{
		number: old.number + 1, generation: generation,
		base: t.next, next: t.next, end: segmentHeader,
	}
	f, err := startSegment(t.files, path.Join(t.dir, spare), t.dir, t.name, s)
	if err != nil {
		return err
	}
	seal := finishRecord(make([]byte, recordHeader), old.generation, t.next, 0, kindSeal)
	if _, err = t.file.WriteAt(seal, t.pos); err == nil {
		err = t.file.Sync()
	}
	if err = errors.Join(err, t.file.Close()); err != nil {
		return errors.Join(err, f.Close())
	}
	t.file, t.pos, t.marked = f, segmentHeader, false
	t.mu.Lock()
	t.segments = append(t.segments, s)
	t.notify()
	t.mu.Unlock()
	return nil
}
