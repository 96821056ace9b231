package local

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"slices"
	"sync"

	"raccordo/hub/exchange"
	"raccordo/hub/keys"
)

// macState is a keyed hash and room for its input and output, so that a MAC
// costs no allocation.
type macState struct {
	h   hash.Hash
	buf []byte
	sum []byte
}

func newMACState(key []byte) *macState { return &macState{h: hmac.New(sha256.New, key)} }

// mac is HMAC-SHA-256 over every part, each behind its length in eight bytes:
// two different lists of parts never have the same input.
func (m *macState) mac(parts [][]byte) exchange.Digest {
	m.h.Reset()
	m.h.Write(m.buf)
	for _, p := range parts {
		m.buf = binary.BigEndian.AppendUint64(m.buf[:0], uint64(len(p)))
		m.buf = append(m.buf, p...)
		m.h.Write(m.buf)
	}
	m.sum = m.h.Sum(m.sum[:0])
	return exchange.Digest(m.sum)
}

// MAC is a keyed digest of the parts for one purpose, under a key that never
// changes for the life of the hub: frame and record ids, idempotency keys,
// cursors. Purposes never share digests, nor do different cuts of the same
// bytes into parts.
func (k *Keyring) MAC(purpose string, parts ...[]byte) exchange.Digest {
	m := k.macs.Get().(*macState)
	m.buf = binary.BigEndian.AppendUint64(m.buf[:0], uint64(len(purpose)))
	m.buf = append(m.buf, purpose...)
	d := m.mac(parts)
	k.macs.Put(m)
	return d
}

// digester makes the digests of one version.
type digester struct {
	version uint32
	pool    sync.Pool
}

func (k *Keyring) useDigests(s *state) {
	list := make([]*digester, len(s.digests))
	for i, v := range s.digests {
		list[i] = &digester{version: v.version}
		key := v.key
		list[i].pool.New = func() any { return newMACState(key[:]) }
	}
	k.digesters.Store(&list)
}

// Digests are the keyed digests of data under every live version of the digest
// key, newest first; never empty. Data are parts as in [Keyring.MAC].
func (k *Keyring) Digests(data ...[]byte) []keys.VersionedDigest {
	list := *k.digesters.Load()
	out := make([]keys.VersionedDigest, len(list))
	for i, d := range list {
		m := d.pool.Get().(*macState)
		m.buf = m.buf[:0]
		out[i] = keys.VersionedDigest{Version: d.version, Digest: m.mac(data)}
		d.pool.Put(m)
	}
	return out
}

// RotateDigest adds a version of the digest key and gives its number. Digests
// has it first from then on; it is durable on return.
func (k *Keyring) RotateDigest() (uint32, error) {
	var version uint32
	err := k.change(func(s *state) error {
		v := digestVersion{version: s.digests[0].version + 1, created: keys.DayOf(k.clock())}
		if err := k.draw(v.key[:]); err != nil {
			return err
		}
		version = v.version
		s.digests = slices.Insert(s.digests, 0, v)
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("rotate digest key: %w", err)
	}
	return version, nil
}

// RetireDigest destroys a version of the digest key, durably. Directory rows
// made with it alone can no longer be found by anybody. The newest version
// cannot be retired (keys.ErrConflict); one that is not there is no error.
func (k *Keyring) RetireDigest(version uint32) error {
	err := k.change(func(s *state) error {
		if version >= s.digests[0].version {
			return fmt.Errorf("version %d is the newest or not made yet: %w", version, keys.ErrConflict)
		}
		s.digests = slices.DeleteFunc(s.digests, func(v digestVersion) bool { return v.version == version })
		return nil
	})
	if err != nil {
		return fmt.Errorf("retire digest key: %w", err)
	}
	return nil
}
