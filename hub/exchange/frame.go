package exchange

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sort"
)

// FrameVersion is the version of the header this code writes. A reader refuses
// a version it does not know; it never guesses.
const FrameVersion = 1

var frameMagic = [4]byte{'R', 'c', 'F', FrameVersion}

// ErrFrame says that bytes are not a frame header of a known version.
var ErrFrame = errors.New("not a frame header of a known version")

// Bounds of a header; a decoder refuses more, an encoder too.
const (
	MaxFrameRecords  = 10_000
	MaxAffected      = 30
	MaxRecordFlows   = 64
	MaxPointerLength = 256
)

// Header is what stands in clear before the sealed bytes of one part of a
// frame (protocol.md 2.4). It names no person and holds no value of a record:
// ids, routing and digests only.
type Header struct {
	Hub        HubID
	Frame      FrameID
	System     SystemID // who pushed
	KeyMAC     Digest   // MAC of the Idempotency-Key under the system
	BodyDigest Digest   // SHA-256 of the request body's bytes
	Network    Digest   // the network under which the records were routed
	ReceivedAt int64    // Unix milliseconds, UTC
	Class      Class
	Lane       uint16
	Part       uint16 // k, from 1
	Parts      uint16 // n
	Records    []RecordHeader
}

// RecordHeader routes one record of a part.
type RecordHeader struct {
	Record    RecordID
	Line      uint32 // of the request, from 1
	Type      RecordType
	Version   string // of the canonical schema, MAJOR.MINOR.PATCH
	Thing     bool   // the principal is a thing, not a person
	Principal SubjectID
	Affected  []Affected
	Flows     []FlowID // routed at intake, never again
}

// Affected is another person the record says something about, and where in
// the tree. An alias is no further person: it is another known id of whoever
// stands at that place, not (yet) linked; only the restrictions recorded under
// it bind the record (protocol.md 2.3).
type Affected struct {
	Subject SubjectID
	Place   Pointer
	Alias   bool
}

// AppendHeader appends the binary form of h to dst. The form is fixed (golden
// bytes in testdata); integers are big-endian, texts are length-prefixed,
// record types, versions and flows are numbered in a table of their own.
func AppendHeader(dst []byte, h *Header) ([]byte, error) {
	if err := h.check(); err != nil {
		return nil, err
	}
	table, numbers := h.names()
	start := len(dst)
	dst = append(dst, frameMagic[:]...)
	dst = append(dst, 0, 0, 0, 0) // length, patched below
	dst = append(dst, h.Hub[:]...)
	dst = append(dst, h.Frame[:]...)
	dst = appendText(dst, string(h.System))
	dst = append(dst, h.KeyMAC[:]...)
	dst = append(dst, h.BodyDigest[:]...)
	dst = append(dst, h.Network[:]...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(h.ReceivedAt))
	dst = append(dst, byte(h.Class))
	dst = binary.BigEndian.AppendUint16(dst, h.Lane)
	dst = binary.BigEndian.AppendUint16(dst, h.Part)
	dst = binary.BigEndian.AppendUint16(dst, h.Parts)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(table)))
	for _, s := range table {
		dst = appendText(dst, s)
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(h.Records)))
	for i := range h.Records {
		dst = appendRecord(dst, &h.Records[i], numbers)
	}
	binary.BigEndian.PutUint32(dst[start+4:], uint32(len(dst)-start))
	return dst, nil
}

func appendRecord(dst []byte, r *RecordHeader, numbers map[string]uint16) []byte {
	dst = append(dst, r.Record[:]...)
	dst = binary.BigEndian.AppendUint32(dst, r.Line)
	dst = binary.BigEndian.AppendUint16(dst, numbers[string(r.Type)])
	dst = binary.BigEndian.AppendUint16(dst, numbers[r.Version])
	dst = append(dst, flag(r.Thing))
	dst = append(dst, r.Principal[:]...)
	dst = append(dst, byte(len(r.Affected)))
	for _, a := range r.Affected {
		dst = append(dst, a.Subject[:]...)
		dst = append(dst, flag(a.Alias))
		dst = appendText(dst, string(a.Place))
	}
	dst = append(dst, byte(len(r.Flows)))
	for _, f := range r.Flows {
		dst = binary.BigEndian.AppendUint16(dst, numbers[string(f)])
	}
	return dst
}

func (h *Header) check() error {
	switch {
	case len(h.Records) > MaxFrameRecords:
		return fmt.Errorf("%d records in a part: %w", len(h.Records), ErrFrame)
	case len(h.System) > math.MaxUint8 || !ValidName(string(h.System)):
		return fmt.Errorf("system name: %w", ErrFrame)
	case h.Class != ClassPrompt && h.Class != ClassBulk:
		return fmt.Errorf("class: %w", ErrFrame)
	case h.Part == 0 || h.Part > h.Parts:
		return fmt.Errorf("part %d of %d: %w", h.Part, h.Parts, ErrFrame)
	}
	for i := range h.Records {
		if err := h.Records[i].check(); err != nil {
			return fmt.Errorf("record %d: %w", i, err)
		}
	}
	return nil
}

func (r *RecordHeader) check() error {
	if len(r.Affected) > MaxAffected || len(r.Flows) > MaxRecordFlows || len(r.Version) > 32 || !ValidName(string(r.Type)) {
		return ErrFrame
	}
	for _, a := range r.Affected {
		if len(a.Place) > MaxPointerLength {
			return ErrFrame
		}
	}
	for _, f := range r.Flows {
		if !ValidName(string(f)) {
			return ErrFrame
		}
	}
	return nil
}

// names is the sorted table of record types, versions and flows, and the
// number of each.
func (h *Header) names() ([]string, map[string]uint16) {
	numbers := map[string]uint16{}
	for i := range h.Records {
		r := &h.Records[i]
		numbers[string(r.Type)], numbers[r.Version] = 0, 0
		for _, f := range r.Flows {
			numbers[string(f)] = 0
		}
	}
	table := make([]string, 0, len(numbers))
	for s := range numbers {
		table = append(table, s)
	}
	sort.Strings(table)
	for i, s := range table {
		numbers[s] = uint16(i)
	}
	return table, numbers
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func appendText(dst []byte, s string) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(s)))
	return append(dst, s...)
}

// DecodeHeader reads a header from the start of b and gives the bytes after
// it. Anything but exactly what [AppendHeader] writes is [ErrFrame].
func DecodeHeader(b []byte) (*Header, []byte, error) {
	if len(b) < 8 || !bytes.Equal(b[:4], frameMagic[:]) {
		return nil, nil, ErrFrame
	}
	n := int(binary.BigEndian.Uint32(b[4:]))
	if n < 8 || n > len(b) {
		return nil, nil, ErrFrame
	}
	r := reader{b: b[8:n]}
	h := &Header{}
	r.fixed(h.Hub[:])
	r.fixed(h.Frame[:])
	h.System = SystemID(r.text())
	r.fixed(h.KeyMAC[:])
	r.fixed(h.BodyDigest[:])
	r.fixed(h.Network[:])
	h.ReceivedAt = int64(r.uint(8))
	h.Class = Class(r.uint(1))
	h.Lane = uint16(r.uint(2))
	h.Part = uint16(r.uint(2))
	h.Parts = uint16(r.uint(2))
	table := make([]string, r.count(2, 2))
	for i := range table {
		table[i] = r.text()
	}
	h.Records = make([]RecordHeader, r.count(2, 40))
	for i := range h.Records {
		r.record(&h.Records[i], table)
	}
	if r.bad || len(r.b) != 0 {
		return nil, nil, ErrFrame
	}
	again, err := AppendHeader(nil, h)
	if err != nil || !bytes.Equal(again, b[:n]) {
		return nil, nil, ErrFrame
	}
	return h, b[n:], nil
}

// reader reads fields until one does not fit; then it is bad and yields zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || len(r.b) < n {
		r.bad = true
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) fixed(dst []byte) { copy(dst, r.take(len(dst))) }

func (r *reader) uint(n int) uint64 {
	var v uint64
	for _, c := range r.take(n) {
		v = v<<8 | uint64(c)
	}
	return v
}

// count reads a count of n bytes of things that take at least size bytes each,
// so that a lying count cannot make us allocate more than was sent.
func (r *reader) count(n, size int) int {
	c := int(r.uint(n))
	if c*size > len(r.b) {
		r.bad = true
		return 0
	}
	return c
}

func (r *reader) text() string { return string(r.take(int(r.uint(2)))) }

func (r *reader) name(table []string) string {
	i := int(r.uint(2))
	if i >= len(table) {
		r.bad = true
		return ""
	}
	return table[i]
}

func (r *reader) record(out *RecordHeader, table []string) {
	r.fixed(out.Record[:])
	out.Line = uint32(r.uint(4))
	out.Type = RecordType(r.name(table))
	out.Version = r.name(table)
	out.Thing = r.uint(1) == 1
	r.fixed(out.Principal[:])
	if n := r.count(1, 19); n > 0 {
		out.Affected = make([]Affected, n)
	}
	for i := range out.Affected {
		r.fixed(out.Affected[i].Subject[:])
		out.Affected[i].Alias = r.uint(1) == 1
		out.Affected[i].Place = Pointer(r.text())
	}
	if n := r.count(1, 2); n > 0 {
		out.Flows = make([]FlowID, n)
	}
	for i := range out.Flows {
		out.Flows[i] = FlowID(r.name(table))
	}
}

// Lane is the lane of a principal: the first four bytes of its id modulo the
// number of lanes (protocol.md 2.6).
func Lane(principal SubjectID, lanes int) uint16 {
	return uint16(binary.BigEndian.Uint32(principal[:4]) % uint32(lanes))
}
