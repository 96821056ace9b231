// Package schemas is the gate every document passes before anything else looks
// at it: bytes, then shape, then meaning.
//
// It guarantees that what [Gate.Parse] lets through is one strict RFC 8259
// object within bounds, read once into an [exchange.Tree]; that a schema which
// [Loader.Load] accepts uses only the closed list of draft-07 keywords whose
// official meaning the validator holds, has no cycle, no open object, no
// unbounded string, array or number, no costly pattern and a category of
// personal data on every leaf; that [Schema.Validate] names what is wrong by
// JSON pointer and rule and never by value; and that [Schema.Minimise] keeps
// only what the permitted categories cover.
//
// It refuses to follow any reference but "#/definitions/NAME" and
// "common.json#/definitions/NAME": no schema makes it open a file or a
// connection. Key names of a document are shown only where a schema knows them.
package schemas
