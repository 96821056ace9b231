package delivery

import (
	"fmt"
	"time"

	"raccordo/hub/exchange"
	"raccordo/hub/gate"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
)

// offer makes a permitted record fetchable: it waits for the recipient to come.
// What is claimed is claimed at the fetch (protocol.md 6.2).
func (r *recipient) offer(rec *record, i int, s *ledger.State, f *fates, env *setAside, d *gate.Decision) error {
	row, err := rec.waiting(store.RowID(s.Seq, i), store.EventFetch, exchange.ReasonAwaitingFetch, env)
	if err != nil {
		return err
	}
	if err := r.makeFetchable(&row, rec, s); err != nil {
		return err
	}
	r.putWaiting(rec, row, f)
	f.change.Draft.Rows = append(f.change.Draft.Rows, rec.rows(exchange.StateWaiting, exchange.ReasonAwaitingFetch, d)...)
	return nil
}

// makeFetchable gives a row its time, strictly increasing per recipient system
// and producing body, and, the first time, its name. Both are given under the
// head lock, so that a pager never misses one (protocol.md 6.3).
func (r *recipient) makeFetchable(row *store.WaitingRow, rec *record, s *ledger.State) error {
	now := s.Facts.Now()
	counter := "fetchable/" + string(r.system) + "/" + string(row.Body)
	at, err := s.Next(counter, 1, uint64(now.UnixMilli()))
	if err != nil {
		return fmt.Errorf("time of a fetchable row: %w", err)
	}
	row.Fetchable = int64(at)
	if rec.flow != nil {
		row.Deadline = now.Add(rec.flow.Keep()).UnixMilli()
	}
	if row.Name != "" || r.outlet.Namer == nil {
		return nil
	}
	series, err := r.outlet.Namer.Series(row.Body, rec.head.Type, now)
	if err != nil {
		return fmt.Errorf("series of a fetchable row: %w", err)
	}
	number, err := s.Next("name/"+string(r.system)+"/"+series, 1, 0)
	if err != nil {
		return fmt.Errorf("number of a fetchable row: %w", err)
	}
	if row.Name, err = r.outlet.Namer.Name(series, number); err != nil {
		return fmt.Errorf("name of a fetchable row: %w", err)
	}
	return nil
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
