package person

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// vectors are those of two MIT-licensed libraries (shared data,
// codice-fiscale/vectors.json; their sources are named there).
type vectors struct {
	Encode []struct {
		FamilyName string `json:"family_name"`
		GivenName  string `json:"given_name"`
		Sex        string `json:"sex"`
		BirthDate  string `json:"birth_date"`
		Place      string `json:"birth_place_belfiore"`
		TaxCode    string `json:"tax_code"`
	} `json:"encode"`
	Family   [][2]string `json:"family_name_part"`
	Given    [][2]string `json:"given_name_part"`
	Check    [][2]string `json:"check_char"`
	Omocodia []struct {
		TaxCode   string `json:"tax_code"`
		IsOmocode bool   `json:"is_omocode"`
		Base      string `json:"base"`
	} `json:"omocodia"`
	Valid        []string    `json:"valid"`
	Invalid      [][2]string `json:"invalid"`
	PlaceUnknown [][2]string `json:"check_ok_but_place_unknown"`
	Numeric      []struct {
		Value string `json:"value"`
		Valid bool   `json:"valid"`
	} `json:"numeric_11"`
	Health []struct {
		Value string `json:"value"`
		OK    bool   `json:"format_ok"`
	} `json:"stp_eni"`
}

// sharedData is the directory of facts beside the module, if it is there.
func sharedData(t *testing.T, name string) []byte {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the package")
		}
		dir = filepath.Dir(dir)
	}
	b, err := os.ReadFile(filepath.Join(filepath.Dir(dir), "shared", "data", name))
	if err != nil {
		t.Skip("the shared data are not beside the module")
	}
	return b
}

func TestVectors(t *testing.T) {
	var v vectors
	if err := json.Unmarshal(sharedData(t, "codice-fiscale/vectors.json"), &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Encode) == 0 || len(v.Family) == 0 || len(v.Given) == 0 || len(v.Check) == 0 || len(v.Omocodia) == 0 ||
		len(v.Valid) == 0 || len(v.Invalid) == 0 || len(v.PlaceUnknown) == 0 || len(v.Numeric) == 0 || len(v.Health) == 0 {
		t.Fatal("a part of the vectors is missing")
	}
	for _, e := range v.Encode {
		born, err := time.Parse(time.DateOnly, e.BirthDate)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Encode(Particulars{e.FamilyName, e.GivenName, e.Sex == "F", born, e.Place})
		if err != nil || got.Reveal() != e.TaxCode {
			t.Errorf("%s: %s, %v", e.TaxCode, got.Reveal(), err)
			continue
		}
		want := Birth{born.Year() % 100, born.Month(), born.Day(), e.Sex == "F", e.Place}
		if b := got.Birth(); b != want {
			t.Errorf("%s: birth %v", e.TaxCode, b)
		}
		if w := got.Warnings(); len(w) > 0 {
			t.Errorf("%s: warnings %v", e.TaxCode, w)
		}
	}
	for _, p := range v.Family {
		if got := FamilyNamePart(p[0]); got != p[1] {
			t.Errorf("family name %s: %s", p[0], got)
		}
	}
	for _, p := range v.Given {
		if got := GivenNamePart(p[0]); got != p[1] {
			t.Errorf("given name %s: %s", p[0], got)
		}
	}
	for _, p := range v.Check {
		if got, err := CheckCharacter(p[0]); err != nil || string(got) != p[1] {
			t.Errorf("check character of %s: %c, %v", p[0], got, err)
		}
	}
	for _, o := range v.Omocodia {
		cf, err := ParseCF(o.TaxCode)
		if err != nil {
			t.Errorf("%s: %v", o.TaxCode, err)
			continue
		}
		if cf.IsOmocode() != o.IsOmocode || cf.Base().Reveal() != o.Base {
			t.Errorf("%s: omocode %t, base %s", o.TaxCode, cf.IsOmocode(), cf.Base().Reveal())
		}
		if o.IsOmocode && cf.Identifier().Same(cf.Base().Identifier()) {
			t.Errorf("%s: two omocodes are one person", o.TaxCode)
		}
		if slices.Contains(cf.Warnings(), WarnOmocode) != o.IsOmocode {
			t.Errorf("%s: warnings %v", o.TaxCode, cf.Warnings())
		}
	}
	for _, s := range v.Valid {
		if _, err := ParseCF(s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, p := range v.Invalid {
		if _, err := ParseCF(p[0]); err == nil {
			t.Errorf("%s (%s) was accepted", p[0], p[1])
		}
	}
	for _, p := range v.PlaceUnknown { // not known here: no error, and no warning either
		if _, err := ParseCF(p[0]); err != nil {
			t.Errorf("%s: %v", p[0], err)
		}
	}
	for _, n := range v.Numeric {
		if _, err := New(SystemCFNum, n.Value); (err == nil) != n.Valid {
			t.Errorf("%s: %v", n.Value, err)
		}
	}
	for _, h := range v.Health {
		_, stp := New(SystemSTP, h.Value)
		_, eni := New(SystemENI, h.Value)
		if (stp == nil || eni == nil) != h.OK || stp == nil && eni == nil {
			t.Errorf("%s: %v, %v", h.Value, stp, eni)
		}
	}
}

func TestParseCFRules(t *testing.T) {
	for first, rule := range map[string]Rule{
		"RSSMRA68A01H501": "",
		"RSSMRA68A00H501": RuleDay, "RSSMRA68A32H501": RuleDay, "RSSMRA68A40H501": RuleDay, "RSSMRA68A72H501": RuleDay,
		"RSSMRA68A31H501": "", "RSSMRA68A41H501": "", "RSSMRA68A71H501": "",
		"RSSMRA68F01H501": RuleMonth, "RSSMRA68I01H501": RuleMonth, "RSSMRA68Z01H501": RuleMonth,
		"RSSMR068A01H501": RuleCharacters, "RSSMRA6ZA01H501": RuleCharacters, "RSSMRA68A01-501": RuleCharacters,
		"RSSMRA68101H501": RuleCharacters, "RSSMRA68A01H5O1": RuleCharacters,
		"RSSMRALUALMHRLM": "",
	} {
		check := byte('A')
		if c, err := CheckCharacter(first); err == nil {
			check = c
		}
		if _, err := ParseCF(first + string(check)); RuleOf(err) != rule {
			t.Errorf("%s: %v, want %q", first, err, rule)
		}
	}
	if _, err := ParseCF("RSSMRA68A01H5011"); RuleOf(err) != RuleCharacters {
		t.Errorf("a digit as check character: %v", err)
	}
}

func TestWarnings(t *testing.T) {
	for first, want := range map[string][]Warning{
		"RSSMRA68B29H501": nil,                      // 1968 was a leap year
		"RSSMRA00B29H501": nil,                      // 2000 was, 1900 was not
		"RSSMRA67B29H501": {WarnDay},                // neither 1967 nor 2067
		"RSSMRA67D71H501": {WarnDay},                // 31 April, a woman
		"RSSMRA67L31Z000": {WarnPlace},              //
		"RSSMRA67L31Z050": {WarnPlace},              //
		"RSSMRA67L31Z110": nil,                      //
		"RSSMRA67L31H000": {WarnPlace},              //
		"RSSMRA67L3MH501": {WarnOmocode},            //
		"RSSMRA67L31ZLR0": {WarnOmocode, WarnPlace}, // Z060 in omocodia
	} {
		check, err := CheckCharacter(first)
		if err != nil {
			t.Fatal(err)
		}
		cf, err := ParseCF(first + string(check))
		if err != nil {
			t.Errorf("%s: %v", first, err)
			continue
		}
		if got := cf.Warnings(); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", first, got, want)
		}
	}
}

func drawCF(t *rapid.T) CF {
	name := rapid.StringMatching(`[A-Za-zàèòù' ]{0,12}`)
	cf, err := Encode(Particulars{
		FamilyName: name.Draw(t, "family"), GivenName: name.Draw(t, "given"), Female: rapid.Bool().Draw(t, "female"),
		Born:  time.Date(1920, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, rapid.IntRange(0, 40_000).Draw(t, "day")),
		Place: rapid.StringMatching(`[A-MZ][1-9][0-9]{2}`).Draw(t, "place"),
	})
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	return cf
}

// TestCFProperties: each of the 128 omocodes of a code is valid and leads back
// to it, and no other check character is.
func TestCFProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cf := drawCF(t)
		v := []byte(cf.Reveal()[:15])
		set := rapid.IntRange(0, 127).Draw(t, "set")
		for i, p := range digitPositions {
			if set>>i&1 == 1 {
				v[p] = omocodiaLetters[v[p]-'0']
			}
		}
		check, err := CheckCharacter(string(v))
		if err != nil {
			t.Fatal(err)
		}
		omocode, err := ParseCF(strings.ToLower(string(v)) + string(check))
		if err != nil {
			t.Fatalf("omocode %d: %v", set, err)
		}
		if omocode.IsOmocode() != (set != 0) || omocode.Base().Reveal() != cf.Reveal() || omocode.Birth() != cf.Birth() {
			t.Fatalf("omocode %d does not lead back", set)
		}
		wrong := byte('A' + (check-'A'+byte(rapid.IntRange(1, 25).Draw(t, "off")))%26)
		if _, err := ParseCF(string(v) + string(wrong)); RuleOf(err) != RuleCheck {
			t.Fatalf("a wrong check character: %v", err)
		}
	})
}

// TestSingleErrors: the check character notices every single wrong character,
// in whatever position.
func TestSingleErrors(t *testing.T) {
	const good = "RSSMRA68A01H501Y"
	for i := range len(good) {
		for _, c := range []byte("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
			bad := []byte(good)
			bad[i] = c
			if string(bad) == good {
				continue
			}
			if _, err := ParseCF(string(bad)); err == nil {
				t.Errorf("position %d as %c was not noticed", i+1, c)
			}
		}
	}
}

func TestEncodeBad(t *testing.T) {
	born := time.Date(1968, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, place := range []string{"", "H50", "H5011", "5501", "HH01"} {
		if _, err := Encode(Particulars{"Prova", "Uno", false, born, place}); err == nil {
			t.Errorf("place %q was accepted", place)
		}
	}
}
