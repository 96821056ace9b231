package hub_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"raccordo/hub/control"
	"raccordo/hub/exchange"
	"raccordo/hub/hubtest"
)

// canary is in every request of the bad-input tables and may come back nowhere.
const canary = "Kanarìa"

// badRow is one row of testdata/bad: what is sent and what must be answered.
type badRow struct {
	ID, As, Method, Path, Media *string
	Member, Person, Body        *string
	Before, After, Base64       *string
	Replace                     []string
	Headers                     map[string]string
	Generate                    map[string]int
	Key                         *string
	GenerateKey                 int `yaml:"generate_key"`
	Token                       string
	Chunked                     bool

	Status int
	Reason string
	Errors []badFault

	base string // document the row changes, empty: a valid request of the desk
}

type badFault struct {
	Pointer string
	Rule    string
	Line    int
}

func badRows(t *testing.T, name string) []badRow {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata/bad", name))
	require.NoError(t, err)
	var file struct {
		Defaults badRow
		Base     string
		Rows     []badRow
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	require.NoError(t, d.Decode(&file))
	require.NotEmpty(t, file.Rows)
	for i := range file.Rows {
		row := &file.Rows[i]
		if file.Base != "" {
			row.As, row.Path, row.Media, row.base = file.Defaults.As, file.Defaults.Path, file.Defaults.Media, file.Base
		}
	}
	return file.Rows
}

// members of a valid request of the desk, in order.
func members() [][2]string {
	return [][2]string{{"ente", `"il_simbolo"`}, {"numero", `"` + canary + `-1"`}, {"registrata_il", `"2026-03-02T09:00:00+01:00"`},
		{"data_ora", `"2026-03-02T09:00:00+01:00"`}, {"servizio", `"IGIENE"`}, {"urgenza", `"ORDINARIA"`}, {"nota", `"` + canary + `"`},
		{"persone", `[{"ruolo":"RICHIEDENTE","codici":[{"tipo":"SPORTELLO","valore":"LI-0042"}],"nome":"` + canary + `"}]`}}
}

// record is a valid request with one more member, in the place of its own.
func record(member string, replace bool) string {
	var b strings.Builder
	sep := byte('{')
	for _, m := range members() {
		if replace && strings.HasPrefix(member, `"`+m[0]+`":`) {
			continue
		}
		b.WriteByte(sep)
		fmt.Fprintf(&b, "%q:%s", m[0], m[1])
		sep = ','
	}
	if member != "" {
		b.WriteByte(sep)
		b.WriteString(member)
	}
	return b.String() + "}"
}

func (row *badRow) content(t *testing.T) []byte {
	t.Helper()
	switch {
	case row.Base64 != nil:
		b, err := base64.StdEncoding.DecodeString(*row.Base64)
		require.NoError(t, err)
		return b
	case row.Body != nil:
		return []byte(*row.Body)
	case row.base != "" && row.Generate == nil:
		doc := row.base
		if len(row.Replace) == 2 {
			require.Equal(t, 1, strings.Count(doc, row.Replace[0]), "%s", row.Replace[0])
			doc = strings.Replace(doc, row.Replace[0], row.Replace[1], 1)
		}
		return []byte(or(row.Before, "") + doc + or(row.After, ""))
	case row.base != "":
		return []byte(generatedXML(row.Generate))
	case row.Generate != nil:
		return []byte(record(generated(row.Generate), true))
	case row.Member != nil:
		return []byte(record(*row.Member, true))
	case row.Person != nil:
		return []byte(record(`"persone":[`+*row.Person+`]`, true))
	case row.After != nil:
		return []byte(record("", false) + *row.After)
	}
	return []byte(record("", false))
}

func generated(what map[string]int) string {
	for kind, n := range what {
		switch kind {
		case "digits":
			return `"nota":` + strings.Repeat("1", n)
		case "nest":
			return `"nota":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1)
		case "string":
			return `"nota":"` + strings.Repeat("a", n) + `"`
		case "elements":
			return `"nota":[0` + strings.Repeat(",0", n-1) + "]"
		case "keys":
			var b strings.Builder
			for i := range n {
				fmt.Fprintf(&b, `,"k%d":0`, i)
			}
			return `"nota":{` + b.String()[1:] + "}"
		case "key_bytes":
			return `"` + strings.Repeat("k", n) + `":0`
		}
	}
	panic("unknown generator")
}

func generatedXML(what map[string]int) string {
	const open = `<Flusso xmlns="http://inps.it/Casellario"`
	for kind, n := range what {
		switch kind {
		case "xml_depth":
			return strings.Repeat(open+">", n)
		case "xml_attributes":
			var b strings.Builder
			for i := range n {
				fmt.Fprintf(&b, " a%d=''", i)
			}
			return open + b.String() + "/>"
		case "xml_text":
			return open + ">" + strings.Repeat("a", n) + "</Flusso>"
		}
	}
	panic("unknown generator")
}

// seen is what a hub has stored, sent and counted.
type seen struct {
	entries  uint64
	accepted float64
	answers  float64
	refused  float64 // answers with the row's status and reason
	stream   [32]byte
	received int
	series   int
}

func look(t *testing.T, h *hubtest.Hub, row *badRow) seen {
	t.Helper()
	m := metrics(t, h)
	s := seen{entries: h.Status().Entries, accepted: sum(m, "raccordo_accepted_records_total", ""), answers: sum(m, "raccordo_http_requests_total", ""),
		refused: sum(m, "raccordo_http_requests_total", fmt.Sprintf(`reason=%q`, row.Reason)), stream: digest(t, filepath.Join(h.Dir, "stream")),
		series: strings.Count(m, "\n")}
	for _, r := range h.Recipients() {
		s.received += r.Requests()
	}
	return s
}

func metrics(t *testing.T, h *hubtest.Hub) string {
	t.Helper()
	resp, err := http.Get("http://" + h.AdminAddr() + "/metrics")
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NotContains(t, string(b), canary)
	return string(b)
}

// sum adds the series of a metric whose labels contain a text.
func sum(metrics, name, label string) (total float64) {
	for line := range strings.Lines(metrics) {
		if !strings.HasPrefix(line, name) || !strings.Contains(line, label) {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
		if err == nil {
			total += v
		}
	}
	return total
}

// digest is over every file of a directory.
func digest(t *testing.T, dir string) (out [32]byte) {
	t.Helper()
	sum := sha256.New()
	require.NoError(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		_, _ = fmt.Fprintf(sum, "%s %d\n", p, len(b))
		sum.Write(b)
		return err
	}))
	copy(out[:], sum.Sum(nil))
	return out
}

// bench is a hub with what the rows refer to.
type bench struct {
	*hubtest.Hub
	names map[string]string // {record}, {consent}, {dossier}
	good  int               // records accepted by the bench itself
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{Hub: hubtest.Start(t), names: map[string]string{}}
	status, ack, _ := b.send(t, &badRow{Key: text("valid-key")}, 0)
	require.Equal(t, http.StatusAccepted, status, "%v", ack)
	b.names["{record}"], b.good = ack["record_id"].(string), 1
	b.AwaitFlow("livorno_provider", exchange.StateDelivered, 1)
	consent := hubtest.Call[control.Consent](b.Hub, "consent/give", control.ConsentRequest{Person: control.Person{System: "LOCAL", Value: "PT-0007", Body: "co_so"},
		Purpose: "health_accompaniment", Body: "sds_pistoiese", Role: "health_service"})
	b.names["{consent}"] = consent.ID.String()
	dossier := hubtest.Call[control.Dossier](b.Hub, "dossier/open", control.DossierRequest{Person: control.Person{System: "LOCAL", Value: "PT-0007", Body: "co_so"},
		Body: "sds_pistoiese", Role: "social_service", Capacity: "case_manager"})
	b.names["{dossier}"] = dossier.ID.String()
	for _, s := range []exchange.SystemID{"oss_livorno_desk", "oss_pistoia_desk", "oss_grosseto_desk", "sisoc_livorno", "arti_livorno", "contributi_livorno"} {
		_, err := b.As(s).Voucher(context.Background())
		require.NoError(t, err)
	}
	return b
}

// What the rows change is accepted as it stands: what is refused is what a row
// says, and nothing else.
func TestWhatBadRowsChangeIsGood(t *testing.T) {
	b := newBench(t)
	status, ack, raw := b.send(t, &badRow{}, 1)
	require.Equal(t, http.StatusAccepted, status, "%s", raw)
	require.NotEqual(t, b.names["{record}"], ack["record_id"], "another key is another request")
	xml := badRows(t, "xml.yaml")[0]
	xml.Before, xml.Body = nil, text(xml.base)
	status, _, raw = b.send(t, &xml, 2)
	require.Equal(t, http.StatusAccepted, status, "%s", raw)
	// The same key and body is the same request, whatever it is called.
	for _, media := range []string{"application/json", "application/x-ndjson"} {
		status, _, raw = b.send(t, &badRow{Key: text("valid-key"), Media: text(media)}, 3)
		require.Equal(t, http.StatusAccepted, status, "%s", raw)
		require.Contains(t, string(raw), b.names["{record}"])
	}
}

func text(s string) *string { return &s }

func or(s *string, otherwise string) string {
	if s == nil {
		return otherwise
	}
	return *s
}

// send sends a row as it says; n makes keys that no other row has.
func (b *bench) send(t *testing.T, row *badRow, n int) (int, map[string]any, []byte) {
	t.Helper()
	path := or(row.Path, "/v1/records/service_request")
	for name, id := range b.names {
		path = strings.ReplaceAll(path, name, id)
	}
	method := or(row.Method, http.MethodPost)
	var body io.Reader
	if method == http.MethodPost {
		body = bytes.NewReader(row.content(t))
		if row.Chunked {
			body = struct{ io.Reader }{body}
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), method, b.URL()+path, body)
	require.NoError(t, err)
	if media := or(row.Media, "application/json"); method == http.MethodPost && media != "" {
		req.Header.Set("Content-Type", media)
	}
	if strings.HasPrefix(path, "/v1/records/") && method == http.MethodPost {
		switch {
		case row.GenerateKey > 0:
			req.Header.Set("Idempotency-Key", strings.Repeat("k", row.GenerateKey))
		case row.Key == nil:
			req.Header.Set("Idempotency-Key", fmt.Sprintf("bad-%d", n))
		case *row.Key != "none":
			req.Header.Set("Idempotency-Key", *row.Key)
		}
	}
	for k, v := range row.Headers {
		req.Header.Set(k, v)
	}
	switch row.Token {
	case "":
		v, err := b.As(exchange.SystemID(or(row.As, "oss_livorno_desk"))).Voucher(t.Context())
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+v.Token)
	case "none":
	default:
		req.Header.Set("Authorization", "Bearer "+row.Token)
	}
	return answer(t, req)
}

func answer(t *testing.T, req *http.Request) (int, map[string]any, []byte) {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	if resp.StatusCode >= 400 {
		require.Equal(t, "application/problem+json", resp.Header.Get("Content-Type"), "%s", raw)
		raw = append(raw, fmt.Sprint(resp.Header)...)
		defer func() { require.NotContains(t, string(raw), canary, "echoed") }()
	}
	var out map[string]any
	if i := bytes.LastIndexByte(raw, '}'); i >= 0 {
		require.NoError(t, json.Unmarshal(raw[:i+1], &out), "%s", raw)
	}
	return resp.StatusCode, out, raw
}

// Every bad input gets its answer, with pointer and rule; nothing is stored,
// sent or echoed, one refusal is counted, and the hub goes on.
func TestBadInput(t *testing.T) {
	b := newBench(t)
	n := 0
	for _, file := range []string{"json.yaml", "requests.yaml", "xml.yaml"} {
		for _, row := range badRows(t, file) {
			n++
			t.Run(strings.ReplaceAll(*row.ID, "/", " "), func(t *testing.T) { b.refused(t, &row, n) })
		}
	}
	require.NotContains(t, b.Log(), canary)
	require.NoError(t, b.Ready(t.Context()))
	total := int64(0)
	for _, states := range b.Status().Flows {
		for _, k := range states {
			total += k
		}
	}
	require.EqualValues(t, b.good, total, "the hub accounts only what was accepted")
}

func (b *bench) refused(t *testing.T, row *badRow, n int) {
	before := look(t, b.Hub, row)
	status, problem, raw := b.send(t, row, n)
	require.Equal(t, row.Status, status, "%s", raw)
	require.Equal(t, row.Reason, problem["reason"], "%s", raw)
	require.Equal(t, "urn:raccordo:problem:"+row.Reason, problem["type"])
	for _, want := range row.Errors {
		require.Contains(t, faultsOf(t, problem), want, "%s", raw)
	}
	if len(row.Errors) == 0 && status == http.StatusUnprocessableEntity && row.Reason == "schema" {
		require.NotEmpty(t, problem["errors"], "a schema refusal names pointer and rule")
	}
	after := look(t, b.Hub, row)
	require.Equal(t, before.refused+1, after.refused, "one refusal is counted under its reason")
	require.Equal(t, before.answers+1, after.answers)
	before.refused, before.answers, before.series = after.refused, after.answers, after.series
	require.Equal(t, before, after, "nothing is stored, nothing sent")
}

func faultsOf(t *testing.T, problem map[string]any) []badFault {
	t.Helper()
	list, _ := problem["errors"].([]any)
	out := make([]badFault, 0, len(list))
	for _, x := range list {
		m, ok := x.(map[string]any)
		require.True(t, ok)
		f := badFault{}
		f.Pointer, _ = m["pointer"].(string)
		f.Rule, _ = m["rule"].(string)
		if line, ok := m["line"].(float64); ok {
			f.Line = int(line)
		}
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b badFault) int { return strings.Compare(a.Pointer, b.Pointer) })
	return out
}
