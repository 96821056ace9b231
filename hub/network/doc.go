// Package network reads a network, the agreement of the bodies as a directory
// of files (design.md section 6), checks it, and compiles it into immutable
// plans that routing, the gate and delivery work from.
//
// It guarantees that a [Network] which exists is wholly consistent: every name
// is known, every role a flow relies on is held in its territory, no two flows
// or clauses share a number, every mapping fits its schemas, and no flow can
// release a category of personal data that its clause does not permit. The
// last is proved without running anything: the categories of properties, of
// code values and of conditions are followed through the mapping to the target
// property (lineage.go). All faults are found in one run, each with its file,
// line and what to do, and one fault is enough for there to be no network.
//
// It refuses YAML that can be read in two ways: unknown and duplicate keys,
// anchors, aliases, merge keys, tags, several documents in a file, and an
// unquoted yes or no where text is meant.
//
// It does no I/O but through the file system handed in, and none after [Load]
// has returned. A network holds no personal data, so faults may show its names.
package network
