package waas_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"raccordo/connectors"
	"raccordo/connectors/connectortest"
	"raccordo/connectors/waas"
	"raccordo/hub/exchange"
)

// TestPagerUnderRandomOutcomes lets records arrive, clocks step, answers get
// lost and outcomes come early, late and twice, while INPS pages by `since` as
// the e-service describes it: since = the last ts_flusso that it took in. At
// the end every record has been taken in as it is offered now.
func TestPagerUnderRandomOutcomes(t *testing.T) {
	bench := connectortest.NewBench(t)
	cfg := connectortest.Decode(t, waas.Kind(), config)
	rapid.Check(t, func(rt *rapid.T) {
		now := time.UnixMilli(1_772_000_000_000)
		claims := connectortest.NewClaims(connectortest.System, func() time.Time { return now })
		opened, err := waas.Kind().OpenOutlet(cfg, bench.Settings(), claims)
		if err != nil {
			rt.Fatal(err)
		}
		o := opened.(*waas.Outlet)
		items := connectortest.Items(30)
		queued := 0
		since := int64(0)
		taken := map[string]string{} // id_flusso -> the ts_flusso last taken in
		page := func() []entry {
			return list(t, o, fmt.Sprintf("%s/flussi?since=%d&limit=%d", base, since, rapid.IntRange(1, 5).Draw(rt, "limit")))
		}
		tell := func(id, stamp, code string) {
			if w := ask(o, connectortest.System, "POST", base+"/esiti", esiti(esito(id, stamp, code))); w.Code != http.StatusNoContent {
				rt.Fatalf("esiti: %d", w.Code)
			}
		}
		takeIn := func(flows []entry) {
			for _, f := range flows {
				at, err := time.Parse(time.RFC3339, f.Stamp)
				if err != nil || at.UnixMilli() <= since {
					rt.Fatalf("ts_flusso %s after since %d: %v", f.Stamp, since, err)
				}
				since = at.UnixMilli()
				taken[f.ID] = f.Stamp
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"record": func(rt *rapid.T) {
				if queued < len(items) {
					claims.Queue("comune_alfa", fmt.Sprintf("Z901.PS.20260301.%07d", queued+1), items[queued])
					queued++
				}
			},
			"clock": func(rt *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(-5000, 5000).Draw(rt, "step")) * time.Millisecond)
			},
			"page":      func(*rapid.T) { takeIn(page()) },
			"lost page": func(*rapid.T) { page() },
			"outcome": func(rt *rapid.T) {
				if len(taken) > 0 {
					id := rapid.SampledFrom(slices.Sorted(maps.Keys(taken))).Draw(rt, "flow")
					tell(id, taken[id], rapid.SampledFrom([]string{"OK", "ERRORE_GENERICO", "DATI_NON_TROVATI", "RICHIESTA_INVALIDA"}).Draw(rt, "code"))
				}
			},
		})
		for {
			flows := page()
			if len(flows) == 0 {
				break
			}
			takeIn(flows)
		}
		for _, f := range list(t, o, base+"/flussi?since=0&limit=100") { // all that is not settled
			if taken[f.ID] != f.Stamp {
				rt.Fatalf("the pager never saw %s as it is offered now", f.ID)
			}
		}
		for i := range queued {
			id := fmt.Sprintf("Z901.PS.20260301.%07d", i+1)
			stamp, ok := taken[id]
			if !ok {
				rt.Fatalf("the pager never saw %s", id)
			}
			tell(id, stamp, "OK")
			tell(id, stamp, "ERRORE_GENERICO")
			if s, _ := claims.State(items[i].Disclosure); s != exchange.StateDelivered {
				rt.Fatalf("%s is %v", id, s)
			}
		}
		if n := len(list(t, o, base+"/flussi?since=0&limit=100")); n != 0 {
			rt.Fatalf("%d settled flows are still listed", n)
		}
	})
}

var _ connectors.Namer = (*waas.Outlet)(nil)
var _ connectors.Bounded = (*waas.Outlet)(nil)
