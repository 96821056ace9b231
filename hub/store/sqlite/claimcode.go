package sqlite

import (
	"encoding/binary"
	"fmt"
	"math"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

// claimVersion is the version of the binary form of a claim's lanes and rows.
const claimVersion = 1

// appendClaim appends lanes and rows of c: integers big-endian, names of flows
// in a table. Lists longer than their counts can say are refused.
func appendClaim(dst []byte, c *store.Claim) ([]byte, error) {
	numbers := map[exchange.FlowID]uint16{}
	var flows []exchange.FlowID
	for i := range c.Rows {
		f := c.Rows[i].Flow
		if _, ok := numbers[f]; !ok {
			numbers[f] = uint16(len(flows))
			flows = append(flows, f)
		}
	}
	if len(c.Lanes) > math.MaxUint16 || len(flows) > math.MaxUint16 {
		return nil, fmt.Errorf("claim of %d lanes and %d flows is too large", len(c.Lanes), len(flows))
	}
	dst = append(dst, claimVersion)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(c.Lanes)))
	for i := range c.Lanes {
		l := &c.Lanes[i]
		dst = append(dst, byte(l.Class))
		dst = binary.BigEndian.AppendUint16(dst, l.Lane)
		for _, p := range [2]exchange.Position{l.From, l.To} {
			dst = binary.BigEndian.AppendUint64(dst, uint64(p.Offset))
			dst = binary.BigEndian.AppendUint32(dst, p.Passed)
		}
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(flows)))
	for _, f := range flows {
		if len(f) > math.MaxUint8 {
			return nil, fmt.Errorf("name of a flow is too long")
		}
		dst = append(append(dst, byte(len(f))), f...)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(c.Rows)))
	for i := range c.Rows {
		r := &c.Rows[i]
		if len(r.Subjects) > math.MaxUint16 || len(r.Basis) > math.MaxUint16 {
			return nil, fmt.Errorf("claim row of %d subjects is too large", len(r.Subjects))
		}
		dst = appendClaimRow(dst, r, numbers[r.Flow])
	}
	return dst, nil
}

func appendClaimRow(dst []byte, r *store.ClaimRow, flow uint16) []byte {
	dst = append(dst, r.Record[:]...)
	dst = binary.BigEndian.AppendUint16(dst, flow)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(r.Subjects)))
	for i := range r.Subjects {
		dst = append(dst, r.Subjects[i][:]...)
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(r.Basis)))
	for _, b := range r.Basis {
		dst = binary.BigEndian.AppendUint64(dst, b)
	}
	dst = binary.BigEndian.AppendUint64(dst, r.Waiting)
	dst = binary.BigEndian.AppendUint16(dst, r.Attempt)
	dst = binary.BigEndian.AppendUint64(dst, r.Sequence)
	return append(dst, byte(r.Mark))
}

// cutter takes fields off a blob until one does not fit.
type cutter struct {
	b   []byte
	bad bool
}

func (c *cutter) take(n int) []byte {
	if c.bad || len(c.b) < n {
		c.bad = true
		return nil
	}
	out := c.b[:n]
	c.b = c.b[n:]
	return out
}

func (c *cutter) uint(n int) uint64 {
	v := uint64(0)
	for _, b := range c.take(n) {
		v = v<<8 | uint64(b)
	}
	return v
}

// count reads how many things of at least size bytes follow.
func (c *cutter) count(n, size int) int {
	k := int(c.uint(n))
	if k*size > len(c.b) {
		c.bad = true
		return 0
	}
	return k
}

// decodeClaim reads what appendClaim wrote; anything else is
// [store.ErrCorrupt].
func decodeClaim(out *store.Claim, b []byte) error {
	c := &cutter{b: b}
	if c.uint(1) != claimVersion {
		return fmt.Errorf("claim of an unknown version: %w", store.ErrCorrupt)
	}
	if n := c.count(2, 27); n > 0 {
		out.Lanes = make([]exchange.LaneRange, n)
	}
	for i := range out.Lanes {
		l := &out.Lanes[i]
		l.Class, l.Lane = exchange.Class(c.uint(1)), uint16(c.uint(2))
		for _, p := range [2]*exchange.Position{&l.From, &l.To} {
			p.Offset, p.Passed = int64(c.uint(8)), uint32(c.uint(4))
		}
	}
	flows := make([]exchange.FlowID, c.count(2, 1))
	for i := range flows {
		flows[i] = exchange.FlowID(c.take(int(c.uint(1))))
	}
	if n := c.count(4, 41); n > 0 {
		out.Rows = make([]store.ClaimRow, n)
	}
	for i := range out.Rows {
		decodeClaimRow(&out.Rows[i], c, flows)
	}
	if c.bad || len(c.b) != 0 {
		return fmt.Errorf("claim: %w", store.ErrCorrupt)
	}
	return nil
}

func decodeClaimRow(r *store.ClaimRow, c *cutter, flows []exchange.FlowID) {
	copy(r.Record[:], c.take(16))
	if f := int(c.uint(2)); f < len(flows) {
		r.Flow = flows[f]
	} else {
		c.bad = true
	}
	if n := c.count(2, 16); n > 0 {
		r.Subjects = make([]exchange.SubjectID, n)
	}
	for i := range r.Subjects {
		copy(r.Subjects[i][:], c.take(16))
	}
	if n := c.count(2, 8); n > 0 {
		r.Basis = make([]uint64, n)
	}
	for i := range r.Basis {
		r.Basis[i] = c.uint(8)
	}
	r.Waiting, r.Attempt, r.Sequence = c.uint(8), uint16(c.uint(2)), c.uint(8)
	r.Mark = exchange.Mark(c.uint(1))
	if r.Mark > exchange.MarkYes {
		c.bad = true
	}
}
