package person_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"raccordo/hub/exchange"
	"raccordo/hub/keys"
	"raccordo/hub/person"
	"raccordo/hub/person/persontest"
)

// digester is a keyed digest with versions that tests can turn.
type digester struct{ live []uint32 } // newest first

func (d *digester) Digests(data ...[]byte) []keys.VersionedDigest {
	var out []keys.VersionedDigest
	for _, v := range d.live {
		h := hmac.New(sha256.New, fmt.Appendf(nil, "test key %d", v))
		for _, b := range data {
			h.Write(b)
		}
		out = append(out, keys.VersionedDigest{Version: v, Digest: exchange.Digest(h.Sum(nil))})
	}
	return out
}

type fixture struct {
	*person.Directory
	store  *persontest.Memory
	digest *digester
}

func newFixture(seed int64) *fixture {
	f := &fixture{store: persontest.NewMemory(), digest: &digester{[]uint32{1}}}
	f.Directory = f.another(seed)
	return f
}

// another is a second replica on the same store.
func (f *fixture) another(seed int64) *person.Directory {
	return person.NewDirectory(person.Options{Store: f.store, Digester: f.digest, Rand: rand.New(rand.NewSource(seed))})
}

type tb interface {
	Helper()
	Fatalf(string, ...any)
}

func resolve(t tb, d *person.Directory, requests ...person.Request) []person.Result {
	t.Helper()
	r, err := d.Resolve(context.Background(), requests)
	if err != nil {
		t.Fatalf("resolve: %v", err)
	}
	return r
}

func local(t tb, n int) person.Identifier {
	t.Helper()
	id, err := person.NewLocal("oss_desk", fmt.Sprintf("L-%d", n+1))
	if err != nil {
		t.Fatalf("local: %v", err)
	}
	return id
}

func anpr(t tb, n int) person.Identifier {
	t.Helper()
	id, err := person.New(person.SystemANPR, fmt.Sprintf("AA%05dZZ", n))
	if err != nil {
		t.Fatalf("anpr: %v", err)
	}
	return id
}

func stp(t tb, n int) person.Identifier {
	t.Helper()
	id, err := person.New(person.SystemSTP, fmt.Sprintf("STP090001%07d", n))
	if err != nil {
		t.Fatalf("stp: %v", err)
	}
	return id
}

func ask(ids ...person.Identifier) person.Request { return person.Request{Identifiers: ids} }

func attach(ids ...person.Identifier) person.Request {
	return person.Request{Identifiers: ids, MayAttach: true}
}

// TestRules are those of protocol.md 2.3, one after the other.
func TestRules(t *testing.T) {
	f := newFixture(1)
	first := resolve(t, f.Directory, ask(stp(t, 1), local(t, 1)))[0]
	if !first.New || len(first.Conflict) != 0 {
		t.Fatalf("a person never seen: %+v", first)
	}
	if len(f.store.Rows()) != 2 {
		t.Fatalf("%d rows for two identifiers", len(f.store.Rows()))
	}
	for name, r := range map[string]person.Request{"both": ask(stp(t, 1), local(t, 1)), "other order": ask(local(t, 1), stp(t, 1)),
		"one": ask(local(t, 1)), "twice the same": ask(local(t, 1), local(t, 1))} {
		if got := resolve(t, f.Directory, r)[0]; got.New || got.Subject != first.Subject || len(got.Conflict) != 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	// An unknown identifier beside a known one: attached only by those who may.
	if got := resolve(t, f.Directory, ask(stp(t, 1), anpr(t, 1)))[0]; got.Subject != first.Subject {
		t.Errorf("the known identifier does not decide: %+v", got)
	}
	if n := len(f.store.Rows()); n != 2 {
		t.Fatalf("a desk attached an identifier: %d rows", n)
	}
	if got := resolve(t, f.Directory, attach(stp(t, 1), anpr(t, 1)))[0]; got.Subject != first.Subject || got.New {
		t.Errorf("registry office: %+v", got)
	}
	if got := resolve(t, f.Directory, ask(anpr(t, 1)))[0]; got.Subject != first.Subject {
		t.Errorf("what was attached is not found: %+v", got)
	}
	// Two known ones are never joined; the strongest decides, the other is named.
	second := resolve(t, f.Directory, ask(anpr(t, 2)))[0]
	rows := len(f.store.Rows())
	got := resolve(t, f.Directory, attach(local(t, 1), anpr(t, 2), local(t, 9)))[0]
	if got.Subject != second.Subject || !slices.Equal(got.Conflict, []exchange.SubjectID{first.Subject}) || got.New {
		t.Errorf("two known persons: %+v", got)
	}
	if len(f.store.Rows()) != rows {
		t.Error("an identifier was attached although it is not clear to whom")
	}
	if again := resolve(t, f.Directory, ask(local(t, 1)))[0]; again.Subject != first.Subject {
		t.Error("the weaker identifier was moved")
	}
}

func TestLocalBelongsToItsBody(t *testing.T) {
	f := newFixture(1)
	mine, err := person.NewLocal("oss_desk", "17")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := person.NewLocal("shelter", "17")
	if err != nil {
		t.Fatal(err)
	}
	r := resolve(t, f.Directory, ask(mine), ask(theirs))
	if r[0].Subject == r[1].Subject {
		t.Fatal("two bodies' codes made one person of two")
	}
}

func TestRequestBounds(t *testing.T) {
	f := newFixture(1)
	var many []person.Identifier
	for i := range person.MaxIdentifiers + 1 {
		many = append(many, local(t, i))
	}
	for name, r := range map[string]person.Request{"none": {}, "zero": ask(person.Identifier{}), "too many": ask(many...)} {
		if _, err := f.Resolve(t.Context(), []person.Request{ask(local(t, 1)), r}); !errors.Is(err, person.ErrRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(f.store.Rows()) != 0 {
		t.Error("a refused batch left rows")
	}
	if r, err := f.Resolve(t.Context(), nil); err != nil || len(r) != 0 {
		t.Errorf("no request at all: %v", err)
	}
}

// TestHotPath: who was seen lately costs no look-up.
func TestHotPath(t *testing.T) {
	f := newFixture(1)
	resolve(t, f.Directory, ask(anpr(t, 1), local(t, 1)), ask(stp(t, 2)))
	lookups, adds := f.store.Calls()
	if lookups != 1 || adds != 1 {
		t.Fatalf("a batch took %d look-ups and %d writes", lookups, adds)
	}
	for range 10 {
		resolve(t, f.Directory, ask(anpr(t, 1), local(t, 1)), attach(stp(t, 2)))
	}
	if l, a := f.store.Calls(); l != 1 || a != 1 {
		t.Fatalf("known persons took %d look-ups and %d writes", l-1, a-1)
	}
}

func TestCacheIsBounded(t *testing.T) {
	f := newFixture(1)
	d := person.NewDirectory(person.Options{Store: f.store, Digester: f.digest, Rand: rand.New(rand.NewSource(1)), Cache: 10})
	var first []person.Result
	for i := range 20 {
		first = append(first, resolve(t, d, ask(local(t, i)))...)
	}
	before, _ := f.store.Calls()
	for i := range 20 {
		if got := resolve(t, d, ask(local(t, i)))[0]; got.Subject != first[i].Subject || got.New {
			t.Fatalf("person %d: %+v", i, got)
		}
	}
	if after, _ := f.store.Calls(); after-before != 20 { // each pushes out the one asked next
		t.Fatalf("%d look-ups for 20 persons with room for 10", after-before)
	}
}

// TestRotation: with a newer version of the key known persons stay known, and
// get a row of it at next sight; then the old version can go.
func TestRotation(t *testing.T) {
	f := newFixture(1)
	seen := resolve(t, f.Directory, ask(anpr(t, 1)), ask(anpr(t, 2)))
	f.digest.live = []uint32{2, 1}
	if got := resolve(t, f.Directory, ask(anpr(t, 1)))[0]; got.Subject != seen[0].Subject || got.New {
		t.Fatalf("after a rotation: %+v", got)
	}
	fresh := resolve(t, f.Directory, ask(anpr(t, 3)))[0]
	versions := map[exchange.SubjectID][]uint32{}
	for _, r := range f.store.Rows() {
		versions[r.Subject] = append(versions[r.Subject], r.KeyVersion)
	}
	for s, want := range map[exchange.SubjectID][]uint32{seen[0].Subject: {1, 2}, seen[1].Subject: {1}, fresh.Subject: {1, 2}} {
		got := versions[s]
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("versions %v, want %v", got, want)
		}
	}
	// A replica that has not heard of version 2 yet finds everybody.
	behind := person.NewDirectory(person.Options{Store: f.store, Digester: &digester{[]uint32{1}}, Rand: rand.New(rand.NewSource(3))})
	for i, want := range []exchange.SubjectID{seen[0].Subject, seen[1].Subject, fresh.Subject} {
		if got := resolve(t, behind, ask(anpr(t, i+1)))[0]; got.Subject != want {
			t.Errorf("the replica behind makes another person of %d", i+1)
		}
	}
	f.digest.live = []uint32{2}
	if got := resolve(t, f.another(4), ask(anpr(t, 1)))[0]; got.Subject != seen[0].Subject {
		t.Error("the old version is retired and a person seen since is lost")
	}
	if got := resolve(t, f.another(5), ask(anpr(t, 2)))[0]; !got.New {
		t.Error("the digest of a retired version was found")
	}
}

func TestForget(t *testing.T) {
	f := newFixture(1)
	r := resolve(t, f.Directory, ask(anpr(t, 1), local(t, 1)), ask(anpr(t, 2)))
	f.store.Erase(r[0].Subject)
	f.Forget(r[0].Subject)
	again := resolve(t, f.Directory, ask(anpr(t, 1)), ask(anpr(t, 2)))
	if again[0].Subject == r[0].Subject || !again[0].New || again[1].Subject != r[1].Subject {
		t.Fatalf("after erasure: %+v", again)
	}
}

func TestLookup(t *testing.T) {
	f := newFixture(1)
	r := resolve(t, f.Directory, ask(anpr(t, 1)), ask(local(t, 1)))
	got, err := f.Lookup(t.Context(), []person.Identifier{anpr(t, 1), local(t, 1), stp(t, 1)})
	want := []exchange.SubjectID{r[0].Subject, r[1].Subject}
	slices.SortFunc(want, func(a, b exchange.SubjectID) int { return slices.Compare(a[:], b[:]) })
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("%v, %v", got, err)
	}
	if n := len(f.store.Rows()); n != 2 {
		t.Fatalf("a look-up made rows: %d", n)
	}
}

var errStore = errors.New("injected fault")

// TestStoreFails: nobody is given an id whose rows may not be there, and
// nothing uncertain is remembered.
func TestStoreFails(t *testing.T) {
	for _, added := range []bool{false, true} {
		f := newFixture(1)
		fail := true
		f.store.AddError = func() (bool, error) {
			if fail {
				return added, errStore
			}
			return false, nil
		}
		if _, err := f.Resolve(t.Context(), []person.Request{ask(anpr(t, 1), local(t, 1))}); !errors.Is(err, person.ErrUnavailable) ||
			!errors.Is(err, errStore) {
			t.Fatalf("added %t: %v", added, err)
		}
		fail = false
		got := resolve(t, f.Directory, ask(anpr(t, 1), local(t, 1)))[0]
		if got.New == added || len(f.store.Rows()) != 2 || len(got.Conflict) != 0 {
			t.Fatalf("added %t: %+v, %d rows", added, got, len(f.store.Rows()))
		}
	}
	f := newFixture(1)
	f.store.LookupError = func() error { return errStore }
	if _, err := f.Resolve(t.Context(), []person.Request{ask(anpr(t, 1))}); !errors.Is(err, person.ErrUnavailable) {
		t.Fatalf("look-up: %v", err)
	}
	f = newFixture(1)
	d := person.NewDirectory(person.Options{Store: f.store, Digester: f.digest, Rand: failing{}})
	if _, err := d.Resolve(t.Context(), []person.Request{ask(anpr(t, 1))}); !errors.Is(err, person.ErrUnavailable) {
		t.Fatalf("no randomness: %v", err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errStore }

// TestCompetingWriter: another writer adds one of a new person's identifiers
// between our look-up and our write. Its person wins, and no second one is
// made of the rest.
func TestCompetingWriter(t *testing.T) {
	f := newFixture(1)
	theirs := exchange.SubjectID{0xff}
	row := person.Row{Digest: f.digest.Digests(local(t, 1).Key())[0].Digest, KeyVersion: 1, Subject: theirs, System: person.SystemLocal}
	f.store.BeforeAdd = func([]person.Row) { f.store.Put(row) }
	got := resolve(t, f.Directory, ask(anpr(t, 1), local(t, 1)), ask(anpr(t, 2)), ask(local(t, 1)))
	if got[0].Subject != theirs || got[0].New || got[2].Subject != theirs {
		t.Fatalf("the other writer's person does not win: %+v", got)
	}
	for _, r := range f.store.Rows() {
		if r.Subject != theirs && r.Subject != got[1].Subject {
			t.Fatal("a row of a person whom nobody knows")
		}
	}
	if len(f.store.Rows()) != 2 { // theirs and person 2; anpr 1 is not attached by a desk
		t.Fatalf("%d rows", len(f.store.Rows()))
	}
}

// TestContended: a writer that is always faster does not keep us for ever.
func TestContended(t *testing.T) {
	f := newFixture(1)
	calls := 0
	f.store.BeforeAdd = func(rows []person.Row) {
		calls++
		theirs := rows[0]
		theirs.Subject = exchange.SubjectID{byte(calls)}
		f.store.Put(theirs)
	}
	var requests []person.Request
	for i := range 100 {
		requests = append(requests, ask(local(t, i)))
	}
	if _, err := f.Resolve(t.Context(), requests); !errors.Is(err, person.ErrContended) || !errors.Is(err, person.ErrUnavailable) {
		t.Fatalf("got %v after %d rounds", err, calls)
	}
	if calls > 50 {
		t.Fatalf("gave up after %d rounds only", calls)
	}
}

// drawRequest names persons among few identifiers, so that they meet.
func drawRequest(t *rapid.T) person.Request {
	makers := []func(tb, int) person.Identifier{anpr, stp, local}
	n := rapid.IntRange(1, 3).Draw(t, "identifiers")
	r := person.Request{MayAttach: rapid.Bool().Draw(t, "attach")}
	for range n {
		m := rapid.IntRange(0, len(makers)-1).Draw(t, "system")
		r.Identifiers = append(r.Identifiers, makers[m](t, rapid.IntRange(0, 3).Draw(t, "n")))
	}
	return r
}

// oracle is the directory as protocol.md 2.3 says it, one request at a time, on
// a map of keys; subjects are numbered as they come.
type oracle map[string]int

func (o oracle) resolve(r person.Request, next int) (subject int, conflict []int) {
	ids := slices.Clone(r.Identifiers)
	slices.SortStableFunc(ids, func(a, b person.Identifier) int {
		if c := b.System().Strength() - a.System().Strength(); c != 0 {
			return c
		}
		return slices.Compare(a.Key(), b.Key())
	})
	subject = -1
	for _, id := range ids {
		s, ok := o[string(id.Key())]
		switch {
		case ok && subject < 0:
			subject = s
		case ok && s != subject && !slices.Contains(conflict, s):
			conflict = append(conflict, s)
		}
	}
	fresh := subject < 0
	if fresh {
		subject = next
	}
	for _, id := range ids {
		if _, ok := o[string(id.Key())]; !ok && (fresh || r.MayAttach && len(conflict) == 0) {
			o[string(id.Key())] = subject
		}
	}
	return subject, conflict
}

// TestOracle: whatever the cut into batches, the replicas, rotations and the
// size of memory, the directory answers as the rules do one by one.
func TestOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := newFixture(1)
		replicas := []*person.Directory{f.Directory, f.another(2),
			person.NewDirectory(person.Options{Store: f.store, Digester: f.digest, Rand: rand.New(rand.NewSource(3)), Cache: 2})}
		o := oracle{}
		numbers := map[exchange.SubjectID]int{}
		next := 0
		for range rapid.IntRange(1, 12).Draw(t, "batches") {
			if rapid.IntRange(0, 4).Draw(t, "rotate") == 0 && len(f.digest.live) < 3 {
				f.digest.live = append([]uint32{f.digest.live[0] + 1}, f.digest.live...)
			}
			requests := rapid.SliceOfN(rapid.Custom(drawRequest), 1, 6).Draw(t, "requests")
			got := resolve(t, replicas[rapid.IntRange(0, 2).Draw(t, "replica")], requests...)
			for i, r := range requests {
				want, conflict := o.resolve(r, next)
				if _, seen := numbers[got[i].Subject]; !seen && want == next {
					numbers[got[i].Subject] = next
				}
				if numbers[got[i].Subject] != want || got[i].New != (want == next) {
					t.Fatalf("request %d: subject %d, want %d", i, numbers[got[i].Subject], want)
				}
				if want == next {
					next++
				}
				var others []int
				for _, c := range got[i].Conflict {
					others = append(others, numbers[c])
				}
				slices.Sort(others)
				slices.Sort(conflict)
				if !slices.Equal(others, conflict) {
					t.Fatalf("request %d: conflict with %v, want %v", i, others, conflict)
				}
			}
		}
		owners := map[exchange.SubjectID]bool{}
		for _, r := range f.store.Rows() {
			owners[r.Subject] = true
		}
		if len(owners) != next {
			t.Fatalf("%d persons in the store, %d by the rules", len(owners), next)
		}
	})
}

// TestConcurrent: two replicas and many goroutines meet the same new persons at
// once, with one or more identifiers in any order; each is one person.
func TestConcurrent(t *testing.T) {
	f := newFixture(1)
	replicas := []*person.Directory{f.Directory, f.another(2)}
	const workers, persons = 8, 60
	subjects := make([][persons]exchange.SubjectID, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			order := rand.New(rand.NewSource(int64(w))).Perm(persons)
			for len(order) > 0 {
				n := min(len(order), 1+w)
				var requests []person.Request
				for _, p := range order[:n] {
					ids := []person.Identifier{anpr(t, p), stp(t, p), local(t, p)}
					if w%2 == 0 {
						slices.Reverse(ids)
					}
					requests = append(requests, ask(ids...))
				}
				results, err := replicas[w%2].Resolve(t.Context(), requests)
				if err != nil {
					t.Errorf("worker %d: %v", w, err)
					return
				}
				for i, p := range order[:n] {
					subjects[w][p] = results[i].Subject
					if len(results[i].Conflict) != 0 {
						t.Errorf("person %d became two", p)
					}
				}
				order = order[n:]
			}
		})
	}
	wg.Wait()
	for w := range subjects {
		if subjects[w] != subjects[0] {
			t.Fatalf("worker %d has other persons than worker 0", w)
		}
	}
	if n := len(f.store.Rows()); n != 3*persons {
		t.Fatalf("%d rows for %d persons of three identifiers", n, persons)
	}
}

func BenchmarkResolveKnown(b *testing.B) {
	f := newFixture(1)
	requests := make([]person.Request, 500)
	for i := range requests {
		requests[i] = ask(anpr(b, i), local(b, i))
	}
	if _, err := f.Resolve(b.Context(), requests); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Resolve(b.Context(), requests); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/500, "ns/record")
}
