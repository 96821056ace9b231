// Package hub is the composition: it builds a hub out of the other packages,
// starts and stops it, and is the only one that knows them all.
//
// It guarantees the order in which things come up and go down: nothing is
// accepted before what is needed to account for it is ready, and a stop takes
// no new request, lets every parcel under way end and be settled, and leaves a
// data directory the next start goes on from. Each thing that is opened is
// closed, last first, whatever else fails.
//
// It refuses to start on a network with a single fault, on a data directory
// that another hub uses, on halves of two hubs, and with a clock that cannot
// be trusted (then nothing is written until an operator confirms it).
package hub
