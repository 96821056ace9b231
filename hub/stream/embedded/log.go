package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"raccordo/hub/stream"
)

// Log is an open stream. Safe for concurrent use.
type Log struct {
	opt   Options
	files FileSystem
	root  *os.Root // nil when the files were given
	lock  io.Closer
	pool  requestPool

	mu     sync.Mutex
	topics map[string]*topic
	subs   map[*Subscriber]struct{}
	closed bool
}

// Open opens the log of a hub, or makes one, and reads all of it: torn tails
// are cut, and topics that do not fit together are quarantined, which is not an
// error of Open (see [Log.Fault]). Errors: [ErrInUse], [ErrForeign], [ErrLanes],
// [ErrLayout], and those of the file system.
func Open(opt Options) (*Log, error) {
	if err := opt.setDefaults(); err != nil {
		return nil, err
	}
	l := &Log{opt: opt, files: opt.Files, topics: map[string]*topic{}, subs: map[*Subscriber]struct{}{}}
	if err := l.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("open stream: %w", err), l.release())
	}
	return l, nil
}

func (l *Log) open() (err error) {
	if l.files == nil {
		if err := os.MkdirAll(l.opt.Dir, 0o700); err != nil {
			return err
		}
		if l.root, err = os.OpenRoot(l.opt.Dir); err != nil {
			return err
		}
		l.files = rootFiles{l.root}
	}
	if l.lock, err = l.files.Lock("lock"); err != nil {
		return err
	}
	lanes, err := l.claim()
	if err != nil {
		return err
	}
	if err := l.openTopics(lanes); err != nil {
		return err
	}
	if lanes == l.opt.Lanes {
		return nil
	}
	return writeMeta(l.files, meta{Layout: layoutVersion, Hub: l.opt.Hub, Lanes: l.opt.Lanes})
}

// claim compares the log's identity with the hub's, and gives the number of
// lanes it was written with; a new log takes both from the options.
func (l *Log) claim() (lanes int, err error) {
	m, err := readMeta(l.files)
	if errors.Is(err, fs.ErrNotExist) {
		if err := l.files.Mkdir(topicsDir); err != nil && !errors.Is(err, fs.ErrExist) {
			return 0, err
		}
		names, err := l.files.ReadDir(topicsDir)
		if err != nil {
			return 0, err
		}
		if len(names) > 0 { // topics of nobody: the meta file was lost
			return 0, fmt.Errorf("topics without a file %s: %w", metaName, ErrLayout)
		}
		m = meta{Layout: layoutVersion, Hub: l.opt.Hub, Lanes: l.opt.Lanes}
		return m.Lanes, writeMeta(l.files, m)
	}
	if err != nil {
		return 0, err
	}
	if m.Hub != l.opt.Hub {
		return 0, fmt.Errorf("made for hub %v, not %v: %w", m.Hub, l.opt.Hub, ErrForeign)
	}
	return m.Lanes, nil
}

// openTopics opens every topic there is. With another number of lanes than
// asked for, all must be empty.
func (l *Log) openTopics(lanes int) error {
	names, err := l.files.ReadDir(topicsDir)
	if err != nil {
		return err
	}
	wanted := l.opt.Lanes
	l.opt.Lanes = max(lanes, wanted)
	for _, n := range names {
		dir := path.Join(topicsDir, n)
		if strings.HasSuffix(n, "~") { // never came to be
			if err := removeTree(l.files, dir); err != nil {
				return err
			}
			continue
		}
		name, err := decodeName(n)
		if err != nil {
			return err
		}
		t, err := openTopic(&l.opt, l.files, name, dir)
		if err != nil {
			return err
		}
		l.topics[name] = t
		if lanes != wanted && (t.bad != nil || t.next > t.first()) {
			return fmt.Errorf("topic %s, %d lanes, not %d: %w", name, lanes, wanted, ErrLanes)
		}
	}
	l.opt.Lanes = wanted
	return nil
}

// release closes what open opened.
func (l *Log) release() error {
	var err error
	for _, t := range l.topics {
		err = errors.Join(err, t.close())
	}
	if l.lock != nil {
		err = errors.Join(err, l.lock.Close())
	}
	if l.root != nil {
		err = errors.Join(err, l.root.Close())
	}
	return err
}

// Close ends all subscriptions, writes what Append was already called with,
// and lets go of the directory. A second call does nothing.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	var subs []*Subscriber
	for s := range l.subs {
		subs = append(subs, s)
	}
	l.mu.Unlock()
	var err error
	for _, s := range subs {
		err = errors.Join(err, s.Close())
	}
	return errors.Join(err, l.release())
}

// close ends the writer after what is queued.
func (t *topic) close() error {
	t.mu.Lock()
	t.closing = true
	t.wake.Signal()
	t.notify()
	preparing := t.preparing
	t.mu.Unlock()
	<-t.done
	if preparing != nil {
		<-preparing
	}
	if t.file == nil {
		return nil
	}
	t.mu.Lock()
	well := t.stopped == nil && t.bad == nil
	t.mu.Unlock()
	var err error
	if well {
		err = t.file.Sync() // the mark: nothing is lost without it
	}
	return errors.Join(err, t.file.Close())
}

// topic finds a topic; with create it is made, durably, if it is not there.
func (l *Log) topic(name string, create bool) (*topic, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, stream.ErrClosed
	}
	if t := l.topics[name]; t != nil || !create {
		return t, nil
	}
	file, err := encodeName(name)
	if err != nil {
		return nil, err
	}
	dir := path.Join(topicsDir, file)
	if err := createTopic(&l.opt, l.files, name, dir); err != nil {
		return nil, fmt.Errorf("make topic %s: %w", name, err)
	}
	t, err := openTopic(&l.opt, l.files, name, dir)
	if err != nil {
		return nil, err
	}
	l.topics[name] = t
	return t, nil
}

// Append writes all messages of the call, or none. When it returns nil they are
// durable, and offsets holds the offset of each, one after the other. The lane
// of a message is its metadata's, 0 if it names none.
//
// [stream.ErrFull], [stream.ErrTooLarge], [stream.ErrStopped],
// [stream.ErrClosed], [stream.ErrQuarantined], [ErrLane], [ErrName] and the
// error of a context that ended early say that nothing was written;
// [stream.ErrUnknownOutcome] that it may or may not have been. Messages and
// their payloads are not kept after the return.
func (l *Log) Append(ctx context.Context, topic string, msgs ...*message.Message) ([]stream.Offset, error) {
	first, err := l.append(ctx, topic, msgs)
	if err != nil || len(msgs) == 0 {
		return nil, err
	}
	offsets := make([]stream.Offset, len(msgs))
	for i := range offsets {
		offsets[i] = first + stream.Offset(i)
	}
	return offsets, nil
}

func (l *Log) append(ctx context.Context, topic string, msgs []*message.Message) (stream.Offset, error) {
	if len(msgs) == 0 {
		return 0, nil
	}
	t, err := l.topic(topic, true)
	if err != nil {
		return 0, fmt.Errorf("append: %w", err)
	}
	r := l.pool.get()
	if err := r.encode(msgs, l.opt.Lanes); err != nil {
		l.pool.put(r)
		return 0, fmt.Errorf("append to %s: %w", topic, err)
	}
	inUse, err := t.submit(ctx, r)
	if inUse { // the writer may still look at it
		return 0, fmt.Errorf("append to %s: %w", topic, err)
	}
	first := r.first
	l.pool.put(r)
	if err != nil {
		return 0, fmt.Errorf("append to %s: %w", topic, err)
	}
	return first, nil
}

// Lanes is the number of lanes.
func (l *Log) Lanes() int { return l.opt.Lanes }
