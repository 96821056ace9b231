package mapping

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"raccordo/hub/exchange"
)

// Bounds of a code list file.
const (
	maxListBytes   = 8 << 20
	maxListRows    = 100_000
	maxListColumns = 64
	maxCellBytes   = 2_000
	maxLives       = 50 // rows of one code that are compared with each other
)

// The columns with a meaning of their own.
const (
	columnCode     = "code"
	columnFrom     = "valid_from"
	columnTo       = "valid_to"
	columnCategory = "category"
)

// CodeList is a table of codes: labels, counterparts in other code systems,
// days of validity, and the categories that a code by itself reveals. It does
// not change once made and is safe for concurrent use.
type CodeList struct {
	id      string
	file    string
	source  string
	columns []string
	rows    []codeRow
}

type codeRow struct {
	line     int
	cells    []string
	from, to string // YYYY-MM-DD, both inclusive; empty is open
}

// ID is the list's name: its file name without .csv.
func (c *CodeList) ID() string { return c.id }

// Source is what the file says it was taken from.
func (c *CodeList) Source() string { return c.source }

// Columns are the names of its columns.
func (c *CodeList) Columns() []string { return slices.Clone(c.columns) }

// Codes are all codes of the list once, whatever their validity, with the
// names of the categories each reveals (those of all its rows together).
func (c *CodeList) Codes() map[string][]string {
	code, category := c.column(columnCode), c.column(columnCategory)
	out := make(map[string][]string, len(c.rows))
	for i := range c.rows {
		names := out[c.rows[i].cells[code]]
		if category >= 0 {
			for _, name := range strings.Fields(c.rows[i].cells[category]) {
				if !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
		}
		out[c.rows[i].cells[code]] = names
	}
	return out
}

// Label gives the text of a code in a column such as label_it on a day
// (YYYY-MM-DD; empty: whatever the validity), and whether there is one.
func (c *CodeList) Label(code, column, day string) (string, bool) {
	i, j := c.column(columnCode), c.column(column)
	if j < 0 {
		return "", false
	}
	for k := range c.rows {
		if r := &c.rows[k]; r.cells[i] == code && r.valid(day) && r.cells[j] != "" {
			return r.cells[j], true
		}
	}
	return "", false
}

func (r *codeRow) valid(day string) bool {
	return day == "" || ((r.from == "" || r.from <= day) && (r.to == "" || day <= r.to))
}

func (c *CodeList) column(name string) int { return slices.Index(c.columns, name) }

// ParseCodeList reads a code list: lines that begin with # and hold
// "# key: value" (source is required), then CSV (RFC 4180, comma, UTF-8) with
// a header. The column code is required; valid_from and valid_to are days, both
// inclusive; category holds names of categories with spaces between; every
// other column is a label or a counterpart. An empty cell is no counterpart.
// A code may stand in several rows whose validity does not overlap.
//
// All faults are returned; with any of them the list is nil.
func ParseCodeList(src []byte, file string) (*CodeList, []Fault) {
	fs := &faults{file: file}
	c := &CodeList{file: file, id: strings.TrimSuffix(path.Base(file), ".csv")}
	if !exchange.ValidName(c.id) || !strings.HasSuffix(file, ".csv") {
		fs.add(0, "name it lower_snake_case.csv", "the file's name is the list's name")
	}
	switch {
	case len(src) > maxListBytes:
		fs.add(0, "split it", "larger than %d bytes", maxListBytes)
	case bytes.HasPrefix(src, []byte("\xef\xbb\xbf")):
		fs.add(1, "save it as UTF-8 without a mark", "a byte order mark")
	case !utf8.Valid(src) || bytes.IndexByte(src, 0) >= 0:
		fs.add(0, "save it as UTF-8", "not UTF-8 text")
	default:
		body, line := c.head(src, fs)
		c.body(body, line, fs)
	}
	if len(fs.list) > 0 {
		return nil, fs.sorted()
	}
	return c, nil
}

// head reads the comment lines and gives the rest, with the number of lines
// before it.
func (c *CodeList) head(src []byte, fs *faults) ([]byte, int) {
	line := 0
	for bytes.HasPrefix(src, []byte("#")) {
		text, rest, _ := bytes.Cut(src, []byte("\n"))
		line++
		if key, value, ok := strings.Cut(strings.TrimSpace(string(text[1:])), ":"); ok && key == "source" {
			c.source = strings.TrimSpace(value)
		}
		src = rest
	}
	if c.source == "" {
		fs.add(1, `begin the file with a line "# source: ..."`, "the list does not say where it comes from")
	}
	return src, line
}

func (c *CodeList) body(src []byte, offset int, fs *faults) {
	r := csv.NewReader(bytes.NewReader(src))
	r.FieldsPerRecord = -1
	for {
		cells, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			var parse *csv.ParseError
			line := 0
			if errors.As(err, &parse) {
				line = offset + parse.Line
			}
			fs.add(line, "quote cells with commas, quotes or line ends; double quotes inside", "not CSV")
			return
		}
		at, _ := r.FieldPos(0)
		if c.columns == nil {
			c.header(cells, offset+at, fs)
			if len(fs.list) > 0 {
				return
			}
			continue
		}
		if len(c.rows) >= maxListRows {
			fs.add(offset+at, "split it", "more than %d rows", maxListRows)
			return
		}
		c.row(cells, offset+at, fs)
	}
	if len(c.rows) == 0 {
		fs.add(0, "", "the list has no rows")
		return
	}
	c.overlaps(fs)
}

func (c *CodeList) header(cells []string, line int, fs *faults) {
	if len(cells) > maxListColumns {
		fs.add(line, "", "more than %d columns", maxListColumns)
		return
	}
	for i, name := range cells {
		if !exchange.ValidName(name) {
			fs.add(line, "letters, digits and underscores, all lower case", "column %d has no well-formed name", i+1)
		}
		if slices.Contains(cells[:i], name) {
			fs.add(line, "remove one of them", "the column %q is there twice", clip(name))
		}
	}
	if !slices.Contains(cells, columnCode) {
		fs.add(line, "add it", "the column code is missing")
	}
	c.columns = slices.Clone(cells)
}

func (c *CodeList) row(cells []string, line int, fs *faults) {
	if len(cells) != len(c.columns) {
		fs.add(line, "", "%d cells where the header has %d", len(cells), len(c.columns))
		return
	}
	row := codeRow{line: line, cells: slices.Clone(cells)}
	for i, cell := range row.cells {
		if len(cell) > maxCellBytes || strings.ContainsFunc(cell, isControl) {
			fs.add(line, "", "the column %s holds a control character or more than %d bytes", c.columns[i], maxCellBytes)
		}
		if cell != strings.TrimSpace(cell) {
			fs.add(line, "take it away", "white space around the cell of %s", c.columns[i])
		}
		switch c.columns[i] {
		case columnCode:
			if cell == "" {
				fs.add(line, "", "the code is empty")
			}
		case columnFrom:
			row.from = c.day(cell, line, fs)
		case columnTo:
			row.to = c.day(cell, line, fs)
		}
	}
	if row.from != "" && row.to != "" && row.to < row.from {
		fs.add(line, "", "valid_to is before valid_from")
	}
	c.rows = append(c.rows, row)
}

func isControl(r rune) bool { return r < ' ' || (r >= 0x7f && r < 0xa0) || r == utf8.RuneError }

func (c *CodeList) day(cell string, line int, fs *faults) string {
	if cell == "" {
		return ""
	}
	if _, err := time.Parse(time.DateOnly, cell); err != nil {
		fs.add(line, "write YYYY-MM-DD, or leave it empty", "not a day")
	}
	return cell
}

// overlaps reports a code that has two rows on the same day.
func (c *CodeList) overlaps(fs *faults) {
	code := c.column(columnCode)
	rows := map[string][]*codeRow{}
	for i := range c.rows {
		r := &c.rows[i]
		key := r.cells[code]
		for _, other := range rows[key] {
			if r.overlaps(other) {
				fs.add(r.line, "remove one, or let one end before the other begins",
					"the code stands in line %d too, valid on the same day", other.line)
				break
			}
		}
		if len(rows[key]) < maxLives {
			rows[key] = append(rows[key], r)
		}
	}
}

func (r *codeRow) overlaps(o *codeRow) bool {
	return (r.to == "" || o.from == "" || o.from <= r.to) && (o.to == "" || r.from == "" || r.from <= o.to)
}

// table is one direction through a list: column to column.
type table struct {
	list  *CodeList
	from  string
	to    string
	dated bool
	rows  map[string][]tableRow
}

type tableRow struct {
	value    string
	from, to string
	line     int
}

// table indexes two columns. A key that has two different counterparts on the
// same day is a fault of the list for this use.
func (c *CodeList) table(from, to string, fs *faults) *table {
	i, j := c.column(from), c.column(to)
	t := &table{list: c, from: from, to: to, rows: make(map[string][]tableRow, len(c.rows))}
	for k := range c.rows {
		r := &c.rows[k]
		key, value := r.cells[i], r.cells[j]
		if key == "" || value == "" {
			continue
		}
		t.dated = t.dated || r.from != "" || r.to != ""
		for _, other := range t.rows[key][:min(len(t.rows[key]), maxLives)] {
			o := codeRow{from: other.from, to: other.to}
			if other.value != value && r.overlaps(&o) {
				fs.list = append(fs.list, Fault{File: c.file, Line: r.line,
					Message: "from " + from + " to " + to + " one value has two counterparts on the same day",
					Fix:     "see the row that stands before it, or map from another column"})
				break
			}
		}
		t.rows[key] = append(t.rows[key], tableRow{value, r.from, r.to, r.line})
	}
	return t
}

// lookup finds the counterpart of key on a day.
func (t *table) lookup(key, day string) (string, bool) {
	for i := range t.rows[key] {
		r := &t.rows[key][i]
		if !t.dated || ((r.from == "" || r.from <= day) && (r.to == "" || day <= r.to)) {
			return r.value, true
		}
	}
	return "", false
}

// NewCodeList makes a list out of rows that another file of the network holds
// (services.yaml): columns as ParseCodeList knows them, one cell for each.
func NewCodeList(id, source string, columns []string, rows [][]string) (*CodeList, []Fault) {
	var b bytes.Buffer
	b.WriteString("# source: " + strings.Join(strings.Fields(source), " ") + "\n")
	w := csv.NewWriter(&b)
	for _, row := range append([][]string{columns}, rows...) {
		if err := w.Write(row); err != nil {
			return nil, []Fault{{File: id, Message: "not a table: " + err.Error()}}
		}
	}
	w.Flush()
	return ParseCodeList(b.Bytes(), id+".csv")
}
