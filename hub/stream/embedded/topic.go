package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"sync"

	"raccordo/hub/stream"
)

const topicsDir = "topics"

// topic is one log: a chain of segments, one writer, any number of readers.
type topic struct {
	opt   *Options
	files FileSystem
	name  string
	dir   string

	mu        sync.Mutex
	wake      *sync.Cond // the writer
	queue     []*request
	closing   bool
	segments  []*segment
	next      stream.Offset // behind the last durable message
	sums      []int64       // durable messages per lane, from the opening of the log
	changed   chan struct{} // closed when something became durable or ended; nil if nobody waits
	bad       *QuarantineError
	stopped   error // why nothing is accepted any more; nil while it is
	spares    []string
	spareSeq  int
	allocated int64 // bytes of segments and spares
	preparing chan struct{}
	groups    map[string]*group

	trimming sync.Mutex // one trim at a time

	// the writer's own
	file   File
	pos    int64
	marked bool
	buf    []byte
	counts []int64
	done   chan struct{}
}

func newTopic(opt *Options, files FileSystem, name, dir string) *topic {
	t := &topic{
		opt: opt, files: files, name: name, dir: dir,
		next: 1, sums: make([]int64, opt.Lanes), counts: make([]int64, opt.Lanes),
		groups: map[string]*group{}, done: make(chan struct{}),
	}
	t.wake = sync.NewCond(&t.mu)
	return t
}

// createTopic makes the directory of a topic with its first segment; the
// directory appears whole or not at all.
func createTopic(opt *Options, files FileSystem, name, dir string) error {
	tmp := dir + "~"
	if err := removeTree(files, tmp); err != nil {
		return err
	}
	generation, err := newGeneration(opt.Random)
	if err != nil {
		return err
	}
	if err := files.Mkdir(tmp); err != nil {
		return err
	}
	spare := path.Join(tmp, spareName(0))
	if err := createZeroed(files, spare, opt.SegmentBytes); err != nil {
		if noSpace(err) {
			return fmt.Errorf("%w: %w", stream.ErrFull, err)
		}
		return err
	}
	f, err := startSegment(files, spare, tmp, name, &segment{number: 1, base: 1, generation: generation})
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := files.Rename(tmp, dir); err != nil {
		return err
	}
	return files.SyncDir(topicsDir)
}

// removeTree removes a directory that holds files only.
func removeTree(files FileSystem, dir string) error {
	names, err := files.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := files.Remove(path.Join(dir, n)); err != nil {
			return err
		}
	}
	return files.Remove(dir)
}

func spareName(n int) string { return fmt.Sprintf("spare-%d", n) }

// notify wakes whoever waits for something new. The mutex is held.
func (t *topic) notify() {
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}

// waiting gives a channel that is closed at the next change. The mutex is held.
func (t *topic) waiting() <-chan struct{} {
	if t.changed == nil {
		t.changed = make(chan struct{})
	}
	return t.changed
}

// first is the oldest offset kept. The mutex is held.
func (t *topic) first() stream.Offset {
	if len(t.segments) == 0 {
		return t.next
	}
	return t.segments[0].base
}

// quarantine notes the first place found that does not fit, and stops the topic.
func (t *topic) quarantine(e *QuarantineError) *QuarantineError {
	t.mu.Lock()
	if t.bad != nil {
		e = t.bad
		t.mu.Unlock()
		return e
	}
	t.bad = e
	t.notify()
	t.mu.Unlock()
	t.opt.Logger.Error("stream quarantined", slog.String("topic", e.Topic), slog.String("segment", e.Segment),
		slog.Int64("byte", e.Position), slog.Int64("offset", int64(e.Offset)), slog.String("why", e.Reason))
	return e
}

// refusal is why nothing is accepted, nil if it is. The mutex is held.
func (t *topic) refusal() error {
	switch {
	case t.bad != nil:
		return t.bad
	case t.stopped != nil:
		return t.stopped
	case t.closing:
		return stream.ErrClosed
	}
	return nil
}

// lag is the number of messages of a lane at offset or later: never less than
// the truth, more by what one step of the index holds at most.
func (t *topic) lag(lane int, offset stream.Offset) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if offset >= t.next {
		return 0
	}
	for i := len(t.segments) - 1; i >= 0; i-- {
		s := t.segments[i]
		if s.base > offset && i > 0 {
			continue
		}
		if e, ok := s.entryFor(max(offset, s.base)); ok {
			return t.sums[lane] - s.sums[e*len(t.sums)+lane]
		}
	}
	return t.sums[lane]
}
