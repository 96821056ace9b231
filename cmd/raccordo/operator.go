package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"raccordo/hub"
	"raccordo/hub/control"
	"raccordo/hub/exchange"
)

// operator is a command that acts through the running hub's control socket.
type operator struct {
	*command
	dir  string
	from string
}

// operator begins a command for operators.
func (p *process) operator(words, arguments, about, example string) *operator {
	o := &operator{command: p.command(words, arguments, about, example)}
	o.flags.StringVar(&o.dir, "data-dir", "", "data `DIR`ectory of the hub; default: that of the configuration")
	return o
}

// person adds the flag for commands about a person.
func (o *operator) person() *operator {
	o.flags.StringVar(&o.from, "from", "", "`FILE` with the identifier; default: standard input")
	return o
}

// socket finds the hub.
func (o *operator) socket() (string, error) {
	dir, file := o.dir, o.configFile()
	switch {
	case dir != "":
	case file != "":
		c, err := o.loadConfig()
		if err != nil {
			return "", err
		}
		dir = c.DataDir
	default:
		dir = o.p.getenv("RACCORDO_DATA_DIR")
	}
	if dir == "" {
		return "", usagef("which hub? give --config FILE or --data-dir DIR, or set RACCORDO_CONFIG or RACCORDO_DATA_DIR")
	}
	return filepath.Join(dir, "control.sock"), nil
}

// ask calls one operation of the running hub.
func ask[Out, In any](ctx context.Context, o *operator, op string, in In) (Out, error) {
	var none Out
	socket, err := o.socket()
	if err != nil {
		return none, err
	}
	return control.Call[Out](ctx, control.Dial(socket), op, in)
}

func (p *process) getenv(name string) string {
	value := ""
	for _, e := range p.environ { // the last one counts
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			value = v
		}
	}
	return value
}

func (c *command) configFile() string {
	if c.config != "" {
		return c.config
	}
	return c.p.getenv("RACCORDO_CONFIG")
}

// loadConfig reads the configuration: the file, if one is named, and the
// environment.
func (c *command) loadConfig() (hub.Config, error) {
	file := c.configFile()
	if file == "" {
		return hub.LoadConfig(nil, c.p.environ)
	}
	f, err := os.Open(file)
	if err != nil {
		return hub.Config{}, fmt.Errorf("%w: %w", hub.ErrConfig, err)
	}
	defer func() { _ = f.Close() }()
	config, err := hub.LoadConfig(f, c.p.environ)
	if err != nil {
		return config, fmt.Errorf("%s: %w", file, err)
	}
	return config, nil
}

// maxPerson bounds what is read about persons.
const maxPerson = 64 << 10

// persons reads n persons, one a line. What was read is never part of an error.
func (o *operator) persons(n int) ([]control.Person, error) {
	in := o.p.stdin
	if o.from != "" {
		f, err := os.Open(o.from)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		in = f
	} else if terminal(in) {
		fmt.Fprintf(o.p.stderr, "%d line(s) like: CF CODE, STP CODE or LOCAL BODY CODE\n", n)
	}
	s := bufio.NewScanner(io.LimitReader(in, maxPerson))
	var out []control.Person
	for len(out) < n && s.Scan() {
		line := bytes.TrimSpace(s.Bytes())
		if len(line) == 0 {
			continue
		}
		p, err := parsePerson(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", len(out)+1, err)
		}
		out = append(out, p)
	}
	if s.Err() != nil || len(out) < n {
		return nil, usagef("%d line(s) with an identifier must be on standard input or in --from FILE", n)
	}
	return out, nil
}

var errPerson = usagef(`a person is a line like "CF CODE", "STP CODE", "LOCAL BODY CODE", "SUBJECT ID", or {"system","value"} in JSON`)

// parsePerson reads "CF RSSMRA...", "LOCAL body code", "SUBJECT id" or JSON.
func parsePerson(line []byte) (control.Person, error) {
	if line[0] == '{' {
		var p control.Person
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&p); err != nil || !errors.Is(d.Decode(new(json.RawMessage)), io.EOF) || p == (control.Person{}) {
			return control.Person{}, errPerson // the decoder's error may quote the line
		}
		return p, nil
	}
	words := strings.Fields(string(line))
	switch {
	case len(words) == 2 && words[0] == "SUBJECT":
		id, err := exchange.ParseSubjectID(words[1])
		if err != nil {
			return control.Person{}, errPerson
		}
		return control.Person{Subject: id}, nil
	case len(words) == 3 && words[0] == "LOCAL":
		return control.Person{System: words[0], Body: exchange.BodyID(words[1]), Value: words[2]}, nil
	case len(words) == 2 && words[0] != "LOCAL":
		return control.Person{System: words[0], Value: words[1]}, nil
	}
	return control.Person{}, errPerson
}

func terminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
