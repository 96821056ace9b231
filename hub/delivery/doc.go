// Package delivery takes what the stream holds to whoever may have it: each
// lane is read once, and for each recipient system parcels of up to 500
// records are decided, claimed in the ledger, sent and settled.
//
// It guarantees that no byte of a record leaves before its claim is durable
// and the gate, asked again under the lock with the newest facts, permitted it;
// that a recipient which is slow, dead or hostile stops only itself (what it
// does not take is spilled to its waiting queue); that the records of one
// person for one flow leave in order, save those the recipient itself put off;
// that each (record, flow) is in exactly one state, whatever dies when; and
// that nothing is dropped: what cannot be decided waits, what cannot be sent is
// parked with a reason code.
//
// The way of a parcel is: gather (headers only), prepare (open, decide ahead,
// render; outside any lock), claim, send, settle. What each entry decides is a
// docket. A claim that was not settled is renewed before it is sent again, by
// this process or by the one that takes the lanes after it.
//
// It refuses to interpret a foreign protocol (package connectors) and to decide
// by itself (package gate). It knows Watermill; nothing in the stream's
// messages but the part of the frame is trusted: what is no frame, comes out of
// order or does not fit the cursors quarantines its lane.
package delivery
