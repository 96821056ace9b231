package webhook

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"raccordo/connectors"
	"raccordo/hub/exchange"
)

// request is one POST: a batch of JSON items, or one raw item.
type request struct {
	recipient exchange.SystemID
	items     []connectors.Item
	raw       bool
	unfit     bool // the one item is empty, or says it is JSON and is not an object or array
	mediaType string
	body      []byte
}

func (r request) ids() []exchange.DisclosureID {
	out := make([]exchange.DisclosureID, len(r.items))
	for i := range r.items {
		out[i] = r.items[i].Disclosure
	}
	return out
}

// next takes the longest run of items from the start of rest that may travel
// together; at least one.
func (k *sink) next(to exchange.SystemID, rest []connectors.Item) request {
	first := rest[0]
	if !isJSON(first.MediaType) {
		return request{recipient: to, items: rest[:1], raw: true, unfit: first.Body.Len() == 0,
			mediaType: first.MediaType, body: first.Body.Reveal()}
	}
	if !looksJSON(first.Body.Reveal()) {
		return request{recipient: to, items: rest[:1], unfit: true}
	}
	n, size := 0, len(envelope)+len(to)
	for n < len(rest) && n < k.config.Batch && isJSON(rest[n].MediaType) {
		b := rest[n].Body.Reveal()
		if !looksJSON(b) {
			break
		}
		s := entrySize + len(rest[n].Type) + len(rest[n].Flow) + len(b)
		if n > 0 && size+s > k.config.BatchSize {
			break
		}
		size += s
		n++
	}
	return request{recipient: to, items: rest[:n], mediaType: "application/json", body: batch(to, rest[:n], size)}
}

const (
	envelope  = `{"recipient":"","disclosures":[]}`
	entrySize = len(`,{"disclosure_id":"","record_id":"","record_type":"","flow":"","sequence":,"attempt":,"record":}`) + 36 + 36 + 20 + 10
)

// batch writes the body of a request of JSON items. Names and ids need no
// escaping; records are JSON already.
func batch(to exchange.SystemID, items []connectors.Item, size int) []byte {
	b := make([]byte, 0, size)
	b = append(b, `{"recipient":"`...)
	b = append(b, to...)
	b = append(b, `","disclosures":[`...)
	for i := range items {
		it := &items[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"disclosure_id":"`...)
		b = append(b, it.Disclosure.String()...)
		b = append(b, `","record_id":"`...)
		b = append(b, it.Record.String()...)
		b = append(b, `","record_type":"`...)
		b = append(b, it.Type...)
		b = append(b, `","flow":"`...)
		b = append(b, it.Flow...)
		b = append(b, `","sequence":`...)
		b = strconv.AppendUint(b, it.Sequence, 10)
		b = append(b, `,"attempt":`...)
		b = strconv.AppendInt(b, int64(it.Attempt), 10)
		b = append(b, `,"record":`...)
		b = append(b, it.Body.Reveal()...)
		b = append(b, '}')
	}
	return append(b, `]}`...)
}

// isJSON reports whether a media type is JSON by its own name or suffix
// (RFC 6839 section 3.1).
func isJSON(mediaType string) bool {
	t, _, _ := strings.Cut(mediaType, ";")
	t = strings.ToLower(strings.TrimSpace(t))
	return t == "application/json" || strings.HasSuffix(t, "+json")
}

// looksJSON is a cheap look at both ends. The codec wrote these bytes and the
// recipient's schema was held against them; this only keeps an empty or
// wrongly labelled body from breaking the whole batch.
func looksJSON(b []byte) bool {
	b = bytes.TrimSpace(b)
	if len(b) < 2 {
		return false
	}
	first, last := b[0], b[len(b)-1]
	return first == '{' && last == '}' || first == '[' && last == ']'
}

// rawHeaders carry the facts about a raw item, in the order that is signed.
var rawHeaders = [...]string{"Raccordo-Recipient", "Raccordo-Disclosure-Id", "Raccordo-Record-Id",
	"Raccordo-Record-Type", "Raccordo-Flow", "Raccordo-Sequence", "Raccordo-Attempt"}

func rawValues(to exchange.SystemID, i connectors.Item) []string {
	return []string{string(to), i.Disclosure.String(), i.Record.String(), string(i.Type), string(i.Flow),
		strconv.FormatUint(i.Sequence, 10), strconv.Itoa(i.Attempt)}
}

// sign is the value of Raccordo-Signature.
func sign(key []byte, now time.Time, values []string, body []byte) string {
	t := strconv.FormatInt(now.Unix(), 10)
	m := hmac.New(sha256.New, key)
	m.Write([]byte(t + "\n"))
	for _, v := range values {
		m.Write([]byte(v + "\n"))
	}
	m.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(m.Sum(nil))
}
