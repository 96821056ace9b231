package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

// Errors of a [Checkpointer] after which the hub must not go on: it quarantines
// itself (protocol.md 4.6, 10).
var (
	// ErrBehindOutside says that the ledger is shorter than an outside
	// checkpoint: it was cut, or restored from an older backup.
	ErrBehindOutside = errors.New("the ledger is behind its outside checkpoint")
	// ErrForked says that the ledger does not extend what it once signed.
	ErrForked = errors.New("the ledger does not extend an earlier checkpoint of its own")
	// ErrOutside says that the second place holds something that is no
	// checkpoint of this ledger.
	ErrOutside = errors.New("the second place holds no checkpoint of this ledger")
)

// Outside is the second place checkpoints are copied to, out of reach of who
// could rewrite the store.
type Outside interface {
	// Copy keeps a signed checkpoint; it is durable there on nil.
	Copy(ctx context.Context, size uint64, note []byte) error
	// Latest is the one kept last, store.ErrNotFound if there was none.
	Latest(ctx context.Context) ([]byte, error)
}

// SideStore is what followers of the ledger need of a store.
type SideStore interface {
	Views
	Side(context.Context, func(store.SideTx) error) error
}

// CheckpointOptions of a [Checkpointer]. Store, Signer, Keys and Clock are
// required.
type CheckpointOptions struct {
	Store  SideStore
	Signer func() note.Signer // the current key; its name is the ledger's origin
	Keys   func() []string    // verifier keys of the current and all earlier keys
	Clock  exchange.Clock
	Logger *slog.Logger
	// Outside is the second place; nil if there is none.
	Outside Outside
	// Interval is the shortest time between two checkpoints, and how long it
	// waits after a failure; default 10 s.
	Interval time.Duration
}

// Checkpointer signs what the ledger is. It only signs a head that it reads
// back after the commit, keeps one root per size in the store before anyone
// sees it, and copies it to the second place.
type Checkpointer struct {
	opt  CheckpointOptions
	wake chan struct{}
	quit chan struct{}
	done chan struct{}
	once sync.Once // for quit
	ends sync.Once // for done

	mu       sync.Mutex // one signs at a time
	compared bool       // what was signed before has been looked at
	copied   uint64     // size of what was copied to the second place
	state    sync.Mutex
	failed   error
}

// NewCheckpointer makes one; nothing runs before [Checkpointer.Start].
func NewCheckpointer(opt CheckpointOptions) *Checkpointer {
	if opt.Interval == 0 {
		opt.Interval = 10 * time.Second
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	return &Checkpointer{opt: opt, wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
}

// Nudge says that the head moved; give it to [Writer.OnCommit].
func (c *Checkpointer) Nudge(store.Head) {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Compare holds the ledger against the outside checkpoint and its own newest
// one, before anything is accepted: [ErrBehindOutside], [ErrForked],
// [ErrOutside], or an error of the store or of the second place.
func (c *Checkpointer) Compare(ctx context.Context) error {
	var outside *Checkpoint
	if c.opt.Outside != nil {
		signed, err := c.opt.Outside.Latest(ctx)
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return fmt.Errorf("read the outside checkpoint: %w", err)
		default:
			p, err := OpenCheckpoint(signed, c.opt.Keys())
			if err != nil {
				return fmt.Errorf("%w: %w", ErrOutside, err)
			}
			outside = &p
		}
	}
	return c.opt.Store.View(ctx, func(tx store.ReadTx) error {
		head, err := tx.Head()
		if err != nil {
			return err
		}
		if err := extendsOwn(tx, head.Size); err != nil || outside == nil {
			return err
		}
		if outside.Size > head.Size {
			return fmt.Errorf("%w: it has %d entries, the checkpoint %d", ErrBehindOutside, head.Size, outside.Size)
		}
		return extends(tx, outside.Size, outside.Root)
	})
}

// extendsOwn compares a snapshot with the newest checkpoint in it.
func extendsOwn(tx store.ReadTx, size uint64) error {
	last, err := tx.LatestCheckpoint()
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		return err
	case last.Size > size:
		return fmt.Errorf("%w: it has %d entries, the checkpoint %d", ErrForked, size, last.Size)
	}
	return extends(tx, last.Size, last.Root)
}

func extends(tx store.ReadTx, size uint64, root exchange.Digest) error {
	if size == 0 {
		return nil
	}
	h, err := tlog.TreeHash(int64(size), hashes(tx))
	if err != nil {
		return fmt.Errorf("root of %d entries: %w", size, err)
	}
	if exchange.Digest(h) != root {
		return fmt.Errorf("%w: of size %d", ErrForked, size)
	}
	return nil
}

// Start compares the ledger with what was signed before (see
// [Checkpointer.Compare]) and, if that holds, begins to sign.
func (c *Checkpointer) Start(ctx context.Context) error {
	c.mu.Lock()
	err := c.compare(ctx)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	c.Nudge(store.Head{})
	c.ends.Do(func() { go c.run() })
	return nil
}

// Stop ends the signing; what is being signed is finished.
func (c *Checkpointer) Stop() {
	c.once.Do(func() { close(c.quit) })
	c.ends.Do(func() { close(c.done) }) // never started
	<-c.done
}

// Failed is why it no longer signs, nil while it does.
func (c *Checkpointer) Failed() error {
	c.state.Lock()
	defer c.state.Unlock()
	return c.failed
}

func (c *Checkpointer) fail(err error) {
	c.state.Lock()
	defer c.state.Unlock()
	c.failed = err
}

func (c *Checkpointer) run() {
	defer close(c.done)
	for {
		select {
		case <-c.wake:
		case <-c.quit:
			return
		}
		if _, err := c.Sign(context.Background()); err != nil {
			if fatal(err) {
				return
			}
			c.Nudge(store.Head{}) // again after the interval
		}
		t := time.NewTimer(c.opt.Interval)
		select {
		case <-t.C:
		case <-c.quit:
			t.Stop()
			return
		}
	}
}

// compare runs [Checkpointer.Compare] once, with mu held: nothing may replace
// an outside checkpoint that nobody has looked at.
func (c *Checkpointer) compare(ctx context.Context) error {
	if c.compared {
		return nil
	}
	err := c.Compare(ctx)
	c.compared = err == nil
	return err
}

// fatal errors are alarms: signing on would sign two histories.
func fatal(err error) bool {
	return errors.Is(err, ErrForked) || errors.Is(err, ErrBehindOutside) || errors.Is(err, ErrOutside) || errors.Is(err, store.ErrConflict)
}

// Sign signs the head as it is now, unless it is signed already, and gives the
// newest checkpoint; it is in the store, and in the second place, on nil. With
// an empty ledger it is CodeNotFound. After [ErrForked], [ErrBehindOutside],
// [ErrOutside] or store.ErrConflict nothing is ever signed again.
func (c *Checkpointer) Sign(ctx context.Context) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.Failed(); err != nil {
		return nil, err
	}
	var row store.CheckpointRow
	err := c.compare(ctx)
	if err == nil {
		row, err = c.sign(ctx)
	}
	if err == nil && c.opt.Outside != nil && c.copied < row.Size {
		if err = c.opt.Outside.Copy(ctx, row.Size, row.Note); err == nil {
			c.copied = row.Size
		} else {
			err = fmt.Errorf("copy checkpoint to the second place: %w", err)
		}
	}
	if err != nil {
		if fatal(err) {
			c.fail(err)
			c.opt.Logger.Error("ALARM: checkpoints stop, the ledger has two histories", "component", "ledger", "error", err.Error())
		} else if exchange.AsError(err).Code != exchange.CodeNotFound {
			c.opt.Logger.Warn("checkpoint failed", "component", "ledger", "error", err.Error())
		}
		return nil, err
	}
	return row.Note, nil
}

func (c *Checkpointer) sign(ctx context.Context) (store.CheckpointRow, error) {
	// The key first: one that becomes current after the head was read is not
	// yet announced in what is signed.
	signer := c.opt.Signer()
	row, signed, err := c.readBack(ctx)
	if err != nil || signed {
		return row, err
	}
	text := Checkpoint{Origin: signer.Name(), Size: row.Size, Root: row.Root}.Text()
	if row.Note, err = note.Sign(&note.Note{Text: text}, signer); err != nil {
		return row, fmt.Errorf("sign checkpoint: %w", err)
	}
	row.At = c.opt.Clock.Now().UnixMilli()
	err = c.opt.Store.Side(ctx, func(tx store.SideTx) error { return tx.PutCheckpoint(row) })
	if err != nil {
		return row, fmt.Errorf("keep checkpoint: %w", err)
	}
	return row, nil
}

// readBack gives size and root of the committed head, or the newest checkpoint
// if that is of the same size.
func (c *Checkpointer) readBack(ctx context.Context) (row store.CheckpointRow, signed bool, err error) {
	err = c.opt.Store.View(ctx, func(tx store.ReadTx) error {
		head, err := tx.Head()
		if err != nil {
			return err
		}
		if head.Size == 0 {
			return missing(store.ErrNotFound, "the ledger is empty")
		}
		if err := extendsOwn(tx, head.Size); err != nil {
			return err
		}
		row, err = tx.LatestCheckpoint()
		if signed = err == nil && row.Size == head.Size; signed {
			return nil
		}
		root, err := tlog.TreeHash(int64(head.Size), hashes(tx))
		row = store.CheckpointRow{Size: head.Size, Root: root}
		return err
	})
	return row, signed, err
}
