package network

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"raccordo/hub/exchange"
	"raccordo/hub/mapping"
)

// deskRequest is what a desk sends, of obviously synthetic persons: a mother and
// her child, with everything a desk can say.
func deskRequest(service, urgency string) string {
	return `{"ente": "co_so", "numero": "N-1", "registrata_il": "2026-03-02T09:00:00+01:00", "data_ora": "2026-03-02T09:00:00+01:00",
	"servizio": "` + service + `", "urgenza": "` + urgency + `", "operatore": "op-7",
	"persone": [
		{"ruolo": "RICHIEDENTE", "codici": [{"tipo": "SPORTELLO", "valore": "SECRET-CODE-1"}], "cognome": "SECRETFAMILY", "nome": "SECRETNAME", "anno_nascita": 1990},
		{"ruolo": "FAMILIARE", "codici": [{"tipo": "SPORTELLO", "valore": "SECRET-CODE-2"}], "nome": "SECRETCHILD"}],
	"appuntamento": {"quando": "2026-03-05T11:00:00+01:00", "dove": "SECRETHOSPITAL"},
	"esigenze": {"senza_barriere": true, "con_minori": true, "area": "DONNE", "non_contattare": true},
	"nota": "SECRETNOTE"}`
}

// canonical takes what a system pushes through codec, schema, mapping, schema.
func canonical(t testing.TB, s *System, typ exchange.RecordType, body string) exchange.Tree {
	t.Helper()
	p := s.Produces[typ]
	require.NotNil(t, p)
	in, err := p.Codec.Decode([]byte(body))
	require.NoError(t, err)
	require.Empty(t, p.Schema.Validate(in))
	if p.Mapping == nil {
		return in
	}
	out, report, err := p.Mapping.Apply(in, mapping.Context{At: testNow})
	require.NoError(t, err)
	require.Empty(t, report.Lost)
	require.Empty(t, p.Canonical.Validate(out))
	return out
}

// render is what a recipient gets, as delivery makes it (design.md section 3).
func render(t testing.TB, f *Flow, record exchange.Tree, ctx mapping.Context) string {
	t.Helper()
	cut, _ := f.Canonical.Minimise(record.Without(ctx.Pruned), f.Clause.Categories, f.ValueCategories)
	ctx.Pruned = nil
	out, _, err := f.Mapping.Apply(cut, ctx)
	require.NoError(t, err)
	require.Empty(t, f.TargetSchema.Validate(out))
	b, err := f.Codec.Encode(out)
	require.NoError(t, err)
	return string(b)
}

// Every flow delivers something its recipient's schema takes, and nothing that
// its clause does not permit.
func TestReticulateRenders(t *testing.T) {
	n := reticulate(t)
	services := map[string]string{"BED": "POSTO_LETTO", "HYGIENE": "IGIENE", "RESIDENCE_GUIDANCE": "RESIDENZA", "JOB_GUIDANCE": "LAVORO", "LUGGAGE": "BAGAGLI",
		"ACCOMP_SOCIAL": "ACC_SOCIALE", "ACCOMP_HEALTH": "ACC_SANITARIO", "ACCOMP_LEGAL": "ACC_LEGALE", "IT_SERVICES": "INFORMATICA"}
	secrets := map[string]string{"SECRETHOSPITAL": "Health", "SECRETNOTE": "LifeHistory", "SECRETFAMILY": "Name", "SECRETCHILD": "FamilyStructure",
		"op-7": "Professional", "HEALTH": "Health", "sanitario": "Health"}
	seen := map[exchange.FlowID]bool{}
	categories := testCatalog(t).Categories()
	for _, desk := range []exchange.SystemID{"oss_livorno_desk", "oss_capannori_desk", "oss_pistoia_desk", "oss_grosseto_desk"} {
		for service, code := range services {
			for _, urgency := range []string{"EMERGENZA", "ORDINARIA"} {
				record := canonical(t, n.System(desk), "service_request", deskRequest(code, urgency))
				require.Equal(t, service, record.Text("/service"))
				flows, _, err := n.Route(n.System(desk), "service_request", record, testNow)
				require.NoError(t, err)
				for _, f := range flows {
					seen[f.ID] = true
					got := render(t, f, record, mapping.Context{At: testNow})
					for secret, name := range secrets {
						c, _ := categories.ByName(name)
						if strings.Contains(got, secret) {
							require.True(t, f.Clause.Categories.Has(c.Number), "%s sends %s", f.ID, name)
						}
					}
					require.Contains(t, got, "SECRET-CODE-1", f.ID)
					require.True(t, f.Present(record).Within(f.Clause.Categories), f.ID)
				}
			}
		}
	}
	for _, f := range n.Flows() {
		require.True(t, seen[f.ID] || f.RecordType == "social_benefit", f.ID)
	}
}

// The three accompaniments are the same bytes to a provider.
func TestAccompanimentsLookAlike(t *testing.T) {
	n := reticulate(t)
	f := n.Flow("pistoia_provider")
	var first string
	for _, code := range []string{"ACC_SANITARIO", "ACC_SOCIALE", "ACC_LEGALE"} {
		got := render(t, f, canonical(t, n.System("oss_pistoia_desk"), "service_request", deskRequest(code, "ORDINARIA")), mapping.Context{At: testNow})
		if first == "" {
			first = got
		}
		require.Equal(t, first, got)
	}
	require.Contains(t, first, `"ACCOMPAGNAMENTO"`)
}

func TestValueCategories(t *testing.T) {
	n := reticulate(t)
	health, _ := testCatalog(t).Categories().ByName("Health")
	only := exchange.NewCategorySet(health.Number)
	provider, ward := n.Flow("pistoia_provider"), n.Flow("pistoia_health")
	require.Empty(t, provider.ValueCategories("/service", "ACCOMP_HEALTH"), "hidden by the label")
	require.Equal(t, only, ward.ValueCategories("/service", "ACCOMP_HEALTH"))
	require.Equal(t, only, provider.ValueCategories("/accompaniment/kind", "HEALTH"), "not read, so dropped")
	require.Empty(t, provider.ValueCategories("/accompaniment/kind", "LEGAL"))
	require.Equal(t, only, provider.ValueCategories("/accompaniment/kind", "WHATEVER"), "what nobody knows may be anything")
	require.Empty(t, provider.ValueCategories("/urgency", "ROUTINE"))
	benefit := n.Flow("siuss_livorno")
	disability, _ := testCatalog(t).Categories().ByName("Disability")
	require.True(t, benefit.ValueCategories("/siuss_code", "A9.01.01").Has(disability.Number))
	require.Empty(t, benefit.ValueCategories("/siuss_code", "A1.05"))
}

func TestPrune(t *testing.T) {
	n := reticulate(t)
	for _, f := range n.Flows() {
		require.Equal(t, f.RecordType == "service_request", f.Prune, f.ID)
	}
	f := n.Flow("livorno_provider")
	record := canonical(t, n.System("oss_livorno_desk"), "service_request", deskRequest("IGIENE", "ORDINARIA"))
	got := render(t, f, record, mapping.Context{At: testNow, Pruned: []exchange.Pointer{"/for/1"}})
	require.Contains(t, got, "SECRET-CODE-1")
	require.NotContains(t, got, "SECRET-CODE-2")
}

// The official sample, with the tax code repaired, goes in and comes out on
// behalf of the body whose flow it is.
func TestSIUSS(t *testing.T) {
	n := reticulate(t)
	body := `<?xml version="1.0" encoding="UTF-8"?>
<Flusso xmlns="http://inps.it/Casellario"><IdentificazioneFlusso Nome="X"><Ente Codice="Z999" Indirizzo="Z999" CFOperatore="12345678903"/></IdentificazioneFlusso>
<Beneficiario CodiceFiscale="98765432103"><Anagrafica Cognome="PROVA" Nome="UNO" AnnoNascita="1980" LuogoNascita="E625" Genere="2" CodiceCittadinanza="380"/>
<Indirizzo CodiceRegione="09" CodiceComune="049009" CodiceNazione="380"/>
<PrestazioniSociali PresenzaProvaMezzi="1" CodicePrestazione="A1.05" DenominazionePrestazione="Contributi economici per alloggio" ProtocolloDomanda="P-1" ImportoMensile="101.2" PresaCarico="2">
<SINA Mobilita="1" AttivitaVitaQuotidiana="2" DisturbiComportamentali="1" AreaReddituale="3" AreaSupporto="2" FonteDerivazioneValutazione="1" StrumentoValutazione="1"><NecessitaInterventiSociali><CodicePrestazione>A2.17</CodicePrestazione></NecessitaInterventiSociali></SINA>
</PrestazioniSociali></Beneficiario></Flusso>`
	record := canonical(t, n.System("contributi_pistoia"), "social_benefit", body)
	flows, _, err := n.Route(n.System("contributi_pistoia"), "social_benefit", record, testNow)
	require.NoError(t, err)
	require.Len(t, flows, 1)
	got := render(t, flows[0], record, mapping.Context{At: testNow, Name: "G713.PS.20260302.0000001"})
	for _, want := range []string{`Nome="G713.PS.20260302.0000001"`, `Codice="G713"`, `Indirizzo="G713"`, `CodiceFiscale="98765432103"`, `Genere="2"`,
		`TipoOperazione="I"`, `ImportoMensile="101.20"`, `PresaCarico="2"`, `Mobilita="1"`, "<CodicePrestazione>A2.17</CodicePrestazione>"} {
		require.Contains(t, got, want)
	}
	require.NotContains(t, got, "Z999", "nobody sends in another's name")
}

func TestExplain(t *testing.T) {
	n := reticulate(t)
	e := n.Explain(n.Flow("pistoia_health"))
	b, err := json.MarshalIndent(e, "", " ")
	require.NoError(t, err)
	golden(t, "explain.golden.json", append(b, '\n'))
	golden(t, "explain.golden.txt", []byte(e.String()))
	for _, f := range n.Flows() {
		require.NotEmpty(t, n.Explain(f).String())
	}
}

// A network can be routed by many at once.
func TestConcurrentRoutes(t *testing.T) {
	n := reticulate(t)
	record := request(t, "BED", "EMERGENCY")
	done := make(chan error)
	for range 8 {
		go func() {
			for range 200 {
				if flows, _, err := n.Route(n.System("oss_pistoia_desk"), "service_request", record, testNow); err != nil || len(flows) != 3 {
					done <- err
					return
				}
				n.Flow("pistoia_provider_bed_emergency").Present(record)
			}
			done <- nil
		}()
	}
	for range 8 {
		select {
		case err := <-done:
			require.NoError(t, err)
		case <-time.After(30 * time.Second):
			t.Fatal("the routes do not end")
		}
	}
}

// The directory says what is assumed and where.
func TestReticulateMarksAssumptions(t *testing.T) {
	for _, name := range []string{"services.yaml", "purposes.yaml", "agreements/siuss.yaml", "agreements/accordo_livorno.yaml", "bodies/il_simbolo.yaml", "bodies/co_so.yaml",
		"bodies/sds_grossetana.yaml", "bodies/comune_capannori.yaml", "formats/desk_request.json", "codelists/desk_services.csv"} {
		b, err := os.ReadFile(reticulateDir + "/" + name)
		require.NoError(t, err)
		require.Contains(t, string(b), "assumed", name)
	}
}
