package crashtest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"raccordo/hub/control"
	"raccordo/hub/exchange"
)

// sound is a run in which everything is as it must be: two records of one
// person, each with two recipients.
func sound(t *testing.T) *Checks {
	t.Helper()
	c := &Checks{Ledger: &Ledger{State: map[place]exchange.Row{}, Claimed: map[place]bool{}},
		Status: control.Status{Flows: map[exchange.FlowID]map[string]int64{}}}
	p := NewPerson("run", 1)
	for n := range 2 {
		s := Sent{Number: []string{"a", "b"}[n], Order: n + 1, Service: "ACC_SOCIALE", Urgency: "ORDINARIA", Person: p, Note: "nota"}
		id := exchange.RecordID{byte(n + 1)}
		c.Answered = append(c.Answered, &Answered{Request: &Request{Key: s.Number, Sent: []Sent{s}}, Records: []*exchange.RecordID{&id}})
		for _, f := range s.Flows() {
			b, err := json.Marshal(s.Expected(f))
			if err != nil {
				t.Fatal(err)
			}
			c.Arrivals = append(c.Arrivals, Arrival{System: recipients[f], Disclosure: exchange.NewDisclosureID(id, f), Record: id, Flow: f,
				Sequence: uint64(n + 1), Content: b})
			c.Ledger.State[place{id, f}] = exchange.Row{Record: id, State: exchange.StateDelivered}
			c.Ledger.Claimed[place{id, f}] = true
			if c.Status.Flows[f] == nil {
				c.Status.Flows[f] = map[string]int64{}
			}
			c.Status.Flows[f]["delivered"]++
		}
	}
	return c
}

// Each checker fails on what it is for.
func TestCheckersFail(t *testing.T) {
	if err := sound(t).All(); err != nil {
		t.Fatal(err)
	}
	other := exchange.RecordID{9}
	for name, x := range map[string]struct {
		says  string
		spoil func(*Checks)
	}{
		"a record is lost":          {"I1", func(c *Checks) { delete(c.Ledger.State, place{c.Arrivals[0].Record, c.Arrivals[0].Flow}) }},
		"a record is parked":        {"I1", func(c *Checks) { c.set(0, exchange.StateParked) }},
		"a record waits":            {"I1", func(c *Checks) { c.set(3, exchange.StateWaiting) }},
		"a record of nobody":        {"I1", func(c *Checks) { c.Ledger.State[place{other, "livorno_provider"}] = exchange.Row{State: 4} }},
		"sums do not balance":       {"I1", func(c *Checks) { c.Status.Flows["livorno_provider"]["delivered"] = 1 }},
		"the hub sees imbalance":    {"I1", func(c *Checks) { c.Status.Imbalance = 1 }},
		"delivered, never arrived":  {"I1", func(c *Checks) { c.Arrivals = c.Arrivals[1:] }},
		"arrived without a claim":   {"I4", func(c *Checks) { c.Ledger.Claimed = map[place]bool{} }},
		"arrived unacknowledged":    {"I", func(c *Checks) { c.Answered = c.Answered[:1] }},
		"at another recipient":      {"I2", func(c *Checks) { c.Arrivals[0].System = "arti_livorno" }},
		"another disclosure id":     {"I5", func(c *Checks) { c.Arrivals[0].Disclosure[0] ^= 1 }},
		"more than is permitted":    {"I3", func(c *Checks) { c.content(0, "nota", "x") }},
		"another value":             {"I3", func(c *Checks) { c.content(0, "riferimento", "x") }},
		"out of order":              {"I5", func(c *Checks) { c.Arrivals[0], c.Arrivals[2] = c.Arrivals[2], c.Arrivals[0] }},
		"sequences do not rise":     {"I5", func(c *Checks) { c.Arrivals[2].Sequence = 1 }},
		"sequence changes":          {"I5", func(c *Checks) { c.Arrivals = append(c.Arrivals, c.Arrivals[0]); c.Arrivals[4].Sequence = 7 }},
		"one id for two records":    {"I5", func(c *Checks) { c.Answered[1].Records = c.Answered[0].Records }},
		"acknowledged, and no more": {"I1", func(c *Checks) { c.Arrivals, c.Ledger.State = nil, nil }},
	} {
		t.Run(name, func(t *testing.T) {
			c := sound(t)
			x.spoil(c)
			if err := c.All(); err == nil || !strings.Contains(err.Error(), x.says) {
				t.Errorf("found %v", err)
			}
		})
	}
}

func (c *Checks) set(i int, s exchange.State) {
	c.Ledger.State[place{c.Arrivals[i].Record, c.Arrivals[i].Flow}] = exchange.Row{State: s}
}

func (c *Checks) content(i int, key, value string) {
	var m map[string]any
	_ = json.Unmarshal(c.Arrivals[i].Content, &m)
	m[key] = value
	c.Arrivals[i].Content, _ = json.Marshal(m)
}

// A canary is found in every form, wherever it stands.
func TestCanariesAreFound(t *testing.T) {
	needles := Needles(canaryStem)
	for name, text := range map[string]string{
		"plain": "x" + canaryStem + "y", "escaped": `{"a":"Kanar\u00eca"}`, "percent": "?q=Kanar%C3%ACa", "hex": "4b616e6172c3ac61",
		"base64": "a0thbmFyw6xhYQ==", "base64 shifted": "eEthbmFyw6xheHg=", "base64 shifted twice": "eHhLYW5hcsOsYXg=",
	} {
		if len(Find([]byte("before "+text+" after"), needles)) == 0 {
			t.Errorf("%s was not found", name)
		}
	}
	if f := Find([]byte("Kanaria, Kanar\u00e8a, 4b616e6172"), needles); len(f) > 0 {
		t.Errorf("found %v where nothing is", f)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "clean"), []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Scan(dir, needles); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, canaryStem), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if Scan(dir, needles) == nil {
		t.Error("a file's name was not looked at")
	}
}
