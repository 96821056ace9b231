package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

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

// Index finds what was accepted under an Idempotency-Key, and which records a
// system pushed. It follows the stream: what the store does not hold yet is in
// memory, and after a start it is read again from the headers of the frames,
// so that nothing but the stream need be durable before a push is answered.
type Index struct {
	opt   IndexOptions
	queue chan *Stored
	stop  chan struct{}
	done  chan struct{}
	marks map[exchange.Class]*watermark

	mu      sync.Mutex
	keys    map[exchange.Digest]*Stored
	records map[exchange.RecordID]*store.RecordRow
	counts  map[exchange.SystemID]int
}

// NewIndex makes an index; see [Index.Rebuild] and [Index.Run].
func NewIndex(opt IndexOptions) *Index {
	if opt.MaxKeys == 0 {
		opt.MaxKeys = 20_000_000
	}
	opt.Keep = max(opt.Keep, 24*time.Hour)
	return &Index{opt: opt, queue: make(chan *Stored, 4096), stop: make(chan struct{}), done: make(chan struct{}),
		marks: map[exchange.Class]*watermark{exchange.ClassPrompt: {}, exchange.ClassBulk: {}},
		keys:  map[exchange.Digest]*Stored{}, records: map[exchange.RecordID]*store.RecordRow{},
		counts: map[exchange.SystemID]int{}}
}

// Hub is the identity of the hub the index belongs to.
func (x *Index) Hub() exchange.HubID { return x.opt.Store.Hub() }

// Lookup finds what was accepted under a key and not yet forgotten.
func (x *Index) Lookup(ctx context.Context, system exchange.SystemID, mac exchange.Digest) (Known, bool, error) {
	x.mu.Lock()
	s := x.keys[mac]
	x.mu.Unlock()
	if s != nil {
		return s.Key, s.Key.System == system, nil
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
	return row, row.ReceivedAt >= x.opt.Clock.Now().Add(-x.opt.Keep).UnixMilli(), nil
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

// Reserve refuses a system whose index is full.
func (x *Index) Reserve(ctx context.Context, system exchange.SystemID) error {
	x.mu.Lock()
	n, known := x.counts[system]
	x.mu.Unlock()
	if !known {
		err := x.opt.Store.View(ctx, func(tx store.ReadTx) (err error) {
			n, err = tx.KeyCount(system)
			return err
		})
		if err != nil {
			return unavailable(err)
		}
		x.mu.Lock()
		x.counts[system] = n
		x.mu.Unlock()
	}
	if n >= x.opt.MaxKeys {
		return exchange.NewError(exchange.CodeTooMany, exchange.ReasonKeysFull, "too many Idempotency-Keys are remembered for this system").
			After(time.Hour)
	}
	return nil
}

// Stored takes note of a frame that is durable. It answers at once and blocks
// only while the index is thousands of frames behind.
func (x *Index) Stored(s *Stored) {
	x.mu.Lock()
	x.keys[s.Key.KeyMAC] = s
	for i := range s.Records {
		x.records[s.Records[i].Record] = &s.Records[i]
	}
	x.counts[s.Key.System]++
	x.mu.Unlock()
	select {
	case x.queue <- s:
	case <-x.done: // read again from the stream at the next start
	}
}

// Run writes what was stored to the store, in batches, until [Index.Stop].
func (x *Index) Run() {
	defer close(x.done)
	forget := time.NewTicker(time.Hour)
	defer forget.Stop()
	for {
		select {
		case s := <-x.queue:
			x.persist(x.gather(s))
		case <-forget.C:
			x.forget()
		case <-x.stop:
			for {
				select {
				case s := <-x.queue:
					x.persist(x.gather(s))
					continue
				default:
				}
				return
			}
		}
	}
}

// Stop writes what is queued and ends.
func (x *Index) Stop() { close(x.stop); <-x.done }

const indexBatch = 512

func (x *Index) gather(first *Stored) []*Stored {
	batch := []*Stored{first}
	for n := len(first.Records); len(batch) < indexBatch && n < 2000; {
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
// not give up: an index that lags is only slow to forget.
func (x *Index) persist(batch []*Stored) {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		err := x.write(batch)
		if err == nil {
			break
		}
		x.opt.Logger.Warn("the index of keys cannot be written", "error", err.Error())
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-x.stop:
			t.Stop()
			return // the stream holds it; the next start reads it again
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
	}
}

func (x *Index) write(batch []*Stored) error {
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
	return x.opt.Store.Side(context.Background(), func(tx store.SideTx) error {
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
			if err := tx.SetProgress(progressName(class), m.at); err != nil {
				return err
			}
		}
		return nil
	})
}

func progressName(c exchange.Class) string { return "index/" + c.String() }

func (x *Index) forget() {
	before := x.opt.Clock.Now().Add(-x.opt.Keep).UnixMilli()
	for {
		var n int
		err := x.opt.Store.Side(context.Background(), func(tx store.SideTx) (err error) {
			n, err = tx.DeleteKeysBefore(before, 5000)
			return err
		})
		if err != nil || n == 0 {
			x.mu.Lock()
			clear(x.counts) // counted again when asked
			x.mu.Unlock()
			return
		}
	}
}

// Reader reads a topic from an offset on.
type Reader interface {
	Read(ctx context.Context, topic string, from stream.Offset, limit int,
		fn func(offset stream.Offset, lane int, m *message.Message) error) error
}

// Rebuild reads the headers of frames that the store does not know yet, before
// anything is accepted. It gives the number of frames it found.
func (x *Index) Rebuild(ctx context.Context, r Reader) (int, error) {
	found := 0
	for class, mark := range x.marks {
		err := x.opt.Store.View(ctx, func(tx store.ReadTx) (err error) {
			mark.at, _, err = tx.Progress(progressName(class))
			return err
		})
		if err != nil {
			return found, fmt.Errorf("progress of the index: %w", err)
		}
		n, err := x.rebuild(ctx, r, class, mark)
		found += n
		if err != nil {
			return found, err
		}
	}
	return found, nil
}

func (x *Index) rebuild(ctx context.Context, r Reader, class exchange.Class, mark *watermark) (int, error) {
	found := 0
	for {
		var batch []*Stored
		var last *Stored
		n := 0
		err := r.Read(ctx, class.String(), stream.Offset(mark.at+1), indexBatch, func(o stream.Offset, _ int, m *message.Message) error {
			n++
			p, err := exchange.DecodePart(m.Payload)
			if err != nil {
				return err // deliver quarantines the lane; intake must not answer wrongly
			}
			if p.Header.Part == 1 || last == nil || last.Key.Frame != p.Header.Frame {
				last = fromHeader(p.Header, int64(o))
				batch = append(batch, last)
			} else {
				last.add(p.Header, int64(o))
			}
			return nil
		})
		if err != nil {
			return found, fmt.Errorf("read frames of %s again: %w", class, err)
		}
		if n == 0 {
			return found, nil
		}
		if n == indexBatch && len(batch) > 1 {
			batch = batch[:len(batch)-1] // the last may go on beyond what was read
		}
		if err := x.write(batch); err != nil {
			return found, fmt.Errorf("write the index: %w", err)
		}
		found += len(batch)
	}
}

func fromHeader(h *exchange.Header, offset int64) *Stored {
	s := &Stored{First: offset, Last: offset, Key: store.KeyRow{System: h.System, KeyMAC: h.KeyMAC, BodyDigest: h.BodyDigest,
		Frame: h.Frame, Class: h.Class, Offset: offset, ReceivedAt: h.ReceivedAt}}
	s.add(h, offset)
	return s
}

func (s *Stored) add(h *exchange.Header, offset int64) {
	s.Last = max(s.Last, offset)
	s.Key.Records += uint32(len(h.Records))
	for i := range h.Records {
		r := &h.Records[i]
		s.Records = append(s.Records, store.RecordRow{Record: r.Record, Producer: h.System, Type: r.Type,
			ReceivedAt: h.ReceivedAt, Flows: r.Flows})
	}
}

func (f *frame) stored(accepted []*line, offsets []stream.Offset) *Stored {
	s := &Stored{First: int64(offsets[0]), Last: int64(offsets[len(offsets)-1]), Key: store.KeyRow{System: f.push.System,
		KeyMAC: f.mac, BodyDigest: f.digest, Frame: f.id, Class: f.producer.Class(), Offset: int64(offsets[0]),
		Records: uint32(len(accepted)), ReceivedAt: f.at.UnixMilli()}}
	for _, l := range accepted {
		s.Records = append(s.Records, store.RecordRow{Record: l.Record, Producer: f.push.System, Type: f.push.Type,
			ReceivedAt: f.at.UnixMilli(), Flows: l.head.Flows})
		for _, c := range l.conflicts {
			c.Record = l.Record
			s.Conflicts = append(s.Conflicts, c)
		}
	}
	return s
}

// watermark is the offset up to which everything was indexed; frames come in
// any order.
type watermark struct {
	at    int64
	ahead map[int64]int64 // first -> last
}

func (w *watermark) add(first, last int64) {
	if last <= w.at {
		return
	}
	if w.ahead == nil {
		w.ahead = map[int64]int64{}
	}
	w.ahead[first] = last
	for {
		end, ok := w.ahead[w.at+1]
		if !ok {
			return
		}
		delete(w.ahead, w.at+1)
		w.at = end
	}
}
