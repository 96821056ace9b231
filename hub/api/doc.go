// Package api is the hub's HTTP API: openapi.yaml, which is written first, and
// the handlers that keep it (design.md section 9). What they do is behind
// narrow interfaces, which the composition fills.
//
// It guarantees that every route is in the specification and the reverse, that
// every 4xx and 5xx is a problem document made in one place, that no answer,
// log line or metric carries a value of a record or an identifier of a person,
// that what is not there and what is not for the caller get the same answer,
// and that no body is read before its caller is known and a place for it is
// free.
//
// It refuses paths with escapes or dots, methods and query parameters that are
// not in the specification, content encodings, charsets other than UTF-8,
// bodies over the bound of their media type, unknown members, and a fetch of
// the mailbox by anything but GET.
package api
