package verify_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"raccordo/hub/exchange"
	"raccordo/hub/keys"
	"raccordo/hub/ledger"
	"raccordo/hub/ledger/verify"
)

const entriesFile = "entries-000000000000.ndjson"

// line is one entry of an export.
type line struct {
	Seq  uint64 `json:"seq"`
	Leaf []byte `json:"leaf"`
	Rows []byte `json:"rows"`
	Fact []byte `json:"fact"`
}

// edit changes an export's entries.
func edit(t testing.TB, files fstest.MapFS, change func([]line) []line) fstest.MapFS {
	t.Helper()
	var lines []line
	d := json.NewDecoder(bytes.NewReader(files[entriesFile].Data))
	for d.More() {
		var l line
		if err := d.Decode(&l); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, l)
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	for _, l := range change(lines) {
		if err := e.Encode(l); err != nil {
			t.Fatal(err)
		}
	}
	files = maps.Clone(files)
	files[entriesFile] = &fstest.MapFile{Data: out.Bytes()}
	return files
}

// seal signs whatever the entries are: what a rewriting key-holder would do.
func seal(t testing.TB, files fstest.MapFS, k key) fstest.MapFS {
	t.Helper()
	var hashes []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			out[i] = hashes[x]
		}
		return out, nil
	})
	n := int64(0)
	edit(t, files, func(lines []line) []line {
		for _, l := range lines {
			h, err := tlog.StoredHashes(n, l.Leaf, reader)
			if err != nil {
				t.Fatal(err)
			}
			hashes = append(hashes, h...)
			n++
		}
		return lines
	})
	root, err := tlog.TreeHash(n, reader)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := note.Sign(&note.Note{Text: ledger.Checkpoint{Origin: origin, Size: uint64(n), Root: exchange.Digest(root)}.Text()}, k.signer)
	if err != nil {
		t.Fatal(err)
	}
	files = maps.Clone(files)
	files["checkpoint"] = &fstest.MapFile{Data: signed}
	return files
}

// story is an honest ledger of which tests know every entry.
func story(t testing.TB) (*book, fstest.MapFS) {
	b := began(t) // 0, 1
	anna := person(1)
	given, _ := b.give(anna) // 2
	one, two := b.row(health, anna, basis(given)), b.row(health, anna, basis(given))
	claim := b.claim(clinic, lanes(-1, 1), one, two)                                  // 3
	b.settle(clinic, claim, lanes(-1, 1), with(one, delivered), with(two, delivered)) // 4
	b.fact(exchange.KindStop, exchange.StopFact{Stopped: true, Reason: "drill"})      // 5
	b.fact(exchange.KindStop, exchange.StopFact{Reason: "drill"})                     // 6
	b.claim(sink, lanes(-1, 1), b.row(plain, anna))                                   // 7
	return b, b.export()
}

func flip(b []byte, i int) []byte { c := bytes.Clone(b); c[i] ^= 1; return c }

// TestTampering changes an export after it was signed.
func TestTampering(t *testing.T) {
	b, files := story(t)
	if r := check(t, files, b.keys[0].public, nil); !r.OK() {
		t.Fatal(r.Findings)
	}
	at := func(i int, change func(*line)) func([]line) []line {
		return func(l []line) []line { change(&l[i]); return l }
	}
	for name, c := range map[string]struct {
		change func([]line) []line
		rule   string
		seq    int64
	}{
		"a byte of a header":   {at(3, func(l *line) { l.Leaf = flip(l.Leaf, 40) }), verify.RuleNetwork, 3},
		"the magic":            {at(3, func(l *line) { l.Leaf = flip(l.Leaf, 0) }), verify.RuleLeaf, 3},
		"a byte of a row":      {at(3, func(l *line) { l.Rows = flip(l.Rows, 90) }), verify.RuleRows, 3},
		"a row's state":        {at(4, func(l *line) { l.Rows = flip(l.Rows, 40) }), verify.RuleRows, 4},
		"a fact":               {at(2, func(l *line) { l.Fact = flip(l.Fact, 30) }), verify.RuleFact, 2},
		"a fact's text":        {at(5, func(l *line) { l.Fact = bytes.Replace(l.Fact, []byte("true"), []byte("false"), 1) }), verify.RuleFact, 5},
		"no fact":              {at(5, func(l *line) { l.Fact = nil }), verify.RuleFact, 5},
		"a fact more":          {at(3, func(l *line) { l.Fact = []byte("{}") }), verify.RuleFact, 3},
		"rows exchanged":       {at(3, func(l *line) { l.Rows = append(bytes.Clone(l.Rows[88:]), l.Rows[:88]...) }), verify.RuleRows, 3},
		"a row added":          {at(3, func(l *line) { l.Rows = append(l.Rows, l.Rows[:88]...) }), verify.RuleRows, 3},
		"a row removed":        {at(3, func(l *line) { l.Rows = l.Rows[88:] }), verify.RuleRows, 3},
		"no rows":              {at(3, func(l *line) { l.Rows = nil }), verify.RuleRows, 3},
		"half a row":           {at(3, func(l *line) { l.Rows = l.Rows[:100] }), verify.RuleRows, 3},
		"entries exchanged":    {func(l []line) []line { l[5], l[6] = l[6], l[5]; return l }, verify.RuleSequence, 5},
		"leaves exchanged":     {func(l []line) []line { l[5].Leaf, l[6].Leaf = l[6].Leaf, l[5].Leaf; return l }, verify.RuleSequence, 5},
		"an entry twice":       {func(l []line) []line { return slices.Insert(l, 6, l[5]) }, verify.RuleSequence, 6},
		"an entry taken out":   {func(l []line) []line { return slices.Delete(l, 5, 6) }, verify.RuleSequence, 5},
		"the last one dropped": {func(l []line) []line { return l[:7] }, verify.RuleRoot, verify.Whole},
		"one added at the end": {func(l []line) []line { return append(l, l[6]) }, verify.RuleSequence, 8},
		"nothing left":         {func([]line) []line { return nil }, verify.RuleRoot, verify.Whole},
	} {
		t.Run(name, func(t *testing.T) {
			r := check(t, edit(t, files, c.change), b.keys[0].public, nil)
			if r.OK() {
				t.Fatal("not found")
			}
			if f := r.Findings[0]; f.Rule != c.rule || f.Seq != c.seq {
				t.Errorf("found first %v, want %s at %d", f, c.rule, c.seq)
			}
			if leafChanged := c.rule != verify.RuleRows && c.rule != verify.RuleFact; leafChanged && !slices.Contains(rules(r), verify.RuleRoot) {
				t.Errorf("the root still fits: %v", r.Findings)
			}
		})
	}
}

// TestEveryFlippedByte flips each byte of an export in turn: none goes unseen.
func TestEveryFlippedByte(t *testing.T) {
	b, files := story(t)
	n := 0
	edit(t, files, func(lines []line) []line { n = len(lines); return lines })
	for i := range n {
		var parts [3]int
		edit(t, files, func(l []line) []line { parts = [3]int{len(l[i].Leaf), len(l[i].Rows), len(l[i].Fact)}; return l })
		for p, size := range parts {
			step := 1 + size/60 // of a long fact only every so many
			for at := 0; at < size; at += step {
				changed := edit(t, files, func(l []line) []line {
					x := [3]*[]byte{&l[i].Leaf, &l[i].Rows, &l[i].Fact}[p]
					*x = flip(*x, at)
					return l
				})
				if r := check(t, changed, b.keys[0].public, nil); r.OK() {
					t.Fatalf("entry %d part %d byte %d: not found", i, p, at)
				}
			}
		}
	}
	signed := files["checkpoint"].Data
	v, err := note.NewVerifier(b.keys[0].public)
	if err != nil {
		t.Fatal(err)
	}
	for at := range signed {
		if _, err := note.Open(flip(signed, at), note.VerifierList(v)); err == nil {
			continue // the last digit in base64 has bits that say nothing
		}
		changed := maps.Clone(files)
		changed["checkpoint"] = &fstest.MapFile{Data: flip(signed, at)}
		if r := check(t, changed, b.keys[0].public, nil); r.OK() {
			t.Fatalf("checkpoint byte %d: not found", at)
		}
	}
}

// TestRewriting lets who holds the key write another history: only what was
// kept outside shows it.
func TestRewriting(t *testing.T) {
	b, files := story(t)
	outside := files["checkpoint"].Data
	k := b.keys[0]
	cut := seal(t, edit(t, files, func(l []line) []line { return l[:6] }), k)
	changed := seal(t, edit(t, files, func(l []line) []line { l[7].Leaf = flip(l[7].Leaf, 13); return l }), k)
	for name, x := range map[string]fstest.MapFS{"cut": cut, "changed": changed} {
		if r := check(t, x, k.public, nil); !r.OK() {
			t.Errorf("%s: without the outside checkpoint: %v", name, r.Findings)
		}
		r := check(t, x, k.public, outside)
		if r.OK() || r.Findings[0].Rule != verify.RuleOutside {
			t.Errorf("%s: %v", name, r.Findings)
		}
	}
	// cut, then filled up again with something else
	b.claim(sink, nil, b.row(plain, person(3)))
	longer := b.export()
	if r := check(t, longer, k.public, outside); !r.OK() {
		t.Errorf("the ledger grew, and %v", r.Findings)
	}
	refilled := seal(t, edit(t, longer, func(l []line) []line { l[7].Leaf = flip(l[7].Leaf, 13); return l }), k)
	if r := check(t, refilled, k.public, outside); r.OK() || r.Findings[0].Rule != verify.RuleOutside {
		t.Errorf("refilled: %v", r.Findings)
	}
	if r := check(t, files, k.public, longer["checkpoint"].Data); r.OK() || !strings.Contains(r.Findings[0].Detail, "cut") {
		t.Errorf("an older export: %v", r.Findings)
	}
}

func TestOutsideOfAnother(t *testing.T) {
	b, files := story(t)
	other := newKey(t, origin)
	text := ledger.Checkpoint{Origin: origin, Size: 3}.Text()
	forged, _ := note.Sign(&note.Note{Text: text}, other.signer)
	foreign, _ := note.Sign(&note.Note{Text: ledger.Checkpoint{Origin: "else", Size: 3}.Text()}, newKey(t, "else").signer)
	for name, x := range map[string][]byte{"forged": forged, "foreign": foreign, "garbage": []byte("x"), "empty": {}} {
		if r := check(t, files, b.keys[0].public, x); r.OK() || r.Findings[0].Rule != verify.RuleOutside {
			t.Errorf("%s: %v", name, r.Findings)
		}
	}
}

// TestKeys is about who signed.
func TestKeys(t *testing.T) {
	b := began(t)
	b.claim(sink, nil, b.row(plain, person(1)))
	b.rotate()
	early := b.signBy(b.keys[0]) // announced, not yet used
	if r := check(t, b.files(), b.keys[0].public, nil); !r.OK() || r.SignedBy != b.keys[0].public {
		t.Errorf("between announcement and use: %v", r.Findings)
	}
	b.rotate()
	files := b.export()
	for i, k := range b.keys {
		if r := check(t, files, k.public, early); !r.OK() || r.SignedBy != b.keys[2].public {
			t.Errorf("with key %d: %v", i, r.Findings)
		}
	}
	stranger := newKey(t, origin)
	for name, c := range map[string]struct {
		signer key
		vkey   string
		rules  []string
	}{
		"signed by a stranger":                 {stranger, b.keys[0].public, []string{verify.RuleSignature}},
		"signed by a key replaced twice":       {b.keys[0], b.keys[0].public, []string{verify.RuleSignature}},
		"signed by a key before the one given": {b.keys[1], b.keys[2].public, []string{verify.RuleSignature}},
		"checked with a stranger's key":        {b.keys[2], stranger.public, []string{verify.RuleKey, verify.RuleSignature}},
		"a stranger's own history":             {stranger, stranger.public, []string{verify.RuleKey}},
	} {
		r := check(t, seal(t, files, c.signer), c.vkey, nil)
		if got := rules(r); !slices.Equal(got, c.rules) {
			t.Errorf("%s: %v", name, r.Findings)
		}
	}
	for _, bad := range []string{"", "x", b.keys[0].public + "x", "PRIVATE+KEY+x"} {
		if _, err := verify.Verify(files, bad, verify.Options{}); err == nil {
			t.Errorf("%q is a key", bad)
		}
	}
}

// A hub that stopped between announcing a key and using it announces it again.
func TestKeyAnnouncedTwice(t *testing.T) {
	b := began(t)
	b.rotate()
	ann, err := keys.Announce(b.keys[0].signer, b.keys[1].public)
	if err != nil {
		t.Fatal(err)
	}
	b.fact(exchange.KindSigningKey, exchange.KeyFact{Key: b.keys[1].public, Announcement: ann})
	if r := b.verify(); !r.OK() {
		t.Error(r.Findings)
	}
	b.rotate()
	back, err := keys.Announce(b.keys[2].signer, b.keys[0].public) // an old key comes back
	if err != nil {
		t.Fatal(err)
	}
	b.fact(exchange.KindSigningKey, exchange.KeyFact{Key: b.keys[0].public, Announcement: back})
	if r := b.verify(); !slices.Equal(rules(r), []string{verify.RuleKey}) {
		t.Error(r.Findings)
	}
}

// A key that was never announced signs: the ledger itself is honest.
func TestRotatedWithoutAnnouncement(t *testing.T) {
	b := began(t)
	b.keys = append(b.keys, newKey(t, origin))
	r := b.verify()
	if got := rules(r); !slices.Equal(got, []string{verify.RuleSignature}) {
		t.Errorf("%v", r.Findings)
	}
}

func TestBadExports(t *testing.T) {
	b, files := story(t)
	with := func(name string, data []byte) fstest.MapFS {
		c := maps.Clone(files)
		c[name] = &fstest.MapFile{Data: data}
		return c
	}
	body := files[entriesFile].Data
	for name, c := range map[string]struct {
		files fstest.MapFS
		rule  string
	}{
		"a line that is no JSON":    {with(entriesFile, append(bytes.Clone(body), "x\n"...)), verify.RuleExport},
		"a line with another field": {with(entriesFile, bytes.Replace(body, []byte(`"rows"`), []byte(`"rowz"`), 1)), verify.RuleExport},
		"two values in a line":      {with(entriesFile, bytes.Replace(body, []byte("}\n"), []byte("}{}\n"), 1)), verify.RuleExport},
		"a file too many":           {with("entries-000000000009.ndjson", nil), verify.RuleExport},
		"a checkpoint with a line":  {with("checkpoint", bytes.Replace(files["checkpoint"].Data, []byte("\n\n"), []byte("\nmore\n\n"), 1)), verify.RuleSignature},
		"a checkpoint with +8":      {with("checkpoint", bytes.Replace(files["checkpoint"].Data, []byte("\n8\n"), []byte("\n+8\n"), 1)), verify.RuleSignature},
		"no checkpoint in the file": {with("checkpoint", nil), verify.RuleSignature},
	} {
		r := check(t, c.files, b.keys[0].public, nil)
		if !slices.Contains(rules(r), c.rule) {
			t.Errorf("%s: %v", name, r.Findings)
		}
	}
	if r := check(t, with(entriesFile, bytes.TrimSuffix(body, []byte("\n"))), b.keys[0].public, nil); !r.OK() {
		t.Errorf("without the last end of line: %v", r.Findings)
	}
	without := maps.Clone(files)
	delete(without, "checkpoint")
	if _, err := verify.Verify(without, b.keys[0].public, verify.Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a checkpoint: %v", err)
	}
}

// A ruined ledger gives a bounded report.
func TestFindingsAreBounded(t *testing.T) {
	b := began(t)
	rows := make([]exchange.Row, 1500)
	for i := range rows {
		rows[i] = b.row(plain, person(1))
		rows[i].Record[1], rows[i].Record[2] = byte(i), byte(i>>8)
		rows[i].Categories = exchange.NewCategorySet(9)
	}
	b.claim(sink, nil, rows...)
	r := b.verify()
	if len(r.Findings) != verify.MaxFindings || r.More != 500 || r.OK() {
		t.Errorf("%d findings and %d more", len(r.Findings), r.More)
	}
	if got := r.Findings[0].String(); got != "entry 2 row 0: categories: categories [9] are not permitted by clause plain_clause or the consent" {
		t.Error(got)
	}
}

// No subject id and no identifier reaches a finding.
func TestFindingsNameNobody(t *testing.T) {
	b := began(t)
	b.claim(clinic, nil, b.row(health, person(0x77)))
	for _, f := range b.verify().Findings {
		if strings.Contains(f.String(), person(0x77).String()) {
			t.Error(f)
		}
	}
}
