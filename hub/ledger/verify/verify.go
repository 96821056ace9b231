package verify

import (
	"fmt"
	"io/fs"
	"time"
	_ "time/tzdata" // days of agreements are days in Europe/Rome, on any machine

	"golang.org/x/mod/sumdb/note"

	"raccordo/hub/exchange"
)

// Options of [Verify].
type Options struct {
	// Checkpoint is a signed checkpoint that was kept elsewhere: the export must
	// extend it. Nil if there is none.
	Checkpoint []byte
}

// Verify checks an export: a directory with a file checkpoint and files
// entries-*.ndjson. vkey is a verifier key of golang.org/x/mod/sumdb/note: the
// ledger's first one, or any that was announced under it later.
//
// Whatever is wrong with the ledger is a finding. An error says that it could
// not be looked at: vkey is no key, or the files cannot be read.
func Verify(fsys fs.FS, vkey string, opt Options) (*Report, error) {
	if _, err := note.NewVerifier(vkey); err != nil {
		return nil, fmt.Errorf("verifier key: %w", err)
	}
	zone, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		return nil, fmt.Errorf("days in Europe/Rome: %w", err)
	}
	signed, err := fs.ReadFile(fsys, checkpointFile)
	if err != nil {
		return nil, fmt.Errorf("read checkpoint: %w", err)
	}
	v := newVerifier(zone)
	v.checkpoint = v.readCheckpoint(signed, "the export's checkpoint", RuleSignature)
	if opt.Checkpoint != nil {
		v.outside = v.readCheckpoint(opt.Checkpoint, "the outside checkpoint", RuleOutside)
	}
	if err := v.readEntries(fsys); err != nil {
		return nil, err
	}
	v.finish(vkey, signed, opt.Checkpoint)
	return v.report, nil
}

// verifier is what is known after the entries read so far.
type verifier struct {
	report     *Report
	checkpoint *checkpoint // nil: unreadable
	outside    *checkpoint // nil: not given, or unreadable
	tree       frontier
	rootAt     exchange.Digest // at the outside checkpoint's size
	seen       bool            // rootAt is known

	time    int64
	ids     map[exchange.EntryID]struct{}
	origin  exchange.OriginFact
	keys    []string // signing keys, in the order they came into force
	stopped bool

	days     days
	networks networks
	persons  persons
	records  records
	lanes    map[laneKey]*lane
	claims   map[uint64]*claim
}

func newVerifier(zone *time.Location) *verifier {
	return &verifier{
		report: &Report{Findings: []Finding{}, NotProved: notProved()},
		ids:    map[exchange.EntryID]struct{}{}, days: days{zone: zone}, networks: newNetworks(), persons: newPersons(),
		records: records{}, lanes: map[laneKey]*lane{}, claims: map[uint64]*claim{},
	}
}

func (v *verifier) find(seq int64, row int, rule, format string, args ...any) {
	if len(v.report.Findings) >= MaxFindings {
		v.report.More++
		return
	}
	v.report.Findings = append(v.report.Findings, Finding{Seq: seq, Row: row, Rule: rule, Detail: fmt.Sprintf(format, args...)})
}

// entry is one entry with what belongs to it.
type entry struct {
	*exchange.Leaf
	seq  int64 // by its place in the export
	rows []exchange.Row
	fact []byte
}

// entry takes one entry of the export, the seq-th.
func (v *verifier) entry(seq int64, x *line) {
	v.report.Entries++
	v.tree.append(x.Leaf)
	if v.outside != nil && v.tree.size == v.outside.size {
		v.rootAt, v.seen = v.tree.root(), true
	}
	if x.Seq != uint64(seq) {
		v.find(seq, Whole, RuleSequence, "the line says it is entry %d", x.Seq)
	}
	leaf, err := exchange.DecodeLeaf(x.Leaf)
	if err != nil {
		v.find(seq, Whole, RuleLeaf, "the header cannot be read")
		return
	}
	if leaf.Seq != uint64(seq) {
		v.find(seq, Whole, RuleSequence, "the header says it is entry %d", leaf.Seq)
	}
	e := &entry{Leaf: leaf, seq: seq, fact: x.Fact}
	e.Leaf.Seq = uint64(seq)
	v.header(e)
	if !v.digests(e, x) {
		return
	}
	v.shape(e)
	v.apply(e)
}

// digests holds rows and fact to the header. It reports whether the entry can
// be followed any further; what is not the header's is followed as it stands.
func (v *verifier) digests(e *entry, x *line) bool {
	if len(x.Rows) != int(e.RowCount)*exchange.RowSize {
		v.find(e.seq, Whole, RuleRows, "the header has %d rows, the export %d bytes of them", e.RowCount, len(x.Rows))
	} else if exchange.RowsRoot(x.Rows) != e.RowsRoot {
		v.find(e.seq, Whole, RuleRows, "the rows do not make the sub-root of the header")
	}
	want := exchange.Digest{}
	if len(x.Fact) > 0 {
		want = exchange.DigestOf(x.Fact)
	}
	if want != e.FactDigest {
		v.find(e.seq, Whole, RuleFact, "the fact is not the one of the header")
	}
	rows, err := exchange.DecodeRows(x.Rows)
	if err != nil {
		v.find(e.seq, Whole, RuleRows, "the rows cannot be read")
		return false
	}
	e.rows = rows
	v.report.Rows += uint64(len(rows))
	return true
}

// header checks what every entry must keep to.
func (v *verifier) header(e *entry) {
	if e.Time < v.time {
		v.find(e.seq, Whole, RuleTime, "ledger time goes back by %d ms", v.time-e.Time)
	}
	v.time = max(v.time, e.Time)
	if _, twice := v.ids[e.ID]; twice {
		v.find(e.seq, Whole, RuleID, "the entry's id was used before")
	}
	v.ids[e.ID] = struct{}{}
	if (e.Kind == exchange.KindOrigin) != (e.seq == 0) {
		v.find(e.seq, Whole, RuleOrigin, "a ledger begins with its origin, and only begins once")
	}
	if e.Kind != exchange.KindAdoption && e.Network != v.networks.digest {
		v.find(e.seq, Whole, RuleNetwork, "written under another network than the one adopted last")
	}
}

// has says what entries of a kind have.
type has struct{ fact, rows, lanes, system, refers bool }

var shapes = map[exchange.EntryKind]has{
	exchange.KindOrigin: {fact: true}, exchange.KindAdoption: {fact: true}, exchange.KindConsent: {fact: true},
	exchange.KindLink: {fact: true}, exchange.KindDossier: {fact: true}, exchange.KindStop: {fact: true},
	exchange.KindSigningKey: {fact: true}, exchange.KindClock: {fact: true}, exchange.KindOperator: {fact: true, rows: true},
	exchange.KindClaim: {rows: true, lanes: true, system: true}, exchange.KindSettle: {rows: true, lanes: true, system: true, refers: true},
	exchange.KindRenewal: {rows: true, lanes: true, system: true, refers: true}, exchange.KindExpiry: {rows: true, system: true},
	exchange.KindSpill: {rows: true, lanes: true, system: true},
}

func (v *verifier) shape(e *entry) {
	s := shapes[e.Kind]
	wrong := func(bad bool, what string) {
		if bad {
			v.find(e.seq, Whole, RuleShape, "an entry of kind %s %s", e.Kind, what)
		}
	}
	wrong(s.fact != (len(e.fact) > 0), "with or without a fact")
	wrong(!s.rows && len(e.rows) > 0, "has no rows")
	wrong(s.rows && len(e.rows) == 0 && e.Kind != exchange.KindSpill, "has rows")
	wrong(!s.lanes && len(e.Lanes) > 0, "has no ranges of lanes")
	wrong(s.system && !exchange.ValidName(string(e.System)), "names a recipient system")
	wrong(!s.refers && e.Refers != 0, "refers to no other")
	wrong(e.Kind == exchange.KindRenewal && e.Refers == 0, "refers to a claim")
}

// apply lets the entry take effect; claims are judged by what stood before it.
func (v *verifier) apply(e *entry) {
	switch e.Kind {
	case exchange.KindOrigin:
		v.begin(e)
	case exchange.KindSigningKey:
		v.rotate(e)
	case exchange.KindAdoption:
		v.adopt(e)
	case exchange.KindConsent:
		v.consent(e)
	case exchange.KindLink:
		v.link(e)
	case exchange.KindDossier:
		v.dossier(e)
	case exchange.KindStop:
		var f exchange.StopFact
		if v.decode(e, &f) {
			v.stopped = f.Stopped
		}
	case exchange.KindClock:
		var f exchange.OperatorFact
		v.decode(e, &f)
	default:
		v.account(e)
	}
}

// decode reads the entry's fact.
func (v *verifier) decode(e *entry, into any) bool {
	if err := exchange.DecodeFact(e.fact, into); err != nil {
		v.find(e.seq, Whole, RuleFact, "not a canonical fact of an entry of kind %s", e.Kind)
		return false
	}
	return true
}

// finish judges the whole.
func (v *verifier) finish(vkey string, signed, outside []byte) {
	r := v.report
	r.Root, r.Open = v.tree.root(), uint64(len(v.claims))
	if c := v.checkpoint; c != nil {
		r.Origin, r.Size = c.origin, uint64(c.size)
		switch {
		case v.tree.size < c.size:
			v.find(Whole, Whole, RuleRoot, "the checkpoint has %d entries, the export only %d", c.size, v.tree.size)
		case v.tree.size > c.size:
			v.find(Whole, Whole, RuleRoot, "the export has %d entries, the checkpoint covers only %d", v.tree.size, c.size)
		case r.Root != c.root:
			v.find(Whole, Whole, RuleRoot, "the entries do not make the root of the checkpoint: one was changed, added, removed or moved")
		}
		if c.origin != v.origin.Origin {
			v.find(Whole, Whole, RuleOrigin, "the checkpoint is of another ledger than the entries")
		}
	}
	v.signatures(vkey, signed, outside)
	if c := v.outside; c != nil {
		v.compare(c)
	}
}

// compare holds the export against the outside checkpoint.
func (v *verifier) compare(c *checkpoint) {
	switch {
	case c.origin != v.origin.Origin:
		v.find(Whole, Whole, RuleOutside, "the outside checkpoint is of another ledger")
	case c.size > v.tree.size:
		v.find(Whole, Whole, RuleOutside, "cut: the outside checkpoint has %d entries, the export only %d", c.size, v.tree.size)
	case c.size == 0:
	case !v.seen || v.rootAt != c.root:
		v.find(Whole, Whole, RuleOutside, "rewritten: the first %d entries are not those the outside checkpoint signed", c.size)
	}
}
