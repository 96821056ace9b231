package access

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// claims are the claims of a token, strictly parsed.
type claims map[string]any

// errClaim says that a claim is missing or is not what it must be; it is
// wrapped with the claim's name, never with its value.
var errClaim = errors.New("claim is missing or wrong")

func claimError(name string) error { return fmt.Errorf("%s: %w", name, errClaim) }

var (
	uuidShape = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	jtiShape  = regexp.MustCompile(`^[\x21-\x7e]{1,128}$`)
	kidShape  = regexp.MustCompile(`^[a-zA-Z0-9_-]{43}$`)
	timeShape = regexp.MustCompile(`^[1-9][0-9]{8,10}$`)
)

func (c claims) text(name string, shape *regexp.Regexp) (string, error) {
	s, ok := c[name].(string)
	if !ok || !shape.MatchString(s) {
		return "", claimError(name)
	}
	return s, nil
}

// equal wants a claim to be exactly this text: an array that contains it, as
// RFC 7519 allows for aud, is not.
func (c claims) equal(name, want string) error {
	if s, ok := c[name].(string); !ok || want == "" || s != want {
		return claimError(name)
	}
	return nil
}

// time wants whole seconds in plain digits: no text, no fraction, no exponent.
func (c claims) time(name string) (time.Time, error) {
	n, ok := c[name].(json.Number)
	if !ok || !timeShape.MatchString(n.String()) {
		return time.Time{}, claimError(name)
	}
	seconds, err := strconv.ParseInt(n.String(), 10, 64)
	if err != nil {
		return time.Time{}, claimError(name)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// times judges iat, exp and, if wanted, nbf against now, and gives exp.
func (c claims) times(now time.Time, leeway, longest time.Duration, wantNotBefore bool) (time.Time, error) {
	iat, err := c.time("iat")
	if err != nil {
		return time.Time{}, err
	}
	exp, err := c.time("exp")
	if err != nil {
		return time.Time{}, err
	}
	switch {
	case iat.After(now.Add(leeway)):
		return time.Time{}, claimError("iat")
	case !exp.After(now.Add(-leeway)), !exp.After(iat), exp.Sub(iat) > longest:
		return time.Time{}, claimError("exp")
	}
	if _, there := c["nbf"]; !there && !wantNotBefore {
		return exp, nil
	}
	nbf, err := c.time("nbf")
	if err != nil {
		return time.Time{}, err
	}
	if nbf.After(now.Add(leeway)) || !nbf.Before(exp) {
		return time.Time{}, claimError("nbf")
	}
	return exp, nil
}
