// Package connectors is the contract between the hub and the foreign protocols
// by which systems of bodies are reached. A [Kind] is one such protocol,
// declared as an explicit value: its name, its typed configuration with
// defaults and documentation, and the functions that open what it offers:
//
//   - a [Sink]: the hub calls the recipient and hands it encoded bytes;
//   - an [Outlet]: the recipient comes and fetches; what it fetches is claimed
//     through [Claims] before a byte is written.
//
// Everything a connector needs from outside (logger, clock, dialer, resolver,
// secrets, signer, metrics) comes in through [Settings]. Kinds are put into a
// [Set] by whoever builds the binary; there is no registry, no init and no
// global, and a duplicate or malformed kind is an error.
//
// The package also holds, once for all kinds, what the answers of HTTP
// recipients mean ([ClassOf], [RetryAfter], [ReadAnswer]; protocol.md 5.7), a
// [Poster] that knows whether a byte of the body may have left, and the
// [Guard] against being led to addresses nobody meant to be called.
//
// It guarantees that a configuration is read strictly (unknown keys, wrong
// types and inline secrets are refused, all faults at once, without showing a
// value), and that no error of this package carries a byte that a recipient
// answered: a recipient may echo the record.
//
// It refuses to decide anything about persons: whether a record may be sent is
// settled before a connector sees it, and what an answer leads to (retry,
// bisect, park) is the delivery's business.
//
// The word collides with two others: in the Data Space Protocol a "connector"
// is a whole participant agent (here: the hub), and what X-Road calls "service
// client" or "adapter" is the nearest to a connector here.
package connectors
