package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"raccordo/connectors"
	"raccordo/hub/exchange"
	"raccordo/hub/store"
	"raccordo/schemas"
)

// Stream is the truth of what was accepted.
type Stream interface {
	// Subscriber reads one lane of a class from an offset on, in order.
	Subscriber(lane store.LaneKey, from int64) (message.Subscriber, error)
	// Bounds are the first offset that can still be read and the next one to
	// be given, of the class; both 1 where nothing was ever written.
	Bounds(class exchange.Class) (first, next int64, err error)
	// FrameAt is the frame of the part at an offset, found false if it is gone.
	FrameAt(class exchange.Class, offset int64) (id exchange.FrameID, found bool, err error)
}

// Unread is a [Stream] that can count what of a lane lies at offset or behind
// it; see [Deliverer.Lag].
type Unread interface {
	Unread(lane store.LaneKey, offset int64) (int64, error)
}

// Options of a [Deliverer]. Zero numbers mean the defaults named here.
type Options struct {
	Plan func() Plan // the network in force; required
	// Former is the recipient of a flow of an earlier network, false for one
	// that was never known; safe for concurrent use. Nil: there was none.
	Former   func(exchange.FlowID) (exchange.SystemID, bool)
	Views    Views
	Ledger   Ledger
	Side     Side // where counts of suspect records are kept; nil: in memory only
	Stream   Stream
	Sealer   Sealer
	Sinks    Sinks
	Outlets  map[exchange.SystemID]*Outlet
	Metrics  Metrics // nil: nothing is counted
	Clock    exchange.Clock
	Logger   *slog.Logger
	Random   *rand.Rand
	Limits   schemas.Limits      // of a canonical record
	WorkFile workFile            // see [ReadWork]
	Worked   []exchange.RecordID // under work when the last process died

	Lanes         int           // 4
	WindowParts   int           // parts a lane's window holds: 4096
	WindowBytes   int           // and bytes: 32 MiB
	ParcelRecords int           // 500, the most there can be
	ParcelBytes   int           // 4 MiB
	SendTimeout   time.Duration // 30 s
	BackoffMin    time.Duration // 250 ms
	BackoffMax    time.Duration // 1 min
	Sweep         time.Duration // 1 s
	SpillAfter    time.Duration // 5 s
}

func (o *Options) defaults() {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	span := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&o.Lanes, 4)
	set(&o.WindowParts, 4096)
	set(&o.WindowBytes, 32<<20)
	set(&o.ParcelRecords, connectors.MaxItems)
	set(&o.ParcelBytes, 4<<20)
	span(&o.SendTimeout, 30*time.Second)
	span(&o.BackoffMin, 250*time.Millisecond)
	span(&o.BackoffMax, time.Minute)
	span(&o.Sweep, time.Second)
	span(&o.SpillAfter, 5*time.Second)
	o.ParcelRecords = min(o.ParcelRecords, connectors.MaxItems)
	o.BackoffMax = max(o.BackoffMax, o.BackoffMin)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = uncounted{}
	}
}

// Deliverer owns the lanes of this replica and takes what is in them to their
// recipients.
type Deliverer struct {
	opt        Options
	windows    []*window // prompt lanes first
	byLane     map[store.LaneKey]*window
	epochs     map[store.LaneKey]uint64 // written before anything runs
	recipients map[exchange.SystemID]*recipient
	suspects   *suspects
	gate       *schemas.Gate // what is opened passes it again
	pressure   chan struct{} // some window is half full
	taken      time.Duration // monotonic, when the lanes were taken

	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu         sync.Mutex
	quarantine map[store.LaneKey]string
	waiting    map[exchange.SystemID]int // as the last sweep counted
}

// New makes a deliverer; nothing runs before [Deliverer.Start].
func New(opt Options) *Deliverer {
	opt.defaults()
	d := &Deliverer{opt: opt, byLane: map[store.LaneKey]*window{}, recipients: map[exchange.SystemID]*recipient{},
		gate: schemas.NewGate(opt.Limits), pressure: make(chan struct{}, 1), quarantine: map[store.LaneKey]string{}}
	d.suspects = newSuspects(opt.WorkFile, opt.Side)
	for _, class := range [2]exchange.Class{exchange.ClassPrompt, exchange.ClassBulk} {
		for lane := range opt.Lanes {
			w := newWindow(store.LaneKey{Class: class, Lane: uint16(lane)}, opt.WindowParts, opt.WindowBytes)
			w.pressure = d.press
			d.windows = append(d.windows, w)
			d.byLane[w.lane] = w
		}
	}
	return d
}

func (d *Deliverer) press() {
	select {
	case d.pressure <- struct{}{}:
	default:
	}
}

// Start takes the lanes (their epochs are bumped, so that an owner before this
// one writes nothing more), compares cursors with the stream, resolves what was
// left open and begins to deliver. A lane whose two truths do not fit is
// quarantined and said so; the others run. It may be called once.
func (d *Deliverer) Start(ctx context.Context) error {
	if err := d.takeLanes(ctx); err != nil {
		return err
	}
	s, err := d.load(ctx)
	if err != nil {
		return err
	}
	if err := d.suspects.load(ctx, s.deaths, d.opt.Worked); err != nil {
		return err
	}
	for _, id := range d.systems(s) {
		d.recipients[id] = d.newRecipient(id)
	}
	lowest := d.lowestOf(s)
	if err := d.place(s, lowest); err != nil {
		return err
	}
	if err := d.seat(ctx, lowest); err != nil {
		return err
	}
	d.taken = d.opt.Clock.Monotonic()
	d.waiting = s.waiting
	for i := range s.claims {
		if r := d.recipients[s.claims[i].System]; !s.claims[i].Fetch {
			r.left = append(r.left, s.claims[i])
		}
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	d.cancel = stop
	for _, w := range d.windows {
		if d.Quarantined()[w.lane] != "" {
			continue
		}
		first, _, err := d.opt.Stream.Bounds(w.lane.Class)
		if err != nil {
			first = 1 // reading finds out
		}
		w.begin(max(lowest[w.lane].Offset, first, 1))
		d.wg.Go(func() { d.follow(run, w) })
	}
	for _, r := range d.recipients {
		d.wg.Go(func() { r.run(run) })
	}
	d.wg.Go(func() { d.sweep(run) })
	d.wg.Go(func() { d.relieve(run) })
	return nil
}

// Stop reads nothing more, lets every parcel under way end (each within
// send_timeout) and be settled, and returns when all have, or ctx ends.
func (d *Deliverer) Stop(ctx context.Context) error {
	if d.cancel == nil {
		return nil
	}
	d.cancel()
	done := make(chan struct{})
	go func() { d.wg.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("parcels still under way when the drain ended: %w", ctx.Err())
	}
}

// Nudge makes recipients look at what waits: an event happened.
func (d *Deliverer) Nudge() {
	for _, r := range d.recipients {
		r.look()
	}
}

// Lag is how many parts of each lane its slowest recipient has not passed:
// those in the window and, where the stream can count them ([Unread]), those
// behind it.
func (d *Deliverer) Lag() map[store.LaneKey]int {
	out := make(map[store.LaneKey]int, len(d.windows))
	counter, _ := d.opt.Stream.(Unread)
	for _, w := range d.windows {
		n, _ := w.size()
		if counter != nil {
			at, _ := w.read()
			if more, err := counter.Unread(w.lane, at+1); err == nil {
				n += int(more)
			}
		}
		out[w.lane] = n
	}
	return out
}

// WaitingCounts is how many rows wait per recipient system, as of the last
// sweep.
func (d *Deliverer) WaitingCounts() map[exchange.SystemID]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.waiting)
}

// Lowest is the lowest offset of a class that some recipient's durable cursor
// still needs: nothing below it is read again.
func (d *Deliverer) Lowest(class exchange.Class) int64 {
	lowest := int64(math.MaxInt64)
	for _, r := range d.recipients {
		r.mu.Lock()
		for lane, c := range r.cursors {
			if lane.Class == class {
				lowest = min(lowest, c.durable.Offset)
			}
		}
		r.mu.Unlock()
	}
	if lowest == math.MaxInt64 {
		return 0
	}
	return max(lowest, 0)
}

// Quarantined are the lanes that are not delivered, and why.
func (d *Deliverer) Quarantined() map[store.LaneKey]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.quarantine)
}

func (d *Deliverer) newRecipient(s exchange.SystemID) *recipient {
	r := &recipient{d: d, system: s, sink: d.opt.Sinks[s], outlet: d.opt.Outlets[s], log: d.opt.Logger,
		wake: make(chan struct{}, 1), cursors: map[store.LaneKey]*cursor{}, most: d.opt.ParcelRecords,
		back: backoff{min: d.opt.BackoffMin, max: d.opt.BackoffMax, random: rand.New(rand.NewPCG(d.opt.Random.Uint64(), d.opt.Random.Uint64()))}}
	r.due.Store(true)
	switch bounded, ok := r.sink.(connectors.Bounded); {
	case ok:
		r.maxBody = bounded.MaxBody()
	case r.sink != nil:
	case r.outlet != nil:
		r.maxBody = r.outlet.MaxBody
	default:
		// It left the network: what it was to get ends as flow_ended.
		r.outlet, r.gone = &Outlet{}, true
	}
	return r
}

// uncounted counts nothing.
type uncounted struct{}

func (uncounted) Sent(exchange.SystemID, string, int, time.Duration) {}
func (uncounted) Recipient(exchange.SystemID, RecipientState)        {}
func (uncounted) Spilled(exchange.SystemID, int)                     {}
func (uncounted) Claimed(exchange.SystemID, int)                     {}
