package api

import (
	"math"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"raccordo/hub/exchange"
)

// Every path of the API is plain: what has escapes, dots, empty segments or
// anything else is on no route, and is refused before anything interprets it.
var plainPath = regexp.MustCompile(`^(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+/?$`)

const maxPath = 512

// guard refuses what no route could want, before routing.
func (c *call) guard() error {
	r := c.r
	if r.Method == http.MethodConnect || r.RequestURI == "*" || !strings.HasPrefix(r.RequestURI, "/") {
		return exchange.NewError(exchange.CodeMalformed, exchange.ReasonParameter, "the request target must be a path")
	}
	path, _, _ := strings.Cut(r.RequestURI, "?")
	if len(path) > maxPath || !plainPath.MatchString(path) {
		return errNotFound
	}
	return nil
}

// checkQuery refuses parameters that are not the route's, or are there twice.
func (c *call) checkQuery() error {
	raw := c.r.URL.RawQuery
	if raw == "" {
		return nil
	}
	values, err := url.ParseQuery(raw)
	if err != nil || len(c.route.query) == 0 {
		return errParameter("", "additional_property")
	}
	for name, list := range values {
		if !slices.Contains(c.route.query, name) {
			return errParameter("", "additional_property")
		}
		if len(list) > 1 {
			return errParameter("/"+exchange.Pointer(name), "max_items")
		}
	}
	return nil
}

func errParameter(at exchange.Pointer, rule string) error {
	return exchange.NewError(exchange.CodeMalformed, exchange.ReasonParameter, "a parameter is not what it must be",
		exchange.Fault{Pointer: at, Rule: rule})
}

// number is a query parameter in plain digits within bounds; absent gives ok
// false.
func (c *call) number(name string, least, most uint64) (n uint64, ok bool, err error) {
	values, there := c.r.URL.Query()[name]
	if !there {
		return 0, false, nil
	}
	n, err = digits(values[0])
	at := exchange.Pointer("/" + name)
	switch {
	case err != nil:
		return 0, false, errParameter(at, "type")
	case n < least:
		return 0, false, errParameter(at, "minimum")
	case n > most:
		return 0, false, errParameter(at, "maximum")
	}
	return n, true, nil
}

// maxExact is the largest integer that every JSON reader holds exactly.
const maxExact = 1<<53 - 1

func digits(s string) (uint64, error) {
	if len(s) > 19 || len(s) == 0 || (len(s) > 1 && s[0] == '0') {
		return 0, strconv.ErrSyntax
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, strconv.ErrSyntax
		}
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > math.MaxInt64 {
		return 0, strconv.ErrRange
	}
	return n, nil
}

// checkMedia finds the media type of the body among those of the route.
func (c *call) checkMedia() error {
	refused := exchange.NewError(exchange.CodeUnsupported, exchange.ReasonMediaType, "the media type, charset or content encoding is not read here")
	if len(c.r.Header.Values("Content-Type")) != 1 {
		return refused
	}
	for _, coding := range c.r.Header.Values("Content-Encoding") {
		if !strings.EqualFold(strings.TrimSpace(coding), "identity") {
			return refused
		}
	}
	media := c.r.Header.Get("Content-Type")
	if !slices.Contains(c.route.media, media) { // the hot path has no parameters
		name, params, err := mime.ParseMediaType(media)
		if err != nil || !slices.Contains(c.route.media, name) {
			return refused
		}
		for p, v := range params {
			if p != "charset" || !strings.EqualFold(v, "utf-8") {
				return refused
			}
		}
		media = name
	}
	c.media = media
	return nil
}

// maxKey bounds what an Idempotency-Key says.
const maxKey = 128

// idempotencyKey reads the header as it stands or as a quoted string
// (RFC 9651 3.3.3), so that both forms of one key are one key.
func idempotencyKey(h http.Header) (string, error) {
	values := h.Values("Idempotency-Key")
	if len(values) == 0 {
		return "", exchange.NewError(exchange.CodeMalformed, exchange.ReasonKeyMissing, "the header Idempotency-Key is required")
	}
	invalid := exchange.NewError(exchange.CodeMalformed, exchange.ReasonKeyInvalid,
		"Idempotency-Key must be one text of 1 to 128 printable ASCII characters")
	v := values[0]
	if len(values) > 1 || len(v) > 2*maxKey+2 {
		return "", invalid
	}
	if strings.HasPrefix(v, `"`) {
		var ok bool
		if v, ok = unquote(v); !ok {
			return "", invalid
		}
	} else if strings.ContainsAny(v, " ") {
		return "", invalid
	}
	if len(v) == 0 || len(v) > maxKey {
		return "", invalid
	}
	for _, b := range []byte(v) {
		if b < 0x20 || b > 0x7e {
			return "", invalid
		}
	}
	return v, nil
}

func unquote(s string) (string, bool) {
	if len(s) < 2 || s[len(s)-1] != '"' {
		return "", false
	}
	s = s[1 : len(s)-1]
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch b := s[i]; b {
		case '"':
			return "", false
		case '\\':
			if i++; i == len(s) || (s[i] != '"' && s[i] != '\\') {
				return "", false
			}
			out = append(out, s[i])
		default:
			out = append(out, b)
		}
	}
	return string(out), true
}
