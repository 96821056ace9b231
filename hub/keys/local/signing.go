package local

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/note"

	"raccordo/hub/keys"
)

// algEd25519 is the number of the algorithm in sumdb/note's key texts.
const algEd25519 = 1

// newSigner makes a note.Signer from a key; the text form of a private key is
// the only way sumdb/note takes one.
func newSigner(name string, key ed25519.PrivateKey) (note.Signer, error) {
	public := append([]byte{algEd25519}, key.Public().(ed25519.PublicKey)...)
	sum := sha256.Sum256(append([]byte(name+"\n"), public...))
	text := fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", name, binary.BigEndian.Uint32(sum[:]),
		base64.StdEncoding.EncodeToString(append([]byte{algEd25519}, key.Seed()...)))
	s, err := note.NewSigner(text)
	if err != nil {
		return nil, fmt.Errorf("make signer: %w", err)
	}
	return s, nil
}

func verifierKey(name string, key ed25519.PrivateKey) (string, error) {
	v, err := note.NewEd25519VerifierKey(name, key.Public().(ed25519.PublicKey))
	if err != nil {
		return "", fmt.Errorf("make verifier key: %w", err)
	}
	return v, nil
}

// Signer signs checkpoints with the current key.
func (k *Keyring) Signer() note.Signer { return *k.signer.Load() }

// VerifierKeys are the verifier keys (text form of sumdb/note) of the current
// signing key and of all earlier ones, newest first.
func (k *Keyring) VerifierKeys() []string {
	s := k.state.Load()
	current, err := verifierKey(s.origin, s.signing)
	if err != nil {
		return nil // a key of the wrong size: refused when the file was read
	}
	out := append([]string{current}, s.earlierSigning...)
	slices.Reverse(out[1:])
	return out
}

// RotateSigning makes a new signing key and announces it under the current
// one. Both are durable on return, but the current key goes on signing until
// the announcement is in the ledger and [Keyring.ActivateSigning] is called.
// Called again before that, it gives the same rotation.
func (k *Keyring) RotateSigning() (keys.Rotation, error) {
	if r, ok, err := k.PendingSigning(); ok || err != nil {
		return r, err
	}
	err := k.change(func(s *state) error {
		if s.pending != nil {
			return nil // somebody was faster
		}
		var err error
		s.pending, err = k.newSigning()
		return err
	})
	if err != nil {
		return keys.Rotation{}, fmt.Errorf("rotate signing key: %w", err)
	}
	r, ok, err := k.PendingSigning()
	if err == nil && !ok {
		err = fmt.Errorf("rotate signing key: activated meanwhile: %w", keys.ErrConflict)
	}
	return r, err
}

// PendingSigning is the rotation under way, if there is one: after a restart
// the hub looks whether the ledger has the announcement, and activates it or
// appends it.
func (k *Keyring) PendingSigning() (keys.Rotation, bool, error) {
	s := k.state.Load()
	if s.pending == nil {
		return keys.Rotation{}, false, nil
	}
	oldKey, err := verifierKey(s.origin, s.signing)
	if err != nil {
		return keys.Rotation{}, false, err
	}
	newKey, err := verifierKey(s.origin, s.pending)
	if err != nil {
		return keys.Rotation{}, false, err
	}
	signer, err := newSigner(s.origin, s.signing)
	if err != nil {
		return keys.Rotation{}, false, err
	}
	announcement, err := keys.Announce(signer, newKey)
	if err != nil {
		return keys.Rotation{}, false, err
	}
	return keys.Rotation{Old: oldKey, New: newKey, Announcement: announcement}, true, nil
}

// ActivateSigning makes the announced key current and destroys the old private
// key, durably. The caller has the announcement in the ledger. A key that is
// current already is no error; one that was never announced is
// keys.ErrConflict.
func (k *Keyring) ActivateSigning(verifier string) error {
	err := k.change(func(s *state) error {
		current, err := verifierKey(s.origin, s.signing)
		if err != nil {
			return err
		}
		if verifier == current {
			return nil
		}
		if s.pending == nil {
			return fmt.Errorf("no rotation is under way: %w", keys.ErrConflict)
		}
		next, err := verifierKey(s.origin, s.pending)
		if err != nil {
			return err
		}
		if verifier != next {
			return fmt.Errorf("another key was announced: %w", keys.ErrConflict)
		}
		s.earlierSigning = append(s.earlierSigning, current)
		s.signing, s.pending = s.pending, nil
		return nil
	})
	if err != nil {
		return fmt.Errorf("activate signing key: %w", err)
	}
	return nil
}

// VoucherSigner signs vouchers (RS256, RSA of 2048 bits). Its kid is
// keys.Thumbprint of its public key.
func (k *Keyring) VoucherSigner() crypto.Signer { return k.state.Load().voucher }

// VoucherKeys are the public keys vouchers may be signed with: the current one
// first, then the earlier ones that are not retired, newest first.
func (k *Keyring) VoucherKeys() []keys.VoucherKey {
	s := k.state.Load()
	publics := []*rsa.PublicKey{&s.voucher.PublicKey}
	for _, p := range slices.Backward(s.earlierVoucher) {
		publics = append(publics, p)
	}
	out := make([]keys.VoucherKey, 0, len(publics))
	for _, p := range publics {
		id, err := keys.Thumbprint(p)
		if err != nil {
			continue // not RSA: refused when the file was read
		}
		out = append(out, keys.VoucherKey{ID: id, Public: p})
	}
	return out
}

// RotateVoucher makes a new voucher key current, durably. The previous private
// key is destroyed; its public key stays among VoucherKeys, so that vouchers in
// use stay good until they expire and [Keyring.RetireVoucher] is called.
func (k *Keyring) RotateVoucher() error {
	err := k.change(func(s *state) error {
		previous := &s.voucher.PublicKey
		if err := s.newVoucher(); err != nil {
			return err
		}
		s.earlierVoucher = append(s.earlierVoucher, previous)
		return nil
	})
	if err != nil {
		return fmt.Errorf("rotate voucher key: %w", err)
	}
	return nil
}

// RetireVoucher removes an earlier public key by its id, durably. The current
// one cannot be retired (keys.ErrConflict); one that is not there is no error.
func (k *Keyring) RetireVoucher(id string) error {
	err := k.change(func(s *state) error {
		current, err := keys.Thumbprint(&s.voucher.PublicKey)
		if err != nil {
			return err
		}
		if id == current {
			return fmt.Errorf("the key is the current one: %w", keys.ErrConflict)
		}
		s.earlierVoucher = slices.DeleteFunc(s.earlierVoucher, func(p *rsa.PublicKey) bool {
			t, err := keys.Thumbprint(p)
			return err == nil && t == id
		})
		return nil
	})
	if err != nil {
		return fmt.Errorf("retire voucher key: %w", err)
	}
	return nil
}
