package embedded

import (
	"hash/crc32"
	"io"

	"raccordo/hub/stream"
)

const readAhead = 256 << 10

// window is a buffered view of a file up to limit.
type window struct {
	file  io.ReaderAt
	limit int64
	off   int64
	buf   []byte
}

// at gives n bytes at pos, valid until the next call. pos+n must not lie above
// the limit.
func (w *window) at(pos int64, n int) ([]byte, error) {
	if pos >= w.off && pos+int64(n) <= w.off+int64(len(w.buf)) {
		return w.buf[pos-w.off:][:n], nil
	}
	want := int(min(max(int64(n), readAhead), w.limit-pos))
	if want < n {
		return nil, io.ErrUnexpectedEOF
	}
	if cap(w.buf) < want || cap(w.buf) > 4*readAhead && want <= readAhead {
		w.buf = make([]byte, max(want, min(readAhead, int(w.limit))))
	}
	w.buf, w.off = w.buf[:want], pos
	if got, err := w.file.ReadAt(w.buf, pos); got < want {
		w.buf = w.buf[:0]
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return w.buf[:n], nil
}

// Reasons why a place is not a record.
const (
	reasonNone       = "no record"
	reasonChecksum   = "a record with a wrong checksum"
	reasonSequence   = "a record with an unexpected offset"
	reasonBody       = "a record whose content is not a list of messages"
	reasonUnreadable = "the file cannot be read"
	reasonFollowed   = "damage followed by a whole record of the same generation"
	reasonShort      = "the segment ends before the next one begins"
	reasonMissing    = "a segment is missing"
	reasonHeader     = "the segment's header is damaged or belongs elsewhere"
	reasonStart      = "the file that names the first segment is damaged"
)

// record reads what stands at pos. An empty reason means that it is whole.
func (w *window) record(pos int64, generation uint64) (recordHead, []byte, string) {
	if w.limit-pos < recordHeader {
		return recordHead{}, nil, reasonNone
	}
	b, err := w.at(pos, recordHeader)
	if err != nil {
		return recordHead{}, nil, reasonUnreadable
	}
	h := parseHead(b)
	if !h.plausible(generation, w.limit-pos) {
		return h, nil, reasonNone
	}
	if b, err = w.at(pos, recordHeader+h.length); err != nil {
		return h, nil, reasonUnreadable
	}
	if crc32.Checksum(b[4:], castagnoli) != h.crc {
		return h, nil, reasonChecksum
	}
	return h, b[recordHeader:], ""
}

// scanned is what a pass over a segment found.
type scanned struct {
	end      int64         // behind the last whole record
	next     stream.Offset // behind its last message
	last     int64         // where the last data record starts; 0 if there is none
	sealed   bool
	reason   string // why it ended; empty at a mark or seal
	followed bool   // a whole record of the same generation lies behind the end
}

// scanSegment visits every whole data record of s in order.
func scanSegment(f io.ReaderAt, s *segment, visit func(pos int64, h recordHead, body []byte) error) scanned {
	w := &window{file: f, limit: s.size}
	out := scanned{end: segmentHeader, next: s.base}
	for {
		h, body, reason := w.record(out.end, s.generation)
		if reason == "" && h.first != out.next {
			reason = reasonSequence
			out.followed = true // whole, but not what must stand here
		}
		if reason == "" && h.kind == kindData {
			if err := visit(out.end, h, body); err != nil {
				reason = reasonBody
				out.followed = true
			}
		}
		if reason != "" || h.kind != kindData {
			out.reason, out.sealed = reason, reason == "" && h.kind == kindSeal
			out.followed = out.followed || reason == reasonUnreadable || w.recordBehind(out.end, s.generation)
			return out
		}
		out.last = out.end
		out.end += h.size()
		out.next += stream.Offset(h.count)
	}
}

// recordBehind looks for a whole record of the generation anywhere behind pos.
// What cannot be read counts as one.
func (w *window) recordBehind(pos int64, generation uint64) bool {
	for pos += recordAlign; w.limit-pos >= recordHeader; pos += recordAlign {
		b, err := w.at(pos, recordHeader)
		if err != nil {
			return true
		}
		if h := parseHead(b); !h.plausible(generation, w.limit-pos) {
			continue
		}
		if _, _, reason := w.record(pos, generation); reason == "" || reason == reasonUnreadable {
			return true
		}
	}
	return false
}
