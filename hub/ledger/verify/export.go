package verify

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
)

const checkpointFile = "checkpoint"

// maxLine bounds one line of an export: the rows of the largest entry in base64
// and a large network take a few megabytes.
const maxLine = 32 << 20

// line is one entry in an export.
type line struct {
	Seq  uint64 `json:"seq"`
	Leaf []byte `json:"leaf"`
	Rows []byte `json:"rows"`
	Fact []byte `json:"fact"`
}

// readEntries reads all files in the order of their names.
func (v *verifier) readEntries(fsys fs.FS) error {
	names, err := fs.Glob(fsys, "entries-*.ndjson")
	if err != nil {
		return fmt.Errorf("list export: %w", err)
	}
	slices.Sort(names)
	if len(names) == 0 {
		v.find(Whole, Whole, RuleExport, "there are no entries")
	}
	seq := int64(0)
	for _, name := range names {
		if want := fmt.Sprintf("entries-%012d.ndjson", seq); name != want {
			v.find(seq, Whole, RuleExport, "the next file must be %s", want)
		}
		if seq, err = v.readFile(fsys, name, seq); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
	}
	return nil
}

func (v *verifier) readFile(fsys fs.FS, name string, seq int64) (int64, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return seq, err
	}
	defer func() { _ = f.Close() }()
	in := bufio.NewReaderSize(f, 1<<20)
	var buf []byte
	for {
		buf, err = readLine(in, buf[:0])
		if errors.Is(err, io.EOF) && len(buf) == 0 {
			return seq, nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			if errors.Is(err, bufio.ErrTooLong) {
				v.find(seq, Whole, RuleExport, "a line longer than any entry")
				return seq, nil
			}
			return seq, err
		}
		var x line
		d := json.NewDecoder(bytes.NewReader(buf))
		d.DisallowUnknownFields()
		if err := d.Decode(&x); err != nil || d.More() {
			v.find(seq, Whole, RuleExport, "a line of %s is no entry", name)
		} else {
			v.entry(seq, &x)
		}
		seq++
	}
}

// readLine appends one line without its end; io.EOF if it is the last one.
func readLine(in *bufio.Reader, dst []byte) ([]byte, error) {
	for {
		part, err := in.ReadSlice('\n')
		dst = append(dst, part...)
		if len(dst) > maxLine {
			return dst, bufio.ErrTooLong
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimSuffix(dst, []byte("\n")), err
		}
	}
}
