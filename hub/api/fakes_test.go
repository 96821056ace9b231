package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"raccordo/hub/access"
	"raccordo/hub/exchange"
)

// What the fakes know. Records, consents, dossiers and items are the desk's.
const (
	deskToken  = "desk-token"
	otherToken = "other-token"
)

var (
	testTime     = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	recordID     = must(exchange.ParseRecordID("3f0c9a52-6f0e-8a4b-9c1d-2e3f4a5b6c7d"))
	disclosureID = must(exchange.ParseDisclosureID("5d2e9a52-6f0e-8a4b-9c1d-2e3f4a5b6c7d"))
	consentID1   = must(exchange.ParseConsentID("8c1d9a52-6f0e-8a4b-9c1d-2e3f4a5b6c7d"))
	dossierID1   = must(exchange.ParseDossierID("9e3f9a52-6f0e-8a4b-9c1d-2e3f4a5b6c7d"))
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// fake is everything behind the API. If err is set, all of it fails so.
type fake struct {
	mu      sync.Mutex
	err     error
	crash   any
	push    func(PushRequest) (*Acknowledgement, error)
	seen    PushRequest
	calls   int
	page    ConsentPage
	query   ConsentQuery
	given   ConsentDecision
	items   []MailboxItem
	fetched int
	full    bool // rates
	limits  []string
	marks   []string // route status reason
}

func (f *fake) enter() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.crash != nil {
		panic(f.crash)
	}
	return f.err
}

// mine is what every implementer does: the other's thing is not found.
func (f *fake) mine(c Caller, is bool) error {
	if err := f.enter(); err != nil {
		return err
	}
	if c.System != "desk" || !is {
		return exchange.NewError(exchange.CodeNotFound, exchange.ReasonNotFound, "a detail that must not show")
	}
	return nil
}

func (f *fake) Push(_ context.Context, r PushRequest) (*Acknowledgement, error) {
	if err := f.enter(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.seen = r
	push := f.push
	f.mu.Unlock()
	if push != nil {
		return push(r)
	}
	lines := []LineAcknowledgement{{Line: 1, Record: recordID, NoRecipient: []exchange.Role{"health_service"},
		Recipients: []Recipient{{Flow: "bed_livorno", Body: "centro", Role: "service_provider", State: SenderPending}},
		Warnings:   []exchange.Fault{{Pointer: "/birth_place", Rule: "unknown_birthplace", Warning: true}}}}
	if r.MediaType == MediaNDJSON {
		lines = append(lines, LineAcknowledgement{Line: 2, Faults: []exchange.Fault{{Pointer: "/urgency", Rule: "enum", Line: 2}}})
	}
	return &Acknowledgement{Lines: lines}, nil
}

func (f *fake) RecordStatus(_ context.Context, c Caller, t exchange.RecordType, id exchange.RecordID) (RecordStatus, error) {
	if err := f.mine(c, id == recordID); err != nil {
		return RecordStatus{}, err
	}
	return RecordStatus{Record: id, Type: t, ReceivedAt: testTime, Recipients: []Recipient{
		{Flow: "bed_livorno", Body: "centro", Role: "service_provider", State: SenderNotReleased, Reason: exchange.ReasonConsentMissing}}}, nil
}

func (f *fake) Fetch(_ context.Context, c Caller, limit int) (MailboxPage, error) {
	if err := f.enter(); err != nil {
		return MailboxPage{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fetched++
	if c.System != "desk" {
		return MailboxPage{}, nil
	}
	return MailboxPage{Items: f.items[:min(limit, len(f.items))], More: limit < len(f.items)}, nil
}

func (f *fake) Acknowledge(_ context.Context, c Caller, acks []ItemAcknowledgement) ([]ItemResult, error) {
	if err := f.enter(); err != nil {
		return nil, err
	}
	out := make([]ItemResult, len(acks))
	for i, a := range acks {
		out[i] = ItemNotFound
		if c.System == "desk" && a.Disclosure == disclosureID {
			out[i] = ItemSettled
		}
	}
	return out, nil
}

func testConsent() Consent {
	return Consent{ID: consentID1, Purpose: "help", Body: "sds", Role: "health_service", State: "given", Version: 1,
		NoticeVersion: "1.0.0", NoticeLanguage: "it", EffectiveAt: testTime, ExpiresAt: testTime.AddDate(1, 0, 0), Entry: 7}
}

func (f *fake) Decide(_ context.Context, _ Caller, d ConsentDecision) (Consent, error) {
	if err := f.enter(); err != nil {
		return Consent{}, err
	}
	f.given = d
	return testConsent(), nil
}

func (f *fake) Withdraw(_ context.Context, c Caller, id exchange.ConsentID, _ string) (ConsentEnd, error) {
	if err := f.mine(c, id == consentID1); err != nil {
		return ConsentEnd{}, err
	}
	return ConsentEnd{ID: id, State: "withdrawn", EffectiveAt: testTime, Entry: 8, ClaimsUnderWay: 2, EndsWithin: 30 * time.Second}, nil
}

func (f *fake) Consent(_ context.Context, c Caller, id exchange.ConsentID) (Consent, error) {
	return testConsent(), f.mine(c, id == consentID1)
}

func (f *fake) Search(_ context.Context, c Caller, q ConsentQuery) (ConsentPage, error) {
	if err := f.enter(); err != nil {
		return ConsentPage{}, err
	}
	f.query = q
	if c.System != "desk" {
		return ConsentPage{}, nil
	}
	return f.page, nil
}

func (f *fake) Open(_ context.Context, _ Caller, d DossierOpening) (Dossier, error) {
	return Dossier{ID: dossierID1, Role: d.Role, Capacity: d.Capacity, OpenedAt: testTime, EndsOn: d.EndsOn, Entry: 9}, f.enter()
}

func (f *fake) Close(_ context.Context, c Caller, id exchange.DossierID, _ string) (Dossier, error) {
	return Dossier{ID: id, Role: "social_service", Capacity: "case_manager", OpenedAt: testTime, ClosedAt: testTime, Entry: 10}, f.mine(c, id == dossierID1)
}

func (f *fake) Catalog(context.Context, Caller) ([]CatalogItem, error) {
	return []CatalogItem{{Type: "service_request", Version: "1.0.0", Format: "desk_format", Push: true, MediaType: MediaJSON,
		Digest: exchange.DigestOf([]byte("x")), Schema: []byte(`{"title":"x","type":"object"}`)},
		{Type: "social_benefit", Version: "1.0.0", Format: "siuss", MediaType: MediaXML}}, f.enter()
}

func (f *fake) Checkpoint(context.Context) ([]byte, error) {
	return []byte("hub.example\n5\nX3C/GKCGAHAW6UiwSu07ghA6Nr6kF1W2zd+vEKzjxu8=\n\n— hub.example AbCd\n"), f.enter()
}

func (f *fake) Tile(_ context.Context, _ string) ([]byte, error) {
	return make([]byte, 64), f.enter()
}

func (f *fake) Proof(_ context.Context, c Caller, r ProofRequest) (Proof, error) {
	if err := f.enter(); err != nil {
		return Proof{}, err
	}
	p := Proof{Entry: r.Entry, TreeSize: max(r.TreeSize, r.Entry+1), Header: []byte("head"), Hashes: [][]byte{make([]byte, 32)}, Checkpoint: "note"}
	if r.Row != nil {
		if err := f.mine(c, *r.Row == 0); err != nil {
			return Proof{}, err
		}
		p.Row = &RowProof{Index: *r.Row, Row: []byte{1}, Hashes: nil}
	}
	return p, nil
}

func (f *fake) Ready(context.Context) error { return f.enter() }

func (f *fake) Issue(_ context.Context, _ access.TokenRequest) (access.Voucher, error) {
	return access.Voucher{Token: "a.b.c", Life: time.Minute}, f.enter()
}

func (f *fake) Verify(_ context.Context, raw string, _ access.Expect) (Caller, error) {
	switch raw {
	case deskToken:
		return Caller{System: "desk", Body: "desk_body", Purpose: "help", PurposeID: "p1", ClientID: "c1"}, nil
	case otherToken:
		return Caller{System: "other", Body: "other_body", Purpose: "help", PurposeID: "p2", ClientID: "c2"}, nil
	}
	return Caller{}, exchange.NewError(exchange.CodeUnauthenticated, exchange.ReasonTokenInvalid, "the token is not valid here")
}

func (f *fake) Allow(key string, _ int) access.Quota {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.limits = append(f.limits, key)
	if f.full {
		return access.Quota{Limit: 10, Reset: 1500 * time.Millisecond}
	}
	return access.Quota{OK: true, Limit: 10, Remaining: 9, Reset: 100 * time.Millisecond}
}

func (f *fake) Observe(route string, status int, reason string, _ time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.marks = append(f.marks, strings.Join([]string{route, http.StatusText(status), reason}, " "))
}

// rig is a running API with everything behind it faked.
type rig struct {
	t    *testing.T
	fake *fake
	api  *API
	srv  *httptest.Server
	log  *syncBuffer
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newFake() *fake {
	f := &fake{page: ConsentPage{Items: []Consent{testConsent()}, Next: "position-1"}}
	f.items = []MailboxItem{
		{Disclosure: disclosureID, Record: recordID, Type: "service_request", Flow: "bed_livorno", Sequence: 1, MediaType: MediaJSON,
			Content: exchange.NewPayload([]byte(`{"service":"BED"}`)), LeaseUntil: testTime},
		{Disclosure: disclosureID, Record: recordID, Type: "social_benefit", Flow: "siuss", Sequence: 2, MediaType: MediaXML,
			Content: exchange.NewPayload([]byte(`<a>&amp;</a>`)), LeaseUntil: testTime},
	}
	return f
}

func options(f *fake, log io.Writer) Options {
	return Options{
		Intake: f, Records: f, Mailbox: f, Consents: f, Dossiers: f, Catalog: f, Ledger: f, Readiness: f, Tokens: f,
		Verifier: f, Limits: f, Metrics: f, Logger: slog.New(slog.NewJSONHandler(log, nil)),
		Now: func() time.Time { return testTime }, Random: rand.Reader,
	}
}

func newRig(t *testing.T, change ...func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t, fake: newFake(), log: &syncBuffer{}}
	o := options(r.fake, r.log)
	for _, c := range change {
		c(&o)
	}
	var err error
	r.api, err = New(o)
	require.NoError(t, err)
	r.srv = httptest.NewServer(r.api)
	t.Cleanup(r.srv.Close)
	return r
}

// reply is an answer read to its end.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r reply) problem(t *testing.T) problem {
	t.Helper()
	require.Equal(t, mediaProblem, r.header.Get("Content-Type"))
	var p problem
	require.NoError(t, json.Unmarshal(r.body, &p))
	require.Equal(t, r.status, p.Status)
	return p
}

type edit func(*http.Request)

func with(name string, values ...string) edit {
	return func(r *http.Request) { r.Header[http.CanonicalHeaderKey(name)] = values }
}

func without(name string) edit { return func(r *http.Request) { r.Header.Del(name) } }

// do sends a request as the desk, a JSON one where it has a body.
func (r *rig) do(method, path, body string, edits ...edit) reply {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.srv.URL+path, strings.NewReader(body))
	require.NoError(r.t, err)
	req.Header.Set("Authorization", "Bearer "+deskToken)
	if body != "" {
		req.Header.Set("Content-Type", MediaJSON)
		req.Header.Set("Idempotency-Key", "k1")
	}
	for _, e := range edits {
		e(req)
	}
	return r.send(req)
}

func (r *rig) send(req *http.Request) reply {
	r.t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	require.NoError(r.t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(r.t, err)
	return reply{res.StatusCode, res.Header, b}
}
