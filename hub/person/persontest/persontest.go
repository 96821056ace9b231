// Package persontest has the conformance suite of stores of the person
// directory, and a store in memory for tests of whoever uses the directory.
package persontest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"

	"raccordo/hub/exchange"
	"raccordo/hub/person"
)

// Memory is a store in memory. Its hooks make it lie as real ones do; set them
// before use.
type Memory struct {
	// BeforeAdd is called before each AddDirectoryRows looks at its rows: a
	// competing writer adds its own here, through [Memory.Put].
	BeforeAdd func(rows []person.Row)
	// AddError, if it gives an error, is returned after the rows were added or,
	// if it says so, not added.
	AddError func() (added bool, err error)
	// LookupError, if it gives an error, is returned instead of an answer.
	LookupError func() error

	mu      sync.Mutex
	rows    map[exchange.Digest]person.Row
	lookups int
	adds    int
}

var _ person.Store = (*Memory)(nil)

// NewMemory is an empty store.
func NewMemory() *Memory { return &Memory{rows: map[exchange.Digest]person.Row{}} }

// LookupDigests implements [person.Store].
func (m *Memory) LookupDigests(ctx context.Context, digests []exchange.Digest) (map[exchange.Digest]exchange.SubjectID, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if m.LookupError != nil {
		if err := m.LookupError(); err != nil {
			return nil, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lookups++
	out := map[exchange.Digest]exchange.SubjectID{}
	for _, d := range digests {
		if r, ok := m.rows[d]; ok {
			out[d] = r.Subject
		}
	}
	return out, nil
}

// AddDirectoryRows implements [person.Store].
func (m *Memory) AddDirectoryRows(ctx context.Context, rows []person.Row) (map[exchange.Digest]exchange.SubjectID, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if m.BeforeAdd != nil {
		m.BeforeAdd(rows)
	}
	if m.AddError != nil {
		if added, err := m.AddError(); err != nil {
			if added {
				m.Put(rows...)
			}
			return nil, err
		}
	}
	m.mu.Lock()
	m.adds++
	m.mu.Unlock()
	return m.Put(rows...), nil
}

// Put adds all rows, or none and names who has their digests.
func (m *Memory) Put(rows ...person.Row) map[exchange.Digest]exchange.SubjectID {
	m.mu.Lock()
	defer m.mu.Unlock()
	existing := map[exchange.Digest]exchange.SubjectID{}
	for _, r := range rows {
		if old, ok := m.rows[r.Digest]; ok && old.Subject != r.Subject {
			existing[r.Digest] = old.Subject
		}
	}
	if len(existing) > 0 {
		return existing
	}
	for _, r := range rows {
		if _, ok := m.rows[r.Digest]; !ok {
			m.rows[r.Digest] = r
		}
	}
	return nil
}

// Erase removes the rows of a subject.
func (m *Memory) Erase(s exchange.SubjectID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.rows, func(_ exchange.Digest, r person.Row) bool { return r.Subject == s })
}

// Rows are all rows.
func (m *Memory) Rows() map[exchange.Digest]person.Row {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.rows)
}

// Calls are how often each method was called and did its work.
func (m *Memory) Calls() (lookups, adds int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lookups, m.adds
}

// Run holds a store to the contract of [person.Store]. fresh gives each test an
// empty one.
func Run(t *testing.T, fresh func(t *testing.T) person.Store) {
	t.Run("rows are found", func(t *testing.T) { testFound(t, fresh(t)) })
	t.Run("all rows or none", func(t *testing.T) { testAllOrNone(t, fresh(t)) })
	t.Run("competing writers", func(t *testing.T) { testCompeting(t, fresh(t)) })
	t.Run("a cancelled request", func(t *testing.T) { testCancelled(t, fresh(t)) })
}

func row(digest, subject int) person.Row {
	owner := exchange.DigestOf(fmt.Appendf(nil, "subject %d", subject))
	return person.Row{Digest: exchange.DigestOf(fmt.Appendf(nil, "digest %d", digest)), KeyVersion: 1,
		Subject: exchange.SubjectID(owner[:16]), System: person.SystemCF}
}

func lookup(t *testing.T, s person.Store, rows ...person.Row) map[exchange.Digest]exchange.SubjectID {
	t.Helper()
	var digests []exchange.Digest
	for _, r := range rows {
		digests = append(digests, r.Digest)
	}
	found, err := s.LookupDigests(t.Context(), digests)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func testFound(t *testing.T, s person.Store) {
	var rows []person.Row
	for i := range 2500 { // more than engines take as arguments of one statement
		rows = append(rows, row(i, i/2))
	}
	if found := lookup(t, s, rows...); len(found) != 0 {
		t.Fatalf("an empty store finds %d", len(found))
	}
	for range 2 { // the second time they are there as wanted, which is no hindrance
		if existing, err := s.AddDirectoryRows(t.Context(), rows); err != nil || len(existing) != 0 {
			t.Fatalf("%d existing, %v", len(existing), err)
		}
	}
	found := lookup(t, s, append(rows, row(-1, 0))...)
	if len(found) != len(rows) {
		t.Fatalf("%d of %d rows found", len(found), len(rows))
	}
	for _, r := range rows {
		if found[r.Digest] != r.Subject {
			t.Fatal("a digest leads to somebody else")
		}
	}
	if found := lookup(t, s); len(found) != 0 {
		t.Fatal("asked for nothing, found something")
	}
}

func testAllOrNone(t *testing.T, s person.Store) {
	taken := row(1, 1)
	if _, err := s.AddDirectoryRows(t.Context(), []person.Row{taken}); err != nil {
		t.Fatal(err)
	}
	mine := []person.Row{row(0, 2), row(1, 2), row(2, 2)}
	existing, err := s.AddDirectoryRows(t.Context(), mine)
	if err != nil {
		t.Fatal(err)
	}
	if len(existing) != 1 || existing[taken.Digest] != taken.Subject {
		t.Fatalf("existing: %v, want the owner of the one that is taken", existing)
	}
	if found := lookup(t, s, mine...); len(found) != 1 || found[taken.Digest] != taken.Subject {
		t.Fatalf("%d rows are there: one person was made into two", len(found))
	}
}

// testCompeting: many writers want overlapping rows; each digest ends with one
// owner, and every writer that was told of no others has all of its rows.
func testCompeting(t *testing.T, s person.Store) {
	const writers = 8
	won := make([]bool, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			existing, err := s.AddDirectoryRows(t.Context(), []person.Row{row(w, w), row((w+1)%writers, w)})
			if err != nil {
				t.Errorf("writer %d: %v", w, err)
			}
			won[w] = err == nil && len(existing) == 0
		})
	}
	wg.Wait()
	winners := 0
	for w := range writers {
		mine := []person.Row{row(w, w), row((w+1)%writers, w)}
		owned := 0
		for _, subject := range lookup(t, s, mine...) {
			if subject == mine[0].Subject {
				owned++
			}
		}
		if won[w] && owned != 2 || !won[w] && owned != 0 {
			t.Errorf("writer %d won: %t, and owns %d of 2", w, won[w], owned)
		}
		if won[w] {
			winners++
		}
	}
	if winners == 0 {
		t.Error("nobody won")
	}
}

func testCancelled(t *testing.T, s person.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.LookupDigests(ctx, []exchange.Digest{row(1, 1).Digest}); !errors.Is(err, context.Canceled) {
		t.Errorf("looked up although cancelled: %v", err)
	}
	if _, err := s.AddDirectoryRows(ctx, []person.Row{row(1, 1)}); !errors.Is(err, context.Canceled) {
		t.Errorf("added although cancelled: %v", err)
	}
	if found := lookup(t, s, row(1, 1)); len(found) != 0 {
		t.Error("the row is there although cancelled")
	}
}
