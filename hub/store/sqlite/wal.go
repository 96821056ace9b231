package sqlite

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"raccordo/hub/store"
)

// Sizes of the write-ahead log's parts (sqlite.org/fileformat2.html section 4).
const (
	logHeaderSize   = 32
	frameHeaderSize = 24
)

// checkLog reads a write-ahead log before SQLite recovers it. SQLite ends the
// log at the first frame whose checksum is wrong, which is right for the torn
// end of a transaction nobody was told of, and silently loses what was
// acknowledged if the frame was damaged later. The two differ: a transaction
// is only written after the one before is synced, so that a whole later
// transaction behind a bad frame means damage, [store.ErrCorrupt]. Damage in
// the last transaction of the log looks like a torn end and is not seen here;
// the log is emptied at every opening, closing and pause to keep that short.
func checkLog(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := (&logReader{r: bufio.NewReaderSize(f, 1<<20)}).check(); err != nil {
		return fmt.Errorf("write-ahead log: %w", err)
	}
	return nil
}

// checksum is the pair of sums that runs through a log.
type checksum [2]uint32

func (c checksum) over(b []byte, order binary.ByteOrder) checksum {
	for ; len(b) >= 8; b = b[8:] {
		c[0] += order.Uint32(b) + c[1]
		c[1] += order.Uint32(b[4:]) + c[0]
	}
	return c
}

func storedSum(b []byte) checksum {
	return checksum{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])}
}

type logReader struct {
	r     io.Reader
	order binary.ByteOrder // of the words that are summed
	salt  [8]byte
	sum   checksum // stored in the frame (or header) before
	page  []byte
}

// header is false for a log that holds nothing.
func (l *logReader) header() (bool, error) {
	var h [logHeaderSize]byte
	if _, err := io.ReadFull(l.r, h[:]); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return false, nil
		}
		return false, err
	}
	if h == [logHeaderSize]byte{} {
		return false, nil // created, and its first bytes never reached the disk
	}
	switch binary.BigEndian.Uint32(h[:]) {
	case 0x377f0682:
		l.order = binary.LittleEndian
	case 0x377f0683:
		l.order = binary.BigEndian
	default:
		return false, fmt.Errorf("header: %w", store.ErrCorrupt)
	}
	size := binary.BigEndian.Uint32(h[8:])
	l.sum = checksum{}.over(h[:24], l.order)
	if l.sum != storedSum(h[24:]) || size < 512 || size > 65536 || size&(size-1) != 0 {
		return false, fmt.Errorf("header: %w", store.ErrCorrupt)
	}
	copy(l.salt[:], h[16:24])
	l.page = make([]byte, size)
	return true, nil
}

// frame reads one frame: whether it belongs to this log, follows the one
// before by its checksum, and ends a transaction.
func (l *logReader) frame() (ours, good, commit bool, err error) {
	var h [frameHeaderSize]byte
	if _, err := io.ReadFull(l.r, h[:]); err != nil {
		return false, false, false, err
	}
	if _, err := io.ReadFull(l.r, l.page); err != nil {
		return false, false, false, err
	}
	stored := storedSum(h[16:])
	good = l.sum.over(h[:8], l.order).over(l.page, l.order) == stored
	l.sum = stored
	return [8]byte(h[8:16]) == l.salt, good, binary.BigEndian.Uint32(h[4:]) != 0, nil
}

func (l *logReader) check() error {
	if some, err := l.header(); !some || err != nil {
		return err
	}
	broken, ended := false, false // a bad frame was met; its transaction's end was met
	for i := 1; ; i++ {
		ours, good, commit, err := l.frame()
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return err
		case !broken && ours && good:
			continue
		case ended && ours && good && commit:
			return fmt.Errorf("a frame before frame %d is damaged, whole transactions stand behind it: %w", i, store.ErrCorrupt)
		}
		broken = true
		ended = ended || ours && commit
	}
}
