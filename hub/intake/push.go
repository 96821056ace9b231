package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"raccordo/hub/codec"
	"raccordo/hub/exchange"
	"raccordo/hub/stream"
)

// Media types that intake itself tells apart: many records, one a line, are
// read where the system's format is JSON.
const (
	MediaNDJSON = "application/x-ndjson"
	mediaJSON   = "application/json"
)

// MaxKey bounds an Idempotency-Key: 1 to 128 printable ASCII characters.
const MaxKey = 128

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
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	return &Intake{opt: opt, slots: make(chan struct{}, opt.Workers)}
}

// Push reads, validates, maps, routes and stores the records of one request.
// On return without error the accepted ones are durable, and the same key with
// the same body will give the same answer. Where every line of many was refused
// nothing is stored, and the same request is read again.
//
// Errors (*exchange.Error): CodeMalformed for a key that is none; CodeForbidden
// for a type the system does not produce; CodeInvalid with ReasonKeyReused for
// a key used with another body or type; a single record's own refusal;
// CodeTooMany and CodeUnavailable with RetryAfter: nothing was accepted;
// CodeUnknownOutcome when the frame may or may not be in the stream: repeat
// with the same key. ctx is looked at until the frame is being written: what
// has begun is not torn.
func (in *Intake) Push(ctx context.Context, p Push) (*Acknowledgement, error) {
	if err := checkKey(p.Key); err != nil {
		return nil, err
	}
	plan := in.opt.Plan()
	producer := plan.Producer(p.System, p.Type)
	if producer == nil {
		return nil, exchange.NewError(exchange.CodeForbidden, exchange.ReasonUnknownType, "the system does not produce this record type")
	}
	many := p.MediaType == MediaNDJSON
	if want := producer.MediaType(); p.MediaType != want && !(many && want == mediaJSON) {
		return nil, exchange.NewError(exchange.CodeUnsupported, exchange.ReasonMediaType, "the system's format is "+want)
	}
	mac := in.opt.Keys.MAC("idempotency key", []byte(p.System), []byte(p.Key))
	digest := exchange.DigestOf(p.Body.Reveal())
	leave, err := in.flight.enter(ctx, mac) // one at a time per key
	if err != nil {
		return nil, unavailable(err)
	}
	defer leave()
	known, ok, err := in.opt.Index.Lookup(ctx, p.System, mac)
	if err != nil {
		return nil, unavailable(err)
	}
	if ok {
		return in.again(known, digest, &p)
	}
	f := &frame{in: in, plan: plan, producer: producer, push: p, many: many, mac: mac, digest: digest, at: in.opt.Clock.Now()}
	return f.accept(ctx)
}

func checkKey(key string) error {
	if key == "" {
		return exchange.NewError(exchange.CodeMalformed, exchange.ReasonKeyMissing, "an Idempotency-Key is required")
	}
	ok := len(key) <= MaxKey
	for i := 0; ok && i < len(key); i++ {
		ok = key[i] >= ' ' && key[i] <= '~'
	}
	if !ok {
		return exchange.NewError(exchange.CodeMalformed, exchange.ReasonKeyInvalid, "Idempotency-Key must be 1 to 128 printable ASCII characters")
	}
	return nil
}

// again answers a repeated request from the frame it left. The stream must
// keep a frame, and its day's data key, for as long as the index keeps the key.
func (in *Intake) again(known Known, digest exchange.Digest, p *Push) (*Acknowledgement, error) {
	if known.BodyDigest != digest {
		return nil, keyReused("this Idempotency-Key was used with another body")
	}
	m, err := in.opt.Publisher.Message(known.Class.String(), stream.Offset(known.Offset))
	if err != nil {
		return nil, unavailable(fmt.Errorf("read the frame of a known key: %w", err))
	}
	part, err := exchange.DecodePart(m.Payload)
	if err != nil || part.Header.Frame != known.Frame || len(part.Header.Records) == 0 {
		return nil, unavailable(fmt.Errorf("the frame of a known key: %w", exchange.ErrFrame))
	}
	if part.Header.Records[0].Type != p.Type {
		return nil, keyReused("this Idempotency-Key was used for another record type")
	}
	plain, err := in.opt.Keys.Open(part.Acknowledgement, exchange.AcknowledgementAAD(part.Header, part.HeaderDigest))
	if err != nil {
		return nil, unavailable(fmt.Errorf("open the answer of a known key: %w", err))
	}
	ack, err := decodeAcknowledgement(plain)
	if err != nil {
		return nil, unavailable(err)
	}
	return ack, nil
}

func keyReused(detail string) error {
	return exchange.NewError(exchange.CodeInvalid, exchange.ReasonKeyReused, detail)
}

// unavailable says "not now" of whatever is not already an answer. Nothing was
// accepted.
func unavailable(err error) error {
	var e *exchange.Error
	if errors.As(err, &e) {
		return err
	}
	return exchange.NewError(exchange.CodeUnavailable, exchange.ReasonOverloaded, "try again with the same Idempotency-Key").
		Because(err).After(time.Second)
}
