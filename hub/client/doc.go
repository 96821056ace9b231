// Package client is the caller's side of the hub's API: what a body's system
// does to get a voucher, push records and empty its mailbox. The commands, the
// demo's simulated systems and the tests use it; a body's own software needs
// nothing of it, the contract is hub/api/openapi.yaml.
//
// It guarantees that a voucher is asked for with a fresh assertion and used
// until shortly before it expires, that a push whose outcome is not known comes
// back as [exchange.CodeUnknownOutcome] and never as a failure, and that no
// error carries a byte of a record or of an answer that is not a problem
// document.
//
// It refuses to follow redirects, to make an Idempotency-Key up (whoever
// repeats must know it) and to repeat a push by itself.
package client
