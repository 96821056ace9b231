package mapping

import (
	"cmp"
	"fmt"
	"slices"
)

// Fault is one thing wrong with a mapping or a code list: where, what, and
// what to do about it. It quotes the file, never a record.
type Fault struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"` // from 1; 0 is the whole file
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"`
}

// String is "file:line: message (fix)".
func (f Fault) String() string {
	s := f.File
	if f.Line > 0 {
		s += fmt.Sprintf(":%d", f.Line)
	}
	s += ": " + f.Message
	if f.Fix != "" {
		s += " (" + f.Fix + ")"
	}
	return s
}

const maxFaults = 200 // of one file; what comes after them is not kept

// faults gathers what is wrong with one file.
type faults struct {
	file string
	list []Fault
}

func (fs *faults) add(line int, fix, format string, args ...any) {
	if len(fs.list) < maxFaults {
		fs.list = append(fs.list, Fault{File: fs.file, Line: line, Message: fmt.Sprintf(format, args...), Fix: fix})
	}
}

// sorted is every fault once, by line.
func (fs *faults) sorted() []Fault {
	slices.SortStableFunc(fs.list, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(fs.list)
}

// clip keeps a quoted text of the file short.
func clip(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "..."
	}
	return s
}
