package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"raccordo/hub/client"
	"raccordo/hub/exchange"
)

// maxPush bounds what is read; the hub's own bound is lower, or set in its
// configuration.
const maxPush = 64 << 20

// pushed is an acknowledgement with the key under which it can be had again.
type pushed struct {
	Key string `json:"idempotency_key"`
	*client.Acknowledgement
}

func (p *process) push(ctx context.Context, args []string) error {
	c := p.caller("push", "--as SYSTEM TYPE FILE|-",
		`Pushes records of a type in the name of a system, in that system's own format: one (JSON or XML), or many, one a line (NDJSON). The media type
		follows from the file's extension (.json, .ndjson, .jsonl, .xml) or --type. What the acknowledgement names is durable. When the outcome is
		not known, the same command with the same --key-id repeats the push without doubling it. It exits 5 when some lines were refused.`,
		`raccordo push --as oss_pistoia_desk --key desk.key service_request deploy/examples/health_accompaniment.json
		raccordo push --as oss_pistoia_desk --key desk.key service_request deploy/examples/day.ndjson`)
	var media, key string
	c.flags.StringVar(&media, "type", "", "`MEDIA` type, or json, ndjson, xml; default: by the file's extension")
	c.flags.StringVar(&key, "key-id", "", "Idempotency-`KEY` of this push; default: a random one, which is printed")
	if err := c.parse(args, 2, 2); err != nil {
		return err
	}
	record, err := exchange.ParseName[exchange.RecordType](c.args[0])
	if err != nil {
		return usagef("the first argument is a record type, like service_request; the second a file, or - for standard input")
	}
	if media, err = mediaOf(media, c.args[1]); err != nil {
		return err
	}
	caller, err := c.client()
	if err != nil {
		return err
	}
	body, err := p.input(c.args[1], maxPush)
	if err != nil {
		return err
	}
	if key == "" {
		if key, err = p.randomKey(); err != nil {
			return err
		}
	}
	ack, err := caller.Push(ctx, client.Push{Type: record, Key: key, MediaType: media, Body: exchange.NewPayload(body)})
	if oneOf(err, exchange.CodeUnknownOutcome, exchange.CodeUnavailable, exchange.CodeTooMany) {
		fmt.Fprintf(p.stderr, "raccordo push: repeat it with --key-id %s\n", key)
	}
	if err != nil {
		return c.where(err)
	}
	if err := c.show(pushed{key, ack}, func(w io.Writer) { acknowledgementText(w, key, ack) }); err != nil {
		return err
	}
	if ack.Refused > 0 {
		return &exit{code: exitPartly}
	}
	return nil
}

func (p *process) randomKey() (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(p.random, b[:]); err != nil {
		return "", fmt.Errorf("draw a key: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}

func mediaOf(given, file string) (string, error) {
	if strings.Contains(given, "/") {
		return given, nil
	}
	ext := given
	if given == "" {
		ext = strings.TrimPrefix(filepath.Ext(file), ".")
	}
	switch strings.ToLower(ext) {
	case "json":
		return "application/json", nil
	case "ndjson", "jsonl":
		return client.MediaNDJSON, nil
	case "xml":
		return "application/xml", nil
	}
	return "", usagef("what is in %s? give --type json, ndjson or xml", file)
}

func acknowledgementText(w io.Writer, key string, a *client.Acknowledgement) {
	fmt.Fprintf(w, "accepted %d, refused %d (Idempotency-Key %s)\n", a.Accepted, a.Refused, key)
	for _, l := range a.Lines {
		if l.Record == nil {
			fmt.Fprintf(w, "line %d refused\n", l.Line)
		} else {
			fmt.Fprintf(w, "record %s\n", l.Record)
		}
		for _, r := range l.Recipients {
			fmt.Fprintf(w, "  %s as %s, flow %s: %s\n", r.Body, r.Role, r.Flow, r.State)
		}
		for _, r := range l.NoRecipient {
			fmt.Fprintf(w, "  nobody is %s here\n", r)
		}
		for _, f := range l.Warnings {
			fmt.Fprintf(w, "  warning: %s\n", faultText(f))
		}
		for _, f := range l.Errors {
			fmt.Fprintf(w, "  %s\n", faultText(f))
		}
	}
}
