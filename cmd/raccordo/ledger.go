package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"raccordo/hub/control"
	"raccordo/hub/ledger/verify"
)

func (p *process) ledger(ctx context.Context, args []string) error {
	return p.acts(ctx, args, `The ledger of everything that was decided and disclosed. Verify needs nothing but an export and a public key; the others ask the
		running hub.`,
		act{"verify", p.ledgerVerify}, act{"prove", p.ledgerProve}, act{"checkpoint", p.ledgerCheckpoint}, act{"export", p.ledgerExport})
}

// maxNote bounds a key or checkpoint file.
const maxNote = 1 << 20

func (p *process) ledgerVerify(_ context.Context, args []string) error {
	c := p.command("ledger verify", "DIR --key KEY|FILE",
		`Checks an exported ledger with a public key alone, on any machine: that nothing was changed, moved, added or cut since it was signed, that
		every record went through its states as it may, and that no record was claimed for a recipient on a clause, role, consent or dossier that
		was not in force before. --checkpoint names a checkpoint that was kept elsewhere, from which a ledger cut off at its end is seen. It says
		what it proved and what it cannot prove; it exits 4, and says where, if anything does not hold.`,
		`raccordo ledger verify ledger-export --key ledger-export.pub`)
	key := c.flags.String("key", "", "verifier `KEY` (name+hash+base64), or a file that holds it")
	outside := c.flags.String("checkpoint", "", "`FILE` with a checkpoint kept elsewhere")
	if err := c.parse(args, 1, 1); err != nil {
		return err
	}
	if err := c.required("key"); err != nil {
		return err
	}
	vkey, err := verifierKey(*key)
	if err != nil {
		return err
	}
	var opt verify.Options
	if *outside != "" {
		if opt.Checkpoint, err = readBounded(*outside, maxNote); err != nil {
			return err
		}
	}
	info, err := os.Stat(c.args[0])
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return usagef("%s is not a directory", c.args[0])
	}
	r, err := verify.Verify(os.DirFS(c.args[0]), vkey, opt)
	if err != nil {
		return err
	}
	v := newVerdict(r, *outside != "")
	return c.faults(len(r.Findings)+r.More, v, v.text)
}

// verifierKey is the key itself or what a file of that name holds: the first
// line that is not empty.
func verifierKey(s string) (string, error) {
	if strings.Count(s, "+") >= 2 {
		if _, err := os.Stat(s); errors.Is(err, os.ErrNotExist) {
			return s, nil
		}
	}
	b, err := readBounded(s, maxNote)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" {
			return line, nil
		}
	}
	return "", usagef("%s holds no verifier key", s)
}

// verdict is a report with what follows from it: text and JSON say the same.
type verdict struct {
	OK bool `json:"ok"`
	*verify.Report
	Proved    []string `json:"proved"`     // nothing where there is a finding
	NotProved []string `json:"not_proved"` // counts instead of the report's
}

// newVerdict takes a report; outside is whether a checkpoint kept elsewhere was
// given.
func newVerdict(r *verify.Report, outside bool) *verdict {
	v := &verdict{OK: r.OK(), Report: r, Proved: []string{}}
	if !v.OK {
		v.NotProved = []string{"anything about this ledger, while there are findings"}
		return v
	}
	v.Proved = append(v.Proved,
		"the export is the whole of the ledger up to a checkpoint signed with this key, or one announced under it; nothing in it was changed, moved, added or removed",
		"every record went only through states that may follow each other, in one of them at a time",
		"no record was claimed for a recipient on a clause, role, consent or dossier not in force before the claim, nor while disclosures were stopped")
	if outside {
		v.Proved = append(v.Proved, "it extends the checkpoint kept elsewhere: nothing was cut off or rewritten since")
	} else {
		v.NotProved = append(v.NotProved, "that nothing was cut off at the end since: give --checkpoint with one kept elsewhere")
	}
	v.NotProved = append(v.NotProved, r.NotProved...)
	return v
}

func (v *verdict) text(w io.Writer) {
	r := v.Report
	table(w, [][]string{{"ledger", r.Origin}, {"signed by", dash(r.SignedBy)}, {"root", r.Root.String()}, {"entries", fmt.Sprint(r.Entries)},
		{"rows", fmt.Sprint(r.Rows)}, {"claims", fmt.Sprintf("%d, of which %d are not settled", r.Claims, r.Open)}, {"consents", fmt.Sprint(r.Consents)}})
	fmt.Fprintln(w)
	if v.OK {
		fmt.Fprintln(w, "In order. Proved:")
		bullets(w, v.Proved)
		fmt.Fprintln(w, "Not proved, because a ledger cannot show it:")
		bullets(w, v.NotProved)
		return
	}
	fmt.Fprintf(w, "NOT in order: %s\n", count(len(r.Findings)+r.More, "finding"))
	for _, f := range r.Findings {
		fmt.Fprintf(w, "  %s\n", f)
	}
	if r.More > 0 {
		fmt.Fprintf(w, "  and %d more\n", r.More)
	}
	fmt.Fprintln(w, "Not proved:")
	bullets(w, v.NotProved)
}

func bullets(w io.Writer, list []string) {
	for _, s := range list {
		fmt.Fprintf(w, "  - %s\n", s)
	}
}

func (p *process) ledgerProve(ctx context.Context, args []string) error {
	o := p.operator("ledger prove", "ENTRY",
		`Proves to anyone that an entry stands in the ledger under a signed checkpoint; with --row also one row of it, which shows no other row.`,
		`raccordo ledger prove 0`)
	row := o.flags.Int("row", -1, "also prove this `ROW`, from 0")
	size := o.flags.Uint64("tree-size", 0, "against the checkpoint of this `SIZE`; default the newest")
	if err := o.parse(args, 1, 1); err != nil {
		return err
	}
	seq, err := strconv.ParseUint(o.args[0], 10, 63)
	if err != nil {
		return usagef("an entry is named by its number")
	}
	q := control.ProofRequest{Seq: seq, TreeSize: *size}
	if *row >= 0 {
		q.Row = row
	}
	got, err := ask[control.Proof](ctx, o, "ledger/prove", q)
	if err != nil {
		return err
	}
	return o.show(got, func(w io.Writer) {
		fmt.Fprintf(w, "entry %d in a tree of %d\n", got.Seq, got.TreeSize)
		fmt.Fprintf(w, "leaf   %x\n", got.Leaf)
		for _, h := range got.Hashes {
			fmt.Fprintf(w, "hash   %x\n", h)
		}
		if len(got.Row) > 0 {
			fmt.Fprintf(w, "row    %x\n", got.Row)
		}
		for _, h := range got.RowHashes {
			fmt.Fprintf(w, "row hash %x\n", h)
		}
		fmt.Fprintf(w, "\n%s", got.Checkpoint)
	})
}

func (p *process) ledgerCheckpoint(ctx context.Context, args []string) error {
	o := p.operator("ledger checkpoint", "",
		`Signs the ledger's head and prints the note, with the keys that verify it. Keep notes on another machine: only from there a ledger that was
		cut off, or rewritten by whoever holds the key, is seen.`,
		`raccordo ledger checkpoint --out checkpoint.txt`)
	out := o.flags.String("out", "", "write the note to this `FILE`")
	if err := o.parse(args, 0, 0); err != nil {
		return err
	}
	got, err := ask[control.Checkpoint](ctx, o, "ledger/checkpoint", control.Nothing{})
	if err != nil {
		return err
	}
	if *out != "" {
		if err := os.WriteFile(*out, []byte(got.Note), 0o644); err != nil {
			return err
		}
	}
	return o.show(got, func(w io.Writer) {
		fmt.Fprint(w, got.Note)
		fmt.Fprintln(w)
		for _, k := range got.Keys {
			fmt.Fprintf(w, "key %s\n", k)
		}
	})
}

func (p *process) ledgerExport(ctx context.Context, args []string) error {
	o := p.operator("ledger export", "DIR",
		`Writes the ledger, up to a checkpoint signed now, into an empty directory, and the key of its first signer beside it (DIR.pub). It holds
		subject ids and names of the network, no personal data. Whoever is to check it should have the key from elsewhere.`,
		`raccordo ledger export ledger-export`)
	pub := o.flags.String("pub", "", "write the verifier key to this `FILE`; default DIR.pub")
	if err := o.parse(args, 1, 1); err != nil {
		return err
	}
	dir, err := filepath.Abs(o.args[0]) // the hub may run in another directory
	if err != nil {
		return err
	}
	if err := emptyDir(dir); err != nil {
		return fmt.Errorf("%s %w", o.args[0], err)
	}
	got, err := ask[control.Exported](ctx, o, "ledger/export", control.ExportRequest{Dir: dir})
	if err != nil {
		return err
	}
	if *pub == "" {
		*pub = filepath.Clean(o.args[0]) + ".pub"
	}
	if err := os.WriteFile(*pub, []byte(got.Key+"\n"), 0o644); err != nil {
		return err
	}
	return o.show(got, func(w io.Writer) {
		fmt.Fprintf(w, "%d entries in %s\nkey: %s\n\nraccordo ledger verify %s --key %s\n", got.Entries, o.args[0], got.Key, o.args[0], *pub)
	})
}

// emptyDir refuses what a new export would be mixed with: a directory that
// holds something, or a file. A directory that is not there will be made.
func emptyDir(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case errors.Is(err, syscall.ENOTDIR):
		return errors.New("is no directory: give an empty directory")
	case errors.Is(err, os.ErrPermission): // of the hub's user it may be
		return nil
	case err != nil:
		return fmt.Errorf("cannot be read: %w", err)
	case len(entries) > 0:
		return errors.New("is not empty: give an empty directory")
	}
	return nil
}
