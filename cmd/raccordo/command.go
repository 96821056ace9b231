package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"raccordo/hub/exchange"
)

// errHelp says that help was asked for and printed.
var errHelp = errors.New("help was printed")

// command is one subcommand while it runs: its flags, its help, its output.
type command struct {
	p       *process
	words   string // the command: ledger verify
	usage   string // words and what follows them
	about   string // a paragraph
	example string // lines that work as they stand, in the order they stand
	flags   *flag.FlagSet
	config  string
	args    []string // that are no flags
}

// command begins a subcommand. Every one takes --config and -o.
func (p *process) command(words, arguments, about, example string) *command {
	c := &command{p: p, words: words, usage: strings.TrimSpace(words + " " + arguments), about: about, example: example,
		flags: flag.NewFlagSet(words, flag.ContinueOnError)}
	c.flags.SetOutput(io.Discard) // errors are printed once, in run
	c.flags.StringVar(&c.config, "config", p.config, "`FILE` of the hub's configuration; default: RACCORDO_CONFIG")
	c.flags.StringVar(&p.output, "o", p.output, "output `FORMAT`: text or json")
	return c
}

// parse reads flags, which may stand before, between and behind arguments;
// everything behind -- is an argument. There must be least to most arguments;
// most below 0 is any number.
func (c *command) parse(args []string, least, most int) error {
	c.args = nil
	for {
		if err := c.flags.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				c.help(c.p.stdout)
				return errHelp
			}
			return usagef("%s; see raccordo %s --help", err, c.words)
		}
		rest := c.flags.Args()
		if len(rest) == 0 {
			break
		}
		if at := len(args) - len(rest); at > 0 && args[at-1] == "--" {
			c.args = append(c.args, rest...)
			break
		}
		c.args, args = append(c.args, rest[0]), rest[1:]
	}
	if c.p.output != formatText && c.p.output != formatJSON {
		c.p.output = formatText
		return usagef("-o must be text or json")
	}
	if len(c.args) < least || most >= 0 && len(c.args) > most {
		return usagef("used as: raccordo %s; see --help", c.usage)
	}
	return nil
}

// required is a usage error that names every flag that was not given.
func (c *command) required(names ...string) error {
	var missing []string
	for _, n := range names {
		if f := c.flags.Lookup(n); f.Value.String() == "" {
			missing = append(missing, "--"+n)
		}
	}
	if len(missing) > 0 {
		return usagef("%s must be given; see raccordo %s --help", strings.Join(missing, " and "), c.words)
	}
	return nil
}

// code checks a flag that goes into the ledger, where no free text may stand.
func (c *command) code(name, value string) error {
	if !exchange.ValidName(value) {
		return usagef("--%s must be a code: small letters, digits and underscores, at most 63", name)
	}
	return nil
}

// maxPage is how much the hub gives at once.
const maxPage = 500

// page checks --limit, if it was given.
func (c *command) page(limit int) error {
	given := false
	c.flags.Visit(func(f *flag.Flag) { given = given || f.Name == "limit" })
	if given && (limit < 1 || limit > maxPage) {
		return usagef("--limit must be 1 to %d", maxPage)
	}
	return nil
}

func (c *command) help(w io.Writer) {
	fmt.Fprintf(w, "raccordo %s\n\n%s\n\nExample:\n", c.usage, wrap(c.about, 78))
	for line := range strings.Lines(strings.TrimSpace(c.example)) {
		fmt.Fprintf(w, "  %s\n", strings.TrimSpace(line))
	}
	fmt.Fprintln(w, "\nFlags:")
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	c.flags.VisitAll(func(f *flag.Flag) {
		value, text := flag.UnquoteUsage(f)
		dashes := "--"
		if len(f.Name) == 1 {
			dashes = "-"
		}
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" && f.Name != "config" {
			text += "; default " + f.DefValue
		}
		fmt.Fprintf(t, "  %s\t%s\n", strings.TrimSpace(dashes+f.Name+" "+value), text)
	})
	_ = t.Flush()
}

// wrap breaks a paragraph into lines of at most width bytes.
func wrap(text string, width int) string {
	var b strings.Builder
	at := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case at+1+len(word) > width:
			b.WriteByte('\n')
			at = 0
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += len(word)
	}
	return b.String()
}

// act is one of the acts of a subcommand that has several.
type act struct {
	name string
	run  func(context.Context, []string) error
}

// acts runs the one that is named, or explains them all.
func (p *process) acts(ctx context.Context, args []string, about string, list ...act) error {
	names := make([]string, len(list))
	for i, a := range list {
		names[i] = a.name
	}
	if len(args) > 0 {
		if i := slices.Index(names, args[0]); i >= 0 {
			p.name += " " + args[0]
			return list[i].run(ctx, args[1:])
		}
		if isHelp(args[0]) {
			fmt.Fprintf(p.stdout, "raccordo %s %s\n\n%s\n\nEach has --help with an example:\n", p.name, strings.Join(names, "|"), wrap(about, 78))
			for _, n := range names {
				fmt.Fprintf(p.stdout, "  raccordo %s %s --help\n", p.name, n)
			}
			return errHelp
		}
	}
	return usagef("used as: raccordo %s %s ...; see --help", p.name, strings.Join(names, "|"))
}

func isHelp(s string) bool { return slices.Contains([]string{"-h", "--help", "-help"}, s) }

// global reads what stands before the subcommand.
func (p *process) global() ([]string, error) {
	f := flag.NewFlagSet("raccordo", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&p.config, "config", "", "")
	f.StringVar(&p.output, "o", p.output, "")
	if err := f.Parse(p.args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			p.usage(p.stdout)
			return nil, errHelp
		}
		return nil, usagef("%s; raccordo help lists what there is", err)
	}
	return f.Args(), nil
}

func (p *process) usage(w io.Writer) {
	fmt.Fprint(w, "raccordo COMMAND [flags] [arguments]\n\n")
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, s := range subcommands() {
		fmt.Fprintf(t, "  %s\t%s\n", s.name, s.summary)
	}
	_ = t.Flush()
	fmt.Fprint(w, `
Each takes --help, -o json and --config FILE (or RACCORDO_CONFIG).
Exit codes: 0 ok, 1 failed, 2 used wrongly, 3 configuration or network invalid
or data directory in use, 4 a check found faults, 5 partly done.
`)
}

// help prints the list, or the help of one command.
func (p *process) help(ctx context.Context, args []string) error {
	if len(args) == 0 || isHelp(args[0]) {
		p.usage(p.stdout)
		return nil
	}
	if args[0] == "help" {
		return usagef("used as: raccordo help [COMMAND]")
	}
	p.args = append(slices.Clone(args), "--help")
	return p.dispatch(ctx)
}
