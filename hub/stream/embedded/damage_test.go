package embedded_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"raccordo/hub/stream"
	"raccordo/hub/stream/embedded"
)

// filledDisk is a closed log of n messages over several segments.
func filledDisk(t testing.TB, n, size int) *disk {
	d := newDisk()
	l, err := embedded.Open(onDisk(d))
	require.NoError(t, err)
	for i := range n {
		mustAppend(t, l, "prompt", numbered(i, size))
	}
	require.NoError(t, l.Close())
	return d
}

// readAll reads everything; every message served is checked. Messages are
// numbered from 0.
func readAll(l *embedded.Log) (stream.Offset, error) {
	want := stream.Offset(1)
	err := l.Read(ctxBackground, "prompt", 0, 0, func(o stream.Offset, _ int, m *message.Message) error {
		if o != want {
			return fmt.Errorf("offset %d where %d was due", o, want)
		}
		want++
		return checkNumbered(m, int(o)-1)
	})
	return want, err
}

// One flipped bit anywhere in the segments is quarantine or harmless: a wrong
// message is never served, and none is missing without a word.
func TestFlippedBits(t *testing.T) {
	const n = 60
	pristine := filledDisk(t, n, 3000)
	names := pristine.segments()
	require.Greater(t, len(names), 2)
	random := rand.New(rand.NewPCG(20, 26))
	quarantined := 0
	for range 500 {
		name := names[random.IntN(len(names))]
		used := usedBytes(pristine.names[name].data)
		at := random.IntN(used)
		bit := byte(1) << random.IntN(8)

		d := pristine.clone() // damaged while nobody looks
		d.names[name].data[at] ^= bit
		l, err := embedded.Open(onDisk(d))
		require.NoError(t, err)
		if fault := l.Fault("prompt"); fault == nil {
			next, err := readAll(l)
			require.NoError(t, err, "%s byte %d", name, at)
			require.EqualValues(t, n+1, next, "%s byte %d: messages are missing without a word", name, at)
		} else {
			quarantined++
			requireQuarantine(t, l, fault, name)
		}
		require.NoError(t, l.Close())

		d = pristine.clone() // damaged under a running hub
		l, err = embedded.Open(onDisk(d))
		require.NoError(t, err)
		d.mu.Lock()
		d.names[name].data[at] ^= bit
		d.mu.Unlock()
		if next, err := readAll(l); err != nil {
			requireQuarantine(t, l, err, name)
		} else {
			require.EqualValues(t, n+1, next)
		}
		require.NoError(t, l.Close())
	}
	require.Greater(t, quarantined, 400, "flips in used bytes are seen")
}

// usedBytes is up to where a segment was written.
func usedBytes(b []byte) int { return len(bytes.TrimRight(b, "\x00")) }

// requireQuarantine checks that a damaged topic says where, serves nothing
// past the place, and takes nothing.
func requireQuarantine(t *testing.T, l *embedded.Log, fault error, segment string) {
	t.Helper()
	require.ErrorIs(t, fault, stream.ErrQuarantined)
	var q *embedded.QuarantineError
	require.True(t, errors.As(fault, &q))
	require.Equal(t, "prompt", q.Topic)
	require.Contains(t, segment, q.Segment)
	_, err := readAll(l)
	require.ErrorIs(t, err, stream.ErrQuarantined)
	_, err = l.ReadAt("prompt", q.Offset)
	require.ErrorIs(t, err, stream.ErrQuarantined)
	_, err = l.Append(ctxBackground, "prompt", numbered(0, 1))
	require.ErrorIs(t, err, stream.ErrQuarantined)
	s, err := l.Subscriber(embedded.SubscriberConfig{})
	require.NoError(t, err)
	_, err = s.Subscribe(ctxBackground, "prompt")
	require.ErrorIs(t, err, stream.ErrQuarantined)
	require.NoError(t, s.Close())
	mustAppend(t, l, "bulk", numbered(0, 1)) // the other topic goes on
}

// Damage met by a subscription closes its channel; what lies before was served.
func TestDamageUnderSubscription(t *testing.T) {
	d := filledDisk(t, 60, 3000)
	var seen bytes.Buffer
	opt := onDisk(d)
	opt.Logger = slog.New(slog.NewTextHandler(&seen, nil))
	l, err := embedded.Open(opt)
	require.NoError(t, err)
	names := d.segments()
	d.mu.Lock()
	d.names[names[1]].data[9000] ^= 1
	d.mu.Unlock()
	s := subscriber(t, l, embedded.SubscriberConfig{})
	ch, err := s.Subscribe(t.Context(), "prompt")
	require.NoError(t, err)
	n := 0
	for m := range ch {
		require.NoError(t, checkNumbered(m, n))
		n++
		m.Ack()
	}
	require.Greater(t, n, 10)
	require.Less(t, n, 40)
	require.ErrorIs(t, l.Fault("prompt"), stream.ErrQuarantined)
	require.NoError(t, l.Close())
	require.Contains(t, seen.String(), "stream quarantined")
	require.Contains(t, seen.String(), names[1][len(names[1])-20:])
}

// A record that is torn at any byte is cut, whatever lay there before: zeros,
// the mark, or records of an earlier life of the file.
func TestTornTail(t *testing.T) {
	for _, recycled := range []bool{false, true} {
		t.Run(fmt.Sprintf("recycled=%v", recycled), func(t *testing.T) {
			d := newDisk()
			l, err := embedded.Open(onDisk(d))
			require.NoError(t, err)
			n := 0
			add := func(size int) { mustAppend(t, l, "prompt", numbered(n, size)); n++ }
			add(100)
			if recycled {
				for len(d.segments()) < 4 {
					add(3000)
				}
				require.NoError(t, l.Trim("prompt", stream.Offset(n)))
				for range 30 { // into the recycled file
					add(3000)
				}
			}
			add(100)
			require.NoError(t, l.Close())
			name := last(d.segments())
			if recycled {
				require.NotEmpty(t, bytes.Trim(d.names[name].data[usedRecords(d.names[name].data):], "\x00"), "old bytes behind the tail")
			}
			before := slices.Clone(d.names[name].data)
			l, err = embedded.Open(onDisk(d))
			require.NoError(t, err)
			mustAppend(t, l, "prompt", numbered(n, 120), numbered(n+1, 90))
			require.NoError(t, l.Close())
			require.Equal(t, name, last(d.segments()))
			after := d.names[name].data
			start := usedRecords(before)
			length := usedRecords(after) - start
			require.Greater(t, length, 210)
			for k := range length {
				torn := d.clone()
				copy(torn.names[name].data, slices.Concat(after[:start+k], before[start+k:]))
				checkTail(t, torn, n, length-k <= 8) // the last bytes may be padding
				if k == 0 || k >= length-8 {
					continue
				}
				swapped := d.clone() // the later pages came first
				copy(swapped.names[name].data, slices.Concat(before[:start+k], after[start+k:start+length], before[start+length:]))
				checkTail(t, swapped, n, bytes.Equal(before[start:start+k], after[start:start+k]))
			}
		})
	}
}

// checkTail opens a log whose last Publish, of two messages, was torn, and goes
// on with it.
func checkTail(t *testing.T, d *disk, n int, maybe bool) {
	t.Helper()
	l, err := embedded.Open(onDisk(d))
	require.NoError(t, err)
	require.NoError(t, l.Fault("prompt"))
	_, next, err := l.Bounds("prompt", 0)
	require.NoError(t, err)
	if !maybe || next != stream.Offset(n+3) {
		require.EqualValues(t, n+1, next, "both messages or none")
	}
	mustAppend(t, l, "prompt", numbered(7, 50))
	require.NoError(t, l.Close())
	l, err = embedded.Open(onDisk(d))
	require.NoError(t, err)
	m, err := l.ReadAt("prompt", next)
	require.NoError(t, err)
	require.NoError(t, checkNumbered(m, 7))
	require.NoError(t, l.Close())
}

// usedRecords is where the chain of records of the segment's generation ends.
func usedRecords(b []byte) int {
	at := 4096
	for bytes.Equal(b[at+8:at+16], b[16:24]) && binary.LittleEndian.Uint32(b[at+28:]) == 1 {
		at += (32 + int(binary.LittleEndian.Uint32(b[at+4:])) + 7) &^ 7
	}
	return at
}

func last(names []string) string { return names[len(names)-1] }

// Lost and exchanged files are seen.
func TestSpoiledChain(t *testing.T) {
	pristine := filledDisk(t, 100, 3000)
	names := pristine.segments()
	require.Greater(t, len(names), 4)
	spoil := map[string]func(d *disk){
		"first lost":  func(d *disk) { delete(d.names, names[0]) },
		"middle lost": func(d *disk) { delete(d.names, names[2]) },
		"last lost":   func(d *disk) { delete(d.names, last(names)) },
		"all lost": func(d *disk) {
			for _, n := range names {
				delete(d.names, n)
			}
		},
		"exchanged": func(d *disk) {
			d.names[names[1]], d.names[names[2]] = d.names[names[2]], d.names[names[1]]
		},
		"cut short":    func(d *disk) { i := d.names[names[2]]; i.data = i.data[:len(i.data)/2] },
		"emptied":      func(d *disk) { d.names[names[2]].data = nil },
		"last emptied": func(d *disk) { d.names[last(names)].data = nil },
		"zeroed":       func(d *disk) { clear(d.names[names[1]].data[20_000:30_000]) },
		"record repeated": func(d *disk) {
			b := d.names[last(names)].data
			end := usedRecords(b)
			copy(b[end:], b[4096:4096+(32+binary.LittleEndian.Uint32(b[4100:])+7)&^7])
		},
		"start garbled": func(d *disk) {
			d.names["topics/prompt/start"] = &inode{data: []byte("{}")}
		},
		"start ahead": func(d *disk) {
			d.names["topics/prompt/start"] = &inode{data: []byte(`{"segment":99}`)}
		},
	}
	for name, change := range spoil {
		t.Run(name, func(t *testing.T) {
			d := pristine.clone()
			change(d)
			l, err := embedded.Open(onDisk(d))
			require.NoError(t, err)
			fault := l.Fault("prompt")
			require.ErrorIs(t, fault, stream.ErrQuarantined)
			_, err = readAll(l)
			require.ErrorIs(t, err, stream.ErrQuarantined)
			require.ErrorIs(t, l.Trim("prompt", 3), stream.ErrQuarantined, "nothing is thrown away")
			require.NoError(t, l.Close())
		})
	}
}

// Recycled segments keep the bytes of earlier lives behind the tail; none is
// ever taken for a message, over any number of lives and openings.
func TestStaleGenerations(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := newDisk()
		n := 0
		for range rapid.IntRange(2, 6).Draw(t, "lives") {
			l, err := embedded.Open(onDisk(d))
			if err != nil {
				t.Fatal(err)
			}
			for range rapid.IntRange(1, 60).Draw(t, "messages") {
				if _, err := l.Append(ctxBackground, "prompt", numbered(n, rapid.IntRange(0, 6000).Draw(t, "size"))); err != nil {
					t.Fatal(err)
				}
				n++
			}
			if err := l.Trim("prompt", stream.Offset(n)); err != nil {
				t.Fatal(err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if l, err = embedded.Open(onDisk(d)); err != nil {
				t.Fatal(err)
			}
			first, next, err := l.Bounds("prompt", 0)
			if err != nil || next != stream.Offset(n+1) || l.Fault("prompt") != nil {
				t.Fatalf("next %d after %d messages: %v %v", next, n, err, l.Fault("prompt"))
			}
			for o := first; o < next; o++ {
				m, err := l.ReadAt("prompt", o)
				if err == nil {
					err = checkNumbered(m, int(o)-1)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
