package mapping

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
	"raccordo/hub/exchange"
	"raccordo/schemas"
	"raccordo/schemas/catalog"
)

func jsonNumberOf(s string) json.Number { return json.Number(s) }

func readFile(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// category is the number of a category of the catalogue.
func category(tb testing.TB, names ...string) exchange.CategorySet {
	tb.Helper()
	options, err := catalog.Options()
	if err != nil {
		tb.Fatal(err)
	}
	var set exchange.CategorySet
	for _, name := range names {
		c, ok := options.Categories[name]
		if !ok {
			tb.Fatalf("no category %s", name)
		}
		set = set.With(c)
	}
	return set
}

func schema(tb testing.TB, name string) *schemas.Schema {
	tb.Helper()
	options, err := catalog.Options()
	if err != nil {
		tb.Fatal(err)
	}
	loader, faults := schemas.NewLoader(options)
	if len(faults) > 0 {
		tb.Fatal(faults)
	}
	s, faults := loader.Load(name, readFile(tb, name))
	if len(faults) > 0 {
		tb.Fatal(faults)
	}
	return s
}

func codeList(tb testing.TB, name string) *CodeList {
	tb.Helper()
	list, faults := ParseCodeList(readFile(tb, name), "codelists/"+name)
	if len(faults) > 0 {
		tb.Fatal(faults)
	}
	return list
}

func testEnv(tb testing.TB) Env {
	tb.Helper()
	options, err := catalog.Options()
	if err != nil {
		tb.Fatal(err)
	}
	env := Env{Source: schema(tb, "desk.json"), Target: schema(tb, "request.json"), Categories: options.Categories,
		CodeLists: map[string]*CodeList{}}
	for _, name := range []string{"desk_services.csv", "urgency.csv", "disagi.csv"} {
		list := codeList(tb, name)
		env.CodeLists[list.ID()] = list
	}
	return env
}

func mustCompile(tb testing.TB, src string, env Env) *Mapping {
	tb.Helper()
	m, faults := Compile([]byte(src), "mappings/m.yaml", env)
	if len(faults) > 0 {
		tb.Fatalf("%v\n%s", faults, src)
	}
	return m
}

func deskIn(tb testing.TB) *Mapping {
	tb.Helper()
	m, faults := Compile(readFile(tb, "desk_in.yaml"), "mappings/desk_in.yaml", testEnv(tb))
	if len(faults) > 0 {
		tb.Fatal(faults)
	}
	return m
}

// required makes the required targets, so that a test writes only its own.
const required = `mapping: m
from: desk
to: request@1.0.0
examples: [{name: none, date: 2026-01-01, in: {servizio: DOCCIA, data: x, persone: [{nome: A}]}, out: {}}]
fields:
  - {to: /service, const: X}
  - {to: /requested_at, const: X}
  - {to: /for, each: /persone, prune: affected, fields: [{to: /display, const: X}]}
`

func tree(tb testing.TB, src string) exchange.Tree {
	tb.Helper()
	t, err := schemas.Parse([]byte(src), schemas.DefaultLimits())
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

func TestExamplesAreTests(t *testing.T) {
	m := deskIn(t)
	if m.Examples() != 4 {
		t.Fatalf("%d examples", m.Examples())
	}
	for _, f := range Test(m) {
		t.Error(f)
	}
}

func TestExamplesFail(t *testing.T) {
	src := string(readFile(t, "desk_in.yaml"))
	for name, c := range map[string]struct{ old, to, want string }{
		"other value":   {"nights: 4", "nights: 5", "what comes out differs at /bed/nights"},
		"missing":       {"      label: STAY\n", "", "what comes out differs at /label"},
		"other length":  {"tags: [a, b]", "tags: [a]", "what comes out differs at /tags"},
		"in is invalid": {"giorni: 3", "giorni: 31", "in does not fit desk: /giorni"},
		"loss unsaid":   {"    lost:\n      - {at: /note, rule: text_cut}\n", "", "lost /note (text_cut)"},
		"loss untrue":   {"{at: /note, rule: text_cut}", "{at: /data, rule: text_cut}", "does not say that /data was lost"},
		"not refused":   {`data: "2026-02-30"`, `data: "2026-02-20"`, "should be refused"},
		"refused":       {"data: 01/03/2026", "data: 32/03/2026", "the record is refused"},
		"other reason":  {"rule: date_unreadable", "rule: code_unmapped", "not refused for /data code_unmapped"},
	} {
		if !strings.Contains(src, c.old) {
			t.Fatalf("%s: nothing to change", name)
		}
		m, faults := Compile([]byte(strings.Replace(src, c.old, c.to, 1)), "mappings/desk_in.yaml", testEnv(t))
		if len(faults) > 0 {
			t.Errorf("%s: %v", name, faults)
			continue
		}
		found := false
		for _, f := range Test(m) {
			found = found || strings.Contains(f.Message, c.want)
		}
		if !found {
			t.Errorf("%s: %q not among %v", name, c.want, Test(m))
		}
	}
}

func TestCompileFaults(t *testing.T) {
	env := testEnv(t)
	for name, c := range map[string]struct{ field, want string }{
		"unknown key":             {`{to: /note, frm: /note}`, `unknown key "frm"`},
		"unknown source":          {`{to: /note, from: /nota}`, "the source has no /nota"},
		"unknown target":          {`{to: /nota, from: /note}`, "the target has no /nota"},
		"no target":               {`{from: /note}`, "names no target"},
		"no source":               {`{to: /note}`, "has no source"},
		"two sources":             {`{to: /note, from: /note, const: x}`, "one source"},
		"two for one target":      {`{to: /service, const: Y}`, "two sources for /service"},
		"inside a made object":    {"{to: /bed, fields: [{to: /nights, const: 1}]}\n  - {to: /bed/kind, const: x}", "two sources for /bed"},
		"object made twice":       {"{to: /bed/nights, const: 1}\n  - {to: /bed, fields: [{to: /nights, const: 1}]}", "two sources for /bed"},
		"required below":          {`{to: /bed/kind, const: x}`, "the target requires /bed/nights"},
		"required in an item":     {`{to: /bed, fields: [{to: /kind, const: x}]}`, "the target requires /bed/nights"},
		"null constant":           {`{to: /note, const: null}`, "null is not a value"},
		"null default":            {`{to: /note, from: /note, default: ~}`, "means different things"},
		"object copied":           {`{to: /bed, from: /letto}`, "passes on only what it names"},
		"list of objects copied":  {`{to: /tags, from: /persone}`, "passes on only what it names"},
		"through a list":          {`{to: /note, from: /persone/nome}`, "is a list"},
		"target through a list":   {`{to: /for/0/display, const: x}`, "is not an object"},
		"wrong type":              {`{to: /note, from: /giorni}`, "is string and this makes integer"},
		"wrong constant":          {`{to: /days, const: x}`, "is integer and this makes string"},
		"constant not in enum":    {`{to: /urgency, const: SOON}`, "not in its enum"},
		"constant too long":       {`{to: /note, const: "012345678901234567890"}`, "longer than its maxLength"},
		"constant against":        {`{to: /amount, const: "1,00"}`, "does not match its pattern"},
		"default not in enum":     {`{to: /urgency, from: /urgenza, codelist: urgency, default: SOON}`, "not in its enum"},
		"source enum":             {`{to: /urgency, from: /servizio}`, "not in its enum"},
		"no code list":            {`{to: /note, from: /note, codelist: nothing}`, "no code list"},
		"no column":               {`{to: /note, from: /servizio, codelist: desk_services}`, `no column "note"`},
		"list incomplete":         {`{to: /note, from: /servizio, codelist: {list: urgency, to: urgency}}`, "has no urgency for DOCCIA"},
		"list output":             {`{to: /urgency, from: /servizio, codelist: {list: desk_services, to: service}}`, "not in its enum"},
		"null for a required":     {`{to: /bed/nights, from: /vuoto, as: integer}`, "can be null"},
		"unmapped word":           {`{to: /note, from: /note, unmapped: maybe}`, "no such way"},
		"unmapped no default":     {`{to: /note, from: /note, unmapped: default}`, "there is no default"},
		"bad layout":              {`{to: /note, from: /data, date: {in: dd/mm/yyyy, out: date}}`, "is no layout"},
		"no layout":               {`{to: /note, from: /data, date: {in: date}}`, "in and out"},
		"bad decimal":             {`{to: /amount, from: /importo, decimal: {in: french, digits: 2}}`, "how the number is written"},
		"list converted":          {`{to: /tags, from: /etichette, upper: true}`, "cannot be converted as a whole"},
		"each not a list":         {`{to: /tags, each: /note}`, "is not a list"},
		"each into a value":       {`{to: /note, each: /etichette}`, "is not a list"},
		"each and first":          {`{to: /note, each: /etichette, first: /etichette}`, "one of"},
		"where outside":           {`{to: /note, from: /note, where: {path: /note, present: true}}`, "where judges"},
		"prune a value":           {`{to: /note, from: /note, prune: affected}`, "prune stands with each"},
		"prune what":              {`{to: /tags, each: /etichette, prune: all}`, "only affected"},
		"condition two tests":     {`{to: /note, from: /note, when: {path: /note, present: true, equals: x}}`, "one test"},
		"condition on object":     {`{to: /note, from: /note, when: {path: /letto, equals: x}}`, "no single value"},
		"condition type":          {`{to: /note, from: /note, when: {path: /giorni, equals: "3"}}`, "never equals"},
		"condition never":         {`{to: /note, from: /note, when: {path: /servizio, equals: DOCIA}}`, "never has this value"},
		"condition unknown":       {`{to: /note, from: /note, when: {path: /nota, present: true}}`, "the source has no /nota"},
		"cel undeclared":          {`{to: /note, cel: "a + b", reads: {a: /note}}`, "undeclared reference to 'b'"},
		"cel unused":              {`{to: /note, cel: "a", reads: {a: /note, b: /data}}`, "does not use b"},
		"cel type":                {`{to: /note, cel: "a + 1", reads: {a: /giorni}}`, "makes integer"},
		"cel ill-typed":           {`{to: /note, cel: "a + 1", reads: {a: /note}}`, "no matching overload"},
		"cel list":                {`{to: /note, cel: "[a]", reads: {a: /note}}`, "must be one text"},
		"cel name":                {`{to: /note, cel: "a", reads: ["/persone/0/nome", "/persone/1/nome"]}`, "cannot be the name"},
		"reads without cel":       {`{to: /note, from: /note, reads: [/note]}`, "means nothing without cel"},
		"context":                 {`{to: /note, context: clock}`, "no such value"},
		"Norway":                  {`{to: /note, const: no}`, "means different things"},
		"octal":                   {`{to: /note, const: 012}`, "means different things"},
		"sexagesimal":             {`{to: /note, const: 12:30:45}`, "means different things"},
		"unreachable alternative": {`{to: /note, choose: [{const: a}, {const: b}]}`, "always gives a value"},
		"choose and upper":        {`{to: /note, choose: [{const: a}], upper: true}`, "means nothing beside choose"},
		"items of a value":        {`{to: /note, items: [{fields: [{to: /x, const: x}]}]}`, "is not a list"},
		"fields of a value":       {`{to: /note, fields: [{to: /x, const: x}]}`, "is not an object"},
	} {
		t.Run(name, func(t *testing.T) {
			src := required + "  - " + c.field + "\n"
			m, faults := Compile([]byte(src), "mappings/m.yaml", env)
			if m != nil {
				t.Fatal("compiled")
			}
			found := false
			for _, f := range faults {
				found = found || strings.Contains(f.Message, c.want)
				if f.File != "mappings/m.yaml" || f.Line == 0 {
					t.Errorf("no place: %s", f)
				}
			}
			if !found {
				t.Errorf("%q not among %v", c.want, faults)
			}
		})
	}
}

func TestCompileRefusesFiles(t *testing.T) {
	env := testEnv(t)
	for name, c := range map[string]struct{ src, want string }{
		"empty":         {"", "empty"},
		"only comment":  {"# nothing\n", "empty"},
		"tab":           {"mapping: m\nfields:\n\t- x\n", "not YAML"},
		"two documents": {required + "---\nmapping: m\n", "second document"},
		"anchor":        {strings.Replace(required, "const: X", "const: &a X", 1), "anchors"},
		"alias":         {strings.Replace(required, "{to: /service, const: X}", "&a {to: /service, const: X}\n  - *a", 1), "aliases"},
		"merge":         {required + "  - {<<: {to: /note}, const: x}\n", "merge keys"},
		"tag":           {strings.Replace(required, "const: X", "const: !!str X", 1), "tags"},
		"duplicate key": {strings.Replace(required, "to: /service, const: X", "to: /service, const: X, const: X", 1), "twice"},
		"unknown key":   {required + "colour: red\n", "unknown key"},
		"large":         {required + strings.Repeat("# x\n", 1<<18), "larger"},
		"deep":          {required + "  - " + strings.Repeat("[", 100) + strings.Repeat("]", 100), "nested deeper"},
		"other name":    {strings.Replace(required, "mapping: m", "mapping: n", 1), "that of its file"},
		"no fields":     {"mapping: m\nfrom: a\nto: b\nexamples: []\n", "maps nothing"},
		"no examples":   {strings.Replace(required, "examples:", "#", 1), "no examples"},
		"bad end":       {strings.Replace(required, "to: request@1.0.0", "to: request@latest", 1), "not a format"},
		"not required":  {strings.Replace(required, "  - {to: /requested_at, const: X}\n", "", 1), "the target requires /requested_at"},
		"not read":      {required + "reads: [/note, /persone]\n", "nothing reads it"},
		"not declared":  {required + "reads: [/note]\n", "is read and not declared"},
		"null in":       {strings.Replace(required, "data: x", "data: ~", 1), "means different things"},
		"list":          {"- a\n- b\n", "must be a mapping"},
		"bomb": {"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n" +
			"d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n", "anchors"},
	} {
		t.Run(name, func(t *testing.T) {
			m, faults := Compile([]byte(c.src), "mappings/m.yaml", env)
			if m != nil {
				t.Fatal("compiled")
			}
			for _, f := range faults {
				if strings.Contains(f.Message, c.want) {
					return
				}
			}
			t.Errorf("%q not among %v", c.want, faults)
		})
	}
}

func TestCompileReportsEveryFaultWithItsLine(t *testing.T) {
	src := required + "  - {to: /note, from: /nota}\n  - {to: /nope, const: x}\n  - to: /days\n    from: /urgenza\n"
	_, faults := Compile([]byte(src), "mappings/m.yaml", testEnv(t))
	var lines []int
	for _, f := range faults {
		lines = append(lines, f.Line)
	}
	if !reflect.DeepEqual(lines, []int{9, 10, 11}) {
		t.Errorf("%v", faults)
	}
}

func TestApplyKeepsConstantsFromMakingObjects(t *testing.T) {
	m := mustCompile(t, required+`  - {to: /bed, fields: [{to: /nights, from: /letto/notti}, {to: /kind, const: x}]}
`, testEnv(t))
	out, _, err := m.Apply(tree(t, `{"servizio":"DOCCIA","persone":[]}`), Context{})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := out.At("/bed"); ok {
		t.Error("a constant alone made an object")
	}
	if v, _ := out.At("/for"); !reflect.DeepEqual(v, []any{}) {
		t.Error("a required list is left out")
	}
	out, _, err = m.Apply(tree(t, `{"letto":{"notti":2},"persone":[]}`), Context{})
	if err != nil || out.Text("/bed/kind") != "x" {
		t.Errorf("the constant is missing beside a value: %v", err)
	}
}

func TestApplyRefusesWhatTheSchemaWouldNot(t *testing.T) {
	m := mustCompile(t, required+"  - {to: /note, from: /note}\n  - {to: /tags, each: /etichette}\n  - {to: /days, cel: a, reads: {a: /giorni}}\n  - {to: /name, join: {from: [/data, /urgenza]}}\n", testEnv(t))
	_, _, err := m.Apply(tree(t, `{"note":{"secret":"value"},"etichette":"secret","giorni":"secret","data":["secret"]}`), Context{})
	var e *exchange.Error
	if !errors.As(err, &e) || e.Reason != exchange.ReasonMappingFailed || strings.Contains(err.Error(), "secret") {
		t.Fatalf("%v", err)
	}
	var at []exchange.Pointer
	for _, f := range e.Faults {
		at = append(at, f.Pointer)
	}
	if !reflect.DeepEqual(at, []exchange.Pointer{"/note", "/etichette", "/giorni", "/data"}) {
		t.Errorf("%v", at)
	}
}

func TestPrune(t *testing.T) {
	m := mustCompile(t, required+"  - {to: /days, cel: 'size(p)', reads: {p: /persone}}\n  - {to: /note, from: /persone/1/nome}\n", testEnv(t))
	in := tree(t, `{"persone":[{"nome":"A"},{"nome":"B"},{"nome":"C"}]}`)
	out, _, err := m.Apply(in, Context{Pruned: []exchange.Pointer{"/persone/1"}})
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := out.At("/for"); len(v.([]any)) != 2 {
		t.Error("the person is still there")
	}
	if n, _ := out.At("/days"); n != jsonNumberOf("2") {
		t.Error("the expression counted the person")
	}
	if out.Text("/note") != "C" {
		t.Error("the place of the person was read")
	}
	if v, _ := in.At("/persone"); len(v.([]any)) != 3 {
		t.Error("the record was changed")
	}
	if !m.Prunable("/persone/2") || !m.Prunable("/letto") || !reflect.DeepEqual(m.Prunes(), []exchange.Pointer{"/persone/*"}) {
		t.Error("prunable")
	}
	m = mustCompile(t, strings.Replace(required, " prune: affected,", "", 1)+"  - {to: /note, from: /persone/1/nome}\n", testEnv(t))
	if m.Prunable("/persone/1") {
		t.Error("prunable although read and not declared")
	}
	if _, _, err := m.Apply(in, Context{Pruned: []exchange.Pointer{"/persone/1"}}); err == nil {
		t.Error("pruned although not declared")
	}
}

func TestConditionsNarrowWhatAListMustHold(t *testing.T) {
	env := testEnv(t)
	list, faults := ParseCodeList([]byte("# source: x\ncode,note\nACC_SOCIALE,a\nACC_LEGALE,b\n"), "codelists/escorts.csv")
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	env.CodeLists["escorts"] = list
	const when = "when: {path: /servizio, in: [ACC_SOCIALE, ACC_LEGALE]}"
	for field, complete := range map[string]bool{
		"{to: /note, from: /servizio, codelist: escorts}":                                                                                false,
		"{to: /note, from: /servizio, codelist: escorts, " + when + "}":                                                                  true,
		"{to: /note, choose: [{from: /servizio, codelist: escorts, " + when + "}, {const: x}]}":                                          true,
		"{to: /note, from: /servizio, codelist: escorts, when: {path: /servizio, not_in: [DOCCIA]}}":                                     false,
		"{to: /note, from: /servizio, codelist: escorts, when: {path: /servizio, not_in: [DOCCIA, LETTO, ACC_SANITARIO]}}":               true,
		"{to: /bed, " + when + ", fields: [{to: /nights, const: 1}, {to: /kind, from: /servizio, codelist: {list: escorts, to: note}}]}": true,
		"{to: /days, const: 1, " + when + "}\n  - {to: /note, from: /servizio, codelist: escorts}":                                       false,
	} {
		_, faults := Compile([]byte(required+"  - "+field+"\n"), "mappings/m.yaml", env)
		if (len(faults) == 0) != complete {
			t.Errorf("%s: %v", field, faults)
		}
	}
}

func TestFirst(t *testing.T) {
	m := mustCompile(t, required+"  - {to: /note, first: /persone, where: {path: /cf, present: true}, from: /cf, upper: true}\n", testEnv(t))
	for in, want := range map[string]string{
		`{"persone":[{"nome":"A"},{"nome":"B","cf":"x"},{"nome":"C","cf":"y"}]}`: "X",
		`{"persone":[{"nome":"A"}]}`: "",
	} {
		out, _, err := m.Apply(tree(t, in), Context{})
		if err != nil || out.Text("/note") != want {
			t.Errorf("%s: %v", in, err)
		}
	}
}

func TestDates(t *testing.T) {
	rome := time.FixedZone("CET", 3600)
	for name, c := range map[string]struct {
		form dateForm
		in   string
		want string
	}{
		"italian":         {dateForm{in: []string{"02/01/2006"}, out: time.DateOnly}, "31/12/2026", "2026-12-31"},
		"no such day":     {dateForm{in: []string{"02/01/2006"}, out: time.DateOnly}, "31/11/2026", ""},
		"month":           {dateForm{in: []string{"01/2006"}, out: "2006-01"}, "09/2026", "2026-09"},
		"moment to day":   {dateForm{in: []string{time.RFC3339}, out: time.DateOnly}, "2026-03-01T23:30:00Z", "2026-03-02"},
		"day to moment":   {dateForm{in: []string{time.DateOnly}, out: time.RFC3339, at: true}, "2026-03-01", "2026-03-01T00:00:00+01:00"},
		"second layout":   {dateForm{in: []string{time.DateOnly, "20060102"}, out: time.DateOnly}, "20260301", "2026-03-01"},
		"trailing text":   {dateForm{in: []string{time.DateOnly}, out: time.DateOnly}, "2026-03-01x", ""},
		"year out of all": {dateForm{in: []string{time.DateOnly}, out: time.DateOnly}, "0000-03-01", ""},
	} {
		got, _ := c.form.convert(c.in, rome)
		if got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestDecimals(t *testing.T) {
	for in, want := range map[string]string{
		"1.234,56": "1234.56", "0,5": "0.50", "-1": "-1.00", "1.234": "1234.00", "007,10": "7.10", "-0,00": "0.00", "1,230": "1.23",
		"1,234": "", "1.23,4": "", "12.34.567": "", "1234.567": "", ",5": "", "1,": "", "": "", "1e3": "", "+1": "", "1 000": "", "--1": "", ".123": "",
	} {
		if got, _ := (&decimalForm{italian: true, digits: 2}).convert(in); got != want {
			t.Errorf("italian %q: %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{"0.0": "0.00", "21.71": "21.71", "1.234": "", "1.234,5": "", "17000.0": "17000.00"} {
		if got, _ := (&decimalForm{digits: 2}).convert(in); got != want {
			t.Errorf("plain %q: %q, want %q", in, got, want)
		}
	}
}

func TestAs(t *testing.T) {
	for _, c := range []struct {
		kind, in string
		want     any
	}{
		{"integer", "007", jsonNumberOf("7")}, {"integer", "-0", jsonNumberOf("0")}, {"integer", "-12", jsonNumberOf("-12")}, {"integer", "", nil},
		{"integer", "1.0", nil}, {"integer", "-", nil}, {"integer", "+1", nil}, {"number", "1.50", jsonNumberOf("1.50")}, {"number", "01", nil},
		{"boolean", "true", true}, {"boolean", "SI", nil}, {"string", "x", "x"},
	} {
		if got, _ := as(c.kind, c.in); got != c.want {
			t.Errorf("%s %q: %v", c.kind, c.in, got)
		}
	}
}

func TestApplyNeverPassesOnWhatIsNotNamed(t *testing.T) {
	m := deskIn(t)
	rapid.Check(t, func(t *rapid.T) {
		secret := "ZZSECRET"
		person := func() map[string]any {
			p := map[string]any{"nome": rapid.StringMatching(`[A-Z]{1,8}`).Draw(t, "nome"), "altro": secret, "note": secret}
			if rapid.Bool().Draw(t, "cf") {
				p["cf"] = "aaa"
			}
			return p
		}
		record := map[string]any{"servizio": rapid.SampledFrom([]string{"DOCCIA", "LETTO", "ACC_LEGALE"}).Draw(t, "s"), "data": "2026-03-01",
			"sconosciuto": secret, "altro": map[string]any{"x": []any{secret}}}
		var people []any
		for range rapid.IntRange(0, 4).Draw(t, "n") {
			people = append(people, person())
		}
		record["persone"] = people
		out, report, err := m.Apply(exchange.NewTree(record), Context{At: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)})
		if err != nil {
			t.Fatal(err)
		}
		if contains(out.Value(), secret) || len(report.Lost) > 0 {
			t.Fatal("passed on what is not named")
		}
	})
}

func contains(v any, s string) bool {
	switch x := v.(type) {
	case string:
		return strings.Contains(x, s)
	case []any:
		for _, item := range x {
			if contains(item, s) {
				return true
			}
		}
	case map[string]any:
		for k, item := range x {
			if strings.Contains(k, s) || contains(item, s) {
				return true
			}
		}
	}
	return false
}

func FuzzCompile(f *testing.F) {
	f.Add(string(readFile(f, "desk_in.yaml")))
	f.Add(required)
	env := testEnv(f)
	f.Fuzz(func(t *testing.T, src string) {
		m, faults := Compile([]byte(src), "mappings/m.yaml", env)
		if (m == nil) == (len(faults) == 0) {
			t.Fatal("neither a mapping nor a fault, or both")
		}
		if m != nil {
			_ = Test(m)
			m.Analyse(nil)
		}
	})
}

func BenchmarkApply(b *testing.B) {
	m := deskIn(b)
	e := &m.examples[0]
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := m.Apply(e.in, e.ctx); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkApplyDeclarative(b *testing.B) {
	src := string(readFile(b, "desk_in.yaml"))
	i, j := strings.Index(src, "  - to: /flag"), strings.Index(src, "  - to: /bed")
	src = src[:i] + src[j:]
	m, faults := Compile([]byte(src), "mappings/desk_in.yaml", testEnv(b))
	if len(faults) > 0 {
		b.Fatal(faults)
	}
	e := &m.examples[0]
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := m.Apply(e.in, e.ctx); err != nil {
			b.Fatal(err)
		}
	}
}
