package hub_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"raccordo/connectors"
	"raccordo/connectors/standard"
	"raccordo/hub"
	"raccordo/hub/client"
	"raccordo/hub/control"
	"raccordo/hub/exchange"
	"raccordo/hub/hubtest"
	"raccordo/hub/ledger/verify"
	"raccordo/hub/person"
)

const (
	pistoia = exchange.SystemID("oss_pistoia_desk")
	health  = exchange.FlowID("pistoia_health")
	salute  = exchange.SystemID("sds_pistoiese_salute")
)

// accompaniment asks for a health accompaniment in Pistoia.
func accompaniment(number int, system, value string) string {
	return fmt.Sprintf(`{"ente":"co_so","numero":"PT-%d","registrata_il":"2026-03-03T09:00:00+01:00","data_ora":"2026-03-03T09:00:00+01:00",
	"servizio":"ACC_SANITARIO","urgenza":"ORDINARIA","persone":[{"ruolo":"RICHIEDENTE","codici":[{"tipo":%q,"valore":%q}],"nome":"Prova"}],
	"appuntamento":{"quando":"2026-03-05T11:00:00+01:00"}}`, number, system, value)
}

// consents to the health area of the SdS.
func give(h *hubtest.Hub, p control.Person) control.Consent {
	return hubtest.Call[control.Consent](h, "consent/give", control.ConsentRequest{Person: p, Purpose: "health_accompaniment",
		Body: "sds_pistoiese", Role: "health_service"})
}

func reticulate(t *testing.T) fs.FS { return builtin(t) }

// export has a hub write its ledger, once a checkpoint covers all of it.
func export(t *testing.T, h *hubtest.Hub) (fstest.MapFS, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ledger")
	entries := h.Status().Entries
	hubtest.Eventually(t, "a checkpoint of everything", func() bool {
		c, err := control.Call[control.Checkpoint](t.Context(), h.Control, "ledger/checkpoint", control.Nothing{})
		var origin string
		var size uint64
		if err == nil {
			_, err = fmt.Sscanf(c.Note, "%s\n%d", &origin, &size)
		}
		return err == nil && size >= entries
	}, nil)
	got := hubtest.Call[control.Exported](h, "ledger/export", control.ExportRequest{Dir: dir})
	return copied(t, os.DirFS(dir)), got.Key
}

func verifies(t *testing.T, h *hubtest.Hub) {
	t.Helper()
	files, key := export(t, h)
	report, err := verify.Verify(files, key, verify.Options{})
	require.NoError(t, err)
	require.True(t, report.OK(), "%+v", report.Findings)
}

// An exported ledger with a flipped byte, two entries exchanged, a row added or
// the last entry cut off does not verify, and it is said where.
func TestTamperedExport(t *testing.T) {
	h := hubtest.Start(t)
	for n := range 5 {
		h.Push("oss_livorno_desk", "service_request", record(fmt.Sprintf(`"numero":"N-%d"`, n), true))
		h.AwaitFlow("livorno_provider", exchange.StateDelivered, int64(n)+1)
	}
	files, key := export(t, h)
	report, err := verify.Verify(files, key, verify.Options{})
	require.NoError(t, err)
	require.True(t, report.OK(), "%+v", report.Findings)
	require.GreaterOrEqual(t, report.Claims, uint64(5))

	const name = "entries-000000000000.ndjson"
	type entry struct {
		Seq  uint64 `json:"seq"`
		Leaf []byte `json:"leaf"`
		Rows []byte `json:"rows"`
		Fact []byte `json:"fact"`
	}
	parse := func() (out []entry) {
		for line := range bytes.Lines(files[name].Data) {
			var e entry
			require.NoError(t, json.Unmarshal(line, &e))
			out = append(out, e)
		}
		return out
	}
	claim := -1 // an entry with rows
	for i, e := range parse() {
		if len(e.Rows) > 0 {
			claim = i
			break
		}
	}
	require.Positive(t, claim)
	for what, change := range map[string]func([]entry) ([]entry, int){
		"a byte of a header": func(e []entry) ([]entry, int) { e[claim].Leaf[30] ^= 1; return e, claim },
		"a byte of a row":    func(e []entry) ([]entry, int) { e[claim].Rows[3] ^= 1; return e, claim },
		"a byte of a fact":   func(e []entry) ([]entry, int) { e[1].Fact[20] ^= 1; return e, 1 },
		"two entries":        func(e []entry) ([]entry, int) { e[claim], e[claim+1] = e[claim+1], e[claim]; return e, claim },
		"a row added": func(e []entry) ([]entry, int) {
			e[claim].Rows = append(e[claim].Rows, e[claim].Rows[:exchange.RowSize]...)
			return e, claim
		},
		"an entry in between":   func(e []entry) ([]entry, int) { return append(e[:claim+1:claim+1], e[claim:]...), claim + 1 },
		"the last entry is cut": func(e []entry) ([]entry, int) { return e[:len(e)-1], -1 },
	} {
		t.Run(what, func(t *testing.T) {
			entries, at := change(parse())
			var b bytes.Buffer
			for _, e := range entries {
				require.NoError(t, json.NewEncoder(&b).Encode(e))
			}
			bad := maps.Clone(files)
			bad[name] = &fstest.MapFile{Data: b.Bytes()}
			report, err := verify.Verify(bad, key, verify.Options{})
			require.NoError(t, err)
			require.False(t, report.OK())
			said := at < 0
			for _, f := range report.Findings {
				said = said || f.Seq == int64(at)
			}
			require.True(t, said, "entry %d is not named: %+v", at, report.Findings)
		})
	}
}

// An agreement that ends while records wait: neither a consent that comes, nor
// a fetch, has them released any more.
func TestAgreementEndsWhileRecordsWait(t *testing.T) {
	dir, err := os.MkdirTemp("", "hub")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	h := hubtest.Start(t, hubtest.WithDir(dir))
	h.Push(pistoia, "service_request", accompaniment(1, "SPORTELLO", "PT-0001"))
	h.AwaitFlow(health, exchange.StateWaiting, 1)
	h.Push(pistoia, "service_request", strings.Replace(accompaniment(2, "SPORTELLO", "PT-0001"), "ACC_SANITARIO", "LAVORO", 1))
	h.AwaitFlow("pistoia_work", exchange.StateWaiting, 1)
	h.Stop()

	ended := builtin(t)
	edit(t, ended, "agreements/accordo_pistoia.yaml", "valid: {from: 2026-01-01, until: 2028-12-31}", "valid: {from: 2026-01-01, until: 2026-01-31}")
	h = hubtest.Start(t, hubtest.WithDir(dir), hubtest.WithNetwork(ended))
	give(h, control.Person{System: "LOCAL", Value: "PT-0001", Body: "co_so"})
	require.Empty(t, h.Fetch("arti_lucca_pistoia"))
	require.Empty(t, h.Fetch(salute))
	h.Await("nothing waits and nothing was released", func(s control.Status) bool {
		return s.Behind == 0 && s.Flows[health]["withheld"] == 1 && s.Flows["pistoia_work"]["withheld"] == 1
	})
	require.Empty(t, h.Fetch(salute))
	verifies(t, h)
}

// A person known by STP yesterday and codice fiscale today, linked: a
// withdrawal under one stops the other, what waits included.
func TestWithdrawalUnderOneIdStopsTheOther(t *testing.T) {
	h := hubtest.Start(t)
	first15 := "KNRPRV80A01H501"
	check, err := person.CheckCharacter(first15)
	require.NoError(t, err)
	cf := first15 + string(check)
	const stp = "STP0900011234567"
	byCF, bySTP := control.Person{System: "CF", Value: cf}, control.Person{System: "STP", Value: stp}

	h.Push(pistoia, "service_request", accompaniment(1, "STP", stp))
	h.Push(pistoia, "service_request", accompaniment(2, "CF", cf))
	h.AwaitFlow(health, exchange.StateWaiting, 2)
	old, now := give(h, bySTP), give(h, byCF)
	hubtest.Eventually(t, "both are offered", func() bool { return h.Status().Waiting[salute] == 2 }, nil)
	hubtest.Call[control.Entry](h, "person/link", control.LinkRequest{A: bySTP, B: byCF, Linked: true})
	h.Push(pistoia, "service_request", accompaniment(3, "CF", cf))
	var got []client.Item
	hubtest.Eventually(t, "all three are fetched", func() bool {
		got = append(got, h.Fetch(salute)...)
		return len(got) == 3
	}, func() any { return h.Status() })
	h.AwaitFlow(health, exchange.StateDelivered, 3)

	h.Push(pistoia, "service_request", accompaniment(4, "CF", cf)) // offered, not fetched yet
	hubtest.Eventually(t, "the fourth is offered", func() bool { return h.Status().Waiting[salute] == 1 }, nil)
	ended := hubtest.Call[control.ConsentEnd](h, "consent/withdraw", control.WithdrawRequest{Consent: old.ID})
	require.Equal(t, "withdrawn", ended.Status)
	h.Push(pistoia, "service_request", accompaniment(5, "CF", cf))
	h.Push(pistoia, "service_request", accompaniment(6, "STP", stp))
	h.Await("the rest is withheld", func(s control.Status) bool {
		require.Empty(t, h.Fetch(salute))
		return s.Behind == 0 && s.Flows[health]["withheld"] == 3
	})
	require.Equal(t, int64(3), h.Status().Flows[health]["delivered"])
	shown := hubtest.Call[control.Consents](h, "consent/show", control.ConsentQuery{Consent: now.ID})
	require.Len(t, shown.Consents, 1)
	h.AwaitFlow("pistoia_provider", exchange.StateDelivered, 6) // the service itself never stops
	verifies(t, h)
	require.NotContains(t, h.Log(), cf)
	require.NotContains(t, h.Log(), stp)
}

// A network of one's own, with another body, format and mapping, and no
// recompilation: written as files, checked, run.
func TestNetworkOfOnesOwn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "network")
	require.NoError(t, os.CopyFS(dir, os.DirFS("network/testdata/small")))
	files := map[string]string{
		"bodies/kitchen.yaml": `
id: kitchen
name: Mensa di prova
consumer: 00000000-0000-4000-8000-000000000003
roles:
  - {role: service_provider, territory: north, from: 2026-01-01}
systems:
  - id: kitchen_system
    name: Prenotazioni
    client: 00000000-0000-4000-8000-000000000015
    territories: [north]
    roles: [service_provider]
    connector: {kind: webhook, settings: {endpoint: "https://mensa.example/prenota", batch: 10}}
`,
		"agreements/kitchen.yaml": `
id: kitchen_accord
title: {it: Accordo mensa, en: Kitchen accord}
valid: {from: 2026-01-01, until: 2027-12-31}
parties:
  - {body: desk, signed: 2025-12-01}
  - {body: kitchen, signed: 2025-12-01}
clauses:
  - id: to_kitchen
    record_type: service_request
    from: [desk_operator]
    to: [service_provider]
    purpose: services
    basis: PUBLIC_INTEREST_TASK
    law_ref: a law
    categories: [NonPersonal, OfficialID, Social]
    retention: 30d
`,
		"flows/kitchen.yaml": `
flows:
  - id: kitchen_walk
    record_type: service_request
    territory: north
    producers: [desk_system]
    clause: to_kitchen
    recipient: kitchen_system
    role: service_provider
    services: [WALK]
    format: table_booking
    mapping: table_booking_out
`,
		"formats/table_booking.json": `{
  "$schema": "http://json-schema.org/draft-07/schema#",
  "type": "object",
  "additionalProperties": false,
  "required": ["ospite", "alle"],
  "properties": {
    "ospite": { "type": "string", "minLength": 1, "maxLength": 32, "x-category": "OfficialID" },
    "alle": { "type": "string", "format": "date-time", "maxLength": 35, "x-category": "Social" }
  }
}`,
		"mappings/table_booking_out.yaml": `
mapping: table_booking_out
from: service_request@1.0.0
to: table_booking
fields:
  - {to: /ospite, from: /for/0/identifiers/0/value}
  - {to: /alle, from: /requested_at}
examples:
  - name: one
    date: 2026-03-01
    in:
      recorded_at: "2026-03-01T10:00:00Z"
      service: WALK
      urgency: ROUTINE
      requested_at: "2026-03-01T10:00:00Z"
      requested_by: {body: {ipa_code: desk}}
      state: SENT
      for: [{identifiers: [{system: LOCAL, value: X-1}]}]
    out: {ospite: X-1, alle: "2026-03-01T10:00:00Z"}
`,
	}
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), []byte(text), 0o600))
	}
	h := hubtest.Start(t, hubtest.WithNetwork(os.DirFS(dir)))
	id := h.Push("desk_system", "service_request", `{"record_type":"service_request","schema_version":"1.0.0","recorded_at":"2026-03-01T10:00:00Z",
	"source":{"system":"test","ref":"1"},"service":"WALK","urgency":"ROUTINE","requested_at":"2026-03-01T10:00:00Z",
	"requested_by":{"body":{"ipa_code":"desk"}},"state":"SENT","for":[{"identifiers":[{"system":"LOCAL","value":"X-42"}],"role":"PRINCIPAL","family_name":"`+canary+`"}]}`)
	h.AwaitFlow("kitchen_walk", exchange.StateDelivered, 1)
	got := h.Recipient("kitchen_system").Received()
	require.Len(t, got, 1)
	require.Equal(t, id, got[0].Record)
	require.JSONEq(t, `{"ospite":"X-42","alle":"2026-03-01T10:00:00Z"}`, string(got[0].Content))
	verifies(t, h)

	// A mapping that leaks health data through a nested list is found by file.
	leak := filepath.Join(dir, "mappings", "ask_out.yaml")
	b, err := os.ReadFile(leak)
	require.NoError(t, err)
	leaky := strings.Replace(string(b), "      - {to: /code, from: /identifiers/0/value}", "      - {to: /code, from: /identifiers/0/value}\n      - {to: /flag, from: /role}\n  - {to: /note, from: /accompaniment/place}", 1)
	require.NotEqual(t, string(b), leaky)
	require.NoError(t, os.WriteFile(leak, []byte(leaky), 0o600))
	kinds, err := connectors.NewSet(standard.Kinds()...)
	require.NoError(t, err)
	_, err = hub.New(t.Context(), hub.Options{Config: hubtest.Config(t.TempDir()), Kinds: kinds, Network: os.DirFS(dir)})
	var faults *hub.NetworkError
	require.ErrorAs(t, err, &faults)
	require.Contains(t, fmt.Sprint(faults.Faults), "Health")
}

// A hundred requests under one Idempotency-Key at once have one effect and one
// answer (B70).
func TestHundredUnderOneKey(t *testing.T) {
	h := hubtest.Start(t)
	c := h.As("oss_livorno_desk")
	ids := make([]exchange.RecordID, 100)
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() {
			for {
				ack, err := c.Push(t.Context(), client.Push{Type: "service_request", Key: "one", MediaType: "application/json",
					Body: exchange.NewPayload([]byte(record("", false)))})
				if err == nil {
					ids[i] = *ack.Lines[0].Record
					return
				}
				if e := exchange.AsError(err); e.Code != exchange.CodeUnavailable && e.Code != exchange.CodeConflict && e.Code != exchange.CodeTooMany {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	for _, id := range ids {
		require.Equal(t, ids[0], id)
	}
	h.AwaitFlow("livorno_provider", exchange.StateDelivered, 1)
	require.Len(t, h.Recipient("centro_servizi_livorno").Received(), 1)
	// And of another system the same key is another request.
	other, err := h.As(pistoia).Push(t.Context(), client.Push{Type: "service_request", Key: "one", MediaType: "application/json",
		Body: exchange.NewPayload([]byte(accompaniment(1, "SPORTELLO", "PT-1")))})
	require.NoError(t, err)
	require.NotEqual(t, ids[0], *other.Lines[0].Record)
}

// B68: random paths, types, clients and keys make no new series.
func TestSeriesStayAsTheyAre(t *testing.T) {
	b := newBench(t)
	ask := func(n int) {
		for _, row := range []*badRow{
			{Method: text(http.MethodGet), Path: text(fmt.Sprintf("/v1/x%d", n))},
			{Path: text(fmt.Sprintf("/v1/records/t%d", n))},
			{Method: text(http.MethodGet), Path: text(fmt.Sprintf("/v1/records/service_request/%d", n))},
			{Token: fmt.Sprintf("token%d", n)},
			{Member: text(fmt.Sprintf(`"k%d":1`, n))},
			{Media: text(fmt.Sprintf("application/x%d", n))},
		} {
			status, _, _ := b.send(t, row, n)
			require.GreaterOrEqual(t, status, 400)
		}
	}
	ask(0)
	before := strings.Count(metrics(t, b.Hub), "\n")
	for n := range 50 {
		ask(n + 1)
	}
	require.Equal(t, before, strings.Count(metrics(t, b.Hub), "\n"))
}

// A second hub on a data directory is refused while the first runs, and only
// then.
func TestDirectoryInUse(t *testing.T) {
	h := hubtest.Start(t)
	kinds, err := connectors.NewSet(standard.Kinds()...)
	require.NoError(t, err)
	_, err = hub.New(t.Context(), hub.Options{Config: hubtest.Config(h.Dir), Kinds: kinds, Network: reticulate(t)})
	require.True(t, errors.Is(err, hub.ErrInUse), "%v", err)
	h.Restart()
}
