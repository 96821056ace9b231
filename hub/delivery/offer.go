package delivery

import (
	"fmt"
	"time"

	"raccordo/hub/exchange"
	"raccordo/hub/gate"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
)

// offered is a permitted record that waits for the recipient to come: what is
// claimed is claimed at the fetch (protocol.md 6.2).
type offered struct {
	i   int
	d   *gate.Decision
	rec *record
	row store.WaitingRow
}

// offer makes the permitted records fetchable.
func (k *docket) offer() error {
	rows := make([]*store.WaitingRow, len(k.offers))
	for n, o := range k.offers {
		o.rec = k.current(o.i)
		var err error
		if o.row, err = o.rec.waiting(store.RowID(k.s.Seq, o.i), store.EventFetch, exchange.ReasonAwaitingFetch, k.env); err != nil {
			return err
		}
		rows[n] = &o.row
	}
	if err := k.r.makeFetchable(rows, func(n int) *record { return k.offers[n].rec }, k.s); err != nil {
		return err
	}
	for _, o := range k.offers {
		k.put(o.rec, o.row)
		k.account(o.rec, exchange.StateWaiting, exchange.ReasonAwaitingFetch, o.d)
	}
	return nil
}

// makeFetchable gives rows their times, strictly increasing per recipient
// system and producing body, and, the first time, their names. Both are given
// under the head lock, so that a pager never misses one (protocol.md 6.3). The
// numbers of all rows are taken from each counter at once.
func (r *recipient) makeFetchable(rows []*store.WaitingRow, of func(int) *record, s *ledger.State) error {
	now := s.Facts.Now()
	bodies, series := map[exchange.BodyID]int{}, map[string]int{}
	names := make([]string, len(rows))
	for n, row := range rows {
		bodies[row.Body]++
		if row.Name != "" || r.outlet.Namer == nil {
			continue
		}
		var err error
		if names[n], err = r.outlet.Namer.Series(row.Body, of(n).head.Type, now); err != nil {
			return fmt.Errorf("series of a fetchable row: %w", err)
		}
		series[names[n]]++
	}
	times, numbers := map[exchange.BodyID]uint64{}, map[string]uint64{}
	for n, row := range rows {
		at, err := next(times, row.Body, bodies[row.Body], func(count int) (uint64, error) {
			return s.Next("fetchable/"+string(r.system)+"/"+string(row.Body), count, uint64(now.UnixMilli()))
		})
		if err != nil {
			return fmt.Errorf("time of a fetchable row: %w", err)
		}
		row.Fetchable = int64(at)
		if f := of(n).flow; f != nil {
			row.Deadline = now.Add(f.Keep()).UnixMilli()
		}
		if names[n] == "" {
			continue
		}
		number, err := next(numbers, names[n], series[names[n]], func(count int) (uint64, error) {
			return s.Next("name/"+string(r.system)+"/"+names[n], count, 0)
		})
		if err != nil {
			return fmt.Errorf("number of a fetchable row: %w", err)
		}
		if row.Name, err = r.outlet.Namer.Name(names[n], number); err != nil {
			return fmt.Errorf("name of a fetchable row: %w", err)
		}
	}
	return nil
}

// next gives consecutive numbers per key; all that are needed are taken at
// once, the first time.
func next[K comparable](given map[K]uint64, key K, count int, take func(int) (uint64, error)) (uint64, error) {
	at, ok := given[key]
	if !ok {
		var err error
		if at, err = take(count); err != nil {
			return 0, err
		}
	}
	given[key] = at + 1
	return at, nil
}

// sampleName is a name like the one the record will get, to see before it is
// offered whether it fits the recipient's format at all.
func (r *recipient) sampleName(rec *record) string {
	if r.outlet.Namer == nil {
		return ""
	}
	series, err := r.outlet.Namer.Series(r.d.opt.Plan().BodyOf(rec.header.System), rec.head.Type, time.UnixMilli(rec.header.ReceivedAt))
	if err != nil {
		return ""
	}
	name, err := r.outlet.Namer.Name(series, 1)
	if err != nil {
		return ""
	}
	return name
}
