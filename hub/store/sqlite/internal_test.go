package sqlite

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

func openOne(t testing.TB, path string) *conn {
	t.Helper()
	if err := createFile(path); err != nil {
		t.Fatal(err)
	}
	c, err := connect(dsn(path))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.close() })
	return c
}

func version(t testing.TB, c *conn) (n int64) {
	t.Helper()
	if err := c.one("PRAGMA user_version", func(v row) error { n = v.int(0); return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestMigrations: steps run once each and in order, a step that fails leaves
// nothing of itself, and a schema from later is refused.
func TestMigrations(t *testing.T) {
	c := openOne(t, filepath.Join(t.TempDir(), "x.db"))
	one := &fstest.MapFile{Data: []byte("CREATE TABLE a (x INTEGER) STRICT; -- first\nINSERT INTO a VALUES (1);")}
	bad := &fstest.MapFile{Data: []byte("INSERT INTO a VALUES (2); CREATE TABLE b (x INTEGER) STRICT; INSERT INTO nowhere VALUES (1);")}
	good := &fstest.MapFile{Data: []byte("INSERT INTO a VALUES (3); CREATE TABLE b (x INTEGER) STRICT;")}
	rows := func(want int64) {
		t.Helper()
		if err := c.one("SELECT count(*) FROM a", func(v row) error {
			if v.int(0) != want {
				return fmt.Errorf("%d rows, want %d", v.int(0), want)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := migrate(c, fstest.MapFS{"migrations/0001_a.sql": one}); err != nil {
			t.Fatal(err)
		}
		rows(1)
	}
	if err := migrate(c, fstest.MapFS{"migrations/0001_a.sql": one, "migrations/0002_b.sql": bad}); err == nil {
		t.Fatal("a step that fails is no error")
	}
	rows(1)
	if v := version(t, c); v != 1 {
		t.Fatalf("version %d after a failed step", v)
	}
	if err := migrate(c, fstest.MapFS{"migrations/0001_a.sql": one, "migrations/0002_b.sql": good}); err != nil {
		t.Fatal(err)
	}
	rows(2)
	if v := version(t, c); v != 2 {
		t.Fatalf("version %d, want 2", v)
	}
	if err := migrate(c, fstest.MapFS{"migrations/0001_a.sql": one}); !errors.Is(err, store.ErrSchema) {
		t.Fatalf("an older program: got %v, want ErrSchema", err)
	}
}

// TestOtherDatabases: a database that is not ours, not SQLite's, or newer, is
// refused and left as it is.
func TestOtherDatabases(t *testing.T) {
	try := func(name string, prepare func(path string), want error) {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), FileName)
			prepare(path)
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Open(context.Background(), Options{Path: path, Rand: rand.Reader}); !errors.Is(err, want) {
				t.Fatalf("got %v, want %v", err, want)
			}
			after, err := os.ReadFile(path)
			if err != nil || name != "newer" && name != "foreign tables" && string(after) != string(before) {
				t.Fatalf("the file was changed: %v", err)
			}
		})
	}
	write := func(sql string) func(path string) {
		return func(path string) {
			c := openOne(t, path)
			if err := c.script(sql); err != nil {
				t.Fatal(err)
			}
			if err := c.close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	try("foreign tables", write("CREATE TABLE theirs (x INTEGER)"), store.ErrSchema)
	try("no database", func(path string) {
		if err := os.WriteFile(path, []byte(strings.Repeat("not a database ", 1000)), 0o600); err != nil {
			t.Fatal(err)
		}
	}, store.ErrCorrupt)
	try("newer", func(path string) {
		s, err := Open(context.Background(), Options{Path: path, Rand: rand.Reader})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		write("PRAGMA user_version = 1000")(path)
	}, store.ErrSchema)
}

func TestOldLibrary(t *testing.T) {
	c := openOne(t, filepath.Join(t.TempDir(), "x.db"))
	for want, fits := range map[[3]int]bool{{3, 51, 3}: true, {3, 0, 999}: true, {2, 999, 0}: true, {3, 999, 0}: false, {4, 0, 0}: false} {
		if err := versionAtLeast(c, want); (err == nil) != fits {
			t.Errorf("at least %v: %v", want, err)
		}
	}
}

// TestPragmas: what durability rests on is what the connection says.
func TestPragmas(t *testing.T) {
	s, err := Open(context.Background(), Options{Dir: t.TempDir(), Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "wal_autocheckpoint": "0", "temp_store": "2",
		"mmap_size": "0", "trusted_schema": "0", "cache_size": "-65536"} {
		err := s.submit(context.Background(), func(x *tx) error {
			return x.one("PRAGMA "+pragma, func(v row) error {
				if got := fmt.Sprint(v[0]); got != want {
					return fmt.Errorf("%s is %s, want %s", pragma, got, want)
				}
				return nil
			})
		})
		if err != nil {
			t.Error(err)
		}
	}
	c := <-s.pool
	if _, err := c.exec("DELETE FROM head"); err == nil {
		t.Error("a reading connection can write")
	}
	s.pool <- c
}

// TestLogIsBounded: while a view holds an old snapshot the log grows, when it
// is gone the log starts anew; and when nothing is to be done it is emptied.
func TestLogIsBounded(t *testing.T) {
	s, err := Open(context.Background(), Options{Dir: t.TempDir(), Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx := context.Background()
	turn := byte(0) // SQLite does not write what has not changed
	write := func(n int) {
		for range n {
			turn++
			evidence := bytes.Repeat([]byte{turn}, 200_000)
			err := s.Side(ctx, func(tx store.SideTx) error { return tx.PutEvidence(exchange.ConsentID{1}, evidence) })
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	size := func() int64 {
		info, err := os.Stat(s.path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	write(400) // 80 MB
	if n := size(); n > 16<<20 {
		t.Fatalf("the log has %d bytes", n)
	}
	err = s.View(ctx, func(store.ReadTx) error { write(400); return nil })
	if err != nil {
		t.Fatal(err)
	}
	grown := size()
	write(200)
	if n := size(); grown < 64<<20 || n > 16<<20 {
		t.Fatalf("the log had %d bytes under a view and has %d after it", grown, n)
	}
	for deadline := 0; size() != 0; deadline++ {
		if deadline > 1e6 {
			t.Fatal("the log is not emptied when nothing is to be done")
		}
	}
}

// TestPlans: no statement of the engine looks through a whole large table.
func TestPlans(t *testing.T) {
	s, err := Open(context.Background(), Options{Dir: t.TempDir(), Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	askEverything(t, s)
	may := []string{ // small or asked for whole
		"SCAN head", "SCAN cursors", "SCAN claims", "SCAN client_keys", "SCAN conflicts", "SCAN suspects", "SCAN counts", "SCAN waiting_counts",
		"SCAN p", "SCAN c", "SCAN h", "SCAN links", "SCAN (", "SCAN CONSTANT ROW", "SCAN checkpoints", "SCAN sqlite_master", "SCAN sqlite_schema",
		"SCAN w USING INDEX waiting_held",
		"SCAN waiting USING COVERING INDEX waiting_received", "SCAN parked USING COVERING INDEX parked_received", "SCAN parked USING INDEX",
	}
	seen := 0
	look := func(c *conn) {
		var texts []string
		for q := range c.statements {
			if !strings.HasPrefix(q, "PRAGMA") && len(strings.Fields(q)) > 2 {
				texts = append(texts, q)
			}
		}
		for _, q := range texts {
			var steps []string
			args := make([]any, strings.Count(q, "?"))
			for i := range args {
				args[i] = int64(0)
			}
			if err := c.query("EXPLAIN QUERY PLAN "+q, func(v row) error { steps = append(steps, v.text(3)); return nil }, args...); err != nil {
				t.Errorf("%s: %v", q, err)
			}
			seen++
			for _, step := range steps {
				if strings.HasPrefix(step, "SCAN") && !startsWithAny(step, may) {
					t.Errorf("%s\n\tin %s", step, q)
				}
			}
		}
	}
	for range readers {
		c := <-s.pool
		look(c)
		defer func() { s.pool <- c }()
	}
	if err := s.submit(context.Background(), func(x *tx) error { look(x.c); return nil }); err != nil {
		t.Fatal(err)
	}
	if seen < 60 {
		t.Fatalf("only %d statements were looked at", seen)
	}
}

func startsWithAny(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if s == p || strings.HasPrefix(s, p+" ") || p == "SCAN (" && strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// askEverything has every statement of the engine prepared.
func askEverything(t *testing.T, s *Store) {
	t.Helper()
	ctx, one := context.Background(), []exchange.SubjectID{{1}}
	row := store.WaitingRow{ID: 1, Event: store.EventConsent, Subject: one[0], State: store.WaitingIdle}
	err := s.Ledger(ctx, func(tx store.LedgerTx) error {
		moved := row
		moved.Flow = "other"
		_, err := tx.Next("a", 1, 0)
		_, err1 := tx.BumpEpochs([]store.LaneKey{{Class: 1}})
		_, err2 := tx.Claims([]uint64{1})
		errs := []error{err, err1, err2, tx.PutLinks([]store.LinkRow{{A: one[0], B: exchange.SubjectID{2}}}), tx.PutConsents([]store.ConsentRow{{Subject: one[0]}}),
			tx.PutDossiers([]store.DossierRow{{Subject: one[0]}}), tx.PutClaims([]store.Claim{{Seq: 1}}), tx.PutWaiting([]store.WaitingRow{row}),
			tx.UpdateWaiting([]store.WaitingRow{moved}), tx.PutParked([]store.ParkedRow{{ID: 1}}),
			tx.MoveCursors([]store.CursorMove{{Expect: exchange.Start(), To: store.Cursor{}}})}
		_, err = tx.WakeWaiting(store.EventConsent, one)
		_, err1 = tx.Queues([]store.QueueKey{{Principal: one[0]}})
		_, err2 = tx.Cursors([]store.CursorKey{{}})
		_, err3 := tx.EntryByID(exchange.EntryID{})
		if !errors.Is(err3, store.ErrNotFound) {
			errs = append(errs, err3)
		}
		return errors.Join(append(errs, err, err1, err2, tx.DeleteWaiting([]uint64{1}), tx.CloseClaims([]uint64{1}), tx.DeleteParked([]uint64{1}))...)
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Side(ctx, func(tx store.SideTx) error {
		_, err := tx.AddDirectory([]store.DirectoryRow{{}})
		_, err1 := tx.UseOnce("a", [32]byte{}, 1)
		_, err2 := tx.ForgetUsed(1, 1)
		errs := []error{err, err1, err2, tx.PutKeys([]store.KeyRow{{}}), tx.PutKeys([]store.KeyRow{{}}), tx.PutRecords([]store.RecordRow{{}}),
			tx.PutStatus([]store.StatusRow{{State: 1}}), tx.SetProgress("a", 1), tx.PutClientKey(store.ClientKey{}), tx.PutCheckpoint(store.CheckpointRow{}),
			tx.PutConflicts([]store.ConflictRow{{B: exchange.SubjectID{1}}}), tx.DeleteConflict(exchange.SubjectID{}, exchange.SubjectID{1}),
			tx.PutEvidence(exchange.ConsentID{}, nil), tx.PutSuspects(map[exchange.RecordID]int{{}: 1, {1}: 0})}
		_, err = tx.DeleteKeysBefore(1, 1)
		return errors.Join(append(errs, err)...)
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.View(ctx, func(tx store.ReadTx) error {
		q := store.WaitingQuery{System: "a", Body: "b"}
		reads := []func() error{
			func() error { _, err := tx.Links(one); return err },
			func() error { _, err := tx.Consents(one); return err },
			func() error { _, err := tx.Dossiers(one); return err },
			func() error { _, err := tx.Entries(0, 1); return err },
			func() error { _, err := tx.Adoptions(0, 1); return err },
			func() error { _, err := tx.AllCursors(); return err },
			func() error { _, err := tx.OpenClaims(); return err },
			func() error { _, err := tx.Waiting([]uint64{1}); return err },
			func() error { _, err := tx.Parked([]uint64{1}); return err },
			func() error { _, err := tx.ParkedList(0, 1); return err },
			func() error { _, err := tx.Due(q); return err },
			func() error { _, err := tx.Expired(1, 1); return err },
			func() error { _, err := tx.Fetchable(q); return err },
			func() error { _, err := tx.FetchableSince(q, 1); return err },
			func() error { _, err := tx.FetchableSince(store.WaitingQuery{}, 1); return err },
			func() error { _, err := tx.WaitingNamed("a", []exchange.DisclosureID{{}}, []string{"n"}); return err },
			func() error { _, err := tx.WaitingCount(); return err },
			func() error { _, err := tx.StaleConsentWaits(1, 0, 1); return err },
			func() error { _, _, err := tx.ExpiringConsents(1, 1); return err },
			func() error { _, err := tx.ConsentByID(exchange.ConsentID{}); return err },
			func() error { _, err := tx.DossierByID(exchange.DossierID{}); return err },
			func() error { _, err := tx.DossierList(one[0]); return err },
			func() error { _, err := tx.Directory([]exchange.Digest{{}}); return err },
			func() error { _, err := tx.Key("a", exchange.Digest{}); return err },
			func() error { _, err := tx.KeyCount("a"); return err },
			func() error { _, _, err := tx.OldestKey(1, 1); return err },
			func() error { _, _, err := tx.OldestWaiting(); return err },
			func() error { _, _, err := tx.OldestParked(); return err },
			func() error { _, err := tx.Record(exchange.RecordID{}); return err },
			func() error { _, err := tx.StatusOf(exchange.RecordID{}); return err },
			func() error { _, err := tx.StateCounts(); return err },
			func() error { _, err := tx.ClientKeys(); return err },
			func() error { _, err := tx.LatestCheckpoint(); return err },
			func() error { _, err := tx.Checkpoint(1); return err },
			func() error { _, err := tx.Conflicts(1); return err },
			func() error { _, err := tx.Evidence(exchange.ConsentID{}); return err },
			func() error { _, err := tx.Suspects(); return err },
		}
		for i, read := range reads {
			if err := read(); err != nil && !errors.Is(err, store.ErrNotFound) {
				return fmt.Errorf("read %d: %w", i, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// FuzzClaim: whatever is in the column of a claim, decoding gives what encodes
// to the same bytes, or [store.ErrCorrupt].
func FuzzClaim(f *testing.F) {
	c := store.Claim{Lanes: []exchange.LaneRange{{Class: 1, From: exchange.Start()}}, Rows: []store.ClaimRow{{Flow: "a", Subjects: []exchange.SubjectID{{1}}, Basis: []uint64{3}},
		{Flow: "b", Mark: exchange.MarkYes}}}
	good, err := appendClaim(nil, &c)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte{claimVersion, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var c store.Claim
		if err := decodeClaim(&c, b); err != nil {
			if !errors.Is(err, store.ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		again, err := appendClaim(nil, &c)
		if err != nil {
			t.Fatal(err)
		}
		var d store.Claim
		if err := decodeClaim(&d, again); err != nil || fmt.Sprint(c) != fmt.Sprint(d) {
			t.Fatalf("%v: decoding is not stable", err)
		}
	})
}

// FuzzLog: no bytes make the reader of logs panic or read for ever.
func FuzzLog(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, 5000))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "wal")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := checkLog(path); err != nil && !errors.Is(err, store.ErrCorrupt) {
			t.Fatal(err)
		}
	})
}
