package person

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"raccordo/hub/exchange"
	"raccordo/hub/keys"
)

// The errors of the directory.
var (
	// ErrUnavailable says that the store could not be asked or did not answer;
	// a row may or may not have been written, which the next look-up shows.
	ErrUnavailable = errors.New("person directory is not available")
	// ErrContended says that other writers kept adding the same persons; the
	// whole request may be repeated.
	ErrContended = fmt.Errorf("others keep adding the same persons: %w", ErrUnavailable)
	// ErrRequest says that a request holds no identifier or too many.
	ErrRequest = errors.New("a request must hold between 1 and 16 identifiers")
)

// MaxIdentifiers bounds the identifiers of one person in one record.
const MaxIdentifiers = 16

// DefaultCache is the number of digests kept in memory: about 20 MB.
const DefaultCache = 100_000

// Row is one row of the directory: the digest of an identifier under one
// version of the digest key, and whose it is. The identifier itself is not in
// it.
type Row struct {
	Digest     exchange.Digest
	KeyVersion uint32
	Subject    exchange.SubjectID
	System     System
}

// Store keeps the rows.
type Store interface {
	// LookupDigests gives the subjects of those digests that have a row. It sees
	// every row that any AddDirectoryRows has returned for.
	LookupDigests(ctx context.Context, digests []exchange.Digest) (map[exchange.Digest]exchange.SubjectID, error)
	// AddDirectoryRows adds all rows or none, in one transaction, durable on
	// return. If some of the digests belong to another subject already, nothing
	// is added and the result names the owners of those: somebody was faster,
	// and the caller decides again. A row that is there already as it is wanted
	// is no hindrance. After an error the rows may or may not be there.
	//
	// All or none matters: of a new person's two identifiers another writer may
	// have added one; adding only the other would make two persons of one.
	AddDirectoryRows(ctx context.Context, rows []Row) (existing map[exchange.Digest]exchange.SubjectID, err error)
}

// Digester makes keyed digests under every live version of the digest key,
// newest first; the keyring does.
type Digester interface {
	Digests(data ...[]byte) []keys.VersionedDigest
}

// Request is what one record says about one person.
type Request struct {
	Identifiers []Identifier
	// MayAttach: the sender's role identifies persons (a registry office), so
	// that an identifier nobody knows is added to the person the others name.
	MayAttach bool
}

// Result is who it is.
type Result struct {
	Subject exchange.SubjectID
	New     bool // never seen before this batch
	// Conflict are the other subjects that identifiers of the request belong to,
	// in ascending order. They are not joined: an officer is asked, and until
	// then the restrictions of all bind the record.
	Conflict []exchange.SubjectID
}

// Options are what a directory needs.
type Options struct {
	Store    Store
	Digester Digester
	Rand     io.Reader // where subject ids come from
	// Cache is the number of digests kept in memory; 0 is [DefaultCache].
	Cache int
}

// Directory finds the subject ids of persons. All methods may be called
// concurrently.
type Directory struct {
	store  Store
	digest Digester
	rand   *lockedReader
	cache  *cache
}

// NewDirectory makes a directory over a store.
func NewDirectory(o Options) *Directory {
	if o.Cache <= 0 {
		o.Cache = DefaultCache
	}
	return &Directory{store: o.Store, digest: o.Digester, rand: newLockedReader(o.Rand), cache: newCache(o.Cache)}
}

// maxRounds bounds how often a batch is decided again because others were
// faster. Each lost round makes at least one of its digests known.
const maxRounds = 16

// Resolve finds or makes the subject of every request, as if the requests came
// one after the other. The rows of persons never seen, and of identifiers newly
// attached, are durable on return. Where everybody is in memory the store is
// not asked. Errors: [ErrRequest], [ErrUnavailable]; then nobody may be used.
func (d *Directory) Resolve(ctx context.Context, requests []Request) ([]Result, error) {
	persons, err := d.digests(requests)
	if err != nil {
		return nil, err
	}
	known := map[exchange.Digest]exchange.SubjectID{}
	epoch := d.cache.find(newestDigests(persons), known)
	if missing := missingDigests(persons, known); len(missing) > 0 {
		found, err := d.store.LookupDigests(ctx, missing)
		if err != nil {
			return nil, fmt.Errorf("look up persons: %w: %w", ErrUnavailable, err)
		}
		merge(known, found)
	}
	for range maxRounds {
		b := batch{known: known, added: map[exchange.Digest]exchange.SubjectID{}, rand: d.rand}
		results, err := b.decide(persons)
		if err != nil {
			return nil, err
		}
		if len(b.rows) > 0 {
			existing, err := d.store.AddDirectoryRows(ctx, b.rows)
			if err != nil {
				return nil, fmt.Errorf("add persons: %w: %w", ErrUnavailable, err)
			}
			if len(existing) > 0 {
				merge(known, existing)
				continue
			}
		}
		merge(known, b.added)
		d.cache.put(epoch, known)
		return results, nil
	}
	return nil, fmt.Errorf("add persons: %w", ErrContended)
}

// Lookup finds the subjects that identifiers belong to, without making or
// changing anything: for officers' commands. Who is not known is not in the
// result; several mean a conflict.
func (d *Directory) Lookup(ctx context.Context, identifiers []Identifier) ([]exchange.SubjectID, error) {
	persons, err := d.digests([]Request{{Identifiers: identifiers}})
	if err != nil {
		return nil, err
	}
	var all []exchange.Digest
	for _, i := range persons[0].identifiers {
		for _, v := range i.digests {
			all = append(all, v.Digest)
		}
	}
	found, err := d.store.LookupDigests(ctx, all)
	if err != nil {
		return nil, fmt.Errorf("look up person: %w: %w", ErrUnavailable, err)
	}
	var out []exchange.SubjectID
	for _, s := range found {
		out = append(out, s)
	}
	slices.SortFunc(out, compareSubjects)
	return slices.Compact(out), nil
}

// Forget drops subjects from memory, after their rows were erased in the
// store.
func (d *Directory) Forget(subjects ...exchange.SubjectID) { d.cache.forget(subjects) }

// digested is one identifier of a request, digested.
type digested struct {
	system  System
	key     []byte
	digests []keys.VersionedDigest // newest first
}

// asked is one request, its identifiers in the order they decide: strongest
// first, and among equals by their keys, so that the order in the record does
// not matter.
type asked struct {
	identifiers []digested
	mayAttach   bool
}

func (d *Directory) digests(requests []Request) ([]asked, error) {
	out := make([]asked, len(requests))
	for i, r := range requests {
		if len(r.Identifiers) == 0 || len(r.Identifiers) > MaxIdentifiers {
			return nil, ErrRequest
		}
		ids := make([]digested, 0, len(r.Identifiers))
		for _, id := range r.Identifiers {
			if !id.System().IsKey() {
				return nil, ErrRequest
			}
			key := id.Key()
			ids = append(ids, digested{id.System(), key, d.digest.Digests(key)})
		}
		slices.SortFunc(ids, func(a, b digested) int {
			if c := b.system.Strength() - a.system.Strength(); c != 0 {
				return c
			}
			return bytes.Compare(a.key, b.key)
		})
		ids = slices.CompactFunc(ids, func(a, b digested) bool { return bytes.Equal(a.key, b.key) })
		out[i] = asked{ids, r.MayAttach}
	}
	return out, nil
}

func newestDigests(persons []asked) []exchange.Digest {
	out := make([]exchange.Digest, 0, len(persons))
	for _, p := range persons {
		for _, id := range p.identifiers {
			out = append(out, id.digests[0].Digest)
		}
	}
	return out
}

// missingDigests are those of every version of the identifiers whose newest
// digest is not known, each once.
func missingDigests(persons []asked, known map[exchange.Digest]exchange.SubjectID) []exchange.Digest {
	var out []exchange.Digest
	seen := map[exchange.Digest]bool{}
	for _, p := range persons {
		for _, id := range p.identifiers {
			newest := id.digests[0].Digest
			if _, ok := known[newest]; ok || seen[newest] {
				continue
			}
			for _, v := range id.digests {
				seen[v.Digest] = true
				out = append(out, v.Digest)
			}
		}
	}
	return out
}

func merge(into, from map[exchange.Digest]exchange.SubjectID) {
	for d, s := range from {
		into[d] = s
	}
}

// batch decides requests one after the other; later ones see what earlier ones
// add.
type batch struct {
	known map[exchange.Digest]exchange.SubjectID // rows of the store
	added map[exchange.Digest]exchange.SubjectID // rows of this batch
	rows  []Row
	rand  io.Reader
}

func (b *batch) decide(persons []asked) ([]Result, error) {
	results := make([]Result, len(persons))
	for i := range persons {
		r, err := b.resolve(&persons[i])
		if err != nil {
			return nil, err
		}
		results[i] = r
	}
	return results, nil
}

func (b *batch) resolve(p *asked) (Result, error) {
	var r Result
	found := false
	owners := make([]exchange.SubjectID, len(p.identifiers))
	knows := make([]bool, len(p.identifiers))
	for i, id := range p.identifiers {
		if owners[i], knows[i] = b.owner(id); !knows[i] {
			continue
		}
		if !found {
			r.Subject, found = owners[i], true
		} else if owners[i] != r.Subject {
			r.Conflict = append(r.Conflict, owners[i])
		}
	}
	slices.SortFunc(r.Conflict, compareSubjects)
	r.Conflict = slices.Compact(r.Conflict)
	if !found {
		var err error
		if r.Subject, err = exchange.NewSubjectID(b.rand); err != nil {
			return Result{}, fmt.Errorf("make subject id: %w: %w", ErrUnavailable, err)
		}
		r.New = true
	}
	// Whose an unknown identifier is, is known only if all the others agree.
	attach := r.New || p.mayAttach && len(r.Conflict) == 0
	for i, id := range p.identifiers {
		switch {
		case knows[i]:
			b.add(id, owners[i]) // in the newest version, if it is not there yet
		case attach:
			b.add(id, r.Subject)
		}
	}
	return r, nil
}

// owner is the subject of an identifier, by whatever version of its digest.
func (b *batch) owner(id digested) (exchange.SubjectID, bool) {
	for _, v := range id.digests {
		if s, ok := b.known[v.Digest]; ok {
			return s, true
		}
		if s, ok := b.added[v.Digest]; ok {
			return s, true
		}
	}
	return exchange.SubjectID{}, false
}

// add makes rows of all versions of an identifier that have none. If the newest
// is known the others are not looked at: they were looked up only if it was
// not.
func (b *batch) add(id digested, s exchange.SubjectID) {
	if _, ok := b.known[id.digests[0].Digest]; ok {
		return
	}
	for _, v := range id.digests {
		_, known := b.known[v.Digest]
		if _, added := b.added[v.Digest]; known || added {
			continue
		}
		b.added[v.Digest] = s
		b.rows = append(b.rows, Row{Digest: v.Digest, KeyVersion: v.Version, Subject: s, System: id.system})
	}
}
