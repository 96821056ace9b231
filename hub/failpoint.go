//go:build !faults

package hub

import "raccordo/hub/exchange"

// failpoint is where a binary built for tests of faults (-tags faults) dies of
// a marked record. This one does nothing.
func failpoint(exchange.Tree) {}
