package exchange

import (
	"encoding/binary"
	"fmt"
)

// MaxPartBytes bounds one part of a frame, header and sealed bytes together.
const MaxPartBytes = 64 << 20

// FramePart is one part of a frame as it travels in the stream: one Watermill
// message. Everything but the header is sealed.
type FramePart struct {
	Header       *Header
	HeaderDigest Digest
	// Acknowledgement is the sender's whole answer, refused lines included, so
	// that a repeated request gets the same; part 1 only, sealed with
	// [AcknowledgementAAD].
	Acknowledgement []byte
	// Records are the canonical records, each sealed alone with [RecordAAD].
	Records [][]byte
}

// AppendPart appends the binary form of a part whose encoded header is header.
func AppendPart(dst, header, acknowledgement []byte, records [][]byte) []byte {
	dst = append(dst, header...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(acknowledgement)))
	dst = append(dst, acknowledgement...)
	for _, r := range records {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(r)))
		dst = append(dst, r...)
	}
	return dst
}

// DecodePart reads a part; the result refers to b.
func DecodePart(b []byte) (*FramePart, error) {
	if len(b) > MaxPartBytes {
		return nil, fmt.Errorf("part of %d bytes: %w", len(b), ErrFrame)
	}
	h, rest, err := DecodeHeader(b)
	if err != nil {
		return nil, err
	}
	p := &FramePart{Header: h, HeaderDigest: DigestOf(b[:len(b)-len(rest)])}
	r := reader{b: rest}
	p.Acknowledgement = r.take(int(r.uint(4)))
	p.Records = make([][]byte, len(h.Records))
	for i := range p.Records {
		p.Records[i] = r.take(int(r.uint(4)))
	}
	if r.bad || len(r.b) != 0 {
		return nil, ErrFrame
	}
	return p, nil
}

// RecordAAD binds a sealed record to its place: frame, lane, index and header
// (protocol.md 2.4).
func RecordAAD(h *Header, digest Digest, index int) []byte {
	b := make([]byte, 0, 64)
	b = append(b, "rec1"...)
	b = append(b, h.Frame[:]...)
	b = binary.BigEndian.AppendUint16(b, h.Lane)
	b = binary.BigEndian.AppendUint32(b, uint32(index))
	return append(b, digest[:]...)
}

// AcknowledgementAAD binds a sealed acknowledgement to its frame.
func AcknowledgementAAD(h *Header, digest Digest) []byte {
	b := append(make([]byte, 0, 56), "ack1"...)
	b = append(b, h.Frame[:]...)
	return append(b, digest[:]...)
}

// Alone is the header of one record of h by itself: what a record that is set
// aside keeps, and what its payload is then sealed with.
func (h *Header) Alone(index int) *Header {
	c := *h
	c.Records = []RecordHeader{h.Records[index]}
	return &c
}
