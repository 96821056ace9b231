package sqlite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"raccordo/hub/store"
)

// Bounds of the writer.
const (
	queueLength = 1024                   // requests that may wait; more wait in their callers
	batchLength = 64                     // requests that share a commit
	idleAfter   = 500 * time.Millisecond // without a request the log is emptied

	passiveFrames = 2000  // of 4 KiB; from here on the log is copied back, without waiting for readers
	blockFrames   = 16000 // from here on the writer waits (briefly) for readers, to start the log anew
	retryFrames   = 1000  // more since the last attempt, before the next
)

// errGone says that the function ended its goroutine (runtime.Goexit), as a
// failing test does.
var errGone = errors.New("the transaction's function did not return")

// States of a request: only the writer moves it to running, only its caller to
// dropped.
const (
	queued int32 = iota
	running
	dropped
)

type request struct {
	fn    func(*tx) error
	state atomic.Int32
	err   error
	done  chan struct{}
}

// submit queues fn and waits for its end. A context that ends while fn is
// queued takes it out; once it runs it is never abandoned.
func (s *Store) submit(ctx context.Context, fn func(*tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r := &request{fn: fn, done: make(chan struct{})}
	select {
	case s.queue <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.stopped:
		return s.stopError()
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		if r.state.CompareAndSwap(queued, dropped) {
			return ctx.Err()
		}
	case <-s.stopped:
		if r.state.CompareAndSwap(queued, dropped) {
			return s.stopError()
		}
	}
	<-r.done
	return r.err
}

// stop makes the engine refuse everything from now on; the first reason counts.
func (s *Store) stop(why error) {
	s.stopOnce.Do(func() {
		s.why = why
		close(s.stopped)
	})
}

func (s *Store) stopError() error {
	<-s.stopped
	return fmt.Errorf("%w: %w", store.ErrStopped, s.why)
}

// write is the writer: the only goroutine that uses the writing connection.
func (s *Store) write() {
	returned := false
	defer func() {
		// A function that ended its goroutine must not end the writer.
		if !returned {
			go s.write()
			return
		}
		close(s.written)
	}()
	idle := time.NewTimer(idleAfter)
	defer idle.Stop()
	for {
		select {
		case <-s.stopped:
			returned = true
			return
		case <-s.closing:
			s.drain()
			returned = true
			return
		case r := <-s.queue:
			s.batch(s.gather(r))
			s.keepLog()
			idle.Reset(idleAfter)
		case <-idle.C:
			s.emptyLog()
		}
	}
}

// drain runs what is queued when the store is closed.
func (s *Store) drain() {
	for {
		select {
		case r := <-s.queue:
			s.batch(s.gather(r))
		default:
			return
		}
	}
}

func (s *Store) gather(first *request) []*request {
	batch := append(s.gathered[:0], first)
	for len(batch) < batchLength {
		select {
		case r := <-s.queue:
			batch = append(batch, r)
			continue
		default:
		}
		break
	}
	s.gathered = batch
	return batch
}

// batch runs every request, commits once and answers all, whatever happens.
func (s *Store) batch(batch []*request) {
	ran := batch[:0]
	for _, r := range batch {
		if r.state.CompareAndSwap(queued, running) {
			ran = append(ran, r)
		}
	}
	if len(ran) == 0 {
		return
	}
	whole := errGone
	defer func() {
		if errors.Is(whole, errGone) {
			_, _ = s.w.exec("ROLLBACK")
		}
		for _, r := range ran {
			if r.err == nil {
				r.err = whole
			}
			close(r.done)
		}
	}()
	whole = s.commit(ran)
}

// commit is one transaction. Its error is that of all requests that have none
// of their own.
func (s *Store) commit(ran []*request) error {
	c := s.w
	c.aborted = false
	if _, err := c.exec("BEGIN IMMEDIATE"); err != nil {
		return s.lost(err)
	}
	good := 0
	for _, r := range ran {
		r.err = s.run(r, len(ran) > 1)
		if c.aborted {
			return s.lost(fmt.Errorf("undone with what shared its commit: %w", r.err))
		}
		if r.err == nil {
			good++
		}
	}
	if good == 0 {
		_, err := c.exec("ROLLBACK")
		return err
	}
	if _, err := c.exec("COMMIT"); err != nil {
		return s.failed(err)
	}
	if err := s.sameFiles(); err != nil {
		return s.unknown(err)
	}
	return nil
}

// run calls one function under its own savepoint, so that it can be undone
// alone; a lone one is undone with the transaction.
func (s *Store) run(r *request, shared bool) error {
	c := s.w
	if shared {
		if _, err := c.exec("SAVEPOINT one"); err != nil {
			c.aborted = true
			return err
		}
	}
	t := &tx{reader: reader{c: c}, hub: s.hub}
	err := s.call(r.fn, t)
	t.over = true
	if !shared || c.aborted {
		return err
	}
	if err != nil {
		if _, e := c.exec("ROLLBACK TO one"); e != nil {
			c.aborted = true
			return errors.Join(err, e)
		}
	}
	if _, e := c.exec("RELEASE one"); e != nil {
		c.aborted = true
		return errors.Join(err, e)
	}
	return err
}

// call turns a panic into an error. Neither error nor log shows its value,
// which could be anything.
func (s *Store) call(fn func(*tx) error, t *tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("a transaction's function panicked", slog.String("type", fmt.Sprintf("%T", p)),
				slog.String("stack", string(debug.Stack())))
			err = ErrPanicked
		}
	}()
	return fn(t)
}

// lost ends a transaction that was certainly not committed. After an error of
// the device or a damaged file the engine stops.
func (s *Store) lost(err error) error {
	_, _ = s.w.exec("ROLLBACK") // SQLite may have done it already
	if s.w.fatal != nil {
		s.log.Error("the store stops", slog.Any("err", s.w.fatal))
		s.stop(s.w.fatal)
	}
	return err
}

// failed is a COMMIT that returned an error. A full disk is a certain no: the
// frame that carries the commit was not written whole, and the roll-back after
// it succeeds. Anything else may have happened.
func (s *Store) failed(err error) error {
	if errors.Is(err, store.ErrFull) && s.w.fatal == nil {
		return s.lost(err)
	}
	_, _ = s.w.exec("ROLLBACK")
	return s.unknown(err)
}

func (s *Store) unknown(err error) error {
	err = fmt.Errorf("%w: %w", store.ErrUnknownOutcome, err)
	s.log.Error("the store stops: a commit has an unknown outcome", slog.Any("err", err))
	s.stop(err)
	return err
}

// keepLog bounds the write-ahead log after a commit. SQLite's own automatic
// checkpoint is off because it ignores errors: a failed sync of the database
// must stop the engine, not be tried again on pages the kernel thinks clean.
func (s *Store) keepLog() {
	frames, copied, err := s.checkpoint("NOOP")
	if frames < s.tried {
		s.tried = 0 // begun anew
	}
	if err == nil && frames-copied >= passiveFrames && frames >= s.tried+retryFrames {
		s.tried = frames
		mode := "PASSIVE"
		if frames >= blockFrames {
			mode = "TRUNCATE"
		}
		_, _, err = s.checkpoint(mode)
	}
	s.checkpointed(err)
}

// emptyLog makes the log a file of no length, when nothing is to be done.
func (s *Store) emptyLog() {
	frames, _, err := s.checkpoint("NOOP")
	if err == nil && frames > 0 {
		_, _, err = s.checkpoint("TRUNCATE")
		s.tried = 0
	}
	s.checkpointed(err)
}

// checkpointed judges a checkpoint. A full disk is waited out: the log keeps
// everything.
func (s *Store) checkpointed(err error) {
	if err == nil || errors.Is(err, store.ErrFull) {
		return
	}
	s.log.Error("the store stops: a checkpoint of the log failed", slog.Any("err", err))
	s.stop(err)
}

// checkpoint gives the frames in the log and those copied to the database.
func (s *Store) checkpoint(mode string) (frames, copied int, err error) {
	err = s.w.one("PRAGMA wal_checkpoint("+mode+")", func(v row) error {
		f, _ := v[1].(int64)
		n, _ := v[2].(int64)
		frames, copied = int(f), int(n)
		return nil
	})
	return frames, copied, err
}
