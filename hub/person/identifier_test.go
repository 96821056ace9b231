package person

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"raccordo/hub/exchange"
)

func TestNew(t *testing.T) {
	for _, c := range []struct {
		system System
		value  string
		rule   Rule
		want   string
	}{
		{SystemCF, "RSSMRA68A01H501Y", "", "RSSMRA68A01H501Y"},
		{SystemCF, " rssmra68a01h501y ", "", "RSSMRA68A01H501Y"},
		{SystemCF, "RSSMRA68A01H501X", RuleCheck, ""},
		{SystemCF, "12345678903", RuleLength, ""},
		{SystemCF, "RSSMRA68A01H501\u00dd", RuleCharacters, ""},
		{SystemCF, "RSSMRA68A01H501\u200bY", RuleCharacters, ""},
		{SystemCF, "", RuleLength, ""},
		{SystemCFNum, "12345678903", "", "12345678903"},
		{SystemCFNum, "12345678903     ", "", "12345678903"}, // INPS pads it
		{SystemCFNum, "12345678901", RuleCheck, ""},
		{SystemCFNum, "00000000000", RulePlaceholder, ""},
		{SystemCFNum, "1234567890", RuleLength, ""},
		{SystemCFNum, "1234567890X", RuleCharacters, ""},
		{SystemCFNum, "RSSMRA68A01H501Y", RuleLength, ""},
		{SystemSTP, "stp0900011234567", "", "STP0900011234567"},
		{SystemSTP, "ENI0900011234567", RuleCharacters, ""},
		{SystemENI, "ENI0900011234567", "", "ENI0900011234567"},
		{SystemENI, "ENI09000112345", RuleLength, ""},
		{SystemENI, "ENI090001123456X", RuleCharacters, ""},
		{SystemENI, "ENI0000000000000", RulePlaceholder, ""},
		{SystemANPR, "AF41450AS", "", "AF41450AS"},
		{SystemANPR, "af41450as", "", "AF41450AS"},
		{SystemANPR, "AF4145AS", RuleLength, ""},
		{SystemANPR, "A141450AS", RuleCharacters, ""},
		{SystemPermit, "I00000001", RuleSystem, ""},
		{SystemLocal, "SHOWER-17", RuleBody, ""},
		{"", "x", RuleSystem, ""},
		{"PASSPORT", "YA0000000", RuleSystem, ""},
	} {
		got, err := New(c.system, c.value)
		if RuleOf(err) != c.rule || c.rule != "" && !errors.Is(err, exchange.ErrBadID) {
			t.Errorf("%s: got %v, want %q", c.system, err, c.rule)
		}
		if got.Reveal() != c.want || c.want != "" && (got.System() != c.system || got.Body() != "") {
			t.Errorf("%s: another identifier came out", c.system)
		}
		if err != nil && c.value != "" && strings.Contains(err.Error(), strings.TrimSpace(c.value)) {
			t.Errorf("%s: the error quotes the value", c.system)
		}
		if (err != nil) != got.IsZero() {
			t.Errorf("%s: an error and an identifier, or neither", c.system)
		}
	}
}

func TestNewLocal(t *testing.T) {
	for _, c := range []struct {
		body  exchange.BodyID
		value string
		rule  Rule
		want  string
	}{
		{"oss_desk", "L-17", "", "L-17"},
		{"oss_desk", "  box 4, shelf b ", "", "box 4, shelf b"},
		{"oss_desk", "a-17", "", "a-17"}, // case is the body's own affair
		{"oss_desk", strings.Repeat("x", 32), "", strings.Repeat("x", 32)},
		{"oss_desk", strings.Repeat("x", 33), RuleLength, ""},
		{"oss_desk", "   ", RuleLength, ""},
		{"oss_desk", "a\tb", RuleCharacters, ""},
		{"oss_desk", "a\x00b", RuleCharacters, ""},
		{"oss_desk", "a\x7fb", RuleCharacters, ""},
		{"oss_desk", "città", RuleCharacters, ""},
		{"oss_desk", "a\u202eb", RuleCharacters, ""},
		{"oss_desk", "0000", RulePlaceholder, ""},
		{"oss_desk", "-/-", RulePlaceholder, ""},
		{"", "L-17", RuleBody, ""},
		{"OSS", "L-17", RuleBody, ""},
	} {
		got, err := NewLocal(c.body, c.value)
		if RuleOf(err) != c.rule || got.Reveal() != c.want {
			t.Errorf("%q of %q: got %v, want %q", c.value, c.body, err, c.rule)
		}
		if err == nil && (got.Body() != c.body || got.System() != SystemLocal) {
			t.Errorf("%q: scope lost", c.value)
		}
	}
}

func TestParseTaxCode(t *testing.T) {
	for value, want := range map[string]System{"RSSMRA68A01H501Y": SystemCF, "12345678903": SystemCFNum, "12345678903  ": SystemCFNum,
		"STP0900011234567": "", "123": "", "": ""} {
		got, err := ParseTaxCode(value)
		if got.System() != want || (err == nil) != (want != "") {
			t.Errorf("%d characters: %s, %v", len(value), got.System(), err)
		}
	}
}

func TestStrength(t *testing.T) {
	order := []System{SystemPermit, SystemLocal, SystemSTP, SystemCFNum, SystemCF, SystemANPR}
	for i := 1; i < len(order); i++ {
		if order[i].Strength() <= order[i-1].Strength() {
			t.Errorf("%s is not stronger than %s", order[i], order[i-1])
		}
	}
	if SystemENI.Strength() != SystemSTP.Strength() {
		t.Error("ENI and STP are not equal")
	}
	if SystemPermit.IsKey() || !SystemPermit.IsValid() || System("x").IsValid() {
		t.Error("PERMIT is a value of the schema and no key")
	}
}

// TestKey: different identifiers have different keys, whatever is in them.
func TestKey(t *testing.T) {
	local := func(body exchange.BodyID, v string) Identifier {
		id, err := NewLocal(body, v)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	anpr, err := New(SystemANPR, "AF41450AS")
	if err != nil {
		t.Fatal(err)
	}
	ids := []Identifier{anpr, local("a", "AF41450AS"), local("b", "AF41450AS"), local("a", "AF41450as"), local("aa", "F41450AS"),
		local("a", "a AF41450AS")}
	seen := map[string]int{}
	for i, id := range ids {
		if j, twice := seen[string(id.Key())]; twice {
			t.Errorf("identifiers %d and %d have one key", i, j)
		}
		seen[string(id.Key())] = i
		for j, other := range ids {
			if id.Same(other) != (i == j) {
				t.Errorf("identifiers %d and %d: Same is %t", i, j, id.Same(other))
			}
		}
	}
	// Golden: rows of the directory hang on these bytes.
	if got, want := string(anpr.Key()), "raccordo/person/1\x00ANPR\x00\x00AF41450AS"; got != want {
		t.Errorf("the key has changed: %q", got)
	}
	if got, want := string(local("oss_desk", "L-17").Key()), "raccordo/person/1\x00LOCAL\x00oss_desk\x00L-17"; got != want {
		t.Errorf("the key has changed: %q", got)
	}
}

// TestHidden: no print verb, logger or encoder shows an identifier, not even
// inside an unexported field.
func TestHidden(t *testing.T) {
	const canary = "RSSMRA68A01H501Y"
	cf, err := ParseCF(canary)
	if err != nil {
		t.Fatal(err)
	}
	id := cf.Identifier()
	type inside struct {
		id Identifier
		cf CF
		p  *Identifier
	}
	values := []any{id, &id, cf, &cf, inside{id, cf, &id}, &inside{id, cf, &id}, []Identifier{id}, map[string]CF{"x": cf},
		Request{Identifiers: []Identifier{id}}}
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	text := slog.New(slog.NewTextHandler(&out, nil))
	for _, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%c", "%U"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		log.Info("x", "v", v)
		text.Info("x", "v", v)
		b, err := json.Marshal(v)
		out.Write(b)
		fmt.Fprint(&out, err)
		_ = gob.NewEncoder(&out).Encode(v)
	}
	if out.Len() < 1000 {
		t.Fatal("nothing was printed")
	}
	for _, leak := range []string{canary, fmt.Sprintf("%x", canary), "RSSMRA", "\"CF\"", "CF_NUM"} {
		if strings.Contains(strings.ToUpper(out.String()), strings.ToUpper(leak)) {
			t.Errorf("%q was printed", leak)
		}
	}
}

func FuzzNew(f *testing.F) {
	for _, s := range []string{"RSSMRA68A01H501Y", "12345678903", "STP0900011234567", "AF41450AS", "L-17", "\xff", "ı", "ß"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		for _, s := range []System{SystemANPR, SystemCF, SystemCFNum, SystemENI, SystemSTP} {
			id, err := New(s, value)
			if err != nil {
				if RuleOf(err) == "" {
					t.Fatalf("an error without a rule: %v", err)
				}
				continue
			}
			again, err := New(s, id.Reveal())
			if err != nil || !again.Same(id) {
				t.Fatalf("the canonical form of %q is not canonical", value)
			}
			if cf, err := ParseCF(id.Reveal()); s == SystemCF && (err != nil || cf.Base().Warnings() == nil && cf.Base().IsOmocode()) {
				t.Fatalf("%q: base", value)
			}
		}
		if id, err := NewLocal("desk", value); err == nil && len(id.Reveal()) > 32 {
			t.Fatal("too long")
		}
	})
}

func TestGroup(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		subject := rapid.Custom(func(t *rapid.T) exchange.SubjectID {
			return exchange.SubjectID{byte(rapid.IntRange(0, 7).Draw(t, "s"))}
		})
		links := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Link {
			return Link{A: subject.Draw(t, "a"), B: subject.Draw(t, "b")}
		}), 0, 8).Draw(t, "links")
		// Oracle: a matrix of who reaches whom.
		var reach [8][8]bool
		for i := range 8 {
			reach[i][i] = true
		}
		for _, l := range links {
			reach[l.A[0]][l.B[0]], reach[l.B[0]][l.A[0]] = true, true
		}
		for k := range 8 {
			for i := range 8 {
				for j := range 8 {
					reach[i][j] = reach[i][j] || reach[i][k] && reach[k][j]
				}
			}
		}
		s := subject.Draw(t, "of")
		var want []exchange.SubjectID
		for j := range 8 {
			if reach[s[0]][j] {
				want = append(want, exchange.SubjectID{byte(j)})
			}
		}
		if got := Group(links, s); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}
