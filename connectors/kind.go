package connectors

import (
	"errors"
	"fmt"
	"regexp"
	"sort"

	"go.yaml.in/yaml/v3"

	"raccordo/hub/exchange"
)

// Stability says how much a kind may still change.
type Stability string

// The stabilities.
const (
	Experimental Stability = "experimental" // its configuration may change without notice
	Stable       Stability = "stable"       // its configuration only grows
)

// Kind is one foreign protocol. The zero value is not a kind; make one with
// [NewKind] and put it into a [Set].
type Kind struct {
	name, summary string
	stability     Stability
	decode        func(*yaml.Node) (any, []exchange.Fault)
	keys          []Key
	sink          func(any, Settings) (Sink, error)
	outlet        func(any, Settings, Claims) (Outlet, error)
	faults        []error // of the declaration, reported by NewSet
}

// Option adds an ability to a kind whose configuration is a C.
type Option[C any] func(*Kind)

// WithSink says that the kind can call recipients. open must not do I/O beyond
// looking at the secrets it will need; it must not keep a goroutine.
func WithSink[C any](open func(C, Settings) (Sink, error)) Option[C] {
	return func(k *Kind) {
		k.sink = func(c any, s Settings) (Sink, error) { return open(c.(C), s) }
	}
}

// WithOutlet says that recipients of this kind come and fetch.
func WithOutlet[C any](open func(C, Settings, Claims) (Outlet, error)) Option[C] {
	return func(k *Kind) {
		k.outlet = func(c any, s Settings, claims Claims) (Outlet, error) { return open(c.(C), s, claims) }
	}
}

// WithStability says how much the kind may still change; experimental if it is
// not said.
func WithStability[C any](s Stability) Option[C] {
	return func(k *Kind) { k.stability = s }
}

// NewKind declares a kind. C is a struct whose exported fields carry the tags
// `yaml:"key"` and `doc:"sentence"`; defaults gives the value that a
// configuration is decoded over. If C has a method
//
//	Validate() []exchange.Fault
//
// it is asked after decoding; its pointers are those of the keys. A mistake in
// the declaration is reported by [NewSet].
func NewKind[C any](name, summary string, defaults func() C, opts ...Option[C]) Kind {
	k := Kind{name: name, summary: summary, stability: Experimental}
	for _, o := range opts {
		o(&k)
	}
	if defaults == nil {
		k.faults = append(k.faults, errors.New("no defaults"))
		defaults = func() C { var c C; return c }
	}
	keys, err := keysOf(defaults())
	if err != nil {
		k.faults = append(k.faults, err)
	}
	k.keys = keys
	k.decode = func(n *yaml.Node) (any, []exchange.Fault) {
		c := defaults()
		faults := decodeStrict(n, &c)
		return c, faults
	}
	return k
}

// Name is the kind's name, as it stands in the network's files.
func (k Kind) Name() string { return k.name }

// Summary is one sentence about the kind.
func (k Kind) Summary() string { return k.summary }

// Stability says how much the kind may still change.
func (k Kind) Stability() Stability { return k.stability }

// Keys documents every key of the configuration, in the order of declaration.
func (k Kind) Keys() []Key { return append([]Key(nil), k.keys...) }

// HasSink reports whether the hub can call recipients through this kind.
func (k Kind) HasSink() bool { return k.sink != nil }

// HasOutlet reports whether recipients of this kind come and fetch.
func (k Kind) HasOutlet() bool { return k.outlet != nil }

// Config is a decoded and validated configuration of one kind. It shows
// nothing but the kind's name when it is printed.
type Config struct {
	kind  string
	value func() any
}

// Kind is the name of the kind it belongs to.
func (c Config) Kind() string { return c.kind }

func (c Config) String() string               { return "configuration of " + c.kind }
func (c Config) GoString() string             { return c.String() }
func (c Config) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// Decode reads a configuration strictly: unknown and repeated keys, aliases,
// wrong types and inline secrets are faults, and all faults are reported, with
// pointer and line, never with a value. A nil node or one without content
// stands for the defaults. The configuration is usable only without faults.
func (k Kind) Decode(n *yaml.Node) (Config, []exchange.Fault) {
	if k.decode == nil {
		return Config{}, []exchange.Fault{{Rule: "the kind was not made with NewKind"}}
	}
	v, faults := k.decode(n)
	if len(faults) > 0 {
		return Config{}, faults
	}
	return Config{kind: k.name, value: func() any { return v }}, nil
}

// OpenSink opens the kind's sink for one recipient system.
func (k Kind) OpenSink(c Config, s Settings) (Sink, error) {
	if k.sink == nil {
		return nil, fmt.Errorf("connector kind %s has no sink", k.name)
	}
	if c.kind != k.name || c.value == nil {
		return nil, fmt.Errorf("connector kind %s: a configuration of another kind", k.name)
	}
	s, err := s.complete(k.name)
	if err != nil {
		return nil, err
	}
	sink, err := k.sink(c.value(), s)
	if err != nil {
		return nil, fmt.Errorf("open %s sink of %s: %w", k.name, s.System, err)
	}
	return sink, nil
}

// OpenOutlet opens the kind's outlet for one recipient system. claims is what
// the outlet asks at every fetch and acknowledgement.
func (k Kind) OpenOutlet(c Config, s Settings, claims Claims) (Outlet, error) {
	if k.outlet == nil {
		return nil, fmt.Errorf("connector kind %s has no outlet", k.name)
	}
	if c.kind != k.name || c.value == nil {
		return nil, fmt.Errorf("connector kind %s: a configuration of another kind", k.name)
	}
	if claims == nil {
		return nil, fmt.Errorf("connector kind %s: no claims", k.name)
	}
	s, err := s.complete(k.name)
	if err != nil {
		return nil, err
	}
	outlet, err := k.outlet(c.value(), s, claims)
	if err != nil {
		return nil, fmt.Errorf("open %s outlet of %s: %w", k.name, s.System, err)
	}
	return outlet, nil
}

var kindName = regexp.MustCompile(`^[a-z][a-z0-9]{1,31}$`)

func (k Kind) check() error {
	faults := append([]error(nil), k.faults...)
	if !kindName.MatchString(k.name) {
		faults = append(faults, errors.New("the name must match "+kindName.String()))
	}
	if k.summary == "" {
		faults = append(faults, errors.New("no summary"))
	}
	if k.stability != Experimental && k.stability != Stable {
		faults = append(faults, errors.New("unknown stability"))
	}
	if k.sink == nil && k.outlet == nil {
		faults = append(faults, errors.New("neither a sink nor an outlet"))
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("connector kind %q: %w", k.name, err)
	}
	return nil
}

// Set is the closed list of kinds a hub knows. It never changes.
type Set struct {
	kinds map[string]Kind
	names []string
}

// NewSet holds the given kinds. A malformed kind or a name given twice is an
// error; all of them are reported.
func NewSet(kinds ...Kind) (*Set, error) {
	s := &Set{kinds: make(map[string]Kind, len(kinds))}
	var faults []error
	for _, k := range kinds {
		if err := k.check(); err != nil {
			faults = append(faults, err)
			continue
		}
		if _, ok := s.kinds[k.name]; ok {
			faults = append(faults, fmt.Errorf("connector kind %q is given twice", k.name))
			continue
		}
		s.kinds[k.name] = k
		s.names = append(s.names, k.name)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	sort.Strings(s.names)
	return s, nil
}

// Kind is the kind of that name.
func (s *Set) Kind(name string) (Kind, bool) {
	k, ok := s.kinds[name]
	return k, ok
}

// Names are the names of all kinds, sorted.
func (s *Set) Names() []string { return append([]string(nil), s.names...) }
