package sqlite

import (
	"fmt"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

// place is where a state is kept: the record's number and the flow's.
type place struct {
	n    int64
	flow exchange.Number
}

// known is what the store holds of the records of a batch.
type known struct {
	numbers map[exchange.RecordID]int64
	states  map[place]store.StatusRow
}

// tally is how the sums change.
type tally map[exchange.Number]map[exchange.State]int64

func (t tally) add(flow exchange.Number, state exchange.State, n int64) {
	if t[flow] == nil {
		t[flow] = map[exchange.State]int64{}
	}
	t[flow][state] += n
}

func readStatus(v row) (store.StatusRow, error) {
	return store.StatusRow{Flow: exchange.Number(v.int(1)), State: exchange.State(v.int(2)), Reason: exchange.Reason(v.text(3)),
		Mark: exchange.Mark(v.int(4)), Seq: uint64(v.int(5))}, check(v)
}

// StatusOf are the states of a record, by flow; none is an empty answer.
func (v *view) StatusOf(record exchange.RecordID) ([]store.StatusRow, error) {
	return collect(&v.reader, "SELECT s.n, s.flow, s.state, s.reason, s.mark, s.seq, s.sum FROM records r CROSS JOIN status s ON s.n=r.n"+
		" WHERE r.record=? ORDER BY s.flow", func(r row) (store.StatusRow, error) {
		out, err := readStatus(r)
		out.Record = record
		return out, err
	}, record[:])
}

func (v *view) StateCounts() (map[exchange.Number]map[exchange.State]int64, error) {
	out := tally{}
	err := v.query("SELECT flow, state, n FROM counts WHERE n<>0", func(r row) error {
		out.add(exchange.Number(r.int(0)), exchange.State(r.int(1)), r.int(2))
		return nil
	})
	return out, err
}

// PutStatus reads what is there with one statement, decides here which rows
// replace it, writes those and adds up the sums.
func (t sideTx) PutStatus(rows []store.StatusRow) error {
	if err := t.ready(); err != nil {
		return err
	}
	have, err := t.known(rows)
	if err != nil {
		return fmt.Errorf("put status: %w", err)
	}
	changed, sums := map[place]bool{}, tally{}
	for _, r := range rows {
		at := place{have.numbers[r.Record], r.Flow}
		old, there := have.states[at]
		if there && (r.Seq == 0 || r.Seq < old.Seq) {
			continue
		}
		if there {
			sums.add(r.Flow, old.State, -1)
		}
		sums.add(r.Flow, r.State, 1)
		have.states[at] = r
		changed[at] = true
	}
	if err := t.writeStatus(rows, have, changed); err != nil {
		return fmt.Errorf("put status: %w", err)
	}
	for flow, states := range sums {
		for state, n := range states {
			if n == 0 {
				continue
			}
			err := t.put("INSERT INTO counts (flow, state, n) VALUES (?1,?2,?3) ON CONFLICT DO UPDATE SET n=n+?3", []any{int64(flow), int64(state), n})
			if err != nil {
				return fmt.Errorf("put status: %w", err)
			}
		}
	}
	return nil
}

// writeStatus writes the changed places in the order of rows, each once.
func (t sideTx) writeStatus(rows []store.StatusRow, have known, changed map[place]bool) error {
	in := t.c.inserter("INSERT INTO status (n, flow, state, reason, mark, seq, sum) VALUES ", 7, " ON CONFLICT DO UPDATE"+
		" SET state=excluded.state, reason=excluded.reason, mark=excluded.mark, seq=excluded.seq, sum=excluded.sum")
	for i := range rows {
		at := place{have.numbers[rows[i].Record], rows[i].Flow}
		if !changed[at] {
			continue
		}
		delete(changed, at)
		s := have.states[at]
		err := in.add(summed(at.n, int64(s.Flow), int64(s.State), string(s.Reason), int64(s.Mark), int64(s.Seq))...)
		if err != nil {
			return err
		}
	}
	return in.flush()
}

// known numbers the records of rows, giving new ones a number, and reads their
// states.
func (t sideTx) known(rows []store.StatusRow) (known, error) {
	k := known{numbers: make(map[exchange.RecordID]int64, len(rows)), states: make(map[place]store.StatusRow, len(rows))}
	ids := make([]exchange.RecordID, len(rows))
	for i := range rows {
		ids[i] = rows[i].Record
	}
	if err := t.lookUp(&k, ids); err != nil {
		return k, err
	}
	in := t.c.inserter("INSERT INTO records (record, producer, type, received_at, flows, sum) VALUES ", 6, "")
	var fresh []exchange.RecordID
	for _, id := range ids {
		if _, ok := k.numbers[id]; ok {
			continue
		}
		k.numbers[id] = 0
		fresh = append(fresh, id)
		if err := in.add(summed(id[:], "", "", int64(0), "")...); err != nil {
			return k, err
		}
	}
	if len(fresh) == 0 {
		return k, nil
	}
	if err := in.flush(); err != nil {
		return k, err
	}
	return k, t.lookUp(&k, fresh)
}

func (t sideTx) lookUp(k *known, ids []exchange.RecordID) error {
	const query = packed16 + "SELECT s.n, s.flow, s.state, s.reason, s.mark, s.seq, s.sum, r.record, r.n FROM p CROSS JOIN records r ON r.record = " +
		cut16 + " LEFT JOIN status s ON s.n = r.n"
	return t.query(query, func(v row) error {
		k.numbers[id16[exchange.RecordID](v, 7)] = v.int(8)
		if v[0] == nil {
			return nil
		}
		s, err := readStatus(v[:7])
		k.states[place{v.int(0), s.Flow}] = s
		return err
	}, pack16(ids))
}
