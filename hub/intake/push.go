package intake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"raccordo/hub/codec"
	"raccordo/hub/exchange"
	"raccordo/hub/keys"
	"raccordo/hub/store"
	"raccordo/hub/stream"
)

// MediaNDJSON is the media type of many records, one a line.
const MediaNDJSON = "application/x-ndjson"

// Push is one request.
type Push struct {
	System    exchange.SystemID
	Type      exchange.RecordType
	Key       string // Idempotency-Key
	MediaType string
	Body      exchange.Payload
}

// Options of an [Intake]; all but numbers are required.
type Options struct {
	Plan      func() Plan
	Publisher Publisher
	Keys      Keys
	Directory Directory
	Admission Admission
	Index     *Index
	Clock     exchange.Clock
	Metrics   Metrics
	Logger    *slog.Logger
	Lanes     int              // 4
	Limits    codec.LineLimits // of NDJSON; default 10,000 lines, 64 MiB, 1 MiB a line
	Workers   int              // lines read at once; default the number of processors
}

// Intake accepts pushes.
type Intake struct {
	opt    Options
	flight flight
	slots  chan struct{} // bounds lines read at once over all requests
}

// New makes an intake.
func New(opt Options) *Intake {
	if opt.Lanes == 0 {
		opt.Lanes = 4
	}
	if opt.Limits.MaxLines == 0 {
		opt.Limits = codec.LineLimits{MaxBytes: 64 << 20, MaxLines: 10_000, MaxLineBytes: 1 << 20}
	}
	if opt.Workers == 0 {
		opt.Workers = runtime.GOMAXPROCS(0)
	}
	return &Intake{opt: opt, slots: make(chan struct{}, opt.Workers)}
}

// Push reads, validates, maps, routes and stores the records of one request.
// On return without error the accepted ones are durable, and the same key with
// the same body will give the same answer.
//
// Errors (*exchange.Error): CodeForbidden for a type the system does not
// produce; CodeInvalid with ReasonKeyReused for a key used with another body;
// a single record's own refusal; CodeTooMany and CodeUnavailable with
// RetryAfter before anything was written; CodeUnknownOutcome when the frame
// may or may not be in the stream: repeat with the same key.
func (in *Intake) Push(ctx context.Context, p Push) (*Acknowledgement, error) {
	plan := in.opt.Plan()
	producer := plan.Producer(p.System, p.Type)
	if producer == nil {
		return nil, exchange.NewError(exchange.CodeForbidden, exchange.ReasonUnknownType, "the system does not produce this record type")
	}
	many := p.MediaType == MediaNDJSON
	if want := producer.MediaType(); p.MediaType != want && !(many && want == "application/json") {
		return nil, exchange.NewError(exchange.CodeUnsupported, exchange.ReasonMediaType, "the system's format is "+want)
	}
	mac := in.opt.Keys.MAC("idempotency key", []byte(p.System), []byte(p.Key))
	digest := exchange.DigestOf(p.Body.Reveal())
	leave, err := in.flight.enter(ctx, mac) // one at a time per key
	if err != nil {
		return nil, err
	}
	defer leave()
	known, ok, err := in.opt.Index.Lookup(ctx, p.System, mac)
	if err != nil {
		return nil, unavailable(err)
	}
	if ok {
		return in.again(known, digest, many)
	}
	f := &frame{in: in, plan: plan, producer: producer, push: p, mac: mac, digest: digest, at: in.opt.Clock.Now()}
	return f.accept(ctx, many)
}

// again answers a repeated request from the frame it left.
func (in *Intake) again(known Known, digest exchange.Digest, many bool) (*Acknowledgement, error) {
	if known.BodyDigest != digest {
		return nil, exchange.NewError(exchange.CodeInvalid, exchange.ReasonKeyReused, "this Idempotency-Key was used with another body")
	}
	m, err := in.opt.Publisher.Message(known.Class.String(), stream.Offset(known.Offset))
	if err != nil {
		return nil, unavailable(err)
	}
	part, err := exchange.DecodePart(m.Payload)
	if err != nil || part.Header.Frame != known.Frame {
		return nil, unavailable(fmt.Errorf("the frame of a known key: %w", exchange.ErrFrame))
	}
	plain, err := in.opt.Keys.Open(part.Acknowledgement, exchange.AcknowledgementAAD(part.Header, part.HeaderDigest))
	if err != nil {
		return nil, unavailable(err)
	}
	ack, err := decodeAcknowledgement(plain)
	if err != nil {
		return nil, err
	}
	if !many && len(ack.Lines) == 1 {
		return ack, ack.Lines[0].Refusal()
	}
	return ack, nil
}

func unavailable(err error) error {
	var e *exchange.Error
	if errors.As(err, &e) {
		return err
	}
	return exchange.NewError(exchange.CodeUnavailable, exchange.ReasonOverloaded, "try again with the same Idempotency-Key").
		Because(err).After(time.Second)
}

// frame is one request on its way to be stored.
type frame struct {
	in       *Intake
	plan     Plan
	producer Producer
	push     Push
	mac      exchange.Digest
	digest   exchange.Digest
	at       time.Time
	id       exchange.FrameID
	lines    []*line
}

// line is one record on its way.
type line struct {
	Line
	body  []byte
	tree  exchange.Tree
	plain []byte // canonical
	head  exchange.RecordHeader
	to    []Recipient

	conflicts []store.ConflictRow
}

func (f *frame) accept(ctx context.Context, many bool) (*Acknowledgement, error) {
	if err := f.read(many); err != nil {
		return nil, err
	}
	if err := f.canonical(ctx); err != nil {
		return nil, err
	}
	if !many && f.lines[0].Reason != "" {
		f.countRefusals()
		return nil, f.lines[0].Refusal()
	}
	accepted := f.accepted()
	if len(accepted) == 0 {
		f.countRefusals()
		return f.acknowledgement(), nil
	}
	if err := f.in.opt.Admission.Admit(f.producer.Class(), recipientsOf(accepted)); err != nil {
		return nil, err
	}
	if err := f.in.opt.Index.Reserve(ctx, f.push.System); err != nil {
		return nil, err
	}
	if err := f.persons(ctx, accepted); err != nil {
		return nil, unavailable(err)
	}
	if !many && f.lines[0].Reason != "" {
		f.countRefusals()
		return nil, f.lines[0].Refusal()
	}
	if accepted = f.accepted(); len(accepted) == 0 {
		return f.acknowledgement(), nil
	}
	ack, err := f.store(ctx, accepted)
	if err != nil {
		return nil, err
	}
	f.count(accepted)
	return ack, nil
}

// read splits the body into lines; a bad line is refused alone.
func (f *frame) read(many bool) error {
	body := f.push.Body.Reveal()
	if !many {
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
		return exchange.NewError(exchange.CodeMalformed, exchange.ReasonMalformedJSON, "the body has no line")
	}
	return nil
}

// canonical reads, validates, maps and routes every line, a few at once.
func (f *frame) canonical(ctx context.Context) error {
	var wg sync.WaitGroup
	next := make(chan *line)
	for range min(cap(f.in.slots), len(f.lines)) {
		wg.Go(func() {
			for l := range next {
				f.in.slots <- struct{}{}
				f.canonicalOne(l)
				<-f.in.slots
			}
		})
	}
	for _, l := range f.lines {
		if l.Reason == "" && ctx.Err() == nil {
			next <- l
		}
	}
	close(next)
	wg.Wait()
	return ctx.Err()
}

func (f *frame) canonicalOne(l *line) {
	defer func() {
		if recover() != nil { // whatever it holds may be the record's
			l.refuse(exchange.NewError(exchange.CodeInvalid, exchange.ReasonPanicked, "the record cannot be processed"))
		}
	}()
	tree, warnings, err := f.producer.Canonical(l.body, f.at)
	if err != nil {
		l.refuse(err)
		return
	}
	if err := refuseCorrections(tree); err != nil {
		l.refuse(err)
		return
	}
	to, nobody, err := f.producer.Route(tree, f.at)
	if err != nil {
		l.refuse(err)
		return
	}
	l.NoRecipient = nobody
	if len(to) == 0 {
		l.refuse(exchange.NewError(exchange.CodeInvalid, exchange.ReasonNoRecipient, "nobody holds a role that receives this record"))
		return
	}
	plain, err := f.producer.Encode(tree)
	if err != nil {
		l.refuse(err)
		return
	}
	l.tree, l.plain, l.to, l.Warnings = tree, plain, to, warnings
	l.head = exchange.RecordHeader{Line: uint32(l.Line.Line), Type: f.push.Type, Version: f.producer.Version()}
	for _, r := range to {
		l.head.Flows = append(l.head.Flows, r.Flow)
		l.Recipients = append(l.Recipients, LineRecipient{r.Flow, r.Body, r.Role})
	}
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

// store makes the frame durable: one message per lane, all or none.
func (f *frame) store(ctx context.Context, accepted []*line) (*Acknowledgement, error) {
	f.identify(accepted)
	ack := f.acknowledgement()
	msgs, err := f.parts(accepted, ack)
	if err != nil {
		return nil, unavailable(err)
	}
	class := f.producer.Class()
	// Once the append has begun only its own answer says how it ended.
	offsets, err := f.in.opt.Publisher.Append(context.WithoutCancel(ctx), class.String(), msgs...)
	switch {
	case errors.Is(err, stream.ErrUnknownOutcome):
		return nil, exchange.NewError(exchange.CodeUnknownOutcome, exchange.ReasonOutcomeUnknown,
			"it is not known whether the records were stored; repeat with the same Idempotency-Key").Because(err).After(5 * time.Second)
	case errors.Is(err, stream.ErrTooLarge):
		return nil, exchange.NewError(exchange.CodeTooLarge, exchange.ReasonTooLarge, "the request is too large for one frame; send fewer lines")
	case err != nil:
		return nil, unavailable(err)
	}
	f.in.opt.Index.Stored(f.stored(accepted, offsets))
	return ack, nil
}

// identify derives frame and record ids: the same request makes the same ones.
func (f *frame) identify(accepted []*line) {
	at := strconv.AppendInt(nil, f.at.UnixMilli(), 10)
	k := f.in.opt.Keys
	f.id = exchange.FrameIDFromMAC(k.MAC("frame", []byte(f.push.System), []byte(f.push.Key), at))
	for _, l := range accepted {
		content := exchange.DigestOf(l.plain)
		n := strconv.Itoa(l.Line.Line)
		l.Record = exchange.RecordIDFromMAC(k.MAC("record", f.id[:], []byte(n), content[:]))
		l.head.Record = l.Record
	}
}

// parts seals the records lane by lane. Part 1 holds the sealed answer.
func (f *frame) parts(accepted []*line, ack *Acknowledgement) ([]*message.Message, error) {
	lanes := map[uint16][]*line{}
	var order []uint16
	for _, l := range accepted {
		n := exchange.Lane(l.head.Principal, f.in.opt.Lanes)
		if lanes[n] == nil {
			order = append(order, n)
		}
		lanes[n] = append(lanes[n], l)
	}
	msgs := make([]*message.Message, 0, len(order))
	for k, n := range order {
		h := &exchange.Header{Frame: f.id, System: f.push.System, KeyMAC: f.mac, BodyDigest: f.digest,
			Network: f.plan.Digest(), ReceivedAt: f.at.UnixMilli(), Class: f.producer.Class(), Lane: n,
			Part: uint16(k + 1), Parts: uint16(len(order))}
		h.Hub = f.in.opt.Index.Hub()
		for _, l := range lanes[n] {
			h.Records = append(h.Records, l.head)
		}
		payload, err := f.part(h, lanes[n], ack)
		if err != nil {
			return nil, err
		}
		m := message.NewMessage(f.id.String()+"/"+strconv.Itoa(k+1), payload)
		m.Metadata.Set(stream.MetaFrame, f.id.String())
		m.Metadata.Set(stream.MetaLane, strconv.Itoa(int(n)))
		m.Metadata.Set(stream.MetaPart, fmt.Sprintf("%d/%d", h.Part, h.Parts))
		msgs = append(msgs, m)
	}
	return msgs, nil
}

func (f *frame) part(h *exchange.Header, lines []*line, ack *Acknowledgement) ([]byte, error) {
	header, err := exchange.AppendHeader(nil, h)
	if err != nil {
		return nil, err
	}
	digest := exchange.DigestOf(header)
	var sealedAck []byte
	if h.Part == 1 {
		plain, err := ack.encode()
		if err != nil {
			return nil, err
		}
		if sealedAck, err = f.in.opt.Keys.Seal(keys.PlaceStream, f.at, plain, exchange.AcknowledgementAAD(h, digest)); err != nil {
			return nil, fmt.Errorf("seal acknowledgement: %w", err)
		}
	}
	sealed := make([][]byte, len(lines))
	size := len(header) + len(sealedAck) + 4
	for i, l := range lines {
		if sealed[i], err = f.in.opt.Keys.Seal(keys.PlaceStream, f.at, l.plain, exchange.RecordAAD(h, digest, i)); err != nil {
			return nil, fmt.Errorf("seal record: %w", err)
		}
		size += len(sealed[i]) + 4
	}
	return exchange.AppendPart(make([]byte, 0, size), header, sealedAck, sealed), nil
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
