// Package stream is what every stream adapter of the hub and its users share:
// offsets, where the position of a message stands, the metadata keys, and the
// errors whose meaning intake and delivery act upon.
//
// The stream is the truth of what was accepted (protocol.md 1). A topic is a
// stream class, prompt or bulk; a message is the part of a frame that belongs
// to one lane. Adapters are Watermill publishers and subscribers: hub/stream/embedded
// is a segment log in the data directory, a Kafka adapter follows.
//
// Every adapter guarantees that Publish is durable (power cut, not only kill)
// when it returns nil, that the order inside a lane is kept, that the next
// message of a lane is withheld until the one before is acknowledged, and that
// what it cannot serve it refuses with [ErrQuarantined]: nothing is skipped.
//
// The package does no I/O and holds no value of any record.
package stream
