package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path"
	"strings"

	"raccordo/hub/stream"
)

// segmentHeader is a page of its own, so that no write of a record touches it.
const segmentHeader = 4096

var segmentMagic = [8]byte{'R', 'c', 'S', 'e', 'g', 0, 0, layoutVersion}

// maxOffset keeps sums of offsets and counts from overflowing.
const maxOffset = 1 << 60

// indexStep is the distance in bytes between entries of the index in memory.
const indexStep = 64 << 10

// segment is one file. Fields from end on are guarded by the topic's mutex.
type segment struct {
	number     uint64
	generation uint64
	base       stream.Offset // of its first message
	size       int64         // of the file

	end   int64         // behind the last durable record
	next  stream.Offset // behind the last durable message
	index []indexEntry
	sums  []int64 // of messages per lane before each entry, from the opening of the log
	refs  int     // readers
	file  File    // theirs
}

type indexEntry struct {
	first stream.Offset
	pos   int64
}

func segmentName(number uint64) string { return fmt.Sprintf("%016x.seg", number) }

// parseSegmentName reports whether name is a segment's.
func parseSegmentName(name string) (uint64, bool) {
	var n uint64
	if !strings.HasSuffix(name, ".seg") {
		return 0, false
	}
	if _, err := fmt.Sscanf(name, "%016x.seg", &n); err != nil || segmentName(n) != name {
		return 0, false
	}
	return n, true
}

// encodeSegmentHeader gives the first page:
//
//	0 magic; 8 crc32c of the page from 12; 12 length of the topic's name;
//	16 generation; 24 number; 32 first offset; 40 name of the topic
func encodeSegmentHeader(s *segment, topic string) []byte {
	b := make([]byte, segmentHeader)
	copy(b, segmentMagic[:])
	binary.LittleEndian.PutUint32(b[12:], uint32(len(topic)))
	binary.LittleEndian.PutUint64(b[16:], s.generation)
	binary.LittleEndian.PutUint64(b[24:], s.number)
	binary.LittleEndian.PutUint64(b[32:], uint64(s.base))
	copy(b[40:], topic)
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b[12:], castagnoli))
	return b
}

var errSegmentHeader = errors.New("the segment's header is damaged")

// decodeSegmentHeader reads a first page.
func decodeSegmentHeader(b []byte) (*segment, string, error) {
	if len(b) != segmentHeader || [8]byte(b[:8]) != segmentMagic ||
		binary.LittleEndian.Uint32(b[8:]) != crc32.Checksum(b[12:], castagnoli) {
		return nil, "", errSegmentHeader
	}
	n := binary.LittleEndian.Uint32(b[12:])
	if n > maxName {
		return nil, "", errSegmentHeader
	}
	s := &segment{
		generation: binary.LittleEndian.Uint64(b[16:]),
		number:     binary.LittleEndian.Uint64(b[24:]),
		base:       stream.Offset(binary.LittleEndian.Uint64(b[32:])),
		end:        segmentHeader,
	}
	s.next = s.base
	if s.base < 1 || s.base > maxOffset || s.generation == 0 {
		return nil, "", errSegmentHeader
	}
	return s, string(b[40 : 40+n]), nil
}

// add notes a durable record of count messages at pos; sums are the messages
// per lane before it.
func (s *segment) add(pos, size int64, count int, sums []int64) {
	if n := len(s.index); n == 0 || pos-s.index[n-1].pos >= indexStep {
		s.index = append(s.index, indexEntry{first: s.next, pos: pos})
		s.sums = append(s.sums, sums...)
	}
	s.end = pos + size
	s.next += stream.Offset(count)
}

// entryFor gives the place of the last index entry at or before offset; false
// if the segment holds nothing.
func (s *segment) entryFor(offset stream.Offset) (int, bool) {
	lo, hi := 0, len(s.index)
	for lo < hi {
		if mid := (lo + hi) / 2; s.index[mid].first <= offset {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo - 1, lo > 0
}

// newGeneration draws the stamp of one life of a segment file.
func newGeneration(random io.Reader) (uint64, error) {
	var b [8]byte
	for {
		if _, err := io.ReadFull(random, b[:]); err != nil {
			return 0, fmt.Errorf("draw a generation: %w", err)
		}
		if g := binary.LittleEndian.Uint64(b[:]); g != 0 {
			return g, nil
		}
	}
}

// createZeroed makes a file of size zero bytes, written and synced, so that
// later writes inside it change no metadata.
func createZeroed(files FileSystem, name string, size int64) (err error) {
	f, err := files.Open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(err, files.Remove(name))
		}
	}()
	zeros := make([]byte, min(1<<20, size))
	for at := int64(0); at < size; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at); err != nil {
			return err
		}
	}
	return f.Sync()
}

// startSegment turns the file from into the segment s of dir and gives it open
// for writing. Its name appears only when its header is durable.
func startSegment(files FileSystem, from, dir, topic string, s *segment) (File, error) {
	f, err := files.Open(from, os.O_RDWR)
	if err != nil {
		return nil, err
	}
	if s.size, err = f.Size(); err == nil {
		_, err = f.WriteAt(encodeSegmentHeader(s, topic), 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = files.Rename(from, path.Join(dir, segmentName(s.number)))
	}
	if err == nil {
		err = files.SyncDir(dir)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
