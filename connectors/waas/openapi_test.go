package waas_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"raccordo/connectors"
	"raccordo/connectors/connectortest"
)

// official is the OpenAPI of INPS (INPS-it/WaaS.Comuni, api-comuni.yaml 2.0.1),
// which lies beside the module; the test is skipped where it is absent.
func official(t *testing.T) routers.Router {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Skip("no module root above the test")
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "..", "shared", "data", "inps", "waas", "api-comuni.yaml"))
	if err != nil {
		t.Skip("the official OpenAPI is not beside the module")
	}
	// kin-openapi wants an integer where the document says 1e+20, which is
	// beyond int64 and so says nothing.
	text = bytes.ReplaceAll(text, []byte("maximum: 1e+20"), []byte("maximum: 9223372036854775807"))
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		t.Fatal(err)
	}
	doc.Servers = openapi3.Servers{{URL: base}}
	router, err := legacy.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return router
}

// TestOfficialOpenAPI sends requests that the official document allows and
// holds every answer against it.
func TestOfficialOpenAPI(t *testing.T) {
	router := official(t)
	o, claims, _ := open(t)
	queue(t, o, claims, "comune_alfa", 3)
	flow := list(t, o, base+"/flussi?since=0")[0]
	for _, c := range []struct {
		method, target, body string
		status               int
		invalid              bool // the request breaks the document too
	}{
		{"GET", "/flussi?since=0", "", 200, false},
		{"GET", "/flussi?since=0&limit=0", "", 200, false},
		{"GET", "/flussi?since=0&limit=100", "", 200, false},
		{"GET", "/flussi?since=9223372036854775807", "", 200, false},
		{"GET", "/flussi", "", 400, true},
		{"GET", "/flussi?since=-1", "", 400, true},
		{"GET", "/flussi?since=0&limit=101", "", 400, true},
		{"GET", "/status", "", 200, false},
		{"POST", "/esiti", esiti(esito(flow.ID, flow.Stamp, "OK")), 204, false},
		{"POST", "/esiti", esiti(), 204, false},
		{"POST", "/esiti", `{"x":1}`, 400, true},
		{"POST", "/esiti", esiti(`{}`), 400, true},
	} {
		t.Run(c.method+" "+c.target, func(t *testing.T) {
			r := httptest.NewRequest(c.method, base+c.target, strings.NewReader(c.body))
			if c.body != "" {
				r.Header.Set("Content-Type", "application/json")
			}
			r = r.WithContext(connectors.WithCaller(r.Context(), connectortest.System))
			route, params, err := router.FindRoute(r)
			if err != nil {
				t.Fatal(err)
			}
			input := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route,
				Options: &openapi3filter.Options{IncludeResponseStatus: true,
					AuthenticationFunc: func(context.Context, *openapi3filter.AuthenticationInput) error { return nil }}}
			if err := openapi3filter.ValidateRequest(r.Context(), input); (err != nil) != c.invalid {
				t.Errorf("the document says of the request: %v", err)
			}
			r.Body = io.NopCloser(strings.NewReader(c.body))
			w := httptest.NewRecorder()
			o.Mounts()[0].Handler.ServeHTTP(w, r)
			if w.Code != c.status {
				t.Errorf("status %d, want %d", w.Code, c.status)
			}
			if w.Code == http.StatusNoContent {
				return
			}
			answer := &openapi3filter.ResponseValidationInput{RequestValidationInput: input, Status: w.Code, Header: w.Header(),
				Body: io.NopCloser(bytes.NewReader(w.Body.Bytes())), Options: input.Options}
			if err := openapi3filter.ValidateResponse(r.Context(), answer); err != nil {
				t.Errorf("the document says of the answer: %v", err)
			}
		})
	}
}
