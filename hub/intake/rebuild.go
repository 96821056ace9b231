package intake

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/ThreeDotsLabs/watermill/message"

	"raccordo/hub/exchange"
	"raccordo/hub/store"
	"raccordo/hub/stream"
)

// Reader reads a topic from an offset on, at most limit messages (0: all there
// are). An error of fn ends it and is given back as it is.
type Reader interface {
	Read(ctx context.Context, topic string, from stream.Offset, limit int,
		fn func(offset stream.Offset, lane int, m *message.Message) error) error
}

// Rebuild reads the headers of frames that the store does not know yet, before
// anything is accepted. It gives the number of frames it found. A frame that
// cannot be read is an error: intake must not answer wrongly.
func (x *Index) Rebuild(ctx context.Context, r Reader) (int, error) {
	found := 0
	for class, mark := range x.marks {
		err := x.opt.Store.View(ctx, func(tx store.ReadTx) (err error) {
			mark.at, _, err = tx.Progress(progressName(class))
			return err
		})
		if err != nil {
			return found, fmt.Errorf("progress of the index: %w", err)
		}
		mark.to = mark.at
		n, err := x.rebuild(ctx, r, class, mark)
		found += n
		if err != nil {
			return found, err
		}
	}
	return found, nil
}

// errEnough ends one round of reading at the end of a frame.
var errEnough = errors.New("enough for one transaction")

func (x *Index) rebuild(ctx context.Context, r Reader, class exchange.Class, mark *watermark) (int, error) {
	found := 0
	for {
		g := gatherer{class: class}
		err := r.Read(ctx, class.String(), stream.Offset(mark.at+1), 0, g.add)
		if err != nil && !errors.Is(err, errEnough) {
			return found, fmt.Errorf("read frames of %s again: %w", class, err)
		}
		if g.open != nil {
			return found, fmt.Errorf("the last frame of %s is not whole: %w", class, exchange.ErrFrame)
		}
		if len(g.batch) == 0 {
			return found, nil
		}
		if err := x.write(ctx, g.batch); err != nil {
			return found, fmt.Errorf("write the index: %w", err)
		}
		found += len(g.batch)
	}
}

// gatherer puts the parts of frames together.
type gatherer struct {
	class   exchange.Class
	batch   []*Stored
	open    *Stored // its last part has not come yet
	records int
}

func (g *gatherer) add(o stream.Offset, _ int, m *message.Message) error {
	p, err := exchange.DecodePart(m.Payload)
	if err != nil {
		return fmt.Errorf("offset %d: %w", o, err)
	}
	h := p.Header
	switch {
	case h.Class != g.class:
		return fmt.Errorf("offset %d: a part of another class: %w", o, exchange.ErrFrame)
	case h.Part == 1 && g.open == nil:
		g.open = &Stored{First: int64(o), Key: store.KeyRow{System: h.System, KeyMAC: h.KeyMAC, BodyDigest: h.BodyDigest,
			Frame: h.Frame, Class: h.Class, Offset: int64(o), ReceivedAt: h.ReceivedAt}}
	case h.Part == 1 || g.open == nil || g.open.Key.Frame != h.Frame:
		return fmt.Errorf("offset %d: a part of a frame that is not whole: %w", o, exchange.ErrFrame)
	}
	g.open.add(h, int64(o))
	g.records += len(h.Records)
	if h.Part < h.Parts {
		return nil
	}
	g.batch, g.open = append(g.batch, g.open), nil
	if len(g.batch) >= indexBatch || g.records >= indexRecords {
		return errEnough
	}
	return nil
}

func (s *Stored) add(h *exchange.Header, offset int64) {
	s.Last = offset
	s.Key.Records += uint32(len(h.Records))
	for i := range h.Records {
		r := &h.Records[i]
		s.Records = append(s.Records, store.RecordRow{Record: r.Record, Producer: h.System, Type: r.Type,
			ReceivedAt: h.ReceivedAt, Flows: r.Flows})
		s.Conflicts = append(s.Conflicts, conflictsOf(r, h.ReceivedAt)...)
	}
}

// conflictsOf finds again which known ids a record gave for one person: an
// alias stands at the place of the person it is another id of. (Where that
// other id is the principal's, which needs no alias, the question is not found
// again: the next such record raises it.)
func conflictsOf(r *exchange.RecordHeader, at int64) []store.ConflictRow {
	var out []store.ConflictRow
	for _, alias := range r.Affected {
		if !alias.Alias {
			continue
		}
		of := r.Principal
		for _, a := range r.Affected {
			if !a.Alias && a.Place == alias.Place {
				of = a.Subject
			}
		}
		c := conflict(of, alias.Subject, at)
		c.Record = r.Record
		out = append(out, c)
	}
	return out
}

// watermark is the offset up to which everything was indexed; frames come in
// any order. What was added counts once it is settled.
type watermark struct {
	at    int64
	to    int64           // at, once what was added is durable
	ahead map[int64]int64 // first -> last
	fresh []int64         // keys of ahead that are not settled
}

// add takes note of a frame that is being written; adding it again changes
// nothing.
func (w *watermark) add(first, last int64) {
	if last <= w.at {
		return
	}
	if w.ahead == nil {
		w.ahead = map[int64]int64{}
	}
	w.ahead[first] = last
	w.fresh = append(w.fresh, first)
	w.to = w.at
	for {
		end, ok := w.ahead[w.to+1]
		if !ok {
			return
		}
		w.to = end
	}
}

// settle makes what was added count, or forgets that it was.
func (w *watermark) settle(durable bool) {
	fresh := w.fresh
	w.fresh = w.fresh[:0]
	if !durable {
		w.to = w.at
		for _, first := range fresh {
			delete(w.ahead, first)
		}
		return
	}
	w.at = w.to
	maps.DeleteFunc(w.ahead, func(_, last int64) bool { return last <= w.at })
}
