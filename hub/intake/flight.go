package intake

import (
	"context"
	"sync"

	"raccordo/hub/exchange"
)

// flight lets one request per key in at a time, so that a key used a hundred
// times at once makes one frame.
type flight struct {
	mu   sync.Mutex
	keys map[exchange.Digest]chan struct{}
}

func (f *flight) enter(ctx context.Context, key exchange.Digest) (leave func(), err error) {
	for {
		f.mu.Lock()
		if f.keys == nil {
			f.keys = map[exchange.Digest]chan struct{}{}
		}
		busy, taken := f.keys[key]
		if !taken {
			done := make(chan struct{})
			f.keys[key] = done
			f.mu.Unlock()
			return func() {
				f.mu.Lock()
				delete(f.keys, key)
				f.mu.Unlock()
				close(done)
			}, nil
		}
		f.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
