package client

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"raccordo/hub/exchange"
)

const canary = "CANARY-SECRET-VALUE"

// fake is a hub that answers what a test wants.
type fake struct {
	server   *httptest.Server
	vouchers atomic.Int64
	answer   http.HandlerFunc
}

func newFake(t *testing.T, answer http.HandlerFunc) (*fake, *Client, *time.Time) {
	t.Helper()
	f := &fake{answer: answer}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/token.oauth2", func(w http.ResponseWriter, r *http.Request) {
		require.Len(t, strings.Split(r.PostFormValue("client_assertion"), "."), 3)
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":"voucher-%d","token_type":"Bearer","expires_in":600}`, f.vouchers.Add(1))
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { f.answer(w, r) })
	f.server = httptest.NewServer(mux)
	t.Cleanup(f.server.Close)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	c, err := New(Options{URL: f.server.URL + "/", ClientID: "7ef66062-cc8f-43d1-830c-030e790c65a8",
		PurposeID: "59822781-811c-43ed-a8e4-d7fdb079d279", Key: key, Now: func() time.Time { return now }, Random: rand.Reader})
	require.NoError(t, err)
	return f, c, &now
}

func push(c *Client, media string) (*Acknowledgement, error) {
	return c.Push(context.Background(), Push{Type: "service_request", Key: "k-1", MediaType: media, Body: exchange.NewPayload([]byte(canary))})
}

func TestPushOneAndMany(t *testing.T) {
	f, c, now := newFake(t, nil)
	f.answer = func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "/v1/records/service_request", r.URL.Path)
		require.Equal(t, "k-1", r.Header.Get("Idempotency-Key"))
		require.Equal(t, "Bearer voucher-1", r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusAccepted)
		if r.Header.Get("Content-Type") == MediaNDJSON {
			_, _ = w.Write([]byte(`{"accepted":1,"refused":1,"lines":[{"line":1,"record_id":"3f0c9a52-6f0e-8a4b-9c1d-2e3f4a5b6c7d"},{"line":2,"errors":[{"pointer":"/a","rule":"enum"}]}]}`))
			return
		}
		_, _ = w.Write([]byte(`{"record_id":"3f0c9a52-6f0e-8a4b-9c1d-2e3f4a5b6c7d","record_type":"service_request","recipients":[{"flow":"f","body":"b","role":"r","state":"pending"}],"no_recipient":["health_service"],"warnings":[]}`))
	}
	one, err := push(c, "application/json")
	require.NoError(t, err)
	require.Equal(t, 1, one.Accepted)
	require.Equal(t, "pending", one.Lines[0].Recipients[0].State)
	many, err := push(c, MediaNDJSON)
	require.NoError(t, err)
	require.Equal(t, []int{1, 1}, []int{many.Accepted, many.Refused})
	require.Nil(t, many.Lines[1].Record)
	require.Equal(t, "enum", many.Lines[1].Errors[0].Rule)
	require.EqualValues(t, 1, f.vouchers.Load(), "a voucher is used until it expires")

	*now = now.Add(10 * time.Minute)
	f.answer = func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "Bearer voucher-2", r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write([]byte(`{}`))
	}
	_, err = push(c, "application/json")
	require.NoError(t, err)
}

func TestARefusedVoucherIsReplacedOnce(t *testing.T) {
	calls := 0
	f, c, _ := newFake(t, func(w http.ResponseWriter, _ *http.Request) {
		calls++
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"status":401,"reason":"token_invalid","detail":"no"}`))
	})
	_, err := push(c, "application/json")
	require.Equal(t, exchange.CodeUnauthenticated, exchange.AsError(err).Code)
	require.Equal(t, 2, calls)
	require.EqualValues(t, 2, f.vouchers.Load())
}

// What comes back is never taken for a no where it is not known (design.md
// 5.5), and never shown.
func TestErrors(t *testing.T) {
	for name, x := range map[string]struct {
		answer http.HandlerFunc
		code   exchange.Code
	}{
		"problem":      {status(422, "application/problem+json", `{"reason":"schema","detail":"d","errors":[{"pointer":"/a","rule":"enum"}]}`), exchange.CodeInvalid},
		"rate":         {status(429, "application/problem+json", `{"reason":"rate_limited","detail":"d"}`), exchange.CodeTooMany},
		"unavailable":  {status(503, "application/problem+json", `{"reason":"overloaded","detail":"d"}`), exchange.CodeUnavailable},
		"unknown":      {status(503, "application/problem+json", `{"reason":"outcome_unknown","detail":"d"}`), exchange.CodeUnknownOutcome},
		"proxy":        {status(502, "text/html", canary), exchange.CodeUnknownOutcome},
		"alien 404":    {status(404, "text/html", canary), exchange.CodeNotFound},
		"redirect":     {status(302, "text/html", canary), exchange.CodeInternal},
		"not a hub":    {status(200, "text/html", canary), exchange.CodeUnknownOutcome},
		"cut off":      {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, exchange.CodeUnknownOutcome},
		"broken JSON":  {status(200, "application/json", `{"record_id": 7}`), exchange.CodeUnknownOutcome},
		"bad problem":  {status(400, "application/problem+json", canary), exchange.CodeMalformed},
		"wrong method": {status(405, "application/problem+json", `{"reason":"parameter","detail":"d"}`), exchange.CodeMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			_, c, _ := newFake(t, x.answer)
			_, err := push(c, "application/json")
			e := exchange.AsError(err)
			require.Equal(t, x.code, e.Code)
			require.NotContains(t, err.Error(), canary)
			if x.code == exchange.CodeInvalid {
				require.Equal(t, []exchange.Fault{{Pointer: "/a", Rule: "enum"}}, e.Faults)
			}
			if x.code == exchange.CodeTooMany {
				require.Equal(t, 7*time.Second, e.RetryAfter)
			}
		})
	}
	f, c, _ := newFake(t, nil)
	f.server.Close()
	_, err := push(c, "application/json")
	require.Equal(t, exchange.CodeUnavailable, exchange.AsError(err).Code, "no connection: nothing happened")
}

func status(n int, media, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", media)
		w.Header().Set("Retry-After", "7")
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(n)
		_, _ = w.Write([]byte(body))
	}
}

func TestMailbox(t *testing.T) {
	const id = "3f0c9a52-6f0e-8a4b-9c1d-2e3f4a5b6c7d"
	_, c, _ := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/mailbox":
			require.Equal(t, "2", r.URL.Query().Get("limit"))
			_, _ = w.Write([]byte(`{"items":[{"disclosure_id":"` + id + `","record_id":"` + id + `","sequence":3,"media_type":"application/json","record":{"a":"` + canary + `"}},` +
				`{"disclosure_id":"` + id + `","record_id":"` + id + `","media_type":"application/xml","content":"<a/>"}],"more":true}`))
		case "/v1/mailbox/acknowledgements":
			var in map[string][]map[string]string
			require.NoError(t, json.NewDecoder(r.Body).Decode(&in))
			require.Equal(t, []map[string]string{{"disclosure_id": id, "outcome": "received"},
				{"disclosure_id": id, "outcome": "refused", "refusal": "invalid"}}, in["acknowledgements"])
			_, _ = w.Write([]byte(`{"results":[{"disclosure_id":"` + id + `","result":"settled"},{"disclosure_id":"` + id + `","result":"not_found"}]}`))
		}
	})
	page, err := c.Fetch(context.Background(), 2)
	require.NoError(t, err)
	require.True(t, page.More)
	require.JSONEq(t, `{"a":"`+canary+`"}`, string(page.Items[0].Content.Reveal()))
	require.Equal(t, "<a/>", string(page.Items[1].Content.Reveal()))
	require.NotContains(t, fmt.Sprintf("%+v %#v", page, page), canary)
	got, err := c.Acknowledge(context.Background(), ItemAcknowledgement{Disclosure: page.Items[0].Disclosure},
		ItemAcknowledgement{Disclosure: page.Items[1].Disclosure, Refusal: "invalid"})
	require.NoError(t, err)
	require.Equal(t, "settled", got[0].Result)
	require.Equal(t, "not_found", got[1].Result)
}

func TestNewRefuses(t *testing.T) {
	for _, u := range []string{"", "localhost:8080", "ftp://a", "http://"} {
		_, err := New(Options{URL: u})
		require.Error(t, err, u)
	}
	_, err := New(Options{URL: "http://127.0.0.1:1"})
	require.Error(t, err)
}
