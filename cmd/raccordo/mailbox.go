package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"raccordo/hub/client"
	"raccordo/hub/exchange"
)

// fetched is one item as the recipient's own terminal may show it.
type fetched struct {
	Disclosure exchange.DisclosureID `json:"disclosure_id"`
	Record     exchange.RecordID     `json:"record_id"`
	Type       exchange.RecordType   `json:"record_type"`
	Flow       exchange.FlowID       `json:"flow"`
	Sequence   uint64                `json:"sequence"`
	MediaType  string                `json:"media_type"`
	LeaseUntil time.Time             `json:"lease_until"`
	JSON       json.RawMessage       `json:"record,omitempty"`
	Content    string                `json:"content,omitempty"`
	Result     string                `json:"acknowledged,omitempty"`
}

func (p *process) mailbox(ctx context.Context, args []string) error {
	c := p.caller("mailbox", "--as SYSTEM [--ack]",
		`Fetches what waits for a system, in that system's own format. What is fetched is decided again and claimed before it is shown; it is offered
		again later unless it is acknowledged. With --ack everything that was shown is acknowledged as received.`,
		`raccordo token --as sds_pistoiese_salute --key sds.key --new-key --out sds.pub
		raccordo system add-key sds_pistoiese_salute sds.pub
		raccordo mailbox --as sds_pistoiese_salute --key sds.key --ack`)
	ack := c.flags.Bool("ack", false, "acknowledge what was shown")
	limit := c.flags.Int("limit", 0, "at most so `MANY`, 1 to 500; default as the hub says")
	if err := c.parse(args, 0, 0); err != nil {
		return err
	}
	if err := c.page(*limit); err != nil {
		return err
	}
	caller, err := c.client()
	if err != nil {
		return err
	}
	page, err := caller.Fetch(ctx, *limit)
	if err != nil {
		return c.where(err)
	}
	items := make([]fetched, len(page.Items))
	for i, x := range page.Items {
		items[i] = fetched{Disclosure: x.Disclosure, Record: x.Record, Type: x.Type, Flow: x.Flow, Sequence: x.Sequence,
			MediaType: x.MediaType, LeaseUntil: x.LeaseUntil}
		if x.MediaType == "application/json" {
			items[i].JSON = x.Content.Reveal()
		} else {
			items[i].Content = string(x.Content.Reveal())
		}
	}
	if *ack {
		if err := acknowledge(ctx, caller, items); err != nil {
			return err
		}
	}
	out := struct {
		Items []fetched `json:"items"`
		More  bool      `json:"more"`
	}{items, page.More}
	return c.show(out, func(w io.Writer) {
		for _, x := range items {
			fmt.Fprintf(w, "%s %s by flow %s, disclosure %s%s\n%s%s\n", x.Type, x.Record, x.Flow, x.Disclosure, settled(x.Result), x.JSON, x.Content)
		}
		more := ""
		if page.More {
			more = ", there are more"
		}
		fmt.Fprintf(w, "%s%s\n", count(len(items), "item"), more)
	})
}

func settled(result string) string {
	if result == "" {
		return ""
	}
	return ", " + result
}

func acknowledge(ctx context.Context, caller *client.Client, items []fetched) error {
	if len(items) == 0 {
		return nil
	}
	acks := make([]client.ItemAcknowledgement, len(items))
	for i, x := range items {
		acks[i].Disclosure = x.Disclosure
	}
	results, err := caller.Acknowledge(ctx, acks...)
	if err != nil {
		return err
	}
	for i := range min(len(results), len(items)) {
		items[i].Result = results[i].Result
	}
	return nil
}
