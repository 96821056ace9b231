package keys

import (
	"errors"
	"fmt"
	"time"

	"raccordo/hub/exchange"
)

// The errors of a keyring, the same for every engine.
var (
	// ErrUnavailable says that the keys cannot be reached or written now. It is
	// never a statement about the data: nothing may be dropped because of it.
	ErrUnavailable = errors.New("keys are not available")
	// ErrUnknownKey is an [ErrUnavailable]: the data name a key that this
	// keyring never had, as after a restore of an older keyring.
	ErrUnknownKey = fmt.Errorf("the key is not in this keyring: %w", ErrUnavailable)
	// ErrDestroyed says that the data key was destroyed on purpose: what it
	// sealed cannot be read again, by anybody, ever.
	ErrDestroyed = errors.New("the data key was destroyed")
	// ErrBadSeal says that bytes were not sealed by this keyring with this
	// additional data, or were altered since.
	ErrBadSeal = errors.New("not a seal of this keyring")
	// ErrConflict says that the state of a key does not allow the change, such
	// as retiring the newest version of a digest key.
	ErrConflict = errors.New("the state of the key does not allow it")
)

// Place is where sealed payloads rest. Each place has data keys of its own, so
// that what is over in one place can be destroyed while the other still needs
// its copy (protocol.md 8.3). The numbers stand in sealed bytes: fixed for ever.
type Place uint8

// The places. The zero value is invalid.
const (
	PlaceStream   Place = 1 // frames in the stream
	PlaceWaiting  Place = 2 // records set aside for an event
	PlaceParked   Place = 3 // records set aside for a human
	PlaceEvidence Place = 4 // evidence of consents
)

// Places are all places in the order of their numbers.
func Places() []Place { return []Place{PlaceStream, PlaceWaiting, PlaceParked, PlaceEvidence} }

// IsValid reports whether p is one of the places.
func (p Place) IsValid() bool { return p >= PlaceStream && p <= PlaceEvidence }

var placeNames = [...]string{"", "stream", "waiting", "parked", "evidence"}

func (p Place) String() string {
	if !p.IsValid() {
		return "invalid"
	}
	return placeNames[p]
}

// ParsePlace reads the text form.
func ParsePlace(s string) (Place, error) {
	for _, p := range Places() {
		if placeNames[p] == s {
			return p, nil
		}
	}
	return 0, errors.New("place must be stream, waiting, parked or evidence")
}

// Day is a date in UTC: days since 1970-01-01.
type Day int32

const secondsOfDay = 24 * 60 * 60

// DayOf is the day of t in UTC.
func DayOf(t time.Time) Day {
	s := t.Unix()
	d := s / secondsOfDay
	if s%secondsOfDay < 0 {
		d--
	}
	return Day(d)
}

// Start is the first moment of d.
func (d Day) Start() time.Time { return time.Unix(int64(d)*secondsOfDay, 0).UTC() }

// String is the date as YYYY-MM-DD.
func (d Day) String() string { return d.Start().Format(time.DateOnly) }

// ParseDay reads YYYY-MM-DD.
func ParseDay(s string) (Day, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return 0, errors.New("day must be YYYY-MM-DD")
	}
	return DayOf(t), nil
}

// VersionedDigest is a keyed digest and the version of the digest key that
// made it. Versions count from 1.
type VersionedDigest struct {
	Version uint32
	Digest  exchange.Digest
}
