package network

import (
	"path"
	"strings"

	"raccordo/hub/codec"
	"raccordo/hub/exchange"
	"raccordo/schemas"
)

// formats are the bodies' own shapes of records: schemas, and declarations for
// those that are XML.
type formats struct {
	schema map[exchange.FormatID]*schemas.Schema
	xml    map[exchange.FormatID]*codec.XML
	broken map[exchange.FormatID]bool // there, with faults of its own
}

func (l *loader) compileFormats() {
	l.formats = formats{schema: map[exchange.FormatID]*schemas.Schema{}, xml: map[exchange.FormatID]*codec.XML{},
		broken: map[exchange.FormatID]bool{}}
	seen := map[string]string{}
	for _, f := range l.files {
		if f.kind != kindFormat && f.kind != kindXML {
			continue
		}
		base := path.Base(f.name)
		id, err := exchange.ParseName[exchange.FormatID](strings.TrimSuffix(strings.TrimSuffix(base, ".json"), ".xml"))
		if err != nil {
			l.add(Fault{File: f.name, Message: "the file's name is not the name of a format", Fix: "rename it: lower case letters, digits, underscores"})
			continue
		}
		if first, ok := seen[base]; ok {
			l.add(Fault{File: f.name, Message: "the format is already declared in " + first, Fix: "rename one of them"})
			continue
		}
		seen[base] = f.name
		if len(f.data) > maxFileSize {
			l.add(Fault{File: f.name, Message: "the file is larger than 1 MB"})
			l.formats.broken[id] = true
			continue
		}
		if f.kind == kindFormat {
			l.compileSchema(id, f)
		} else {
			l.compileXML(id, f)
		}
	}
	for id := range l.formats.xml {
		if l.formats.schema[id] == nil && !l.formats.broken[id] {
			l.add(Fault{File: "formats/" + string(id) + ".xml.json", Message: "there is no schema beside it", Fix: "add " + string(id) + ".json"})
		}
	}
}

func (l *loader) compileSchema(id exchange.FormatID, f file) {
	s, faults := l.opts.Catalog.Loader().Load(f.name, f.data)
	for _, lf := range faults {
		l.add(Fault{File: lf.File, Line: lf.Line, Path: string(lf.Pointer), Message: lf.Rule, Fix: lf.Advice})
	}
	if len(faults) > 0 {
		l.formats.broken[id] = true
		return
	}
	l.formats.schema[id] = s
}

func (l *loader) compileXML(id exchange.FormatID, f file) {
	x, faults := codec.CompileXML(f.data, l.limits())
	for _, xf := range faults {
		l.add(Fault{File: f.name, Path: string(xf.Pointer), Message: xf.Rule})
	}
	if len(faults) > 0 {
		l.formats.broken[id] = true
		return
	}
	if x.Format() != id {
		l.add(Fault{File: f.name, Path: "/format", Message: "must be the name of the file: " + string(id)})
	}
	l.formats.xml[id] = x
}

func (l *loader) limits() schemas.Limits {
	if l.opts.Limits != nil {
		return *l.opts.Limits
	}
	return schemas.DefaultLimits()
}

// format finds the schema and the codec of a format; ok is false, with a
// fault, if there is none.
func (l *loader) format(id placed[exchange.FormatID]) (*schemas.Schema, codec.Codec, bool) {
	if id.v == "" {
		return nil, nil, false
	}
	s := l.formats.schema[id.v]
	if s == nil {
		if !l.formats.broken[id.v] {
			l.addAt(id.at, "formats are files of formats/", "format %q is not known", id.v)
		}
		return nil, nil, false
	}
	if x := l.formats.xml[id.v]; x != nil {
		return s, x, true
	}
	return s, codec.NewJSON(schemas.NewGate(l.limits(), s)), true
}

// canonicalCodec is the JSON codec of a record type's canonical form.
func (l *loader) canonicalCodec(s *schemas.Schema) codec.Codec {
	return codec.NewJSON(schemas.NewGate(l.limits(), s))
}
