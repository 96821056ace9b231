package embedded

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path"

	"raccordo/hub/stream"
)

// group is one consumer group of one topic. Who holds the token reads, delivers
// and moves the position.
type group struct {
	t     *topic
	key   string
	token chan struct{}
	users int // subscriptions; guarded by the topic's mutex

	// the holder's own
	r        *reader
	file     File
	position stream.Offset // of the next message to deliver
	writes   int64
}

// A position is written alternately into two slots of this size: position and
// CRC. A torn write spoils one slot, and the older position repeats messages.
const (
	slotSize = 512
	slotUsed = 20
)

// joinGroup adds a subscription to the group.
func (t *topic) joinGroup(name string) (*group, error) {
	key, err := encodeName(name)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.groups[key]
	if g == nil {
		g = &group{t: t, key: key, token: make(chan struct{}, 1)}
		if err := g.load(); err != nil {
			return nil, err
		}
		if g.position != 0 && g.position < t.first() {
			err := fmt.Errorf("topic %s, group at offset %d, start %d: %w", t.name, g.position, t.first(), stream.ErrBelowStart)
			return nil, errors.Join(err, g.file.Close())
		}
		t.groups[key] = g
	}
	g.users++
	return g, nil
}

// load opens the file of the position; without a whole slot the group starts
// at the oldest message.
func (g *group) load() error {
	name := path.Join(g.t.dir, "group-"+g.key)
	f, err := g.t.files.Open(name, os.O_RDWR)
	if errors.Is(err, fs.ErrNotExist) {
		if f, err = g.t.files.Open(name, os.O_RDWR|os.O_CREATE); err == nil {
			err = g.t.files.SyncDir(g.t.dir)
		}
	}
	if err != nil {
		return fmt.Errorf("consumer group: %w", err)
	}
	g.file = f
	for slot := range int64(2) {
		b := make([]byte, slotUsed)
		if _, err := f.ReadAt(b, slot*slotSize); err != nil && err != io.EOF {
			return errors.Join(fmt.Errorf("consumer group: %w", err), f.Close())
		}
		writes := int64(binary.LittleEndian.Uint64(b[8:]))
		if crc32.Checksum(b[:16], castagnoli) == binary.LittleEndian.Uint32(b[16:]) && writes > g.writes {
			g.position, g.writes = stream.Offset(binary.LittleEndian.Uint64(b)), writes
		}
	}
	return nil
}

func (g *group) hold(ctx context.Context) error {
	select {
	case g.token <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *group) give() { <-g.token }

func (g *group) peek(ctx context.Context) (item, *reader, error) {
	if g.r == nil {
		r, err := g.t.newReader(g.position)
		if err != nil {
			return item{}, nil, err
		}
		g.r = r
	}
	it, err := g.r.peek(ctx)
	return it, g.r, err
}

func (g *group) done() error {
	g.r.advance()
	g.position = g.r.offset
	g.writes++
	b := binary.LittleEndian.AppendUint64(nil, uint64(g.position))
	b = binary.LittleEndian.AppendUint64(b, uint64(g.writes))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	if _, err := g.file.WriteAt(b, g.writes%2*slotSize); err != nil {
		return fmt.Errorf("consumer group: %w", err)
	}
	return nil
}

// close ends one subscription; the last one closes the group.
func (g *group) close() error {
	g.t.mu.Lock()
	defer g.t.mu.Unlock()
	if g.users--; g.users > 0 {
		return nil
	}
	delete(g.t.groups, g.key)
	if g.r != nil {
		g.r.leave()
	}
	return errors.Join(g.file.Sync(), g.file.Close())
}
