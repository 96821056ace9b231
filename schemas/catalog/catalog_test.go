package catalog

import (
	"encoding/csv"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"raccordo/hub/exchange"
	"raccordo/schemas"
)

func load(t testing.TB) *Catalog {
	t.Helper()
	c, err := Load()
	require.NoError(t, err)
	return c
}

// validate runs an example through gate, schema and checks.
func validate(t testing.TB, c *Catalog, dir, name string) (*schemas.Schema, exchange.Tree, []exchange.Fault) {
	t.Helper()
	src, err := FS.ReadFile("examples/" + dir + "/" + name)
	require.NoError(t, err)
	kind, _, _ := strings.Cut(name, ".")
	s := c.Latest(exchange.RecordType(kind)).Schema
	require.NotNil(t, s, kind)
	tree, warnings, err := schemas.NewGate(schemas.DefaultLimits(), s).Parse(src)
	require.NoError(t, err)
	require.Empty(t, warnings)
	return s, tree, s.Validate(tree)
}

func examples(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := fs.ReadDir(FS, "examples/"+dir)
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".json") {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestValidExamples(t *testing.T) {
	c := load(t)
	count := map[string]int{}
	for _, name := range examples(t, "valid") {
		kind, _, _ := strings.Cut(name, ".")
		count[kind]++
		_, _, faults := validate(t, c, "valid", name)
		require.Empty(t, faults, name)
	}
	for _, kind := range c.Types() {
		require.GreaterOrEqual(t, count[string(kind)], 3, kind)
	}
}

func TestInvalidExamples(t *testing.T) {
	c := load(t)
	f, err := FS.Open("examples/invalid/expected.csv")
	require.NoError(t, err)
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows[1:], len(examples(t, "invalid")), "an example without an expectation, or the other way round")
	count := map[string]int{}
	for _, row := range rows[1:] {
		kind, _, _ := strings.Cut(row[0], ".")
		count[kind]++
		_, _, faults := validate(t, c, "invalid", row[0])
		require.Contains(t, faults, exchange.Fault{Pointer: exchange.Pointer(row[1]), Rule: row[2]}, row[0])
		require.Error(t, schemas.Refusal(faults), row[0])
	}
	for _, kind := range c.Types() {
		require.GreaterOrEqual(t, count[string(kind)], 8, kind)
	}
}

func TestPersonsOfARequest(t *testing.T) {
	s, tree, _ := validate(t, load(t), "valid", "service_request.family_bed.json")
	persons := s.Persons(tree)
	require.Len(t, persons, 3)
	require.Equal(t, schemas.Person{Place: "/for/0", Principal: true,
		Identifiers: []exchange.Pointer{"/for/0/identifiers/0", "/for/0/identifiers/1"}}, persons[0])
	require.Equal(t, schemas.Person{Place: "/for/2", Identifiers: []exchange.Pointer{"/for/2/identifiers/0"}}, persons[2])
	for _, p := range persons {
		for _, id := range p.Identifiers {
			require.NotEmpty(t, tree.Text(id.Append("system")))
		}
	}
	s, tree, _ = validate(t, load(t), "valid", "social_benefit.home_care_sina.json")
	require.Equal(t, []schemas.Person{{Place: "/subject", Principal: true,
		Identifiers: []exchange.Pointer{"/subject/0", "/subject/1"}}}, s.Persons(tree))
}

// Without the categories of health nothing of the SINA part that speaks about
// health or disability is left.
func TestMinimiseBenefit(t *testing.T) {
	c := load(t)
	s, tree, _ := validate(t, c, "valid", "social_benefit.home_care_sina.json")
	var permitted exchange.CategorySet
	for _, row := range c.Categories().All() {
		if row.Special == Ordinary {
			permitted = permitted.With(row.Number)
		}
	}
	out, dropped := s.Minimise(tree, permitted, nil)
	_, there := out.At("/sina")
	require.False(t, there)
	require.Contains(t, dropped, exchange.Pointer("/sina/social_needs/1"))
	require.Contains(t, dropped, exchange.Pointer("/user_area"))
	require.Equal(t, "A2.17", out.Text("/siuss_code"))
	require.True(t, s.Categories(out, nil).Within(permitted))
	_, there = tree.At("/sina/mobility")
	require.True(t, there, "the tree that came in was changed")
}

// The value of a code list decides: the service itself may be health data.
func TestMinimiseByCodeValue(t *testing.T) {
	c := load(t)
	s, tree, _ := validate(t, c, "valid", "service_request.health_accompaniment_stp.json")
	health, _ := c.Categories().ByName("Health")
	values := func(path, value string) (set exchange.CategorySet) {
		if path == "/service" && value == "ACCOMP_HEALTH" || path == "/accompaniment/kind" && value == "HEALTH" {
			set = set.With(health.Number)
		}
		return set
	}
	permitted := s.Categories(tree, nil).Minus(exchange.NewCategorySet(health.Number))
	out, dropped := s.Minimise(tree, permitted, values)
	require.Equal(t, []exchange.Pointer{"/accompaniment/kind", "/accompaniment/place", "/service"}, dropped)
	require.Empty(t, out.Text("/service"))
	require.True(t, s.Categories(tree, values).Has(health.Number))
	require.False(t, s.Categories(out, values).Has(health.Number))
}

// Numbers stand in ledgers: this table only ever grows at its end.
func TestCategoryNumbersAreFixed(t *testing.T) {
	table := load(t).Categories()
	for name, number := range map[string]exchange.Category{
		"NonPersonal": 1, "Name": 2, "OfficialID": 3, "BirthDate": 4, "Residency": 8, "FinancialStatus": 21,
		"Health": 32, "Disability": 36, "Criminal": 37, "Social": 41, "Gender": 42,
	} {
		c, ok := table.ByName(name)
		require.True(t, ok, name)
		require.Equal(t, number, c.Number, name)
	}
	require.Len(t, table.All(), 42)
	require.Equal(t, []string{"Name", "Health", "category_99"}, table.Names(exchange.NewCategorySet(2, 32, 99)))
	require.Equal(t, 5, table.Special(Article9).Len())
	require.Equal(t, 2, table.Special(Criminal).Len())
}

// Every category but the first is a term of the W3C vocabulary file.
func TestCategoriesAreDPVTerms(t *testing.T) {
	terms := sharedFile(t, "codes/dpv_terms.csv")
	for _, c := range load(t).Categories().All() {
		if c.Name == "NonPersonal" || c.Name == "Gender" { // of DPV, not in the extract
			continue
		}
		require.Contains(t, terms, c.IRI+",", c.Name)
	}
}

// sharedFile reads a file of ../shared/data, beside the module.
func sharedFile(t *testing.T, name string) string {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if filepath.Dir(dir) == dir {
			t.Skip("no module root above")
		}
		dir = filepath.Dir(dir)
	}
	b, err := os.ReadFile(filepath.Join(dir, "..", "shared", "data", name))
	if err != nil {
		t.Skipf("%s is not there", name)
	}
	return string(b)
}

func TestLatest(t *testing.T) {
	c := load(t)
	require.Equal(t, "1.0.0", c.Latest("service_request").Version)
	require.Same(t, c.Latest("service_request").Schema, c.Schema("service_request", "1.0.0"))
	require.Nil(t, c.Schema("service_request", "9.9.9"))
	require.Nil(t, c.Latest("person_identity").Schema)
	require.True(t, newer("1.10.0", "1.9.3"))
	require.False(t, newer("1.0.0", "1.0.0"))
}

func BenchmarkRecord(b *testing.B) {
	c := load(b)
	src, err := FS.ReadFile("examples/valid/service_request.family_bed.json")
	require.NoError(b, err)
	s := c.Latest("service_request").Schema
	gate := schemas.NewGate(schemas.DefaultLimits(), s)
	tree, _, err := gate.Parse(src)
	require.NoError(b, err)
	all := exchange.CategorySet{^uint64(0), ^uint64(0)}
	name, _ := c.Categories().ByName("Name")
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(src)))
		for b.Loop() {
			_, _, _ = gate.Parse(src)
		}
	})
	b.Run("parse_without_keys", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = schemas.Parse(src, schemas.DefaultLimits())
		}
	})
	b.Run("validate", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Validate(tree)
		}
	})
	b.Run("minimise_nothing", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Minimise(tree, all, nil)
		}
	})
	b.Run("minimise_names", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Minimise(tree, all.Minus(exchange.NewCategorySet(name.Number)), nil)
		}
	})
	b.Run("persons", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Persons(tree)
		}
	})
}
