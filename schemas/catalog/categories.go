package catalog

import (
	"embed"
	"encoding/csv"
	"fmt"
	"strconv"

	"raccordo/hub/exchange"
)

// FS holds the catalogue's files: categories.csv, common.json, the schemas as
// TYPE/VERSION.json, and examples.
//
//go:embed categories.csv common.json service_request social_benefit examples
var FS embed.FS

// NonPersonal is the category of what says nothing about a person.
const NonPersonal exchange.Category = 1

// Special says which article of the GDPR binds a category beyond article 6.
type Special string

// The kinds of special categories.
const (
	Ordinary Special = ""
	Article9 Special = "art9"  // health, ...
	Criminal Special = "art10" // convictions and offences
)

// Category is one row of the table.
type Category struct {
	Number  exchange.Category
	Name    string // as x-category uses it
	IRI     string // W3C DPV
	Special Special
	Label   string
}

// Table is the table of categories.
type Table struct {
	rows     []Category
	byName   map[string]exchange.Category
	byNumber map[exchange.Category]int
}

// Categories reads the embedded table.
func Categories() (*Table, error) {
	f, err := FS.Open("categories.csv")
	if err != nil {
		return nil, fmt.Errorf("categories: %w", err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("categories: %w", err)
	}
	t := &Table{byName: map[string]exchange.Category{}, byNumber: map[exchange.Category]int{}}
	for i, r := range rows[1:] {
		n, err := strconv.Atoi(r[0])
		if err != nil || n < 1 || n >= exchange.MaxCategories {
			return nil, fmt.Errorf("categories: row %d: number out of range", i+2)
		}
		c := Category{Number: exchange.Category(n), Name: r[1], IRI: r[2], Special: Special(r[3]), Label: r[4]}
		if _, twice := t.byName[c.Name]; twice {
			return nil, fmt.Errorf("categories: row %d: name used twice", i+2)
		}
		if _, twice := t.byNumber[c.Number]; twice {
			return nil, fmt.Errorf("categories: row %d: number used twice", i+2)
		}
		t.byName[c.Name], t.byNumber[c.Number] = c.Number, len(t.rows)
		t.rows = append(t.rows, c)
	}
	return t, nil
}

// All are the rows in order of number.
func (t *Table) All() []Category { return append([]Category(nil), t.rows...) }

// Numbers maps names to numbers; it must not be changed.
func (t *Table) Numbers() map[string]exchange.Category { return t.byName }

// ByName finds a category.
func (t *Table) ByName(name string) (Category, bool) {
	n, ok := t.byName[name]
	if !ok {
		return Category{}, false
	}
	return t.ByNumber(n)
}

// ByNumber finds a category.
func (t *Table) ByNumber(n exchange.Category) (Category, bool) {
	i, ok := t.byNumber[n]
	if !ok {
		return Category{}, false
	}
	return t.rows[i], true
}

// Names are the names of a set, in order of number; a number that is not in
// the table is spelt out.
func (t *Table) Names(s exchange.CategorySet) []string {
	names := make([]string, 0, s.Len())
	for _, n := range s.Each() {
		if c, ok := t.ByNumber(n); ok {
			names = append(names, c.Name)
		} else {
			names = append(names, "category_"+strconv.Itoa(int(n)))
		}
	}
	return names
}

// Special are the categories of the kind in the table.
func (t *Table) Special(kind Special) (s exchange.CategorySet) {
	for _, c := range t.rows {
		if c.Special == kind {
			s = s.With(c.Number)
		}
	}
	return s
}
