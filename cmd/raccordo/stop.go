package main

import (
	"context"
	"fmt"
	"io"

	"raccordo/hub/control"
)

func (p *process) stopDisclosures(ctx context.Context, args []string) error {
	o := p.operator("stop-disclosures", "--reason CODE [--resume]",
		`Stops every disclosure at once: from its entry in the ledger on nothing is claimed, on any replica. Pushes are still accepted and wait.
		With --resume they go on.`,
		`raccordo stop-disclosures --reason data_breach
		raccordo stop-disclosures --resume --reason all_clear`)
	var resume bool
	var reason string
	o.flags.BoolVar(&resume, "resume", false, "let disclosures go on")
	o.flags.StringVar(&reason, "reason", "", "`CODE` that goes into the ledger: small letters, digits, underscores")
	if err := o.parse(args, 0, 0); err != nil {
		return err
	}
	if err := o.required("reason"); err != nil {
		return err
	}
	if err := o.code("reason", reason); err != nil {
		return err
	}
	got, err := ask[control.Entry](ctx, o, "stop-disclosures", control.StopRequest{Stopped: !resume, Reason: reason})
	if err != nil {
		return err
	}
	return o.show(got, func(w io.Writer) {
		word := "stopped"
		if resume {
			word = "going on"
		}
		fmt.Fprintf(w, "disclosures are %s since ledger entry %d, %s\n", word, got.Seq, instant(got.Time))
	})
}
