package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"path"

	"raccordo/hub/stream"
)

// prepare fills the next segment in the background once this one is half full,
// so that the writer never waits for it in the usual case.
func (t *topic) prepare() {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.segments[len(t.segments)-1]
	if len(t.spares) > 0 || t.preparing != nil || s.end < s.size/2 || t.closing ||
		t.allocated+t.opt.SegmentBytes > t.opt.MaxBytes {
		return
	}
	ready := make(chan struct{})
	t.preparing = ready
	go func() {
		name, err := t.newSpare(t.opt.SegmentBytes)
		t.mu.Lock()
		if err == nil {
			t.spares = append(t.spares, name)
		}
		t.preparing = nil
		t.mu.Unlock()
		if err != nil { // the writer tries again when it needs one, and says so
			t.opt.Logger.Warn("segment not prepared", slog.String("topic", t.name), slog.Any("error", err))
		}
		close(ready)
	}()
}

// obtainSpare gives the name of a file that is to become a segment.
func (t *topic) obtainSpare(size int64) (string, error) {
	t.mu.Lock()
	ready := t.preparing
	t.mu.Unlock()
	if ready != nil {
		<-ready
	}
	t.mu.Lock()
	if n := len(t.spares); n > 0 && size == t.opt.SegmentBytes {
		name := t.spares[n-1]
		t.spares = t.spares[:n-1]
		t.mu.Unlock()
		return name, nil
	}
	t.mu.Unlock()
	return t.newSpare(size)
}

// newSpare makes a zero-filled file within the bound of the topic.
func (t *topic) newSpare(size int64) (string, error) {
	t.mu.Lock()
	if t.allocated+size > t.opt.MaxBytes {
		t.mu.Unlock()
		return "", fmt.Errorf("topic %s at its bound of %d bytes: %w", t.name, t.opt.MaxBytes, stream.ErrFull)
	}
	t.allocated += size
	t.spareSeq++
	name := spareName(t.spareSeq)
	t.mu.Unlock()
	err := createZeroed(t.files, path.Join(t.dir, name), size)
	if err == nil {
		return name, nil
	}
	t.mu.Lock()
	t.allocated -= size
	t.mu.Unlock()
	if noSpace(err) {
		err = fmt.Errorf("topic %s: %w: %w", t.name, stream.ErrFull, err)
	}
	return "", err
}

// retire takes the file of a trimmed segment out of use: it becomes a spare if
// none is there, nobody reads it and its size is the usual one; its old bytes
// stay and are told from new ones by the generation. The mutex is not held.
func (t *topic) retire(s *segment) error {
	from := path.Join(t.dir, segmentName(s.number))
	t.mu.Lock()
	recycle := s.refs == 0 && s.size == t.opt.SegmentBytes && len(t.spares) == 0 && t.preparing == nil
	var name string
	if recycle {
		t.spareSeq++
		name = spareName(t.spareSeq)
	}
	t.mu.Unlock()
	if !recycle {
		err := t.files.Remove(from)
		t.mu.Lock()
		t.allocated -= s.size
		t.mu.Unlock()
		return err
	}
	if err := t.files.Rename(from, path.Join(t.dir, name)); err != nil {
		return err
	}
	t.mu.Lock()
	t.spares = append(t.spares, name)
	t.mu.Unlock()
	return nil
}

// trim gives up the segments that lie wholly below before, never the active one.
func (t *topic) trim(before stream.Offset) error {
	t.trimming.Lock()
	defer t.trimming.Unlock()
	t.mu.Lock()
	if t.bad != nil || t.closing {
		err := t.refusal()
		t.mu.Unlock()
		return err
	}
	n := 0
	for n+1 < len(t.segments) && t.segments[n+1].base <= before {
		n++
	}
	gone, start := t.segments[:n:n], t.segments[n].number
	t.mu.Unlock()
	if n == 0 {
		return nil
	}
	if err := t.writeStart(start); err != nil {
		return fmt.Errorf("topic %s: trim: %w", t.name, err)
	}
	t.mu.Lock()
	t.segments = t.segments[n:]
	t.mu.Unlock()
	var failed error
	for _, s := range gone {
		failed = errors.Join(failed, t.retire(s))
	}
	if failed = errors.Join(failed, t.files.SyncDir(t.dir)); failed != nil {
		return fmt.Errorf("topic %s: trim: %w", t.name, failed)
	}
	return nil
}
