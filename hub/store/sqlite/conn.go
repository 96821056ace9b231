package sqlite

import (
	"context"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"modernc.org/sqlite"

	"raccordo/hub/store"
)

// SQLite's primary result codes that are told apart (sqlite.org/rescode.html).
const (
	codeNoMem      = 7
	codeIOErr      = 10
	codeCorrupt    = 11
	codeFull       = 13
	codeConstraint = 19
	codeNotADB     = 26
)

// errDevice says that the file could not be read, written or synced.
var errDevice = errors.New("the database file cannot be read or written")

// conn is one connection with its prepared statements. It belongs to one
// goroutine at a time.
type conn struct {
	driver     driver.Conn
	statements map[string]driver.Stmt
	args       []driver.NamedValue // scratch; the driver copies what it binds
	inserts    map[insertText]string
	rooms      [][]any // of inserters that are done, empty

	// aborted is set by an error after which SQLite may have undone the whole
	// transaction, fatal by one after which nothing on this file is trusted.
	aborted bool
	fatal   error
}

func connect(dsn string) (*conn, error) {
	d := &sqlite.Driver{}
	c, err := d.Open(dsn)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", classify(err))
	}
	return &conn{driver: c, statements: map[string]driver.Stmt{}, inserts: map[insertText]string{}}, nil
}

func (c *conn) close() error {
	var errs []error
	for _, s := range c.statements {
		errs = append(errs, s.Close())
	}
	c.statements = nil
	return errors.Join(append(errs, c.driver.Close())...)
}

// classify gives an error of the driver the sentinel it stands for. SQLite's
// texts name tables and columns, never values.
func classify(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case codeFull:
		return fmt.Errorf("%w: %w", store.ErrFull, err)
	case codeCorrupt, codeNotADB:
		return fmt.Errorf("%w: %w", store.ErrCorrupt, err)
	case codeIOErr, codeNoMem:
		return fmt.Errorf("%w: %w", errDevice, err)
	case codeConstraint:
		return fmt.Errorf("%w: %w", store.ErrConflict, err)
	}
	return err
}

func (c *conn) fail(err error) error {
	err = classify(err)
	switch {
	case errors.Is(err, store.ErrFull):
		c.aborted = true
	case errors.Is(err, errDevice), errors.Is(err, store.ErrCorrupt):
		c.aborted = true
		c.fatal = err
	}
	return err
}

func (c *conn) statement(query string) (driver.Stmt, error) {
	if s := c.statements[query]; s != nil {
		return s, nil
	}
	s, err := c.driver.(driver.ConnPrepareContext).PrepareContext(context.Background(), query)
	if err != nil {
		return nil, c.fail(err)
	}
	c.statements[query] = s
	return s, nil
}

func (c *conn) bind(args []any) []driver.NamedValue {
	c.args = c.args[:0]
	for i, a := range args {
		c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: a})
	}
	return c.args
}

// exec runs a statement and gives the number of rows it changed. Arguments are
// int64, string and []byte only. No context is passed on: a cancelled one
// would interrupt SQLite in the middle of what it must finish.
func (c *conn) exec(query string, args ...any) (int, error) {
	s, err := c.statement(query)
	if err != nil {
		return 0, err
	}
	r, err := s.(driver.StmtExecContext).ExecContext(context.Background(), c.bind(args))
	if err != nil {
		return 0, c.fail(err)
	}
	n, err := r.RowsAffected()
	return int(n), err
}

// query calls each for every row of the result; each must not use c.
func (c *conn) query(query string, each func(v row) error, args ...any) error {
	s, err := c.statement(query)
	if err != nil {
		return err
	}
	rows, err := s.(driver.StmtQueryContext).QueryContext(context.Background(), c.bind(args))
	if err != nil {
		return c.fail(err)
	}
	values := make([]driver.Value, len(rows.Columns()))
	for err == nil {
		if err = rows.Next(values); err == nil {
			err = each(values)
		} else if !errors.Is(err, io.EOF) {
			err = c.fail(err)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if e := rows.Close(); e != nil && err == nil {
		err = c.fail(e)
	}
	return err
}

// one is query for a single row; [store.ErrNotFound] if there is none.
func (c *conn) one(query string, each func(v row) error, args ...any) error {
	found := false
	err := c.query(query, func(v row) error { found = true; return each(v) }, args...)
	if err == nil && !found {
		err = store.ErrNotFound
	}
	return err
}

// script runs statements that take no argument and are not kept.
func (c *conn) script(sql string) error {
	s, err := c.driver.(driver.ConnPrepareContext).PrepareContext(context.Background(), sql)
	if err != nil {
		return c.fail(err)
	}
	defer s.Close()
	if _, err := s.(driver.StmtExecContext).ExecContext(context.Background(), nil); err != nil {
		return c.fail(err)
	}
	return nil
}

// castagnoli is an immutable table.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sum is the checksum of a row's columns.
func sum[T any](columns []T) int64 {
	var s uint32
	var head [9]byte
	for i := range columns {
		var body []byte
		switch x := any(columns[i]).(type) {
		case int64:
			head[0] = 'i'
			binary.BigEndian.PutUint64(head[1:], uint64(x))
		case string:
			head[0] = 't'
			binary.BigEndian.PutUint64(head[1:], uint64(len(x)))
			body = []byte(x)
		case []byte:
			head[0] = 'b'
			binary.BigEndian.PutUint64(head[1:], uint64(len(x)))
			body = x
		}
		s = crc32.Update(s, castagnoli, head[:])
		s = crc32.Update(s, castagnoli, body)
	}
	return int64(s)
}

// summed appends the checksum of the columns.
func summed(columns ...any) []any { return append(columns, sum(columns)) }

// check compares the checksum, the last of the values, with the others.
func check(v row) error {
	n := len(v) - 1
	if got, ok := v[n].(int64); !ok || got != sum(v[:n]) {
		return fmt.Errorf("checksum of a row: %w", store.ErrCorrupt)
	}
	return nil
}

// inserter gathers rows of one table and writes many with each statement.
type inserter struct {
	c          *conn
	head, tail string // INSERT INTO t (...) VALUES, and what follows the rows
	columns    int
	args       []any
}

// insertRows is how many rows share a statement; more gains nothing.
const insertRows = 50

// insertText tells the texts of an inserter's statements apart.
type insertText struct {
	head, tail string
	rows       int
}

func (c *conn) inserter(head string, columns int, tail string) *inserter {
	return &inserter{c: c, head: head, tail: tail, columns: columns}
}

func (i *inserter) add(columns ...any) error {
	if n := len(i.c.rooms); i.args == nil && n > 0 {
		i.args, i.c.rooms = i.c.rooms[n-1], i.c.rooms[:n-1]
	}
	i.args = append(i.args, columns...)
	if len(i.args) < insertRows*i.columns {
		return nil
	}
	return i.write(insertRows)
}

func (i *inserter) write(rows int) error {
	args := i.args[:rows*i.columns]
	text := insertText{i.head, i.tail, rows}
	query, ok := i.c.inserts[text]
	if !ok {
		row := "(" + strings.Repeat(",?", i.columns)[1:] + ")"
		query = i.head + strings.Repeat(","+row, rows)[1:] + i.tail
		i.c.inserts[text] = query
	}
	_, err := i.c.exec(query, args...)
	i.args = append(i.args[:0], i.args[rows*i.columns:]...)
	return err
}

// flush writes the rest in powers of two, so that few statements are kept. The
// inserter is done then: its room is the next one's.
func (i *inserter) flush() error {
	for n := len(i.args) / i.columns; n > 0; n = len(i.args) / i.columns {
		k := 1
		for k*2 <= n {
			k *= 2
		}
		if err := i.write(k); err != nil {
			return err
		}
	}
	if i.args != nil {
		clear(i.args[:cap(i.args)])
		i.c.rooms = append(i.c.rooms, i.args[:0])
		i.args = nil
	}
	return nil
}

// intLists are the lengths of IN lists that statements are kept for.
var intLists = [...]int{1, 8, 64, 512}

// ints runs a query whose text ends in an IN list over all values, in lists of
// few lengths; a list is filled up with its last value.
func (c *conn) ints(query, tail string, values []int64, each func(v row) error) error {
	for len(values) > 0 {
		size := intLists[len(intLists)-1]
		for _, s := range intLists {
			if s >= len(values) {
				size = s
				break
			}
		}
		part := values[:min(size, len(values))]
		values = values[len(part):]
		args := make([]any, size)
		for i := range args {
			args[i] = part[min(i, len(part)-1)]
		}
		list := " IN (" + strings.Repeat(",?", size)[1:] + ")"
		if err := c.query(query+list+tail, each, args...); err != nil {
			return err
		}
	}
	return nil
}

// row is the values of one row: int64, string, []byte or nil.
type row []driver.Value

func (r row) int(i int) int64 { n, _ := r[i].(int64); return n }

func (r row) text(i int) string { s, _ := r[i].(string); return s }

func (r row) blob(i int) []byte { b, _ := r[i].([]byte); return b }
