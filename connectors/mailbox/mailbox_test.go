package mailbox_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"raccordo/connectors"
	"raccordo/connectors/connectortest"
	"raccordo/connectors/mailbox"
	"raccordo/hub/exchange"
)

// serve stands for the hub's API: a system sees its own mailbox only.
func serve(t *testing.T, o connectors.Outlet, caller exchange.SystemID, w http.ResponseWriter) {
	m := o.(*mailbox.Mailbox)
	if caller != m.System() {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	page, err := m.Fetch(context.Background(), 0)
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	var bodies []json.RawMessage
	for _, i := range page.Items {
		bodies = append(bodies, i.Body.Reveal())
	}
	if err := json.NewEncoder(w).Encode(bodies); err != nil {
		t.Error(err)
	}
}

func TestConformance(t *testing.T) {
	connectortest.TestKind(t, mailbox.Kind(), "lease: 1m")
	connectortest.TestOutlet(t, mailbox.Kind(), "lease: 1m", connectortest.Driver{
		Producer: "comune_alfa",
		Fetch:    serve,
		Accept: func(t *testing.T, o connectors.Outlet, items []connectors.Fetched) {
			var list []mailbox.Acknowledgement
			for _, i := range items {
				list = append(list, mailbox.Acknowledgement{Disclosure: i.Disclosure.String(), Result: "accepted"})
			}
			if _, err := o.(*mailbox.Mailbox).Acknowledge(context.Background(), list); err != nil {
				t.Error(err)
			}
		},
		Hides: true,
	})
}

func open(t *testing.T, config string) (*mailbox.Mailbox, *connectortest.Claims, *connectortest.Bench) {
	t.Helper()
	b := connectortest.NewBench(t)
	claims := connectortest.NewClaims(connectortest.System, time.Now)
	o, err := mailbox.Kind().OpenOutlet(connectortest.Decode(t, mailbox.Kind(), config), b.Settings(), claims)
	if err != nil {
		t.Fatal(err)
	}
	return o.(*mailbox.Mailbox), claims, b
}

func TestPages(t *testing.T) {
	m, claims, _ := open(t, "page_size: 2\npage_bytes: 65536")
	for _, i := range connectortest.Items(5) {
		claims.Queue("comune_alfa", "", i)
	}
	for n, c := range []struct {
		limit, want int
		more        bool
	}{{0, 2, true}, {1, 1, true}, {500, 2, false}} {
		page, err := m.Fetch(context.Background(), c.limit)
		if err != nil || len(page.Items) != c.want || page.More != c.more {
			t.Errorf("fetch %d: %d items, more %v, %v", n, len(page.Items), page.More, err)
		}
		for _, i := range page.Items {
			if i.LeasedUntil.IsZero() {
				t.Error("an item without its lease")
			}
		}
	}
	for _, limit := range []int{-1, 501} {
		if _, err := m.Fetch(context.Background(), limit); exchange.AsError(err).Code != exchange.CodeMalformed {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
}

func TestAcknowledge(t *testing.T) {
	m, claims, b := open(t, "")
	items := connectortest.Items(4)
	for _, i := range items {
		claims.Queue("comune_alfa", "", i)
	}
	if _, err := m.Fetch(context.Background(), 3); err != nil {
		t.Fatal(err)
	}
	ack := func(n int, result, reason string) mailbox.Acknowledgement {
		return mailbox.Acknowledgement{Disclosure: items[n].Disclosure.String(), Result: result, Reason: reason}
	}
	results, err := m.Acknowledge(context.Background(), []mailbox.Acknowledgement{
		ack(0, "accepted", ""), ack(1, "refused", "a free text"), ack(2, "retry", ""), ack(3, "accepted", ""), ack(0, "refused", ""),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []connectors.AckResult{connectors.AckSettled, connectors.AckSettled, connectors.AckSettled, connectors.AckUnknown, connectors.AckRepeated}
	for n := range want {
		if results[n] != want[n] {
			t.Errorf("acknowledgement %d: %v, want %v", n, results[n], want[n])
		}
	}
	if b.Counted(connectors.EventUnknownDisclosure) != 1 {
		t.Error("the one that was not fetched was not counted")
	}
	if state, reason := claims.State(items[1].Disclosure); state != exchange.StateParked || reason != exchange.ReasonRefused {
		t.Errorf("refused: %v %s", state, reason)
	}
}

func TestMalformedAcknowledgementsSettleNothing(t *testing.T) {
	m, claims, _ := open(t, "")
	item := connectortest.Items(1)[0]
	claims.Queue("comune_alfa", "", item)
	if _, err := m.Fetch(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
	good := mailbox.Acknowledgement{Disclosure: item.Disclosure.String(), Result: "accepted"}
	for name, c := range map[string]struct {
		list    []mailbox.Acknowledgement
		pointer exchange.Pointer
	}{
		"none":     {nil, "/acknowledgements"},
		"too many": {make([]mailbox.Acknowledgement, 501), "/acknowledgements"},
		"result":   {[]mailbox.Acknowledgement{good, {Disclosure: good.Disclosure, Result: "ok"}}, "/acknowledgements/1/result"},
		"id":       {[]mailbox.Acknowledgement{good, {Disclosure: "1", Result: "accepted"}}, "/acknowledgements/1/disclosure_id"},
		"zero id":  {[]mailbox.Acknowledgement{good, {Disclosure: exchange.DisclosureID{}.String(), Result: "retry"}}, "/acknowledgements/1/disclosure_id"},
	} {
		_, err := m.Acknowledge(context.Background(), c.list)
		e := exchange.AsError(err)
		if e.Code != exchange.CodeInvalid || len(e.Faults) != 1 || e.Faults[0].Pointer != c.pointer {
			t.Errorf("%s: %v", name, err)
		}
		if state, _ := claims.State(item.Disclosure); state != exchange.StateClaimed {
			t.Errorf("%s: the good one was settled: %v", name, state)
		}
	}
}

func TestConfigBounds(t *testing.T) {
	for _, c := range []mailbox.Config{
		{PageSize: 0, PageBytes: 1 << 20, Lease: time.Minute},
		{PageSize: 501, PageBytes: 1 << 20, Lease: time.Minute},
		{PageSize: 1, PageBytes: 1, Lease: time.Minute},
		{PageSize: 1, PageBytes: 1 << 20, Lease: time.Second},
		{PageSize: 1, PageBytes: 1 << 20, Lease: 25 * time.Hour},
	} {
		if len(c.Validate()) != 1 {
			t.Errorf("%+v: %v", c, c.Validate())
		}
	}
}
