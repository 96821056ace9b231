// Package intake turns the bytes of a push into one durable frame.
//
// It guarantees that a record is acknowledged only when its frame is durable;
// that what is acknowledged was read through the byte gate into one tree,
// validated by the schema of its format, mapped to canonical, routed under one
// network and given its persons; that the same Idempotency-Key with the same
// body gives the same acknowledgement, refused lines included; that a refused
// line costs no other; and that every person at every place of a record stands
// in its header, and every other known id of them as an alias.
//
// It refuses requests whole, before anything is written, while the hub is too
// far behind ([Load]). It refuses to decide: who may get a record is asked when
// it is delivered. It stores nothing, sends nothing and echoes nothing of what
// it refuses.
package intake
