package connectors_test

import (
	"strings"
	"testing"
	"time"

	"raccordo/connectors"
	"raccordo/connectors/connectortest"
	"raccordo/hub/exchange"
)

func TestClassOfOddStatuses(t *testing.T) {
	for _, status := range []int{-1, 0, 99, 100, 101, 199, 600, 999} {
		if c := connectors.ClassOf(status); c != connectors.ClassNone {
			t.Errorf("%d: %v", status, c)
		}
	}
}

func TestRetryAfterUsesTheClock(t *testing.T) {
	now := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                               0,
		"  12 ":                          12 * time.Second,
		"1.5":                            0,
		"+5":                             0,
		"Sun, 01 Mar 2026 10:01:00 GMT":  time.Minute,
		"Sun, 01 Mar 2026 09:00:00 GMT":  0,
		"Sunday, 01-Mar-26 10:02:00 GMT": 2 * time.Minute,
		"Fri, 31 Dec 9999 23:59:59 GMT":  time.Hour,
		strings.Repeat("9", 100_000):     time.Hour,
	} {
		if have := connectors.RetryAfter(value, now); have != want {
			t.Errorf("%.40q: %v, want %v", value, have, want)
		}
	}
}

func TestFor(t *testing.T) {
	d := connectortest.Items(1)[0].Disclosure
	for _, c := range []struct {
		r    connectors.Result
		want connectors.ItemStatus
	}{
		{connectors.Result{}, connectors.ItemUnknown},
		{connectors.Result{Class: connectors.Accepted}, connectors.ItemUnknown},
		{connectors.Result{Overall: connectors.Answered}, connectors.ItemUnknown},
		{connectors.Result{Overall: connectors.NotSent}, connectors.ItemNotSent},
		{connectors.Result{Overall: connectors.Answered, Class: connectors.Accepted}, connectors.ItemAccepted},
		{connectors.Result{Overall: connectors.Answered, Class: connectors.Transient}, connectors.ItemRetry},
		{connectors.Result{Overall: connectors.Answered, Class: connectors.Permanent}, connectors.ItemSuspected},
		{connectors.Result{Overall: connectors.Answered, Class: connectors.Stop}, connectors.ItemStopped},
		{connectors.Result{Overall: connectors.NotSent, Items: map[exchange.DisclosureID]connectors.ItemResult{d: {Status: connectors.ItemAccepted}}}, connectors.ItemAccepted},
	} {
		if have := c.r.For(d).Status; have != c.want {
			t.Errorf("%+v: %v, want %v", c.r, have, c.want)
		}
	}
}

func FuzzReadAnswer(f *testing.F) {
	items := connectortest.Items(2)
	ids := []exchange.DisclosureID{items[0].Disclosure, items[1].Disclosure}
	f.Add([]byte(`{"results":[{"disclosure_id":"` + ids[0].String() + `","result":"accepted"}]}`))
	f.Add([]byte(`{"results":[{"disclosure_id":"` + ids[1].String() + `","result":"refused","reason":"x"}],"results":1}`))
	f.Add([]byte(` `))
	f.Add([]byte(`<html>`))
	f.Fuzz(func(t *testing.T, body []byte) {
		have, ok := connectors.ReadAnswer(body, ids)
		if ok != (len(have) == len(ids)) {
			t.Errorf("ok %v with %d results", ok, len(have))
		}
		for d, r := range have {
			if d != ids[0] && d != ids[1] {
				t.Error("a result for another disclosure")
			}
			if r.Reason.Number() == 0 {
				t.Error("a reason that no ledger row can hold")
			}
			if r.Status == connectors.ItemAccepted && len(strings.TrimSpace(string(body))) > 0 && !strings.Contains(string(body), d.String()) {
				t.Error("accepted without being named")
			}
		}
	})
}

// TestParseJSONNames holds the strictness that encoding/json alone lacks.
func TestParseJSONNames(t *testing.T) {
	for text, ok := range map[string]bool{
		`{"a":1,"b":{"a":1}}`: true,
		`[1,"x",null,true]`:   true,
		`{"a":1,"A":2}`:       false,
		`{"a":1,"\u0061":2}`:  false,
		`{"a":1} {}`:          false,
		`{"a":1}]`:            false,
		`{"a"`:                false,
		`[1,]`:                false,
		`{,}`:                 false,
		"\"\xff\"":            false,
		``:                    false,
		strings.Repeat("[", 9) + strings.Repeat("]", 9):   true,
		strings.Repeat("[", 10) + strings.Repeat("]", 10): false,
		"[" + strings.Repeat("1,", 30_000) + "1]":         false,
	} {
		if _, err := connectors.ParseJSON([]byte(text)); (err == nil) != ok {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}
