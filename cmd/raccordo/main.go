// Command raccordo is the hub and everything an operator, a privacy officer or
// a body's system does with it from a terminal.
//
// It holds flags, signals and exit codes, and nothing else: package hub is the
// hub, hub/control how operators reach it, hub/client how systems call it.
//
// Exit codes: 0 ok, 1 failed, 2 used wrongly, 3 configuration or network
// invalid or data directory in use, 4 a check found faults, 5 partly done.
//
// It refuses identifiers of persons as arguments, which other users of the
// machine and the shell's history would see: they are read from standard input
// or from a file.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"time"
	_ "time/tzdata" // days of agreements are days in Europe/Rome, on any machine
)

func main() {
	os.Exit(run(&process{args: os.Args[1:], environ: os.Environ(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		now: time.Now, random: rand.Reader}))
}

// process is what a command sees of the world.
type process struct {
	args           []string
	environ        []string
	stdin          io.Reader
	stdout, stderr io.Writer
	now            func() time.Time
	random         io.Reader

	config string // --config before the subcommand
	output string // text or json, known once flags are read
	name   string // of the subcommand, for errors
}

// run does what the arguments say and returns the exit code. Errors are
// printed here, once.
func run(p *process) int {
	p.output = formatText
	err := p.dispatch(context.Background())
	if errors.Is(err, errHelp) {
		return exitOK
	}
	if err != nil {
		p.report(err)
	}
	return exitCode(err)
}

// subcommand is a line of the list; the switch in dispatch says what it runs.
type subcommand struct{ name, summary string }

func subcommands() []subcommand {
	return []subcommand{
		{"serve", "run the hub"},
		{"demo", "run a hub with simulated systems around it"},
		{"check", "check a network; all faults with file, line and what to do"},
		{"explain", "what a flow passes on, under which clause"},
		{"token", "make a key, get a voucher"},
		{"push", "push records in the name of a system"},
		{"mailbox", "fetch what waits for a system, and acknowledge it"},
		{"consent", "record, withdraw and show consents: give, withdraw, show"},
		{"dossier", "open cases that clauses ask for: open, close, list"},
		{"person", "two identifiers, one person: link, unlink, conflicts"},
		{"parked", "records set aside for a human: list, show, replay, discard"},
		{"ledger", "what was decided and disclosed: verify, prove, checkpoint, export"},
		{"schema", "check schemas: check"},
		{"map", "run the examples of a network's mappings: test"},
		{"system", "keys of bodies' systems: add-key, list, rotate-keys"},
		{"stop-disclosures", "stop all disclosures at once, or let them go on"},
		{"status", "how the hub fares"},
		{"version", "which version this is"},
	}
}

func (p *process) dispatch(ctx context.Context) error {
	args, err := p.global()
	if err != nil {
		return err
	}
	if len(args) == 0 {
		p.usage(p.stderr)
		return usagef("which command?")
	}
	name, rest := args[0], args[1:]
	p.name = name
	switch name {
	case "serve":
		return p.serve(ctx, rest)
	case "demo":
		return p.demo(ctx, rest)
	case "check":
		return p.check(ctx, rest)
	case "explain":
		return p.explain(ctx, rest)
	case "token":
		return p.token(ctx, rest)
	case "push":
		return p.push(ctx, rest)
	case "mailbox":
		return p.mailbox(ctx, rest)
	case "consent":
		return p.consent(ctx, rest)
	case "dossier":
		return p.dossier(ctx, rest)
	case "person":
		return p.person(ctx, rest)
	case "parked":
		return p.parked(ctx, rest)
	case "ledger":
		return p.ledger(ctx, rest)
	case "schema":
		return p.schema(ctx, rest)
	case "map":
		return p.mapping(ctx, rest)
	case "system":
		return p.system(ctx, rest)
	case "stop-disclosures":
		return p.stopDisclosures(ctx, rest)
	case "status":
		return p.status(ctx, rest)
	case "version":
		return p.version(ctx, rest)
	case "help":
		return p.help(ctx, rest)
	}
	p.name = ""
	return usagef("there is no command %q; raccordo help lists them", name)
}
