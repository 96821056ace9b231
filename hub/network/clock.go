package network

import (
	"time"
	_ "time/tzdata" // days are days in Europe/Rome, also where the machine has no zone files

	"raccordo/hub/gate"
)

// calendar turns days of agreements into instants.
type calendar struct{ zone *time.Location }

// period is from the first instant of the first day to the first instant after
// the last; an empty until is open. Malformed days give an empty period.
func (c calendar) period(from, until string) gate.Period {
	var p gate.Period
	f, err := time.ParseInLocation(time.DateOnly, from, c.zone)
	if err != nil {
		return p
	}
	if until != "" {
		u, err := time.ParseInLocation(time.DateOnly, until, c.zone)
		if err != nil || u.Before(f) {
			return p
		}
		// The next calendar day, not 24 hours later: two days a year differ.
		p.Until = time.Date(u.Year(), u.Month(), u.Day()+1, 0, 0, 0, 0, c.zone)
	}
	p.From = f
	return p
}
