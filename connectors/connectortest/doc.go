// Package connectortest is the conformance suite for connectors. Whoever writes
// a kind calls it from a test:
//
//	connectortest.TestKind(t, mykind.Kind(), "endpoint: https://recipient.example/in")
//	connectortest.TestSink(t, mykind.Kind(), func(endpoint, address string) string {
//		return "endpoint: " + endpoint + "\nallow: ['" + address + "']"
//	})
//	connectortest.TestOutlet(t, mykind.Kind(), config, connectortest.Driver{...})
//
// It holds a sink to the table of protocol.md 5.7 over every status, to the
// difference between not sent, unknown and answered against recipients that
// refuse, hang, reset, cut, flood or lie, and an outlet to "the fetch is the
// claim". Every test also looks for the content of records in errors and logs
// and for goroutines left behind.
//
// [Claims] is a small reference of the hub's side of an outlet, in memory, for
// these tests and for authors of outlets. It is not durable and decides
// nothing.
package connectortest
