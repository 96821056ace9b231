// Package hub is the composition: it builds a hub out of the other packages,
// starts and stops it, and is the only one that knows them all.
//
// It guarantees the order in which things come up and go down: nothing is
// accepted before what is needed to account for it is ready, and a stop takes
// no new request, lets every parcel under way end and be settled, and leaves a
// data directory the next start goes on from. Each thing that is opened is
// closed, last first, whatever else fails. Upkeep gives nothing up that somebody
// may still need, and nothing at all while something is wrong.
//
// It refuses to start on a configuration or network with a single fault, on a
// data directory that another hub uses, and on halves of two hubs. With a clock
// that cannot be trusted nothing is written until an operator confirms it; with
// a stream, store and outside checkpoint that do not fit each other it is
// quarantined: callers get 503, nothing is written, and the operators' listeners
// say why. After an error of unknown outcome it serves nobody any more
// ([Hub.Failed]).
package hub
