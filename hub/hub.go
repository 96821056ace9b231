package hub

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"raccordo/connectors"
	"raccordo/hub/access"
	"raccordo/hub/control"
	"raccordo/hub/delivery"
	"raccordo/hub/exchange"
	"raccordo/hub/intake"
	"raccordo/hub/keys/local"
	"raccordo/hub/ledger"
	"raccordo/hub/network"
	"raccordo/hub/officer"
	"raccordo/hub/person"
	"raccordo/hub/store"
	"raccordo/hub/store/sqlite"
	"raccordo/hub/stream/embedded"
	"raccordo/hub/telemetry"
	"raccordo/schemas/catalog"
)

// Options are what a hub is built from. Config and Kinds are required; the
// rest has the real thing as default.
type Options struct {
	Config   Config
	Kinds    *connectors.Set  // built-in kinds and those of others; see cmd/raccordo
	Network  fs.FS            // the network's directory; nil: Config.Network names it
	Builtin  map[string]fs.FS // networks that come with the binary, by name
	Clock    exchange.Clock
	Rand     io.Reader
	Logger   *slog.Logger
	Dial     connectors.DialFunc
	Resolver connectors.Resolver
	Getenv   func(string) (string, bool)
	Version  string
}

func (o *Options) defaults() {
	if o.Clock == nil {
		o.Clock = exchange.NewSystemClock()
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	if o.Getenv == nil {
		o.Getenv = os.LookupEnv
	}
}

// controlSocket is the name of the operators' socket in the data directory.
const controlSocket = "control.sock"

// ErrInUse says that another hub uses the data directory.
var ErrInUse = errors.New("the data directory is in use by another hub")

// NetworkError says that a network has faults: nothing of it was loaded.
type NetworkError struct{ Faults []network.Fault }

func (e *NetworkError) Error() string {
	return fmt.Sprintf("the network has %d faults; the first: %s", len(e.Faults), e.Faults[0])
}

// Hub is one replica on the embedded tier.
type Hub struct {
	opt     Options
	cfg     Config
	log     *slog.Logger
	catalog *catalog.Catalog
	metrics *telemetry.Metrics
	plan    atomic.Pointer[plan]

	store      *sqlite.Store
	stream     *embedded.Log
	keys       *local.Keyring
	writer     *ledger.Writer
	reader     *ledger.Reader
	follower   *ledger.Follower
	signer     *ledger.Checkpointer
	directory  *person.Directory
	index      *intake.Index
	intake     *intake.Intake
	deliverer  *delivery.Deliverer
	register   *officer.Register
	access     *access.Directory
	voucherSet *access.KeySet // of the hub's own vouchers, nil if another issues them
	work       *os.File

	apiListener   net.Listener
	adminListener net.Listener
	control       net.Listener
	servers       []*http.Server
	sinks         delivery.Sinks
	outlets       map[exchange.SystemID]connectors.Outlet

	imbalance atomic.Int64 // as last compared

	state   atomic.Pointer[string] // why it is not ready; "" is ready
	keyLook atomic.Pointer[keyLook]
	closers []closer
	mu      sync.Mutex
	started bool
	stopped bool
}

// closer is a teardown, registered the moment its thing exists.
type closer struct {
	name string
	fn   func(context.Context) error
}

// New checks the configuration and the network, opens the data directory and
// binds the listeners. Nothing runs before [Hub.Start]. Errors: [ErrConfig],
// [*NetworkError], [ErrInUse], [store.ErrForeign].
func New(ctx context.Context, opt Options) (*Hub, error) {
	opt.defaults()
	h := &Hub{opt: opt, cfg: opt.Config, log: opt.Logger, metrics: telemetry.NewMetrics(prometheus.NewRegistry(), opt.Version)}
	h.notReady("starting")
	if err := h.open(ctx); err != nil {
		return nil, errors.Join(err, h.close(context.Background()))
	}
	return h, nil
}

func (h *Hub) open(ctx context.Context) error {
	if err := h.cfg.Validate(); err != nil {
		return err
	}
	steps := []func(context.Context) error{h.loadNetwork, h.openData, h.openKeys, h.openLedger, h.openPersons, h.openConnectors,
		h.openDelivery, h.openIntake, h.bind}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (h *Hub) loadNetwork(context.Context) error {
	var err error
	if h.catalog, err = catalog.Load(); err != nil {
		return fmt.Errorf("catalogue: %w", err)
	}
	fsys := h.opt.Network
	if fsys == nil {
		if fsys, err = NetworkFS(h.cfg.Network, h.opt.Builtin); err != nil {
			return err
		}
	}
	n, faults := network.Load(fsys, network.Options{Catalog: h.catalog, Kinds: Kinds{h.opt.Kinds}, Now: h.opt.Clock.Now()})
	if len(faults) > 0 {
		return &NetworkError{faults}
	}
	h.plan.Store(newPlan(n, func(t exchange.RecordType) string { return h.catalog.Latest(t).Version }, h.metrics))
	return nil
}

func (h *Hub) openData(ctx context.Context) error {
	if err := os.MkdirAll(h.cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("%w: data_dir: %w", ErrConfig, err)
	}
	var err error
	h.store, err = sqlite.Open(ctx, sqlite.Options{Dir: h.cfg.DataDir, Rand: h.opt.Rand, Logger: h.log})
	if errors.Is(err, store.ErrInUse) {
		return fmt.Errorf("%w: %s", ErrInUse, h.cfg.DataDir)
	}
	if err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	h.onClose("store", func(context.Context) error { return h.store.Close() })
	h.stream, err = embedded.Open(embedded.Options{Dir: filepath.Join(h.cfg.DataDir, "stream"), Hub: h.store.Hub(),
		Lanes: h.cfg.Stream.Lanes, SegmentBytes: h.cfg.Stream.SegmentBytes, MaxBytes: h.cfg.Stream.MaxBytes, Logger: h.log, Random: h.opt.Rand})
	if err != nil {
		return fmt.Errorf("open stream: %w", err)
	}
	h.onClose("stream", func(context.Context) error { return h.stream.Close() })
	return nil
}

func (h *Hub) openKeys(ctx context.Context) error {
	size, err := h.size(ctx)
	if err != nil {
		return err
	}
	origin := h.cfg.Checkpoint.Origin
	if origin == "" {
		origin = "raccordo/" + h.store.Hub().String()
	}
	// A data directory that has a ledger and no keyring has lost it: a new one
	// could open nothing of it.
	h.keys, err = local.Open(local.Options{Path: filepath.Join(h.cfg.DataDir, "keyring"), Origin: origin, MustExist: size > 0,
		Clock: h.opt.Clock.Now, Rand: h.opt.Rand})
	if err != nil {
		return fmt.Errorf("open keyring: %w", err)
	}
	return nil
}

func (h *Hub) size(ctx context.Context) (n uint64, err error) {
	err = h.store.View(ctx, func(tx store.ReadTx) error {
		head, err := tx.Head()
		n = head.Size
		return err
	})
	return n, err
}

// Stop takes no new request, lets what is under way end and be settled, and
// closes everything, last opened first, whatever fails. It may be called
// before Start and again.
func (h *Hub) Stop(ctx context.Context) error {
	h.mu.Lock()
	if h.stopped {
		h.mu.Unlock()
		return nil
	}
	h.stopped = true
	h.mu.Unlock()
	h.notReady("stopping")
	return h.close(ctx)
}

func (h *Hub) onClose(name string, fn func(context.Context) error) {
	h.closers = append(h.closers, closer{name, fn})
}

func (h *Hub) close(ctx context.Context) error {
	var errs []error
	for i := len(h.closers) - 1; i >= 0; i-- {
		if err := h.closers[i].fn(ctx); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", h.closers[i].name, err))
		}
	}
	h.closers = nil
	return errors.Join(errs...)
}

// Addr is the address the API listens on.
func (h *Hub) Addr() string { return h.apiListener.Addr().String() }

// AdminAddr is the address of /metrics, /livez and /readyz.
func (h *Hub) AdminAddr() string { return h.adminListener.Addr().String() }

// URL is the base URL callers use.
func (h *Hub) URL() string {
	if h.cfg.Vouchers.PublicURL != "" {
		return h.cfg.Vouchers.PublicURL
	}
	if h.cfg.TLS.Certificate != "" {
		return "https://" + h.Addr()
	}
	return "http://" + h.Addr()
}

// Network is the network in force.
func (h *Hub) Network() *network.Network { return h.plan.Load().net }

// Register is where officers' decisions are recorded.
func (h *Hub) Register() *officer.Register { return h.register }

// Intake is where pushes are accepted.
func (h *Hub) Intake() *intake.Intake { return h.intake }

// Ready is nil when the hub serves, else why it does not.
func (h *Hub) Ready(ctx context.Context) error {
	why := *h.state.Load()
	switch {
	case why != "":
	case h.writer.Failed() != nil:
		why = "the store stopped: restart the hub, it reads again what was written"
	case h.writer.Clock() != nil:
		return h.writer.Clock()
	case len(h.deliverer.Quarantined()) > 0:
		why = "a lane is quarantined"
	case h.signer.Failed() != nil:
		why = "checkpoints of the ledger cannot be signed as they should: " + h.signer.Failed().Error()
	default:
		if h.keysGone() {
			why = "the keys are not available"
		}
	}
	if why == "" {
		return nil
	}
	return exchange.NewError(exchange.CodeUnavailable, exchange.ReasonShuttingDown, why).After(5 * time.Second)
}

// keysGone looks at the keys at most once a second: every push asks, and the
// look reads a file.
func (h *Hub) keysGone() bool {
	now := h.opt.Clock.Monotonic()
	last := h.keyLook.Load()
	if last == nil || now-last.at >= time.Second {
		last = &keyLook{at: now, gone: h.keys.Check() != nil}
		h.keyLook.Store(last)
	}
	return last.gone
}

// keyLook is what a look at the keys showed, and when (monotonic).
type keyLook struct {
	at   time.Duration
	gone bool
}

func (h *Hub) notReady(why string) { h.state.Store(&why) }

func (h *Hub) random() *mathrand.Rand {
	var seed [32]byte
	_, _ = io.ReadFull(h.opt.Rand, seed[:])
	return mathrand.New(mathrand.NewChaCha8(seed))
}

var _ control.Hub = (*operator)(nil)
