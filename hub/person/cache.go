package person

import (
	"container/list"
	"sync"

	"raccordo/hub/exchange"
)

// cache remembers which subject a digest belongs to: only what the store has
// durably, never that it has nothing, since another replica may add a row at
// any moment. It holds the entries used last.
type cache struct {
	mu      sync.Mutex
	max     int
	entries map[exchange.Digest]*list.Element
	order   *list.List // of cached, used last in front
	epoch   uint64     // rises with every forget
}

type cached struct {
	digest  exchange.Digest
	subject exchange.SubjectID
}

func newCache(limit int) *cache {
	return &cache{max: limit, entries: map[exchange.Digest]*list.Element{}, order: list.New()}
}

// find adds what it knows of digests to known, and gives the epoch to hand to
// [cache.put] with what is read from the store afterwards.
func (c *cache) find(digests []exchange.Digest, known map[exchange.Digest]exchange.SubjectID) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range digests {
		if e, ok := c.entries[d]; ok {
			c.order.MoveToFront(e)
			known[d] = e.Value.(*cached).subject
		}
	}
	return c.epoch
}

// put remembers rows read or written since find gave epoch; if something was
// forgotten meanwhile they may be what was forgotten, and are not kept.
func (c *cache) put(epoch uint64, rows map[exchange.Digest]exchange.SubjectID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if epoch != c.epoch {
		return
	}
	for d, s := range rows {
		if e, ok := c.entries[d]; ok {
			e.Value.(*cached).subject = s
			continue
		}
		c.entries[d] = c.order.PushFront(&cached{d, s})
		if c.order.Len() > c.max {
			last := c.order.Remove(c.order.Back()).(*cached)
			delete(c.entries, last.digest)
		}
	}
}

func (c *cache) forget(subjects []exchange.SubjectID) {
	gone := make(map[exchange.SubjectID]bool, len(subjects))
	for _, s := range subjects {
		gone[s] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	for e := c.order.Front(); e != nil; {
		next := e.Next()
		if x := e.Value.(*cached); gone[x.subject] {
			c.order.Remove(e)
			delete(c.entries, x.digest)
		}
		e = next
	}
}
