// Package standard lists the kinds of connector that come with the hub, once:
// for the binary, the demo and the tests.
//
// It is a list and nothing else. A binary with a connector of somebody else's
// passes this list and that kind to [connectors.NewSet]; a name given twice is
// refused there.
package standard

import (
	"raccordo/connectors"
	"raccordo/connectors/mailbox"
	"raccordo/connectors/waas"
	"raccordo/connectors/webhook"
)

// Kinds are the kinds of connector that come with the hub.
func Kinds() []connectors.Kind {
	return []connectors.Kind{mailbox.Kind(), waas.Kind(), webhook.Kind()}
}
