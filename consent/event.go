package consent

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"raccordo/hub/exchange"
)

// EventVersion is the version of the event this code writes. A reader refuses
// one it does not know.
const EventVersion = 1

var eventMagic = [4]byte{'R', 'c', 'C', EventVersion}

// ErrEvent says that bytes are not a consent event of a known version, or that
// a record cannot be one.
var ErrEvent = errors.New("not a consent event of a known version")

// MaxRecordTypes bounds the record types of one consent.
const MaxRecordTypes = 32

// AppendEvent appends the canonical bytes of r, the fact a ledger entry of the
// kind consent holds: magic and version, then every field in a fixed order,
// integers big-endian, texts behind their length in one byte. The whole scope
// and the expiry are in it, so that a verifier needs no earlier event.
func AppendEvent(dst []byte, r *Record) ([]byte, error) {
	if err := r.check(); err != nil {
		return dst, err
	}
	dst = append(dst, eventMagic[:]...)
	dst = append(dst, r.ID[:]...)
	dst = append(dst, r.Subject[:]...)
	dst = appendText(dst, string(r.Purpose))
	dst = appendText(dst, string(r.Body))
	dst = appendText(dst, string(r.Role))
	set := r.Categories.Bytes()
	dst = append(dst, set[:]...)
	dst = append(dst, byte(len(r.RecordTypes)))
	for _, t := range r.RecordTypes {
		dst = appendText(dst, string(t))
	}
	dst = appendText(dst, r.Notice.ID)
	dst = appendText(dst, r.Notice.Version)
	dst = appendText(dst, r.Notice.Language)
	dst = append(dst, r.Notice.Hash[:]...)
	dst = append(dst, r.Status.number(), byte(slices.Index(bys, r.By)), byte(slices.Index(methods, r.Method)))
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.At))
	dst = append(dst, r.Commitment[:]...)
	dst = appendText(dst, string(r.RecordedBy))
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.GivenAt))
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.ExpiresAt))
	return binary.BigEndian.AppendUint64(dst, r.GivenSeq), nil
}

func appendText(dst []byte, s string) []byte {
	return append(append(dst, byte(len(s))), s...)
}

// DecodeEvent reads what [AppendEvent] wrote. Anything but exactly that is
// [ErrEvent].
func DecodeEvent(b []byte) (*Record, error) {
	if !bytes.HasPrefix(b, eventMagic[:]) {
		return nil, ErrEvent
	}
	d := decoder{b: b[len(eventMagic):]}
	r := &Record{}
	d.fixed(r.ID[:])
	d.fixed(r.Subject[:])
	r.Purpose = exchange.PurposeID(d.text())
	r.Body = exchange.BodyID(d.text())
	r.Role = exchange.Role(d.text())
	var set [16]byte
	d.fixed(set[:])
	r.Categories = exchange.CategorySetFromBytes(set)
	for range d.byte() {
		r.RecordTypes = append(r.RecordTypes, exchange.RecordType(d.text()))
	}
	r.Notice.ID, r.Notice.Version, r.Notice.Language = d.text(), d.text(), d.text()
	d.fixed(r.Notice.Hash[:])
	r.Status = statusFromNumber(d.byte())
	r.By, r.Method = pick(&d, bys), pick(&d, methods)
	r.At = int64(d.uint64())
	d.fixed(r.Commitment[:])
	r.RecordedBy = exchange.SystemID(d.text())
	r.GivenAt = int64(d.uint64())
	r.ExpiresAt = int64(d.uint64())
	r.GivenSeq = d.uint64()
	// Every field has one encoding, so that what is left and what check refuses
	// are the only ways to be another text of the same event.
	if d.bad || len(d.b) != 0 || r.check() != nil {
		return nil, ErrEvent
	}
	return r, nil
}

type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n int) []byte {
	if d.bad || len(d.b) < n {
		d.bad = true
		return nil
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) fixed(dst []byte) { copy(dst, d.take(len(dst))) }

func (d *decoder) byte() byte {
	if b := d.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (d *decoder) text() string { return string(d.take(int(d.byte()))) }

func (d *decoder) uint64() uint64 {
	if b := d.take(8); len(b) == 8 {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func pick[T any](d *decoder, table []T) T {
	i := int(d.byte())
	if i >= len(table) {
		d.bad = true
		i = 0
	}
	return table[i]
}

// check holds a record to what an event may hold. It is what keeps free text
// and personal data out of the ledger.
func (r *Record) check() error {
	bad := func(what string) error { return fmt.Errorf("%s: %w", what, ErrEvent) }
	switch {
	case r.ID == exchange.ConsentID{}:
		return bad("consent id")
	case r.Subject == exchange.SubjectID{}:
		return bad("subject")
	case !exchange.ValidName(string(r.Purpose)):
		return bad("purpose")
	case !exchange.ValidName(string(r.Body)):
		return bad("body")
	case !exchange.ValidName(string(r.Role)):
		return bad("role")
	case !validTypes(r.RecordTypes):
		return bad("record types")
	case r.Notice != Notice{} && !r.Notice.valid():
		return bad("notice")
	case !r.Status.IsValid():
		return bad("status")
	case r.By != "" && !r.By.IsValid():
		return bad("by")
	case r.Method != "" && !r.Method.IsValid():
		return bad("method")
	case r.RecordedBy != "" && !exchange.ValidName(string(r.RecordedBy)):
		return bad("recorded by")
	case r.At <= 0 || r.GivenAt < 0 || r.ExpiresAt < 0:
		return bad("times")
	case r.Status.Permits() && (r.GivenAt == 0 || r.GivenSeq != 0):
		return bad("a give without its moment, or with another's sequence")
	}
	return nil
}

func validTypes(types []exchange.RecordType) bool {
	if len(types) > MaxRecordTypes {
		return false
	}
	for i, t := range types {
		if !exchange.ValidName(string(t)) || i > 0 && types[i-1] >= t {
			return false
		}
	}
	return true
}

func (n Notice) valid() bool {
	return exchange.ValidName(n.ID) && validVersion(n.Version) && validLanguage(n.Language) &&
		n.Hash != exchange.Digest{}
}

func validVersion(s string) bool {
	if len(s) == 0 || len(s) > 32 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '.', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

func validLanguage(s string) bool {
	return len(s) == 2 && s[0] >= 'a' && s[0] <= 'z' && s[1] >= 'a' && s[1] <= 'z'
}
