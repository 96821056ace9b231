package delivery

import (
	"testing"
	"time"

	"raccordo/hub/exchange"
)

func TestSmoke(t *testing.T) {
	run(t, func(b *bench) {
		b.accept(rec{ref: "a1", person: "Ada", flows: []exchange.FlowID{plainFlow, consentFlow, mailFlow}})
		b.becomes("a1", plainFlow, exchange.StateDelivered)
		b.stands("a1", consentFlow, exchange.StateWaiting, exchange.ReasonConsentMissing)
		b.stands("a1", mailFlow, exchange.StateWaiting, exchange.ReasonAwaitingFetch)
		b.give("Ada", consentFlow)
		b.becomes("a1", consentFlow, exchange.StateDelivered)
		b.pass(time.Minute)
	})
}
