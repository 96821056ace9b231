package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"raccordo/hub/control"
)

func (p *process) parked(ctx context.Context, args []string) error {
	return p.acts(ctx, args, `Records that could not be handed over and are set aside, sealed, for a human: never dropped, never shown.`,
		act{"list", p.parkedList}, act{"show", p.parkedShow},
		act{"replay", func(ctx context.Context, args []string) error { return p.reopen(ctx, args, "replay") }},
		act{"discard", func(ctx context.Context, args []string) error { return p.reopen(ctx, args, "discard") }})
}

func (p *process) parkedList(ctx context.Context, args []string) error {
	o := p.operator("parked list", "", `Lists parked records, oldest first, with the reason of each; a page at a time.`, `raccordo parked list
		raccordo parked list --ids`)
	var q control.ParkedQuery
	o.flags.Uint64Var(&q.After, "after", 0, "show what comes after this `NUMBER`")
	o.flags.IntVar(&q.Limit, "limit", 100, "at most so `MANY`, 1 to 500")
	ids := o.flags.Bool("ids", false, "print numbers alone, one a line, for the other commands")
	if err := o.parse(args, 0, 0); err != nil {
		return err
	}
	if err := o.page(q.Limit); err != nil {
		return err
	}
	got, err := ask[control.ParkedPage](ctx, o, "parked/list", q)
	if err != nil {
		return err
	}
	return o.show(got, func(w io.Writer) {
		if *ids {
			for _, r := range got.Parked {
				fmt.Fprintln(w, r.ID)
			}
			return
		}
		rows := [][]string{{"NUMBER", "PARKED", "FLOW", "REASON", "DISCLOSED", "ATTEMPTS", "RECORD"}}
		for _, r := range got.Parked {
			rows = append(rows, []string{fmt.Sprint(r.ID), instant(r.Parked), string(r.Flow), string(r.Reason), r.Mark, fmt.Sprint(r.Attempt), r.Record.String()})
		}
		table(w, rows)
		if got.Next != 0 {
			fmt.Fprintf(w, "more: raccordo parked list --after %d\n", got.Next)
		}
	})
}

func (p *process) parkedShow(ctx context.Context, args []string) error {
	o := p.operator("parked show", "NUMBER", `Shows why a record is parked: reason, pointers and rules; never its content.`,
		`raccordo parked list --ids --limit 1 | xargs -r raccordo parked show`)
	if err := o.parse(args, 1, 1); err != nil {
		return err
	}
	ids, err := numbers(o.args)
	if err != nil {
		return err
	}
	r, err := ask[control.Parked](ctx, o, "parked/show", control.ParkedRef{ID: ids[0]})
	if err != nil {
		return err
	}
	return o.show(r, func(w io.Writer) {
		table(w, [][]string{{"number", fmt.Sprint(r.ID)}, {"record", r.Record.String()}, {"flow", string(r.Flow)},
			{"from", string(r.Producer)}, {"to", string(r.System)}, {"reason", string(r.Reason)}, {"disclosed", r.Mark},
			{"attempts", fmt.Sprint(r.Attempt)}, {"received", instant(r.Received)}, {"parked", instant(r.Parked)}})
		for _, f := range r.Faults {
			fmt.Fprintf(w, "  %s\n", faultText(f))
		}
	})
}

func (p *process) reopen(ctx context.Context, args []string, what string) error {
	about, example := `Offers parked records again: each is decided anew, like a new one. A record behind which the same person's next ones were
		delivered already goes only with --out-of-order.`, `raccordo parked list --ids | xargs -r raccordo parked replay --reason recipient_repaired`
	if what == "discard" {
		about, example = `Gives parked records up for good. The ledger keeps that they were accepted, and why they were discarded.`,
			`raccordo parked list --ids --limit 1 | xargs -r raccordo parked discard --reason entered_in_error`
	}
	o := p.operator("parked "+what, "--reason CODE NUMBER...", about, example)
	var q control.ParkedAct
	o.flags.StringVar(&q.Reason, "reason", "", "`CODE` that goes into the ledger: small letters, digits, underscores")
	if what == "replay" {
		o.flags.BoolVar(&q.OutOfOrder, "out-of-order", false, "also behind newer deliveries")
	}
	err := o.parse(args, 1, -1)
	if err != nil {
		return err
	}
	if err := o.required("reason"); err != nil {
		return err
	}
	if err := o.code("reason", q.Reason); err != nil {
		return err
	}
	if q.IDs, err = numbers(o.args); err != nil {
		return err
	}
	if _, err := ask[control.Nothing](ctx, o, "parked/"+what, q); err != nil {
		return err
	}
	return o.show(map[string]any{what + "ed": q.IDs}, func(w io.Writer) { fmt.Fprintf(w, "%sed: %d\n", what, len(q.IDs)) })
}

func numbers(args []string) ([]uint64, error) {
	out := make([]uint64, len(args))
	for i, a := range args {
		n, err := strconv.ParseUint(a, 10, 63)
		if err != nil || n == 0 {
			return nil, usagef("parked records are named by number, as parked list shows them")
		}
		out[i] = n
	}
	return out, nil
}
