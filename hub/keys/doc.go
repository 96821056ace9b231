// Package keys is the vocabulary of the hub's keys: where a sealed payload
// rests, which day's key seals it, what a keyed digest with a version is, how a
// new signing key is announced under the old one, and the errors every engine
// of keys returns. The engines are keys/local (a file) and keys/vault; both
// pass the conformance suite keys/keystest.
//
// It guarantees only names and formats: nothing here holds a secret. It refuses
// to define the interface of a keyring; each consumer states the few methods it
// needs, and keystest states all of them.
package keys
