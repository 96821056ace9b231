// Package codec turns bytes of a body's format into the one tree and back:
// JSON, NDJSON line by line, and XML for formats that a declaration describes
// (attributes, elements in order, how often each may occur).
//
// It guarantees that what Decode accepts is exactly what the declaration
// allows, that Encode writes the same bytes for the same tree, and that
// Decode(Encode(t)) equals t for every tree Encode accepts. What a format
// cannot carry is refused by Encode, never left out.
//
// It refuses document type declarations and every entity beyond the five of
// XML 1.0, processing instructions, bytes around the root, encodings other
// than UTF-8, ISO-8859-1 and Windows-1252, and a document that lies about its
// encoding. It never fetches anything: xsi:schemaLocation is read over.
//
// It does no I/O but to read from the io.Reader it is given.
package codec
