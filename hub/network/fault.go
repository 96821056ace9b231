package network

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing wrong with a network: where it is and what to do.
type Fault struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`   // from 1; 0 is the whole file
	Column  int    `json:"column,omitempty"` // from 1
	Path    string `json:"path,omitempty"`   // of keys inside the file: clauses[2].basis
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"`
}

// String is "file:line:column: path: message (fix)".
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d", f.Line)
		if f.Column > 0 {
			fmt.Fprintf(&b, ":%d", f.Column)
		}
	}
	if f.Path != "" {
		b.WriteString(": " + f.Path)
	}
	b.WriteString(": " + f.Message)
	if f.Fix != "" {
		b.WriteString(" (" + f.Fix + ")")
	}
	return b.String()
}

// maxFaults bounds what one check reports; the rest is counted.
const maxFaults = 1000

// faults gathers what is wrong. It is not safe for concurrent use.
type faults struct {
	list    []Fault
	skipped int
}

func (fs *faults) add(f Fault) {
	if len(fs.list) >= maxFaults {
		fs.skipped++
		return
	}
	fs.list = append(fs.list, f)
}

// sorted is every fault once, by file, line and column.
func (fs *faults) sorted() []Fault {
	slices.SortStableFunc(fs.list, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column), cmp.Compare(a.Message, b.Message))
	})
	out := slices.Compact(fs.list)
	if fs.skipped > 0 {
		out = append(out, Fault{File: ".", Message: fmt.Sprintf("%d more faults are not shown", fs.skipped)})
	}
	return out
}

// at is a place in a file that a later check can point to.
type at struct {
	file      string
	line, col int
	path      string
}

func (fs *faults) addAt(p at, fix, format string, args ...any) {
	fs.add(Fault{File: p.file, Line: p.line, Column: p.col, Path: p.path, Message: fmt.Sprintf(format, args...), Fix: fix})
}
