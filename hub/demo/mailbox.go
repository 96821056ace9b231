package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"raccordo/hub/client"
	"raccordo/hub/exchange"
)

// poller comes and fetches, at an interval or when it is poked.
type poller struct {
	system   exchange.SystemID
	interval time.Duration
	poked    chan struct{}
	round    func(context.Context) error
	shelf    *shelf
	quit     chan struct{}
	done     chan struct{}
}

func newPoller(system exchange.SystemID, every time.Duration, s *shelf, round func(context.Context) error) *poller {
	return &poller{system: system, interval: every, poked: make(chan struct{}, 1), round: round, shelf: s,
		quit: make(chan struct{}), done: make(chan struct{})}
}

// run goes on until it is told to quit, and then comes a last time; whatever is
// fetched is acknowledged, unless ctx ends. A round that fails is tried again:
// the hub may be busy, and a voucher may have to be renewed.
func (p *poller) run(ctx context.Context) {
	defer close(p.done)
	t := time.NewTicker(p.interval)
	defer t.Stop()
	for failed, last := 0, false; ; {
		if err := p.round(ctx); err == nil {
			failed = 0
		} else if failed++; failed == tries && ctx.Err() == nil {
			p.shelf.fail(fmt.Errorf("%s fetches in vain: %w", p.system, err))
		}
		if last || pause(ctx, restBetweenRounds) != nil {
			return
		}
		select {
		case <-t.C:
		case <-p.poked:
		case <-p.quit:
			last = true
		case <-ctx.Done():
			return
		}
	}
}

// restBetweenRounds keeps a poller that is poked again and again within the
// rate of its system.
const restBetweenRounds = 30 * time.Millisecond

// poke has the next round begin at once.
func (p *poller) poke() {
	select {
	case p.poked <- struct{}{}:
	default:
	}
}

// mailboxClient is a system that cannot be called: it fetches what is in its
// mailbox and acknowledges it.
type mailboxClient struct {
	caller *caller
	shelf  *shelf
	limit  int
}

type mailboxPage struct {
	Items []struct {
		Disclosure exchange.DisclosureID `json:"disclosure_id"`
		Record     exchange.RecordID     `json:"record_id"`
		Flow       exchange.FlowID       `json:"flow"`
		Sequence   uint64                `json:"sequence"`
		Content    json.RawMessage       `json:"record"`
	} `json:"items"`
	More bool `json:"more"`
}

// round fetches until nothing is left.
func (m *mailboxClient) round(ctx context.Context) error {
	for {
		var page mailboxPage
		b, err := m.caller.raw(ctx, fmt.Sprintf("/v1/mailbox?limit=%d", m.limit), "mailbox", &page)
		if err != nil || len(page.Items) == 0 {
			return err
		}
		m.shelf.raw(m.caller.system, "page", "json", b)
		if err := m.acknowledge(ctx, &page); err != nil {
			return err
		}
		if !page.More {
			return nil
		}
	}
}

func (m *mailboxClient) acknowledge(ctx context.Context, page *mailboxPage) error {
	acks := make([]client.ItemAcknowledgement, len(page.Items))
	for i, x := range page.Items {
		p := &parcelled{System: m.caller.system, Disclosure: x.Disclosure.String(), Record: x.Record, Flow: x.Flow,
			Sequence: x.Sequence, Content: x.Content}
		if err := p.read(); err != nil {
			m.shelf.fail(err)
		}
		m.shelf.take(p)
		acks[i].Disclosure = x.Disclosure
	}
	return m.caller.again(ctx, "acknowledge", func() error {
		results, err := m.caller.api.Acknowledge(ctx, acks...)
		for _, r := range results {
			if r.Result == "not_found" {
				m.shelf.fail(fmt.Errorf("%s: the hub does not know what it handed out", m.caller.system))
			}
		}
		return err
	})
}
