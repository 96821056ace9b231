package mapping

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
	"raccordo/hub/exchange"
)

// carried are the categories of one target of a mapping with one more field.
func carried(t *testing.T, env Env, field string, target exchange.Pointer) exchange.CategorySet {
	t.Helper()
	m := mustCompile(t, required+"  - "+field+"\n", env)
	return m.Analyse(nil).Targets()[target]
}

func TestLeaks(t *testing.T) {
	env := testEnv(t)
	social, health := category(t, "Social"), category(t, "Health")
	none := exchange.CategorySet{}
	disability, name := category(t, "Disability"), category(t, "Name")
	for label, c := range map[string]struct {
		field  string
		target exchange.Pointer
		want   exchange.CategorySet
	}{
		"constant":                    {`{to: /note, const: x}`, "/note", none},
		"value":                       {`{to: /note, from: /note, cut: 20}`, "/note", health},
		"part of a value":             {`{to: /note, from: /note, cut: 1}`, "/note", health},
		"value of a code":             {`{to: /label, from: /servizio, codelist: {list: desk_services, to: service}}`, "/label", social.Union(health)},
		"code copied":                 {"{to: /label, from: /servizio}\n  - {to: /note, from: /servizio, codelist: {list: desk_services, to: label}}", "/label", social.Union(health)},
		"code copied, beside it":      {"{to: /label, from: /servizio}\n  - {to: /note, from: /servizio, codelist: {list: desk_services, to: label}}", "/note", social},
		"generic label":               {`{to: /label, from: /servizio, codelist: {list: desk_services, to: label}}`, "/label", social},
		"constant by a condition":     {`{to: /note, const: x, when: {path: /note, present: true}}`, "/note", health},
		"constant by a health code":   {`{to: /note, const: x, when: {path: /servizio, equals: ACC_SANITARIO}}`, "/note", social.Union(health)},
		"constant by its absence":     {`{to: /note, const: x, when: {path: /servizio, not_in: [ACC_SANITARIO]}}`, "/note", social.Union(health)},
		"constant by all other codes": {`{to: /note, const: x, when: {path: /servizio, in: [DOCCIA, LETTO, ACC_SOCIALE, ACC_LEGALE]}}`, "/note", social.Union(health)},
		"constant by a mixed set":     {`{to: /note, const: x, when: {path: /servizio, in: [ACC_SANITARIO, ACC_SOCIALE]}}`, "/note", social},
		"constant by a harmless code": {`{to: /note, const: x, when: {path: /servizio, equals: DOCCIA}}`, "/note", social},
		"two conditions meet in one":  {`{to: /note, const: x, when: [{path: /servizio, in: [ACC_SANITARIO, ACC_SOCIALE]}, {path: /servizio, in: [ACC_SANITARIO, ACC_LEGALE]}]}`, "/note", social.Union(health)},
		"alternatives":                {`{to: /note, choose: [{const: x, when: {path: /servizio, in: [ACC_SOCIALE, DOCCIA]}}, {const: z, when: {path: /servizio, in: [ACC_SOCIALE, ACC_SANITARIO]}}]}`, "/note", social.Union(health)},
		"default by absence":          {`{to: /note, from: /urgenza, default: x, when: {path: /note, present: false}}`, "/note", social.Union(health)},
		"two targets, first":          {"{to: /note, const: x, when: {path: /servizio, in: [ACC_SANITARIO, ACC_SOCIALE]}}\n  - {to: /label, const: x, when: {path: /servizio, in: [ACC_SANITARIO, ACC_LEGALE]}}", "/note", social.Union(health)},
		"two targets, second":         {"{to: /note, const: x, when: {path: /servizio, in: [ACC_SANITARIO, ACC_SOCIALE]}}\n  - {to: /label, const: x, when: {path: /servizio, in: [ACC_SANITARIO, ACC_LEGALE]}}", "/label", social.Union(health)},
		"CEL":                         {`{to: /note, cel: "s == 'DOCCIA' ? 'a' : 'b'", reads: {s: /servizio}}`, "/note", social.Union(health)},
		"CEL over an object":          {`{to: /days, cel: "size(l)", reads: {l: /letto}}`, "/days", social.Union(disability)},
		"CEL over a list":             {`{to: /days, cel: "size(l)", reads: {l: /persone}}`, "/days", social.Union(name).Union(category(t, "OfficialID", "Health", "MentalHealth"))},
		"join":                        {`{to: /note, join: {from: [/note, /urgenza]}}`, "/note", social.Union(health)},
		"being there of an object":    {`{to: /bed, from: /letto, fields: [{to: /nights, const: 1}]}`, "/bed/nights", none},
		"beside a value in an object": {`{to: /bed, fields: [{to: /nights, const: 1}, {to: /kind, from: /note, cut: 10}]}`, "/bed/nights", health},
		"object filled":               {`{to: /bed, fields: [{to: /nights, const: 1}, {to: /kind, from: /note, cut: 10}]}`, "/bed", health},
		"condition on the object":     {`{to: /bed, when: {path: /letto/accessibile, equals: true}, fields: [{to: /nights, from: /letto/notti}]}`, "/bed/nights", social.Union(disability)},
		"nested list by code":         {`{to: /tags, each: /persone, first: x}`, "", none},
	} {
		if c.target == "" {
			continue
		}
		t.Run(label, func(t *testing.T) {
			if got := carried(t, env, c.field, c.target); got != c.want {
				t.Errorf("carries %v, want %v", got.Each(), c.want.Each())
			}
		})
	}
}

func TestLeaksThroughLists(t *testing.T) {
	env := testEnv(t)
	base := strings.Replace(required, "{to: /display, const: X}", "{to: /display, const: X}, ", 1)
	for label, c := range map[string]struct {
		field string
		at    exchange.Pointer
		want  exchange.CategorySet
	}{
		"code of a nested list": {`{to: /needs, each: /disagi, from: /tipo, codelist: disagi}`, "/for/*/needs",
			category(t, "Social", "Health", "MentalHealth")},
		"label of a nested list, all of whose codes are health": {`{to: /needs, each: /disagi, from: /tipo, codelist: {list: disagi, to: generic}}`, "/for/*/needs",
			category(t, "Social", "Health", "MentalHealth")}, // CARE is only DIPENDENZA
		"only how many of a nested list": {`{to: /needs, each: /disagi, const: x}`, "/for/*/needs", category(t, "Social")},
		"how many are health": {`{to: /needs, each: /disagi, where: {path: /tipo, in: [SALUTE, DIPENDENZA]}, const: x}`, "/for/*/needs",
			category(t, "Social", "Health")},
		"constant from outside": {`{to: /needs, each: /disagi, const: x, when: {path: ^/note, present: true}}`, "/for/*/needs",
			category(t, "Social", "Health")},
		"items": {`{to: /identifiers, items: [{when: {path: ^/letto/accessibile, equals: true}, fields: [{to: /system, const: CF}, {to: /value, const: x}]}]}`,
			"/for/*/identifiers/*/value", category(t, "Disability")},
		"item beside a value": {`{to: /identifiers, items: [{fields: [{to: /system, const: CF}, {to: /value, from: /cf}]}]}`,
			"/for/*/identifiers/*/system", category(t, "OfficialID")},
	} {
		t.Run(label, func(t *testing.T) {
			src := strings.Replace(base, "{to: /display, const: X}, ", "{to: /display, const: X}, "+c.field, 1)
			m := mustCompile(t, src, env)
			got, ok := m.Analyse(nil).Targets()[c.at]
			if !ok {
				t.Fatalf("no such target among %v", m.Analyse(nil).Targets())
			}
			// Everything inside the list also tells that the list is there.
			want := c.want.Union(m.base(&Reading{Path: "/persone"}))
			if got != want {
				t.Errorf("carries %v, want %v", got.Each(), want.Each())
			}
		})
	}
}

func TestLineage(t *testing.T) {
	m := deskIn(t)
	find := func(target exchange.Pointer) []string {
		var out []string
		for _, e := range m.Lineage() {
			if e.Target == target {
				for _, s := range e.Sources {
					out = append(out, s.Describe())
				}
			}
		}
		return out
	}
	for target, want := range map[exchange.Pointer][]string{
		"/service":  {"/servizio by codelist desk_services to service"},
		"/flag":     {"/letto/notti by cel", "/servizio by cel"},
		"/name":     nil,
		"/bed/kind": {"/letto by presence", "/letto/notti by presence", "/letto/accessibile by condition in true"},
		"/for/*/needs": {"/persone by each", "/persone/*/disagi by each", "/persone/*/disagi/*/tipo by condition not in CASA",
			"/persone/*/disagi/*/tipo by codelist disagi to needs"},
		"/for/*/identifiers/*/value": {"/persone by each", "/persone/*/cf by value", "/persone by each", "/persone/*/cf by presence",
			"/servizio by value", "/persone/*/nome by value"},
	} {
		if got := find(target); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, want %q", target, got, want)
		}
	}
}

func TestReveals(t *testing.T) {
	m := deskIn(t) // passes the service itself on
	a := m.Analyse(nil)
	if got := a.Reveals("/servizio", "ACC_SANITARIO"); got != category(t, "Health") {
		t.Errorf("health code: %v", got.Each())
	}
	if got := a.Reveals("/servizio", "ACC_SOCIALE"); !got.Empty() {
		t.Errorf("harmless code: %v", got.Each())
	}
	generic := mustCompile(t, required+"  - {to: /label, from: /servizio, codelist: {list: desk_services, to: label}}\n", testEnv(t))
	a = generic.Analyse(nil)
	if got := a.Reveals("/servizio", "ACC_SANITARIO"); !got.Empty() {
		t.Errorf("shared label: %v", got.Each())
	}
	// A flow that only ever carries the health code tells it by any label.
	only := generic.Analyse(func(p exchange.Pointer) *Domain {
		d := generic.Codes(p)
		if d == nil {
			return nil
		}
		return &Domain{Codes: map[string]exchange.CategorySet{"ACC_SANITARIO": d.Codes["ACC_SANITARIO"]}}
	})
	if !only.Targets()["/label"].Has(category(t, "Health").Each()[0]) {
		t.Error("the label of a health-only flow reveals nothing")
	}
}

func TestPresent(t *testing.T) {
	a := deskIn(t).Analyse(nil)
	for in, want := range map[string][]string{
		`{}`:                           nil,
		`{"servizio":"DOCCIA"}`:        {"Social"},
		`{"servizio":"ACC_SANITARIO"}`: {"Social", "Health"},
		`{"note":"x"}`:                 {"Health"},
		`{"servizio":"NUOVO"}`:         {"Social", "Health"},
		`{"persone":[{"nome":"A"}]}`:   {"Name"},
		`{"persone":[{"nome":"A"},{"cf":"x","disagi":[{"tipo":"DIPENDENZA"}]}]}`: {"Name", "OfficialID", "Social", "Health", "MentalHealth"},
		`{"sconosciuto":"x"}`: nil,
	} {
		if got := a.Present(tree(t, in)); got != category(t, want...) {
			t.Errorf("%s: %v", in, got.Each())
		}
	}
}

// The proof behind the analysis: whoever sees only targets that are said not
// to carry a category cannot tell from them that a code with it was there.
func TestAnalysisIsSound(t *testing.T) {
	env := testEnv(t)
	codes := []string{"DOCCIA", "LETTO", "ACC_SANITARIO", "ACC_SOCIALE", "ACC_LEGALE"}
	targets := []string{"note", "label", "name", "amount"}
	health := category(t, "Health").Each()[0]
	rapid.Check(t, func(rt *rapid.T) {
		src := strings.NewReplacer("{to: /amount", "{to: /urgency").Replace(required)
		for _, target := range targets[:3] {
			set := rapid.SliceOfNDistinct(rapid.SampledFrom(codes), 1, 4, rapid.ID[string]).Draw(rt, target)
			switch rapid.IntRange(0, 2).Draw(rt, "form") {
			case 0:
				src += "  - {to: /" + target + ", const: x, when: {path: /servizio, in: [" + strings.Join(set, ", ") + "]}}\n"
			case 1:
				src += "  - {to: /" + target + ", choose: [{const: x, when: {path: /servizio, in: [" + strings.Join(set, ", ") + "]}}, {const: z, when: {path: /servizio, not_in: [" + set[0] + "]}}]}\n"
			case 2:
				src += "  - {to: /" + target + ", from: /servizio, codelist: {list: desk_services, to: label}}\n"
			}
		}
		m, faults := Compile([]byte(src), "mappings/m.yaml", env)
		if len(faults) > 0 {
			rt.Fatalf("%v\n%s", faults, src)
		}
		a := m.Analyse(nil)
		seen := map[string]map[string]bool{} // what an observer sees -> codes that lead there
		for _, code := range codes {
			out, _, err := m.Apply(exchange.NewTree(map[string]any{"servizio": code, "persone": []any{}}), Context{At: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)})
			if err != nil {
				rt.Fatal(err)
			}
			view := ""
			for _, target := range targets[:3] {
				if !a.Targets()[exchange.Pointer("/"+target)].Has(health) {
					view += target + "=" + out.Text(exchange.Pointer("/"+target)) + ";"
				}
			}
			if seen[view] == nil {
				seen[view] = map[string]bool{}
			}
			seen[view][code] = true
		}
		for view, from := range seen {
			if len(from) == 1 && from["ACC_SANITARIO"] {
				rt.Fatalf("%s can only be health\n%s", view, src)
			}
		}
	})
}

func BenchmarkPresent(b *testing.B) {
	m := deskIn(b)
	a, e := m.Analyse(nil), &m.examples[0]
	b.ReportAllocs()
	for b.Loop() {
		if a.Present(e.in).Empty() {
			b.Fatal("nothing")
		}
	}
}
