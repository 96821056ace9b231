package intake_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"raccordo/hub/codec"
	"raccordo/hub/exchange"
	"raccordo/hub/intake"
	"raccordo/hub/stream"
)

func TestSingleRecord(t *testing.T) {
	f := newFixture(t)
	ack, err := f.push("k1", request("1", "SPORTELLO LI-0042", "SPORTELLO LI-0043"))
	require.NoError(t, err)
	require.Len(t, ack.Lines, 1)
	l := ack.Lines[0]
	require.True(t, l.Accepted())
	require.Equal(t, 1, l.Line)
	require.Equal(t, []intake.LineRecipient{
		{Flow: "livorno_provider_bed_emergency", Body: "il_simbolo", Role: exchange.RoleServiceProvider},
		{Flow: "livorno_social_bed_emergency", Body: "comune_livorno", Role: exchange.RoleSocialService},
	}, l.Recipients)
	require.Empty(t, l.NoRecipient)
	require.Empty(t, l.Faults)

	parts := f.stored(exchange.ClassPrompt)
	require.Len(t, parts, 1)
	h := parts[0].Header
	require.Equal(t, f.store.Hub(), h.Hub)
	require.Equal(t, ack.Frame, h.Frame)
	require.Equal(t, desk, h.System)
	require.Equal(t, reticulate(t).Digest, h.Network)
	require.Equal(t, start.UnixMilli(), h.ReceivedAt)
	require.Equal(t, exchange.ClassPrompt, h.Class)
	require.Equal(t, [2]uint16{1, 1}, [2]uint16{h.Part, h.Parts})
	require.Equal(t, exchange.DigestOf(request("1", "SPORTELLO LI-0042", "SPORTELLO LI-0043")), h.BodyDigest)
	require.Len(t, h.Records, 1)
	r := h.Records[0]
	require.Equal(t, l.Record, r.Record)
	require.Equal(t, requests, r.Type)
	require.Equal(t, "1.0.0", r.Version)
	require.False(t, r.Thing)
	require.Equal(t, []exchange.FlowID{"livorno_provider_bed_emergency", "livorno_social_bed_emergency"}, r.Flows)
	require.Equal(t, exchange.Lane(r.Principal, 4), h.Lane)
	require.Len(t, r.Affected, 1)
	require.Equal(t, exchange.Pointer("/for/1"), r.Affected[0].Place)
	require.False(t, r.Affected[0].Alias)
	require.NotEqual(t, r.Principal, r.Affected[0].Subject)

	tree := f.record(parts[0], 0)
	require.Equal(t, "BED", tree.Text("/service"))
	require.Equal(t, "LI-0043", tree.Text("/for/1/identifiers/0/value"))
	require.Equal(t, map[exchange.FlowID]int{"livorno_provider_bed_emergency": 1, "livorno_social_bed_emergency": 1}, f.metrics.accepted)
}

func TestSealedRecordsOpenOnlyInTheirPlace(t *testing.T) {
	f := newFixture(t)
	_, err := f.pushLines("k", request("1", "SPORTELLO LI-1"), request("2", "SPORTELLO LI-1"))
	require.NoError(t, err)
	p := f.stored(exchange.ClassPrompt)[0]
	require.Len(t, p.Records, 2)
	for name, aad := range map[string][]byte{
		"another index":      exchange.RecordAAD(p.Header, p.HeaderDigest, 1),
		"another header":     exchange.RecordAAD(p.Header, exchange.DigestOf(nil), 0),
		"the acknowledgment": exchange.AcknowledgementAAD(p.Header, p.HeaderDigest),
		"nothing":            nil,
	} {
		_, err := f.keys.Open(p.Records[0], aad)
		require.Error(t, err, name)
	}
	other := *p.Header
	other.Lane++
	_, err = f.keys.Open(p.Records[0], exchange.RecordAAD(&other, p.HeaderDigest, 0))
	require.Error(t, err)
	_, err = f.keys.Open(p.Acknowledgement, exchange.RecordAAD(p.Header, p.HeaderDigest, 0))
	require.Error(t, err)
	f.record(p, 0)
	f.record(p, 1)
}

func TestOneBadLineCostsNoOther(t *testing.T) {
	f := newFixture(t, func(f *fixture) { f.limits = codec.LineLimits{MaxBytes: 1 << 20, MaxLines: 100, MaxLineBytes: 4096} })
	good := func(n int) []byte { return request(fmt.Sprint(n), fmt.Sprintf("SPORTELLO LI-%d", n)) }
	ack, err := f.pushLines("k", good(1), []byte(`{"canarino":`), nil, good(4), []byte("  \t"),
		[]byte(`{"x":"`+strings.Repeat("canarino", 600)+`"}`), request("7", "CF CANARINO"), []byte(`{"ente":"canarino"}`),
		bytes.Replace(good(9), []byte("POSTO_LETTO"), []byte("CANARINO"), 1), good(10))
	require.NoError(t, err)
	accepted, no := ack.Count()
	require.Equal(t, [2]int{3, 5}, [2]int{accepted, no})
	type fate struct {
		line   int
		reason exchange.Reason
		at     exchange.Pointer
	}
	var got []fate
	for i := range ack.Lines {
		l := &ack.Lines[i]
		if l.Accepted() {
			require.NoError(t, l.Refusal())
			got = append(got, fate{l.Line, "", ""})
			continue
		}
		require.NotEmpty(t, l.Faults)
		require.NotEmpty(t, l.Faults[0].Rule)
		refused(t, l.Refusal(), l.Code, l.Reason, l.Faults...)
		got = append(got, fate{l.Line, l.Reason, l.Faults[0].Pointer})
	}
	require.Equal(t, []fate{{1, "", ""}, {2, exchange.ReasonMalformedJSON, ""}, {4, "", ""}, {6, exchange.ReasonTooLarge, ""},
		{7, exchange.ReasonSchema, "/for/0/identifiers/0"}, {8, exchange.ReasonSchema, "/data_ora"},
		{9, exchange.ReasonMappingFailed, "/servizio"}, {10, "", ""}}, got)
	records := 0
	for _, p := range f.stored(exchange.ClassPrompt) {
		records += len(p.Records)
		for i := range p.Records {
			require.Equal(t, fmt.Sprint(p.Header.Records[i].Line), f.record(p, i).Text("/source/ref"))
		}
	}
	require.Equal(t, 3, records)
	require.Equal(t, 2, f.metrics.refused[exchange.ReasonSchema])
}

func TestWholeRequestsThatAreRefused(t *testing.T) {
	f := newFixture(t, func(f *fixture) { f.limits = codec.LineLimits{MaxBytes: 1 << 20, MaxLines: 3, MaxLineBytes: 4096} })
	good := request("1", "SPORTELLO LI-1")
	ndjson := func(body string) intake.Push {
		return intake.Push{System: desk, Type: requests, Key: "k", MediaType: intake.MediaNDJSON, Body: exchange.NewPayload([]byte(body))}
	}
	single := func(body string) intake.Push {
		p := ndjson(body)
		p.MediaType = "application/json"
		return p
	}
	with := func(p intake.Push, change func(*intake.Push)) intake.Push { change(&p); return p }
	for name, c := range map[string]struct {
		push   intake.Push
		code   exchange.Code
		reason exchange.Reason
	}{
		"no line":          {ndjson("\n \n"), exchange.CodeMalformed, exchange.ReasonMalformedJSON},
		"nothing":          {ndjson(""), exchange.CodeMalformed, exchange.ReasonMalformedJSON},
		"too many lines":   {ndjson(strings.Repeat("{}\n", 4)), exchange.CodeTooLarge, exchange.ReasonTooLarge},
		"too many bytes":   {ndjson(strings.Repeat("\n", 1<<20+1)), exchange.CodeTooLarge, exchange.ReasonTooLarge},
		"empty single":     {single(""), exchange.CodeMalformed, exchange.ReasonMalformedJSON},
		"two documents":    {single(string(good) + string(good)), exchange.CodeMalformed, exchange.ReasonMalformedJSON},
		"schema":           {single(`{"ente":"canarino"}`), exchange.CodeInvalid, exchange.ReasonSchema},
		"other media type": {with(single(string(good)), func(p *intake.Push) { p.MediaType = "application/xml" }), exchange.CodeUnsupported, exchange.ReasonMediaType},
		"no media type":    {with(single(string(good)), func(p *intake.Push) { p.MediaType = "" }), exchange.CodeUnsupported, exchange.ReasonMediaType},
		"other type":       {with(single(string(good)), func(p *intake.Push) { p.Type = "social_benefit" }), exchange.CodeForbidden, exchange.ReasonUnknownType},
		"unknown type":     {with(single(string(good)), func(p *intake.Push) { p.Type = "canarino" }), exchange.CodeForbidden, exchange.ReasonUnknownType},
		"unknown system":   {with(single(string(good)), func(p *intake.Push) { p.System = "nobody" }), exchange.CodeForbidden, exchange.ReasonUnknownType},
		"no key":           {with(single(string(good)), func(p *intake.Push) { p.Key = "" }), exchange.CodeMalformed, exchange.ReasonKeyMissing},
		"key of 10 KB":     {with(single(string(good)), func(p *intake.Push) { p.Key = strings.Repeat("k", 10<<10) }), exchange.CodeMalformed, exchange.ReasonKeyInvalid},
		"key with a line":  {with(single(string(good)), func(p *intake.Push) { p.Key = "a\nb" }), exchange.CodeMalformed, exchange.ReasonKeyInvalid},
		"key beyond ASCII": {with(single(string(good)), func(p *intake.Push) { p.Key = "è" }), exchange.CodeMalformed, exchange.ReasonKeyInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.intake.Push(context.Background(), c.push)
			refused(t, err, c.code, c.reason)
		})
	}
	require.Empty(t, f.stored(exchange.ClassPrompt))
}

func TestAllLinesRefusedStoreNothing(t *testing.T) {
	f := newFixture(t)
	ack, err := f.pushLines("k", []byte(`{`), request("2", "CF CANARINO"))
	require.NoError(t, err)
	accepted, no := ack.Count()
	require.Equal(t, [2]int{0, 2}, [2]int{accepted, no})
	require.Equal(t, exchange.FrameID{}, ack.Frame)
	require.Empty(t, f.stored(exchange.ClassPrompt))
	// Nothing is bound to the key either: the lines may be mended.
	ack, err = f.pushLines("k", request("1", "SPORTELLO LI-1"))
	require.NoError(t, err)
	accepted, _ = ack.Count()
	require.Equal(t, 1, accepted)
}

func TestNoRecipient(t *testing.T) {
	f := newFixture(t)
	push := func(system exchange.SystemID, body []byte) (*intake.Acknowledgement, error) {
		return f.intake.Push(context.Background(), intake.Push{System: system, Type: requests, Key: "k-" + string(system), MediaType: "application/json", Body: exchange.NewPayload(body)})
	}
	health := bytes.Replace(request("1", "SPORTELLO LI-1"), []byte(`"POSTO_LETTO"`), []byte(`"ACC_SANITARIO"`), 1)
	health = bytes.Replace(health, []byte(`,"posto_letto":{"dal":"2026-03-02","notti":3}`), nil, 1)
	ack, err := push(desk, health) // no SdS in Livorno
	require.NoError(t, err)
	require.Equal(t, []exchange.Role{exchange.RoleHealthService}, ack.Lines[0].NoRecipient)
	require.NotEmpty(t, ack.Lines[0].Recipients)

	job := bytes.Replace(health, []byte(`"ACC_SANITARIO"`), []byte(`"LAVORO"`), 1)
	_, err = push("oss_grosseto_desk", job) // no employment centre in Grosseto
	refused(t, err, exchange.CodeInvalid, exchange.ReasonNoRecipient, exchange.Fault{Rule: "no_recipient"})
	require.Len(t, f.stored(exchange.ClassPrompt), 1)
}

func TestXML(t *testing.T) {
	body := siuss(t)
	f := newFixture(t)
	push := intake.Push{System: "contributi_livorno", Type: "social_benefit", Key: "k", MediaType: "application/xml", Body: exchange.NewPayload(body)}
	ack, err := f.intake.Push(context.Background(), push)
	require.NoError(t, err)
	require.True(t, ack.Lines[0].Accepted())
	parts := f.stored(exchange.ClassBulk)
	require.Len(t, parts, 1)
	require.Equal(t, exchange.ClassBulk, parts[0].Header.Class)
	require.NotEmpty(t, f.record(parts[0], 0).Text("/siuss_code"))
	require.Empty(t, f.stored(exchange.ClassPrompt))

	push.Key, push.MediaType = "k2", intake.MediaNDJSON
	_, err = f.intake.Push(context.Background(), push)
	refused(t, err, exchange.CodeUnsupported, exchange.ReasonMediaType)
	push.MediaType, push.Body = "application/xml", exchange.NewPayload(append([]byte(`<!DOCTYPE x [<!ENTITY canarino "x">]>`), body...))
	_, err = f.intake.Push(context.Background(), push)
	refused(t, err, exchange.CodeMalformed, exchange.ReasonMalformedXML)
}

// siuss is INPS's own sample with its fictitious tax code, which fails the
// check character, repaired (shared data, inps/waas).
func siuss(t testing.TB) []byte {
	dir, err := os.Getwd()
	require.NoError(t, err)
	for dir != filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	b, err := os.ReadFile(filepath.Join(filepath.Dir(dir), "shared", "data", "inps", "waas", "sample-0-PS.xml"))
	if err != nil {
		t.Skip("the shared data are not beside the module")
	}
	return repair(t, b)
}

func TestCorrectionsAreNotTakenForRecords(t *testing.T) {
	f := newFixture(t, withFakePlan)
	for _, body := range []string{`{"id":"1","supersedes":"7b1c3f3e-0000-8000-8000-000000000000","persons":["LOCAL A1"]}`,
		`{"id":"1","supersedes":null,"persons":["LOCAL A1"]}`, `{"id":"1","tombstone":true,"persons":["LOCAL A1"]}`} {
		_, err := f.pushFake("k", body)
		e := refused(t, err, exchange.CodeInvalid, exchange.ReasonNotSupported)
		require.Equal(t, "not_supported", e.Faults[0].Rule)
		require.Contains(t, []exchange.Pointer{"/supersedes", "/tombstone"}, e.Faults[0].Pointer)
	}
	require.Empty(t, f.stored(exchange.ClassPrompt))
	_, err := f.pushFake("k", `{"id":"1","tombstone":false,"persons":["LOCAL A1"]}`)
	require.NoError(t, err)
}

func TestAPanicRefusesItsLineAlone(t *testing.T) {
	f := newFixture(t, withFakePlan)
	ack, err := f.pushFakeLines("k", `{"id":"1","persons":["LOCAL A1"]}`, `{"id":"2","panic":"canonical","persons":["LOCAL A1"]}`,
		`{"id":"3","panic":"persons","persons":["LOCAL A1"]}`, `{"id":"4","persons":["LOCAL A2"]}`)
	require.NoError(t, err)
	for i, want := range []bool{true, false, false, true} {
		require.Equal(t, want, ack.Lines[i].Accepted(), i)
		if !want {
			refused(t, ack.Lines[i].Refusal(), exchange.CodeInvalid, exchange.ReasonPanicked)
		}
	}
	_, err = f.pushFake("k2", `{"id":"1","panic":"route","persons":["LOCAL A1"]}`)
	refused(t, err, exchange.CodeInvalid, exchange.ReasonPanicked)
	require.Equal(t, 3, strings.Count(f.logged.String(), "panicked"))
	require.NotContains(t, f.logged.String(), "canarino")
}

// TestTenThousandLines is as much as one request may hold, one line in a
// hundred bad.
func TestTenThousandLines(t *testing.T) {
	f := newFixture(t, withFakePlan)
	lines := make([]string, 10_000)
	for i := range lines {
		lines[i] = fmt.Sprintf(`{"id":"%d","persons":["LOCAL P%d"]}`, i, i%700)
		if i%100 == 99 {
			lines[i] = fmt.Sprintf(`{"id":"%d","persons":["CF canarino"]}`, i)
		}
	}
	ack, err := f.pushFakeLines("k", lines...)
	require.NoError(t, err)
	accepted, no := ack.Count()
	require.Equal(t, [2]int{9900, 100}, [2]int{accepted, no})
	inStream := map[exchange.RecordID]uint32{}
	for _, p := range f.stored(exchange.ClassPrompt) {
		for _, r := range p.Header.Records {
			inStream[r.Record] = r.Line
		}
	}
	require.Len(t, inStream, 9900)
	for i := range ack.Lines {
		l := &ack.Lines[i]
		require.Equal(t, i+1, l.Line)
		require.Equal(t, i%100 != 99, l.Accepted())
		if l.Accepted() {
			require.EqualValues(t, l.Line, inStream[l.Record])
		}
	}
	again, err := f.pushFakeLines("k", lines...)
	require.NoError(t, err)
	require.Equal(t, ack, again)

	_, err = f.pushFakeLines("k2", append(lines, lines[0])...)
	refused(t, err, exchange.CodeTooLarge, exchange.ReasonTooLarge, exchange.Fault{Rule: "lines"})
	require.Len(t, f.stored(exchange.ClassPrompt), 4)
}

// sink takes every frame and keeps none.
type sink struct{ parts int }

func (s *sink) Append(_ context.Context, _ string, msgs ...*message.Message) ([]stream.Offset, error) {
	out := make([]stream.Offset, len(msgs))
	for i, m := range msgs {
		if _, err := exchange.DecodePart(m.Payload); err != nil {
			return nil, err
		}
		s.parts++
		out[i] = stream.Offset(s.parts)
	}
	return out, nil
}

func (*sink) Message(string, stream.Offset) (*message.Message, error) { return nil, stream.ErrAboveEnd }

// FuzzPushLines: whatever the bytes, every line has its fate or the request a
// typed refusal, and every part that is stored can be read.
func FuzzPushLines(f *testing.F) {
	fx := newFixture(f, func(fx *fixture) {
		fx.wrap = func(intake.Publisher) intake.Publisher { return &sink{} }
	})
	f.Add([]byte("{}\n\n[]\nnull\n"))
	f.Add(bytes.Join([][]byte{request("1", "SPORTELLO LI-1"), request("2", "CF X", "STP STP0900010000123")}, []byte("\r\n")))
	f.Add(request("3", "SPORTELLO LI-1+STP STP0900010000123", "SPORTELLO LI-1"))
	n := 0
	f.Fuzz(func(t *testing.T, body []byte) {
		n++
		ack, err := fx.pushLines(fmt.Sprint("k", n), body)
		if err != nil {
			var e *exchange.Error
			if !errors.As(err, &e) || e.Code == exchange.CodeInternal || e.Code == exchange.CodeUnavailable || e.Code == exchange.CodeUnknownOutcome {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		for i := range ack.Lines {
			l := &ack.Lines[i]
			if l.Accepted() == (len(l.Faults) > 0) || l.Accepted() && len(l.Recipients) == 0 || l.Reason == exchange.ReasonInternal || l.Reason == exchange.ReasonPanicked {
				t.Fatalf("line %d: accepted %v, %d recipients, %v", l.Line, l.Accepted(), len(l.Recipients), l.Refusal())
			}
		}
	})
}

func TestTooManyFlows(t *testing.T) {
	f := newFixture(t, withFakePlan)
	ack, err := f.pushFakeLines("k", `{"id":"1","flows":64,"persons":["LOCAL A1"]}`, `{"id":"2","flows":65,"persons":["LOCAL A1"]}`)
	require.NoError(t, err)
	require.True(t, ack.Lines[0].Accepted())
	refused(t, ack.Lines[1].Refusal(), exchange.CodeInvalid, exchange.ReasonSemantic, exchange.Fault{Rule: "max_flows"})
}

// TestNoValueLeavesTheSeals scans everything that was written and logged.
func TestNoValueLeavesTheSeals(t *testing.T) {
	f := newFixture(t)
	_, err := f.pushLines("chiave-canarino", request("NUM-CANARINO", "SPORTELLO LI-CANARINO", "CF RSSMRA80A01E625Q"), []byte(`{"canarino":"CANARINO"}`),
		request("3", "SPORTELLO CANARINO-1"), request("4", "CF CANARINO80A01E62"))
	require.NoError(t, err)
	_, err = f.push("k2", []byte(`{"canarino":`))
	require.Error(t, err)
	f.persisted(desk, 1)
	f.close()
	scanned := 0
	require.NoError(t, filepath.Walk(f.dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		scanned++
		for _, canary := range []string{"canarino", "rssmra80a01e625q", "li-", "posto", "2026-03-02"} {
			if strings.Contains(strings.ToLower(string(b)), canary) && !strings.HasSuffix(path, "keyring") {
				t.Errorf("%s holds %q", filepath.Base(path), canary)
			}
		}
		return nil
	}))
	require.GreaterOrEqual(t, scanned, 3)
	require.NotContains(t, strings.ToLower(f.logged.String()), "canarino")
	f.open() // for the clean-up
}
