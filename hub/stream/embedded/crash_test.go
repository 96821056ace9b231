package embedded_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"raccordo/hub/stream"
	"raccordo/hub/stream/embedded"
)

const smallSegment = 64 << 10

// onDisk are the options of a log on a disk in memory.
func onDisk(d *disk) embedded.Options {
	return embedded.Options{
		Files: d, Hub: testHub, SegmentBytes: smallSegment, MaxBytes: 1 << 20,
		Logger: slog.New(slog.DiscardHandler),
	}
}

// numbered is a message whose content follows from its number.
func numbered(n int, size int) *message.Message {
	m := message.NewMessage(strconv.Itoa(n), content(n, size))
	m.Metadata.Set(stream.MetaLane, strconv.Itoa(n%4))
	m.Metadata.Set(stream.MetaPart, "1/1")
	return m
}

func content(n, size int) []byte {
	sum := sha256.Sum256([]byte(strconv.Itoa(n)))
	b := make([]byte, size)
	for i := range b {
		b[i] = sum[i%len(sum)] ^ byte(i>>5)
	}
	return b
}

// checkNumbered fails unless m is the message number n that was sent.
func checkNumbered(m *message.Message, n int) error {
	want := numbered(n, len(m.Payload))
	if m.UUID != want.UUID || string(m.Payload) != string(want.Payload) ||
		m.Metadata.Get(stream.MetaLane) != want.Metadata.Get(stream.MetaLane) || m.Metadata.Get(stream.MetaPart) != "1/1" {
		return fmt.Errorf("message %d was served with other content", n)
	}
	return nil
}

// state is a log on a disk under test, and what must be in it.
type state struct {
	disk    *disk
	log     *embedded.Log
	random  *rand.Rand
	first   stream.Offset // trimmed below
	numbers []int         // numbers[i] is the message at offset i+1
	unknown []int         // of the last append, if its outcome is unknown
	sent    int
}

func (s *state) open(t *rapid.T) {
	l, err := embedded.Open(onDisk(s.disk))
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	s.log = l
}

func (s *state) append(t *rapid.T) {
	n := rapid.IntRange(1, 5).Draw(t, "messages")
	size := rapid.SampledFrom([]int{0, 10, 500, 3000, 40_000}).Draw(t, "size")
	msgs, numbers := make([]*message.Message, n), make([]int, n)
	for i := range msgs {
		s.sent++
		msgs[i], numbers[i] = numbered(s.sent, size), s.sent
	}
	offsets, err := s.log.Append(context.Background(), "prompt", msgs...)
	switch {
	case err == nil:
		if offsets[0] != stream.Offset(len(s.numbers)+1) || len(offsets) != n {
			t.Fatalf("offsets %v after %d messages", offsets, len(s.numbers))
		}
		s.numbers = append(s.numbers, numbers...)
	case errors.Is(err, stream.ErrUnknownOutcome):
		if s.unknown != nil {
			t.Fatalf("accepted something after an unknown outcome: %v", err)
		}
		s.unknown = numbers
	case errors.Is(err, stream.ErrFull), errors.Is(err, stream.ErrStopped), errors.Is(err, errPowerCut):
	case errors.Is(err, errSync) && len(s.numbers) == 0: // the topic could not be made
	default:
		t.Fatalf("append: %v", err)
	}
}

// cut takes the power away, now or in the middle of something, and checks what
// is found.
func (s *state) cut(t *rapid.T) {
	left := rapid.IntRange(0, 40).Draw(t, "operations until the cut")
	s.disk.mu.Lock()
	s.disk.left = left
	s.disk.mu.Unlock()
	for range rapid.IntRange(0, 4).Draw(t, "appends") {
		s.append(t)
	}
	s.disk.mu.Lock()
	s.disk.left = 0
	s.disk.mu.Unlock()
	_ = s.log.Close() // without power nothing more reaches the disk
	s.disk = s.disk.powerCut(s.random)
	if rapid.Bool().Draw(t, "cut again while opening") {
		s.disk.left = rapid.IntRange(0, 12).Draw(t, "operations of opening")
		if l, err := embedded.Open(onDisk(s.disk)); err == nil {
			_ = l.Close()
		}
		s.disk = s.disk.powerCut(s.random)
	}
	s.open(t)
	s.check(t)
}

func (s *state) trim(t *rapid.T) {
	before := stream.Offset(rapid.IntRange(1, len(s.numbers)+1).Draw(t, "before"))
	if err := s.log.Trim("prompt", before); err != nil && !errors.Is(err, errPowerCut) {
		t.Fatalf("trim: %v", err)
	}
	s.first = max(s.first, before)
}

func (s *state) failSync(t *rapid.T) {
	s.disk.mu.Lock()
	s.disk.failSync = 1
	s.disk.mu.Unlock()
	s.append(t)
	s.append(t)
	s.disk.mu.Lock()
	s.disk.failSync = 0
	s.disk.mu.Unlock()
	s.reopen(t)
}

func (s *state) reopen(t *rapid.T) {
	if err := s.log.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	s.open(t)
	s.check(t)
}

// check reads everything: each acknowledged message that was not trimmed is
// there once, in order and unchanged, and an append of unknown outcome is there
// wholly or not at all.
func (s *state) check(t *rapid.T) {
	if err := s.log.Fault("prompt"); err != nil {
		t.Fatalf("fault: %v", err)
	}
	first, next, err := s.log.Bounds("prompt", 0)
	if err != nil {
		t.Fatal(err)
	}
	if first > max(s.first, 1) {
		t.Fatalf("trimmed up to %d, asked for %d", first, s.first)
	}
	if s.unknown != nil && next == stream.Offset(len(s.numbers)+len(s.unknown)+1) {
		s.numbers = append(s.numbers, s.unknown...)
	}
	s.unknown = nil
	if next != stream.Offset(len(s.numbers)+1) {
		t.Fatalf("next offset %d after %d messages", next, len(s.numbers))
	}
	want := first
	err = s.log.Read(context.Background(), "prompt", 0, 0, func(o stream.Offset, _ int, m *message.Message) error {
		if o != want {
			return fmt.Errorf("offset %d, want %d", o, want)
		}
		want++
		return checkNumbered(m, s.numbers[o-1])
	})
	if err != nil || want != next {
		t.Fatalf("read up to %d of %d: %v", want, next, err)
	}
}

// Any sequence of appends, trims, openings, failed syncs and power cuts keeps
// what was acknowledged, and never quarantines.
func TestPowerCutsInMemory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &state{disk: newDisk(), random: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 2))}
		s.open(t)
		defer func() { _ = s.log.Close() }()
		t.Repeat(map[string]func(*rapid.T){
			"append":   s.append,
			"append2":  s.append,
			"append3":  s.append,
			"trim":     s.trim,
			"reopen":   s.reopen,
			"failSync": s.failSync,
			"cut":      s.cut,
		})
		s.reopen(t)
	})
}

// What was found after a failed fsync and a new start is really on disk, though
// the kernel holds the pages for clean.
func TestFailedSync(t *testing.T) {
	d := newDisk()
	l, err := embedded.Open(onDisk(d))
	require.NoError(t, err)
	_, err = l.Append(t.Context(), "prompt", numbered(1, 100))
	require.NoError(t, err)
	d.mu.Lock()
	d.failSync = 1
	d.mu.Unlock()
	_, err = l.Append(t.Context(), "prompt", numbered(2, 3000), numbered(3, 3000))
	require.ErrorIs(t, err, stream.ErrUnknownOutcome)
	_, err = l.Append(t.Context(), "prompt", numbered(4, 100))
	require.ErrorIs(t, err, stream.ErrStopped, "nothing is accepted after a failed fsync")
	require.NotErrorIs(t, err, stream.ErrUnknownOutcome, "the refusal is a definite no")
	require.ErrorIs(t, l.Fault("prompt"), stream.ErrStopped)
	highest, err := l.HighestAccepted("prompt")
	require.NoError(t, err)
	require.EqualValues(t, 1, highest, "not visible before it is known to be durable")
	require.NoError(t, l.Close())

	l, err = embedded.Open(onDisk(d))
	require.NoError(t, err)
	_, next, err := l.Bounds("prompt", 0)
	require.NoError(t, err)
	require.EqualValues(t, 4, next, "the page cache still has the append of unknown outcome")
	for seed := range uint64(20) {
		after := d.clone()
		after.durable = d.durableCopy()
		l, err := embedded.Open(onDisk(after.powerCut(rand.New(rand.NewPCG(seed, 3)))))
		require.NoError(t, err)
		for n := 1; n <= 3; n++ {
			m, err := l.ReadAt("prompt", stream.Offset(n))
			require.NoError(t, err)
			require.NoError(t, checkNumbered(m, n))
		}
		require.NoError(t, l.Close())
	}
	require.NoError(t, l.Close())
}

// durableCopy is what a power cut that loses everything unsynced leaves.
func (d *disk) durableCopy() map[string]*inode {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := map[string]*inode{}
	for n, i := range d.durable {
		out[n] = &inode{dir: i.dir, durable: append([]byte(nil), i.durable...)}
	}
	return out
}

var ctxBackground = context.Background()
