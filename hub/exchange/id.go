package exchange

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// ErrBadID says that a text is not a well-formed identifier of its kind. The
// text itself is never part of the error: it may be a person's.
var ErrBadID = errors.New("not a well-formed identifier")

type id [16]byte

func (i id) String() string { return hex.EncodeToString(i[:]) }

func (i id) uuid() string {
	h := hex.EncodeToString(i[:])
	return h[0:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:32]
}

func parseID(s string) (id, error) {
	var out id
	switch {
	case len(s) == 32:
	case len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-':
		s = s[0:8] + s[9:13] + s[14:18] + s[19:23] + s[24:36]
	default:
		return out, ErrBadID
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return out, ErrBadID
		}
	}
	if _, err := hex.Decode(out[:], []byte(s)); err != nil {
		return out, ErrBadID
	}
	return out, nil
}

func randomID(random io.Reader) (id, error) {
	var out id
	if _, err := io.ReadFull(random, out[:]); err != nil {
		return out, fmt.Errorf("draw identifier: %w", err)
	}
	return out, nil
}

// uuidV8 sets the version and variant bits of RFC 9562 section 5.8, so that an
// identifier derived from a MAC is a UUID to whoever receives it.
func uuidV8(i id) id {
	i[6] = i[6]&0x0f | 0x80
	i[8] = i[8]&0x3f | 0x80
	return i
}

// HubID is the random identity both halves of one hub carry: the stream and
// the store compare it, so that no half of one starts with half of another.
type HubID id

// FrameID names what one accepted request left in the stream.
type FrameID id

// RecordID names one record; to the outside it is a UUID (RFC 9562 version 8).
type RecordID id

// SubjectID is the only key of a person in lanes, tables, ledger and logs: 128
// random bits drawn at first sight. A record about no person carries a thing's
// id in the same place.
type SubjectID id

// EntryID names one ledger entry before its sequence number is known, so that
// a commit of unknown outcome can be looked up.
type EntryID id

// DisclosureID names one (record, flow); it is the same at every attempt.
type DisclosureID id

// ConsentID names one consent record.
type ConsentID id

// DossierID names one dossier.
type DossierID id

// NewHubID draws a hub identity from random.
func NewHubID(random io.Reader) (HubID, error) { v, err := randomID(random); return HubID(v), err }

// NewSubjectID draws a subject id from random.
func NewSubjectID(random io.Reader) (SubjectID, error) {
	v, err := randomID(random)
	return SubjectID(v), err
}

// NewEntryID draws an entry id from random.
func NewEntryID(random io.Reader) (EntryID, error) {
	v, err := randomID(random)
	return EntryID(v), err
}

// NewConsentID draws a consent id (UUID form) from random.
func NewConsentID(random io.Reader) (ConsentID, error) {
	v, err := randomID(random)
	return ConsentID(uuidV8(v)), err
}

// NewDossierID draws a dossier id (UUID form) from random.
func NewDossierID(random io.Reader) (DossierID, error) {
	v, err := randomID(random)
	return DossierID(uuidV8(v)), err
}

// FrameIDFromMAC takes the first 16 bytes of a MAC over system, idempotency
// key and first reception (protocol.md 2.7).
func FrameIDFromMAC(mac [32]byte) FrameID { return FrameID(uuidV8(id(mac[:16]))) }

// RecordIDFromMAC takes the first 16 bytes of a MAC over frame id, line and
// content digest (protocol.md 2.7).
func RecordIDFromMAC(mac [32]byte) RecordID { return RecordID(uuidV8(id(mac[:16]))) }

// NewDisclosureID derives the id of record r's disclosure through flow f.
func NewDisclosureID(r RecordID, f FlowID) DisclosureID {
	h := sha256.New()
	h.Write([]byte("raccordo/disclosure/1\x00"))
	h.Write(r[:])
	h.Write([]byte(f))
	return DisclosureID(uuidV8(id(h.Sum(nil)[:16])))
}

// ParseHubID reads 32 lower-case hex digits.
func ParseHubID(s string) (HubID, error) { v, err := parseID(s); return HubID(v), err }

// ParseFrameID reads the text form of a frame id.
func ParseFrameID(s string) (FrameID, error) { v, err := parseID(s); return FrameID(v), err }

// ParseRecordID reads a record id in its UUID form.
func ParseRecordID(s string) (RecordID, error) { v, err := parseID(s); return RecordID(v), err }

// ParseSubjectID reads 32 lower-case hex digits.
func ParseSubjectID(s string) (SubjectID, error) { v, err := parseID(s); return SubjectID(v), err }

// ParseEntryID reads 32 lower-case hex digits.
func ParseEntryID(s string) (EntryID, error) { v, err := parseID(s); return EntryID(v), err }

// ParseDisclosureID reads a disclosure id in its UUID form.
func ParseDisclosureID(s string) (DisclosureID, error) {
	v, err := parseID(s)
	return DisclosureID(v), err
}

// ParseConsentID reads a consent id in its UUID form.
func ParseConsentID(s string) (ConsentID, error) { v, err := parseID(s); return ConsentID(v), err }

// ParseDossierID reads a dossier id in its UUID form.
func ParseDossierID(s string) (DossierID, error) { v, err := parseID(s); return DossierID(v), err }

func (i HubID) String() string        { return id(i).String() }
func (i FrameID) String() string      { return id(i).uuid() }
func (i RecordID) String() string     { return id(i).uuid() }
func (i SubjectID) String() string    { return id(i).String() }
func (i EntryID) String() string      { return id(i).String() }
func (i DisclosureID) String() string { return id(i).uuid() }
func (i ConsentID) String() string    { return id(i).uuid() }
func (i DossierID) String() string    { return id(i).uuid() }

// MarshalText and UnmarshalText give every identifier its text form in JSON.

func (i HubID) MarshalText() ([]byte, error)        { return []byte(i.String()), nil }
func (i FrameID) MarshalText() ([]byte, error)      { return []byte(i.String()), nil }
func (i RecordID) MarshalText() ([]byte, error)     { return []byte(i.String()), nil }
func (i SubjectID) MarshalText() ([]byte, error)    { return []byte(i.String()), nil }
func (i EntryID) MarshalText() ([]byte, error)      { return []byte(i.String()), nil }
func (i DisclosureID) MarshalText() ([]byte, error) { return []byte(i.String()), nil }
func (i ConsentID) MarshalText() ([]byte, error)    { return []byte(i.String()), nil }
func (i DossierID) MarshalText() ([]byte, error)    { return []byte(i.String()), nil }

func (i *HubID) UnmarshalText(b []byte) error        { return unmarshalID((*id)(i), b) }
func (i *FrameID) UnmarshalText(b []byte) error      { return unmarshalID((*id)(i), b) }
func (i *RecordID) UnmarshalText(b []byte) error     { return unmarshalID((*id)(i), b) }
func (i *SubjectID) UnmarshalText(b []byte) error    { return unmarshalID((*id)(i), b) }
func (i *EntryID) UnmarshalText(b []byte) error      { return unmarshalID((*id)(i), b) }
func (i *DisclosureID) UnmarshalText(b []byte) error { return unmarshalID((*id)(i), b) }
func (i *ConsentID) UnmarshalText(b []byte) error    { return unmarshalID((*id)(i), b) }
func (i *DossierID) UnmarshalText(b []byte) error    { return unmarshalID((*id)(i), b) }

func unmarshalID(dst *id, b []byte) error {
	v, err := parseID(string(b))
	if err != nil {
		return err
	}
	*dst = v
	return nil
}

// Digest is a SHA-256 digest or a 256-bit MAC.
type Digest [32]byte

// DigestOf is the SHA-256 of b.
func DigestOf(b []byte) Digest { return sha256.Sum256(b) }

func (d Digest) String() string               { return hex.EncodeToString(d[:]) }
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads 64 lower-case hex digits.
func (d *Digest) UnmarshalText(b []byte) error {
	if len(b) != 64 {
		return ErrBadID
	}
	for _, c := range b {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return ErrBadID
		}
	}
	_, err := hex.Decode(d[:], b)
	return err
}
