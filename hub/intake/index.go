package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
	"raccordo/hub/stream"
)

// Known is what was accepted under a key.
type Known = store.KeyRow

// Stored is a frame that is durable: what the index says of it.
type Stored struct {
	Key       store.KeyRow
	Records   []store.RecordRow
	Conflicts []store.ConflictRow
	Last      int64 // highest offset of its parts; they are contiguous
	First     int64
}

// IndexOptions of an [Index]. MaxKeys bounds the keys of one system (default
// 20 million), Keep is how long a key answers (default 72 h, at least 24 h).
type IndexOptions struct {
	Store   store.Store
	Clock   exchange.Clock
	Logger  *slog.Logger
	MaxKeys int
	Keep    time.Duration
}

// maxBehind bounds the records whose index rows are in memory alone: beyond it
// pushes are refused before anything is written.
const maxBehind = 100_000

// Index finds what was accepted under an Idempotency-Key, and which records a
// system pushed. It follows the stream: what the store does not hold yet is in
// memory, and after a start it is read again from the headers of the frames,
// so that nothing but the stream need be durable before a push is answered.
type Index struct {
	opt   IndexOptions
	queue chan *Stored
	quit  chan struct{} // closed by Stop
	done  chan struct{} // closed when nothing is written any more
	marks map[exchange.Class]*watermark

	mu      sync.Mutex
	running bool
	stopped bool
	keys    map[exchange.Digest]*Stored
	records map[exchange.RecordID]*store.RecordRow
	counts  map[exchange.SystemID]int // keys of a system, as far as they were asked for
	behind  int                       // records not persisted yet
}

// NewIndex makes an index; see [Index.Rebuild] and [Index.Run].
func NewIndex(opt IndexOptions) *Index {
	if opt.MaxKeys == 0 {
		opt.MaxKeys = 20_000_000
	}
	if opt.Keep == 0 {
		opt.Keep = 72 * time.Hour
	}
	opt.Keep = max(opt.Keep, 24*time.Hour)
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	return &Index{opt: opt, queue: make(chan *Stored, 4096), quit: make(chan struct{}), done: make(chan struct{}),
		marks: map[exchange.Class]*watermark{exchange.ClassPrompt: {}, exchange.ClassBulk: {}},
		keys:  map[exchange.Digest]*Stored{}, records: map[exchange.RecordID]*store.RecordRow{},
		counts: map[exchange.SystemID]int{}}
}

// Hub is the identity of the hub the index belongs to.
func (x *Index) Hub() exchange.HubID { return x.opt.Store.Hub() }

// oldest is the reception of the oldest key that still answers.
func (x *Index) oldest() int64 { return x.opt.Clock.Now().Add(-x.opt.Keep).UnixMilli() }

// Lookup finds what was accepted under a key and not yet forgotten.
func (x *Index) Lookup(ctx context.Context, system exchange.SystemID, mac exchange.Digest) (Known, bool, error) {
	x.mu.Lock()
	s := x.keys[mac]
	x.mu.Unlock()
	if s != nil {
		return s.Key, s.Key.System == system && s.Key.ReceivedAt >= x.oldest(), nil
	}
	var row store.KeyRow
	err := x.opt.Store.View(ctx, func(tx store.ReadTx) (err error) {
		row, err = tx.Key(system, mac)
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return row, false, nil
	case err != nil:
		return row, false, fmt.Errorf("look up an Idempotency-Key: %w", err)
	}
	return row, row.ReceivedAt >= x.oldest(), nil
}

// Record finds a record that the store does not hold yet.
func (x *Index) Record(id exchange.RecordID) (store.RecordRow, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if r := x.records[id]; r != nil {
		return *r, true
	}
	return store.RecordRow{}, false
}

// reserve takes room for one more key of a system; release gives it back if
// nothing was stored. It refuses a system whose index is full, and everybody
// while the index is too far behind. What it counts is right but for keys
// replaced and forgotten within the hour.
func (x *Index) reserve(ctx context.Context, system exchange.SystemID) (release func(), err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.behind >= maxBehind || len(x.queue) >= cap(x.queue)*3/4 {
		return nil, exchange.NewError(exchange.CodeUnavailable, exchange.ReasonOverloaded, "the index of keys is behind").After(time.Second)
	}
	if _, known := x.counts[system]; !known {
		if err := x.countLocked(ctx, system); err != nil {
			return nil, unavailable(err)
		}
	}
	if x.counts[system] >= x.opt.MaxKeys {
		return nil, exchange.NewError(exchange.CodeTooMany, exchange.ReasonKeysFull, "too many Idempotency-Keys are remembered for this system").
			After(time.Hour)
	}
	x.counts[system]++
	return func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		if x.counts[system] > 0 {
			x.counts[system]--
		}
	}, nil
}

// countLocked asks the store, once an hour and system. The lock is given up
// meanwhile.
func (x *Index) countLocked(ctx context.Context, system exchange.SystemID) error {
	x.mu.Unlock()
	n := 0
	err := x.opt.Store.View(ctx, func(tx store.ReadTx) (err error) {
		n, err = tx.KeyCount(system)
		return err
	})
	x.mu.Lock()
	if err != nil {
		return fmt.Errorf("count the keys of a system: %w", err)
	}
	if _, known := x.counts[system]; known { // somebody was faster
		return nil
	}
	for _, s := range x.keys {
		if s.Key.System == system {
			n++
		}
	}
	x.counts[system] = n
	return nil
}

// Stored takes note of a frame that is durable. It answers at once; only when
// the index is thousands of frames behind, which [Index.reserve] keeps from
// happening, it waits.
func (x *Index) Stored(s *Stored) {
	x.mu.Lock()
	x.keys[s.Key.KeyMAC] = s
	for i := range s.Records {
		x.records[s.Records[i].Record] = &s.Records[i]
	}
	x.behind += len(s.Records)
	x.mu.Unlock()
	select {
	case x.queue <- s:
	case <-x.done: // read again from the stream at the next start
	}
}

// Run writes what was stored to the store, in batches, until [Index.Stop].
func (x *Index) Run() {
	x.mu.Lock()
	if x.running || x.stopped {
		x.mu.Unlock()
		return
	}
	x.running = true
	x.mu.Unlock()
	defer close(x.done)
	forget := time.NewTicker(time.Hour)
	defer forget.Stop()
	for {
		select {
		case s := <-x.queue:
			if !x.persist(x.gather(s)) {
				return
			}
			x.rest()
		case <-forget.C:
			x.forget()
		case <-x.quit:
			for {
				select {
				case s := <-x.queue:
					if !x.persist(x.gather(s)) {
						return
					}
				default:
					return
				}
			}
		}
	}
}

// rest lets frames gather, unless there are some already or the index is to
// stop: memory answers for them as well, and each batch is a commit.
func (x *Index) rest() {
	if len(x.queue) > 0 {
		return
	}
	t := time.NewTimer(indexRest)
	defer t.Stop()
	select {
	case <-t.C:
	case <-x.quit:
	}
}

// Stop writes what is queued, as far as the store takes it, and ends. A second
// call does nothing more.
func (x *Index) Stop() {
	x.mu.Lock()
	if !x.stopped {
		x.stopped = true
		close(x.quit)
		if !x.running {
			close(x.done)
		}
	}
	x.mu.Unlock()
	<-x.done
}

const (
	indexBatch   = 512  // frames
	indexRecords = 2000 // after which no further frame is added to a batch
	indexRest    = 25 * time.Millisecond
)

func (x *Index) gather(first *Stored) []*Stored {
	batch := []*Stored{first}
	for n := len(first.Records); len(batch) < indexBatch && n < indexRecords; {
		select {
		case s := <-x.queue:
			batch = append(batch, s)
			n += len(s.Records)
		default:
			return batch
		}
	}
	return batch
}

// persist writes one batch; until it is durable memory answers for it. It does
// not give up before the index is stopped: an index that lags is only slow to
// forget. It reports whether the batch was written; what was not is read again
// from the stream at the next start, since no progress is noted past it.
func (x *Index) persist(batch []*Stored) bool {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		err := x.write(context.Background(), batch)
		if err == nil {
			break
		}
		x.opt.Logger.Warn("the index of keys cannot be written", "error", err.Error())
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-x.quit:
			t.Stop()
			return false
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, s := range batch {
		if x.keys[s.Key.KeyMAC] == s {
			delete(x.keys, s.Key.KeyMAC)
		}
		for i := range s.Records {
			delete(x.records, s.Records[i].Record)
		}
		x.behind -= len(s.Records)
	}
	return true
}

// write puts the rows of a batch down, with how far the index has come.
func (x *Index) write(ctx context.Context, batch []*Stored) error {
	var keys []store.KeyRow
	var records []store.RecordRow
	var status []store.StatusRow
	var conflicts []store.ConflictRow
	for _, s := range batch {
		keys = append(keys, s.Key)
		records = append(records, s.Records...)
		conflicts = append(conflicts, s.Conflicts...)
		for i := range s.Records {
			for _, f := range s.Records[i].Flows {
				status = append(status, store.StatusRow{Record: s.Records[i].Record, Flow: exchange.FlowNumber(f), State: exchange.StatePending})
			}
		}
		x.marks[s.Key.Class].add(s.First, s.Last)
	}
	err := x.opt.Store.Side(ctx, func(tx store.SideTx) error {
		if err := tx.PutKeys(keys); err != nil {
			return err
		}
		if err := tx.PutRecords(records); err != nil {
			return err
		}
		if err := tx.PutStatus(status); err != nil {
			return err
		}
		if err := tx.PutConflicts(conflicts); err != nil {
			return err
		}
		for class, m := range x.marks {
			if m.to == m.at {
				continue
			}
			if err := tx.SetProgress(progressName(class), m.to); err != nil {
				return err
			}
		}
		return nil
	})
	for _, m := range x.marks {
		m.settle(err == nil)
	}
	return err
}

func progressName(c exchange.Class) string { return "index/" + c.String() }

// forget deletes the keys that answer no more, and has the others counted again.
func (x *Index) forget() {
	const limit = 5000
	for n := limit; n == limit; {
		err := x.opt.Store.Side(context.Background(), func(tx store.SideTx) (err error) {
			n, err = tx.DeleteKeysBefore(x.oldest(), limit)
			return err
		})
		if err != nil {
			x.opt.Logger.Warn("old keys cannot be forgotten", "error", err.Error())
			break
		}
	}
	x.mu.Lock()
	clear(x.counts)
	x.mu.Unlock()
}

func (f *frame) stored(accepted []*line, offsets []stream.Offset) *Stored {
	s := &Stored{First: int64(offsets[0]), Last: int64(offsets[len(offsets)-1]), Key: store.KeyRow{System: f.push.System,
		KeyMAC: f.mac, BodyDigest: f.digest, Frame: f.id, Class: f.producer.Class(), Offset: int64(offsets[0]),
		Records: uint32(len(accepted)), ReceivedAt: f.at.UnixMilli()}, Records: make([]store.RecordRow, len(accepted))}
	for i, l := range accepted {
		s.Records[i] = store.RecordRow{Record: l.Record, Producer: f.push.System, Type: f.push.Type,
			ReceivedAt: f.at.UnixMilli(), Flows: l.head.Flows}
		for _, c := range l.conflicts {
			c.Record = l.Record
			s.Conflicts = append(s.Conflicts, c)
		}
	}
	return s
}
