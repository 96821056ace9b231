package keys_test

import (
	"crypto/rsa"
	"encoding/base64"
	"math/big"
	"testing"
	"time"

	"raccordo/hub/keys"
)

// TestThumbprint is the example of RFC 7638 section 3.1.
func TestThumbprint(t *testing.T) {
	const n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs" +
		"tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbI" +
		"SD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
	b, err := base64.RawURLEncoding.DecodeString(n)
	if err != nil {
		t.Fatal(err)
	}
	got, err := keys.Thumbprint(&rsa.PublicKey{N: new(big.Int).SetBytes(b), E: 65537})
	if err != nil || got != "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" {
		t.Fatalf("%s, %v", got, err)
	}
	if _, err := keys.Thumbprint("text"); err == nil {
		t.Fatal("a text has a thumbprint")
	}
}

func TestDay(t *testing.T) {
	for text, day := range map[string]keys.Day{"1970-01-01": 0, "1970-01-02": 1, "1969-12-31": -1, "2026-03-14": 20526} {
		got, err := keys.ParseDay(text)
		if err != nil || got != day || day.String() != text {
			t.Fatalf("%s: %d, %v, back %s", text, got, err, day)
		}
		for _, at := range []time.Duration{0, time.Nanosecond, 24*time.Hour - 1} {
			if keys.DayOf(day.Start().Add(at)) != day {
				t.Fatalf("%s + %s is another day", text, at)
			}
		}
	}
	// The day is the date in UTC, whatever the zone of the clock.
	rome := time.FixedZone("CET", 3600)
	if got := keys.DayOf(time.Date(2026, 3, 15, 0, 30, 0, 0, rome)); got.String() != "2026-03-14" {
		t.Fatalf("half past midnight in Rome is %s", got)
	}
	for _, bad := range []string{"", "2026-3-14", "14/03/2026", "2026-02-30"} {
		if _, err := keys.ParseDay(bad); err == nil {
			t.Fatalf("read %q", bad)
		}
	}
}

func TestPlace(t *testing.T) {
	for _, p := range keys.Places() {
		if got, err := keys.ParsePlace(p.String()); err != nil || got != p {
			t.Fatalf("%s: %v", p, err)
		}
	}
	for _, bad := range []string{"", "invalid", "Stream"} {
		if _, err := keys.ParsePlace(bad); err == nil {
			t.Fatalf("read %q", bad)
		}
	}
}
