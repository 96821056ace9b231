// Package control is how operators act through the running hub: requests over
// a Unix socket in the data directory that only its owner can open, so that
// one writer stays one writer (design.md 5.10).
//
// It guarantees that an identifier of a person travels in a request body over
// that socket and nowhere else, and that no payload of a record is ever shown.
// It refuses requests it does not know every member of.
package control
