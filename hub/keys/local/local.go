package local

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"

	"raccordo/hub/keys"
)

// The errors of opening a keyring file. Each wraps [keys.ErrUnavailable].
var (
	// ErrMissing says that the file must exist and does not.
	ErrMissing = fmt.Errorf("keyring file is missing: %w", keys.ErrUnavailable)
	// ErrPermissions says that others than the owner could read or replace it.
	ErrPermissions = fmt.Errorf("keyring file is not private: %w", keys.ErrUnavailable)
	// ErrDamaged says that the content is not what was written.
	ErrDamaged = fmt.Errorf("keyring file is damaged: %w", keys.ErrUnavailable)
	// ErrVersion says that another version of the program wrote it.
	ErrVersion = fmt.Errorf("keyring file has another version: %w", keys.ErrUnavailable)
	// ErrOrigin says that it is the keyring of another hub.
	ErrOrigin = fmt.Errorf("keyring file is of another hub: %w", keys.ErrUnavailable)
	// ErrChanged says that somebody else has changed the file since it was read.
	ErrChanged = fmt.Errorf("keyring file was changed by somebody else: %w", keys.ErrUnavailable)
)

// maxDataKeys bounds the file: ten years of four places are 14,610.
const maxDataKeys = 20_000

// maxUses bounds the seals under one derived key. Nonces are counted, not
// drawn, so this is no birthday bound; it bounds what AES-GCM gives away with
// every block: 2^28 records of 1.5 KB are 2^34.6 blocks, an advantage of
// blocks^2/2^129 = 2^-60. After it the process derives the next key.
const maxUses = 1 << 28

// Options are what a keyring needs.
type Options struct {
	// Path of the keyring file. Required. Its directory must exist.
	Path string
	// Origin is the name signatures carry, such as "raccordo/<hub id>". Required
	// to create a keyring; when opening, another origin is ErrOrigin and an empty
	// one takes what the file says.
	Origin string
	// MustExist refuses to create a keyring. Set it when the rest of the data
	// directory exists already: a new keyring could read none of it.
	MustExist bool
	// Clock dates keys for people who look; nil is time.Now.
	Clock func() time.Time
	// Rand is where keys come from; nil is crypto/rand. It is used under a lock.
	// The RSA keys of vouchers always come from the system's generator.
	Rand io.Reader
	// FileSystem is the disk; nil is the real one.
	FileSystem FileSystem
}

// Keyring is an open keyring. All methods may be called concurrently.
type Keyring struct {
	path  string
	clock func() time.Time
	rand  io.Reader
	files FileSystem
	uses  uint64 // bound of seals under one derived key

	mu      sync.Mutex // held while state changes and the file is written
	onDisk  []byte     // what the file holds as far as we know
	attempt []byte     // what it may hold: the write that failed last

	state   atomic.Pointer[state]
	sealers atomic.Pointer[map[slot]*sealer]
	openers atomic.Pointer[map[derivation]*opener]
	signer  atomic.Pointer[note.Signer]
	macs    sync.Pool // *macState of the id key, which never changes
	// digesters is replaced with every change of the digest keys.
	digesters atomic.Pointer[[]*digester]
}

// Open opens the keyring file at o.Path, or creates it with fresh keys if there
// is none and o.MustExist is not set; it is then durable on return. A file that
// cannot be used is an error that wraps keys.ErrUnavailable and names what is
// wrong; it is never replaced.
func Open(o Options) (*Keyring, error) {
	k := &Keyring{path: o.Path, clock: o.Clock, rand: o.Rand, files: o.FileSystem, uses: maxUses}
	if k.clock == nil {
		k.clock = time.Now
	}
	if k.rand == nil {
		k.rand = rand.Reader
	}
	if k.files == nil {
		k.files = osFiles{}
	}
	b, err := readGuarded(k.files, o.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && o.MustExist:
		return nil, fmt.Errorf("open keyring: %w", ErrMissing)
	case errors.Is(err, fs.ErrNotExist):
		if err := k.create(o.Origin); err != nil {
			return nil, fmt.Errorf("create keyring: %w", err)
		}
		return k, nil
	case err != nil:
		return nil, fmt.Errorf("open keyring: %w", unavailable(err))
	case len(b) > maxFile:
		return nil, fmt.Errorf("open keyring: %w: larger than %d bytes", ErrDamaged, maxFile)
	}
	s, err := decodeFile(b)
	if err != nil {
		return nil, fmt.Errorf("open keyring: %w", err)
	}
	if o.Origin != "" && o.Origin != s.origin {
		return nil, fmt.Errorf("open keyring: %w", ErrOrigin)
	}
	// What a crash in the middle of a write left behind was never in use.
	if err := k.files.Remove(temporary(o.Path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open keyring: %w", unavailable(err))
	}
	k.onDisk = b
	return k, k.use(s)
}

// unavailable makes any error one that says the keys cannot be reached.
func unavailable(err error) error {
	if errors.Is(err, keys.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", keys.ErrUnavailable, err)
}

// validOrigin is the rule of sumdb/note for names, bounded.
func validOrigin(s string) bool {
	return s != "" && len(s) <= 128 && utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsSpace) < 0 &&
		!strings.Contains(s, "+")
}

func (k *Keyring) create(origin string) error {
	if !validOrigin(origin) {
		return errors.New("origin must be a name without spaces and plus signs")
	}
	s := &state{origin: origin, data: map[slot][32]byte{}, floor: map[keys.Place]keys.Day{}}
	first := digestVersion{version: 1, created: keys.DayOf(k.clock())}
	if err := errors.Join(k.draw(s.id[:]), k.draw(first.key[:])); err != nil {
		return err
	}
	s.digests = []digestVersion{first}
	var err error
	if s.signing, err = k.newSigning(); err != nil {
		return err
	}
	if err := s.newVoucher(); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.adopt(s)
}

func (k *Keyring) draw(dst []byte) error {
	if _, err := io.ReadFull(k.rand, dst); err != nil {
		return fmt.Errorf("draw key: %w", unavailable(err))
	}
	return nil
}

func (k *Keyring) newSigning() (ed25519.PrivateKey, error) {
	seed := make([]byte, ed25519.SeedSize)
	if err := k.draw(seed); err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

func (s *state) newVoucher() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fmt.Errorf("make voucher key: %w", unavailable(err))
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("make voucher key: %w", unavailable(err))
	}
	s.voucher, s.voucherDER = key, der
	return nil
}

// change applies f to a copy of the state, makes it durable and then current.
// The caller holds no lock.
func (k *Keyring) change(f func(*state) error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	next := k.state.Load().clone()
	if err := f(next); err != nil {
		return err
	}
	return k.adopt(next)
}

// adopt makes next durable and then current; mu is held.
func (k *Keyring) adopt(next *state) error {
	c, err := next.contents()
	if err != nil {
		return err
	}
	b, err := encodeFile(c)
	if err != nil {
		return err
	}
	if err := k.unchanged(); err != nil {
		return err
	}
	k.attempt = b
	if err := writeWhole(k.files, k.path, b); err != nil {
		return fmt.Errorf("write keyring: %w", unavailable(err))
	}
	k.onDisk, k.attempt = b, nil
	return k.use(next)
}

// unchanged reports an error unless the file is as we left it: as it was read
// or written last, or as a write that failed half-way may have made it. mu is
// held.
func (k *Keyring) unchanged() error {
	b, err := readGuarded(k.files, k.path)
	if errors.Is(err, fs.ErrNotExist) {
		if k.onDisk == nil {
			return nil // being created
		}
		return ErrMissing
	}
	if err != nil {
		return fmt.Errorf("read keyring: %w", unavailable(err))
	}
	if bytes.Equal(b, k.onDisk) || k.attempt != nil && bytes.Equal(b, k.attempt) {
		return nil
	}
	return ErrChanged
}

// Check reports whether the file is still there, private and as it was left; a
// readiness probe calls it.
func (k *Keyring) Check() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.unchanged(); err != nil {
		return fmt.Errorf("check keyring: %w", err)
	}
	return nil
}

// use makes s current in memory. mu is held or k is not shared yet.
func (k *Keyring) use(s *state) error {
	signer, err := newSigner(s.origin, s.signing)
	if err != nil {
		return err
	}
	k.signer.Store(&signer)
	k.useDigests(s)
	if k.macs.New == nil {
		id := s.id
		k.macs.New = func() any { return newMACState(id[:]) }
	}
	k.state.Store(s)
	k.forgetDestroyed(s)
	return nil
}

// Format shows nothing, whatever the verb.
func (k *Keyring) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "[keyring]") }

// Origin is the name signatures carry.
func (k *Keyring) Origin() string { return k.state.Load().origin }
