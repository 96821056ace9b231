package exchange

import (
	"fmt"
	"io"
	"log/slog"
)

// hidden is what every attempt to show a payload or a tree shows.
const hidden = "[hidden]"

// Payload carries bytes of a record (or a secret) that no print verb, logger
// or encoder can show: they live in a closure, which fmt prints as an address
// at most, even inside an unexported field of another struct.
type Payload struct {
	bytes func() []byte
}

// NewPayload hides b. The caller must not change b afterwards.
func NewPayload(b []byte) Payload { return Payload{bytes: func() []byte { return b }} }

// Reveal gives the bytes. Only codecs, sealing and connectors' last step have
// a reason to call it; the result must not be changed.
func (p Payload) Reveal() []byte {
	if p.bytes == nil {
		return nil
	}
	return p.bytes()
}

// Len is the number of bytes.
func (p Payload) Len() int { return len(p.Reveal()) }

func (Payload) Format(s fmt.State, _ rune)     { _, _ = io.WriteString(s, hidden) }
func (Payload) String() string                 { return hidden }
func (Payload) GoString() string               { return hidden }
func (Payload) LogValue() slog.Value           { return slog.StringValue(hidden) }
func (Payload) MarshalText() ([]byte, error)   { return []byte(hidden), nil }
func (Payload) MarshalJSON() ([]byte, error)   { return []byte(`"` + hidden + `"`), nil }
func (Payload) MarshalBinary() ([]byte, error) { return []byte(hidden), nil }
func (Payload) GobEncode() ([]byte, error)     { return []byte(hidden), nil }
func (Payload) MarshalYAML() (any, error)      { return hidden, nil }
