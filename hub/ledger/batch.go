package ledger

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
)

// ErrLaneLost says that an item was decided by an owner the lane no longer has.
var ErrLaneLost = errors.New("the lane has another owner or another place")

// batch is one transaction's worth of items.
type batch struct {
	tx      store.LedgerTx
	state   *State
	tree    *tree
	entries []store.Appended
	change  Change // everything but drafts, merged
	moved   map[store.CursorKey]int
	newID   func() (exchange.EntryID, error)
	broken  error // of the store or of the source of ids: nothing can be written
}

// read takes the head and reads all needs, one statement each.
func (b *batch) read(items []*pending, now func(prev int64) (time.Time, error)) error {
	head, err := b.tx.Head()
	if err != nil {
		return fmt.Errorf("read head: %w", err)
	}
	at, err := now(head.Time)
	if err != nil {
		return err
	}
	need := union(items)
	facts, err := ReadFacts(b.tx, need.Subjects, at)
	if err != nil {
		return fmt.Errorf("read facts: %w", err)
	}
	b.state = &State{Head: head, Facts: facts, next: b.tx.Next}
	if b.state.Queues, err = b.tx.Queues(need.Queues); err != nil {
		return fmt.Errorf("read queues: %w", err)
	}
	if b.state.Cursors, err = b.tx.Cursors(need.Cursors); err != nil {
		return fmt.Errorf("read cursors: %w", err)
	}
	if b.state.Epochs, err = b.tx.Epochs(need.Lanes); err != nil {
		return fmt.Errorf("read epochs: %w", err)
	}
	return b.readRows(&need)
}

func (b *batch) readRows(need *Needs) error {
	waiting, err := b.tx.Waiting(need.Waiting)
	if err != nil {
		return fmt.Errorf("read waiting: %w", err)
	}
	b.state.Waiting = make(map[uint64]*store.WaitingRow, len(waiting))
	for i := range waiting {
		b.state.Waiting[waiting[i].ID] = &waiting[i]
	}
	parked, err := b.tx.Parked(need.Parked)
	if err != nil {
		return fmt.Errorf("read parked: %w", err)
	}
	b.state.Parked = make(map[uint64]*store.ParkedRow, len(parked))
	for i := range parked {
		b.state.Parked[parked[i].ID] = &parked[i]
	}
	var claims []store.Claim
	if need.AllClaims {
		claims, err = b.tx.OpenClaims()
	} else {
		claims, err = b.tx.Claims(need.Claims)
	}
	if err != nil {
		return fmt.Errorf("read claims: %w", err)
	}
	b.state.Claims = make(map[uint64]*store.Claim, len(claims))
	for i := range claims {
		b.state.Claims[claims[i].Seq] = &claims[i]
	}
	return nil
}

func union(items []*pending) Needs {
	if len(items) == 1 {
		return items[0].item.Needs
	}
	var n Needs
	for _, p := range items {
		i := &p.item.Needs
		n.Subjects = append(n.Subjects, i.Subjects...)
		n.Queues = append(n.Queues, i.Queues...)
		n.Cursors = append(n.Cursors, i.Cursors...)
		n.Lanes = append(n.Lanes, i.Lanes...)
		n.Waiting = append(n.Waiting, i.Waiting...)
		n.Parked = append(n.Parked, i.Parked...)
		n.Claims = append(n.Claims, i.Claims...)
		n.AllClaims = n.AllClaims || i.AllClaims
	}
	return n
}

// decide runs one item and applies its change to the state, so that the next
// item sees it. An error concerns this item alone.
func (b *batch) decide(it *Item) (Result, error) {
	b.state.Seq = b.state.Head.Size
	c, err := it.Decide(b.state)
	if err != nil || c == nil {
		return Result{Time: b.state.Facts.now.UnixMilli()}, err
	}
	for _, m := range c.Cursors {
		if at, ok := b.state.Cursors[m.Key]; ok && at.Position != m.Expect || !ok && m.Expect != exchange.Start() {
			return Result{}, ErrLaneLost
		}
	}
	res := Result{Time: b.state.Facts.now.UnixMilli()}
	if c.Draft != nil {
		if res.Seq, err = b.append(c); err != nil {
			b.broken = errors.Join(b.broken, err)
			return Result{}, err
		}
	}
	b.apply(c)
	return res, nil
}

func (b *batch) append(c *Change) (uint64, error) {
	id, err := b.newID()
	if err != nil {
		return 0, err
	}
	h := &b.state.Head
	if c.Adopt != nil { // the adoption entry already stands under its network
		h.Network = *c.Adopt
	}
	e := exchange.Entry{Seq: h.Size, ID: id, Kind: c.Draft.Kind, Time: b.state.Facts.now.UnixMilli(), Network: h.Network,
		System: c.Draft.System, Lanes: c.Draft.Lanes, Refers: c.Draft.Refers, Rows: c.Draft.Rows, Fact: c.Draft.Fact}
	leaf := e.AppendLeaf(nil)
	hashes, err := b.tree.append(b.tx, int64(h.Size), leaf)
	if err != nil {
		return 0, fmt.Errorf("append to tree: %w", err)
	}
	b.entries = append(b.entries, store.Appended{Entry: e, Leaf: leaf, Rows: exchange.AppendRows(nil, e.Rows), Hashes: hashes})
	h.Size++
	h.Time = e.Time
	return e.Seq, nil
}

// apply shows the change to later items and gathers it for the write.
func (b *batch) apply(c *Change) {
	s := b.state
	for _, m := range c.Cursors {
		s.Cursors[m.Key] = m.To
		b.move(m)
	}
	for _, l := range c.BumpEpochs { // whoever asks for it in a later item has had it read
		s.Epochs[l]++
	}
	for _, r := range c.PutWaiting {
		b.count(&r, 1)
		row := r
		s.Waiting[r.ID] = &row
	}
	for _, r := range c.UpdateWaiting {
		if old := s.Waiting[r.ID]; old != nil {
			b.count(old, -1)
			b.count(&r, 1)
		}
		row := r
		s.Waiting[r.ID] = &row
	}
	for _, id := range c.DeleteWaiting {
		if r := s.Waiting[id]; r != nil {
			b.count(r, -1)
			delete(s.Waiting, id)
		}
	}
	for _, id := range c.DeleteParked {
		delete(s.Parked, id)
	}
	for i := range c.OpenClaims {
		cl := c.OpenClaims[i]
		s.Claims[cl.Seq] = &cl
	}
	for _, seq := range c.CloseClaims {
		delete(s.Claims, seq)
	}
	b.applyFacts(c)
	merge(&b.change, c)
}

// count adds a row to what is known of its queue, or takes it out.
func (b *batch) count(r *store.WaitingRow, n int) {
	key := store.QueueKey{Flow: r.Flow, Principal: r.Principal}
	q := b.state.Queues[key]
	q.Rows += n
	if r.Event == store.EventFetch {
		q.Fetches += n
	}
	b.state.Queues[key] = q
}

func (b *batch) applyFacts(c *Change) {
	f := b.state.Facts
	for _, r := range c.Consents {
		f.putConsent(r)
	}
	for _, r := range c.Dossiers {
		f.putDossier(r)
	}
	if len(c.Links)+len(c.Unlink) > 0 {
		for _, l := range c.Links {
			f.links[pair{l.A, l.B}] = l
		}
		for _, l := range c.Unlink {
			delete(f.links, pair{l.A, l.B})
		}
		f.component()
	}
	if c.Stop != nil {
		f.stopped, b.state.Head.Stopped = *c.Stop, *c.Stop
	}
}

// move keeps one move per cursor: from where the transaction found it to where
// the last item left it.
func (b *batch) move(m store.CursorMove) {
	if i, ok := b.moved[m.Key]; ok {
		b.change.Cursors[i].To = m.To
		return
	}
	b.moved[m.Key] = len(b.change.Cursors)
	b.change.Cursors = append(b.change.Cursors, m)
}

func merge(dst, c *Change) {
	dst.BumpEpochs = append(dst.BumpEpochs, c.BumpEpochs...)
	dst.OpenClaims = append(dst.OpenClaims, c.OpenClaims...)
	dst.CloseClaims = append(dst.CloseClaims, c.CloseClaims...)
	dst.PutWaiting = append(dst.PutWaiting, c.PutWaiting...)
	dst.UpdateWaiting = append(dst.UpdateWaiting, c.UpdateWaiting...)
	dst.DeleteWaiting = append(dst.DeleteWaiting, c.DeleteWaiting...)
	dst.PutParked = append(dst.PutParked, c.PutParked...)
	dst.DeleteParked = append(dst.DeleteParked, c.DeleteParked...)
	dst.Consents = append(dst.Consents, c.Consents...)
	// One transaction may link, part and link again: the last word counts.
	dst.Unlink = append(except(dst.Unlink, c.Links), c.Unlink...)
	dst.Links = append(except(dst.Links, c.Unlink), c.Links...)
	dst.Dossiers = append(dst.Dossiers, c.Dossiers...)
	dst.Wake = append(dst.Wake, c.Wake...)
}

// except takes the pairs of others out of rows.
func except(rows, others []store.LinkRow) []store.LinkRow {
	return slices.DeleteFunc(rows, func(r store.LinkRow) bool {
		return slices.ContainsFunc(others, func(o store.LinkRow) bool { return o.A == r.A && o.B == r.B })
	})
}

// write puts everything down, in an order in which a later step may rely on an
// earlier one: rows before what wakes or deletes them.
func (b *batch) write() error {
	if b.broken != nil {
		return b.broken
	}
	c, tx := &b.change, b.tx
	steps := []func() error{
		func() error { return tx.Append(b.entries, b.state.Head) },
		func() error { return tx.MoveCursors(c.Cursors) },
		func() error { _, err := tx.BumpEpochs(c.BumpEpochs); return err },
		func() error { return tx.PutConsents(c.Consents) },
		func() error { return tx.PutLinks(c.Links) },
		func() error { return tx.DeleteLinks(c.Unlink) },
		func() error { return tx.PutDossiers(c.Dossiers) },
		func() error { return tx.PutClaims(c.OpenClaims) },
		func() error { return tx.CloseClaims(c.CloseClaims) },
		func() error { return tx.PutWaiting(c.PutWaiting) },
		func() error { return tx.UpdateWaiting(c.UpdateWaiting) },
		func() error { return tx.DeleteWaiting(c.DeleteWaiting) },
		func() error { return tx.PutParked(c.PutParked) },
		func() error { return tx.DeleteParked(c.DeleteParked) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	for _, w := range c.Wake {
		if _, err := tx.WakeWaiting(w.Event, w.Subjects); err != nil {
			return err
		}
	}
	return nil
}
