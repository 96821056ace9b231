package local

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	"raccordo/hub/keys"
)

// A sealed payload is
//
//	1  version of this layout
//	1  place
//	4  day, big-endian
//	16 salt of the derived key
//	8  counter, big-endian; with four zero bytes before it, the nonce
//	.. ciphertext and 16 bytes of tag (AES-256-GCM)
//
// The data key of (day, place) seals nothing itself: every process derives a
// key of its own from it and a fresh salt, and counts nonces under that one. So
// no nonce can occur twice, not even after a crash or a restored disk, without
// writing a counter down. All of the header takes part: version, place, day and
// salt choose the key, the counter is the nonce.
const (
	sealVersion = 1
	headerSize  = 30
	// Overhead is how much longer a sealed payload is than its plaintext.
	Overhead = headerSize + 16
)

// maxOpeners bounds the cache of derived keys that payloads are opened with:
// one a process start, day and place.
const maxOpeners = 4096

// derivation names a derived key.
type derivation struct {
	slot slot
	salt [16]byte
}

type sealer struct {
	derivation derivation
	aead       cipher.AEAD
	limit      uint64
	used       atomic.Uint64
}

type opener struct{ aead cipher.AEAD }

// derive makes the AEAD of a data key and a salt.
func derive(dataKey [32]byte, d derivation) (cipher.AEAD, error) {
	h := hmac.New(sha256.New, dataKey[:])
	h.Write([]byte("raccordo/seal/1\x00"))
	h.Write([]byte{byte(d.slot.place)})
	var day [4]byte
	binary.BigEndian.PutUint32(day[:], uint32(d.slot.day))
	h.Write(day[:])
	h.Write(d.salt[:])
	block, err := aes.NewCipher(h.Sum(nil))
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", unavailable(err))
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", unavailable(err))
	}
	return aead, nil
}

// Seal encrypts plaintext for place under the key of at's day and binds it to
// aad, which [Keyring.Open] must be given again. The first seal of a day and
// place makes its key durable first. Errors: keys.ErrDestroyed for a day whose
// key is destroyed, keys.ErrUnavailable.
func (k *Keyring) Seal(place keys.Place, at time.Time, plaintext, aad []byte) ([]byte, error) {
	return k.AppendSeal(make([]byte, 0, len(plaintext)+Overhead), place, at, plaintext, aad)
}

// AppendSeal is [Keyring.Seal] that appends to dst, which must not overlap
// plaintext. On an error dst is returned as it was.
func (k *Keyring) AppendSeal(dst []byte, place keys.Place, at time.Time, plaintext, aad []byte) ([]byte, error) {
	if !place.IsValid() {
		return dst, fmt.Errorf("seal: place %d is not one", place)
	}
	s := slot{place, keys.DayOf(at)}
	for {
		sl, err := k.sealer(s)
		if err != nil {
			return dst, fmt.Errorf("seal: %w", err)
		}
		n := sl.used.Add(1)
		if n > sl.limit {
			k.retire(sl)
			continue
		}
		var head [headerSize]byte
		head[0] = sealVersion
		head[1] = byte(place)
		binary.BigEndian.PutUint32(head[2:], uint32(s.day))
		copy(head[6:], sl.derivation.salt[:])
		binary.BigEndian.PutUint64(head[22:], n)
		start := len(dst)
		dst = append(dst, head[:]...)
		var nonce [12]byte
		copy(nonce[4:], dst[start+22:start+30])
		return sl.aead.Seal(dst, nonce[:], plaintext, aad), nil
	}
}

// sealer is the derived key in use for s.
func (k *Keyring) sealer(s slot) (*sealer, error) {
	if m := k.sealers.Load(); m != nil {
		if sl := (*m)[s]; sl != nil {
			return sl, nil
		}
	}
	return k.newSealer(s)
}

func (k *Keyring) newSealer(s slot) (*sealer, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	old := k.sealers.Load()
	if old != nil && (*old)[s] != nil {
		return (*old)[s], nil // somebody was faster
	}
	st := k.state.Load()
	if st.destroyed(s) {
		return nil, keys.ErrDestroyed
	}
	key, ok := st.data[s]
	if !ok {
		if len(st.data) >= maxDataKeys {
			return nil, fmt.Errorf("%w: %d data keys, none destroyed", keys.ErrUnavailable, len(st.data))
		}
		if err := k.draw(key[:]); err != nil {
			return nil, err
		}
		next := st.clone()
		next.data[s] = key
		if err := k.adopt(next); err != nil {
			return nil, err
		}
	}
	sl := &sealer{derivation: derivation{slot: s}, limit: k.uses}
	if err := k.draw(sl.derivation.salt[:]); err != nil {
		return nil, err
	}
	var err error
	if sl.aead, err = derive(key, sl.derivation); err != nil {
		return nil, err
	}
	k.sealers.Store(with(k.sealers.Load(), s, sl))
	k.openers.Store(with(k.openers.Load(), sl.derivation, &opener{sl.aead}))
	return sl, nil
}

// retire takes a derived key that is used up out of service.
func (k *Keyring) retire(sl *sealer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if m := k.sealers.Load(); m != nil && (*m)[sl.derivation.slot] == sl {
		k.sealers.Store(without(m, func(s slot) bool { return s == sl.derivation.slot }))
	}
}

// Open decrypts what Seal made with the same aad. Errors: keys.ErrBadSeal,
// keys.ErrDestroyed, keys.ErrUnknownKey; they never quote the bytes.
func (k *Keyring) Open(sealed, aad []byte) ([]byte, error) {
	return k.AppendOpen(nil, sealed, aad)
}

// AppendOpen is [Keyring.Open] that appends to dst, which must not overlap
// sealed. On an error dst is returned as it was.
func (k *Keyring) AppendOpen(dst, sealed, aad []byte) ([]byte, error) {
	if len(sealed) < Overhead || sealed[0] != sealVersion || !keys.Place(sealed[1]).IsValid() {
		return dst, fmt.Errorf("open: %w", keys.ErrBadSeal)
	}
	d := derivation{slot: slot{keys.Place(sealed[1]), keys.Day(binary.BigEndian.Uint32(sealed[2:]))}}
	copy(d.salt[:], sealed[6:22])
	st := k.state.Load()
	if st.destroyed(d.slot) {
		return dst, fmt.Errorf("open: %w", keys.ErrDestroyed)
	}
	aead, known, err := k.opener(st, d)
	if err != nil {
		return dst, fmt.Errorf("open: %w", err)
	}
	var nonce [12]byte
	copy(nonce[4:], sealed[22:30])
	out, err := aead.Open(dst, nonce[:], sealed[headerSize:], aad)
	if err != nil {
		return dst, fmt.Errorf("open: %w", keys.ErrBadSeal)
	}
	if !known { // only what proved genuine may fill the cache
		k.keepOpener(d, aead)
	}
	return out, nil
}

func (k *Keyring) opener(st *state, d derivation) (aead cipher.AEAD, known bool, err error) {
	if m := k.openers.Load(); m != nil {
		if o := (*m)[d]; o != nil {
			return o.aead, true, nil
		}
	}
	key, ok := st.data[d.slot]
	if !ok {
		return nil, false, keys.ErrUnknownKey
	}
	aead, err = derive(key, d)
	return aead, false, err
}

func (k *Keyring) keepOpener(d derivation, aead cipher.AEAD) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.state.Load().destroyed(d.slot) {
		return // destroyed while we were opening
	}
	m := k.openers.Load()
	if m != nil && len(*m) >= maxOpeners {
		m = nil
	}
	k.openers.Store(with(m, d, &opener{aead}))
}

// DestroyBefore destroys the data keys of place of all days before day. It is
// durable on return, and from then on nothing they sealed can be opened. It
// never goes back: an earlier day than the last one changes nothing.
func (k *Keyring) DestroyBefore(place keys.Place, day keys.Day) error {
	if !place.IsValid() {
		return fmt.Errorf("destroy data keys: place %d is not one", place)
	}
	if floor, ok := k.state.Load().floor[place]; ok && floor >= day {
		return nil
	}
	err := k.change(func(s *state) error {
		if floor, ok := s.floor[place]; !ok || floor < day {
			s.floor[place] = day
		}
		for d := range s.data {
			if s.destroyed(d) {
				delete(s.data, d)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("destroy data keys: %w", err)
	}
	return nil
}

// forgetDestroyed drops derived keys whose data key is gone; mu is held.
func (k *Keyring) forgetDestroyed(s *state) {
	if m := k.sealers.Load(); m != nil {
		k.sealers.Store(without(m, s.destroyed))
	}
	if m := k.openers.Load(); m != nil {
		k.openers.Store(without(m, func(d derivation) bool { return s.destroyed(d.slot) }))
	}
}

// with copies m and sets one entry: readers of the old map are never disturbed.
func with[K comparable, V any](m *map[K]V, key K, value V) *map[K]V {
	next := map[K]V{}
	if m != nil {
		for k, v := range *m {
			next[k] = v
		}
	}
	next[key] = value
	return &next
}

// without copies m and leaves out what drop names.
func without[K comparable, V any](m *map[K]V, drop func(K) bool) *map[K]V {
	next := make(map[K]V, len(*m))
	for k, v := range *m {
		if !drop(k) {
			next[k] = v
		}
	}
	return &next
}
