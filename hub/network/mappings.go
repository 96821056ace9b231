package network

import (
	"io/fs"
	"path"
	"slices"
	"strings"

	"raccordo/hub/codec"
	"raccordo/hub/exchange"
	"raccordo/hub/mapping"
	"raccordo/schemas"
)

// mappings are what mappings/ and codelists/ hold, compiled.
type mappings struct {
	byID  map[exchange.MappingID]*mappingEntry
	lists map[string]*mapping.CodeList
	codes map[string]map[string]exchange.CategorySet // list -> code -> what it reveals
}

type mappingEntry struct {
	id       exchange.MappingID
	file     string
	from, to side
	m        *mapping.Mapping // nil if it has faults
}

// side is one end of a mapping: a format or a canonical record type.
type side struct {
	name   string // as the file writes it
	format exchange.FormatID
	typ    exchange.RecordType
	schema *schemas.Schema
	codec  codec.Codec
}

// servicesList is the code list made of services.yaml.
const servicesList = "services"

func (l *loader) compileCodeLists() {
	l.mappings.lists = map[string]*mapping.CodeList{}
	for _, f := range l.files {
		if f.kind != kindCodeList {
			continue
		}
		list, faults := mapping.ParseCodeList(f.data, f.name)
		l.mappingFaults(faults)
		if list == nil {
			continue
		}
		if list.ID() == servicesList && l.decl.services != nil {
			l.add(Fault{File: f.name, Message: "the code list services is made of services.yaml", Fix: "rename or remove the file"})
			continue
		}
		l.mappings.lists[list.ID()] = list
	}
	l.servicesList()
	if d := l.decl.network; d != nil {
		for _, rt := range d.recordTypes {
			if s := l.canonical(rt.v); s != nil {
				l.needLists(s, rt.at)
			}
		}
	}
	for _, s := range l.formats.schema {
		l.needLists(s, at{file: s.File()})
	}
	l.mappings.codes = map[string]map[string]exchange.CategorySet{}
	for id, list := range l.mappings.lists {
		l.mappingFaults(list.CheckCategories(l.opts.Catalog.Categories().Numbers()))
		codes := map[string]exchange.CategorySet{}
		for code, names := range list.Codes() {
			var set exchange.CategorySet
			for _, name := range names {
				set = set.With(l.opts.Catalog.Categories().Numbers()[name]) // its name is checked above
			}
			codes[code] = set
		}
		l.mappings.codes[id] = codes
	}
}

// needLists reports code lists that a schema names and the network does not
// have: without it nobody knows what a code says about a person.
func (l *loader) needLists(s *schemas.Schema, p at) {
	for _, leaf := range s.Properties() {
		if leaf.CodeList == "" || l.mappings.lists[leaf.CodeList] != nil {
			continue
		}
		file := "codelists/" + leaf.CodeList + ".csv"
		if leaf.CodeList == servicesList {
			file = "services.yaml"
		}
		if l.unread[kindServices] && leaf.CodeList == servicesList || l.has(file) {
			continue // there, with faults of its own
		}
		l.addAt(p, "add "+file, "the code list %s of %s is not there", leaf.CodeList, leaf.Path)
	}
}

func (l *loader) has(name string) bool {
	return slices.ContainsFunc(l.files, func(f file) bool { return f.name == name })
}

// servicesList makes the code list that properties of service codes name.
func (l *loader) servicesList() {
	d := l.decl.services
	if d == nil || len(d.all) == 0 {
		return
	}
	columns := []string{"code", "siuss_code", "category"}
	for _, lang := range l.n.Languages {
		columns = append(columns, "label_"+lang)
	}
	var rows [][]string
	for _, s := range l.n.services.All {
		row := []string{s.Code, s.SIUSS, strings.Join(l.opts.Catalog.Categories().Names(s.Categories), " ")}
		for _, lang := range l.n.Languages {
			row = append(row, s.Label[lang])
		}
		rows = append(rows, row)
	}
	list, faults := mapping.NewCodeList(servicesList, d.file, columns, rows)
	for _, f := range faults { // the lines are those of no file
		l.addAt(d.at, f.Fix, "the services make no code list: %s", f.Message)
	}
	if list != nil {
		l.mappings.lists[servicesList] = list
	}
}

func (l *loader) mappingFaults(faults []mapping.Fault) {
	for _, f := range faults {
		l.add(Fault{File: f.File, Line: f.Line, Message: f.Message, Fix: f.Fix})
	}
}

func (l *loader) compileMappings() {
	l.mappings.byID = map[exchange.MappingID]*mappingEntry{}
	for _, f := range l.files {
		if f.kind == kindMapping {
			l.compileMapping(f)
		}
	}
}

func (l *loader) compileMapping(f file) {
	id, err := exchange.ParseName[exchange.MappingID](strings.TrimSuffix(path.Base(f.name), ".yaml"))
	if err != nil {
		l.add(Fault{File: f.name, Message: "the file's name is not the name of a mapping", Fix: "rename it: lower case letters, digits, underscores"})
		return
	}
	e := &mappingEntry{id: id, file: f.name}
	l.mappings.byID[id] = e
	from, to, faults := mapping.Header(f.data, f.name)
	if len(faults) > 0 {
		l.mappingFaults(faults)
		return
	}
	var okFrom, okTo bool
	e.from, okFrom = l.side(f.name, "from", from)
	e.to, okTo = l.side(f.name, "to", to)
	if !okFrom || !okTo {
		return
	}
	m, faults := mapping.Compile(f.data, f.name, mapping.Env{
		Source: e.from.schema, Target: e.to.schema, CodeLists: l.mappings.lists,
		Categories: l.opts.Catalog.Categories().Numbers(), Zone: l.cal.zone,
		File: l.example, Decode: e.from.codec.Decode,
	})
	l.mappingFaults(faults)
	if m == nil {
		return
	}
	failures := mapping.Test(m)
	for _, x := range failures {
		l.add(Fault{File: x.File, Line: x.Line, Message: "example " + clip(x.Example) + ": " + x.Message,
			Fix: "correct the mapping or the example"})
	}
	e.m = m
}

// example reads a file of the network that a mapping's example names.
func (l *loader) example(name string) ([]byte, error) {
	for _, f := range l.files {
		if f.name == name {
			return f.data, nil
		}
	}
	return nil, fs.ErrNotExist
}

// side resolves one end of a mapping: "desk_request" or "service_request@1.0.0".
func (l *loader) side(file, key, name string) (side, bool) {
	s := side{name: name}
	typ, version, versioned := strings.Cut(name, "@")
	if versioned {
		s.typ = exchange.RecordType(typ)
		s.schema = l.opts.Catalog.Schema(s.typ, version)
		if s.schema == nil {
			l.add(Fault{File: file, Path: key, Message: "the catalogue has no " + clip(name), Fix: "known record types: " + l.knownTypes()})
			return s, false
		}
		s.codec = l.canonicalCodec(s.schema)
		return s, true
	}
	s.format = exchange.FormatID(name)
	var ok bool
	s.schema, s.codec, ok = l.format(placed[exchange.FormatID]{s.format, at{file: file, path: key}})
	return s, ok
}

// mapping finds a mapping by name; nil, with a fault, if there is none that
// can be used.
func (l *loader) mapping(id placed[exchange.MappingID]) *mappingEntry {
	if id.v == "" {
		return nil
	}
	e := l.mappings.byID[id.v]
	if e == nil {
		l.addAt(id.at, "mappings are files of mappings/", "mapping %q is not known", id.v)
		return nil
	}
	if e.m == nil {
		return nil // its own faults are reported
	}
	return e
}

// resolveProductions gives a producer's pushes their schema, codec, mapping.
func (l *loader) resolveProductions(d *systemDecl) {
	s := d.System
	s.Produces = map[exchange.RecordType]*Production{}
	if len(d.produces) > 0 && len(s.Territories) > 1 {
		l.addAt(d.territories[1].at, "make one system per territory",
			"a system that produces records is in one territory: routing goes by it")
	}
	for _, p := range d.produces {
		if !l.needType(p.recordType) {
			continue
		}
		if s.Produces[p.recordType.v] != nil {
			l.addAt(p.at, "remove one of them", "record type %s is there twice", p.recordType.v)
			continue
		}
		out := &Production{RecordType: p.recordType.v, Class: p.class, Canonical: l.canonical(p.recordType.v), MayIdentify: p.identifies}
		s.Produces[p.recordType.v] = out
		if p.identifies && !s.ActsIn(exchange.RoleRegistryOffice) {
			l.addAt(p.at, "only a registry office identifies persons", "identifies_persons is set on a system that is no registry office")
		}
		if p.format.v == "" {
			out.Schema = out.Canonical
			out.Codec = l.canonicalCodec(out.Canonical)
		} else {
			l.producedFormat(p, out)
		}
		if out.Codec == nil {
			continue
		}
		l.resolveOwn(p, out)
		out.MediaType = out.Codec.MediaType()
		if p.media.v != "" && p.media.v != out.MediaType {
			l.addAt(p.media.at, "write "+out.MediaType+", or leave it out", "the format is read as %s", out.MediaType)
		}
	}
}

func (l *loader) producedFormat(p *productionDecl, out *Production) {
	s, c, ok := l.format(p.format)
	e := l.mapping(p.mapping)
	if !ok {
		return
	}
	out.Format, out.Schema, out.Codec = p.format.v, s, c
	if e == nil {
		return
	}
	if e.from.format != p.format.v {
		l.addAt(p.mapping.at, "", "mapping %s is from %s, and the system sends %s", e.id, e.from.name, p.format.v)
	}
	if e.to.typ != p.recordType.v || e.to.schema != out.Canonical {
		l.addAt(p.mapping.at, "", "mapping %s makes %s, and the record type is %s@%s", e.id, e.to.name, p.recordType.v,
			l.opts.Catalog.Latest(p.recordType.v).Version)
	}
	out.Mapping = e.m
	l.proveProduction(out, s)
}
