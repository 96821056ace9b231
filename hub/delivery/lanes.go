package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"raccordo/hub/exchange"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
	"raccordo/hub/stream"
)

// stored is what the store knows at a start.
type stored struct {
	cursors map[store.CursorKey]store.Cursor
	waiting map[exchange.SystemID]int
	claims  []store.Claim
	deaths  map[exchange.RecordID]int
}

// load reads where everybody stands.
func (d *Deliverer) load(ctx context.Context) (*stored, error) {
	s := &stored{}
	err := d.opt.Views.View(ctx, func(tx store.ReadTx) (err error) {
		if s.cursors, err = tx.AllCursors(); err != nil {
			return err
		}
		if s.waiting, err = tx.WaitingCount(); err != nil {
			return err
		}
		if s.claims, err = tx.OpenClaims(); err != nil {
			return err
		}
		s.deaths, err = tx.Suspects()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read cursors: %w", err)
	}
	return s, nil
}

// systems are all that may have something to get: recipients of this network,
// and those of earlier ones that still have cursors, waiting rows or claims.
func (d *Deliverer) systems(s *stored) []exchange.SystemID {
	seen := map[exchange.SystemID]bool{}
	var out []exchange.SystemID
	add := func(id exchange.SystemID) {
		if !seen[id] {
			seen[id] = true
			out = append(out, id)
		}
	}
	for _, id := range d.opt.Plan().Recipients() {
		add(id)
	}
	for k := range s.cursors {
		add(k.System)
	}
	for id := range s.waiting {
		add(id)
	}
	for i := range s.claims {
		add(s.claims[i].System)
	}
	return out
}

// takeLanes bumps the epoch of every lane under the head lock: whoever owned
// them before writes nothing more.
func (d *Deliverer) takeLanes(ctx context.Context) error {
	lanes := d.lanes()
	epochs := map[store.LaneKey]uint64{}
	_, err := d.opt.Ledger.Submit(ctx, &ledger.Item{Needs: ledger.Needs{Lanes: lanes}, Decide: func(s *ledger.State) (*ledger.Change, error) {
		for _, l := range lanes {
			epochs[l] = s.Epochs[l] + 1
		}
		return &ledger.Change{BumpEpochs: lanes}, nil
	}})
	if err != nil {
		return fmt.Errorf("take lanes: %w", err)
	}
	d.epochs = epochs
	return nil
}

func (d *Deliverer) lanes() []store.LaneKey {
	out := make([]store.LaneKey, len(d.windows))
	for i, w := range d.windows {
		out[i] = w.lane
	}
	return out
}

// seat gives every recipient that has none yet a cursor in each lane, at the
// lowest of the others: what the others pass from then on is not lost to it.
func (d *Deliverer) seat(ctx context.Context, lowest map[store.LaneKey]store.Cursor) error {
	needs := ledger.Needs{Lanes: d.lanes()}
	for _, l := range needs.Lanes {
		for id := range d.recipients {
			needs.Cursors = append(needs.Cursors, store.CursorKey{System: id, LaneKey: l})
		}
	}
	_, err := d.opt.Ledger.Submit(ctx, &ledger.Item{Needs: needs, Decide: func(s *ledger.State) (*ledger.Change, error) {
		c := &ledger.Change{}
		for _, k := range needs.Cursors {
			if s.Epochs[k.LaneKey] != d.epochs[k.LaneKey] {
				return nil, ledger.ErrLaneLost
			}
			if _, ok := s.Cursors[k]; !ok {
				c.Cursors = append(c.Cursors, store.CursorMove{Key: k, Expect: exchange.Start(), To: lowest[k.LaneKey]})
			}
		}
		return c, nil
	}})
	if err != nil {
		return fmt.Errorf("place new recipients: %w", err)
	}
	return nil
}

// lowestOf is the lowest stored cursor of each lane.
func (d *Deliverer) lowestOf(s *stored) map[store.LaneKey]store.Cursor {
	out := map[store.LaneKey]store.Cursor{}
	for _, w := range d.windows {
		low, some := store.Cursor{Position: exchange.Start()}, false
		for k, c := range s.cursors {
			if k.LaneKey == w.lane && (!some || c.Position.Before(low.Position)) {
				low, some = c, true
			}
		}
		out[w.lane] = low
	}
	return out
}

// place sets every recipient's cursors, compares them with the stream, and
// says from where each lane is read.
func (d *Deliverer) place(s *stored, lowest map[store.LaneKey]store.Cursor) error {
	for _, w := range d.windows {
		for id, r := range d.recipients {
			c, ok := s.cursors[store.CursorKey{System: id, LaneKey: w.lane}]
			if !ok {
				c = lowest[w.lane]
			}
			r.cursors[w.lane] = &cursor{durable: c.Position, seen: c.Position, frame: c.Frame}
			w.join(id, c.Position)
		}
		why, err := d.compare(w.lane, s)
		if err != nil {
			return fmt.Errorf("compare cursors of %s lane %d: %w", w.lane.Class, w.lane.Lane, err)
		}
		if why != "" {
			d.isolate(w.lane, why)
		}
	}
	return nil
}

// compare holds cursors and open claims against the stream (protocol.md 3.4);
// it gives what does not fit, "" if all does.
func (d *Deliverer) compare(lane store.LaneKey, s *stored) (string, error) {
	first, next, err := d.opt.Stream.Bounds(lane.Class)
	if err != nil {
		return quarantined(err)
	}
	some := false
	for k, c := range s.cursors {
		if k.LaneKey != lane {
			continue
		}
		some = true
		switch {
		case c.Offset >= next:
			return "the stream ends below a cursor: it was cut short, or the store is newer", nil
		case c.Offset < first-1 && (c.Offset >= 0 || first > 1):
			return "the stream begins above a cursor", nil
		case c.Offset < first:
			continue // the last part passed was cleaned up: nothing to compare
		}
		if why, err := d.sameFrame(lane.Class, c.Offset, c.Frame); why != "" || err != nil {
			return why, err
		}
	}
	if !some && first > 1 {
		return "the stream begins above its first part, and the store knows no cursor", nil
	}
	for i := range s.claims {
		for _, g := range s.claims[i].Lanes {
			if g.Class == lane.Class && g.Lane == lane.Lane && g.To.Offset >= next {
				return "the stream ends below an open claim: it was cut short, or the store is newer", nil
			}
		}
	}
	return "", nil
}

func (d *Deliverer) sameFrame(class exchange.Class, offset int64, frame exchange.FrameID) (string, error) {
	id, found, err := d.opt.Stream.FrameAt(class, offset)
	if err != nil {
		return quarantined(err)
	}
	if !found || id != frame {
		return "another frame stands where a cursor is: the stream is not the one the store knows", nil
	}
	return "", nil
}

// quarantined tells a stream that does not fit together from one that cannot
// be read now.
func quarantined(err error) (string, error) {
	if errors.Is(err, stream.ErrQuarantined) {
		return err.Error(), nil
	}
	return "", err
}

// follow reads a lane until ctx ends. Where reading breaks off (the stream's
// connection, a damage found late) cursors and stream are compared again
// before it goes on behind the last part read.
func (d *Deliverer) follow(ctx context.Context, w *window) {
	for {
		at, _ := w.read()
		err := d.read(ctx, w, at+1)
		if ctx.Err() != nil || d.Quarantined()[w.lane] != "" {
			return
		}
		why := ""
		if err != nil {
			if errors.Is(err, stream.ErrBelowStart) || errors.Is(err, stream.ErrAboveEnd) || errors.Is(err, stream.ErrQuarantined) {
				why = err.Error()
			}
			d.opt.Logger.Warn("reading a lane broke off", "class", w.lane.Class.String(), "lane", w.lane.Lane, "error", err.Error())
		}
		if why == "" {
			sleep(ctx, d.opt.Sweep)
			why = d.reconnect(ctx, w)
		}
		if why != "" {
			d.isolate(w.lane, why)
			return
		}
	}
}

// reconnect compares the lane with the stream once more; an error is looked at
// again at the next break.
func (d *Deliverer) reconnect(ctx context.Context, w *window) string {
	s, err := d.load(ctx)
	if err != nil {
		return ""
	}
	why, err := d.compare(w.lane, s)
	if why == "" && err == nil {
		if at, frame := w.read(); frame != (exchange.FrameID{}) {
			why, err = d.sameFrame(w.lane.Class, at, frame)
		}
	}
	if err != nil {
		return ""
	}
	return why
}

// read passes a lane's parts to its window, through Watermill's router, until
// the subscription or ctx ends.
func (d *Deliverer) read(ctx context.Context, w *window, from int64) error {
	sub, err := d.opt.Stream.Subscriber(w.lane, from)
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	defer func() { _ = sub.Close() }()
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: time.Minute}, watermill.NopLogger{})
	if err != nil {
		return fmt.Errorf("router: %w", err)
	}
	router.AddConsumerHandler(fmt.Sprintf("%s-%d", w.lane.Class, w.lane.Lane), w.lane.Class.String(), sub, d.admit(w))
	return router.Run(ctx)
}

// admit is the handler of one lane: acknowledged means admitted to the window.
// What does not fit is not ours to skip: the lane is quarantined, and the
// message stays where it is.
func (d *Deliverer) admit(w *window) message.NoPublishHandlerFunc {
	return func(m *message.Message) error {
		err := d.take(w, m)
		if err == nil || m.Context().Err() != nil {
			return err
		}
		d.isolate(w.lane, err.Error())
		<-m.Context().Done()
		return err
	}
}

func (d *Deliverer) take(w *window, m *message.Message) error {
	offset, ok := stream.OffsetOf(m.Context())
	if !ok {
		return errors.New("a message of the stream has no offset")
	}
	p, err := exchange.DecodePart(m.Payload)
	if err != nil || p.Header.Class != w.lane.Class || p.Header.Lane != w.lane.Lane {
		// Bytes with a right checksum that are no frame, or another lane's.
		return errors.New("a part of the stream is not a frame this version reads in this lane")
	}
	who, ok := d.concerned(p.Header)
	if !ok {
		return errors.New("a record names a flow that no network known here ever had")
	}
	if err := w.admit(m.Context(), &part{offset: int64(offset), FramePart: p, bytes: len(m.Payload)}); err != nil {
		return err
	}
	for r := range who {
		r.nudge()
	}
	return nil
}

// concerned are the recipients that some record of a part leads to; false if
// some flow is unknown to this and every earlier network.
func (d *Deliverer) concerned(h *exchange.Header) (map[*recipient]struct{}, bool) {
	plan := d.opt.Plan()
	out := map[*recipient]struct{}{}
	for i := range h.Records {
		for _, id := range h.Records[i].Flows {
			system, ok := d.leads(plan, id)
			if !ok {
				return nil, false
			}
			if r := d.recipients[system]; r != nil {
				out[r] = struct{}{}
			}
		}
	}
	return out, true
}

// beyond is how far a lane is known to hold nothing more behind at, where the
// stream can say so ([Unread]): a lane without traffic must not hold its
// clean-up.
func (d *Deliverer) beyond(w *window, at exchange.Position) (exchange.Position, exchange.FrameID, bool) {
	counter, ok := d.opt.Stream.(Unread)
	if !ok {
		return at, exchange.FrameID{}, false
	}
	_, next, err := d.opt.Stream.Bounds(w.lane.Class) // before it is counted: what is counted as none lies before it
	if err != nil || next-1 <= at.Offset {
		return at, exchange.FrameID{}, false
	}
	if n, err := counter.Unread(w.lane, at.Offset+1); err != nil || n > 0 {
		return at, exchange.FrameID{}, false
	}
	frame, found, err := d.opt.Stream.FrameAt(w.lane.Class, next-1)
	return exchange.Position{Offset: next - 1}, frame, err == nil && found
}

// leads is the system a flow leads to, in this network or the last that had it.
func (d *Deliverer) leads(plan Plan, id exchange.FlowID) (exchange.SystemID, bool) {
	if f := plan.Flow(id); f != nil {
		return f.Recipient().System, true
	}
	if d.opt.Former == nil {
		return "", false
	}
	return d.opt.Former(id)
}

// isolate quarantines a lane: nothing more is read of it until an operator has
// looked. What was read already is delivered.
func (d *Deliverer) isolate(lane store.LaneKey, why string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.quarantine[lane] == "" {
		d.quarantine[lane] = why
		d.opt.Logger.Error("lane quarantined", "class", lane.Class.String(), "lane", lane.Lane, "why", why)
	}
}

// given reports whether a lane was given up to another owner.
func (d *Deliverer) given(lane store.LaneKey) bool {
	w := d.byLane[lane]
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}

// recheck asks whether the lanes are still this replica's, after a write was
// refused because of them. Those that are not are given up.
func (d *Deliverer) recheck(ctx context.Context) error {
	lanes := d.lanes()
	var lost []store.LaneKey
	_, err := d.opt.Ledger.Submit(ctx, &ledger.Item{Needs: ledger.Needs{Lanes: lanes}, Decide: func(s *ledger.State) (*ledger.Change, error) {
		lost = nil
		for _, l := range lanes {
			if s.Epochs[l] != d.epochs[l] {
				lost = append(lost, l)
			}
		}
		return nil, nil
	}})
	if err != nil {
		return err
	}
	for _, l := range lost {
		d.isolate(l, errClosed.Error())
		d.byLane[l].close()
	}
	return nil
}
