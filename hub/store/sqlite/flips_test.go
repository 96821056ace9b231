package sqlite_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
	"raccordo/hub/store/sqlite"
	"raccordo/hub/store/storetest"
)

// furnish writes something of everything, in n ledger and n side transactions.
func furnish(s store.Store, n int) error {
	ctx := context.Background()
	for i := range n {
		id := [16]byte{1, byte(i), byte(i >> 8)}
		other := [16]byte{2, byte(i), byte(i >> 8)}
		err := s.Ledger(ctx, func(tx store.LedgerTx) error {
			e := storetest.ClaimEntry(i, 3)
			seq, err := storetest.Append(tx, e)
			if err != nil {
				return err
			}
			row := store.WaitingRow{ID: uint64(i + 1), Flow: "test_flow", Principal: id, Event: store.EventReady, System: "test_system", State: store.WaitingIdle,
				Header: []byte("header of waiting"), Sealed: []byte("sealed of waiting")}
			_, err = tx.Next("counter", 3, 0)
			return errors.Join(err, tx.PutClaims([]store.Claim{storetest.ClaimOf(seq, e)}), tx.PutWaiting([]store.WaitingRow{row}),
				tx.PutConsents([]store.ConsentRow{{Consent: id, Subject: other, Status: "given", Permits: true, Seq: seq, Event: []byte("event of consent")}}),
				tx.PutLinks([]store.LinkRow{{A: id, B: other, Seq: seq}}), tx.PutDossiers([]store.DossierRow{{Dossier: id, Subject: id, Seq: seq}}),
				tx.MoveCursors([]store.CursorMove{{Key: store.CursorKey{System: exchange.SystemID(fmt.Sprint("s", i))}, Expect: exchange.Start(), To: store.Cursor{Frame: id}}}),
				tx.PutParked([]store.ParkedRow{{ID: uint64(i + 1), Flow: "test_flow", Header: []byte("header of parked"), Sealed: []byte("sealed of parked")}}))
		})
		if err != nil {
			return err
		}
		err = s.Side(ctx, func(tx store.SideTx) error {
			_, err := tx.AddDirectory([]store.DirectoryRow{{Digest: exchange.Digest(exchange.DigestOf(id[:])), Subject: id, System: "CF"}})
			return errors.Join(err, tx.PutKeys([]store.KeyRow{{System: "test_system", KeyMAC: exchange.DigestOf(other[:]), Frame: id}}),
				tx.PutRecords([]store.RecordRow{{Record: id, Producer: "test_system", Type: "service_request", Flows: []exchange.FlowID{"test_flow"}}}),
				tx.PutStatus([]store.StatusRow{{Record: id, Flow: 7, State: exchange.StateClaimed, Seq: 1}}), tx.SetProgress("test", int64(i)),
				tx.PutCheckpoint(store.CheckpointRow{Size: uint64(i), Note: []byte("note of checkpoint")}), tx.PutEvidence(id, []byte("sealed evidence")))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// dump is what the store answers to every question furnish has an answer for.
func dump(s store.Store, n int) ([]byte, error) {
	var out bytes.Buffer
	err := s.View(context.Background(), func(tx store.ReadTx) error {
		var errs []error
		say := func(x any, err error) {
			fmt.Fprintf(&out, "%+v\n", x)
			errs = append(errs, err)
		}
		head, err := tx.Head()
		say(head, err)
		entries, err := tx.Entries(0, 1000)
		say(entries, err)
		claims, err := tx.OpenClaims()
		say(claims, err)
		cursors, err := tx.AllCursors()
		say(cursors, err)
		due, err := tx.Due(store.WaitingQuery{System: "test_system", Limit: 1000})
		say(due, err)
		parked, err := tx.ParkedList(0, 1000)
		say(parked, err)
		counts, err := tx.StateCounts()
		say(counts, err)
		latest, err := tx.LatestCheckpoint()
		say(latest, err)
		at, ok, err := tx.Progress("test")
		say([]any{at, ok}, err)
		for i := range n {
			id := [16]byte{1, byte(i), byte(i >> 8)}
			other := [16]byte{2, byte(i), byte(i >> 8)}
			consents, err := tx.Consents([]exchange.SubjectID{other})
			say(consents, err)
			links, err := tx.Links([]exchange.SubjectID{other})
			say(links, err)
			dossier, err := tx.DossierByID(id)
			say(dossier, err)
			subject, err := tx.Directory([]exchange.Digest{exchange.DigestOf(id[:])})
			say(subject, err)
			key, err := tx.Key("test_system", exchange.DigestOf(other[:]))
			say(key, err)
			record, err := tx.Record(id)
			say(record, err)
			status, err := tx.StatusOf(id)
			say(status, err)
			evidence, err := tx.Evidence(id)
			say(evidence, err)
			checkpoint, err := tx.Checkpoint(uint64(i))
			say(checkpoint, err)
		}
		return errors.Join(errs...)
	})
	return out.Bytes(), err
}

// stand copies files into a fresh directory, with one bit of one turned over.
func stand(t *testing.T, files map[string][]byte, name string, bit int) string {
	t.Helper()
	dir := t.TempDir()
	for f, b := range files {
		if f == name {
			b = bytes.Clone(b)
			b[bit/8] ^= 1 << (bit % 8)
		}
		must(t, os.WriteFile(filepath.Join(dir, f), b, 0o600))
	}
	return dir
}

func readFiles(t *testing.T, dir string, names ...string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, n := range names {
		b, err := os.ReadFile(filepath.Join(dir, n))
		must(t, err)
		files[n] = b
	}
	return files
}

const furniture = 40

// TestFlippedDatabase turns over single bits of a closed database. Either
// opening or checking it fails, or everything it answers is as it was.
func TestFlippedDatabase(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	must(t, furnish(s, furniture))
	want, err := dump(s, furniture)
	must(t, err)
	must(t, s.Check(context.Background()))
	must(t, s.Close())
	files := readFiles(t, dir, sqlite.FileName)
	size := len(files[sqlite.FileName])
	random := rand.New(rand.NewPCG(1, 2))
	seen, silent := 0, 0
	for i := range 150 {
		bit := random.IntN(size * 8)
		if i < 30 {
			bit = random.IntN(100 * 8) // the file's header
		}
		got, found := lookAt(t, stand(t, files, sqlite.FileName, bit))
		switch {
		case found != nil:
			seen++
		case !bytes.Equal(got, want):
			t.Errorf("bit %d: checked as whole, and answers differ", bit)
		default:
			silent++
		}
	}
	t.Logf("%d flips found, %d in bytes that mean nothing", seen, silent)
	if seen == 0 {
		t.Fatal("no flip was found")
	}
}

// lookAt opens, checks and dumps a store.
func lookAt(t *testing.T, dir string) (got []byte, found error) {
	t.Helper()
	s, err := sqlite.Open(context.Background(), sqlite.Options{Dir: dir})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	if err := s.Check(context.Background()); err != nil {
		if !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("checking found damage and calls it %v", err)
		}
		return nil, err
	}
	got, err = dump(s, furniture)
	return got, err
}

// TestFlippedRows turns a bit in the middle of stored values, and asks for
// just those rows, without a check before.
func TestFlippedRows(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	must(t, furnish(s, furniture))
	must(t, s.Close())
	files := readFiles(t, dir, sqlite.FileName)
	for _, value := range []string{"header of waiting", "sealed of waiting", "event of consent", "header of parked", "note of checkpoint", "sealed evidence"} {
		at := bytes.LastIndex(files[sqlite.FileName], []byte(value))
		if at < 0 {
			t.Fatalf("%q is not in the file", value)
		}
		s, err := sqlite.Open(context.Background(), sqlite.Options{Dir: stand(t, files, sqlite.FileName, at*8+3)})
		must(t, err)
		_, err = dump(s, furniture)
		if !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%q was flipped: got %v, want ErrCorrupt", value, err)
		}
		must(t, s.Close())
	}
}

// TestFlippedSchema: the text of the schema is compared at every opening.
func TestFlippedSchema(t *testing.T) {
	dir := t.TempDir()
	must(t, open(t, dir).Close())
	files := readFiles(t, dir, sqlite.FileName)
	for _, word := range []string{"sum INTEGER", "event = 'consent'", "CHECK (a < b)"} {
		if !bytes.Contains(files[sqlite.FileName], []byte(word)) {
			t.Fatalf("%q is not in the file", word)
		}
		flipped := []byte(word) // everywhere: pages that were split hold old copies
		flipped[len(word)-3] ^= 1
		file := bytes.ReplaceAll(files[sqlite.FileName], []byte(word), flipped)
		if err := reopen(stand(t, map[string][]byte{sqlite.FileName: file}, "", 0), exchange.HubID{}); err == nil {
			t.Errorf("%q was flipped: opened", word)
		} else {
			t.Logf("%q: %v", word, err)
		}
	}
}

// TestFlippedLog turns over single bits of a write-ahead log left by a crash.
// Unless the bit is in the last transaction, everything is there or nothing is
// served.
func TestFlippedLog(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	must(t, furnish(s, furniture))
	logPath := filepath.Join(dir, sqlite.FileName+"-wal")
	before, err := os.Stat(logPath)
	must(t, err)
	must(t, furnishLast(s))
	want, err := dump(s, furniture)
	must(t, err)
	files := readFiles(t, dir, sqlite.FileName, sqlite.FileName+"-wal") // as a kill would leave them
	size := len(files[sqlite.FileName+"-wal"])
	if int(before.Size()) >= size {
		t.Fatal("the log did not grow with the last transaction")
	}
	got, found := lookAt(t, stand(t, files, "", 0))
	must(t, found)
	if !bytes.Equal(got, want) {
		t.Fatal("the copy is not whole")
	}
	random := rand.New(rand.NewPCG(3, 4))
	seen, last := 0, 0
	for i := range 150 {
		bit := random.IntN(size * 8)
		if i < 20 {
			bit = random.IntN(32 * 8)
		}
		got, found := lookAt(t, stand(t, files, sqlite.FileName+"-wal", bit))
		switch {
		case found != nil:
			seen++
		case bytes.Equal(got, want):
		case int64(bit/8) >= before.Size():
			last++
		default:
			t.Errorf("bit %d of %d: opened, and answers differ", bit, size*8)
		}
	}
	t.Logf("%d flips found, %d taken for a torn end", seen, last)
	if seen == 0 {
		t.Fatal("no flip was found")
	}
}

// furnishLast is one more transaction, to be the last of a log.
func furnishLast(s store.Store) error {
	return s.Side(context.Background(), func(tx store.SideTx) error {
		return errors.Join(tx.SetProgress("test", 999), tx.PutEvidence([16]byte{1}, []byte("more")))
	})
}

// TestTornLog: what a power cut leaves of a transaction nobody was told of is
// no damage. The log is cut anywhere in its last transaction, or single frames
// of it never reached the disk; then the store opens as it was before it.
func TestTornLog(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	must(t, furnish(s, furniture))
	before, err := dump(s, furniture)
	must(t, err)
	start, err := os.Stat(filepath.Join(dir, sqlite.FileName+"-wal"))
	must(t, err)
	must(t, furnish2(s))
	files := readFiles(t, dir, sqlite.FileName, sqlite.FileName+"-wal")
	log, from := files[sqlite.FileName+"-wal"], int(start.Size())
	const frame = 24 + 4096
	if len(log)-from < 8*frame {
		t.Fatalf("the last transaction has only %d bytes", len(log)-from)
	}
	random := rand.New(rand.NewPCG(5, 6))
	for i := range 40 {
		torn := bytes.Clone(log)
		if i%2 == 0 {
			torn = torn[:from+random.IntN(len(log)-from)]
		} else {
			at := from + frame*random.IntN((len(log)-from)/frame)
			clear(torn[at : at+frame])
		}
		got, found := lookAt(t, stand(t, map[string][]byte{sqlite.FileName: files[sqlite.FileName], sqlite.FileName + "-wal": torn}, "", 0))
		must(t, found)
		if !bytes.Equal(got, before) {
			t.Fatalf("round %d: the store is not as it was before the torn transaction", i)
		}
	}
}

// furnish2 is a transaction of many pages.
func furnish2(s store.Store) error {
	return s.Side(context.Background(), func(tx store.SideTx) error {
		return errors.Join(tx.SetProgress("test", 999), tx.PutEvidence([16]byte{1}, make([]byte, 60_000)))
	})
}
