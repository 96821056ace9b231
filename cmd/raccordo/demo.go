package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"raccordo/connectors"
	"raccordo/connectors/standard"
	"raccordo/deploy/networks"
	"raccordo/hub/demo"
)

func (p *process) demo(ctx context.Context, args []string) error {
	c := p.command("demo", "[--once] [--out DIR]",
		`Runs a hub on the built-in network with simulated systems of the bodies around it, which speak their own formats over real sockets, and shows
		how many records are in which state. Without --once it goes on until it is interrupted and prints three commands to try. Every number is
		held against what the bodies received and against the ledger; it fails if one does not balance.`,
		`raccordo demo --once -o json --out demo-out`)
	var o demo.Options
	c.flags.BoolVar(&o.Once, "once", false, "play the scenario and end, in under half a minute")
	c.flags.StringVar(&o.Out, "out", "", "leave what was received, ledger, key and summary in this `DIR`")
	c.flags.StringVar(&o.DataDir, "data-dir", "", "keep everything in this `DIR`, which must be empty or not there yet; default a temporary one that is removed")
	c.flags.Uint64Var(&o.Seed, "seed", 1, "the same `NUMBER` gives the same persons and requests")
	c.flags.StringVar(&o.Listen, "listen", "", "`ADDRESS` of the API; default 127.0.0.1:8080, or a free port")
	c.flags.StringVar(&o.Admin, "admin", "", "`ADDRESS` of the metrics; default 127.0.0.1:9464, or a free port")
	if err := c.parse(args, 0, 0); err != nil {
		return err
	}
	var err error
	if o.Kinds, err = connectors.NewSet(standard.Kinds()...); err != nil {
		return err
	}
	builtin, err := networks.FS()
	if err != nil {
		return err
	}
	o.Network, o.Version = builtin["reticulate"], version()
	if p.output == formatText {
		o.Screen = p.stdout
	}
	ctx, cancel := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer cancel()
	context.AfterFunc(ctx, cancel) // a second interrupt ends the process at once
	s, err := demo.Run(ctx, o)
	if errors.Is(err, demo.ErrUsed) {
		return &exit{exitUsage, err}
	}
	if err != nil && !errors.Is(err, demo.ErrMismatch) {
		return err
	}
	// The screen has shown the summary to people.
	if e := c.show(s, func(w io.Writer) {
		for _, f := range s.Findings {
			fmt.Fprintf(w, "does not balance: %s\n", f)
		}
	}); e != nil {
		return e
	}
	if err != nil {
		return &exit{exitFaults, err}
	}
	return nil
}
