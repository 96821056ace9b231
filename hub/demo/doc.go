// Package demo runs a whole hub with simulated systems of the bodies around it:
// desks, social services, service providers, registry offices, employment
// centres, health services, benefits software and INPS. Each speaks its own
// format over a real socket, with its own client key, and knows nothing of the
// hub but its API or the contract of its connector.
//
// [Run] plays a scenario whose content is the same for the same seed, and then
// either ends (Once) or goes on with a trickle of requests until its context
// ends. What the simulated systems received is counted by themselves and held
// against what the hub says, against the ledger, and against a statement of who
// may receive what that is written down here a second time, by hand (oracle.go).
// A number that does not balance is an error ([ErrMismatch]), not a footnote.
//
// Persons are synthetic: names that nobody bears, codes that fit the rules of
// their kind. The package refuses to run its scenario twice in one data
// directory, because numbers would no longer be those of one run.
package demo
