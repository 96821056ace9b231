// Package mapping turns records of one shape into another by declaration:
// format to canonical record, canonical record to format.
//
// A mapping is a YAML file mappings/<id>.yaml, compiled once:
//
//	mapping: desk_request_in          # its name, that of the file
//	from: desk_request                # a format, or record_type@version
//	to: service_request@1.0.0
//	reads: [/servizio, /persone]      # optional: nothing beyond these is read
//	fields:
//	  - to: /service                  # a property of the target
//	    from: /servizio               # a value of the source
//	    codelist: desk_services       # through a code list, see below
//	examples:                         # its tests
//	  - name: a shower
//	    date: 2026-03-01              # the day the record is from
//	    in: {servizio: DOCCIA}        # or in_file: a file of the network
//	    out: {service: HYGIENE}
//	    lost: [{at: /note, rule: code_unmapped}]   # what the report must say
//
// A field names its target (to) and one kind of source:
//
//	from: /a/b          the value there; a leaf, or an array of leaves
//	const: text         always this value; null is none
//	join: {from: [/a, /b], with: " "}   texts there are, joined
//	cel: "a + '-' + b"  with reads: {a: /a, b: /x/b} (or a list, named by the
//	                    last word); typed; a missing input gives no value
//	context: name       what the recipient's protocol gives: name, date
//	choose: [...]       the first of several such sources (each with its own
//	                    when) that gives a value
//	fields: [...]       an object; with from: an object of the source, which
//	                    then is where the paths inside begin
//	items: [...]        an array of objects, each {fields: ...} with its when
//	each: /list         an array, one item for each item of the source array,
//	                    where paths inside begin; with fields, or with a source
//	                    (from may then be left out: the item itself)
//	first: /list        as each, but one value: of the first item that fits
//
// Paths are JSON pointers; inside each, first and fields they begin at the
// item or object; "^/a" begins at the root of the record. A value then passes,
// in this order:
//
//	trim, upper, lower: true
//	date: {in: "02/01/2006", out: date}   layouts of Go, date, date-time, month,
//	                                      year; in may be a list
//	decimal: {in: italian, digits: 2}     italian 1.234,56 or plain 1234.56
//	codelist: id, or {list: id, from: code, to: column}
//	cut: 36             at most so many characters; cutting is a loss
//	as: integer         string, integer, number or boolean
//
// default: is the value where the source has none. What cannot be converted is
// unmapped: fail (the default: the record is refused), lose (the property is
// left out and the loss reported), or default (the default stands in its
// place and the loss is reported). Of codes that the source's schema or code list
// enumerates, less what the conditions around exclude, all must be in the list
// unless unmapped says otherwise. A code list names its target column: the
// column of the target's property name, if there is one, else it must be said.
//
// when: {path: /y, equals: x} (or in: [...], not_in: [...], present: true or
// false; a list of them: all must hold) is a condition on the scope the field
// stands in; where: the same on each item of each and first. A missing value
// meets no condition but present: false.
//
// Inside fields and items constants and defaults alone make no object: when
// nothing came from the record or the context, it is left out, unless it holds
// nothing but constants. An array that would be empty is left out unless its
// target requires it. prune: affected on each (or on fields with from) lets
// the gate leave out a person whom it refuses.
//
// The package guarantees that a mapping never passes on what it does not name,
// that every fault of a file is found before it is used, with its line and
// what to do, that what cannot be represented is reported by place and rule,
// and that [Mapping.Lineage] names every source property each target property
// depends on, conditions, code lists and constants chosen by them included.
//
// It refuses YAML with two readings, paths the schemas do not know, two
// sources for one target, a required target without source, and CEL without
// bounds. It does no I/O.
package mapping
