// Package hubtest runs a whole hub on ports of its own for tests: the real
// thing, from the API's sockets to the ledger on disk, with the built-in
// network or another one, whose recipients are fakes on loopback.
//
// It guarantees that nothing is called outside the machine (every system that
// the network calls is answered by a [Recipient]), that what it starts is
// stopped with the test, and that waiting is for a condition, never for a time.
//
// It refuses to reach into the hub: what it knows comes through the API, the
// control socket, and what the recipients got.
package hubtest
