package connectors

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"raccordo/hub/exchange"
)

// Bounds of a JSON text that comes from a recipient.
const (
	maxAnswerDepth = 8
	maxAnswerNodes = 20_000
)

// errAlien says that a text is not what was agreed; it shows nothing of it.
var errAlien = errors.New("not the JSON that was agreed")

// ReadAnswer reads the body of a 2xx answer to a request that carried sent
// (protocol.md 5.7). An empty body accepts all of them. Otherwise the body must
// be
//
//	{"results": [{"disclosure_id": "...", "result": "accepted" | "refused" | "retry", "reason": "..."}]}
//
// (further members are ignored) and name only ids of sent, each once. It gives
// the result per disclosure; what the answer does not name, or names with
// another result, is unknown. ok is false if the body is something else: then
// all are unknown, because whoever wrote it may not have read the request.
//
// A reason is taken over only when it is one of the hub's own codes for a
// recipient's refusal; any other text could hold data of the record.
func ReadAnswer(body []byte, sent []exchange.DisclosureID) (items map[exchange.DisclosureID]ItemResult, ok bool) {
	items = make(map[exchange.DisclosureID]ItemResult, len(sent))
	if len(bytes.TrimSpace(body)) == 0 {
		for _, d := range sent {
			items[d] = ItemResult{ItemAccepted, exchange.ReasonDelivered}
		}
		return items, true
	}
	v, err := ParseJSON(body)
	if err != nil {
		return nil, false
	}
	object, _ := v.(map[string]any)
	list, isList := object["results"].([]any)
	if !isList {
		return nil, false
	}
	for _, d := range sent {
		items[d] = ItemResult{ItemUnknown, exchange.ReasonUnknownOutcome}
	}
	named := make(map[exchange.DisclosureID]bool, len(list))
	for _, e := range list {
		entry, _ := e.(map[string]any)
		text, _ := entry["disclosure_id"].(string)
		d, err := exchange.ParseDisclosureID(text)
		if _, ours := items[d]; err != nil || !ours || named[d] {
			return nil, false
		}
		named[d] = true
		result, _ := entry["result"].(string)
		reason, _ := entry["reason"].(string)
		items[d] = itemResult(result, reason)
	}
	return items, true
}

func itemResult(result, reason string) ItemResult {
	switch result {
	case "accepted":
		return ItemResult{ItemAccepted, exchange.ReasonDelivered}
	case "refused":
		return ItemResult{ItemRefused, RefusalReason(reason)}
	case "retry":
		return ItemResult{ItemRetry, exchange.ReasonAwaitingRetry}
	}
	return ItemResult{ItemUnknown, exchange.ReasonUnknownOutcome}
}

// RefusalReason is the hub's code for what a recipient gave as reason of a
// refusal. Texts that are not codes agreed for this become
// refused_by_recipient: they could hold data of the record.
func RefusalReason(text string) exchange.Reason {
	switch r := exchange.Reason(text); r {
	case exchange.ReasonFormatMismatch, exchange.ReasonRecipientInvalid, exchange.ReasonRecipientNoData:
		return r
	}
	return exchange.ReasonRefused
}

// ParseJSON reads one JSON value from a foreign system strictly: UTF-8, no key
// twice in an object (compared without case), bounded depth and size, nothing
// behind it. Objects are map[string]any, arrays []any, numbers json.Number. The
// error shows nothing of the text.
func ParseJSON(text []byte) (any, error) {
	if !utf8.Valid(text) {
		return nil, errAlien
	}
	p := jsonReader{d: json.NewDecoder(bytes.NewReader(text))}
	p.d.UseNumber()
	v, err := p.value(0)
	if err != nil {
		return nil, errAlien
	}
	if _, err := p.d.Token(); !errors.Is(err, io.EOF) {
		return nil, errAlien
	}
	return v, nil
}

type jsonReader struct {
	d     *json.Decoder
	nodes int
}

func (p *jsonReader) value(depth int) (any, error) {
	if p.nodes++; depth > maxAnswerDepth || p.nodes > maxAnswerNodes {
		return nil, errAlien
	}
	t, err := p.d.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		return p.object(depth)
	case json.Delim('['):
		out := []any{}
		for p.d.More() {
			v, err := p.value(depth + 1)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		_, err := p.d.Token()
		return out, err
	}
	return t, nil
}

func (p *jsonReader) object(depth int) (any, error) {
	out, folded := map[string]any{}, map[string]bool{}
	for p.d.More() {
		t, err := p.d.Token()
		if err != nil {
			return nil, err
		}
		key, _ := t.(string)
		if fold := strings.ToLower(key); folded[fold] {
			return nil, errAlien
		} else {
			folded[fold] = true
		}
		if out[key], err = p.value(depth + 1); err != nil {
			return nil, err
		}
	}
	_, err := p.d.Token()
	return out, err
}
