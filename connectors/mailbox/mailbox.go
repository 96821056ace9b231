package mailbox

import (
	"context"
	"strconv"
	"time"

	"raccordo/connectors"
	"raccordo/hub/exchange"
)

// Config is what a body writes into the network for a system of this kind.
type Config struct {
	PageSize  int           `yaml:"page_size" doc:"Items of one fetch when the request names no number, 1 to 500."`
	PageBytes int           `yaml:"page_bytes" doc:"Most bytes of records in one fetch, 64 KiB to 64 MiB; one record is returned in any case."`
	Lease     time.Duration `yaml:"lease" doc:"How long what was fetched is hidden from further fetches unless it is acknowledged, 10s to 24h."`
}

func defaults() Config {
	return Config{PageSize: 100, PageBytes: 8 << 20, Lease: 5 * time.Minute}
}

// Validate finds everything that cannot work.
func (c Config) Validate() []exchange.Fault {
	var faults []exchange.Fault
	if c.PageSize < 1 || c.PageSize > connectors.MaxItems {
		faults = append(faults, exchange.Fault{Pointer: "/page_size", Rule: "must be from 1 to 500"})
	}
	if c.PageBytes < 64<<10 || c.PageBytes > 64<<20 {
		faults = append(faults, exchange.Fault{Pointer: "/page_bytes", Rule: "must be from 65536 to 67108864"})
	}
	if c.Lease < 10*time.Second || c.Lease > 24*time.Hour {
		faults = append(faults, exchange.Fault{Pointer: "/lease", Rule: "must be from 10s to 24h"})
	}
	return faults
}

// Kind declares the connector.
func Kind() connectors.Kind {
	return connectors.NewKind("mailbox", "Keeps records until the recipient fetches them through the hub's API.", defaults,
		connectors.WithOutlet(open), connectors.WithStability[Config](connectors.Stable))
}

func open(c Config, s connectors.Settings, claims connectors.Claims) (connectors.Outlet, error) {
	return &Mailbox{config: c, settings: s, claims: claims}, nil
}

// Mailbox is the outlet of one recipient system. It is safe for concurrent use.
type Mailbox struct {
	config   Config
	settings connectors.Settings
	claims   connectors.Claims
}

// Mounts is nothing: the hub's API serves the mailbox.
func (*Mailbox) Mounts() []connectors.Mount { return nil }

// Close has nothing to let go of.
func (*Mailbox) Close(context.Context) error { return nil }

// System is the recipient whose mailbox this is. The API serves it to that
// authenticated system alone.
func (m *Mailbox) System() exchange.SystemID { return m.settings.System }

// Fetch claims and returns the next page, limit items at most; 0 stands for
// the configured page size. What it returns is durably claimed.
func (m *Mailbox) Fetch(ctx context.Context, limit int) (connectors.FetchResult, error) {
	switch {
	case limit < 0 || limit > connectors.MaxItems:
		return connectors.FetchResult{}, exchange.NewError(exchange.CodeMalformed, exchange.ReasonParameter,
			"limit must be from 1 to "+strconv.Itoa(connectors.MaxItems))
	case limit == 0:
		limit = m.config.PageSize
	}
	return m.claims.Fetch(ctx, connectors.FetchRequest{
		System:   m.settings.System,
		Max:      limit,
		MaxBytes: m.config.PageBytes,
		Lease:    m.config.Lease,
	})
}

// Acknowledgement is what a recipient says about one disclosure, in the texts
// of the API.
type Acknowledgement struct {
	Disclosure string // UUID
	Result     string // accepted, refused, retry
	Reason     string // for refused: a code of the hub's, see connectors.RefusalReason
}

// Acknowledge settles all of them in one transaction; results stand in the
// order of list. If one is malformed nothing is settled, and the error
// (CodeInvalid) names every fault by its pointer below /acknowledgements.
func (m *Mailbox) Acknowledge(ctx context.Context, list []Acknowledgement) ([]connectors.AckResult, error) {
	const base = exchange.Pointer("/acknowledgements")
	if len(list) == 0 || len(list) > connectors.MaxItems {
		return nil, exchange.NewError(exchange.CodeInvalid, exchange.ReasonSchema, "",
			exchange.Fault{Pointer: base, Rule: "must hold 1 to 500 items"})
	}
	acks := make([]connectors.Ack, len(list))
	var faults []exchange.Fault
	for i, a := range list {
		var rule string
		if acks[i], rule = ackOf(a); rule != "" {
			at := base.Index(i)
			if acks[i].Result == 0 {
				at = at.Append("result")
			} else {
				at = at.Append("disclosure_id")
			}
			faults = append(faults, exchange.Fault{Pointer: at, Rule: rule})
		}
	}
	if len(faults) > 0 {
		return nil, exchange.NewError(exchange.CodeInvalid, exchange.ReasonSchema, "", faults...)
	}
	results, err := m.claims.Acknowledge(ctx, connectors.AckRequest{System: m.settings.System, Acks: acks})
	if err != nil {
		return nil, err
	}
	unknown := 0
	for _, r := range results {
		if r == connectors.AckUnknown {
			unknown++
		}
	}
	if unknown > 0 {
		m.settings.Metrics.Count(connectors.EventUnknownDisclosure, unknown)
	}
	return results, nil
}

// ackOf reads one acknowledgement; rule is what is wrong with it, and concerns
// the result if the result could not be read.
func ackOf(a Acknowledgement) (ack connectors.Ack, rule string) {
	switch a.Result {
	case "accepted":
		ack.Result, ack.Reason = connectors.AckAccepted, exchange.ReasonDelivered
	case "refused":
		ack.Result, ack.Reason = connectors.AckRefused, connectors.RefusalReason(a.Reason)
	case "retry":
		ack.Result, ack.Reason = connectors.AckRetry, exchange.ReasonRecipientError
	default:
		return ack, "must be accepted, refused or retry"
	}
	d, err := exchange.ParseDisclosureID(a.Disclosure)
	if err != nil || d == (exchange.DisclosureID{}) {
		return ack, "must be a disclosure id"
	}
	ack.Disclosure = d
	return ack, ""
}
