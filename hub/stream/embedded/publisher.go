package embedded

import (
	"context"
	"sync/atomic"

	"github.com/ThreeDotsLabs/watermill/message"

	"raccordo/hub/stream"
)

// Publisher is the log as a Watermill publisher.
type Publisher struct {
	log    *Log
	closed atomic.Bool
}

var _ message.Publisher = (*Publisher)(nil)

// Publisher gives a publisher. Closing it does not close the log.
func (l *Log) Publisher() *Publisher { return &Publisher{log: l} }

// Publish is [Log.Append] under the context of the first message: all or none,
// durable when it returns nil.
func (p *Publisher) Publish(topic string, msgs ...*message.Message) error {
	if p.closed.Load() {
		return stream.ErrClosed
	}
	ctx := context.Background()
	if len(msgs) > 0 {
		ctx = msgs[0].Context()
	}
	_, err := p.log.append(ctx, topic, msgs)
	return err
}

// Close makes the publisher refuse. Publishes under way go on.
func (p *Publisher) Close() error {
	p.closed.Store(true)
	return nil
}
