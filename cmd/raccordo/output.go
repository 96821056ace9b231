package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// The output formats.
const (
	formatText = "text"
	formatJSON = "json"
)

// show prints a result: for machines as JSON, for people as text writes it.
func (c *command) show(v any, text func(io.Writer)) error {
	if c.p.output == formatJSON {
		enc := json.NewEncoder(c.p.stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(v); err != nil {
			return fmt.Errorf("write the result: %w", err)
		}
		return nil
	}
	w := &checked{w: c.p.stdout}
	text(w)
	if w.err != nil {
		return fmt.Errorf("write the result: %w", w.err)
	}
	return nil
}

// checked remembers the first error of a writer, so that texts need not look at
// each line: a full disk behind a pipe is a failure of the command.
type checked struct {
	w   io.Writer
	err error
}

func (c *checked) Write(b []byte) (int, error) {
	if c.err != nil {
		return len(b), nil
	}
	_, c.err = c.w.Write(b)
	return len(b), nil
}

// table prints rows in columns; the first is the head.
func table(w io.Writer, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(t, "\t")
			}
			fmt.Fprint(t, cell)
		}
		fmt.Fprintln(t)
	}
	_ = t.Flush()
}

func instant(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// count says how many: 1 fault, 2 faults.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
