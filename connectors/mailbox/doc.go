// Package mailbox is the connector for recipients that cannot be called: they
// fetch through the hub's own API (`GET /v1/mailbox`) and acknowledge
// (`POST /v1/mailbox/acknowledgements`).
//
// The shape of both requests belongs to the API and its specification. This
// kind holds what is configured per recipient (page size, lease) and turns one
// page and one list of acknowledgements into calls of [connectors.Claims]. It
// keeps nothing between calls, so any replica may answer any of them.
//
// It guarantees that what [Mailbox.Fetch] returns has been claimed durably, and
// that a reason given by a recipient is taken over only if it is one of the
// hub's codes. It refuses pages larger than configured and acknowledgements
// that are not well formed, all or nothing.
package mailbox
