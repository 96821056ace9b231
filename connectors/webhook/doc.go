// Package webhook is the connector for recipients that take records by HTTP
// POST in whatever format they have, described in the network; it needs no code
// on our side.
//
// # Requests
//
// Items whose media type is JSON travel together, up to `batch` of them:
//
//	POST <endpoint>
//	Content-Type: application/json
//
//	{"recipient": "<system>",
//	 "disclosures": [
//	   {"disclosure_id": "<uuid>", "record_id": "<uuid>", "record_type": "...", "flow": "...",
//	    "sequence": 7, "attempt": 1, "record": {the record in the recipient's own format}}, ...]}
//
// An item of any other media type is a request of its own, whose body is the
// item's bytes as they are (so that a system that reads XML gets XML), with the
// same facts in headers: Raccordo-Recipient, Raccordo-Disclosure-Id,
// Raccordo-Record-Id, Raccordo-Record-Type, Raccordo-Flow, Raccordo-Sequence,
// Raccordo-Attempt.
//
// A disclosure id is the same at every attempt: whoever has seen it may answer
// "accepted" and do nothing. Sequence rises per flow and person: whoever has
// seen a higher one may discard what is older.
//
// # Who we are
//
// `auth` sends a secret as bearer token or in a header of the recipient's
// choice. `signature` adds
//
//	Raccordo-Signature: t=<unix seconds>,v1=<hex HMAC-SHA256>
//
// over the text "<t>\n", then, for a request of one raw item, the values of the
// seven headers above in that order, each followed by "\n", then the body.
//
// # Answers
//
// An empty 2xx accepts all. Otherwise a 2xx carries
//
//	{"results": [{"disclosure_id": "<uuid>", "result": "accepted|refused|retry", "reason": "<code>"}]}
//
// What it does not name stays unknown and is sent again with the same
// disclosure id; a body that is anything else, or names a foreign id, makes all
// of them unknown. Other statuses, and Retry-After: see
// [raccordo/connectors.ClassOf].
//
// # Order
//
// The requests of a parcel are sent one after the other in lane order. The
// first that is not answered as accepted ends the parcel; what comes after it
// is reported as not sent. An exception is a single raw item refused for ever:
// it is the guilty one, and the rest goes on.
//
// The package refuses to follow redirects, to send in clear outside endpoints
// that the allow list names, and to hold a secret in its configuration.
package webhook
