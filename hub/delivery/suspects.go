package delivery

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"sync"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

// maxDeaths is how often a record may be under work when the process dies
// before it is parked untouched (reliability.md F4).
const maxDeaths = 2

// suspects remembers which records are under work, so that one that kills the
// process (a stack overflow, memory) does not kill it for ever. Under work is
// what reads a record: parsing, conditions, mapping, encoding. While a suspect
// is, nothing else is, so that the next death names the right one. The file is
// not synced: it is to survive the process, not the machine, and a power cut
// is no record's fault.
type suspects struct {
	alone sync.RWMutex // held whole while a suspect is under work

	mu     sync.Mutex
	file   workFile
	side   Side
	deaths map[exchange.RecordID]int
	work   map[uint64][]exchange.RecordID
	next   uint64
}

// workFile holds the ids of records under work.
type workFile interface {
	io.WriterAt
	Truncate(size int64) error
}

var _ workFile = (*os.File)(nil)

// ReadWork gives the records that were under work when the process ended; r is
// Options.WorkFile as the last process left it.
func ReadWork(r io.Reader) ([]exchange.RecordID, error) {
	b, err := io.ReadAll(io.LimitReader(r, 16*1<<16))
	if err != nil {
		return nil, fmt.Errorf("read what was under work: %w", err)
	}
	if len(b) < 4 {
		return nil, nil
	}
	n := int(binary.BigEndian.Uint32(b))
	b = b[4:]
	var out []exchange.RecordID
	for ; n > 0 && len(b) >= 16; n-- {
		out = append(out, exchange.RecordID(b[:16]))
		b = b[16:]
	}
	return out, nil
}

func newSuspects(f workFile, side Side) *suspects {
	return &suspects{file: f, side: side, deaths: map[exchange.RecordID]int{}, work: map[uint64][]exchange.RecordID{}}
}

// load counts one more death for every record in worked, durably, and forgets
// the note it came from.
func (s *suspects) load(ctx context.Context, deaths map[exchange.RecordID]int, worked []exchange.RecordID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, n := range deaths {
		s.deaths[id] = n
	}
	counts := map[exchange.RecordID]int{}
	for _, id := range worked {
		counts[id] = deaths[id] + 1
	}
	if err := s.keep(ctx, counts); err != nil {
		return fmt.Errorf("count deaths of records under work: %w", err)
	}
	for id, n := range counts {
		s.deaths[id] = n
	}
	return s.write()
}

func (s *suspects) keep(ctx context.Context, counts map[exchange.RecordID]int) error {
	if s.side == nil || len(counts) == 0 {
		return nil
	}
	return s.side.Side(ctx, func(tx store.SideTx) error { return tx.PutSuspects(counts) })
}

// suspected reports whether a record is handled alone.
func (s *suspects) suspected(r exchange.RecordID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.deaths[r]
	return n > 0 && n < maxDeaths
}

// condemned reports whether a record is parked before it is touched.
func (s *suspects) condemned(r exchange.RecordID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.deaths[r] >= maxDeaths
}

// condemn marks a record that is to be parked untouched.
func (d *Deliverer) condemn(rec *record) {
	if rec.broken == "" && d.suspects.condemned(rec.head.Record) {
		rec.broken = exchange.ReasonSuspect
	}
}

// begin notes records before they are touched. The caller calls done when they
// are no longer under work: that acquits them.
func (s *suspects) begin(records []*record) (done func(context.Context) error, err error) {
	ids := make([]exchange.RecordID, 0, len(records))
	alone := false
	for _, r := range records {
		if r.broken == "" {
			ids = append(ids, r.head.Record)
			alone = alone || s.suspected(r.head.Record)
		}
	}
	release := s.alone.RUnlock
	if alone {
		s.alone.Lock()
		release = s.alone.Unlock
	} else {
		s.alone.RLock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.next
	s.next++
	s.work[n] = ids
	if err := s.write(); err != nil {
		delete(s.work, n)
		release()
		return nil, err
	}
	return func(ctx context.Context) error {
		defer release()
		return s.end(ctx, n)
	}, nil
}

// end takes records out of the note and acquits those that went through.
func (s *suspects) end(ctx context.Context, n uint64) error {
	s.mu.Lock()
	acquitted := map[exchange.RecordID]int{}
	for _, id := range s.work[n] {
		if d := s.deaths[id]; d > 0 && d < maxDeaths {
			acquitted[id] = 0
			delete(s.deaths, id)
		}
	}
	delete(s.work, n)
	err := s.write()
	s.mu.Unlock()
	if e := s.keep(ctx, acquitted); e != nil {
		err = fmt.Errorf("forget deaths of a record: %w", e)
	}
	return err
}

// forgive gives condemned records another chance: an operator asked for it.
func (s *suspects) forgive(ctx context.Context, ids []exchange.RecordID) error {
	s.mu.Lock()
	counts := map[exchange.RecordID]int{}
	for _, id := range ids {
		if s.deaths[id] > 0 {
			counts[id] = 0
			delete(s.deaths, id)
		}
	}
	s.mu.Unlock()
	return s.keep(ctx, counts)
}

func (s *suspects) write() error {
	if s.file == nil {
		return nil
	}
	n := 0
	for _, ids := range s.work {
		n += len(ids)
	}
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 4+16*n), uint32(n))
	for _, ids := range s.work {
		for _, id := range ids {
			b = append(b, id[:]...)
		}
	}
	if _, err := s.file.WriteAt(b, 0); err != nil {
		return fmt.Errorf("note what is under work: %w", err)
	}
	return nil
}
