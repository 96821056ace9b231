package ledger

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"raccordo/hub/exchange"
)

// ErrCheckpoint says that bytes are not a checkpoint of this log, or not
// signed by a key of it.
var ErrCheckpoint = errors.New("not a signed checkpoint of this ledger")

// Checkpoint is what a signed note says of the ledger.
type Checkpoint struct {
	Origin string // name of the log
	Size   uint64
	Root   exchange.Digest
}

// Text is the note's text: origin, size and root in base64, a line each
// (C2SP tlog-checkpoint).
func (c Checkpoint) Text() string {
	return c.Origin + "\n" + strconv.FormatUint(c.Size, 10) + "\n" + base64.StdEncoding.EncodeToString(c.Root[:]) + "\n"
}

// OpenCheckpoint reads a signed note. One of the verifier keys (text form of
// sumdb/note) must have signed it, under the name of its own first line.
func OpenCheckpoint(signed []byte, keys []string) (Checkpoint, error) {
	verifiers := make([]note.Verifier, 0, len(keys))
	for _, k := range keys {
		v, err := note.NewVerifier(k)
		if err != nil {
			return Checkpoint{}, fmt.Errorf("verifier key: %w", err)
		}
		verifiers = append(verifiers, v)
	}
	n, err := note.Open(signed, note.VerifierList(verifiers...))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	c, err := parseCheckpoint(n.Text)
	if err != nil {
		return Checkpoint{}, err
	}
	if n.Sigs[0].Name != c.Origin {
		return Checkpoint{}, fmt.Errorf("%w: another name signed it", ErrCheckpoint)
	}
	return c, nil
}

// parseCheckpoint reads exactly what [Checkpoint.Text] writes.
func parseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return Checkpoint{}, ErrCheckpoint
	}
	c := Checkpoint{Origin: lines[0]}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 {
		return Checkpoint{}, ErrCheckpoint
	}
	c.Size = uint64(size)
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != len(c.Root) {
		return Checkpoint{}, ErrCheckpoint
	}
	copy(c.Root[:], root)
	if c.Text() != text || c.Origin == "" {
		return Checkpoint{}, ErrCheckpoint
	}
	return c, nil
}
