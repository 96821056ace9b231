package access

import (
	"bytes"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
)

// MaxTokenBytes bounds a token before anything of it is decoded.
const MaxTokenBytes = 8 << 10

// maxClaimDepth is what PDND's claims need (digest and cnf are objects of
// texts) and no more.
const maxClaimDepth = 3

// Why a token is refused: causes for logs. None holds a byte of the token.
var (
	errTokenShape     = errors.New("not a compact signed token within bounds")
	errTokenHeader    = errors.New("header member not allowed")
	errTokenAlgorithm = errors.New("algorithm is not RS256")
	errTokenType      = errors.New("type is not the expected one")
	errTokenKey       = errors.New("key is not known")
	errTokenSignature = errors.New("signature does not verify")
)

// token is a compact JWS whose shape was checked and whose signature was not
// yet: nothing of it may be believed before verify.
type token struct {
	raw    string
	typ    string
	kid    string
	claims claims
}

// parseToken reads the shape of a compact JWS (RFC 7515 section 7.1). The
// algorithm is an allow-list of one, and the header a closed list, so that
// none of jku, x5u, jwk, x5c, crit, b64 or zip is ever looked at (RFC 8725).
func parseToken(raw string) (*token, error) {
	if len(raw) == 0 || len(raw) > MaxTokenBytes || strings.Count(raw, ".") != 2 {
		return nil, errTokenShape
	}
	parts := strings.SplitN(raw, ".", 3)
	var decoded [3][]byte
	for i, part := range parts {
		b, err := base64.RawURLEncoding.Strict().DecodeString(part)
		// The decoder skips line ends; a token has none.
		if err != nil || len(b) == 0 || strings.ContainsAny(part, "\r\n") {
			return nil, errTokenShape
		}
		decoded[i] = b
	}
	header, err := strictObject(decoded[0])
	if err != nil {
		return nil, err
	}
	t := &token{raw: raw}
	for name, value := range header {
		text, ok := value.(string)
		if !ok {
			return nil, errTokenHeader
		}
		switch name {
		case "alg":
			if text != string(jose.RS256) {
				return nil, errTokenAlgorithm
			}
		case "typ":
			t.typ = text
		case "kid":
			t.kid = text
		case "use":
			if text != "sig" {
				return nil, errTokenHeader
			}
		default:
			return nil, errTokenHeader
		}
	}
	if _, ok := header["alg"]; !ok {
		return nil, errTokenAlgorithm
	}
	if t.claims, err = strictObject(decoded[1]); err != nil {
		return nil, err
	}
	return t, nil
}

// verify checks the signature under key. The library parses the token anew
// with the same allow-list, so that a slip of ours alone opens nothing.
func (t *token) verify(key *rsa.PublicKey) error {
	sig, err := jose.ParseSignedCompact(t.raw, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return errTokenShape
	}
	if _, err := sig.Verify(key); err != nil {
		return errTokenSignature
	}
	return nil
}

// strictObject reads exactly one JSON object: valid UTF-8, no member name
// twice at any level, bounded depth, nothing after it.
func strictObject(b []byte) (map[string]any, error) {
	if !utf8.Valid(b) {
		return nil, errTokenShape
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	v, err := strictValue(dec, 0)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errTokenShape
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, errTokenShape
	}
	return m, nil
}

func strictValue(dec *json.Decoder, depth int) (any, error) {
	tok, err := dec.Token()
	if err != nil || depth > maxClaimDepth {
		return nil, errTokenShape
	}
	switch tok {
	case json.Delim('{'):
		return strictMembers(dec, depth)
	case json.Delim('['):
		var list []any
		for dec.More() {
			v, err := strictValue(dec, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		if _, err := dec.Token(); err != nil {
			return nil, errTokenShape
		}
		return list, nil
	default:
		return tok, nil
	}
}

func strictMembers(dec *json.Decoder, depth int) (any, error) {
	m := map[string]any{}
	for dec.More() {
		tok, err := dec.Token()
		name, ok := tok.(string)
		if err != nil || !ok {
			return nil, errTokenShape
		}
		if _, twice := m[name]; twice {
			return nil, fmt.Errorf("a member is there twice: %w", errTokenShape)
		}
		if m[name], err = strictValue(dec, depth+1); err != nil {
			return nil, err
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, errTokenShape
	}
	return m, nil
}
