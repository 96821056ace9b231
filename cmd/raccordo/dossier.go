package main

import (
	"context"
	"fmt"
	"io"

	"raccordo/hub/control"
	"raccordo/hub/exchange"
)

func (p *process) dossier(ctx context.Context, args []string) error {
	return p.acts(ctx, args, `Bodies' open cases on persons: where a clause asks for one, there is no data without it. The person is named on standard input
		or in a file, never in an argument.`,
		act{"open", p.dossierOpen}, act{"close", p.dossierClose}, act{"list", p.dossierList})
}

func (p *process) dossierOpen(ctx context.Context, args []string) error {
	o := p.operator("dossier open", "--body BODY --role ROLE --capacity CAPACITY",
		`Opens a body's case on the person on standard input. From then on a clause that asks for such a dossier permits.`,
		`echo "LOCAL co_so P-0001" | raccordo dossier open --body sds_pistoiese --role social_service --capacity case_manager`).person()
	var body, role, capacity, until string
	o.flags.StringVar(&body, "body", "", "`BODY` whose case it is")
	o.flags.StringVar(&role, "role", "", "`ROLE` it acts in")
	o.flags.StringVar(&capacity, "capacity", "", "`CAPACITY` that the clause names")
	o.flags.StringVar(&until, "until", "", "last `DAY` (YYYY-MM-DD); default: until it is closed")
	if err := o.parse(args, 0, 0); err != nil {
		return err
	}
	if err := o.required("body", "role", "capacity"); err != nil {
		return err
	}
	end, err := endOf(until)
	if err != nil {
		return err
	}
	who, err := o.persons(1)
	if err != nil {
		return err
	}
	got, err := ask[control.Dossier](ctx, o, "dossier/open", control.DossierRequest{Person: who[0], Body: exchange.BodyID(body),
		Role: exchange.Role(role), Capacity: capacity, Until: end})
	if err != nil {
		return err
	}
	return o.show(got, func(w io.Writer) { dossierTable(w, []control.Dossier{got}) })
}

func (p *process) dossierClose(ctx context.Context, args []string) error {
	o := p.operator("dossier close", "[DOSSIER | --body BODY]",
		`Closes a case, named by its id, or the one open case of a body on the person on standard input. What was claimed before stays
		accounted for; nothing more is released on it.`,
		`echo "LOCAL co_so P-0001" | raccordo dossier close --body sds_pistoiese`).person()
	var body string
	o.flags.StringVar(&body, "body", "", "`BODY` whose case it is")
	if err := o.parse(args, 0, 1); err != nil {
		return err
	}
	id, err := o.whichDossier(ctx, exchange.BodyID(body))
	if err != nil {
		return err
	}
	got, err := ask[control.Dossier](ctx, o, "dossier/close", control.DossierRef{Dossier: id})
	if err != nil {
		return err
	}
	return o.show(got, func(w io.Writer) { dossierTable(w, []control.Dossier{got}) })
}

func (o *operator) whichDossier(ctx context.Context, body exchange.BodyID) (exchange.DossierID, error) {
	if len(o.args) == 1 {
		id, err := exchange.ParseDossierID(o.args[0])
		if err != nil {
			return id, usagef("a dossier is named by its id; persons are never named in an argument")
		}
		return id, nil
	}
	if err := o.required("body"); err != nil {
		return exchange.DossierID{}, err
	}
	who, err := o.persons(1)
	if err != nil {
		return exchange.DossierID{}, err
	}
	all, err := ask[control.Dossiers](ctx, o, "dossier/list", who[0])
	if err != nil {
		return exchange.DossierID{}, err
	}
	var open []control.Dossier
	for _, d := range all.Dossiers {
		if d.Body == body && !d.Closed {
			open = append(open, d)
		}
	}
	switch len(open) {
	case 0:
		return exchange.DossierID{}, exchange.NewError(exchange.CodeNotFound, exchange.ReasonNotFound, "the body has no open case on the person")
	case 1:
		return open[0].ID, nil
	}
	return exchange.DossierID{}, usagef("the body has %d open cases on the person: name one by its id", len(open))
}

func (p *process) dossierList(ctx context.Context, args []string) error {
	o := p.operator("dossier list", "", `Lists the cases, open and closed, on the person on standard input.`,
		`echo "LOCAL co_so P-0001" | raccordo dossier list`).person()
	if err := o.parse(args, 0, 0); err != nil {
		return err
	}
	who, err := o.persons(1)
	if err != nil {
		return err
	}
	got, err := ask[control.Dossiers](ctx, o, "dossier/list", who[0])
	if err != nil {
		return err
	}
	return o.show(got, func(w io.Writer) { dossierTable(w, got.Dossiers) })
}

func dossierTable(w io.Writer, list []control.Dossier) {
	rows := [][]string{{"DOSSIER", "BODY", "ROLE", "CAPACITY", "STATE", "UNTIL", "ENTRY"}}
	for _, d := range list {
		state := "open"
		if d.Closed {
			state = "closed"
		}
		rows = append(rows, []string{d.ID.String(), string(d.Body), string(d.Role), d.Capacity, state, instant(d.Until), fmt.Sprint(d.Seq)})
	}
	table(w, rows)
}
