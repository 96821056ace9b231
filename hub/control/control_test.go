package control_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"raccordo/hub/control"
	"raccordo/hub/exchange"
)

const secret = "RSSMRA80A01H501U"

// fake answers what a test wants; every other operation is not to be called.
type fake struct {
	control.Hub
	stop   func(control.StopRequest) (control.Entry, error)
	person control.Person
}

func (f *fake) StopDisclosures(_ context.Context, q control.StopRequest) (control.Entry, error) {
	return f.stop(q)
}

func (f *fake) ListDossiers(_ context.Context, p control.Person) (control.Dossiers, error) {
	f.person = p
	return control.Dossiers{Dossiers: []control.Dossier{{Role: "social_service", Seq: 7}}}, nil
}

// serve runs a handler on a socket, whose path must be short.
func serve(t *testing.T, h http.Handler) *control.Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "ctl")
	require.NoError(t, err)
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	s := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-done; _ = os.RemoveAll(dir) })
	return control.Dial(socket)
}

func TestACallThereAndBack(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	var asked control.StopRequest
	f := &fake{stop: func(q control.StopRequest) (control.Entry, error) {
		asked = q
		return control.Entry{Seq: 3, Time: at}, nil
	}}
	c := serve(t, control.Handler(f, nil))
	e, err := control.Call[control.Entry](t.Context(), c, "stop-disclosures", control.StopRequest{Stopped: true, Reason: "drill"})
	require.NoError(t, err)
	require.Equal(t, control.StopRequest{Stopped: true, Reason: "drill"}, asked)
	require.Equal(t, control.Entry{Seq: 3, Time: at}, e)
	person := control.Person{System: "CF", Value: secret, Body: "arti"}
	got, err := control.Call[control.Dossiers](t.Context(), c, "dossier/list", person)
	require.NoError(t, err)
	require.Equal(t, person, f.person)
	require.Len(t, got.Dossiers, 1)
}

// A refusal arrives as what it was: class, reason, sentence, faults, when to try
// again. What is the hub's own fault shows nothing of itself, and is logged.
func TestRefusalsThereAndBack(t *testing.T) {
	t.Parallel()
	plain := errors.New("the disk says no")
	refused := exchange.NewError(exchange.CodeConflict, exchange.ReasonConsentState, "it has ended",
		exchange.Fault{Pointer: "/consent", Rule: "state", Line: 2}).After(1500 * time.Millisecond)
	const nothing = "something went wrong; see the log of the hub"
	for name, c := range map[string]struct {
		fails  func() error
		want   *exchange.Error
		logged string
	}{
		"typed":   {func() error { return refused }, refused, ""},
		"wrapped": {func() error { return errors.Join(refused, plain) }, refused, ""},
		"plain":   {func() error { return plain }, exchange.NewError(exchange.CodeInternal, exchange.ReasonInternal, nothing), "the disk says no"},
		"internal with a cause": {func() error {
			return exchange.NewError(exchange.CodeInternal, exchange.ReasonPanicked, "deciding failed").Because(plain)
		}, exchange.NewError(exchange.CodeInternal, exchange.ReasonPanicked, "deciding failed"), "the disk says no"},
		"panic": {func() error { panic(secret) }, exchange.NewError(exchange.CodeInternal, exchange.ReasonPanicked, nothing), "panic of type string"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			f := &fake{stop: func(control.StopRequest) (control.Entry, error) { return control.Entry{}, c.fails() }}
			client := serve(t, control.Handler(f, slog.New(slog.NewTextHandler(&log, nil))))
			_, err := control.Call[control.Entry](t.Context(), client, "stop-disclosures", control.StopRequest{})
			var got *exchange.Error
			require.ErrorAs(t, err, &got)
			require.Equal(t, c.want.Code, got.Code)
			require.Equal(t, c.want.Reason, got.Reason)
			require.Equal(t, c.want.Detail, got.Detail)
			require.Equal(t, c.want.Faults, got.Faults)
			require.Equal(t, c.want.RetryAfter, got.RetryAfter)
			require.NotContains(t, log.String(), secret)
			if c.logged == "" {
				require.Empty(t, log.String())
				return
			}
			require.Contains(t, log.String(), c.logged)
			require.Contains(t, log.String(), "operation=stop-disclosures")
		})
	}
}

// Only requests of this version are understood, whole and alone.
func TestBadRequests(t *testing.T) {
	t.Parallel()
	h := control.Handler(&fake{stop: func(control.StopRequest) (control.Entry, error) {
		t.Error("a bad request came through")
		return control.Entry{}, nil
	}}, nil)
	for name, body := range map[string]string{
		"nothing": "", "an unknown member": `{"stopped":true,"reason":"x","force":true}`, "another kind": `{"stopped":"yes"}`,
		"a list": `[]`, "a second value": `{"stopped":true}{}`, "a torn one": `{"stopped":tr`, "something behind": `{"stopped":true}]`,
		"large": `{"reason":"` + strings.Repeat("x", 1<<20) + `"}`,
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/stop-disclosures", strings.NewReader(body)))
		require.Equal(t, http.StatusUnprocessableEntity, w.Code, name)
		require.Contains(t, w.Body.String(), string(exchange.ReasonMalformedJSON), name)
		require.NotContains(t, w.Body.String(), "force", "%s is echoed", name)
	}
	for _, r := range []*http.Request{httptest.NewRequest(http.MethodGet, "/stop-disclosures", nil),
		httptest.NewRequest(http.MethodPost, "/stop", strings.NewReader(`{}`)), httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{}`))} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.GreaterOrEqual(t, w.Code, 400)
		require.Less(t, w.Code, 500)
	}
}

// Every operation of a hub can be asked for.
func TestEveryOperationIsServed(t *testing.T) {
	t.Parallel()
	h := control.Handler(&fake{stop: func(control.StopRequest) (control.Entry, error) { return control.Entry{}, nil }}, nil)
	ops := []string{"status", "confirm-clock", "stop-disclosures", "consent/give", "consent/withdraw", "consent/show", "dossier/open",
		"dossier/close", "dossier/list", "person/link", "person/conflicts", "parked/list", "parked/show", "parked/replay", "parked/discard",
		"system/add-key", "system/list", "ledger/checkpoint", "ledger/export", "ledger/prove", "keys/rotate"}
	require.Len(t, ops, reflect.TypeFor[control.Hub]().NumMethod())
	for _, op := range ops {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/"+op, strings.NewReader(`{}`)))
		require.Contains(t, []int{http.StatusOK, http.StatusUnprocessableEntity}, w.Code, op)
	}
}

// No answer can carry the content of a record.
func TestNoPayloadEver(t *testing.T) {
	t.Parallel()
	hidden := map[reflect.Type]bool{reflect.TypeFor[exchange.Payload](): true, reflect.TypeFor[exchange.Tree](): true}
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		if seen[typ] {
			return
		}
		seen[typ] = true
		require.False(t, hidden[typ], "%s", typ)
		switch typ.Kind() {
		case reflect.Struct:
			for i := range typ.NumField() {
				walk(typ.Field(i).Type)
			}
		case reflect.Slice, reflect.Map, reflect.Pointer, reflect.Array:
			walk(typ.Elem())
		case reflect.Interface:
			require.Equal(t, reflect.TypeFor[error](), typ, "it can hold anything")
		}
	}
	hub := reflect.TypeFor[control.Hub]()
	for i := range hub.NumMethod() {
		m := hub.Method(i).Type
		for o := range m.NumOut() {
			walk(m.Out(o))
		}
	}
	require.Greater(t, len(seen), 20)
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	c := control.Dial(filepath.Join(t.TempDir(), "none"))
	_, err := control.Call[control.Status](t.Context(), c, "status", control.Nothing{})
	require.ErrorContains(t, err, "is it running?")
	other := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "x", http.StatusTeapot) }))
	_, err = control.Call[control.Status](t.Context(), other, "status", control.Nothing{})
	require.ErrorContains(t, err, "418")
	_, err = control.Call[control.Status](t.Context(), other, "status", func() {})
	require.Error(t, err, "what cannot be asked")
}
