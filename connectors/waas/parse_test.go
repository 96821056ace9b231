package waas

import (
	"testing"

	"raccordo/connectors"
)

func FuzzParseOutcomes(f *testing.F) {
	f.Add([]byte(`{"elenco_esiti":[{"id_flusso":"Z901.PS.20260301.0000001","tipo":"PS_PSA_SINA","ts_flusso":"2026-03-01T10:00:00.000Z","ts_acquisizione":"2026-03-01T10:00:00Z","codice_esito":"OK"}]}`))
	f.Add([]byte(`{"elenco_esiti":[{"id_flusso":null}]}`))
	f.Add([]byte(`{}`))
	f.Add([]byte(`[[[[`))
	f.Fuzz(func(t *testing.T, body []byte) {
		acks, unknown, rule := parseOutcomes(body)
		if rule != "" {
			if len(acks) > 0 || unknown > 0 {
				t.Error("a refused body has outcomes")
			}
			return
		}
		if len(acks)+unknown > maxOutcomes {
			t.Errorf("%d outcomes", len(acks)+unknown)
		}
		for _, a := range acks {
			if a.Result < connectors.AckAccepted || a.Result > connectors.AckRetry || a.Reason.Number() == 0 || !flowID.MatchString(a.Name) {
				t.Errorf("%+v", a)
			}
		}
	})
}

func FuzzParameters(f *testing.F) {
	for _, s := range []string{"since=0", "since=0&limit=100", "since=%30", "since=0&since=1", "a;b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		since, limit, rule := parameters(query)
		if rule == "" && (since < 0 || limit < 0 || limit > 100) {
			t.Errorf("%q: since %d, limit %d", query, since, limit)
		}
	})
}
