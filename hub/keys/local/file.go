package local

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"raccordo/hub/keys"
)

// FileVersion is the version of the keyring file this code reads and writes.
const FileVersion = 1

// The file is a line "raccordo-keyring VERSION SHA256\n" and a JSON object; the
// digest is of the object's bytes. It is there against damage, not against
// somebody who can write the file.
const fileMagic = "raccordo-keyring"

// maxFile bounds what is read: ten years of data keys are 2 MB.
const maxFile = 32 << 20

// contents is the JSON object. Byte slices are base64.
type contents struct {
	Origin     string            `json:"origin"`
	IDKey      []byte            `json:"id_key"`
	DigestKeys []digestKey       `json:"digest_keys"` // oldest first
	DataKeys   []dataKey         `json:"data_keys"`
	Destroyed  map[string]string `json:"destroyed_before"` // place -> day
	Signing    signingKeys       `json:"signing"`
	Voucher    voucherKeys       `json:"voucher"`
}

type digestKey struct {
	Version uint32 `json:"version"`
	Created string `json:"created"` // day, for people who look
	Key     []byte `json:"key"`
}

type dataKey struct {
	Place string `json:"place"`
	Day   string `json:"day"`
	Key   []byte `json:"key"`
}

type signingKeys struct {
	Current []byte   `json:"current"`           // Ed25519 seed
	Pending []byte   `json:"pending,omitempty"` // announced, not yet current
	Earlier []string `json:"earlier,omitempty"` // verifier keys, oldest first
}

type voucherKeys struct {
	Current []byte   `json:"current"`           // PKCS #8
	Earlier [][]byte `json:"earlier,omitempty"` // PKIX public keys, oldest first
}

func encodeFile(c *contents) ([]byte, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode keyring: %w", err)
	}
	sum := sha256.Sum256(body)
	head := fmt.Sprintf("%s %d %s\n", fileMagic, FileVersion, hex.EncodeToString(sum[:]))
	return append([]byte(head), body...), nil
}

// decodeFile reads a keyring file. Errors of the JSON decoder are not wrapped:
// they can quote what they stumble over, and everything in here is a secret.
func decodeFile(b []byte) (*state, error) {
	head, body, found := bytes.Cut(b, []byte("\n"))
	fields := strings.Split(string(head), " ")
	if !found || len(fields) != 3 || fields[0] != fileMagic {
		return nil, fmt.Errorf("%w: the first line is not that of a keyring", ErrDamaged)
	}
	version, err := strconv.Atoi(fields[1])
	if err != nil {
		return nil, fmt.Errorf("%w: the version is not a number", ErrDamaged)
	}
	if version != FileVersion {
		return nil, fmt.Errorf("%w: file has version %d, this program knows %d", ErrVersion, version, FileVersion)
	}
	sum := sha256.Sum256(body)
	if fields[2] != hex.EncodeToString(sum[:]) {
		return nil, fmt.Errorf("%w: the checksum does not match", ErrDamaged)
	}
	var c contents
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if d.Decode(&c) != nil {
		return nil, fmt.Errorf("%w: the body does not have the shape of version %d", ErrDamaged, FileVersion)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("%w: bytes after the body", ErrDamaged)
	}
	return c.state()
}

// state is the immutable content of a keyring in use; a change makes another.
type state struct {
	origin  string
	id      [32]byte
	digests []digestVersion // newest first
	data    map[slot][32]byte
	floor   map[keys.Place]keys.Day // data keys of days before it are destroyed

	signing        ed25519.PrivateKey
	pending        ed25519.PrivateKey // nil if none
	earlierSigning []string
	voucher        *rsa.PrivateKey
	voucherDER     []byte
	earlierVoucher []*rsa.PublicKey
}

type digestVersion struct {
	version uint32
	created keys.Day
	key     [32]byte
}

// slot is what one data key is for.
type slot struct {
	place keys.Place
	day   keys.Day
}

// clone copies what changes replace in place.
func (s *state) clone() *state {
	c := *s
	c.data = make(map[slot][32]byte, len(s.data)+1)
	for k, v := range s.data {
		c.data[k] = v
	}
	c.floor = make(map[keys.Place]keys.Day, len(s.floor)+1)
	for k, v := range s.floor {
		c.floor[k] = v
	}
	c.digests = slices.Clone(s.digests)
	c.earlierSigning = slices.Clone(s.earlierSigning)
	c.earlierVoucher = slices.Clone(s.earlierVoucher)
	return &c
}

func (s *state) contents() (*contents, error) {
	c := &contents{Origin: s.origin, IDKey: s.id[:], Destroyed: map[string]string{}}
	for _, v := range slices.Backward(s.digests) {
		c.DigestKeys = append(c.DigestKeys, digestKey{Version: v.version, Created: v.created.String(), Key: v.key[:]})
	}
	slots := make([]slot, 0, len(s.data))
	for k := range s.data {
		slots = append(slots, k)
	}
	slices.SortFunc(slots, func(a, b slot) int {
		if a.day != b.day {
			return int(a.day) - int(b.day)
		}
		return int(a.place) - int(b.place)
	})
	c.DataKeys = make([]dataKey, 0, len(slots))
	for _, k := range slots {
		key := s.data[k]
		c.DataKeys = append(c.DataKeys, dataKey{Place: k.place.String(), Day: k.day.String(), Key: key[:]})
	}
	for p, d := range s.floor {
		c.Destroyed[p.String()] = d.String()
	}
	c.Signing = signingKeys{Current: s.signing.Seed(), Earlier: s.earlierSigning}
	if s.pending != nil {
		c.Signing.Pending = s.pending.Seed()
	}
	c.Voucher.Current = s.voucherDER
	for _, p := range s.earlierVoucher {
		der, err := x509.MarshalPKIXPublicKey(p)
		if err != nil {
			return nil, fmt.Errorf("encode voucher key: %w", err)
		}
		c.Voucher.Earlier = append(c.Voucher.Earlier, der)
	}
	return c, nil
}

// state checks everything: a keyring that would fail later fails now.
func (c *contents) state() (*state, error) {
	bad := func(what string) (*state, error) { return nil, fmt.Errorf("%w: %s", ErrDamaged, what) }
	s := &state{origin: c.Origin, data: map[slot][32]byte{}, floor: map[keys.Place]keys.Day{}}
	if !validOrigin(c.Origin) {
		return bad("origin")
	}
	if !copyKey(&s.id, c.IDKey) {
		return bad("id_key")
	}
	if !s.readDigests(c.DigestKeys) {
		return bad("digest_keys")
	}
	if !s.readData(c.DataKeys, c.Destroyed) {
		return bad("data_keys")
	}
	if !s.readSigning(c.Signing) {
		return bad("signing")
	}
	if !s.readVoucher(c.Voucher) {
		return bad("voucher")
	}
	return s, nil
}

func copyKey(dst *[32]byte, src []byte) bool {
	return len(src) == 32 && copy(dst[:], src) == 32 && *dst != [32]byte{}
}

func (s *state) readDigests(in []digestKey) bool {
	last := uint32(0)
	for _, k := range in {
		v := digestVersion{version: k.Version}
		day, err := keys.ParseDay(k.Created)
		if err != nil || k.Version <= last || !copyKey(&v.key, k.Key) {
			return false
		}
		v.created, last = day, k.Version
		s.digests = append(s.digests, v)
	}
	slices.Reverse(s.digests)
	return len(s.digests) > 0
}

func (s *state) readData(in []dataKey, destroyed map[string]string) bool {
	for name, text := range destroyed {
		p, err := keys.ParsePlace(name)
		d, err2 := keys.ParseDay(text)
		if err != nil || err2 != nil {
			return false
		}
		s.floor[p] = d
	}
	for _, k := range in {
		p, err := keys.ParsePlace(k.Place)
		d, err2 := keys.ParseDay(k.Day)
		if err != nil || err2 != nil || s.destroyed(slot{p, d}) {
			return false
		}
		var key [32]byte
		if _, twice := s.data[slot{p, d}]; twice || !copyKey(&key, k.Key) {
			return false
		}
		s.data[slot{p, d}] = key
	}
	return true
}

func (s *state) readSigning(in signingKeys) bool {
	if len(in.Current) != ed25519.SeedSize {
		return false
	}
	s.signing = ed25519.NewKeyFromSeed(in.Current)
	if in.Pending != nil {
		if len(in.Pending) != ed25519.SeedSize {
			return false
		}
		s.pending = ed25519.NewKeyFromSeed(in.Pending)
	}
	for _, vkey := range in.Earlier {
		if v, err := note.NewVerifier(vkey); err != nil || v.Name() != s.origin {
			return false
		}
	}
	s.earlierSigning = slices.Clone(in.Earlier)
	return true
}

func (s *state) readVoucher(in voucherKeys) bool {
	k, err := x509.ParsePKCS8PrivateKey(in.Current)
	if err != nil {
		return false
	}
	var ok bool
	if s.voucher, ok = k.(*rsa.PrivateKey); !ok {
		return false
	}
	s.voucherDER = in.Current
	for _, der := range in.Earlier {
		p, err := x509.ParsePKIXPublicKey(der)
		if err != nil {
			return false
		}
		public, ok := p.(*rsa.PublicKey)
		if !ok {
			return false
		}
		s.earlierVoucher = append(s.earlierVoucher, public)
	}
	return true
}

func (s *state) destroyed(k slot) bool {
	floor, ok := s.floor[k.place]
	return ok && k.day < floor
}
