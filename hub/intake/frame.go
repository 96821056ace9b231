package intake

import (
	"bytes"
	"context"
	"sync"
	"time"

	"raccordo/hub/codec"
	"raccordo/hub/exchange"
	"raccordo/hub/person"
	"raccordo/hub/store"
	"raccordo/schemas"
)

// frame is one request on its way to be stored.
type frame struct {
	in       *Intake
	plan     Plan
	producer Producer
	push     Push
	many     bool
	mac      exchange.Digest
	digest   exchange.Digest
	at       time.Time
	id       exchange.FrameID
	lines    []*line
}

// line is one record on its way.
type line struct {
	Line
	body    []byte
	plain   []byte // canonical
	head    exchange.RecordHeader
	to      []Recipient
	places  []schemas.Person // the principal first; none for a thing
	persons []person.Request // of places

	conflicts []store.ConflictRow
}

// accept brings the request into the stream, or says why not. Nothing is
// written before every refusal that the request itself deserves is known.
func (f *frame) accept(ctx context.Context) (*Acknowledgement, error) {
	if err := f.read(); err != nil {
		return nil, err
	}
	if err := f.canonical(ctx); err != nil {
		return nil, unavailable(err)
	}
	accepted := f.accepted()
	if len(accepted) == 0 {
		return f.refused()
	}
	if err := f.in.opt.Admission.Admit(f.producer.Class(), recipientsOf(accepted)); err != nil {
		return nil, err
	}
	release, err := f.in.opt.Index.reserve(ctx, f.push.System)
	if err != nil {
		return nil, err
	}
	stored := false
	defer func() {
		if !stored {
			release()
		}
	}()
	if err := f.resolve(ctx, accepted); err != nil {
		return nil, unavailable(err)
	}
	if accepted = f.accepted(); len(accepted) == 0 {
		return f.refused()
	}
	ack, err := f.store(ctx, accepted)
	if err != nil {
		return nil, err
	}
	stored = true
	f.count(accepted)
	return ack, nil
}

// refused is the answer where no record is left: nothing is stored.
func (f *frame) refused() (*Acknowledgement, error) {
	f.countRefusals()
	if !f.many {
		return nil, f.lines[0].Refusal()
	}
	return f.acknowledgement(), nil
}

// read splits the body into lines; a bad line is refused alone.
func (f *frame) read() error {
	body := f.push.Body.Reveal()
	if !f.many {
		f.lines = []*line{{Line: Line{Line: 1}, body: body}}
		return nil
	}
	err := codec.Lines(bytes.NewReader(body), f.in.opt.Limits, func(n int, b []byte, fault error) error {
		l := &line{Line: Line{Line: n}}
		if fault != nil {
			l.refuse(fault)
		} else {
			l.body = bytes.Clone(b)
		}
		f.lines = append(f.lines, l)
		return nil
	})
	if err != nil {
		return err
	}
	if len(f.lines) == 0 {
		return exchange.NewError(exchange.CodeMalformed, exchange.ReasonMalformedJSON, "the body has no line",
			exchange.Fault{Rule: "no_line"})
	}
	return nil
}

// canonical reads, validates, maps and routes every line, a few at once. On
// error (of ctx) some were not looked at.
func (f *frame) canonical(ctx context.Context) error {
	if len(f.lines) == 1 {
		return f.one(ctx, f.lines[0])
	}
	var wg sync.WaitGroup
	next := make(chan *line)
	for range min(cap(f.in.slots), len(f.lines)) {
		wg.Go(func() {
			for l := range next {
				_ = f.one(ctx, l) // ctx is asked again below
			}
		})
	}
	for _, l := range f.lines {
		if ctx.Err() != nil {
			break
		}
		next <- l
	}
	close(next)
	wg.Wait()
	return ctx.Err()
}

// one reads a line in one of the slots that all requests share.
func (f *frame) one(ctx context.Context, l *line) error {
	select {
	case f.in.slots <- struct{}{}:
		defer func() { <-f.in.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if l.Reason == "" {
		f.understand(l)
	}
	l.body = nil
	return nil
}

// understand refuses the line or leaves everything in it that is stored.
func (f *frame) understand(l *line) {
	defer func() {
		if recover() != nil { // whatever it holds may be the record's: it is dropped
			f.in.opt.Logger.Error("processing of a record panicked", "component", "intake", "system", string(f.push.System),
				"record_type", string(f.push.Type))
			l.refuse(exchange.NewError(exchange.CodeInvalid, exchange.ReasonPanicked, "the record cannot be processed"))
		}
	}()
	tree, warnings, err := f.producer.Canonical(l.body, f.at)
	if err == nil {
		err = refuseCorrections(tree)
	}
	if err == nil {
		err = f.route(l, tree)
	}
	if err == nil {
		err = f.named(l, tree)
	}
	if err == nil {
		l.plain, err = f.producer.Encode(tree)
	}
	if err != nil {
		l.refuse(err)
		return
	}
	l.Warnings = warnings
	l.head.Line, l.head.Type, l.head.Version = uint32(l.Line.Line), f.push.Type, f.producer.Version()
	for _, r := range l.to {
		l.Recipients = append(l.Recipients, LineRecipient{r.Flow, r.Body, r.Role})
	}
}

// route names every flow; a role nobody serves is told to the sender.
func (f *frame) route(l *line, tree exchange.Tree) error {
	to, nobody, err := f.producer.Route(tree, f.at)
	if err != nil {
		return err
	}
	l.NoRecipient = nobody
	switch {
	case len(to) == 0:
		return exchange.NewError(exchange.CodeInvalid, exchange.ReasonNoRecipient, "nobody holds a role that receives this record",
			exchange.Fault{Rule: "no_recipient"})
	case len(to) > exchange.MaxRecordFlows:
		return exchange.NewError(exchange.CodeInvalid, exchange.ReasonSemantic, "the record would take too many flows",
			exchange.Fault{Rule: "max_flows"})
	}
	l.to, l.head.Flows = to, make([]exchange.FlowID, len(to))
	for i, r := range to {
		l.head.Flows[i] = r.Flow
	}
	return nil
}

// refuseCorrections answers what this version does not do yet, rather than
// taking a correction for a new record.
func refuseCorrections(tree exchange.Tree) error {
	for _, p := range [2]exchange.Pointer{"/supersedes", "/tombstone"} {
		if v, ok := tree.At(p); ok && v != false {
			return exchange.NewError(exchange.CodeInvalid, exchange.ReasonNotSupported,
				"corrections are not supported yet", exchange.Fault{Pointer: p, Rule: "not_supported"})
		}
	}
	return nil
}

func (f *frame) accepted() []*line {
	out := make([]*line, 0, len(f.lines))
	for _, l := range f.lines {
		if l.Reason == "" {
			out = append(out, l)
		}
	}
	return out
}

func (f *frame) acknowledgement() *Acknowledgement {
	a := &Acknowledgement{Frame: f.id, Lines: make([]Line, len(f.lines))}
	for i, l := range f.lines {
		a.Lines[i] = l.Line
	}
	return a
}

func recipientsOf(lines []*line) []exchange.SystemID {
	seen := map[exchange.SystemID]bool{}
	var out []exchange.SystemID
	for _, l := range lines {
		for _, r := range l.to {
			if !seen[r.System] {
				seen[r.System] = true
				out = append(out, r.System)
			}
		}
	}
	return out
}

func (f *frame) count(accepted []*line) {
	flows := map[exchange.FlowID]int{}
	for _, l := range accepted {
		for _, r := range l.to {
			flows[r.Flow]++
		}
	}
	for flow, n := range flows {
		f.in.opt.Metrics.Accepted(flow, n)
	}
	f.countRefusals()
}

func (f *frame) countRefusals() {
	reasons := map[exchange.Reason]int{}
	for _, l := range f.lines {
		if l.Reason != "" {
			reasons[l.Reason]++
		}
	}
	for reason, n := range reasons {
		f.in.opt.Metrics.Refused(f.push.System, reason, n)
	}
}
