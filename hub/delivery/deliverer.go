package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"raccordo/hub/exchange"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
	"raccordo/hub/stream"
	"raccordo/schemas"
)

// Stream is the truth of what was accepted.
type Stream interface {
	// Subscriber reads one lane of a class from an offset on, in order.
	Subscriber(lane store.LaneKey, from int64) (message.Subscriber, error)
	// Bounds are the first offset that can still be read and the next one to
	// be given, of the class.
	Bounds(class exchange.Class) (first, next int64, err error)
	// FrameAt is the frame of the part at an offset, found false if it is gone.
	FrameAt(class exchange.Class, offset int64) (id exchange.FrameID, found bool, err error)
}

// Options of a [Deliverer]. Zero numbers mean the defaults named here.
type Options struct {
	Plan     func() Plan                           // the network in force; required
	Former   map[exchange.FlowID]exchange.SystemID // recipients of flows of earlier networks
	Views    Views
	Ledger   Ledger
	Side     Side // where counts of suspect records are kept; nil: in memory only
	Stream   Stream
	Sealer   Sealer
	Sinks    Sinks
	Outlets  map[exchange.SystemID]*Outlet
	Metrics  Metrics
	Clock    exchange.Clock
	Logger   *slog.Logger
	Random   *rand.Rand
	Limits   schemas.Limits      // of a canonical record
	WorkFile workFile            // see suspects
	Worked   []exchange.RecordID // under work when the last process died

	Lanes         int           // 4
	WindowParts   int           // parts a lane's window holds: 4096
	WindowBytes   int           // and bytes: 32 MiB
	ParcelRecords int           // 500
	ParcelBytes   int           // 4 MiB
	SendTimeout   time.Duration // 30 s
	BackoffMin    time.Duration // 250 ms
	BackoffMax    time.Duration // 1 min
	Sweep         time.Duration // 1 s
	SpillAfter    time.Duration // 5 s
}

func (o *Options) defaults() {
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	span := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	set(&o.Lanes, 4)
	set(&o.WindowParts, 4096)
	set(&o.WindowBytes, 32<<20)
	set(&o.ParcelRecords, 500)
	set(&o.ParcelBytes, 4<<20)
	span(&o.SendTimeout, 30*time.Second)
	span(&o.BackoffMin, 250*time.Millisecond)
	span(&o.BackoffMax, time.Minute)
	span(&o.Sweep, time.Second)
	span(&o.SpillAfter, 5*time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Deliverer owns the lanes of this replica and takes what is in them to their
// recipients.
type Deliverer struct {
	opt        Options
	windows    []*window // prompt lanes first
	byLane     map[store.LaneKey]*window
	epochs     map[store.LaneKey]uint64
	recipients map[exchange.SystemID]*recipient
	suspects   *suspects
	router     *message.Router

	cancel context.CancelFunc
	drain  context.CancelFunc
	wg     sync.WaitGroup

	mu         sync.Mutex
	quarantine map[store.LaneKey]string
}

// New makes a deliverer; nothing runs before [Deliverer.Start].
func New(opt Options) *Deliverer {
	opt.defaults()
	d := &Deliverer{opt: opt, byLane: map[store.LaneKey]*window{}, recipients: map[exchange.SystemID]*recipient{},
		quarantine: map[store.LaneKey]string{}}
	for _, class := range [2]exchange.Class{exchange.ClassPrompt, exchange.ClassBulk} {
		for lane := range opt.Lanes {
			w := newWindow(store.LaneKey{Class: class, Lane: uint16(lane)}, opt.WindowParts, opt.WindowBytes)
			d.windows = append(d.windows, w)
			d.byLane[w.lane] = w
		}
	}
	return d
}

// Start takes the lanes (their epochs are bumped, so that an owner before this
// one writes nothing more), compares cursors with the stream, resolves what was
// left open and begins to deliver. A lane whose two truths do not fit is
// quarantined and said so; the others run.
func (d *Deliverer) Start(ctx context.Context) error {
	if err := d.takeLanes(ctx); err != nil {
		return fmt.Errorf("take lanes: %w", err)
	}
	lowest, err := d.load(ctx)
	if err != nil {
		return err
	}
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: d.opt.SendTimeout}, watermill.NopLogger{})
	if err != nil {
		return fmt.Errorf("router: %w", err)
	}
	d.router = router
	for _, w := range d.windows {
		if d.Quarantined()[w.lane] != "" {
			continue
		}
		sub, err := d.opt.Stream.Subscriber(w.lane, lowest[w.lane])
		if err != nil {
			return fmt.Errorf("read lane %s/%d: %w", w.lane.Class, w.lane.Lane, err)
		}
		name := fmt.Sprintf("%s-%d", w.lane.Class, w.lane.Lane)
		router.AddConsumerHandler(name, w.lane.Class.String(), sub, d.admit(w))
	}
	// Readers and recipients stop apart: readers first, then the drain.
	readers, stop := context.WithCancel(context.WithoutCancel(ctx))
	deliver, drain := context.WithCancel(context.WithoutCancel(ctx))
	d.cancel, d.drain = stop, drain
	d.wg.Go(func() {
		if err := router.Run(readers); err != nil {
			d.opt.Logger.Error("reading the lanes ended", "error", err.Error())
		}
	})
	select {
	case <-router.Running():
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, r := range d.recipients {
		if r.sink != nil || r.outlet != nil {
			d.wg.Go(func() { r.run(deliver) })
		}
	}
	d.wg.Go(func() { d.sweep(deliver) })
	d.wg.Go(func() { d.unstick(deliver) })
	return nil
}

// Stop reads nothing more, lets every parcel under way end (each within
// send_timeout) and be settled, and returns when all have, or ctx ends.
func (d *Deliverer) Stop(ctx context.Context) error {
	if d.cancel == nil {
		return nil
	}
	d.cancel()
	d.drain()
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
		r.nudge()
	}
}

// Lag is how many parts of each lane its slowest recipient has not passed, as
// far as they are read into the window.
func (d *Deliverer) Lag() map[store.LaneKey]int {
	out := make(map[store.LaneKey]int, len(d.windows))
	for _, w := range d.windows {
		out[w.lane], _ = w.size()
	}
	return out
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
	out := make(map[store.LaneKey]string, len(d.quarantine))
	for k, v := range d.quarantine {
		out[k] = v
	}
	return out
}

func (d *Deliverer) isolate(lane store.LaneKey, why string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.quarantine[lane] == "" {
		d.quarantine[lane] = why
		d.opt.Logger.Error("lane quarantined", "class", lane.Class.String(), "lane", lane.Lane, "why", why)
	}
}

func (d *Deliverer) window(lane store.LaneKey) *window { return d.byLane[lane] }

func (d *Deliverer) recipientOf(f exchange.FlowID) exchange.SystemID { return d.opt.Former[f] }

// takeLanes bumps the epoch of every lane under the head lock.
func (d *Deliverer) takeLanes(ctx context.Context) error {
	var lanes []store.LaneKey
	for _, w := range d.windows {
		lanes = append(lanes, w.lane)
	}
	d.epochs = map[store.LaneKey]uint64{}
	_, err := d.opt.Ledger.Submit(ctx, &ledger.Item{Needs: ledger.Needs{Lanes: lanes}, Decide: func(s *ledger.State) (*ledger.Change, error) {
		for _, l := range lanes {
			d.epochs[l] = s.Epochs[l] + 1
		}
		return &ledger.Change{BumpEpochs: lanes}, nil
	}})
	return err
}

// load reads cursors and what waits, and gives where each lane is read from:
// the lowest stored cursor.
func (d *Deliverer) load(ctx context.Context) (map[store.LaneKey]int64, error) {
	var cursors map[store.CursorKey]store.Cursor
	var waiting map[exchange.SystemID]int
	var deaths map[exchange.RecordID]int
	err := d.opt.Views.View(ctx, func(tx store.ReadTx) (err error) {
		if cursors, err = tx.AllCursors(); err != nil {
			return err
		}
		if waiting, err = tx.WaitingCount(); err != nil {
			return err
		}
		deaths, err = tx.Suspects()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read cursors: %w", err)
	}
	d.suspects = newSuspects(d.opt.WorkFile, deaths)
	for _, s := range d.systems(cursors, waiting) {
		d.recipients[s] = d.newRecipient(s, waiting[s])
	}
	return d.place(cursors)
}

// systems are all that may have something to get: recipients of this network,
// and those of earlier ones that still have cursors or waiting rows.
func (d *Deliverer) systems(cursors map[store.CursorKey]store.Cursor, waiting map[exchange.SystemID]int) []exchange.SystemID {
	seen := map[exchange.SystemID]bool{}
	var out []exchange.SystemID
	add := func(s exchange.SystemID) {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	for _, s := range d.opt.Plan().Recipients() {
		add(s)
	}
	for k := range cursors {
		add(k.System)
	}
	for s := range waiting {
		add(s)
	}
	return out
}

func (d *Deliverer) newRecipient(s exchange.SystemID, waiting int) *recipient {
	r := &recipient{d: d, system: s, sink: d.opt.Sinks[s], outlet: d.opt.Outlets[s], log: d.opt.Logger,
		wake: make(chan struct{}, 1), cursors: map[store.LaneKey]*cursor{}, waits: int64(waiting),
		back: backoff{min: d.opt.BackoffMin, max: d.opt.BackoffMax, random: rand.New(rand.NewPCG(d.opt.Random.Uint64(), d.opt.Random.Uint64()))}}
	if r.sink == nil && r.outlet == nil {
		// A recipient that left the network: its records end as flow_ended and
		// nothing is offered; an outlet without a connector does just that.
		r.outlet = &Outlet{}
	}
	return r
}

// place sets every recipient's cursors and finds the lowest of each lane.
func (d *Deliverer) place(cursors map[store.CursorKey]store.Cursor) (map[store.LaneKey]int64, error) {
	lowest := map[store.LaneKey]int64{}
	for _, w := range d.windows {
		low, any := exchange.Position{}, false
		for s := range d.recipients {
			if c, ok := cursors[store.CursorKey{System: s, LaneKey: w.lane}]; ok && (!any || c.Position.Before(low)) {
				low, any = c.Position, true
			}
		}
		if !any {
			low = exchange.Start()
		}
		first, next, err := d.opt.Stream.Bounds(w.lane.Class)
		if err != nil {
			if errors.Is(err, stream.ErrQuarantined) {
				d.isolate(w.lane, err.Error())
				continue
			}
			return nil, fmt.Errorf("bounds of %s: %w", w.lane.Class, err)
		}
		for s, r := range d.recipients {
			c, ok := cursors[store.CursorKey{System: s, LaneKey: w.lane}]
			if ok {
				if err := d.compare(w.lane, c, first, next); err != nil {
					return nil, err
				}
				r.cursors[w.lane] = &cursor{durable: c.Position, seen: c.Position, frame: c.Frame}
			} else {
				r.cursors[w.lane] = &cursor{durable: exchange.Start(), seen: low}
			}
			w.join(s, r.cursors[w.lane].seen)
		}
		lowest[w.lane] = max(low.Offset, 1)
	}
	return lowest, nil
}

// compare holds a stored cursor against the stream (protocol.md 3.4).
func (d *Deliverer) compare(lane store.LaneKey, c store.Cursor, first, next int64) error {
	if c.Offset < 0 {
		if first > 0 {
			d.isolate(lane, "the stream begins above a cursor")
		}
		return nil
	}
	switch {
	case c.Offset >= next:
		d.isolate(lane, "the stream ends below a cursor: it was cut short, or the store is newer")
		return nil
	case c.Offset < first-1:
		d.isolate(lane, "the stream begins above a cursor")
		return nil
	case c.Offset < first:
		return nil // the last part passed was cleaned up: nothing to compare
	}
	id, found, err := d.opt.Stream.FrameAt(lane.Class, c.Offset)
	if err != nil {
		return fmt.Errorf("compare a cursor: %w", err)
	}
	if found && id != c.Frame {
		d.isolate(lane, "another frame stands where a cursor is: the stream is not the one the store knows")
	}
	return nil
}

// reload reads a recipient's cursors again after it lost a lane.
func (d *Deliverer) reload(r *recipient) {
	var cursors map[store.CursorKey]store.Cursor
	err := d.opt.Views.View(context.Background(), func(tx store.ReadTx) (err error) {
		cursors, err = tx.AllCursors()
		return err
	})
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for lane, c := range r.cursors {
		if at, ok := cursors[store.CursorKey{System: r.system, LaneKey: lane}]; ok {
			c.durable, c.seen, c.frame, c.unsaved = at.Position, at.Position, at.Frame, 0
		}
	}
}

// admit is the handler of one lane: acknowledged means admitted to the window.
func (d *Deliverer) admit(w *window) message.NoPublishHandlerFunc {
	return func(m *message.Message) error {
		offset, ok := stream.OffsetOf(m.Context())
		if !ok {
			return fmt.Errorf("message without an offset: %w", exchange.ErrFrame)
		}
		p, err := exchange.DecodePart(m.Payload)
		if err == nil && (p.Header.Class != w.lane.Class || p.Header.Lane != w.lane.Lane) {
			err = exchange.ErrFrame
		}
		if err != nil {
			// Bytes with a right checksum that are no frame: not ours to skip.
			d.isolate(w.lane, "a part of the stream is not a frame this version reads")
			<-m.Context().Done()
			return err
		}
		if err := w.admit(m.Context(), &part{offset: int64(offset), FramePart: p, bytes: len(m.Payload)}); err != nil {
			return err
		}
		d.Nudge()
		return nil
	}
}
