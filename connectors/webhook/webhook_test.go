package webhook_test

import (
	"testing"

	"raccordo/connectors/connectortest"
	"raccordo/connectors/webhook"
)

func config(endpoint, address string) string {
	return "endpoint: " + endpoint + "\nallow: ['" + address + "']\nauth: {scheme: bearer, secret: 'env:TOKEN'}\nsignature: 'env:KEY'\n"
}

func TestConformance(t *testing.T) {
	connectortest.TestKind(t, webhook.Kind(), config("https://recipient.example/in", "10.1.2.3:443"))
	connectortest.TestSink(t, webhook.Kind(), config)
}
