package intake

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"raccordo/hub/exchange"
	"raccordo/hub/keys"
	"raccordo/hub/stream"
)

// store makes the frame durable: one message per lane, all or none.
func (f *frame) store(ctx context.Context, accepted []*line) (*Acknowledgement, error) {
	f.identify(accepted)
	ack := f.acknowledgement()
	msgs, err := f.parts(accepted, ack)
	if err != nil {
		return nil, unavailable(err)
	}
	if err := ctx.Err(); err != nil {
		return nil, unavailable(err)
	}
	// Once the append has begun only its own answer says how it ended.
	offsets, err := f.in.opt.Publisher.Append(context.WithoutCancel(ctx), f.producer.Class().String(), msgs...)
	if err != nil {
		return nil, notAppended(err)
	}
	f.in.opt.Index.Stored(f.stored(accepted, offsets))
	return ack, nil
}

// notAppended says what the caller may conclude: only what the stream names as
// a no is one.
func notAppended(err error) error {
	no := func(reason exchange.Reason, after time.Duration) error {
		return exchange.NewError(exchange.CodeUnavailable, reason, "try again with the same Idempotency-Key").Because(err).After(after)
	}
	switch {
	case errors.Is(err, stream.ErrUnknownOutcome):
	case errors.Is(err, stream.ErrTooLarge):
		return tooLarge(err)
	case errors.Is(err, stream.ErrQuarantined), errors.Is(err, stream.ErrStopped):
		return no(exchange.ReasonQuarantined, time.Minute)
	case errors.Is(err, stream.ErrClosed):
		return no(exchange.ReasonShuttingDown, 5*time.Second)
	case errors.Is(err, stream.ErrFull):
		return no(exchange.ReasonOverloaded, 10*time.Second)
	}
	return exchange.NewError(exchange.CodeUnknownOutcome, exchange.ReasonOutcomeUnknown,
		"it is not known whether the records were stored; repeat with the same Idempotency-Key").Because(err).After(5 * time.Second)
}

func tooLarge(err error) error {
	return exchange.NewError(exchange.CodeTooLarge, exchange.ReasonTooLarge, "the request is too large for one frame; send fewer lines",
		exchange.Fault{Rule: "frame_bytes"}).Because(err)
}

// identify derives frame and record ids: the same request, received at the same
// time, makes the same ones (protocol.md 2.7).
func (f *frame) identify(accepted []*line) {
	at := strconv.AppendInt(nil, f.at.UnixMilli(), 10)
	k := f.in.opt.Keys
	f.id = exchange.FrameIDFromMAC(k.MAC("frame", []byte(f.push.System), []byte(f.push.Key), at))
	for _, l := range accepted {
		content := exchange.DigestOf(l.plain)
		n := strconv.AppendInt(at[:0], int64(l.Line.Line), 10)
		l.Record = exchange.RecordIDFromMAC(k.MAC("record", f.id[:], n, content[:]))
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
		h := &exchange.Header{Hub: f.in.opt.Index.Hub(), Frame: f.id, System: f.push.System, KeyMAC: f.mac, BodyDigest: f.digest,
			Network: f.plan.Digest(), ReceivedAt: f.at.UnixMilli(), Class: f.producer.Class(), Lane: n,
			Part: uint16(k + 1), Parts: uint16(len(order)), Records: make([]exchange.RecordHeader, len(lanes[n]))}
		for i, l := range lanes[n] {
			h.Records[i] = l.head
		}
		payload, err := f.part(h, lanes[n], ack)
		if err != nil {
			return nil, err
		}
		id := f.id.String()
		part := strconv.Itoa(k+1) + "/" + strconv.Itoa(len(order))
		m := message.NewMessage(id+"/"+part, payload)
		m.Metadata = message.Metadata{stream.MetaFrame: id, stream.MetaLane: strconv.Itoa(int(n)), stream.MetaPart: part}
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
	if size > exchange.MaxPartBytes { // it could never be read again
		return nil, tooLarge(exchange.ErrFrame)
	}
	return exchange.AppendPart(make([]byte, 0, size), header, sealedAck, sealed), nil
}
