package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

// progressStatus is the name under which the status follower keeps how many
// entries it has followed.
const progressStatus = "status"

// Bounds of one step of a follower.
const (
	followEntries = 32   // read at once
	followRows    = 1000 // written in one transaction, more only for a single entry
	followPause   = time.Second
	// followGather is how long it waits once it has caught up: a claim and its
	// settle are then mostly written as one, and share a commit with others.
	followGather = 50 * time.Millisecond
)

// Follower follows the ledger behind the commit and keeps the status of every
// (record, flow). What it writes answers questions only and can be made again
// from the ledger ([Follower.Rebuild]).
type Follower struct {
	store SideStore
	log   *slog.Logger
	wake  chan struct{}
	ctx   context.Context
	stop  context.CancelFunc
	done  chan struct{}
	ends  sync.Once // for done

	mu      sync.Mutex
	next    uint64 // entries followed; the sequence of the next one
	changed chan struct{}
	err     error // of the last step
}

// NewFollower makes a follower; nothing runs before [Follower.Start].
func NewFollower(s SideStore, log *slog.Logger) *Follower {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	ctx, stop := context.WithCancel(context.Background())
	return &Follower{store: s, log: log, wake: make(chan struct{}, 1), ctx: ctx, stop: stop,
		done: make(chan struct{}), changed: make(chan struct{})}
}

// Nudge says that the head moved; give it to [Writer.OnCommit].
func (f *Follower) Nudge(store.Head) {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Start reads how far it had come and begins to follow.
func (f *Follower) Start(ctx context.Context) error {
	var at int64
	err := f.store.View(ctx, func(tx store.ReadTx) (err error) {
		at, _, err = tx.Progress(progressStatus)
		return err
	})
	if err != nil {
		return fmt.Errorf("progress of the status follower: %w", err)
	}
	f.moved(uint64(at), nil)
	f.Nudge(store.Head{})
	f.ends.Do(func() { go f.run() })
	return nil
}

// Stop ends the following; the step under way is finished or undone.
func (f *Follower) Stop() {
	f.stop()
	f.ends.Do(func() { close(f.done) }) // never started
	<-f.done
}

// Caught is how many entries have been followed, and what went wrong in the
// last step, nil if nothing did.
func (f *Follower) Caught() (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.next, f.err
}

// WaitFor waits until entry seq has been followed.
func (f *Follower) WaitFor(ctx context.Context, seq uint64) error {
	for {
		f.mu.Lock()
		next, changed := f.next, f.changed
		f.mu.Unlock()
		if next > seq {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-f.done:
			return ErrClosed
		}
	}
}

// Rebuild follows the whole ledger again from its beginning, before Start.
// Rows are replaced in the order of their entries, so a rebuild over rows that
// are there ends in the same state.
func (f *Follower) Rebuild(ctx context.Context) error {
	err := f.store.Side(ctx, func(tx store.SideTx) error { return tx.SetProgress(progressStatus, 0) })
	if err != nil {
		return fmt.Errorf("rebuild status: %w", err)
	}
	return nil
}

func (f *Follower) moved(next uint64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
	if next != f.next {
		f.next = next
		close(f.changed)
		f.changed = make(chan struct{})
	}
}

func (f *Follower) run() {
	defer close(f.done)
	for {
		select {
		case <-f.wake:
		case <-f.ctx.Done():
			return
		}
		for {
			more, err := f.step()
			if f.ctx.Err() != nil || errors.Is(err, store.ErrStopped) {
				return
			}
			if err != nil && !f.pause(err) {
				return
			}
			if err == nil && !more {
				break
			}
		}
		if !f.wait(followGather) {
			return
		}
	}
}

// pause waits a while after an error; false when the follower is stopped.
func (f *Follower) pause(err error) bool {
	next, _ := f.Caught()
	f.moved(next, err)
	f.log.Warn("status follower is held up", "component", "ledger", "seq", next, "error", err.Error())
	return f.wait(followPause)
}

// wait lets d pass; false when the follower is stopped.
func (f *Follower) wait(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-f.ctx.Done():
		return false
	}
}

// step follows up to a few entries; it reports whether there may be more.
func (f *Follower) step() (bool, error) {
	next, _ := f.Caught()
	var entries []store.StoredEntry
	err := f.store.View(f.ctx, func(tx store.ReadTx) (err error) {
		entries, err = tx.Entries(next, followEntries)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("read entries: %w", err)
	}
	rows := newest{at: map[status]int{}}
	for i := range entries {
		if entries[i].Seq != next+uint64(i) {
			return false, fmt.Errorf("entry %d: %w", next+uint64(i), store.ErrCorrupt)
		}
		if len(rows.list) > 0 && len(rows.list)+len(entries[i].Rows)/exchange.RowSize > followRows {
			if err := f.put(rows.list, entries[i].Seq); err != nil {
				return false, err
			}
			rows.list = rows.list[:0]
			clear(rows.at)
		}
		if err := rows.add(&entries[i]); err != nil {
			return false, err
		}
	}
	if len(entries) == 0 {
		f.moved(next, nil)
		return false, nil
	}
	err = f.put(rows.list, next+uint64(len(entries)))
	return len(entries) == followEntries, err
}

// put writes rows and how far they reach in one transaction.
func (f *Follower) put(rows []store.StatusRow, next uint64) error {
	err := f.store.Side(f.ctx, func(tx store.SideTx) error {
		if len(rows) > 0 {
			if err := tx.PutStatus(rows); err != nil {
				return err
			}
		}
		return tx.SetProgress(progressStatus, int64(next))
	})
	if err != nil {
		return fmt.Errorf("write status: %w", err)
	}
	f.moved(next, nil)
	return nil
}

// newest is where entries leave records: the last of several states only.
type newest struct {
	list []store.StatusRow
	at   map[status]int
}

type status struct {
	record exchange.RecordID
	flow   exchange.Number
}

// add notes where an entry leaves its records: the row of the principal, or of
// the thing, says what became of the record for its flow.
func (n *newest) add(e *store.StoredEntry) error {
	rows, err := exchange.DecodeRows(e.Rows)
	if err != nil {
		return fmt.Errorf("rows of entry %d: %w", e.Seq, errors.Join(err, store.ErrCorrupt))
	}
	for i := range rows {
		r := &rows[i]
		if r.Part != exchange.PartPrincipal && r.Part != exchange.PartThing {
			continue
		}
		row := store.StatusRow{Record: r.Record, Flow: r.Flow, State: r.State, Reason: r.Reason, Mark: r.Mark, Seq: e.Seq}
		if at, ok := n.at[status{r.Record, r.Flow}]; ok {
			n.list[at] = row
			continue
		}
		n.at[status{r.Record, r.Flow}] = len(n.list)
		n.list = append(n.list, row)
	}
	return nil
}
