package catalog

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"raccordo/hub/exchange"
	"raccordo/schemas"
)

// types are the record types, each a folder of versions.
var types = []exchange.RecordType{"service_request", "social_benefit"}

// Catalog is the loaded catalogue; immutable.
type Catalog struct {
	categories *Table
	loader     *schemas.Loader
	entries    []Entry
}

// Entry is one version of one record type.
type Entry struct {
	Type    exchange.RecordType
	Version string // MAJOR.MINOR.PATCH
	Schema  *schemas.Schema
}

// Options are what a loader for the schemas of bodies needs to refer to the
// catalogue's categories, checks and shared definitions.
func Options() (schemas.Options, error) {
	table, err := Categories()
	if err != nil {
		return schemas.Options{}, err
	}
	shared, err := FS.ReadFile(schemas.SharedFile)
	if err != nil {
		return schemas.Options{}, fmt.Errorf("catalogue: %w", err)
	}
	return schemas.Options{Categories: table.Numbers(), Semantics: Checks(), Shared: shared}, nil
}

// Load lints and compiles the embedded catalogue.
func Load() (*Catalog, error) {
	options, err := Options()
	if err != nil {
		return nil, err
	}
	table, err := Categories()
	if err != nil {
		return nil, err
	}
	loader, faults := schemas.NewLoader(options)
	if err := asError(faults); err != nil {
		return nil, err
	}
	c := &Catalog{categories: table, loader: loader}
	for _, t := range types {
		if err := c.load(t); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *Catalog) load(t exchange.RecordType) error {
	files, err := fs.ReadDir(FS, string(t))
	if err != nil {
		return fmt.Errorf("catalogue: %w", err)
	}
	for _, f := range files {
		file := string(t) + "/" + f.Name()
		src, err := FS.ReadFile(file)
		if err != nil {
			return fmt.Errorf("catalogue: %w", err)
		}
		s, faults := c.loader.Load(file, src)
		if err := asError(faults); err != nil {
			return err
		}
		c.entries = append(c.entries, Entry{Type: t, Version: strings.TrimSuffix(f.Name(), ".json"), Schema: s})
	}
	return nil
}

func asError(faults []schemas.LintFault) error {
	errs := make([]error, 0, len(faults))
	for _, f := range faults {
		errs = append(errs, errors.New(f.String()))
	}
	return errors.Join(errs...)
}

// Categories is the table of categories.
func (c *Catalog) Categories() *Table { return c.categories }

// Loader loads the schemas of bodies against the catalogue's categories,
// checks and shared definitions.
func (c *Catalog) Loader() *schemas.Loader { return c.loader }

// Entries are all versions of all record types, in order.
func (c *Catalog) Entries() []Entry { return slices.Clone(c.entries) }

// Types are the record types in order.
func (c *Catalog) Types() []exchange.RecordType { return slices.Clone(types) }

// Schema is the schema of one version of a record type; nil if there is none.
func (c *Catalog) Schema(t exchange.RecordType, version string) *schemas.Schema {
	for _, e := range c.entries {
		if e.Type == t && e.Version == version {
			return e.Schema
		}
	}
	return nil
}

// Latest is the newest version of a record type; a nil schema if there is none.
func (c *Catalog) Latest(t exchange.RecordType) (latest Entry) {
	for _, e := range c.entries {
		if e.Type == t && (latest.Schema == nil || newer(e.Version, latest.Version)) {
			latest = e
		}
	}
	return latest
}

// newer compares versions by their numbers.
func newer(a, b string) bool {
	var x, y [3]int
	_, _ = fmt.Sscanf(a, "%d.%d.%d", &x[0], &x[1], &x[2])
	_, _ = fmt.Sscanf(b, "%d.%d.%d", &y[0], &y[1], &y[2])
	return slices.Compare(x[:], y[:]) > 0
}
