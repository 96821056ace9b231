package verify

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"raccordo/hub/exchange"
)

// announcementHead is the first line of the note that announces a signing key.
const announcementHead = "raccordo/signing-key/1"

// checkpoint is what a note says; whether it is signed is asked apart.
type checkpoint struct {
	origin string
	size   int64
	root   exchange.Digest
}

// readCheckpoint reads the text of a note (C2SP tlog-checkpoint: origin, size
// and root in base64, a line each). Whose it is is known only when the ledger's
// keys are.
func (v *verifier) readCheckpoint(signed []byte, what, rule string) *checkpoint {
	text, _, ok := bytes.Cut(signed, []byte("\n\n"))
	lines := strings.Split(string(text), "\n")
	if !ok || len(lines) != 3 {
		v.find(Whole, Whole, rule, "%s is not a checkpoint", what)
		return nil
	}
	c := &checkpoint{origin: lines[0]}
	var err error
	c.size, err = strconv.ParseInt(lines[1], 10, 64)
	root, err2 := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || err2 != nil || c.size < 0 || len(root) != len(c.root) || strconv.FormatInt(c.size, 10) != lines[1] {
		v.find(Whole, Whole, rule, "%s is not a checkpoint", what)
		return nil
	}
	copy(c.root[:], root)
	return c
}

// begin takes the origin: the first signing key.
func (v *verifier) begin(e *entry) {
	if !v.decode(e, &v.origin) {
		return
	}
	k, err := note.NewVerifier(v.origin.Key)
	if err != nil || k.Name() != v.origin.Origin {
		v.find(e.seq, Whole, RuleKey, "the origin's key is not a key of its name")
		return
	}
	v.keys = append(v.keys, v.origin.Key)
}

// rotate takes a new key that the one in force has announced.
func (v *verifier) rotate(e *entry) {
	var f exchange.KeyFact
	if !v.decode(e, &f) {
		return
	}
	if len(v.keys) == 0 {
		v.find(e.seq, Whole, RuleKey, "there is no key it could be announced under")
		return
	}
	last := len(v.keys) - 1
	if repeated := last > 0 && f.Key == v.keys[last]; repeated {
		last-- // a hub that stopped before the new key counted announces it once more
	}
	current, err := note.NewVerifier(v.keys[last])
	if err != nil {
		return // never appended
	}
	n, err := note.Open(f.Announcement, note.VerifierList(current))
	if err != nil {
		v.find(e.seq, Whole, RuleKey, "the announcement is not signed by the key in force")
		return
	}
	next, err := note.NewVerifier(f.Key)
	if err != nil || n.Text != announcementHead+"\n"+f.Key+"\n" || next.Name() != current.Name() || slices.Contains(v.keys[:last+1], f.Key) {
		v.find(e.seq, Whole, RuleKey, "the announcement is not one of a new key of this ledger")
		return
	}
	v.keys = append(v.keys[:last+1], f.Key)
}

// signatures asks who signed. The key given must be one of the ledger's; from
// it trust leads over the announcements to the later ones.
func (v *verifier) signatures(vkey string, signed, outside []byte) {
	from := slices.Index(v.keys, vkey)
	if from < 0 {
		v.find(Whole, Whole, RuleKey, "the key given is none the ledger names")
		// Who holds the key and whose ledger it is differ; whether the key
		// signed is still worth knowing.
		if signer(signed, []string{vkey}) == "" {
			v.find(Whole, Whole, RuleSignature, "the checkpoint is not signed by the key given")
		}
		return
	}
	// Between the announcement of a key and its first signature the former
	// still signs; the ones before that are gone.
	trusted := v.keys[max(from, len(v.keys)-2):]
	if v.report.SignedBy = signer(signed, trusted); v.report.SignedBy == "" {
		v.find(Whole, Whole, RuleSignature, "the checkpoint is not signed by the key in force")
	}
	if v.outside != nil && signer(outside, v.keys) == "" {
		v.find(Whole, Whole, RuleOutside, "the outside checkpoint is not signed by a key of this ledger")
	}
}

// signer is the first of keys that signed a note, "" if none did.
func signer(signed []byte, keys []string) string {
	for _, k := range keys {
		v, err := note.NewVerifier(k)
		if err != nil {
			continue
		}
		if _, err := note.Open(signed, note.VerifierList(v)); err == nil {
			return k
		}
	}
	return ""
}
