package main

import (
	"context"
	"fmt"
	"io"

	"raccordo/hub/control"
)

func (p *process) person(ctx context.Context, args []string) error {
	return p.acts(ctx, args, `Two identifiers of one person: an officer says that they are one, never a record. From a link on, restrictions under either count for
		both. Persons are named on standard input or in a file, never in an argument.`,
		act{"link", func(ctx context.Context, args []string) error { return p.link(ctx, args, true) }},
		act{"unlink", func(ctx context.Context, args []string) error { return p.link(ctx, args, false) }},
		act{"conflicts", p.conflicts})
}

func (p *process) link(ctx context.Context, args []string, linked bool) error {
	word, about := "link", `Says that the two lines on standard input name one person. At that moment any withdrawal, refusal or objection under either stands
		until a later consent under either.`
	if !linked {
		word, about = "unlink", `Says that the two lines on standard input do not name one person after all. What was decided while they were linked stands.`
	}
	o := p.operator("person "+word, "", about,
		`printf 'LOCAL co_so P-0001\nLOCAL co_so P-0002\n' | raccordo person `+word).person()
	if err := o.parse(args, 0, 0); err != nil {
		return err
	}
	who, err := o.persons(2)
	if err != nil {
		return err
	}
	got, err := ask[control.Entry](ctx, o, "person/link", control.LinkRequest{A: who[0], B: who[1], Linked: linked})
	if err != nil {
		return err
	}
	return o.show(got, func(w io.Writer) { fmt.Fprintf(w, "%sed, ledger entry %d\n", word, got.Seq) })
}

func (p *process) conflicts(ctx context.Context, args []string) error {
	o := p.operator("person conflicts", "",
		`Lists pairs of known persons whom a record named as one. Until an officer links them, or leaves them apart, the restrictions of both bind
		that record. They are shown by subject id, which person link reads too: SUBJECT ID.`,
		`raccordo person conflicts`)
	if err := o.parse(args, 0, 0); err != nil {
		return err
	}
	got, err := ask[control.Conflicts](ctx, o, "person/conflicts", control.Nothing{})
	if err != nil {
		return err
	}
	return o.show(got, func(w io.Writer) {
		rows := [][]string{{"SUBJECT", "SUBJECT", "RECORD", "SEEN"}}
		for _, c := range got.Conflicts {
			rows = append(rows, []string{c.A.String(), c.B.String(), c.Record.String(), instant(c.Seen)})
		}
		table(w, rows)
	})
}
