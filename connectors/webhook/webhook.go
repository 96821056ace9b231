package webhook

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"raccordo/connectors"
	"raccordo/hub/exchange"
)

// Kind declares the connector.
func Kind() connectors.Kind {
	return connectors.NewKind("webhook", "Sends records by HTTP POST, JSON ones in batches.", defaults,
		connectors.WithSink(open), connectors.WithStability[Config](connectors.Stable))
}

type sink struct {
	config   Config
	settings connectors.Settings
	endpoint *url.URL
	poster   *connectors.Poster
}

func open(c Config, s connectors.Settings) (connectors.Sink, error) {
	allow, err := connectors.ParseAllow(c.Allow)
	if err != nil {
		return nil, fmt.Errorf("allow list: %w", err)
	}
	endpoint, err := connectors.ParseEndpoint(c.Endpoint, allow)
	if err != nil {
		return nil, fmt.Errorf("endpoint: %w", err)
	}
	options := connectors.PosterOptions{Allow: allow, Timeout: c.Timeout}
	if c.CA != "" {
		pem, err := s.Secrets(c.CA)
		if err != nil {
			return nil, fmt.Errorf("certificates: %w", err)
		}
		options.Roots = x509.NewCertPool()
		if !options.Roots.AppendCertsFromPEM(pem.Reveal()) {
			return nil, errors.New("certificates: none found in the file that ca names")
		}
	}
	for _, ref := range []connectors.SecretRef{c.Auth.Secret, c.Signature} {
		if ref == "" {
			continue
		}
		if _, err := s.Secrets(ref); err != nil {
			return nil, fmt.Errorf("secret: %w", err)
		}
	}
	poster, err := connectors.NewPoster(s, options)
	if err != nil {
		return nil, err
	}
	return &sink{config: c, settings: s, endpoint: endpoint, poster: poster}, nil
}

func (k *sink) Close(ctx context.Context) error { return k.poster.Close(ctx) }

// Send sends the parcel's requests one after the other, as the package
// documentation says.
func (k *sink) Send(ctx context.Context, p connectors.Parcel) (connectors.Result, error) {
	result := connectors.Result{Overall: connectors.Answered, Class: connectors.Accepted,
		Items: make(map[exchange.DisclosureID]connectors.ItemResult, len(p.Items))}
	rest := p.Items
	for len(rest) > 0 {
		r := k.next(p.Recipient, rest)
		rest = rest[len(r.items):]
		if r.unfit {
			result.Items[r.items[0].Disclosure] = connectors.ItemResult{
				Status: connectors.ItemRefused, Reason: exchange.ReasonFormatMismatch}
			continue
		}
		reply := k.post(ctx, r)
		goOn := k.note(&result, r, reply)
		if goOn {
			continue
		}
		for _, i := range rest {
			result.Items[i.Disclosure] = connectors.ItemResult{
				Status: connectors.ItemNotSent, Reason: exchange.ReasonNotSent}
		}
		if reply.Trouble != connectors.TroubleNone {
			return result, fmt.Errorf("send to %s: %w", p.Recipient, reply.Trouble)
		}
		return result, nil
	}
	return result, nil
}

// note enters what became of r into the result and reports whether the next
// request may follow.
func (k *sink) note(result *connectors.Result, r request, reply connectors.Reply) bool {
	result.RetryAfter = reply.RetryAfter
	if reply.Outcome == connectors.Answered && reply.Class == connectors.Accepted {
		items, ok := connectors.ReadAnswer(reply.Body, r.ids())
		if !ok {
			k.settings.Metrics.Count(connectors.EventAlienAnswer, 1)
			result.Overall, result.Class = connectors.Unknown, connectors.ClassNone
			return false
		}
		goOn := true
		for d, i := range items {
			result.Items[d] = i
			goOn = goOn && (i.Status == connectors.ItemAccepted || i.Status == connectors.ItemRefused)
		}
		return goOn
	}
	if reply.Class == connectors.Permanent && len(r.items) == 1 {
		result.Items[r.items[0].Disclosure] = connectors.ItemResult{
			Status: connectors.ItemRefused, Reason: exchange.ReasonRefused}
		return true
	}
	result.Overall, result.Class = reply.Outcome, reply.Class
	return false
}

// post signs and sends one request.
func (k *sink) post(ctx context.Context, r request) connectors.Reply {
	header := http.Header{
		"Content-Type": {r.mediaType},
		"Accept":       {"application/json"},
		"User-Agent":   {"raccordo"},
	}
	values := make([]string, 0, len(rawHeaders))
	if r.raw {
		values = rawValues(r.recipient, r.items[0])
		for i, name := range rawHeaders {
			header.Set(name, values[i])
		}
	}
	if err := k.authenticate(header, values, r.body); err != nil {
		k.settings.Logger.Error("a secret of the connector cannot be read", "error", err)
		return connectors.Reply{Outcome: connectors.NotSent, Trouble: connectors.TroubleSecret}
	}
	start := k.settings.Clock()
	reply := k.poster.Post(ctx, k.endpoint, header, r.body)
	k.settings.Logger.Debug("request sent", "items", len(r.items), "bytes", len(r.body), "outcome", reply.Outcome.String(),
		"class", reply.Class.String(), "status", reply.Status, "trouble", string(reply.Trouble),
		"duration", k.settings.Clock().Sub(start).Round(time.Millisecond))
	return reply
}

// authenticate reads the secrets anew for every request, so that a rotated one
// counts without a restart.
func (k *sink) authenticate(header http.Header, values []string, body []byte) error {
	if k.config.Auth.Scheme != "none" {
		secret, err := k.settings.Secrets(k.config.Auth.Secret)
		if err != nil {
			return err
		}
		if k.config.Auth.Scheme == "bearer" {
			header.Set("Authorization", "Bearer "+string(secret.Reveal()))
		} else {
			header.Set(k.config.Auth.Header, string(secret.Reveal()))
		}
	}
	if k.config.Signature != "" {
		key, err := k.settings.Secrets(k.config.Signature)
		if err != nil {
			return err
		}
		header.Set("Raccordo-Signature", sign(key.Reveal(), k.settings.Clock(), values, body))
	}
	return nil
}
