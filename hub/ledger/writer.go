package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

// Options of a [Writer]. Store, Clock and Rand are required.
type Options struct {
	Store  store.Store
	Clock  exchange.Clock
	Rand   io.Reader
	Logger *slog.Logger
	// MaxDowntime is how far ahead of the last entry the clock may be at start
	// before an operator must confirm it; default 30 days.
	MaxDowntime time.Duration
	// MaxItems bounds the items of one transaction; default 64.
	MaxItems int
}

// Writer is the one committer of a replica: it gathers everything that is
// ready into one transaction under the lock of the head.
type Writer struct {
	opt   Options
	queue chan *pending
	quit  chan struct{}
	done  chan struct{}
	start sync.Once
	stop  sync.Once
	clock *clockGuard
	due   expiryGuard
	tree  *tree

	mu       sync.Mutex
	failed   error // sticky: the store stopped
	onCommit []func(store.Head)
}

type pending struct {
	item  *Item
	ctx   context.Context
	res   Result
	err   error
	ready chan struct{}
}

// ErrClosed says that the writer was stopped.
var ErrClosed = errors.New("the ledger writer is stopped")

// NewWriter makes a writer; nothing runs before [Writer.Start].
func NewWriter(opt Options) *Writer {
	if opt.MaxDowntime == 0 {
		opt.MaxDowntime = 30 * 24 * time.Hour
	}
	if opt.MaxItems == 0 {
		opt.MaxItems = 64
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	return &Writer{opt: opt, queue: make(chan *pending, 1024), quit: make(chan struct{}), done: make(chan struct{}),
		clock: newClockGuard(opt.Clock, opt.MaxDowntime), tree: newTree()}
}

// OnCommit calls fn with the new head after every commit that wrote an entry,
// on the committer's goroutine: it must return at once. Only before Start.
func (w *Writer) OnCommit(fn func(store.Head)) { w.onCommit = append(w.onCommit, fn) }

// Start begins to commit. A writer is started once.
func (w *Writer) Start() {
	w.start.Do(func() { go w.run() })
}

// Stop lets the transaction under way end and refuses what still waits. A
// writer that was never started cannot be started any more.
func (w *Writer) Stop() {
	w.stop.Do(func() { close(w.quit) })
	w.start.Do(func() { close(w.done) })
	<-w.done
}

// Failed is why the writer no longer writes, nil while it does.
func (w *Writer) Failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}

// Clock says whether the clock is trusted; see [Writer.ConfirmClock].
func (w *Writer) Clock() error { return w.clock.err() }

// ConfirmClock is the operator's word that the clock is right; the writer goes
// on with it. To have that word in the ledger before anything else is written,
// submit an item with ConfirmsClock instead.
func (w *Writer) ConfirmClock() { w.clock.confirm() }

// Submit queues an item and waits for its fate. On nil error its change is
// durable. ctx may end only the waiting for a place in a transaction: once the
// item is in one, Submit reports how that ended.
//
// Errors: whatever Decide returned (nothing of this item was written);
// [ErrLaneLost]; a store.ErrUnknownOutcome that could not be resolved, after
// which the writer is stopped; CodeUnavailable while the clock is not trusted.
func (w *Writer) Submit(ctx context.Context, item *Item) (Result, error) {
	p := &pending{item: item, ctx: ctx, ready: make(chan struct{})}
	select {
	case w.queue <- p:
	case <-ctx.Done():
		return Result{}, ctx.Err()
	case <-w.quit:
		return Result{}, ErrClosed
	}
	select {
	case <-p.ready:
		return p.res, p.err
	case <-w.done:
		select {
		case <-p.ready:
			return p.res, p.err
		default:
			return Result{}, ErrClosed
		}
	}
}

func (w *Writer) run() {
	defer close(w.done)
	for {
		select {
		case p := <-w.queue:
			w.commit(w.gather(p))
		case <-w.quit:
			return
		}
	}
}

// gather takes whatever is ready; it never waits for more.
func (w *Writer) gather(first *pending) []*pending {
	items := []*pending{first}
	for len(items) < w.opt.MaxItems {
		select {
		case p := <-w.queue:
			items = append(items, p)
		default:
			return items
		}
	}
	return items
}

func (w *Writer) commit(items []*pending) {
	live := items[:0]
	for _, p := range items {
		if p.ctx.Err() != nil {
			p.finish(Result{}, p.ctx.Err())
			continue
		}
		live = append(live, p)
	}
	if len(live) == 0 {
		return
	}
	if err := w.Failed(); err != nil {
		finishAll(live, err)
		return
	}
	if err := w.due.check(context.Background(), w.opt.Store, w.clock); err != nil {
		w.fail(live, err)
		return
	}
	if i := slices.IndexFunc(live, func(p *pending) bool { return p.item.ConfirmsClock }); i >= 0 {
		live[0], live[i] = live[i], live[0]
		w.clock.confirm()
	}
	head, wrote, err := w.transact(live)
	if err != nil {
		w.fail(live, err)
		return
	}
	w.tree.settle()
	if wrote {
		for _, fn := range w.onCommit {
			fn(head)
		}
	}
	for _, p := range live {
		close(p.ready)
	}
}

// transact decides and writes all items in one transaction; on error none of
// their changes happened, or the outcome is unknown.
func (w *Writer) transact(items []*pending) (head store.Head, wrote bool, err error) {
	var first exchange.EntryID
	attempt := func(tx store.LedgerTx) error {
		b := &batch{tx: tx, tree: w.tree, moved: map[store.CursorKey]int{},
			newID: func() (exchange.EntryID, error) { return exchange.NewEntryID(w.opt.Rand) }}
		if err := b.read(items, w.clock.ledgerTime); err != nil {
			return err
		}
		for _, p := range items {
			p.res, p.err = w.decideOne(b, p)
		}
		head, wrote = b.state.Head, len(b.entries) > 0
		if wrote {
			first = b.entries[0].Entry.ID
		}
		return b.write()
	}
	// The commit must not be torn by one caller's deadline.
	err = w.opt.Store.Ledger(context.Background(), attempt)
	if errors.Is(err, store.ErrUnknownOutcome) && wrote {
		err = w.lookUp(first, err)
	}
	if err != nil {
		w.tree.reset(-1)
	}
	return head, wrote, err
}

// lookUp resolves an unknown commit: the lock of the head first, so that a
// stalled commit cannot still arrive, then the entry by id.
func (w *Writer) lookUp(id exchange.EntryID, unknown error) error {
	var found bool
	err := w.opt.Store.Ledger(context.Background(), func(tx store.LedgerTx) error {
		if _, err := tx.Head(); err != nil {
			return err
		}
		_, err := tx.EntryByID(id)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		found = err == nil
		return err
	})
	switch {
	case err != nil:
		return fmt.Errorf("%w; looking it up: %w", unknown, err)
	case found:
		return nil
	}
	return errNotHappened
}

var errNotHappened = errors.New("the transaction did not happen")

// decideOne keeps a panic of one item from taking the others with it.
func (w *Writer) decideOne(b *batch, p *pending) (res Result, err error) {
	defer func() {
		if r := recover(); r != nil {
			w.opt.Logger.Error("ledger item panicked", "component", "ledger")
			err = exchange.NewError(exchange.CodeInternal, exchange.ReasonPanicked, "deciding failed")
		}
	}()
	return b.decide(p.item)
}

func (w *Writer) fail(items []*pending, err error) {
	if errors.Is(err, store.ErrUnknownOutcome) || errors.Is(err, store.ErrStopped) {
		w.mu.Lock()
		w.failed = err
		w.mu.Unlock()
		w.opt.Logger.Error("ledger stopped: outcome of a commit is unknown", "error", err.Error())
	}
	finishAll(items, err)
}

func finishAll(items []*pending, err error) {
	for _, p := range items {
		p.finish(Result{}, err)
	}
}

func (p *pending) finish(res Result, err error) {
	p.res, p.err = res, err
	close(p.ready)
}
