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
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"raccordo/connectors"
	"raccordo/hub/access"
	"raccordo/hub/delivery"
	"raccordo/hub/exchange"
	"raccordo/hub/intake"
	"raccordo/hub/keys/local"
	"raccordo/hub/ledger"
	"raccordo/hub/network"
	"raccordo/hub/officer"
	"raccordo/hub/person"
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
	edge       edge
	api        http.Handler
	work       *os.File
	former     map[exchange.FlowID]exchange.FlowFact // flows of earlier networks

	apiListener   net.Listener
	adminListener net.Listener
	control       net.Listener
	sinks         delivery.Sinks
	outlets       map[exchange.SystemID]connectors.Outlet

	imbalance atomic.Int64 // as last compared
	keyLook   atomic.Pointer[keyLook]
	standing  atomic.Pointer[standing]
	failed    chan struct{} // closed when only a restart helps
	failOnce  sync.Once

	tidying sync.Mutex
	retired map[string]time.Duration // earlier voucher keys, and when they were seen first (monotonic)

	mu       sync.Mutex // over starting and stopping
	started  bool
	stopped  bool
	stopOnce sync.Once
	stopErr  error
	closers  []closer
	doors    []closer // closed before the others: no new request comes in
}

// closer is a teardown, registered the moment its thing exists.
type closer struct {
	name string
	fn   func(context.Context) error
}

// New checks the configuration and the network, opens the data directory and
// binds the listeners. Nothing runs before [Hub.Start], and nothing is made in
// the data directory before configuration and network are found without fault.
// Errors: [ErrConfig], [*NetworkError], [ErrInUse], [store.ErrForeign].
func New(ctx context.Context, opt Options) (*Hub, error) {
	opt.defaults()
	h := &Hub{opt: opt, cfg: opt.Config, log: opt.Logger, metrics: telemetry.NewMetrics(prometheus.NewRegistry(), opt.Version),
		failed: make(chan struct{}), retired: map[string]time.Duration{}}
	h.stand(phaseStarting, "starting")
	if err := h.open(ctx); err != nil {
		return nil, errors.Join(err, h.close(context.WithoutCancel(ctx)))
	}
	return h, nil
}

func (h *Hub) open(ctx context.Context) error {
	if err := h.cfg.Validate(); err != nil {
		return err
	}
	steps := []func(context.Context) error{h.loadEdge, h.loadNetwork, h.bind, h.openData, h.openKeys, h.openLedger, h.openPersons, h.openConnectors,
		h.openDelivery, h.openIntake, h.bindControl, h.openAPI}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Stop takes no new request, lets what is under way end and be settled, and
// closes everything, last opened first, whatever fails. It may be called
// before Start and again; then it waits for the first call and gives its error.
func (h *Hub) Stop(ctx context.Context) error {
	h.mu.Lock()
	h.stopped = true
	h.mu.Unlock()
	h.stopOnce.Do(func() {
		h.stand(phaseStopping, "stopping")
		h.stopErr = h.close(ctx)
	})
	return h.stopErr
}

func (h *Hub) onClose(name string, fn func(context.Context) error) {
	h.closers = append(h.closers, closer{name, fn})
}

func (h *Hub) close(ctx context.Context) error {
	var errs []error
	for _, list := range [2][]closer{h.doors, h.closers} {
		for i := len(list) - 1; i >= 0; i-- {
			if err := list[i].fn(ctx); err != nil {
				errs = append(errs, fmt.Errorf("close %s: %w", list[i].name, err))
			}
		}
	}
	h.doors, h.closers = nil, nil
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

func (h *Hub) random() *mathrand.Rand {
	var seed [32]byte
	_, _ = io.ReadFull(h.opt.Rand, seed[:])
	return mathrand.New(mathrand.NewChaCha8(seed))
}
