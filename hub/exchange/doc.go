// Package exchange is the vocabulary every other package speaks: identifiers,
// the one tree a record is read into, payloads that cannot be printed, reason
// codes, states and marks, typed errors, and the binary header of a frame.
//
// It guarantees that an identifier which exists is well formed (constructors
// validate), that no print verb, logger or encoder can show the content of a
// [Tree] or a [Payload], and that a frame header decodes only from exactly the
// bytes it encodes to.
//
// It refuses to do I/O and imports none of our other packages.
package exchange
