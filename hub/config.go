package hub

import (
	"errors"
	"time"
)

// Config is what an operator sets (deploy/raccordo.yaml documents every key).
// Every key can also be given as RACCORDO_ and its path in capitals, joined by
// underscores: RACCORDO_CHECKPOINT_EVERY=10s.
type Config struct {
	DataDir    string           `yaml:"data_dir" doc:"directory that holds everything the hub keeps; made if it is not there, for its owner only; a relative path counts from the working directory; required"`
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
