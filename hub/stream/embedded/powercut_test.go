package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"raccordo/hub/hubtest/powercut"
	"raccordo/hub/stream"
	"raccordo/hub/stream/embedded"
)

const childProducers = 8

func childOptions(dir string) embedded.Options {
	return embedded.Options{Dir: dir, Hub: testHub, SegmentBytes: 256 << 10, MaxBytes: 8 << 20, Logger: slog.New(slog.DiscardHandler)}
}

// childAppends accepts frames of one to four parts until it ends: producers on
// two topics, segments that roll often, trims. Each acknowledged frame and each
// trim about to begin is a line.
func childAppends(t *testing.T, dir string, acks io.Writer) {
	l, err := embedded.Open(childOptions(dir))
	require.NoError(t, err)
	var one sync.Mutex
	report := func(format string, args ...any) {
		one.Lock()
		defer one.Unlock()
		if powercut.Report(acks, format, args...) != nil {
			t.Error("the parent is gone")
		}
	}
	var all sync.WaitGroup
	for p := range childProducers {
		topic := []string{"prompt", "bulk"}[p%2]
		all.Go(func() {
			for n := 0; ; n++ {
				parts := 1 + (n+p)%4
				frame := make([]*message.Message, parts)
				for k := range frame {
					frame[k] = message.NewMessage(fmt.Sprintf("%d/%d", k+1, parts), content(p*1000+n, 100+n*37%3000))
				}
				offsets, err := l.Append(context.Background(), topic, frame...)
				if err != nil {
					if errors.Is(err, stream.ErrFull) {
						continue
					}
					return // the power is gone
				}
				report("%s %d %d %d %d", topic, offsets[0], parts, p, n)
				if p < 2 && n%50 == 49 {
					report("trim %s %d", topic, offsets[0]-500)
					if err := l.Trim(topic, offsets[0]-500); err != nil {
						return
					}
				}
			}
		})
	}
	all.Wait()
}

// accepted is what children reported, over all rounds.
type accepted struct {
	frames  map[string]map[stream.Offset][3]int // topic, offset: parts, producer, number
	trimmed map[string]stream.Offset
}

func newAccepted() *accepted {
	return &accepted{
		frames:  map[string]map[stream.Offset][3]int{"prompt": {}, "bulk": {}},
		trimmed: map[string]stream.Offset{},
	}
}

func (a *accepted) add(t *testing.T, lines []string) {
	for _, line := range lines {
		var topic string
		var offset stream.Offset
		var frame [3]int
		if strings.HasPrefix(line, "trim ") {
			_, err := fmt.Sscanf(line, "trim %s %d", &topic, &offset)
			require.NoError(t, err)
			a.trimmed[topic] = max(a.trimmed[topic], offset)
			continue
		}
		_, err := fmt.Sscanf(line, "%s %d %d %d %d", &topic, &offset, &frame[0], &frame[1], &frame[2])
		require.NoError(t, err)
		a.frames[topic][offset] = frame
	}
}

// check opens the log: nothing acknowledged is missing or changed, frames are
// whole, and nothing is quarantined.
func (a *accepted) check(t *testing.T, dir string) {
	l, err := embedded.Open(childOptions(dir))
	require.NoError(t, err)
	for topic, frames := range a.frames {
		require.NoError(t, l.Fault(topic))
		first, next, err := l.Bounds(topic, 0)
		require.NoError(t, err)
		require.LessOrEqual(t, first, max(a.trimmed[topic], 1), "given up without being told so")
		kept := 0
		for offset, frame := range frames {
			if offset < first {
				continue // a trim takes whole segments, and a frame is never cut by one
			}
			require.LessOrEqual(t, offset+stream.Offset(frame[0]), next, "%s: acknowledged and gone", topic)
			kept++
		}
		seen, part, parts := 0, 0, 0
		err = l.Read(t.Context(), topic, 0, 0, func(o stream.Offset, _ int, m *message.Message) error {
			var k, n int
			if _, err := fmt.Sscanf(m.UUID, "%d/%d", &k, &n); err != nil {
				return err
			}
			if part == parts {
				part, parts = 0, n
			}
			if part++; k != part || n != parts {
				return fmt.Errorf("offset %d: part %d of %d where part %d of %d was due", o, k, n, part, parts)
			}
			frame, ok := frames[o-stream.Offset(k-1)]
			if !ok {
				return nil // written, but its answer did not come: allowed
			}
			if k == n {
				seen++
			}
			if string(m.Payload) != string(content(frame[1]*1000+frame[2], 100+frame[2]*37%3000)) {
				return fmt.Errorf("offset %d holds something else", o)
			}
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, parts, part, "the last frame is whole")
		require.Equal(t, kept, seen)
	}
	require.NoError(t, l.Close())
}

// TestPowerCut: what was acknowledged before the power went is there when it
// comes back, round after round on the same log.
func TestPowerCut(t *testing.T) {
	if dir, acks, ok := powercut.InChild(); ok {
		childAppends(t, dir, acks)
		return
	}
	cuts := powercut.Cuts(t)
	disk := powercut.New(t)
	a := newAccepted()
	total := 0
	for range cuts {
		child := powercut.Start(t, disk.Dir()+"/stream")
		child.Wait(1 + rand.IntN(3000))
		disk.Cut()
		lines := child.Kill()
		total += len(lines)
		a.add(t, lines)
		disk.Remount()
		a.check(t, disk.Dir()+"/stream")
	}
	t.Logf("%d cuts, %d lines acknowledged, all there", cuts, total)
}

// TestKill: the same under kill -9.
func TestKill(t *testing.T) {
	if dir, acks, ok := powercut.InChild(); ok {
		childAppends(t, dir, acks)
		return
	}
	dir := t.TempDir()
	a := newAccepted()
	kills := powercut.Kills(t)
	for range kills {
		child := powercut.Start(t, dir)
		child.Wait(1 + rand.IntN(3000))
		a.add(t, child.Kill())
		a.check(t, dir)
	}
	t.Logf("%d kills, nothing acknowledged is missing", kills)
}

// The test above would not notice anything if the log did not sync: one whose
// file system swallows every sync loses what it acknowledged.
func TestPowerCutIsReal(t *testing.T) {
	if dir, acks, ok := powercut.InChild(); ok {
		l, err := embedded.Open(childOptions(dir))
		require.NoError(t, err)
		require.NoError(t, l.Close()) // the directory as such is sound
		opt := childOptions(dir)
		opt.Files = noSync{embedded.NewFiles(openRoot(t, dir))}
		l, err = embedded.Open(opt)
		require.NoError(t, err)
		for {
			offsets, err := l.Append(context.Background(), "prompt", numbered(1, 500))
			if err != nil {
				return
			}
			require.NoError(t, powercut.Report(acks, "prompt %d 1 0 0", offsets[0]))
		}
	}
	disk := powercut.New(t)
	child := powercut.Start(t, disk.Dir()+"/stream")
	child.Wait(100)
	disk.Cut()
	lines := child.Kill()
	disk.Remount()
	l, err := embedded.Open(childOptions(disk.Dir() + "/stream"))
	require.NoError(t, err)
	highest, err := l.HighestAccepted("prompt")
	require.NoError(t, err)
	require.Less(t, int(highest), len(lines))
	require.NoError(t, l.Close())
}

// noSync is a file system that says it has synced, and has not.
type noSync struct{ embedded.FileSystem }

func (n noSync) SyncDir(string) error { return nil }

func (n noSync) Open(name string, flag int) (embedded.File, error) {
	f, err := n.FileSystem.Open(name, flag)
	return noSyncFile{f}, err
}

type noSyncFile struct{ embedded.File }

func (noSyncFile) Sync() error { return nil }

func openRoot(t *testing.T, dir string) *os.Root {
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	return root
}
