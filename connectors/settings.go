package connectors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"raccordo/hub/exchange"
)

// DialFunc opens a connection, as net.Dialer.DialContext does.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Resolver finds the addresses of a host name; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Signer signs a request's body in the name of the hub (ModI). It is nil where
// the hub has no such key.
type Signer interface {
	// Sign gives a compact JWS over the digest of body.
	Sign(ctx context.Context, body exchange.Payload) (string, error)
}

// Event is something a connector counts; a closed set, fit for a label.
type Event string

// The events.
const (
	EventUnknownDisclosure Event = "unknown_disclosure" // an answer or acknowledgement names an id that is not open for this system
	EventAlienAnswer       Event = "alien_answer"       // a 2xx whose body is not an answer
	EventAddressRefused    Event = "address_refused"    // the guard refused an address
	EventUnpresentable     Event = "unpresentable"      // a claimed item that the foreign protocol cannot carry
	EventWrongCaller       Event = "wrong_caller"       // a request to an outlet by another system
)

// Metrics counts. Implementations add the labels system and kind themselves.
type Metrics interface {
	Count(event Event, n int)
}

// Settings is what the hub gives a connector; nothing else comes in from
// outside. Everything in it is safe for concurrent use.
type Settings struct {
	System   exchange.SystemID // the recipient this connector serves; required
	Logger   *slog.Logger      // nothing is logged if nil
	Clock    func() time.Time  // required
	Dial     DialFunc          // required for sinks; connectors put [Guard] in front
	Resolver Resolver          // the machine's own if nil
	Secrets  func(SecretRef) (exchange.Payload, error)
	Signer   Signer
	Metrics  Metrics
}

func (s Settings) complete(kind string) (Settings, error) {
	if s.System == "" || s.Clock == nil {
		return s, fmt.Errorf("connector kind %s: settings without system or clock", kind)
	}
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	s.Logger = s.Logger.With("system", string(s.System), "connector", kind)
	if s.Resolver == nil {
		s.Resolver = &net.Resolver{}
	}
	if s.Secrets == nil {
		s.Secrets = func(SecretRef) (exchange.Payload, error) {
			return exchange.Payload{}, ErrNoSecret
		}
	}
	if s.Metrics == nil {
		s.Metrics = uncounted{}
	}
	return s, nil
}

type uncounted struct{}

func (uncounted) Count(Event, int) {}

// ErrNoSecret says that a secret's reference leads to nothing usable.
var ErrNoSecret = errors.New("the secret's reference leads to nothing usable")

// SecretRef says where a secret is, never what it is: `env:NAME` or
// `file:PATH`. A prefix is demanded so that a secret written in its place is
// refused instead of being taken for a path.
type SecretRef string

var envName = regexp.MustCompile(`^[A-Z_][A-Z0-9_]{0,127}$`)

// UnmarshalText refuses whatever is not a reference, without showing it.
func (r *SecretRef) UnmarshalText(b []byte) error {
	s := string(b)
	if name, ok := strings.CutPrefix(s, "env:"); ok && envName.MatchString(name) {
		*r = SecretRef(s)
		return nil
	}
	if path, ok := strings.CutPrefix(s, "file:"); ok && path != "" && len(path) <= 4096 && !strings.ContainsAny(path, "\x00\r\n") {
		*r = SecretRef(s)
		return nil
	}
	return errors.New("must be env:NAME or file:PATH; a secret itself never stands in a configuration")
}

// maxSecret bounds a secret or certificate file, in bytes.
const maxSecret = 64 << 10

// SecretsFrom resolves references with the given look-up of the environment
// and reader of files (os.LookupEnv, os.ReadFile). White space at the end is
// cut; an absent, empty or huge secret is [ErrNoSecret].
func SecretsFrom(env func(string) (string, bool), file func(string) ([]byte, error)) func(SecretRef) (exchange.Payload, error) {
	return func(r SecretRef) (exchange.Payload, error) {
		var b []byte
		if name, ok := strings.CutPrefix(string(r), "env:"); ok {
			v, _ := env(name)
			b = []byte(v)
		} else if path, ok := strings.CutPrefix(string(r), "file:"); ok {
			var err error
			if b, err = file(path); err != nil {
				return exchange.Payload{}, fmt.Errorf("%s: %w", r, errors.Join(ErrNoSecret, err))
			}
		}
		b = []byte(strings.TrimRight(string(b), " \t\r\n"))
		if len(b) == 0 || len(b) > maxSecret {
			return exchange.Payload{}, fmt.Errorf("%s: %w", r, ErrNoSecret)
		}
		return exchange.NewPayload(b), nil
	}
}
