package hub

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Config is what an operator sets (deploy/raccordo.yaml documents every key).
// Every key can also be given as RACCORDO_ and its path in capitals, joined by
// underscores: RACCORDO_CHECKPOINT_EVERY=10s.
type Config struct {
	DataDir    string           `yaml:"data_dir" doc:"directory that holds everything the hub keeps; made if it is not there, for its owner only; required"`
	Network    string           `yaml:"network" doc:"directory of the network, or builtin:reticulate; required"`
	Listen     string           `yaml:"listen" doc:"address of the API; default 127.0.0.1:8080 without TLS"`
	TLS        TLSConfig        `yaml:"tls" doc:"certificate of the API; without it the API listens on loopback only"`
	Admin      AdminConfig      `yaml:"admin" doc:"metrics, liveness and readiness"`
	Vouchers   VoucherConfig    `yaml:"vouchers" doc:"who issues the vouchers that callers bring"`
	Checkpoint CheckpointConfig `yaml:"checkpoint" doc:"signed checkpoints of the ledger"`
	Stream     StreamConfig     `yaml:"stream" doc:"the log of accepted frames"`
	Delivery   DeliveryConfig   `yaml:"delivery" doc:"how recipients are served"`
	Intake     IntakeConfig     `yaml:"intake" doc:"bounds of what is accepted"`
	Limits     RateConfig       `yaml:"limits" doc:"requests per system, where the network says nothing"`
	Clock      ClockConfig      `yaml:"clock" doc:"when the clock is not believed"`
	Log        LogConfig        `yaml:"log" doc:"what is logged"`
}

// TLSConfig names a certificate.
type TLSConfig struct {
	Certificate string `yaml:"certificate" doc:"PEM file with the certificate chain"`
	Key         string `yaml:"key" doc:"PEM file with its key"`
}

// AdminConfig is the listener of operations.
type AdminConfig struct {
	Listen string `yaml:"listen" doc:"address of /metrics, /livez, /readyz; loopback only; default 127.0.0.1:9464"`
}

// VoucherConfig says whose vouchers count.
type VoucherConfig struct {
	PublicURL string `yaml:"public_url" doc:"base URL callers use; audience of assertions and vouchers; default http(s)://LISTEN"`
	Issuer    string `yaml:"issuer" doc:"issuer of vouchers; empty: the hub issues them itself (a pilot without PDND)"`
	JWKS      string `yaml:"jwks" doc:"file with the issuer's keys (JWKS); required with issuer"`
	Audience  string `yaml:"audience" doc:"audience of the issuer's vouchers; default public_url"`
	EService  string `yaml:"eservice" doc:"the issuer's id of this e-service, a UUID; required with issuer"`
	Version   string `yaml:"descriptor" doc:"the issuer's id of its version, a UUID; required with issuer"`
	Producer  string `yaml:"producer" doc:"the issuer's id of the body that runs the hub, a UUID; required with issuer"`
}

// CheckpointConfig says how often the head is signed and where copies go.
type CheckpointConfig struct {
	Origin string        `yaml:"origin" doc:"name of the ledger, first line of its checkpoints; default raccordo/HUB-ID; fixed once the ledger has begun"`
	Every  time.Duration `yaml:"every" doc:"how often the head is signed while it moves; default 10s"`
	CopyTo string        `yaml:"copy_to" doc:"second directory, best on another disk or machine: only from there a cut-off ledger is seen; empty: none"`
}

// StreamConfig bounds the log.
type StreamConfig struct {
	Lanes        int   `yaml:"lanes" doc:"number of lanes; fixed once there is something in them; default 4"`
	SegmentBytes int64 `yaml:"segment_bytes" doc:"size of a segment file; default 67108864"`
	MaxBytes     int64 `yaml:"max_bytes" doc:"size of the whole log of a class; full: pushes are answered 503; default 68719476736"`
}

// DeliveryConfig sets how recipients are served.
type DeliveryConfig struct {
	SendTimeout time.Duration `yaml:"send_timeout" doc:"how long one send may take; also the bound a withdrawal names; default 30s"`
	BackoffMin  time.Duration `yaml:"backoff_min" doc:"first pause after a failure; default 250ms"`
	BackoffMax  time.Duration `yaml:"backoff_max" doc:"longest pause; default 1m"`
	SpillAfter  time.Duration `yaml:"spill_after" doc:"how long a recipient may hold up a full window; default 5s"`
	WaitingMax  int           `yaml:"waiting_max" doc:"records that may wait for one recipient; then pushes for it are answered 429; default 1000000"`
	LagMax      int           `yaml:"lag_max" doc:"parts a lane may be behind; then pushes are answered 503; default 200000"`
}

// IntakeConfig bounds pushes.
type IntakeConfig struct {
	BodyBytes int64         `yaml:"body_bytes" doc:"largest body of a request; default 10485760"`
	Lines     int           `yaml:"lines" doc:"most lines of an NDJSON request; default 10000"`
	KeepKeys  time.Duration `yaml:"keep_keys" doc:"how long an Idempotency-Key answers; at least 24h; default 72h"`
	MaxKeys   int           `yaml:"max_keys" doc:"keys remembered per system; default 20000000"`
}

// RateConfig is the default rate of a system.
type RateConfig struct {
	PerSecond float64 `yaml:"per_second" doc:"requests a second; default 200"`
	Burst     int     `yaml:"burst" doc:"requests at once; default 400"`
}

// ClockConfig bounds what the clock may do.
type ClockConfig struct {
	MaxDowntime time.Duration `yaml:"max_downtime" doc:"how far the clock may be ahead of the last entry at start before an operator must confirm it; default 720h"`
}

// LogConfig sets the log.
type LogConfig struct {
	Level string `yaml:"level" doc:"debug, info, warn or error; default info"`
}

// DefaultConfig is what counts where nothing is said.
func DefaultConfig() Config {
	return Config{
		Listen:     "127.0.0.1:8080",
		Admin:      AdminConfig{Listen: "127.0.0.1:9464"},
		Checkpoint: CheckpointConfig{Every: 10 * time.Second},
		Stream:     StreamConfig{Lanes: 4, SegmentBytes: 64 << 20, MaxBytes: 64 << 30},
		Delivery: DeliveryConfig{SendTimeout: 30 * time.Second, BackoffMin: 250 * time.Millisecond, BackoffMax: time.Minute,
			SpillAfter: 5 * time.Second, WaitingMax: 1_000_000, LagMax: 200_000},
		Intake: IntakeConfig{BodyBytes: 10 << 20, Lines: 10_000, KeepKeys: 72 * time.Hour, MaxKeys: 20_000_000},
		Limits: RateConfig{PerSecond: 200, Burst: 400},
		Clock:  ClockConfig{MaxDowntime: 720 * time.Hour},
		Log:    LogConfig{Level: "info"},
	}
}

// ErrConfig says that a configuration has faults; every one is in the chain.
var ErrConfig = errors.New("configuration invalid")

// LoadConfig decodes a file over the defaults, then the environment over that,
// and validates: unknown keys, a second document and every fault are reported,
// each with the path of its key. src may be nil.
func LoadConfig(src io.Reader, environ []string) (Config, error) {
	c := DefaultConfig()
	if src != nil {
		b, err := io.ReadAll(io.LimitReader(src, 1<<20+1))
		if err != nil {
			return c, fmt.Errorf("read configuration: %w", err)
		}
		if len(b) > 1<<20 {
			return c, fmt.Errorf("%w: larger than 1 MiB", ErrConfig)
		}
		d := yaml.NewDecoder(bytes.NewReader(b))
		d.KnownFields(true)
		if err := d.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
			return c, fmt.Errorf("%w: %w", ErrConfig, err)
		}
		if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
			return c, fmt.Errorf("%w: one document only", ErrConfig)
		}
	}
	if err := c.fromEnv(environ); err != nil {
		return c, err
	}
	return c, c.Validate()
}

const envPrefix = "RACCORDO_"

// fromEnv sets keys from RACCORDO_ variables; a variable that names no key is a
// fault (a misspelt one would otherwise do nothing), except those that are the
// commands' own.
func (c *Config) fromEnv(environ []string) error {
	keys := map[string]reflect.Value{}
	envKeys(reflect.ValueOf(c).Elem(), envPrefix, keys)
	var faults []error
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, envPrefix) || commandVariables[name] {
			continue
		}
		field, ok := keys[name]
		if !ok {
			faults = append(faults, fmt.Errorf("%s: no such key", name))
			continue
		}
		if err := yaml.Unmarshal([]byte(value), field.Addr().Interface()); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", name, errors.New("not a value of this key")))
		}
	}
	if len(faults) > 0 {
		return fmt.Errorf("%w: %w", ErrConfig, errors.Join(faults...))
	}
	return nil
}

// commandVariables are read by commands, not by the hub.
var commandVariables = map[string]bool{"RACCORDO_CONFIG": true, "RACCORDO_URL": true, "RACCORDO_KEY": true, "RACCORDO_CA": true}

func envKeys(v reflect.Value, prefix string, out map[string]reflect.Value) {
	for i := range v.NumField() {
		name := prefix + strings.ToUpper(v.Type().Field(i).Tag.Get("yaml"))
		if v.Field(i).Kind() == reflect.Struct {
			envKeys(v.Field(i), name+"_", out)
			continue
		}
		out[name] = v.Field(i)
	}
}

// Validate reports every fault, each with its key.
func (c *Config) Validate() error {
	var faults []error
	bad := func(cond bool, key, what string) {
		if cond {
			faults = append(faults, fmt.Errorf("%s: %s", key, what))
		}
	}
	bad(c.DataDir == "", "data_dir", "is required: the directory that holds everything the hub keeps")
	bad(c.Network == "", "network", "is required: the directory of the network, or builtin:reticulate")
	bad((c.TLS.Certificate == "") != (c.TLS.Key == ""), "tls", "needs both certificate and key")
	bad(c.TLS.Certificate == "" && !loopback(c.Listen), "listen", "without tls the API listens on loopback only (127.0.0.1:PORT)")
	bad(!loopback(c.Admin.Listen), "admin.listen", "must be on loopback (127.0.0.1:PORT)")
	v := c.Vouchers
	bad(v.Issuer != "" && (v.JWKS == "" || v.EService == "" || v.Version == "" || v.Producer == ""), "vouchers",
		"issuer needs jwks, eservice, descriptor and producer")
	bad(c.Stream.Lanes < 1 || c.Stream.Lanes > 64, "stream.lanes", "must be 1 to 64")
	bad(c.Stream.SegmentBytes < 1<<20, "stream.segment_bytes", "must be at least 1048576")
	bad(c.Stream.MaxBytes < 2*c.Stream.SegmentBytes, "stream.max_bytes", "must hold at least two segments")
	bad(c.Delivery.SendTimeout < 100*time.Millisecond || c.Delivery.SendTimeout > 10*time.Minute, "delivery.send_timeout", "must be 100ms to 10m")
	bad(c.Delivery.BackoffMin <= 0 || c.Delivery.BackoffMax < c.Delivery.BackoffMin, "delivery.backoff_max", "must not be below backoff_min")
	bad(c.Delivery.SpillAfter <= 0, "delivery.spill_after", "must be positive")
	bad(c.Delivery.WaitingMax <= 0 || c.Delivery.LagMax <= 0, "delivery", "waiting_max and lag_max must be positive")
	bad(c.Intake.BodyBytes < 1024 || c.Intake.BodyBytes > 64<<20, "intake.body_bytes", "must be 1024 to 67108864")
	bad(c.Intake.Lines < 1 || c.Intake.Lines > 10_000, "intake.lines", "must be 1 to 10000")
	bad(c.Intake.KeepKeys < 24*time.Hour, "intake.keep_keys", "must be at least 24h")
	bad(c.Intake.MaxKeys < 1, "intake.max_keys", "must be positive")
	bad(c.Limits.PerSecond <= 0 || c.Limits.Burst < 1, "limits", "must be positive")
	bad(c.Clock.MaxDowntime <= 0, "clock.max_downtime", "must be positive")
	bad(c.Checkpoint.Every < 100*time.Millisecond, "checkpoint.every", "must be at least 100ms")
	switch c.Log.Level {
	case "debug", "info", "warn", "error":
	default:
		bad(true, "log.level", "must be debug, info, warn or error")
	}
	if len(faults) > 0 {
		return fmt.Errorf("%w: %w", ErrConfig, errors.Join(faults...))
	}
	return nil
}

func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
