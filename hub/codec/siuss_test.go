package codec

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
	"raccordo/hub/exchange"
	"raccordo/schemas"
	"raccordo/schemas/catalog"
)

func siussSchema(tb testing.TB) *schemas.Schema {
	tb.Helper()
	options, err := catalog.Options()
	if err != nil {
		tb.Fatal(err)
	}
	loader, faults := schemas.NewLoader(options)
	if len(faults) > 0 {
		tb.Fatal(faults)
	}
	b, err := os.ReadFile(filepath.Join("..", "..", "deploy", "networks", "reticulate", "formats", "siuss_ps_psa_sina.json"))
	if err != nil {
		tb.Fatal(err)
	}
	s, faults := loader.Load("siuss_ps_psa_sina.json", b)
	if len(faults) > 0 {
		tb.Fatal(faults)
	}
	return s
}

// Every property of the format's schema is one of its XML declaration, and the
// other way round: otherwise a valid record could not be written.
func TestSIUSSSchemaAndDeclarationAgree(t *testing.T) {
	s, x := siussSchema(t), siuss(t)
	declared := map[exchange.Pointer]bool{}
	var walk func(e *element, at exchange.Pointer)
	walk = func(e *element, at exchange.Pointer) {
		for _, a := range e.attrs {
			declared[at.Append(a.property)] = true
		}
		for _, c := range e.children {
			below := at
			if !c.transparent() {
				below = at.Append(c.property)
				if c.list() {
					below += "/*"
				}
			}
			if c.leaf {
				declared[below] = true
			}
			walk(c, below)
		}
	}
	walk(x.root, "")
	for _, p := range s.Properties() {
		if !declared[p.Path] {
			t.Errorf("%s is in the schema only", p.Path)
		}
		delete(declared, p.Path)
	}
	for p := range declared {
		t.Errorf("%s is in the declaration only", p)
	}
}

func TestSIUSSSchema(t *testing.T) {
	s, x := siussSchema(t), siuss(t)
	for name, c := range map[string]struct {
		old, to, rule string
		at            exchange.Pointer
	}{
		"as it is":                {"", "", "", ""},
		"place omocodia":          {"CodiceFiscale=\"AAABBB80A01H501X\"", "CodiceFiscale=\"AAABBB80A01HRLMX\"", "", ""},
		"numeric":                 {"CodiceFiscale=\"AAABBB80A01H501X\"", "CodiceFiscale=\"12345678901  \"", "", ""},
		"STP":                     {"CodiceFiscale=\"AAABBB80A01H501X\"", "CodiceFiscale=\"STP0900000000001\"", "pattern", "/beneficiario/codice_fiscale"},
		"year omocodia":           {"CodiceFiscale=\"AAABBB80A01H501X\"", "CodiceFiscale=\"AAABBB8LA01H501X\"", "pattern", "/beneficiario/codice_fiscale"},
		"Italy without comune":    {"CodiceNazione=\"250\"", "CodiceNazione=\"380\"", "then", "/beneficiario/indirizzi/0"},
		"Italy":                   {"CodiceNazione=\"250\"", "CodiceNazione=\"380\" CodiceRegione=\"09\" CodiceComune=\"049009\"", "", ""},
		"short benefit":           {"Contributi economici", "Pasti", "min_length", "/beneficiario/prestazione/denominazione_prestazione"},
		"unknown gender":          {"Genere=\"1\"", "Genere=\"3\"", "enum", "/beneficiario/anagrafica/genere"},
		"thirteen months":         {"PresaCarico=\"1\"", "PresaCarico=\"1\" PeriodoErogazione=\"13\"", "maximum", "/beneficiario/prestazione/periodo_erogazione"},
		"comma in an amount":      {"PresaCarico=\"1\"", "PresaCarico=\"1\" ImportoMensile=\"1,5\"", "pattern", "/beneficiario/prestazione/importo_mensile"},
		"day that does not exist": {"PresaCarico=\"1\"", "PresaCarico=\"1\" DataEvento=\"2026-02-30\"", "format", "/beneficiario/prestazione/data_evento"},
	} {
		doc := strings.Replace(minimal, c.old, c.to, 1)
		tree, err := x.Decode([]byte(doc))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		faults := s.Validate(tree)
		switch {
		case c.rule == "" && len(faults) > 0:
			t.Errorf("%s: %v", name, faults)
		case c.rule != "" && (len(faults) == 0 || faults[0].Pointer != c.at || !strings.Contains(faults[0].Rule, c.rule)):
			t.Errorf("%s: %v, want [%s %s]", name, faults, c.at, c.rule)
		}
	}
	if tree, err := x.Decode(officialSample(t)); err != nil || len(s.Validate(tree)) > 0 {
		t.Errorf("official sample: %v %v", err, s.Validate(tree))
	}
}

// Whatever the format's schema takes is valid by the official XSD when written.
func TestSIUSSValidRecordsAreValidXML(t *testing.T) {
	s, x := siussSchema(t), siuss(t)
	xsd := shared(t, "inps", "waas", "PS_PSA_SINA201812.xsd")
	var docs [][]byte
	rapid.Check(t, func(t *rapid.T) {
		tree := exchange.NewTree(siussRecord(t))
		if faults := s.Validate(tree); len(faults) > 0 {
			t.Fatalf("the generator makes an invalid record: %v", faults)
		}
		b, err := x.Encode(tree)
		if err != nil {
			t.Fatal(err)
		}
		if len(docs) < 60 {
			docs = append(docs, b)
		}
	})
	xmllint(t, xsd, docs...)
}

func siussRecord(t *rapid.T) map[string]any {
	one := func(values ...string) string { return rapid.SampledFrom(values).Draw(t, "one") }
	text := func(low, high int) string {
		return rapid.StringOfN(rapid.RuneFrom([]rune("ABCàèìòù' <&>\"ÖñŠ-12")), low, high, -1).Draw(t, "text")
	}
	maybe := func(m map[string]any, key string, v any) {
		if rapid.Bool().Draw(t, key) {
			m[key] = v
		}
	}
	person := map[string]any{"cognome": text(1, 36), "nome": text(1, 36), "anno_nascita": one("1950", "2026"),
		"luogo_nascita": one("H501", "Z100"), "genere": one("1", "2"), "codice_cittadinanza": one("380", "250")}
	maybe(person, "codice_seconda_cittadinanza", "008")
	benefit := map[string]any{"presenza_prova_mezzi": one("1", "2", "3", "4"), "codice_prestazione": one("A1.04.01", "A2.23"),
		"denominazione_prestazione": text(10, 200), "protocollo_domanda": text(1, 32), "presa_carico": one("1", "2")}
	maybe(benefit, "tipo_operazione", one("I", "C"))
	maybe(benefit, "carattere_prestazione", one("1", "2"))
	maybe(benefit, "numero_protocollo_dsu", text(0, 30))
	maybe(benefit, "anno_protocollo_dsu", "2026")
	maybe(benefit, "data_evento", one("2026-02-28", "2024-02-29"))
	maybe(benefit, "importo_mensile", one("0.0", "-1", "1234567890.1234"))
	maybe(benefit, "periodo_erogazione", json.Number(one("1", "12")))
	maybe(benefit, "area_utenza", one("1", "2", "3"))
	if rapid.Bool().Draw(t, "sina") {
		sina := map[string]any{"mobilita": one("1", "3"), "attivita_vita_quotidiana": one("1", "3"), "disturbi_comportamentali": one("1", "2"),
			"area_reddituale": one("1", "3"), "area_supporto": one("1", "3"), "fonte_derivazione_valutazione": one("1", "4"), "strumento_valutazione": one("1", "7")}
		maybe(sina, "interventi_sociali", []any{"A2.17", "A2.18"})
		maybe(sina, "invalidita_civile", []any{one("1", "8")})
		benefit["sina"] = sina
	}
	return map[string]any{
		"identificazione_flusso": map[string]any{"nome": text(1, 50), "ente": map[string]any{"codice": "E625", "indirizzo": "E625", "cf_operatore": "AAABBB80A01H501X"}},
		"beneficiario": map[string]any{"codice_fiscale": one("AAABBB80A01H501X", "12345678901"), "anagrafica": person, "prestazione": benefit,
			"indirizzi": []any{map[string]any{"codice_nazione": "380", "codice_regione": "09", "codice_comune": "049009"}, map[string]any{"codice_nazione": "250"}}[:rapid.IntRange(1, 2).Draw(t, "addresses")]},
	}
}
