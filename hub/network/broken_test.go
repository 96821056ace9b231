package network

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// change is one edit of the small network: old must be in the file exactly
// once; an empty old writes the whole file, an empty both removes it.
type change struct{ file, old, new string }

// broken is a network with something wrong, and where the fault must be: on a
// line that holds the text at ("" is the whole file), with a message and a fix
// that hold the texts.
type broken struct {
	name    string
	changes []change
	file    string
	at      string
	message string
}

func apply(t *testing.T, files fstest.MapFS, changes []change) {
	t.Helper()
	for _, c := range changes {
		switch {
		case c.old == "" && c.new == "":
			delete(files, c.file)
		case c.old == "":
			files[c.file] = &fstest.MapFile{Data: []byte(c.new)}
		default:
			edit(t, files, c.file, c.old, c.new)
		}
	}
}

func (b *broken) run(t *testing.T) {
	files := small(t)
	apply(t, files, b.changes)
	n, faults := loadSmall(t, files)
	require.Nil(t, n, "nothing is half loaded")
	for _, f := range faults {
		if f.File != b.file || !strings.Contains(f.Message, b.message) {
			continue
		}
		line := ""
		if f.Line > 0 {
			lines := strings.Split(string(files[f.File].Data), "\n")
			require.LessOrEqual(t, f.Line, len(lines))
			line = lines[f.Line-1]
		}
		if b.at == "" && f.Line == 0 || b.at != "" && strings.Contains(line, b.at) {
			return
		}
	}
	t.Errorf("no fault %q in %s at %q; there are:", b.message, b.file, b.at)
	for _, f := range faults {
		t.Log(f)
	}
}

func runBroken(t *testing.T, table []broken) {
	t.Helper()
	for _, b := range table {
		t.Run(b.name, b.run)
	}
}

const (
	desk      = "bodies/desk.yaml"
	house     = "bodies/house.yaml"
	accord    = "agreements/accord.yaml"
	north     = "flows/north.yaml"
	askOut    = "mappings/ask_out.yaml"
	askedIn   = "mappings/asked_in.yaml"
	ask       = "formats/ask.json"
	purposes  = "purposes.yaml"
	servicesY = "services.yaml"
	networkY  = "network.yaml"
)

func TestBrokenYAML(t *testing.T) {
	runBroken(t, []broken{
		{"unknown key", []change{{networkY, "retention:", "retain:"}}, networkY, "retain:", `unknown key "retain"`},
		{"duplicate key", []change{{networkY, "name: small", "name: small\nname: other"}}, networkY, "name: other", "there twice"},
		{"anchor", []change{{networkY, "languages: [it, en]", "languages: &l [it, en]"}}, networkY, "languages", "anchors are not read"},
		{"anchor on a key", []change{{networkY, "languages:", "&l languages:"}}, networkY, "languages", "anchors are not read"},
		{"alias", []change{{networkY, "title: {it: Rete di prova, en: Test network}", "title: {it: &x Rete, en: *x}"}}, networkY, "title", "aliases are not read"},
		{"merge key", []change{{desk, "  - id: desk_export", "  - <<: {name: x}\n    id: desk_export"}}, desk, "<<", "merge keys are not read"},
		{"tag", []change{{networkY, "name: small", "name: !!str small"}}, networkY, "name", "explicit tags are not read"},
		{"unquoted no", []change{{desk, "name: Sportello di prova", "name: no"}}, desk, "name: no", "unquoted no"},
		{"unquoted yes in a list", []change{{networkY, "languages: [it, en]", "languages: [it, yes]"}}, networkY, "languages", "unquoted yes"},
		{"truth where text is meant", []change{{desk, "name: Sportello di prova", "name: true"}}, desk, "name: true", "must be text, not a truth value"},
		{"number where text is meant", []change{{desk, "name: Sportello di prova", "name: 12"}}, desk, "name: 12", "must be text, not a number"},
		{"text where truth is meant", []change{{desk, "records_consents: true", "records_consents: yes"}}, desk, "records_consents", "must be true or false"},
		{"nothing where text is meant", []change{{desk, "name: Sportello di prova", "name:"}}, desk, "name:", "not nothing"},
		{"list where an object is meant", []change{{networkY, "retention: {parked: 30d, mailbox: 10d}", "retention: [30d]"}}, networkY, "retention", "must be a mapping"},
		{"object where a list is meant", []change{{networkY, "languages: [it, en]", "languages: {it: en}"}}, networkY, "languages", "must be a list"},
		{"second document", []change{{networkY, "retention: {parked: 30d, mailbox: 10d}", "---\nname: x"}}, networkY, "---", "a second document"},
		{"empty file", []change{{"teams/north.yaml", "", "# nothing\n"}}, "teams/north.yaml", "", "empty"},
		{"not YAML", []change{{networkY, "name: small", "name: [small"}}, networkY, "name: [small", "not YAML"},
		{"too large", []change{{"teams/north.yaml", "", "id: x # " + strings.Repeat("x", maxFileSize)}}, "teams/north.yaml", "", "larger than"},
		{"too deep", []change{{"teams/north.yaml", "", "id: " + strings.Repeat("[", 60) + strings.Repeat("]", 60)}}, "teams/north.yaml", "id:", "nested deeper"},
		{"bad name", []change{{networkY, "name: small", "name: Small-One"}}, networkY, "Small-One", "not a well-formed name"},
		{"bad day", []change{{desk, "from: 2026-01-01", "from: 2026-13-01"}}, desk, "2026-13-01", "must be a day"},
		{"bad span", []change{{networkY, "parked: 30d", "parked: a while"}}, networkY, "a while", "days or hours"},
		{"missing key", []change{{desk, "name: Sportello di prova\n", ""}}, desk, "id: desk", `"name" is missing`},
		{"strange file", []change{{"bodies/notes.txt", "", "x"}}, "bodies/notes.txt", "", "not a file of a network"},
		{"no network.yaml", []change{{networkY, "", ""}}, networkY, "", "the file is missing"},
		{"control text in a key", []change{{networkY, "name: small", "[a]: small"}}, networkY, "[a]", "a key must be a word"},
	})
}

func TestBrokenNames(t *testing.T) {
	runBroken(t, []broken{
		{"unknown territory", []change{{house, "territory: north, from: 2026-01-01}\n  - {role: health", "territory: east, from: 2026-01-01}\n  - {role: health"}}, house, "east", `territory "east" is not known`},
		{"unknown record type", []change{{networkY, "record_types: [service_request]", "record_types: [service_request, wishes]"}}, networkY, "wishes", "no record type"},
		{"unknown role", []change{{house, "role: service_provider, territory", "role: landlord, territory"}}, house, "landlord", "is not a role"},
		{"unknown body", []change{{accord, "- {body: desk, signed", "- {body: dusk, signed"}}, accord, "dusk", `body "dusk" is not known`},
		{"unknown system", []change{{north, "recipient: ward_system", "recipient: word_system"}}, north, "word_system", `system "word_system" is not known`},
		{"unknown clause", []change{{north, "clause: to_ward", "clause: to_word"}}, north, "to_word", "clause"},
		{"unknown purpose", []change{{accord, "purpose: services", "purpose: service"}}, accord, "purpose: service", "purpose"},
		{"unknown category", []change{{accord, "[NonPersonal, OfficialID, Social]", "[NonPersonal, OfficialID, Sociable]"}}, accord, "Sociable", `category "Sociable" is not known`},
		{"category twice", []change{{accord, "[NonPersonal, OfficialID, Social]", "[NonPersonal, OfficialID, Social, Social]"}}, accord, "Social, Social", "there twice"},
		{"unknown service", []change{{north, "[CARE, WALK]", "[CARE, WALK, TALK]"}}, north, "TALK", `service "TALK" is not known`},
		{"unknown mapping", []change{{desk, "mapping: asked_in", "mapping: asked_on"}}, desk, "asked_on", "mapping"},
		{"unknown format", []change{{desk, "format: asked,", "format: asket,"}}, desk, "asket", `format "asket" is not known`},
		{"unknown office", []change{{house, "office: ward\n", "office: word\n"}}, house, "office: word", "office"},
		{"unknown language of a text", []change{{servicesY, "label: {it: letto, en: bed}", "label: {it: letto, en: bed, fr: lit}"}}, servicesY, "BED", "not a language of the network"},
		{"text missing in a language", []change{{servicesY, "label: {it: letto, en: bed}", "label: {it: letto}"}}, servicesY, "BED", `missing in "en"`},
		{"body twice", []change{{"bodies/again.yaml", "", "id: desk\nname: x\nroles: []\n"}}, desk, "id: desk", "there twice"},
		{"system twice", []change{{house, "id: ward_system", "id: desk_system"}}, house, "desk_system", "there twice"},
		{"flow twice", []change{{north, "- id: ward", "- id: house"}}, north, "id: house", "there twice"},
		{"clause twice", []change{{accord, "- id: to_ward", "- id: to_house"}}, accord, "to_house", "there twice"},
		{"client id twice", []change{{house, "8000-000000000014", "8000-000000000013"}}, house, "000000000013", "already used"},
		{"purpose id twice", []change{{desk, "8000-000000000022", "8000-000000000021"}}, desk, "000000000021", "already used"},
		{"service twice", []change{{servicesY, "code: WALK", "code: BED"}}, servicesY, "code: BED", "there twice"},
		{"format and file name", []change{{"formats/Ask.json", "", "{}"}}, "formats/Ask.json", "", "not the name of a format"},
		{"format twice", []change{{"formats/more/ask.json", "", "{}"}}, "formats/more/ask.json", "", "already declared"},
		{"code list named services", []change{{"codelists/services.csv", "", "# source: x\ncode\nBED\n"}}, "codelists/services.csv", "", "made of services.yaml"},
		{"private key", []change{{desk, "    records_consents: true", "    keys: ['{\"kty\": \"RSA\", \"d\": \"x\"}']"}}, desk, "keys", "private key"},
	})
}
