package person

import (
	"io"
	"sync"
)

// lockedReader lets concurrent batches share a source of randomness that need
// not be safe for it.
type lockedReader struct {
	mu sync.Mutex
	r  io.Reader
}

func newLockedReader(r io.Reader) *lockedReader { return &lockedReader{r: r} }

func (l *lockedReader) Read(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.Read(b)
}
