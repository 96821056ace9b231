package exchange

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// EntryVersion is the version of the entry header this code writes.
const EntryVersion = 1

// ErrEntry says that bytes are not a ledger entry of a known version.
var ErrEntry = errors.New("not a ledger entry of a known version")

// EntryKind says what an entry of the ledger records. Numbers are fixed.
type EntryKind uint8

// The kinds of entry. Those that hold a fact name its type.
const (
	KindOrigin     EntryKind = 1  // the ledger begins: OriginFact
	KindAdoption   EntryKind = 2  // a network comes into force: AdoptionFact
	KindConsent    EntryKind = 3  // a consent event (package consent)
	KindLink       EntryKind = 4  // two ids are one person, or no longer: LinkFact
	KindDossier    EntryKind = 5  // a dossier opens or closes: DossierFact
	KindStop       EntryKind = 6  // disclosures stopped or resumed: StopFact
	KindSigningKey EntryKind = 7  // a new key, announced under the old: KeyFact
	KindClaim      EntryKind = 8  // fate of a range: claimed, withheld, waiting, parked
	KindSettle     EntryKind = 9  // what became of a claim
	KindRenewal    EntryKind = 10 // open rows decided again before a new attempt
	KindOperator   EntryKind = 11 // an operator's act on parked records: OperatorFact
	KindExpiry     EntryKind = 12 // deadlines of waiting records
	KindSpill      EntryKind = 13 // a recipient too far behind: records to waiting
	KindClock      EntryKind = 14 // an operator confirmed the clock: OperatorFact
)

// IsValid reports whether k is known.
func (k EntryKind) IsValid() bool { return k >= KindOrigin && k <= KindClock }

var kindNames = [...]string{"", "origin", "adoption", "consent", "link", "dossier", "stop", "signing_key",
	"claim", "settle", "renewal", "operator", "expiry", "spill", "clock"}

func (k EntryKind) String() string {
	if !k.IsValid() {
		return "invalid"
	}
	return kindNames[k]
}

// LaneRange is the range of one lane an entry gives its fate to: everything
// after From up to and including To, as positions in the lane.
type LaneRange struct {
	Class Class
	Lane  uint16
	From  Position
	To    Position
}

// Position is a place in a lane: Passed records of the part at Offset, and all
// of every earlier part. The zero of a lane is {-1, 0}.
type Position struct {
	Offset int64
	Passed uint32
}

// Start is the position before the first part of a lane.
func Start() Position { return Position{Offset: -1} }

// Before reports whether p comes before o.
func (p Position) Before(o Position) bool {
	return p.Offset < o.Offset || p.Offset == o.Offset && p.Passed < o.Passed
}

// Entry is one entry of the ledger. Its header (everything but Rows and Fact)
// is the leaf of the Merkle tree; rows and fact stand in it by digest only, so
// that the proof of one row shows no other (protocol.md 4.4).
type Entry struct {
	Seq     uint64
	ID      EntryID
	Kind    EntryKind
	Time    int64  // ledger time, Unix milliseconds
	Network Digest // in force when it was written
	System  SystemID
	Lanes   []LaneRange
	Refers  uint64 // the entry a settle or renewal answers, 0 if none

	Rows []Row
	Fact []byte
}

// MaxEntryRows bounds the rows of one entry: 500 records, each with a row for
// its principal and for up to 30 affected persons and aliases.
const MaxEntryRows = 500 * (MaxAffected + 1)

// AppendLeaf appends the header in the binary form that the tree hashes.
func (e *Entry) AppendLeaf(dst []byte) []byte {
	dst = append(dst, 'R', 'c', 'E', EntryVersion)
	dst = binary.BigEndian.AppendUint64(dst, e.Seq)
	dst = append(dst, e.ID[:]...)
	dst = append(dst, byte(e.Kind))
	dst = binary.BigEndian.AppendUint64(dst, uint64(e.Time))
	dst = append(dst, e.Network[:]...)
	dst = appendText(dst, string(e.System))
	dst = binary.BigEndian.AppendUint64(dst, e.Refers)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(e.Lanes)))
	for _, l := range e.Lanes {
		dst = append(dst, byte(l.Class))
		dst = binary.BigEndian.AppendUint16(dst, l.Lane)
		for _, p := range [2]Position{l.From, l.To} {
			dst = binary.BigEndian.AppendUint64(dst, uint64(p.Offset))
			dst = binary.BigEndian.AppendUint32(dst, p.Passed)
		}
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(e.Rows)))
	root := RowsRoot(AppendRows(nil, e.Rows))
	dst = append(dst, root[:]...)
	fact := Digest{}
	if len(e.Fact) > 0 {
		fact = DigestOf(e.Fact)
	}
	return append(dst, fact[:]...)
}

// Leaf is a decoded header: an [Entry] without rows and fact, and what it
// says of them.
type Leaf struct {
	Entry
	RowCount   uint32
	RowsRoot   Digest
	FactDigest Digest // zero if the entry has no fact
}

// DecodeLeaf reads a whole header. Anything but what [Entry.AppendLeaf] writes
// is [ErrEntry].
func DecodeLeaf(b []byte) (*Leaf, error) {
	if len(b) < 4 || string(b[:3]) != "RcE" || b[3] != EntryVersion {
		return nil, ErrEntry
	}
	r := reader{b: b[4:]}
	l := &Leaf{}
	l.Seq = r.uint(8)
	r.fixed(l.ID[:])
	l.Kind = EntryKind(r.uint(1))
	l.Time = int64(r.uint(8))
	r.fixed(l.Network[:])
	l.System = SystemID(r.text())
	l.Refers = r.uint(8)
	if n := r.count(2, 27); n > 0 {
		l.Lanes = make([]LaneRange, n)
	}
	for i := range l.Lanes {
		x := &l.Lanes[i]
		x.Class = Class(r.uint(1))
		x.Lane = uint16(r.uint(2))
		for _, p := range [2]*Position{&x.From, &x.To} {
			p.Offset = int64(r.uint(8))
			p.Passed = uint32(r.uint(4))
		}
	}
	l.RowCount = uint32(r.uint(4))
	r.fixed(l.RowsRoot[:])
	r.fixed(l.FactDigest[:])
	if r.bad || len(r.b) != 0 || !l.Kind.IsValid() || l.RowCount > MaxEntryRows {
		return nil, ErrEntry
	}
	return l, nil
}

// Part a row plays in its record.
type Part uint8

// The parts. The zero value is invalid.
const (
	PartPrincipal Part = 1 // the person the record is about
	PartAffected  Part = 2 // another person in it
	PartAlias     Part = 3 // another known id of one of them
	PartThing     Part = 4 // no person
)

// RowSize is the size of a row in the ledger, in bytes (at most 100).
const RowSize = 88

// Row accounts one subject of one record for one flow (protocol.md 4.4).
type Row struct {
	Record     RecordID
	Subject    SubjectID
	Flow       Number
	Clause     Number
	State      State // what became of the record for this flow, or of this subject in it
	Mark       Mark
	Part       Part
	Attempt    uint16
	Reason     Reason
	Basis      uint64 // sequence of the consent entry relied on, 0 if none is needed
	Dossier    uint64 // sequence of the dossier entry relied on, 0 if none is needed
	Categories CategorySet
	Sequence   uint64 // per (flow, principal), so that a recipient can discard what is older
}

// AppendRows appends rows in their fixed binary form, [RowSize] bytes each.
func AppendRows(dst []byte, rows []Row) []byte {
	dst = slices.Grow(dst, len(rows)*RowSize)
	for i := range rows {
		r := &rows[i]
		dst = append(dst, r.Record[:]...)
		dst = append(dst, r.Subject[:]...)
		dst = binary.BigEndian.AppendUint32(dst, uint32(r.Flow))
		dst = binary.BigEndian.AppendUint32(dst, uint32(r.Clause))
		dst = append(dst, byte(r.State), byte(r.Mark), byte(r.Part), 0)
		dst = binary.BigEndian.AppendUint16(dst, r.Reason.Number())
		dst = binary.BigEndian.AppendUint16(dst, r.Attempt)
		dst = binary.BigEndian.AppendUint64(dst, r.Basis)
		dst = binary.BigEndian.AppendUint64(dst, r.Dossier)
		c := r.Categories.Bytes()
		dst = append(dst, c[:]...)
		dst = binary.BigEndian.AppendUint64(dst, r.Sequence)
	}
	return dst
}

// DecodeRows reads rows; anything malformed is [ErrEntry].
func DecodeRows(b []byte) ([]Row, error) {
	if len(b)%RowSize != 0 || len(b)/RowSize > MaxEntryRows {
		return nil, ErrEntry
	}
	rows := make([]Row, len(b)/RowSize)
	for i := range rows {
		if err := decodeRow(&rows[i], b[i*RowSize:(i+1)*RowSize]); err != nil {
			return nil, fmt.Errorf("row %d: %w", i, err)
		}
	}
	return rows, nil
}

func decodeRow(out *Row, b []byte) error {
	r := reader{b: b}
	r.fixed(out.Record[:])
	r.fixed(out.Subject[:])
	out.Flow = Number(r.uint(4))
	out.Clause = Number(r.uint(4))
	out.State, out.Mark, out.Part = State(r.uint(1)), Mark(r.uint(1)), Part(r.uint(1))
	zero := r.uint(1)
	reason, err := ReasonFromNumber(uint16(r.uint(2)))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrEntry, err)
	}
	out.Reason = reason
	out.Attempt = uint16(r.uint(2))
	out.Basis, out.Dossier = r.uint(8), r.uint(8)
	var c [16]byte
	r.fixed(c[:])
	out.Categories = CategorySetFromBytes(c)
	out.Sequence = r.uint(8)
	if zero != 0 || !out.State.IsValid() || out.Mark > MarkYes || out.Part < PartPrincipal || out.Part > PartThing {
		return ErrEntry
	}
	return nil
}

// RowsRoot is the RFC 6962 tree hash over encoded rows, zero for none.
func RowsRoot(encoded []byte) Digest {
	n := len(encoded) / RowSize
	if n == 0 {
		return Digest{}
	}
	level := make([]tlog.Hash, n)
	for i := range level {
		level[i] = tlog.RecordHash(encoded[i*RowSize : (i+1)*RowSize])
	}
	return Digest(rowTree(level))
}

// RowProof is the audit path (RFC 6962 section 2.1.1) of row i: with it and
// the row's bytes anyone recomputes the sub-root in the leaf.
func RowProof(encoded []byte, i int) ([]Digest, error) {
	n := len(encoded) / RowSize
	if i < 0 || i >= n {
		return nil, fmt.Errorf("row %d of %d: %w", i, n, ErrEntry)
	}
	level := make([]tlog.Hash, n)
	for j := range level {
		level[j] = tlog.RecordHash(encoded[j*RowSize : (j+1)*RowSize])
	}
	return rowPath(level, i), nil
}

// CheckRowProof reports whether row, the i-th of n, leads to root along path.
func CheckRowProof(row []byte, i, n int, path []Digest, root Digest) bool {
	proof := make(tlog.RecordProof, len(path))
	for j, d := range path {
		proof[j] = tlog.Hash(d)
	}
	return tlog.CheckRecord(proof, int64(n), tlog.Hash(root), int64(i), tlog.RecordHash(row)) == nil
}

// split is the largest power of two smaller than n, for n > 1.
func split(n int) int {
	k := 1
	for k<<1 < n {
		k <<= 1
	}
	return k
}

func rowTree(level []tlog.Hash) tlog.Hash {
	if len(level) == 1 {
		return level[0]
	}
	k := split(len(level))
	return tlog.NodeHash(rowTree(level[:k]), rowTree(level[k:]))
}

func rowPath(level []tlog.Hash, i int) []Digest {
	if len(level) == 1 {
		return nil
	}
	k := split(len(level))
	if i < k {
		return append(rowPath(level[:k], i), Digest(rowTree(level[k:])))
	}
	return append(rowPath(level[k:], i-k), Digest(rowTree(level[:k])))
}
