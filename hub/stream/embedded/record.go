package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"strconv"

	"github.com/ThreeDotsLabs/watermill/message"

	"raccordo/hub/stream"
)

// A record, integers little-endian:
//
//	 0  crc32c of everything from 4 to the end of the body
//	 4  length of the body in bytes
//	 8  generation of the segment
//	16  offset of the first message; for marks and seals, of the next one
//	24  number of messages
//	28  kind
//	32  body, then zeros up to a multiple of 8
const (
	recordHeader = 32
	recordAlign  = 8
)

// MaxFrameBytes bounds one Publish (all its messages as stored), and with it
// what a reader ever allocates for one record.
const MaxFrameBytes = 64 << 20

const (
	kindData = 1 // messages
	kindMark = 2 // everything before was durable when this was written; overwritten by the next record
	kindSeal = 3 // the next segment exists
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errBody = errors.New("the body of a record is not a list of messages")

type recordHead struct {
	crc        uint32
	length     int
	generation uint64
	first      stream.Offset
	count      int
	kind       uint32
}

// parseHead reads the fields; they mean nothing before the CRC was compared.
func parseHead(b []byte) recordHead {
	return recordHead{
		crc:        binary.LittleEndian.Uint32(b),
		length:     int(binary.LittleEndian.Uint32(b[4:])),
		generation: binary.LittleEndian.Uint64(b[8:]),
		first:      stream.Offset(binary.LittleEndian.Uint64(b[16:])),
		count:      int(binary.LittleEndian.Uint32(b[24:])),
		kind:       binary.LittleEndian.Uint32(b[28:]),
	}
}

// plausible holds for every record that was ever written where room bytes were
// left; it keeps a lying length from being followed.
func (h recordHead) plausible(generation uint64, room int64) bool {
	if h.generation != generation || h.length > MaxFrameBytes || int64(recordHeader+h.length) > room || h.first < 1 {
		return false
	}
	switch h.kind {
	case kindData:
		return h.count > 0 && h.length >= h.count*messageHeader
	case kindMark, kindSeal:
		return h.count == 0 && h.length == 0
	default:
		return false
	}
}

// size is what the record takes in the segment.
func (h recordHead) size() int64 { return recordSize(h.length) }

func recordSize(body int) int64 {
	return (int64(recordHeader+body) + recordAlign - 1) &^ (recordAlign - 1)
}

// finishRecord fills in the header of a record whose body stands in
// b[recordHeader:], and pads it.
func finishRecord(b []byte, generation uint64, first stream.Offset, count int, kind uint32) []byte {
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-recordHeader))
	binary.LittleEndian.PutUint64(b[8:], generation)
	binary.LittleEndian.PutUint64(b[16:], uint64(first))
	binary.LittleEndian.PutUint32(b[24:], uint32(count))
	binary.LittleEndian.PutUint32(b[28:], kind)
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	for len(b)%recordAlign != 0 {
		b = append(b, 0)
	}
	return b
}

// A message in a body:
//
//	 0  length of the whole message
//	 4  lane
//	 6  length of the UUID
//	 8  number of metadata pairs
//	10  zero
//	12  UUID; pairs (length of 2 bytes, key, length of 4 bytes, value); payload
const messageHeader = 12

// appendMessage appends m. [stream.ErrTooLarge] if a field does not fit.
func appendMessage(dst []byte, m *message.Message, lane int) ([]byte, error) {
	if len(m.UUID) > math.MaxUint16 || len(m.Metadata) > math.MaxUint16 || len(m.Payload) > MaxFrameBytes {
		return dst, fmt.Errorf("message: %w", stream.ErrTooLarge)
	}
	start := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(lane))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(m.UUID)))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(m.Metadata)))
	dst = binary.LittleEndian.AppendUint16(dst, 0)
	dst = append(dst, m.UUID...)
	for k, v := range m.Metadata {
		if len(k) > math.MaxUint16 || len(v) > MaxFrameBytes {
			return dst[:start], fmt.Errorf("metadata: %w", stream.ErrTooLarge)
		}
		dst = binary.LittleEndian.AppendUint16(dst, uint16(len(k)))
		dst = append(dst, k...)
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(v)))
		dst = append(dst, v...)
	}
	dst = append(dst, m.Payload...)
	if len(dst) > MaxFrameBytes {
		return dst[:start], fmt.Errorf("messages of more than %d bytes: %w", MaxFrameBytes, stream.ErrTooLarge)
	}
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(dst)-start))
	return dst, nil
}

// laneOfMessage reads the lane from the metadata, 0 if there is none.
func laneOfMessage(m *message.Message, lanes int) (int, error) {
	text, ok := m.Metadata[stream.MetaLane]
	if !ok {
		return 0, nil
	}
	lane, err := strconv.Atoi(text)
	if err != nil || lane < 0 || lane >= lanes {
		return 0, fmt.Errorf("not one of %d lanes: %w", lanes, ErrLane)
	}
	return lane, nil
}

// cutMessage takes the first message off a body whose CRC was right.
func cutMessage(body []byte) (one, rest []byte, lane int, err error) {
	if len(body) < messageHeader {
		return nil, nil, 0, errBody
	}
	n := int(binary.LittleEndian.Uint32(body))
	if n < messageHeader || n > len(body) {
		return nil, nil, 0, errBody
	}
	return body[:n], body[n:], int(binary.LittleEndian.Uint16(body[4:])), nil
}

// countLanes adds the messages of a body to counts, and checks that there are
// exactly count of them, of known lanes.
func countLanes(body []byte, count int, counts []int64) error {
	for range count {
		_, rest, lane, err := cutMessage(body)
		if err != nil {
			return err
		}
		if lane >= len(counts) {
			return fmt.Errorf("lane %d of %d: %w", lane, len(counts), errBody)
		}
		counts[lane]++
		body = rest
	}
	if len(body) != 0 {
		return errBody
	}
	return nil
}

// decodeMessage reads one message as cut; the result shares no memory with it.
func decodeMessage(one []byte) (*message.Message, error) {
	uuid := int(binary.LittleEndian.Uint16(one[6:]))
	pairs := int(binary.LittleEndian.Uint16(one[8:]))
	b := one[messageHeader:]
	if len(b) < uuid {
		return nil, errBody
	}
	m := message.NewMessage(string(b[:uuid]), nil)
	b = b[uuid:]
	for range pairs {
		var k, v []byte
		if len(b) < 2 {
			return nil, errBody
		}
		if k, b = split(b[2:], int(binary.LittleEndian.Uint16(b))); len(b) < 4 {
			return nil, errBody
		}
		n := int(binary.LittleEndian.Uint32(b))
		if n > len(b)-4 {
			return nil, errBody
		}
		v, b = split(b[4:], n)
		m.Metadata[string(k)] = string(v)
	}
	m.Payload = append(make([]byte, 0, len(b)), b...)
	return m, nil
}

// split cuts b at n; past the end it gives nothing.
func split(b []byte, n int) (head, rest []byte) {
	if n > len(b) {
		return nil, nil
	}
	return b[:n], b[n:]
}
