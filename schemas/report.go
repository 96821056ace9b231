package schemas

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"raccordo/hub/exchange"
)

// LintFault is one thing wrong with a schema: where, which rule, what to do.
type LintFault struct {
	File    string           `json:"file"`
	Line    int              `json:"line,omitempty"` // from 1; 0 if unknown
	Pointer exchange.Pointer `json:"pointer"`
	Rule    string           `json:"rule"`
	Advice  string           `json:"advice"`
}

func (f LintFault) String() string {
	where := f.File
	if f.Line > 0 {
		where = fmt.Sprintf("%s:%d", f.File, f.Line)
	}
	at := string(f.Pointer)
	if at == "" {
		at = "(root)"
	}
	return fmt.Sprintf("%s: %s: %s: %s", where, at, f.Rule, f.Advice)
}

// Source is a named schema file.
type Source struct {
	File string
	Src  []byte
}

// Report is what a check of several files found.
type Report struct {
	Files  int         `json:"files"`
	Faults []LintFault `json:"faults"`
}

// Report checks every file, with all faults of each.
func (l *Loader) Report(files []Source) Report {
	r := Report{Files: len(files), Faults: []LintFault{}}
	for _, f := range files {
		r.Faults = append(r.Faults, l.Check(f.File, f.Src)...)
	}
	return r
}

// OK reports whether nothing was found.
func (r Report) OK() bool { return len(r.Faults) == 0 }

// WriteText writes one line per fault and a line with the sums.
func (r Report) WriteText(w io.Writer) error {
	for _, f := range r.Faults {
		if _, err := fmt.Fprintln(w, f); err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
	}
	if _, err := fmt.Fprintf(w, "%d files, %d faults\n", r.Files, len(r.Faults)); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// lineAt is the line of a byte offset, from 1.
func lineAt(src []byte, offset int) int {
	return 1 + bytes.Count(src[:min(max(offset, 0), len(src))], []byte{'\n'})
}

// lineOf is the line of the value at p in src, or of its nearest parent that
// is there.
func lineOf(src []byte, p exchange.Pointer) int {
	dec := json.NewDecoder(bytes.NewReader(src))
	tokens := p.Tokens()
	at := valueStart(src, 0)
	for {
		next, ok := descend(dec, tokens)
		if !ok {
			return lineAt(src, at)
		}
		at, tokens = valueStart(src, int(dec.InputOffset())), next
	}
}

// descend moves dec behind the key or the elements before tokens[0].
func descend(dec *json.Decoder, tokens []string) ([]string, bool) {
	if len(tokens) == 0 {
		return nil, false
	}
	open, err := dec.Token()
	if err != nil {
		return nil, false
	}
	for i := 0; dec.More(); i++ {
		name := fmt.Sprint(i)
		if open == json.Delim('{') {
			key, err := dec.Token()
			if err != nil {
				return nil, false
			}
			name = fmt.Sprint(key)
		}
		if name == tokens[0] {
			return tokens[1:], true
		}
		var skip json.RawMessage
		if dec.Decode(&skip) != nil {
			return nil, false
		}
	}
	return nil, false
}

// valueStart skips what may stand between a key or an element and the value.
func valueStart(src []byte, i int) int {
	for i < len(src) && bytes.IndexByte([]byte(" \n\r\t:,"), src[i]) >= 0 {
		i++
	}
	return i
}
