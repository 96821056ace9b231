package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"raccordo/hub/exchange"
)

const decision = `{"person":{"system":"LOCAL","value":"L-1"},"purpose":"help","recipient":{"body":"sds","role":"health_service"},` +
	`"decision":"given","notice":{"version":"1.0.0","language":"it"},"indicated_by":"person","means":"oral"}`

func TestSingleAcknowledgement(t *testing.T) {
	r := newRig(t)
	res := r.do("POST", "/v1/records/service_request", `{"a":1}`)
	require.Equal(t, 202, res.status)
	require.Equal(t, "/v1/records/service_request/"+recordID.String(), res.header.Get("Location"))
	require.JSONEq(t, `{"record_id":"3f0c9a52-6f0e-8a4b-9c1d-2e3f4a5b6c7d","record_type":"service_request",
		"recipients":[{"flow":"bed_livorno","body":"centro","role":"service_provider","state":"pending"}],
		"no_recipient":["health_service"],"warnings":[{"pointer":"/birth_place","rule":"unknown_birthplace"}]}`, string(res.body))
	require.Equal(t, exchange.SystemID("desk"), r.fake.seen.Caller.System)
	require.Equal(t, `{"a":1}`, string(r.fake.seen.Body.Reveal()))

	res = r.do("POST", "/v1/records/service_request", `{}`)
	require.Equal(t, 202, res.status)
	r.fake.push = func(PushRequest) (*Acknowledgement, error) { return &Acknowledgement{}, nil }
	require.Equal(t, 500, r.do("POST", "/v1/records/service_request", `{}`).status, "an acknowledgement of nothing")
}

func TestBatchIsAnsweredPerLine(t *testing.T) {
	r := newRig(t)
	res := r.do("POST", "/v1/records/service_request", "{}\n{}\n", with("Content-Type", MediaNDJSON))
	require.Equal(t, 202, res.status)
	require.Empty(t, res.header.Get("Location"))
	require.JSONEq(t, `{"accepted":1,"refused":1,"lines":[
		{"line":1,"record_id":"3f0c9a52-6f0e-8a4b-9c1d-2e3f4a5b6c7d","no_recipient":["health_service"],
		 "warnings":[{"pointer":"/birth_place","rule":"unknown_birthplace"}]},
		{"line":2,"errors":[{"pointer":"/urgency","rule":"enum"}]}]}`, string(res.body))

	r.fake.push = func(PushRequest) (*Acknowledgement, error) {
		return &Acknowledgement{Lines: []LineAcknowledgement{
			{Line: 1, Faults: []exchange.Fault{{Pointer: "/a", Rule: "type"}, {Pointer: "/b", Rule: "enum"}}},
			{Line: 3, Faults: []exchange.Fault{{Rule: "trailing_bytes"}}}}}, nil
	}
	res = r.do("POST", "/v1/records/service_request", "1\n\n2", with("Content-Type", MediaNDJSON))
	require.Equal(t, 422, res.status, "none was accepted")
	require.Equal(t, []fault{{"/a", "type", 1}, {"/b", "enum", 1}, {"", "trailing_bytes", 3}}, res.problem(t).Errors)
}

func TestProblemsAreBounded(t *testing.T) {
	r := newRig(t)
	r.fake.push = func(PushRequest) (*Acknowledgement, error) {
		ack := &Acknowledgement{}
		for i := range 20_000 {
			ack.Lines = append(ack.Lines, LineAcknowledgement{Line: i + 1, Faults: []exchange.Fault{{Rule: "x"}}})
		}
		return ack, nil
	}
	res := r.do("POST", "/v1/records/service_request", "1", with("Content-Type", MediaNDJSON))
	require.Len(t, res.problem(t).Errors, maxProblemFaults)
}

func TestMailboxHoldsBothMediaTypes(t *testing.T) {
	r := newRig(t)
	res := r.do("GET", "/v1/mailbox", "")
	var page struct {
		Items []struct {
			Record  map[string]any
			Content string
		}
		More bool
	}
	require.NoError(t, json.Unmarshal(res.body, &page))
	require.Equal(t, map[string]any{"service": "BED"}, page.Items[0].Record)
	require.Equal(t, "<a>&amp;</a>", page.Items[1].Content)
	require.Equal(t, noStore, res.header.Get("Cache-Control"))
	r.fake.items[0].Content = exchange.NewPayload([]byte("canary-7c2 is no JSON"))
	res = r.do("GET", "/v1/mailbox?limit=1", "")
	require.Equal(t, 500, res.status)
	require.NotContains(t, string(res.body)+r.log.String(), "canary")
}

// B56, and every other way in which a body breaks a rule.
func TestBodiesAreStrict(t *testing.T) {
	r := newRig(t)
	change := func(old, new string) string {
		out := strings.Replace(decision, old, new, 1)
		require.NotEqual(t, decision, out, old)
		return out
	}
	for name, c := range map[string]struct {
		path, body, want string
		status           int
	}{
		"status":            {"/v1/consents", change(`{"person"`, `{"status":"given","person"`), " additional_property", 422},
		"agency":            {"/v1/consents", change(`"body":"sds"`, `"body":"sds","agency":"x"`), "/recipient additional_property", 422},
		"basis":             {"/v1/consents", change(`"means"`, `"basis_version":9,"approved_by":"x","created_at":"x","means"`), " additional_property", 422},
		"twice":             {"/v1/consents", change(`"means"`, `"means":"oral","means"`), " duplicate_key", 400},
		"twice, other case": {"/v1/consents", change(`"means"`, `"Means":"oral","means"`), " duplicate_key", 400},
		"missing":           {"/v1/consents", change(`,"means":"oral"`, ``), "/means required", 422},
		"enum":              {"/v1/consents", change(`"given"`, `"withdrawn"`), "/decision enum", 422},
		"type":              {"/v1/consents", change(`"help"`, `7`), "/purpose type", 422},
		"null":              {"/v1/consents", change(`"help"`, `null`), "/purpose type", 422},
		"object type":       {"/v1/consents", change(`{"version":"1.0.0","language":"it"}`, `[]`), "/notice type", 422},
		"pattern":           {"/v1/consents", change(`"help"`, `"Help me"`), "/purpose pattern", 422},
		"length":            {"/v1/consents", change(`"L-1"`, `"`+strings.Repeat("L", 33)+`"`), "/person/value max_length", 422},
		"empty":             {"/v1/consents", change(`"L-1"`, `""`), "/person/value pattern", 422},
		"line end":          {"/v1/consents", change(`"L-1"`, `"L\n1"`), "/person/value pattern", 422},
		"time":              {"/v1/consents", change(`"means"`, `"expires_at":"tomorrow","means"`), "/expires_at format", 422},
		"year":              {"/v1/consents", change(`"means"`, `"expires_at":"0001-01-01T00:00:00Z","means"`), "/expires_at format", 422},
		"second value":      {"/v1/consents", decision + "{}", " trailing_bytes", 400},
		"array":             {"/v1/consents", "[" + decision + "]", " root_not_object", 400},
		"nothing":           {"/v1/consents", " ", " empty", 400},
		"truncated":         {"/v1/consents", decision[:50], "", 400},
		"deep":              {"/v1/consents", strings.Repeat(`{"a":`, 50) + "1" + strings.Repeat("}", 50), "", 400},
		"large":             {"/v1/consents", `{"a":"` + strings.Repeat("a", controlBytes) + `"}`, " max_bytes", 413},
		"limit":             {"/v1/consents/search", `{"person":{"system":"CF","value":"X"},"limit":0}`, "/limit minimum", 422},
		"limit below":       {"/v1/consents/search", `{"person":{"system":"CF","value":"X"},"limit":-5}`, "/limit minimum", 422},
		"limit above":       {"/v1/consents/search", `{"person":{"system":"CF","value":"X"},"limit":101}`, "/limit maximum", 422},
		"limit fraction":    {"/v1/consents/search", `{"person":{"system":"CF","value":"X"},"limit":1.5}`, "/limit type", 422},
		"limit text":        {"/v1/consents/search", `{"person":{"system":"CF","value":"X"},"limit":"5"}`, "/limit type", 422},
		"cursor":            {"/v1/consents/search", `{"person":{"system":"CF","value":"X"},"cursor":"../x"}`, "/cursor pattern", 422},
		"no list":           {"/v1/mailbox/acknowledgements", `{"acknowledgements":{}}`, "/acknowledgements type", 422},
		"empty list":        {"/v1/mailbox/acknowledgements", `{"acknowledgements":[]}`, "/acknowledgements min_items", 422},
		"long list":         {"/v1/mailbox/acknowledgements", `{"acknowledgements":[` + strings.Repeat("1,", 500) + `1]}`, "/acknowledgements max_items", 422},
		"item":              {"/v1/mailbox/acknowledgements", `{"acknowledgements":[1]}`, "/acknowledgements/0 type", 422},
		"id":                {"/v1/mailbox/acknowledgements", `{"acknowledgements":[{"disclosure_id":"5D2E","outcome":"received"}]}`, "/acknowledgements/0/disclosure_id format", 422},
		"id without hyphens": {"/v1/mailbox/acknowledgements", `{"acknowledgements":[{"disclosure_id":"` + strings.ReplaceAll(disclosureID.String(), "-", "") + `","outcome":"received"}]}`,
			"/acknowledgements/0/disclosure_id format", 422},
		"refusal missing": {"/v1/mailbox/acknowledgements", `{"acknowledgements":[{"disclosure_id":"` + disclosureID.String() + `","outcome":"refused"}]}`,
			"/acknowledgements/0/refusal required", 422},
		"refusal of a receipt": {"/v1/mailbox/acknowledgements", `{"acknowledgements":[{"disclosure_id":"` + disclosureID.String() + `","outcome":"received","refusal":"invalid"}]}`,
			"/acknowledgements/0/refusal not", 422},
		"day": {"/v1/dossiers", `{"person":{"system":"CF","value":"X"},"role":"social_service","capacity":"case_manager","ends_on":"2026-02-30"}`, "/ends_on format", 422},
	} {
		t.Run(name, func(t *testing.T) {
			res := r.do("POST", c.path, c.body)
			require.Equal(t, c.status, res.status, string(res.body))
			p := res.problem(t)
			if c.want != "" {
				require.Equal(t, c.want, string(p.Errors[0].Pointer)+" "+p.Errors[0].Rule)
			}
		})
	}
	require.Zero(t, r.fake.calls, "nothing of it went further")
}

func TestUnknownMembersAreNotEchoed(t *testing.T) {
	r := newRig(t)
	res := r.do("POST", "/v1/consents", `{"RSSMRA80A01H501U":1,"canary-7c2":{"canary-7c3":"canary-7c4"}}`)
	require.Equal(t, 422, res.status)
	for _, echoed := range []string{"RSSMRA", "canary"} {
		require.NotContains(t, string(res.body)+r.log.String()+strings.Join(r.fake.marks, ""), echoed)
	}
}

func TestConsentIsPassedOnWhole(t *testing.T) {
	r := newRig(t)
	body := strings.TrimSuffix(decision, "}") + `,"expires_at":"2027-01-01T01:00:00.1239+01:00","evidence_ref":"folder-9"}`
	require.Equal(t, 201, r.do("POST", "/v1/consents", body).status)
	g := r.fake.given
	require.Equal(t, "L-1", string(g.Person.Value.Reveal()))
	require.Equal(t, "folder-9", string(g.Evidence.Reveal()))
	require.Equal(t, time.Date(2027, 1, 1, 0, 0, 0, 123e6, time.UTC), g.ExpiresAt)
	require.True(t, g.Given)
	require.NotContains(t, fmt.Sprintf("%+v %#v", g, g.Person), "L-1")
	require.Equal(t, 201, r.do("POST", "/v1/consents", strings.Replace(decision, `"given"`, `"refused"`, 1)).status)
	require.False(t, r.fake.given.Given)
}

// B55.
func TestCursors(t *testing.T) {
	r := newRig(t)
	clock := testTime
	r.api.seal.now = func() time.Time { return clock }
	search := func(value, cursor, token string) reply {
		body := `{"person":{"system":"LOCAL","value":"` + value + `"}`
		if cursor != "" {
			body += `,"cursor":"` + cursor + `"`
		}
		return r.do("POST", "/v1/consents/search", body+"}", with("Authorization", "Bearer "+token))
	}
	var page struct {
		Next string `json:"next_cursor"`
	}
	require.NoError(t, json.Unmarshal(search("L-1", "", deskToken).body, &page))
	require.NotContains(t, page.Next, "position")
	require.Equal(t, 200, search("L-1", page.Next, deskToken).status)
	require.Equal(t, "position-1", r.fake.query.After)

	require.Equal(t, 422, search("L-2", page.Next, deskToken).status, "another search")
	require.Equal(t, 422, search("L-1", page.Next, otherToken).status, "another caller")
	for i := range page.Next {
		edited := []byte(page.Next)
		edited[i] = "AB"[(bytes.IndexByte([]byte("AB"), edited[i])+1)%2]
		res := search("L-1", string(edited), deskToken)
		require.Equal(t, 422, res.status, "byte %d", i)
		require.Equal(t, "cursor", res.problem(t).Errors[0].Rule)
	}
	require.Equal(t, 422, search("L-1", page.Next[:len(page.Next)-1], deskToken).status)
	clock = clock.Add(cursorLife - time.Second)
	require.Equal(t, 200, search("L-1", page.Next, deskToken).status)
	clock = clock.Add(time.Second)
	require.Equal(t, 422, search("L-1", page.Next, deskToken).status, "expired")

	again := newRig(t, func(o *Options) { o.CursorKey[0] = 1 })
	_, err := again.api.seal.open(page.Next, nil)
	require.ErrorIs(t, err, errCursor)
}

func TestInternalErrorsSayNothing(t *testing.T) {
	r := newRig(t)
	r.fake.err = fmt.Errorf("open store: %w", errors.New("disk gone"))
	res := r.do("GET", "/v1/catalog", "")
	p := res.problem(t)
	require.Equal(t, 500, res.status)
	require.Equal(t, "internal", p.Reason)
	require.NotContains(t, string(res.body), "disk")
	require.Regexp(t, `^[0-9a-f]{16}$`, p.Incident)
	require.Contains(t, r.log.String(), `"incident":"`+p.Incident+`"`)
	require.Contains(t, r.log.String(), "disk gone")
}

func TestPanicsAreIncidents(t *testing.T) {
	r := newRig(t)
	r.fake.crash = "canary-7c2 of a record"
	res := r.do("POST", "/v1/records/service_request", "{}")
	require.Equal(t, 500, res.status)
	require.Equal(t, "internal", res.problem(t).Reason)
	require.NotContains(t, string(res.body)+r.log.String(), "canary")
	require.Contains(t, r.log.String(), `"panic":"string"`)
	requireBudget(t, r.api, 256<<20)
	r.fake.crash = nil
	require.Equal(t, 202, r.do("POST", "/v1/records/service_request", "{}").status)

	late := newRig(t, func(o *Options) {
		o.Mounts = []Mount{{Prefix: "/late/", Serve: func(w http.ResponseWriter, _ *http.Request, _ Caller) {
			_, _ = w.Write([]byte("half"))
			panic("canary-7c2")
		}}}
	})
	req, err := http.NewRequestWithContext(t.Context(), "GET", late.srv.URL+"/late/x", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+deskToken)
	res2, err := http.DefaultClient.Do(req)
	if err == nil {
		defer res2.Body.Close()
		_, err = new(bytes.Buffer).ReadFrom(res2.Body)
	}
	require.Error(t, err, "a half answer must not look whole")
	require.NotContains(t, late.log.String(), "canary")
}

// B67, B68: one JSON line a request with a closed set of fields, and series
// that do not grow with what is sent.
func TestAccountsAreClosed(t *testing.T) {
	r := newRig(t)
	for i := range 30 {
		r.do("GET", fmt.Sprintf("/random-%d/canary-7c2", i), "")
		r.do("GET", fmt.Sprintf("/v1/records/type_%d/%s", i, recordID), "", with("User-Agent", "canary-7c2\"}{\"level\":\"x"), with("Traceparent", "canary-7c2"))
		r.do(fmt.Sprintf("BREW%d", i), "/v1/mailbox", "")
		r.do("GET", "/v1/mailbox?limit=canary-7c2", "")
	}
	series := map[string]bool{}
	r.fake.mu.Lock()
	for _, m := range r.fake.marks {
		series[m] = true
	}
	r.fake.mu.Unlock()
	require.Equal(t, map[string]bool{
		"none Not Found not_found": true, "/v1/records/{record_type}/{record_id} OK ok": true,
		"/v1/mailbox Method Not Allowed parameter": true, "/v1/mailbox Bad Request parameter": true,
	}, series)
	lines := strings.Split(strings.TrimSpace(r.log.String()), "\n")
	require.Len(t, lines, 120)
	for _, line := range lines {
		var fields map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &fields))
		for name := range fields {
			require.Contains(t, []string{"time", "level", "msg", "method", "route", "status", "reason", "system", "duration", "bytes_in", "bytes_out"}, name)
		}
		require.NotContains(t, line, "canary")
		require.NotContains(t, line, recordID.String())
		require.NotContains(t, line, "BREW")
	}
}

func TestRates(t *testing.T) {
	r := newRig(t)
	r.fake.full = true
	res := r.do("GET", "/v1/catalog", "")
	require.Equal(t, 429, res.status)
	require.Equal(t, "2", res.header.Get("Retry-After"))
	require.Equal(t, "0", res.header.Get("X-RateLimit-Remaining"))
	require.Equal(t, 429, r.do("GET", "/v1/catalog", "", with("Authorization", "Bearer guess")).status, "guessing is limited")
	require.Equal(t, []string{"desk", "address:127.0.0.1"}, r.fake.limits)
	require.Zero(t, r.fake.calls)
}

func TestNotReady(t *testing.T) {
	r := newRig(t)
	r.fake.err = exchange.NewError(exchange.CodeUnavailable, exchange.ReasonQuarantined, "the store is behind the outside checkpoint").After(time.Minute)
	res := r.do("GET", "/status", "", without("Authorization"))
	require.Equal(t, 503, res.status)
	require.Equal(t, "60", res.header.Get("Retry-After"))
	require.Equal(t, "quarantined", res.problem(t).Reason)
}

func TestTokenFormIsStrict(t *testing.T) {
	r := newRig(t)
	for name, body := range map[string]string{
		"unknown member": "grant_type=x&scope=all", "twice": "grant_type=a&grant_type=b", "semicolon": "a=1;b=2", "escape": "grant_type=%zz", "not UTF-8": "grant_type=\xff",
	} {
		res := r.do("POST", tokenPath, body, with("Content-Type", mediaForm))
		require.Equal(t, 400, res.status, name)
		require.Equal(t, "invalid_request", res.problem(t).OAuthError, name)
	}
	require.Zero(t, r.fake.calls)
	require.Equal(t, 413, r.do("POST", tokenPath, strings.Repeat("a", 20<<10), with("Content-Type", mediaForm)).status)
	none := newRig(t, func(o *Options) { o.Tokens = nil })
	require.Equal(t, 404, none.do("POST", tokenPath, "a=1", with("Content-Type", mediaForm)).status)
}

func FuzzControlBodies(f *testing.F) {
	f.Add(decision)
	f.Add(`{"acknowledgements":[{"disclosure_id":"5d2e9a52-6f0e-8a4b-9c1d-2e3f4a5b6c7d","outcome":"received"}]}`)
	f.Add(`{"person":{"system":"CF","value":"X"},"limit":-0}`)
	fake := newFake()
	a := must(New(options(fake, new(bytes.Buffer))))
	f.Fuzz(func(t *testing.T, body string) {
		for _, path := range []string{"/v1/consents", "/v1/consents/search", "/v1/mailbox/acknowledgements", "/v1/dossiers"} {
			status, out := serve(a, "POST", path, body)
			if status >= 500 {
				t.Fatalf("%s: %d %s", path, status, out)
			}
		}
	})
}
