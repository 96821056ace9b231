package codec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"raccordo/hub/exchange"
)

func split(r io.Reader, limits LineLimits) ([]string, error) {
	var out []string
	err := Lines(r, limits, func(n int, b []byte, fault error) error {
		if fault != nil {
			out = append(out, fmt.Sprintf("%d!%s", n, exchange.AsError(fault).Faults[0].Rule))
			return nil
		}
		out = append(out, fmt.Sprintf("%d:%s", n, b))
		return nil
	})
	return out, err
}

func TestLines(t *testing.T) {
	limits := LineLimits{MaxBytes: 1000, MaxLines: 4, MaxLineBytes: 5}
	for name, c := range map[string]struct {
		body string
		want []string
		rule string
	}{
		"empty":               {"", nil, ""},
		"only blank":          {"\n\r\n \t\n", nil, ""},
		"no end":              {"{}", []string{"1:{}"}, ""},
		"end":                 {"{}\n[]\n", []string{"1:{}", "2:[]"}, ""},
		"cr lf":               {"{}\r\n[]\r\n", []string{"1:{}", "2:[]"}, ""},
		"last cr":             {"{}\r", []string{"1:{}"}, ""},
		"lone cr stays":       {"{\r}\n", []string{"1:{\r}"}, ""},
		"blank lines count":   {"\n{}\n\n[]", []string{"2:{}", "4:[]"}, ""},
		"exactly long":        {"12345\n12345\r\n", []string{"1:12345", "2:12345"}, ""},
		"too long":            {"1\n123456\n2", []string{"1:1", "2!line_bytes", "3:2"}, ""},
		"much too long":       {strings.Repeat("x", 600) + "\n2", []string{"1!line_bytes", "2:2"}, ""},
		"long blank":          {strings.Repeat(" ", 600) + "\n2", []string{"1!line_bytes", "2:2"}, ""},
		"too long at the end": {"1\n123456", []string{"1:1", "2!line_bytes"}, ""},
		"too many":            {"1\n2\n3\n4\n5\n", []string{"1:1", "2:2", "3:3", "4:4"}, "lines"},
		"too many bytes":      {strings.Repeat("\n", 1001), nil, "body_bytes"},
	} {
		for reader, wrap := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "with EOF": iotest.DataErrReader,
		} {
			got, err := split(wrap(strings.NewReader(c.body)), limits)
			rule := ""
			if err != nil {
				rule = exchange.AsError(err).Faults[0].Rule
			}
			if rule != c.rule || (c.rule != "body_bytes" && !reflect.DeepEqual(got, c.want)) {
				t.Errorf("%s, %s: got %q %q, want %q %q", name, reader, got, rule, c.want, c.rule)
			}
		}
	}
}

func TestLinesStops(t *testing.T) {
	limits := LineLimits{MaxBytes: 1000, MaxLines: 10, MaxLineBytes: 100}
	stop := errors.New("stop")
	calls := 0
	err := Lines(strings.NewReader("1\n2\n3\n"), limits, func(int, []byte, error) error { calls++; return stop })
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("after %d calls: %v", calls, err)
	}
	broken := io.MultiReader(strings.NewReader("1\n"), iotest.ErrReader(stop))
	if _, err := split(broken, limits); !errors.Is(err, stop) {
		t.Errorf("broken reader: %v", err)
	}
	if _, err := split(idle{}, limits); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("idle reader: %v", err)
	}
}

type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

func FuzzLines(f *testing.F) {
	f.Add([]byte("{}\r\n\n[1]\n"), 3)
	f.Fuzz(func(t *testing.T, b []byte, step int) {
		limits := LineLimits{MaxBytes: 1 << 20, MaxLines: 1 << 20, MaxLineBytes: 64}
		want := bytes.Split(b, []byte("\n"))
		err := Lines(bytes.NewReader(b), limits, func(n int, got []byte, fault error) error {
			line := bytes.TrimSuffix(want[n-1], []byte("\r"))
			if (fault != nil) != (len(line) > 64) || (fault == nil && !bytes.Equal(got, line)) {
				t.Fatalf("line %d differs", n)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
