package demo

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"raccordo/hub/exchange"
)

// parcelled is one disclosure as a simulated system reads it off the wire.
type parcelled struct {
	System     exchange.SystemID
	Disclosure string            // an id_flusso at INPS
	Record     exchange.RecordID // zero at INPS, which is not told
	Flow       exchange.FlowID
	Sequence   uint64
	Ref        string // the sender's own number of the request
	Principal  string // first code of the one it is about
	Content    []byte
}

// shelf is where the simulated systems put what they get. It counts on its own
// account and knows nothing of the hub. In a long run only the newest
// disclosures are remembered.
type shelf struct {
	bodies map[exchange.SystemID]exchange.BodyID
	root   *os.Root // nil: nothing is written
	keep   int      // disclosures remembered per system, 0: all

	mu       sync.Mutex
	files    map[exchange.SystemID]int
	got      map[exchange.SystemID][]*parcelled // distinct, in the order they came
	seen     map[exchange.SystemID]map[string]int
	count    map[exchange.SystemID]int
	failures []error
}

func newShelf(bodies map[exchange.SystemID]exchange.BodyID, root *os.Root, keep int) *shelf {
	return &shelf{bodies: bodies, root: root, keep: keep, files: map[exchange.SystemID]int{}, got: map[exchange.SystemID][]*parcelled{},
		seen: map[exchange.SystemID]map[string]int{}, count: map[exchange.SystemID]int{}}
}

// raw keeps bytes as they came. Names are generated: nothing of a person is in
// them.
func (s *shelf) raw(system exchange.SystemID, what, ext string, b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.root == nil {
		return
	}
	s.files[system]++
	dir := "received/" + string(s.bodies[system]) + "/" + string(system)
	name := fmt.Sprintf("%s/%06d-%s.%s", dir, s.files[system], what, ext)
	if err := errors.Join(s.root.MkdirAll(dir, 0o755), s.root.WriteFile(name, b, 0o600)); err != nil {
		s.failures = append(s.failures, fmt.Errorf("keep what %s got: %w", system, err))
	}
}

// take counts a disclosure and reports whether it is new to the system.
func (s *shelf) take(p *parcelled) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen[p.System] == nil {
		s.seen[p.System] = map[string]int{}
	}
	s.seen[p.System][p.Disclosure]++
	if s.seen[p.System][p.Disclosure] > 1 {
		return false
	}
	s.count[p.System]++
	s.got[p.System] = append(s.got[p.System], p)
	if s.keep > 0 && len(s.got[p.System]) > s.keep {
		delete(s.seen[p.System], s.got[p.System][0].Disclosure)
		s.got[p.System] = slices.Delete(s.got[p.System], 0, 1)
	}
	return true
}

// fail notes that a simulated system was given something it cannot read.
func (s *shelf) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.failures) < 100 {
		s.failures = append(s.failures, err)
	}
}

// failed is everything that went wrong at the simulated systems.
func (s *shelf) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.failures...)
}

// has reports whether a system got the request with this number.
func (s *shelf) has(system exchange.SystemID, ref string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.got[system], func(p *parcelled) bool { return p.Ref == ref })
}

// distinct is how many different disclosures a system got.
func (s *shelf) distinct(system exchange.SystemID) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count[system]
}

// everything is what all systems got, by system and then in the order it came.
func (s *shelf) everything() []*parcelled {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*parcelled
	for _, list := range s.got {
		out = append(out, list...)
	}
	slices.SortStableFunc(out, func(a, b *parcelled) int { return cmp.Compare(a.System, b.System) })
	return out
}
