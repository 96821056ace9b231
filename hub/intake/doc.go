// Package intake turns the bytes of a push into one durable frame.
//
// It guarantees that a record is acknowledged only when its frame is durable;
// that what is acknowledged was read through the byte gate into one tree,
// validated by the schema of its format, mapped to canonical, routed under one
// network and given its persons; that the same Idempotency-Key with the same
// body gives the same acknowledgement, refused lines included; and that a
// refused line costs no other.
//
// It refuses to decide: who may get a record is asked when it is delivered. It
// stores nothing, sends nothing and echoes nothing of what it refuses.
package intake
