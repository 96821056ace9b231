package delivery

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"sync"

	"raccordo/hub/exchange"
)

// maxDeaths is how often a record may be under work when the process dies
// before it is parked untouched (reliability.md F4).
const maxDeaths = 2

// suspects remembers which records are under work, so that one that kills the
// process (a stack overflow, memory) does not kill it for ever. The file is
// not synced: it is to survive the process, not the machine, and a power cut
// is no record's fault.
type suspects struct {
	mu     sync.Mutex
	file   workFile
	deaths map[exchange.RecordID]int
	work   map[exchange.SystemID][]exchange.RecordID
}

// workFile holds the ids of records under work.
type workFile interface {
	io.WriterAt
	Truncate(size int64) error
}

var _ workFile = (*os.File)(nil)

// ReadWork gives the records that were under work when the process ended; the
// file is as the last process left it.
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

func newSuspects(f workFile, deaths map[exchange.RecordID]int) *suspects {
	if deaths == nil {
		deaths = map[exchange.RecordID]int{}
	}
	return &suspects{file: f, deaths: deaths, work: map[exchange.SystemID][]exchange.RecordID{}}
}

// any reports whether some record is suspect: work goes one by one then.
func (s *suspects) any() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.deaths) > 0
}

// condemned reports whether a record is parked before it is touched.
func (s *suspects) condemned(r exchange.RecordID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.deaths[r] >= maxDeaths
}

// begin notes records before they are touched.
func (s *suspects) begin(system exchange.SystemID, records []*record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]exchange.RecordID, len(records))
	for i, r := range records {
		ids[i] = r.head.Record
	}
	s.work[system] = ids
	return s.write()
}

// end notes that a recipient's records are no longer under work, and acquits
// those that went through. It gives how many were acquitted.
func (s *suspects) end(system exchange.SystemID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range s.work[system] {
		if n := s.deaths[id]; n > 0 && n < maxDeaths {
			delete(s.deaths, id)
		}
	}
	delete(s.work, system)
	_ = s.write() // a file that says too much only makes the next start careful
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
