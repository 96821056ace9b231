package exchange

import (
	"fmt"
	"slices"
)

// Reason is a stable code that says why: in decisions, refusals, parked
// records, problem documents and metrics. The set is closed, so that it can be
// a metric label, and every reason a row of the ledger can hold has a number.
type Reason string

// Reasons of decisions and of ends (ledger rows). The numbers in ledgerReasons
// are fixed for ever.
const (
	ReasonPermitted         Reason = "permitted"
	ReasonDelivered         Reason = "delivered"
	ReasonConsentMissing    Reason = "consent_missing"   // none recorded yet: hold
	ReasonConsentRefused    Reason = "consent_refused"   // refused by the person
	ReasonConsentWithdrawn  Reason = "consent_withdrawn" // withdrawn by the person
	ReasonConsentRevoked    Reason = "consent_revoked"   // ended by someone else
	ReasonConsentExpired    Reason = "consent_expired"   // its time is over
	ReasonClauseNotInForce  Reason = "clause_not_in_force"
	ReasonRoleNotHeld       Reason = "role_not_held"
	ReasonConditionNotMet   Reason = "condition_not_met"
	ReasonNoDossier         Reason = "no_dossier"
	ReasonCategoryForbidden Reason = "category_not_permitted"
	ReasonFlowEnded         Reason = "flow_ended"
	ReasonStopped           Reason = "disclosures_stopped"
	ReasonHoldExpired       Reason = "hold_expired"
	ReasonPruned            Reason = "pruned"          // an affected person cut out
	ReasonQueued            Reason = "queued_behind"   // this person's earlier record waits
	ReasonAwaitingFetch     Reason = "awaiting_fetch"  // the recipient comes and gets it
	ReasonAwaitingRetry     Reason = "awaiting_retry"  // transient refusal
	ReasonSpilled           Reason = "spilled"         // recipient too far behind
	ReasonNotSent           Reason = "not_sent"        // no byte of the body left
	ReasonUnknownOutcome    Reason = "unknown_outcome" // may have arrived
	ReasonRefused           Reason = "refused_by_recipient"
	ReasonFormatMismatch    Reason = "format_mismatch" // does not fit the recipient's format
	ReasonMappingFailed     Reason = "mapping_failed"
	ReasonSuspect           Reason = "suspect_record" // two unclean deaths while it was under work
	ReasonPanicked          Reason = "processing_panicked"
	ReasonUndecodable       Reason = "undecodable"
	ReasonDiscarded         Reason = "discarded_by_operator"
	ReasonReplayed          Reason = "replayed_by_operator"
	ReasonRecipientInvalid  Reason = "recipient_says_invalid"   // WaaS RICHIESTA_INVALIDA
	ReasonRecipientNoData   Reason = "recipient_says_not_found" // WaaS DATI_NON_TROVATI
	ReasonRecipientError    Reason = "recipient_error"          // WaaS ERRORE_GENERICO, five times
	ReasonLeaseExpired      Reason = "fetch_lease_expired"
	ReasonConflictUnsolved  Reason = "identity_conflict"
)

var ledgerReasons = []Reason{ // index = number; append only
	"", ReasonPermitted, ReasonDelivered, ReasonConsentMissing, ReasonConsentRefused, ReasonConsentWithdrawn,
	ReasonConsentRevoked, ReasonConsentExpired, ReasonClauseNotInForce, ReasonRoleNotHeld, ReasonConditionNotMet,
	ReasonNoDossier, ReasonCategoryForbidden, ReasonFlowEnded, ReasonStopped, ReasonHoldExpired, ReasonPruned,
	ReasonQueued, ReasonAwaitingFetch, ReasonAwaitingRetry, ReasonSpilled, ReasonNotSent, ReasonUnknownOutcome,
	ReasonRefused, ReasonFormatMismatch, ReasonMappingFailed, ReasonSuspect, ReasonPanicked, ReasonUndecodable,
	ReasonDiscarded, ReasonReplayed, ReasonRecipientInvalid, ReasonRecipientNoData, ReasonRecipientError,
	ReasonLeaseExpired, ReasonConflictUnsolved,
}

// Number is the reason's code in a ledger row; 0 for one that no row can hold.
func (r Reason) Number() uint16 {
	if i := slices.Index(ledgerReasons, r); i > 0 {
		return uint16(i)
	}
	return 0
}

// ReasonFromNumber reads a row's code.
func ReasonFromNumber(n uint16) (Reason, error) {
	if n == 0 || int(n) >= len(ledgerReasons) {
		return "", fmt.Errorf("reason number %d is not known to this version", n)
	}
	return ledgerReasons[n], nil
}

// Reasons of refusals (problem documents; nothing was stored).
const (
	ReasonInternal       Reason = "internal"
	ReasonNotFound       Reason = "not_found"
	ReasonMalformedJSON  Reason = "malformed_json"
	ReasonMalformedXML   Reason = "malformed_xml"
	ReasonTooLarge       Reason = "too_large"
	ReasonTooDeep        Reason = "too_deep"
	ReasonTooManyNodes   Reason = "too_many_nodes"
	ReasonDuplicateKey   Reason = "duplicate_key"
	ReasonBadNumber      Reason = "bad_number"
	ReasonBadText        Reason = "bad_text"
	ReasonSchema         Reason = "schema"
	ReasonSemantic       Reason = "semantic"
	ReasonBadIdentifier  Reason = "bad_identifier"
	ReasonMediaType      Reason = "media_type"
	ReasonNoRecipient    Reason = "no_recipient"
	ReasonNotSupported   Reason = "not_supported_yet"
	ReasonUnknownType    Reason = "unknown_record_type"
	ReasonKeyMissing     Reason = "idempotency_key_missing"
	ReasonKeyInvalid     Reason = "idempotency_key_invalid"
	ReasonKeyReused      Reason = "idempotency_key_reused"
	ReasonKeysFull       Reason = "idempotency_keys_full"
	ReasonOutcomeUnknown Reason = "outcome_unknown"
	ReasonOverloaded     Reason = "overloaded"
	ReasonRateLimited    Reason = "rate_limited"
	ReasonQuarantined    Reason = "quarantined"
	ReasonShuttingDown   Reason = "shutting_down"
	ReasonTokenMissing   Reason = "token_missing"
	ReasonTokenInvalid   Reason = "token_invalid"
	ReasonTokenReplayed  Reason = "token_replayed"
	ReasonRoleMissing    Reason = "role_missing"
	ReasonConsentScope   Reason = "consent_scope"
	ReasonConsentState   Reason = "consent_state"
	ReasonDossierState   Reason = "dossier_state"
	ReasonParameter      Reason = "parameter"
	ReasonConfiguration  Reason = "configuration"
	ReasonClockJump      Reason = "clock_jump"
)
