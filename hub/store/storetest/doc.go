// Package storetest is the suite every engine of package store must pass. An
// engine's test calls it in three lines:
//
//	func TestConformance(t *testing.T) {
//		storetest.Run(t, storetest.Engine{New: newOpener})
//	}
//
// It tests what callers rely on, through the interfaces only: atomicity (a
// function that fails undoes all of its own and nothing of what shares its
// commit), durability across a reopening, one snapshot per view, the lock of
// the head against competing writers, the order and fencing of queues, and,
// with random operations against simple models in memory, that queues, states
// and sums are always what a recount gives.
//
// It does not test durability against power cuts or kills: those are tests of
// an engine, which knows its files and processes.
package storetest
