package hub_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"raccordo/connectors"
	"raccordo/connectors/mailbox"
	"raccordo/connectors/waas"
	"raccordo/connectors/webhook"
	"raccordo/hub"
	"raccordo/hub/access"
	"raccordo/hub/control"
	"raccordo/hub/exchange"
	"raccordo/hub/ledger/verify"
)

const network = "../deploy/networks/reticulate"

func start(t *testing.T, dir string) *hub.Hub {
	t.Helper()
	kinds, err := connectors.NewSet(webhook.Kind(), mailbox.Kind(), waas.Kind())
	if err != nil {
		t.Fatal(err)
	}
	c := hub.DefaultConfig()
	c.DataDir, c.Network, c.Listen, c.Admin.Listen = dir, network, "127.0.0.1:0", "127.0.0.1:0"
	c.Delivery.SendTimeout = 2 * time.Second
	h, err := hub.New(t.Context(), hub.Options{Config: c, Kinds: kinds, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := h.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := h.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h
}

// caller is one system with a key and a voucher.
type caller struct {
	t       *testing.T
	h       *hub.Hub
	voucher string
}

func call(t *testing.T, h *hub.Hub, dir string, id exchange.SystemID, key *rsa.PrivateKey) *caller {
	t.Helper()
	s := h.Network().System(id)
	var purpose string
	for p := range s.Purposes {
		purpose = p
	}
	jwk, err := access.Key{KID: access.Thumbprint(&key.PublicKey), Public: &key.PublicKey}.JWK()
	if err != nil {
		t.Fatal(err)
	}
	c := control.Dial(filepath.Join(dir, "control.sock"))
	if _, err := control.Call[control.System](t.Context(), c, "system/add-key", control.KeyRequest{System: id, Key: jwk}); err != nil {
		t.Fatal(err)
	}
	assertion, err := access.NewAssertion(key, access.AssertionOptions{ClientID: s.Client, TokenEndpoint: h.TokenEndpoint(), PurposeID: purpose,
		Now: time.Now(), Life: time.Minute, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.PostForm(h.TokenEndpoint(), url.Values{"client_id": {s.Client}, "client_assertion": {assertion},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "grant_type": {"client_credentials"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var token struct {
		AccessToken string `json:"access_token"`
	}
	b, _ := io.ReadAll(resp.Body)
	if err := json.Unmarshal(b, &token); err != nil || token.AccessToken == "" {
		t.Fatalf("token: %d %s", resp.StatusCode, b)
	}
	return &caller{t, h, token.AccessToken}
}

func (c *caller) do(method, path, key, media string, body []byte) (int, map[string]any) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.h.URL()+path, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.voucher)
	if body != nil {
		req.Header.Set("Content-Type", media)
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, _ := io.ReadAll(resp.Body)
	var out map[string]any
	if err := json.Unmarshal(b, &out); err != nil && len(b) > 0 {
		c.t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, b)
	}
	return resp.StatusCode, out
}

const guidance = `{"ente":"il_simbolo","numero":"L-1","registrata_il":"2026-03-02T18:40:00+01:00","data_ora":"2026-03-02T18:40:00+01:00",
"servizio":"LAVORO","urgenza":"ORDINARIA","persone":[{"ruolo":"RICHIEDENTE","codici":[{"tipo":"SPORTELLO","valore":"LI-0042"}],"cognome":"Prova","nome":"Persona"}]}`

// One record goes the whole way: pushed by the desk in its own format, decided,
// cut down, mapped, fetched by ARTI's office, acknowledged and accounted for;
// and the exported ledger verifies with the public key alone.
func TestOneRecordEndToEnd(t *testing.T) {
	t.Parallel()
	dir := scratch(t)
	h := start(t, dir)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	desk, arti := call(t, h, dir, "oss_livorno_desk", key), call(t, h, dir, "arti_livorno", key)
	status, ack := desk.do("POST", "/v1/records/service_request", "key-1", "application/json", []byte(guidance))
	if status != 202 {
		t.Fatalf("push: %d %v", status, ack)
	}
	record := ack["record_id"].(string)
	var items []any
	poll(t, "the mailbox has the record", func() bool {
		status, page := arti.do("GET", "/v1/mailbox", "", "", nil)
		if status != 200 {
			t.Fatalf("mailbox: %d %v", status, page)
		}
		items, _ = page["items"].([]any)
		return len(items) == 1
	})
	item := items[0].(map[string]any)
	if item["record_id"] != record {
		t.Fatalf("another record: %v", item)
	}
	b, _ := json.Marshal(map[string]any{"acknowledgements": []any{map[string]any{"disclosure_id": item["disclosure_id"], "outcome": "received"}}})
	if status, res := arti.do("POST", "/v1/mailbox/acknowledgements", "", "application/json", b); status != 200 {
		t.Fatalf("acknowledge: %d %v", status, res)
	}
	poll(t, "the sender sees it delivered", func() bool {
		status, s := desk.do("GET", "/v1/records/service_request/"+record, "", "", nil)
		if status != 200 {
			t.Fatalf("status: %d %v", status, s)
		}
		for _, r := range s["recipients"].([]any) {
			if m := r.(map[string]any); m["body"] == "arti" && m["state"] == "delivered" {
				return true
			}
		}
		return false
	})
	verified(t, dir)
}

func verified(t *testing.T, dir string) {
	t.Helper()
	out := t.TempDir()
	got, err := control.Call[control.Exported](t.Context(), control.Dial(filepath.Join(dir, "control.sock")), "ledger/export",
		control.ExportRequest{Dir: filepath.Join(out, "ledger")})
	if err != nil {
		t.Fatal(err)
	}
	report, err := verify.Verify(os.DirFS(filepath.Join(out, "ledger")), got.Key, verify.Options{})
	if err != nil || len(report.Findings) > 0 {
		t.Fatalf("verify: %v %+v", err, report.Findings)
	}
	if strings.Contains(report.Root.String(), " ") || report.Entries == 0 {
		t.Fatalf("empty report: %+v", report)
	}
}

func poll(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("gave up waiting until %s", what)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
}
