package sqlite

import (
	"errors"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

// OldestKey is the lowest offset among keys of a class received since a time.
// It looks at them in order of their offsets, so that it is quick where older
// ones are deleted.
func (v *view) OldestKey(class exchange.Class, since int64) (int64, bool, error) {
	return v.oldest("SELECT offset FROM keys WHERE class=? AND received_at>=? ORDER BY offset LIMIT 1", int64(class), since)
}

// OldestWaiting is the earliest reception among waiting rows.
func (v *view) OldestWaiting() (int64, bool, error) {
	return v.oldest("SELECT received_at FROM waiting ORDER BY received_at LIMIT 1")
}

// OldestParked is the earliest reception among parked rows.
func (v *view) OldestParked() (int64, bool, error) {
	return v.oldest("SELECT received_at FROM parked ORDER BY received_at LIMIT 1")
}

// ParkedCount counts parked rows.
func (v *view) ParkedCount() (int, error) {
	n := 0
	err := v.one("SELECT count(*) FROM parked", func(r row) error { n = int(r.int(0)); return nil })
	return n, err
}

func (v *view) oldest(query string, args ...any) (n int64, found bool, err error) {
	err = v.one(query, func(r row) error { n, found = r.int(0), true; return nil }, args...)
	if errors.Is(err, store.ErrNotFound) {
		err = nil
	}
	return n, found, err
}
