package waas_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"raccordo/connectors"
	"raccordo/connectors/connectortest"
	"raccordo/connectors/waas"
	"raccordo/hub/exchange"
)

const config = `
bodies:
  - {body: comune_alfa, belfiore: Z901, name: Comune di Alfa}
  - {body: comune_beta, belfiore: Z902, name: 'Comune di "Beta" è'}
types: {social_benefit: PS_PSA_SINA, minors: SINBA}
`

const base = "/waas/z901/v1"

func open(t *testing.T) (*waas.Outlet, *connectortest.Claims, *connectortest.Bench) {
	t.Helper()
	b := connectortest.NewBench(t)
	claims := connectortest.NewClaims(connectortest.System, time.Now)
	o, err := waas.Kind().OpenOutlet(connectortest.Decode(t, waas.Kind(), config), b.Settings(), claims)
	if err != nil {
		t.Fatal(err)
	}
	return o.(*waas.Outlet), claims, b
}

// ask sends one request as INPS's system through the mount that it belongs to.
func ask(o connectors.Outlet, caller exchange.SystemID, method, target, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if caller != "" {
		r = r.WithContext(connectors.WithCaller(r.Context(), caller))
	}
	w := httptest.NewRecorder()
	for _, m := range o.Mounts() {
		if strings.HasPrefix(target, m.Base+"/") {
			m.Handler.ServeHTTP(w, r)
		}
	}
	return w
}

func esiti(elements ...string) string {
	return `{"elenco_esiti":[` + strings.Join(elements, ",") + `]}`
}

func esito(name, stamp, code string) string {
	return fmt.Sprintf(`{"id_flusso":%q,"tipo":"PS_PSA_SINA","ts_flusso":%q,"ts_acquisizione":"2026-03-01T10:00:00Z","codice_esito":%q,"descrizione_esito":"a text"}`, name, stamp, code)
}

type entry struct {
	Body  string `json:"codice_ente"`
	Name  string `json:"denominazione_ente"`
	ID    string `json:"id_flusso"`
	Type  string `json:"tipo"`
	Stamp string `json:"ts_flusso"`
	Flow  string `json:"flusso"`
}

func list(t *testing.T, o connectors.Outlet, target string) []entry {
	t.Helper()
	w := ask(o, connectortest.System, "GET", target, "")
	if w.Code != http.StatusOK {
		t.Fatalf("GET %s: %d %s", target, w.Code, w.Body)
	}
	var page struct {
		Flows []entry `json:"elenco_flussi"`
	}
	d := json.NewDecoder(w.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&page); err != nil || page.Flows == nil {
		t.Fatalf("GET %s: %v", target, err)
	}
	return page.Flows
}

// queue makes n records of a body fetchable, named as the hub would.
func queue(t *testing.T, o *waas.Outlet, claims *connectortest.Claims, producer exchange.BodyID, n int) []connectors.Item {
	t.Helper()
	items := connectortest.Items(n)
	for i := range items {
		series, err := o.Series(producer, items[i].Type, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
		if err != nil {
			t.Fatal(err)
		}
		name, err := o.Name(series, uint64(i+1))
		if err != nil {
			t.Fatal(err)
		}
		items[i].Body = exchange.NewPayload([]byte(fmt.Sprintf(`<Flusso><IdentificazioneFlusso Nome="%s"/></Flusso>`, name)))
		claims.Queue(producer, name, items[i])
	}
	return items
}

func TestConformance(t *testing.T) {
	connectortest.TestKind(t, waas.Kind(), config)
	connectortest.TestOutlet(t, waas.Kind(), config, connectortest.Driver{
		Producer: "comune_alfa",
		Fetch: func(t *testing.T, o connectors.Outlet, caller exchange.SystemID, w http.ResponseWriter) {
			r := httptest.NewRequest("GET", base+"/flussi?since=0&limit=100", nil)
			o.Mounts()[0].Handler.ServeHTTP(w, r.WithContext(connectors.WithCaller(r.Context(), caller)))
		},
		Accept: func(t *testing.T, o connectors.Outlet, items []connectors.Fetched) {
			var all []string
			for _, i := range items {
				all = append(all, esito(i.Name, time.UnixMilli(i.FetchableAt).UTC().Format(time.RFC3339Nano), "OK"))
			}
			if w := ask(o, connectortest.System, "POST", base+"/esiti", esiti(all...)); w.Code != http.StatusNoContent {
				t.Errorf("esiti: %d", w.Code)
			}
		},
	})
}

func TestFlowsSayWhatTheOfficialSchemaSays(t *testing.T) {
	o, claims, _ := open(t)
	items := queue(t, o, claims, "comune_beta", 12)
	flows := list(t, o, "/waas/z902/v1/flussi?since=0")
	if len(flows) != 10 {
		t.Fatalf("%d flows without a limit, want 10", len(flows))
	}
	last := ""
	for i, f := range flows {
		xml, err := base64.StdEncoding.DecodeString(f.Flow)
		if err != nil || string(xml) != string(items[i].Body.Reveal()) {
			t.Errorf("flow %d is not the bytes that were claimed", i)
		}
		if want := fmt.Sprintf("Z902.PS.20260301.%07d", i+1); f.ID != want || !strings.Contains(string(xml), want) {
			t.Errorf("flow %d is called %s, want %s, and so inside", i, f.ID, want)
		}
		if f.Body != "Z902" || f.Name != `Comune di "Beta" è` || f.Type != "PS_PSA_SINA" || len(f.Stamp) != len("2026-03-01T10:00:00.000Z") || f.Stamp <= last {
			t.Errorf("flow %d: %+v", i, f)
		}
		last = f.Stamp
	}
	if n := len(list(t, o, base+"/flussi?since=0&limit=100")); n != 0 {
		t.Errorf("another body's e-service lists %d flows", n)
	}
}

func TestPagerMissesNothing(t *testing.T) {
	o, claims, _ := open(t)
	queue(t, o, claims, "comune_alfa", 25)
	since, seen := int64(0), map[string]bool{}
	for {
		flows := list(t, o, fmt.Sprintf("%s/flussi?since=%d&limit=7", base, since))
		if len(flows) == 0 {
			break
		}
		for _, f := range flows {
			if seen[f.ID] {
				t.Errorf("%s twice", f.ID)
			}
			seen[f.ID] = true
		}
		at, err := time.Parse(time.RFC3339, flows[len(flows)-1].Stamp)
		if err != nil {
			t.Fatal(err)
		}
		since = at.UnixMilli()
	}
	if len(seen) != 25 {
		t.Errorf("the pager saw %d of 25", len(seen))
	}
}

func TestParameters(t *testing.T) {
	o, claims, _ := open(t)
	queue(t, o, claims, "comune_alfa", 1)
	for query, want := range map[string]int{
		"":                             400, // since is required
		"limit=1":                      400,
		"since=":                       400,
		"since=x":                      400,
		"since=-1":                     400,
		"since=%2B1":                   400,
		"since=1.5":                    400,
		"since=1e3":                    400,
		"since=9223372036854775808":    400,
		"since=99999999999999999999":   400,
		"since=0&since=1":              400,
		"since=0&limit=":               400,
		"since=0&limit=101":            400,
		"since=0&limit=-1":             400,
		"since=0&limit=x":              400,
		"since=0&limit=1&limit=2":      400,
		"since=0&limit=99999999999999": 400,
		"since=%zz":                    400,
		"since=0;limit=1":              400,
		"since=0":                      200,
		"since=0&limit=100":            200,
		"since=9223372036854775807":    200,
		"since=0&other=1":              200,
	} {
		before := claims.Claimed()
		w := ask(o, connectortest.System, "GET", base+"/flussi?"+query, "")
		if w.Code != want {
			t.Errorf("%q: %d, want %d", query, w.Code, want)
		}
		if want == 400 && (claims.Claimed() != before || w.Header().Get("Content-Type") != "application/problem+json") {
			t.Errorf("%q: claimed something, or no problem document", query)
		}
	}
	before := claims.Claimed()
	if flows := list(t, o, base+"/flussi?since=0&limit=0"); len(flows) != 0 || claims.Claimed() != before {
		t.Error("limit=0 claimed something")
	}
}

func TestMethodsAndPaths(t *testing.T) {
	o, claims, b := open(t)
	queue(t, o, claims, "comune_alfa", 1)
	for _, c := range []struct {
		caller         exchange.SystemID
		method, target string
		want           int
	}{
		{connectortest.System, "HEAD", base + "/flussi?since=0", 405},
		{connectortest.System, "POST", base + "/flussi?since=0", 405},
		{connectortest.System, "GET", base + "/esiti", 405},
		{connectortest.System, "DELETE", base + "/status", 405},
		{connectortest.System, "GET", base + "/other", 404},
		{connectortest.System, "GET", base + "/flussi/", 404},
		{"another_system", "GET", base + "/flussi?since=0", 404},
		{"another_system", "POST", base + "/esiti", 404},
		{"", "GET", base + "/flussi?since=0", 404},
		{"", "GET", base + "/status", 200},
	} {
		w := ask(o, c.caller, c.method, c.target, "")
		if w.Code != c.want || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s as %q: %d, want %d", c.method, c.target, c.caller, w.Code, c.want)
		}
	}
	if claims.Claimed() != 0 {
		t.Error("something was claimed")
	}
	if b.Counted(connectors.EventWrongCaller) != 3 {
		t.Errorf("%d wrong callers counted", b.Counted(connectors.EventWrongCaller))
	}
	wrong := ask(o, "another_system", "GET", base+"/flussi?since=0", "").Body.String()
	if absent := ask(o, "another_system", "GET", base+"/other", "").Body.String(); wrong != absent {
		t.Error("the wrong caller can tell the service from nothing")
	}
}

// misbehaving is a hub that breaks the contract of Fetch.
type misbehaving struct {
	connectors.Claims
	items []connectors.Fetched
}

func (m misbehaving) Fetch(context.Context, connectors.FetchRequest) (connectors.FetchResult, error) {
	return connectors.FetchResult{Items: m.items}, nil
}

func TestNothingIsWrittenOutOfOrder(t *testing.T) {
	at := func(ms int64) connectors.Fetched {
		return connectors.Fetched{Item: connectortest.Items(1)[0], Name: "Z901.PS.20260301.0000001", FetchableAt: ms}
	}
	for name, items := range map[string][]connectors.Fetched{
		"equal":     {at(200), at(200)},
		"falling":   {at(300), at(200)},
		"not since": {at(100)},
		"too many":  {at(200), at(300), at(400)},
	} {
		b := connectortest.NewBench(t)
		o, err := waas.Kind().OpenOutlet(connectortest.Decode(t, waas.Kind(), config), b.Settings(), misbehaving{items: items})
		if err != nil {
			t.Fatal(err)
		}
		w := ask(o, connectortest.System, "GET", base+"/flussi?since=100&limit=2", "")
		if w.Code != 500 || strings.Contains(w.Body.String(), "flusso") {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
}

func TestNamesAndBounds(t *testing.T) {
	o, _, _ := open(t)
	// Half past midnight in Rome is still the day before in UTC, summer and winter.
	for _, c := range []struct {
		t    exchange.RecordType
		at   time.Time
		want string
	}{
		{"social_benefit", time.Date(2026, 7, 1, 22, 30, 0, 0, time.UTC), "Z901.PS.20260702"},
		{"social_benefit", time.Date(2026, 12, 31, 23, 30, 0, 0, time.UTC), "Z901.PS.20270101"},
		{"minors", time.Date(2026, 12, 31, 22, 30, 0, 0, time.UTC), "Z901.SINBA.20261231"},
	} {
		if have, err := o.Series("comune_alfa", c.t, c.at); err != nil || have != c.want {
			t.Errorf("have %s %v, want %s", have, err, c.want)
		}
	}
	if _, err := o.Series("comune_gamma", "social_benefit", time.Now()); err == nil {
		t.Error("a body that is not served has a series")
	}
	if _, err := o.Series("comune_alfa", "service_request", time.Now()); err == nil {
		t.Error("a record type without kind of flow has a series")
	}
	for n, ok := range map[uint64]bool{0: false, 1: true, 9_999_999: true, 10_000_000: false} {
		name, err := o.Name("Z901.SINBA.20261231", n)
		if (err == nil) != ok || len(name) > 50 {
			t.Errorf("number %d: %q %v", n, name, err)
		}
	}
	if n := base64.StdEncoding.EncodedLen(o.MaxBody()); n > 10_000_000 {
		t.Errorf("a body of the greatest size becomes %d characters", n)
	}
}

func TestConfig(t *testing.T) {
	good := waas.Body{Body: "comune_alfa", Belfiore: "Z901", Name: "Comune di Alfa"}
	types := map[string]string{"social_benefit": "PS_PSA_SINA"}
	for name, c := range map[string]waas.Config{
		"no bodies":      {Base: "/waas", Types: types},
		"base":           {Base: "/waas/", Types: types, Bodies: []waas.Body{good}},
		"base dots":      {Base: "/../x", Types: types, Bodies: []waas.Body{good}},
		"belfiore":       {Base: "/waas", Types: types, Bodies: []waas.Body{{Body: "a", Belfiore: "z901", Name: "A"}}},
		"belfiore twice": {Base: "/waas", Types: types, Bodies: []waas.Body{good, {Body: "comune_beta", Belfiore: "Z901", Name: "B"}}},
		"body twice":     {Base: "/waas", Types: types, Bodies: []waas.Body{good, {Body: "comune_alfa", Belfiore: "Z902", Name: "B"}}},
		"long name":      {Base: "/waas", Types: types, Bodies: []waas.Body{{Body: "a", Belfiore: "Z901", Name: strings.Repeat("è", 257)}}},
		"types":          {Base: "/waas", Types: map[string]string{"social_benefit": "PS"}, Bodies: []waas.Body{good}},
		"no types":       {Base: "/waas", Bodies: []waas.Body{good}},
	} {
		if len(c.Validate()) != 1 {
			t.Errorf("%s: %v", name, c.Validate())
		}
	}
}
