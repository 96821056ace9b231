package embedded

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"slices"
	"strings"
)

// startFile names the first segment kept. It is written before any is trimmed,
// so that a first segment that is gone without it was lost.
const startFile = "start"

type startMark struct {
	Segment uint64 `json:"segment"`
}

// openTopic reads a topic's directory, cuts a torn tail, and starts the writer.
// A topic that does not fit together opens quarantined; an error means that the
// directory could not be worked with at all.
func openTopic(opt *Options, files FileSystem, name, dir string) (*topic, error) {
	t := newTopic(opt, files, name, dir)
	numbers, err := t.listFiles()
	if err != nil {
		return nil, err
	}
	if err := t.recover(numbers); err != nil {
		return nil, fmt.Errorf("topic %s: %w", name, err)
	}
	if t.bad != nil {
		close(t.done)
		return t, nil
	}
	go t.write()
	return t, nil
}

// listFiles gives the numbers of the segments in order, and remembers spares.
func (t *topic) listFiles() ([]uint64, error) {
	names, err := t.files.ReadDir(t.dir)
	if err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, n := range names {
		if number, ok := parseSegmentName(n); ok {
			numbers = append(numbers, number)
			continue
		}
		var seq int
		if _, err := fmt.Sscanf(n, "spare-%d", &seq); err == nil && spareName(seq) == n {
			t.spareSeq = max(t.spareSeq, seq)
			if err := t.adoptSpare(n); err != nil {
				return nil, err
			}
		} else if strings.HasSuffix(n, ".tmp") {
			if err := t.files.Remove(path.Join(t.dir, n)); err != nil {
				return nil, err
			}
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// adoptSpare keeps a spare of the right size; one whose filling was cut short,
// or of another size, is removed.
func (t *topic) adoptSpare(name string) error {
	f, err := t.files.Open(path.Join(t.dir, name), os.O_RDONLY)
	if err != nil {
		return err
	}
	size, err := f.Size()
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if size != t.opt.SegmentBytes || len(t.spares) > 0 {
		return t.files.Remove(path.Join(t.dir, name))
	}
	t.spares = append(t.spares, name)
	t.allocated += size
	return nil
}

// writeStart names the first segment kept, durably.
func (t *topic) writeStart(number uint64) error {
	b, err := json.Marshal(startMark{Segment: number})
	if err != nil {
		return err
	}
	return replaceFile(t.files, path.Join(t.dir, startFile), append(b, '\n'))
}

// readStart gives the number of the first segment kept; false if the file is
// there and cannot be understood.
func (t *topic) readStart() (uint64, bool, error) {
	b, err := readFile(t.files, path.Join(t.dir, startFile), 4096)
	if errors.Is(err, fs.ErrNotExist) {
		return 1, true, nil
	}
	if err != nil {
		return 0, false, err
	}
	var m startMark
	if json.Unmarshal(b, &m) != nil || m.Segment < 1 {
		return 0, false, nil
	}
	return m.Segment, true, nil
}

// recover rebuilds the chain of segments. What does not fit becomes t.bad.
func (t *topic) recover(numbers []uint64) error {
	start, ok, err := t.readStart()
	if err != nil {
		return err
	}
	if !ok {
		t.quarantine(&QuarantineError{Topic: t.name, Segment: startFile, Offset: 1, Reason: reasonStart})
		return nil
	}
	for len(numbers) > 0 && numbers[0] < start { // a trim that was interrupted
		if err := t.files.Remove(path.Join(t.dir, segmentName(numbers[0]))); err != nil {
			return err
		}
		numbers = numbers[1:]
	}
	for i, want := 0, start; i < max(len(numbers), 1); i, want = i+1, want+1 {
		if i >= len(numbers) || numbers[i] != want {
			t.refuseAt(want, 0, reasonMissing)
			return nil
		}
		if err := t.recoverSegment(want, i == 0, i == len(numbers)-1); err != nil || t.bad != nil {
			return err
		}
	}
	return t.files.SyncDir(t.dir)
}

func (t *topic) refuseAt(number uint64, pos int64, reason string) {
	t.quarantine(&QuarantineError{Topic: t.name, Segment: segmentName(number), Position: pos, Offset: t.next, Reason: reason})
}

// recoverSegment reads one segment and appends it to the chain.
func (t *topic) recoverSegment(number uint64, first, last bool) error {
	f, err := t.files.Open(path.Join(t.dir, segmentName(number)), os.O_RDWR)
	if err != nil {
		return err
	}
	keep := false
	defer func() {
		if !keep {
			_ = f.Close() // nothing was written that is not synced
		}
	}()
	s, reason := t.readSegmentHeader(f, number, first)
	if reason != "" {
		t.refuseAt(number, 0, reason)
		return nil
	}
	t.next = s.base
	found := scanSegment(f, s, func(pos int64, h recordHead, body []byte) error {
		clear(t.counts)
		if err := countLanes(body, h.count, t.counts); err != nil {
			return err
		}
		s.add(pos, h.size(), h.count, t.sums)
		for lane, n := range t.counts {
			t.sums[lane] += n
		}
		return nil
	})
	t.segments = append(t.segments, s)
	t.next = s.next
	t.allocated += s.size
	if !last {
		return t.checkJoin(number, found)
	}
	switch {
	case found.followed && found.reason != "" && found.reason != reasonNone && found.reason != reasonChecksum:
		t.refuseAt(number, found.end, found.reason)
	case found.followed:
		t.refuseAt(number, found.end, reasonFollowed)
	case found.sealed:
		t.refuseAt(number+1, 0, reasonMissing)
	default:
		keep = true
		t.file, t.pos = f, found.end
		return t.settleTail(f, s, found)
	}
	return nil
}

// readSegmentHeader checks that the file is the next of the chain.
func (t *topic) readSegmentHeader(f File, number uint64, first bool) (*segment, string) {
	b := make([]byte, segmentHeader)
	if n, err := f.ReadAt(b, 0); n < len(b) {
		if err == nil || err == io.EOF {
			return nil, reasonHeader
		}
		return nil, reasonUnreadable
	}
	s, topic, err := decodeSegmentHeader(b)
	if err != nil || s.number != number || topic != t.name {
		return nil, reasonHeader
	}
	if s.size, err = f.Size(); err != nil {
		return nil, reasonUnreadable
	}
	if !first && s.base != t.next {
		return nil, reasonSequence
	}
	return s, ""
}

// checkJoin looks, before the next segment is read, whether this one ends where
// that one begins.
func (t *topic) checkJoin(number uint64, found scanned) error {
	f, err := t.files.Open(path.Join(t.dir, segmentName(number+1)), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // found missing by the caller
	}
	if err != nil {
		return err
	}
	b := make([]byte, segmentHeader)
	_, _ = f.ReadAt(b, 0) // a header not read is a header that does not decode
	if err := f.Close(); err != nil {
		return err
	}
	next, _, err := decodeSegmentHeader(b)
	switch {
	case err == nil && next.base != found.next:
		reason := found.reason
		if reason == "" || reason == reasonNone {
			reason = reasonShort
		}
		t.refuseAt(number, found.end, reason)
	case found.followed:
		t.refuseAt(number, found.end, reasonFollowed)
	}
	return nil
}

// settleTail makes sure of the last record: the page cache may show one whose
// fsync failed, so it is written anew before it is synced, shown and built upon.
func (t *topic) settleTail(f File, s *segment, found scanned) error {
	if found.reason == reasonChecksum {
		t.opt.Logger.Warn("torn end of a stream cut", slog.String("topic", t.name),
			slog.String("segment", segmentName(s.number)), slog.Int64("byte", found.end), slog.Int64("offset", int64(found.next)))
	}
	if found.last > 0 {
		b := make([]byte, found.end-found.last)
		if _, err := f.ReadAt(b, found.last); err != nil && err != io.EOF {
			return err
		}
		if _, err := f.WriteAt(b, found.last); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := t.mark(); err != nil {
		return err
	}
	return f.Sync()
}
