package hub

import (
	"testing"

	"raccordo/hub/api"
	"raccordo/hub/exchange"
)

// Of every state a sender sees one of four words (protocol.md 7), and of a
// parked record "failed" only where its own data do not fit.
func TestSenderState(t *testing.T) {
	t.Parallel()
	want := map[exchange.State]api.SenderState{
		exchange.StatePending: api.SenderPending, exchange.StateWaiting: api.SenderPending, exchange.StateClaimed: api.SenderPending,
		exchange.StateDelivered: api.SenderDelivered, exchange.StateUnchanged: api.SenderDelivered,
		exchange.StatePossiblyDelivered: api.SenderNotReleased, exchange.StateWithheld: api.SenderNotReleased,
		exchange.StateExpired: api.SenderNotReleased, exchange.StateErased: api.SenderNotReleased,
		exchange.StateParked: api.SenderPending, exchange.StateDiscarded: api.SenderFailed,
	}
	for _, s := range exchange.States() {
		if got := senderState(s, ""); got != want[s] {
			t.Errorf("%s is shown as %s, not %s", s, got, want[s])
		}
	}
	for why, want := range map[exchange.Reason]api.SenderState{
		exchange.ReasonFormatMismatch: api.SenderFailed, exchange.ReasonMappingFailed: api.SenderFailed,
		exchange.ReasonRefused: api.SenderFailed, exchange.ReasonRecipientInvalid: api.SenderFailed,
		exchange.ReasonRecipientNoData: api.SenderFailed, exchange.ReasonUndecodable: api.SenderFailed,
		exchange.ReasonSuspect: api.SenderPending, exchange.ReasonPanicked: api.SenderPending,
		exchange.ReasonUnknownOutcome: api.SenderPending, exchange.ReasonRecipientError: api.SenderPending,
		exchange.ReasonConflictUnsolved: api.SenderPending,
	} {
		if got := senderState(exchange.StateParked, why); got != want {
			t.Errorf("parked as %s is shown as %s, not %s", why, got, want)
		}
	}
}
