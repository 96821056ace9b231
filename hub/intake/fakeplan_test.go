package intake_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"raccordo/hub/codec"
	"raccordo/hub/exchange"
	"raccordo/hub/intake"
	"raccordo/hub/person"
	"raccordo/schemas"
)

// fakePlan has two systems of two bodies that push test_record as it is:
// {"id", "persons": ["SYSTEM value+SYSTEM value", ...], "flows": number,
// "panic": where}. registry may attach identifiers.
type fakePlan struct{}

func withFakePlan(f *fixture) { f.plan = fakePlan{} }

func (fakePlan) Digest() exchange.Digest { return exchange.DigestOf([]byte("fake")) }

func (fakePlan) Producer(s exchange.SystemID, t exchange.RecordType) intake.Producer {
	switch {
	case t != "test_record" && t != "test_place":
		return nil
	case s == "desk_a" || s == "desk_b" || s == "registry":
		p := &fakeProducer{system: s}
		if t == "test_place" {
			return aboutThings{p}
		}
		return p
	}
	return nil
}

type fakeProducer struct{ system exchange.SystemID }

type aboutThings struct{ *fakeProducer }

func (aboutThings) AboutThings() bool { return true }

func (p *fakeProducer) Body() exchange.BodyID {
	return exchange.BodyID("body_" + string(p.system))
}
func (p *fakeProducer) Class() exchange.Class { return exchange.ClassPrompt }
func (p *fakeProducer) Version() string       { return "1.0.0" }
func (p *fakeProducer) MediaType() string     { return "application/json" }
func (p *fakeProducer) MayIdentify() bool     { return p.system == "registry" }

func (p *fakeProducer) Canonical(body []byte, _ time.Time) (exchange.Tree, []exchange.Fault, error) {
	tree, err := schemas.Parse(body, schemas.DefaultLimits())
	if err != nil {
		return tree, nil, err
	}
	p.panicAt(tree, "canonical")
	// Persons become what schemas make of them: lists of {system, value}.
	m := map[string]any{}
	for k, v := range tree.Object() {
		m[k] = v
	}
	if list, ok := m["persons"].([]any); ok {
		var out []any
		for _, x := range list {
			var ids []any
			for _, id := range strings.Split(x.(string), "+") {
				system, value, _ := strings.Cut(id, " ")
				ids = append(ids, map[string]any{"system": system, "value": value})
			}
			out = append(out, map[string]any{"identifiers": ids})
		}
		m["persons"] = out
	}
	return exchange.NewTree(m), nil, nil
}

func (p *fakeProducer) panicAt(t exchange.Tree, where string) {
	if t.Text("/panic") == where {
		panic("canarino " + where)
	}
}

func (p *fakeProducer) Persons(t exchange.Tree) []schemas.Person {
	p.panicAt(t, "persons")
	v, _ := t.At("/persons")
	list, _ := v.([]any)
	var out []schemas.Person
	for i := range list {
		at := exchange.Pointer("/persons").Index(i)
		who := schemas.Person{Place: at, Principal: i == 0 && t.Text("/nobody") == ""}
		ids, _ := t.At(at.Append("identifiers"))
		for j := range ids.([]any) {
			who.Identifiers = append(who.Identifiers, at.Append("identifiers").Index(j))
		}
		out = append(out, who)
	}
	return out
}

func (p *fakeProducer) Route(t exchange.Tree, _ time.Time) ([]intake.Recipient, []exchange.Role, error) {
	p.panicAt(t, "route")
	n := 1
	if v, ok := t.At("/flows"); ok {
		n, _ = strconv.Atoi(v.(json.Number).String())
	}
	var out []intake.Recipient
	for i := range n {
		out = append(out, intake.Recipient{Flow: exchange.FlowID(fmt.Sprintf("flow_%d", i)), System: exchange.SystemID(fmt.Sprintf("recipient_%d", i)), Body: "body_x", Role: exchange.RoleSocialService})
	}
	return out, nil, nil
}

func (p *fakeProducer) Encode(t exchange.Tree) ([]byte, error) {
	if t.Text("/big") != "" {
		return bytes.Repeat([]byte("x"), 9<<20), nil
	}
	return codec.AppendJSON(nil, t)
}

func (f *fixture) pushAs(system exchange.SystemID, key, body string) (*intake.Acknowledgement, error) {
	return f.intake.Push(context.Background(), intake.Push{System: system, Type: "test_record", Key: key, MediaType: "application/json", Body: exchange.NewPayload([]byte(body))})
}

func (f *fixture) pushFake(key, body string) (*intake.Acknowledgement, error) {
	return f.pushAs("desk_a", key, body)
}

func (f *fixture) pushFakeLines(key string, lines ...string) (*intake.Acknowledgement, error) {
	return f.intake.Push(context.Background(), intake.Push{System: "desk_a", Type: "test_record", Key: key, MediaType: intake.MediaNDJSON,
		Body: exchange.NewPayload([]byte(strings.Join(lines, "\n")))})
}

// last is the newest record header in the stream.
func (f *fixture) last() *exchange.RecordHeader {
	f.t.Helper()
	parts := f.stored(exchange.ClassPrompt)
	require.NotEmpty(f.t, parts)
	h := parts[len(parts)-1].Header
	return &h.Records[len(h.Records)-1]
}

// repair gives the tax codes of the sample their right check characters, and
// keeps one benefit of it: a flow is one beneficiary and one benefit.
func repair(t testing.TB, sample []byte) []byte {
	repaired := 0
	for i := 1; i+16 < len(sample); i++ {
		cf := sample[i : i+16]
		right, err := person.CheckCharacter(string(cf[:15]))
		if err != nil || sample[i-1] != '"' || sample[i+16] != '"' {
			continue
		}
		if _, err := person.ParseCF(string(cf[:15]) + string(right)); err == nil {
			cf[15] = right
			repaired++
		}
	}
	require.Positive(t, repaired)
	const open, end = "<PrestazioniSociali", "</Beneficiario>"
	first := bytes.Index(sample, []byte(open))
	second := bytes.Index(sample[first+1:], []byte(open)) + first + 1
	last := bytes.Index(sample, []byte(end))
	require.True(t, first > 0 && second > first && last > second)
	return append(append([]byte(nil), sample[:second]...), sample[last:]...)
}
