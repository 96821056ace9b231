package demo

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"raccordo/hub/exchange"
)

// ends is where every record is, flow by flow, read from an exported ledger
// alone.
type ends map[ended]exchange.Row

type ended struct {
	record exchange.RecordID
	flow   exchange.Number
}

// readEnds reads an export (raccordo ledger export) and keeps the newest row of
// each record and flow.
func readEnds(fsys fs.FS) (ends, error) {
	names, err := fs.Glob(fsys, "entries-*.ndjson") // sorted, and so in order
	if err != nil {
		return nil, fmt.Errorf("list the export: %w", err)
	}
	out := ends{}
	for _, name := range names {
		if err := out.read(fsys, name); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
	}
	return out, nil
}

func (e ends) read(fsys fs.FS, name string) error {
	f, err := fsys.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	d := json.NewDecoder(bufio.NewReader(f))
	for {
		var entry struct {
			Rows []byte `json:"rows"`
		}
		if err := d.Decode(&entry); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		rows, err := exchange.DecodeRows(entry.Rows)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if r.Part == exchange.PartPrincipal || r.Part == exchange.PartThing {
				e[ended{r.Record, r.Flow}] = r
			}
		}
	}
}

func (e ends) count(f exchange.FlowID, state exchange.State) (n int64) {
	for k, r := range e {
		if k.flow == exchange.FlowNumber(f) && r.State == state {
			n++
		}
	}
	return n
}

// reasons counts why records of a flow are not delivered, as state/reason.
func (e ends) reasons(f exchange.FlowID) map[string]int64 {
	out := map[string]int64{}
	for k, r := range e {
		if k.flow == exchange.FlowNumber(f) && r.State != exchange.StateDelivered {
			out[r.State.String()+"/"+string(r.Reason)]++
		}
	}
	return out
}
