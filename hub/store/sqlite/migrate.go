package sqlite

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"sort"
	"strings"

	"raccordo/hub/exchange"
	"raccordo/hub/store"

	"golang.org/x/mod/sumdb/tlog"
)

//go:embed migrations/*.sql
var embedded embed.FS

// migrationFiles holds one file per step of the schema, in order of their
// names; a step is never changed once released.
var migrationFiles fs.FS = embedded

// applicationID marks our files in SQLite's header ("RcSt").
const applicationID = 0x52635374

// migrate brings the schema forward, each step in a transaction of its own. A
// schema from a later version, or a database of somebody else's, is
// [store.ErrSchema].
func migrate(c *conn, files fs.FS) error {
	names, err := fs.Glob(files, "migrations/*.sql")
	if err != nil {
		return err
	}
	sort.Strings(names)
	var version, application, objects int64
	err = errors.Join(
		c.one("PRAGMA user_version", func(v row) error { version = v.int(0); return nil }),
		c.one("PRAGMA application_id", func(v row) error { application = v.int(0); return nil }),
		c.one("SELECT count(*) FROM sqlite_schema", func(v row) error { objects = v.int(0); return nil }))
	if err != nil {
		return err
	}
	if objects > 0 && application != applicationID {
		return fmt.Errorf("not a store of this program: %w", store.ErrSchema)
	}
	if version > int64(len(names)) {
		return fmt.Errorf("version %d, known up to %d: %w", version, len(names), store.ErrSchema)
	}
	for i := version; i < int64(len(names)); i++ {
		text, err := fs.ReadFile(files, names[i])
		if err != nil {
			return err
		}
		if err := step(c, string(text), i+1); err != nil {
			return fmt.Errorf("migration %s: %w", names[i], err)
		}
	}
	return nil
}

func step(c *conn, text string, version int64) error {
	if err := c.script("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err := c.script(text)
	if err == nil {
		err = c.script(fmt.Sprintf("PRAGMA user_version=%d; PRAGMA application_id=%d", version, applicationID))
	}
	if err == nil {
		err = c.script("COMMIT")
	}
	if err != nil {
		_ = c.script("ROLLBACK") // SQLite may have done it already
	}
	return err
}

// sameSchema compares the schema with the one that the migrations make of an
// empty database: its text lies in the file like everything else, and a column
// or a condition of an index that reads differently would change answers.
func sameSchema(c *conn, files fs.FS) error {
	fresh, err := connect("file::memory:?mode=memory")
	if err != nil {
		return err
	}
	defer func() { _ = fresh.close() }()
	if err := migrate(fresh, files); err != nil {
		return err
	}
	want, err := schemaText(fresh)
	if err != nil {
		return err
	}
	got, err := schemaText(c)
	if err == nil && got != want {
		err = fmt.Errorf("schema: %w", store.ErrCorrupt)
	}
	return err
}

func schemaText(c *conn) (string, error) {
	var text strings.Builder
	err := c.query("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%' ORDER BY type, name", func(v row) error {
		for i := range v {
			text.WriteString(v.text(i))
			text.WriteByte(0)
		}
		return nil
	})
	return text.String(), err
}

// quickCheck has SQLite look through the structure of the whole file.
func quickCheck(c *conn) error {
	return c.query("PRAGMA quick_check(1)", func(v row) error {
		if v.text(0) != "ok" {
			return fmt.Errorf("quick_check: %w", store.ErrCorrupt)
		}
		return nil
	})
}

// essentials makes sure that ledger and head fit each other: as many entries
// and tree hashes as the head says, and a last entry that is what its hash
// says.
func essentials(c *conn) error {
	r := &reader{c: c}
	head, err := r.Head()
	if err != nil {
		return err
	}
	var entries, hashes int64
	err = errors.Join(
		c.one("SELECT coalesce(max(seq)+1, 0) FROM entries", func(v row) error { entries = v.int(0); return nil }),
		c.one("SELECT coalesce(max(idx)+1, 0) FROM hashes", func(v row) error { hashes = v.int(0); return nil }))
	if err != nil {
		return err
	}
	if uint64(entries) != head.Size || hashes != tlog.StoredHashCount(int64(head.Size)) {
		return fmt.Errorf("head and entries differ: %w", store.ErrCorrupt)
	}
	if head.Size == 0 {
		return nil
	}
	last, err := r.entries(head.Size-1, 1)
	if err != nil {
		return err
	}
	return checkEntry(r, last[0])
}

// checkEntry compares a stored entry with its own hashes: leaf with the tree,
// rows and fact with the leaf.
func checkEntry(r *reader, e store.StoredEntry) error {
	leaf, err := exchange.DecodeLeaf(e.Leaf)
	if err != nil {
		return fmt.Errorf("entry %d: %w: %w", e.Seq, store.ErrCorrupt, err)
	}
	hashes, err := r.Hashes([]int64{tlog.StoredHashIndex(0, int64(e.Seq))})
	if err != nil {
		return err
	}
	fact := exchange.Digest{}
	if len(e.Fact) > 0 {
		fact = exchange.DigestOf(e.Fact)
	}
	if leaf.Seq != e.Seq || leaf.ID != e.ID || tlog.RecordHash(e.Leaf) != tlog.Hash(hashes[0]) ||
		leaf.RowsRoot != exchange.RowsRoot(e.Rows) || leaf.FactDigest != fact {
		return fmt.Errorf("entry %d is not what its hashes say: %w", e.Seq, store.ErrCorrupt)
	}
	return nil
}
