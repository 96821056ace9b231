// Package delivery takes what the stream holds to whoever may have it: each
// lane is read once, and for each recipient system parcels of up to 500
// records are decided, claimed in the ledger, sent and settled.
//
// It guarantees that no byte of a record leaves before its claim is durable
// and the gate, asked again under the lock with the newest facts, permitted it;
// that a recipient which is slow, dead or hostile stops only itself (what it
// does not take is spilled to its waiting queue); that the records of one
// person for one flow leave in order; and that nothing is dropped: what cannot
// be decided waits, what cannot be sent is parked with a reason code.
//
// It refuses to interpret a foreign protocol (package connectors) and to decide
// by itself (package gate). It knows Watermill; nothing in the stream's
// messages but the part of the frame is trusted.
package delivery
