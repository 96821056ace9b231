package network

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"raccordo/hub/exchange"
	"raccordo/schemas"
	"raccordo/schemas/catalog"
)

// Bounds of a network.
const (
	maxFiles   = 5_000
	maxNetwork = 64 << 20 // bytes in all files
)

// ConnectorChecker validates the connector settings of systems; the kinds of
// connectors belong to whoever composes the hub.
type ConnectorChecker interface {
	// CheckConnector returns what is wrong with settings for a connector of
	// kind. settings is a mapping, or zero where the file gives none. Line,
	// Column and Path of a fault may be zero; File is not read.
	CheckConnector(kind string, settings *yaml.Node) []Fault
}

// Options are what a network is loaded against.
type Options struct {
	Catalog *catalog.Catalog // needed
	Kinds   ConnectorChecker // nil: settings are not looked at
	Now     time.Time        // zero: signatures dated in the future are not noticed
	Limits  *schemas.Limits  // of the byte gate for pushed records; nil: the default ones
	Zone    *time.Location   // of days; nil: Europe/Rome
}

// Load reads the network under the root of fsys. It returns either a network,
// or every fault that was found, by file and line.
func Load(fsys fs.FS, opts Options) (*Network, []Fault) {
	l := &loader{opts: opts, uuids: map[string]at{}, systems: map[exchange.SystemID]*systemDecl{},
		clauses: map[exchange.ClauseID]*clauseDecl{}, unread: map[fileKind]bool{}}
	if opts.Zone == nil {
		zone, err := time.LoadLocation("Europe/Rome")
		if err != nil {
			return nil, []Fault{{File: ".", Message: "the time zone Europe/Rome is not known", Fix: err.Error()}}
		}
		opts.Zone = zone
	}
	l.cal = calendar{opts.Zone}
	l.n = &Network{
		bodyByID: map[exchange.BodyID]*Body{}, systemByID: map[exchange.SystemID]*System{},
		purposeBy: map[exchange.PurposeID]*Purpose{}, clauseByID: map[exchange.ClauseID]*Clause{},
		clauseByNo: map[exchange.Number]*Clause{}, flowByID: map[exchange.FlowID]*Flow{},
		flowByNo: map[exchange.Number]*Flow{},
	}
	l.gather(fsys)
	l.readAll()
	if !l.unread[kindNetwork] { // else everything would seem unknown
		l.compileFormats()
		l.resolve()
		l.compile()
	}
	if faults := l.sorted(); len(faults) > 0 {
		return nil, faults
	}
	l.finish()
	return l.n, nil
}

// loader is one run of Load.
type loader struct {
	faults
	opts     Options
	cal      calendar
	files    []file
	decl     declared
	n        *Network
	uuids    map[string]at
	systems  map[exchange.SystemID]*systemDecl
	clauses  map[exchange.ClauseID]*clauseDecl
	unread   map[fileKind]bool // kinds of which a file could not be read at all
	formats  formats
	mappings mappings
}

type file struct {
	name string
	data []byte
	kind fileKind
}

type fileKind uint8

const (
	kindUnknown fileKind = iota
	kindIgnored          // a text for people
	kindNetwork
	kindPurposes
	kindServices
	kindBody
	kindAgreement
	kindFlows
	kindTeam
	kindMapping
	kindFormat
	kindXML
	kindCodeList
)

// classify says what a file is by its place; the layout of design.md section 6.
func classify(name string) fileKind {
	dir, base := path.Split(name)
	if strings.HasPrefix(base, ".") || strings.HasSuffix(base, ".md") || base == "LICENSE" {
		return kindIgnored
	}
	yml := strings.HasSuffix(base, ".yaml")
	switch {
	case name == "network.yaml":
		return kindNetwork
	case name == "purposes.yaml":
		return kindPurposes
	case name == "services.yaml":
		return kindServices
	case dir == "bodies/" && yml:
		return kindBody
	case dir == "agreements/" && yml:
		return kindAgreement
	case dir == "flows/" && yml:
		return kindFlows
	case dir == "teams/" && yml:
		return kindTeam
	case dir == "mappings/" && yml:
		return kindMapping
	case strings.HasPrefix(dir, "formats/") && strings.HasSuffix(base, ".xml.json"):
		return kindXML
	case strings.HasPrefix(dir, "formats/") && strings.HasSuffix(base, ".json"):
		return kindFormat
	case dir == "codelists/" && strings.HasSuffix(base, ".csv"):
		return kindCodeList
	}
	return kindUnknown
}

// gather reads every file of the network once, in order of path, and takes
// their digest. Nothing is read afterwards.
func (l *loader) gather(fsys fs.FS) {
	total := 0
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			l.add(Fault{File: name, Message: "cannot be read: " + bare(err)})
			return nil
		}
		if d.IsDir() {
			if name != "." && strings.HasPrefix(d.Name(), ".") {
				return fs.SkipDir
			}
			return nil
		}
		kind := classify(name)
		switch {
		case kind == kindIgnored:
			return nil
		case kind == kindUnknown:
			l.add(Fault{File: name, Message: "not a file of a network",
				Fix: "network.yaml, purposes.yaml, services.yaml, bodies/*.yaml, agreements/*.yaml, flows/*.yaml, teams/*.yaml, " +
					"mappings/*.yaml, formats/**.json, codelists/*.csv; texts for people end in .md"})
			return nil
		case !regular(fsys, name, d):
			l.add(Fault{File: name, Message: "not a regular file", Fix: "put the file itself here"})
			return nil
		}
		data, err := readFile(fsys, name)
		if err != nil {
			l.add(Fault{File: name, Message: "cannot be read: " + bare(err)})
			return nil
		}
		if total += len(data); len(l.files) >= maxFiles || total > maxNetwork {
			return fmt.Errorf("more than %d files or %d bytes", maxFiles, maxNetwork)
		}
		l.files = append(l.files, file{name: name, data: data, kind: kind})
		return nil
	})
	if err != nil {
		l.add(Fault{File: ".", Message: "the network cannot be read: " + bare(err)})
	}
	slices.SortFunc(l.files, func(a, b file) int { return cmp.Compare(a.name, b.name) })
	l.n.Digest = l.digest()
}

// regular reports whether name is a file, or leads to one: a mounted
// configuration is often a directory of symbolic links.
func regular(fsys fs.FS, name string, d fs.DirEntry) bool {
	if d.Type()&fs.ModeSymlink == 0 {
		return d.Type().IsRegular()
	}
	info, err := fs.Stat(fsys, name)
	return err == nil && info.Mode().IsRegular()
}

// readFile reads at most one byte more than a file may have; the size is
// reported where the file is parsed.
func readFile(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	limit := int64(maxFileSize)
	if classify(name) == kindCodeList {
		limit = maxCodeListSize
	}
	return io.ReadAll(io.LimitReader(f, limit+1))
}

const maxCodeListSize = 8 << 20

func bare(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// digest is over path and content of every file in order of path, and over the
// catalogue the network is compiled against: not over times, owners or the
// place the directory stands in.
func (l *loader) digest() exchange.Digest {
	h := sha256.New()
	h.Write([]byte("raccordo/network/1\x00"))
	for _, f := range l.files {
		sum := sha256.Sum256(f.data)
		fmt.Fprintf(h, "%s\x00%x\n", f.name, sum)
	}
	for _, e := range l.opts.Catalog.Entries() {
		fmt.Fprintf(h, "catalogue %s %s\n", e.Type, e.Version)
	}
	for _, c := range l.opts.Catalog.Categories().All() {
		fmt.Fprintf(h, "category %d %s %s\n", c.Number, c.Name, c.Special)
	}
	return exchange.Digest(h.Sum(nil))
}

func (l *loader) readAll() {
	read := map[fileKind]func(value){
		kindNetwork: l.readNetwork, kindPurposes: l.readPurposes, kindServices: l.readServices, kindBody: l.readBody,
		kindAgreement: l.readAgreement, kindFlows: l.readFlows, kindTeam: l.readTeam,
	}
	for _, f := range l.files {
		if r := read[f.kind]; r != nil {
			if v, ok := parseYAML(&l.faults, f.name, f.data); ok {
				r(v)
			} else {
				l.unread[f.kind] = true
			}
		}
	}
}

// unknown reports a name nobody declares, unless the file that declares it may
// be one that could not be read.
func (l *loader) unknown(kind fileKind, p at, fix, format string, args ...any) {
	if !l.unread[kind] {
		l.addAt(p, fix, format, args...)
	}
}

// canonical is the newest schema of a record type; nil if there is none.
func (l *loader) canonical(rt exchange.RecordType) *schemas.Schema {
	return l.opts.Catalog.Latest(rt).Schema
}

func (l *loader) knownTypes() string {
	var out []string
	for _, t := range l.opts.Catalog.Types() {
		out = append(out, string(t))
	}
	return strings.Join(out, ", ")
}

// categorySet resolves names of categories.
func (l *loader) categorySet(list []placed[string]) exchange.CategorySet {
	var set exchange.CategorySet
	for _, c := range list {
		if c.v == "" {
			continue
		}
		found, ok := l.opts.Catalog.Categories().ByName(c.v)
		if !ok {
			l.addAt(c.at, "the categories are those of schemas/catalog/categories.csv", "category %q is not known", clip(c.v))
			continue
		}
		if set.Has(found.Number) {
			l.addAt(c.at, "remove one of them", "category %s is there twice", c.v)
		}
		set = set.With(found.Number)
	}
	return set
}

// special names the first category of a kind in set, "" if there is none.
func (l *loader) special(set exchange.CategorySet, kind catalog.Special) string {
	names := l.opts.Catalog.Categories().Names(set.Intersect(l.opts.Catalog.Categories().Special(kind)))
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

// finish orders what was declared in any order, and builds what is looked up.
func (l *loader) finish() {
	n := l.n
	slices.SortFunc(n.bodies, func(a, b *Body) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(n.systems, func(a, b *System) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(n.purposes, func(a, b *Purpose) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(n.agreements, func(a, b *Agreement) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(n.clauses, func(a, b *Clause) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(n.flows, func(a, b *Flow) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(n.teams, func(a, b *Team) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(n.Territories, func(a, b Area) int { return cmp.Compare(a.ID, b.ID) })
	for _, b := range n.bodies {
		slices.SortFunc(b.Systems, func(a, b *System) int { return cmp.Compare(a.ID, b.ID) })
	}
	for _, c := range l.opts.Catalog.Categories().All() {
		n.categories = append(n.categories, exchange.CategoryFact{Number: c.Number, Name: c.Name, IRI: c.IRI})
	}
	n.buildRoutes()
}
