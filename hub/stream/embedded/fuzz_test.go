package embedded_test

import (
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"raccordo/hub/stream"
	"raccordo/hub/stream/embedded"
)

// FuzzSegment opens a log whose only segment holds any bytes: it opens or is
// quarantined, reads what it said it has, and goes on writing, all within the
// bounds of memory. Mended ones have right checksums over whatever they hold.
func FuzzSegment(f *testing.F) {
	d := filledDisk(f, 3, 40)
	name := d.segments()[0]
	whole := d.names[name].data
	for _, seed := range [][]byte{whole[:usedBytes(whole)], whole[:4096], whole[:4200], nil, make([]byte, 5000)} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, b []byte, mended bool) {
		if len(b) > smallSegment {
			return
		}
		d := d.clone()
		d.names[name].data = append(append([]byte(nil), b...), make([]byte, smallSegment-len(b))...)
		if mended {
			mend(d.names[name].data)
		}
		l, err := embedded.Open(onDisk(d))
		require.NoError(t, err)
		defer func() { require.NoError(t, l.Close()) }()
		first, next, err := l.Bounds("prompt", 0)
		require.NoError(t, err)
		read := first
		err = l.Read(t.Context(), "prompt", 0, 0, func(o stream.Offset, _ int, _ *message.Message) error {
			require.Equal(t, read, o)
			read++
			return nil
		})
		if l.Fault("prompt") != nil {
			require.ErrorIs(t, err, stream.ErrQuarantined)
			return
		}
		require.NoError(t, err)
		require.Equal(t, next, read)
		require.Equal(t, next, mustAppend(t, l, "prompt", numbered(1, 10))[0])
	})
}

// mend makes every checksum and generation right, as far as lengths lead.
func mend(b []byte) {
	table := crc32.MakeTable(crc32.Castagnoli)
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b[12:4096], table))
	for at := 4096; at+32 <= len(b); {
		length := int(binary.LittleEndian.Uint32(b[at+4:]))
		if length == 0 || at+32+length > len(b) {
			return
		}
		copy(b[at+8:at+16], b[16:24])
		binary.LittleEndian.PutUint32(b[at:], crc32.Checksum(b[at+4:at+32+length], table))
		at += (32 + length + 7) &^ 7
	}
}
