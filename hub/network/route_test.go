package network

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"raccordo/hub/exchange"
	"raccordo/hub/gate"
	"raccordo/schemas"
)

var update = flag.Bool("update", false, "write golden files anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(file, got, 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
}

func tree(t testing.TB, text string) exchange.Tree {
	t.Helper()
	out, err := schemas.Parse([]byte(text), schemas.DefaultLimits())
	require.NoError(t, err)
	return out
}

// request is a canonical service request of an obviously synthetic person.
func request(t testing.TB, service, urgency string) exchange.Tree {
	t.Helper()
	return tree(t, `{"recorded_at": "2026-03-01T10:00:00Z", "service": "`+service+`", "urgency": "`+urgency+`",
		"requested_at": "2026-03-01T10:00:00Z", "requested_by": {"body": {"ipa_code": "desk"}}, "state": "SENT",
		"for": [{"identifiers": [{"system": "LOCAL", "value": "X-1"}]}]}`)
}

func ids(flows []*Flow) []string {
	out := []string{}
	for _, f := range flows {
		out = append(out, string(f.ID))
	}
	return out
}

func TestRouteReticulate(t *testing.T) {
	n := reticulate(t)
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	type roles = []exchange.Role
	for _, x := range []struct {
		desk             exchange.SystemID
		service, urgency string
		flows            []string
		nobody           roles
	}{
		{"oss_livorno_desk", "BED", "EMERGENCY", []string{"livorno_provider_bed_emergency", "livorno_social_bed_emergency"}, nil},
		{"oss_livorno_desk", "BED", "URGENT", []string{"livorno_provider_bed", "livorno_social_bed"}, nil},
		{"oss_livorno_desk", "BED", "ROUTINE", []string{"livorno_provider_bed", "livorno_social_bed"}, nil},
		{"oss_livorno_desk", "HYGIENE", "ROUTINE", []string{"livorno_provider"}, nil},
		{"oss_livorno_desk", "HYGIENE", "EMERGENCY", []string{"livorno_provider"}, nil},
		{"oss_livorno_desk", "LUGGAGE", "ROUTINE", []string{"livorno_provider"}, nil},
		{"oss_livorno_desk", "IT_SERVICES", "ROUTINE", []string{"livorno_provider"}, nil},
		{"oss_livorno_desk", "JOB_GUIDANCE", "ROUTINE", []string{"livorno_work"}, nil},
		{"oss_livorno_desk", "RESIDENCE_GUIDANCE", "ROUTINE", []string{"livorno_registry", "livorno_social"}, nil},
		{"oss_livorno_desk", "ACCOMP_SOCIAL", "ROUTINE", []string{"livorno_provider", "livorno_social"}, nil},
		{"oss_livorno_desk", "ACCOMP_LEGAL", "ROUTINE", []string{"livorno_provider"}, nil},
		{"oss_livorno_desk", "ACCOMP_HEALTH", "ROUTINE", []string{"livorno_provider"}, roles{exchange.RoleHealthService}},
		{"oss_capannori_desk", "ACCOMP_HEALTH", "ROUTINE", []string{"capannori_provider"}, roles{exchange.RoleHealthService}},
		{"oss_capannori_desk", "JOB_GUIDANCE", "ROUTINE", []string{"capannori_work"}, nil},
		{"oss_pistoia_desk", "ACCOMP_HEALTH", "ROUTINE", []string{"pistoia_health", "pistoia_provider"}, nil},
		{"oss_pistoia_desk", "BED", "EMERGENCY", []string{"pistoia_provider_bed_emergency", "pistoia_sds", "pistoia_social_bed_emergency"}, nil},
		{"oss_pistoia_desk", "JOB_GUIDANCE", "ROUTINE", []string{"pistoia_work"}, nil},
		{"oss_grosseto_desk", "ACCOMP_HEALTH", "ROUTINE", []string{"grosseto_health", "grosseto_provider"}, nil},
		{"oss_grosseto_desk", "JOB_GUIDANCE", "ROUTINE", []string{}, roles{exchange.RoleEmploymentService}},
		{"oss_grosseto_desk", "RESIDENCE_GUIDANCE", "ROUTINE", []string{"grosseto_social"}, roles{exchange.RoleRegistryOffice}},
	} {
		t.Run(string(x.desk)+" "+x.service+" "+x.urgency, func(t *testing.T) {
			flows, nobody, err := n.Route(n.System(x.desk), "service_request", request(t, x.service, x.urgency), at)
			require.NoError(t, err)
			require.Equal(t, x.flows, ids(flows))
			require.Equal(t, x.nobody, nobody)
		})
	}
}

func TestRouteBenefits(t *testing.T) {
	n := reticulate(t)
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	for system, flow := range map[exchange.SystemID]string{
		"contributi_livorno": "siuss_livorno", "prestazioni_capannori": "siuss_capannori", "contributi_pistoia": "siuss_pistoia",
		"sds_pistoiese_sociale": "siuss_sds_pistoiese", "sds_grossetana_sociale": "siuss_sds_grossetana",
	} {
		flows, nobody, err := n.Route(n.System(system), "social_benefit", tree(t, `{}`), at)
		require.NoError(t, err)
		require.Equal(t, []string{flow}, ids(flows))
		require.Empty(t, nobody)
		require.Equal(t, exchange.ClassBulk, flows[0].Class)
	}
}

func TestRouteRefuses(t *testing.T) {
	n, faults := loadSmall(t, small(t))
	require.Empty(t, faults)
	desk := n.System("desk_system")
	day := func(m time.Month, d int) time.Time { return time.Date(2026, m, d, 12, 0, 0, 0, time.UTC) }
	for _, x := range []struct {
		name    string
		typ     exchange.RecordType
		record  exchange.Tree
		at      time.Time
		code    exchange.Code
		pointer exchange.Pointer
		rule    string
	}{
		{"a service nobody knows", "service_request", request(t, "TALK", "ROUTINE"), day(3, 1), exchange.CodeInvalid, "/service", "unknown_service"},
		{"a service that is over", "service_request", request(t, "CARE", "ROUTINE"), time.Date(2027, 1, 1, 12, 0, 0, 0, time.UTC), exchange.CodeInvalid, "/service", "service_not_in_force"},
		{"a service that has not begun", "service_request", request(t, "CARE", "ROUTINE"), time.Date(2025, 12, 31, 12, 0, 0, 0, time.UTC), exchange.CodeInvalid, "/service", "service_not_in_force"},
		{"no service", "service_request", tree(t, `{}`), day(3, 1), exchange.CodeInvalid, "/service", "unknown_service"},
		{"a type it does not produce", "social_benefit", tree(t, `{}`), day(3, 1), exchange.CodeForbidden, "", ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			flows, _, err := n.Route(desk, x.typ, x.record, x.at)
			require.Empty(t, flows)
			e := exchange.AsError(err)
			require.Equal(t, x.code, e.Code)
			if x.rule == "" {
				require.Empty(t, e.Faults)
				return
			}
			require.Equal(t, []exchange.Fault{{Pointer: x.pointer, Rule: x.rule}}, e.Faults)
		})
	}
}

// Days are days in Rome: the last one ends there, not in Greenwich.
func TestRouteDays(t *testing.T) {
	n, faults := loadSmall(t, small(t))
	require.Empty(t, faults)
	desk := n.System("desk_system")
	route := func(at time.Time) ([]string, []exchange.Role, error) {
		flows, nobody, err := n.Route(desk, "service_request", request(t, "CARE", "ROUTINE"), at)
		return ids(flows), nobody, err
	}
	// The health service ends on 30 June in Rome (two hours ahead): 21:59:59Z is in it.
	flows, nobody, err := route(time.Date(2026, 6, 30, 21, 59, 59, 0, time.UTC))
	require.NoError(t, err)
	require.Equal(t, []string{"house", "ward"}, flows)
	require.Empty(t, nobody)
	flows, nobody, err = route(time.Date(2026, 6, 30, 22, 0, 0, 0, time.UTC))
	require.NoError(t, err)
	require.Equal(t, []string{"house"}, flows)
	require.Equal(t, []exchange.Role{exchange.RoleHealthService}, nobody)
	// The service is offered until 31 December in Rome (one hour ahead).
	_, _, err = route(time.Date(2026, 12, 31, 22, 59, 59, 0, time.UTC))
	require.NoError(t, err)
	_, _, err = route(time.Date(2026, 12, 31, 23, 0, 0, 0, time.UTC))
	require.Error(t, err)
	// Nobody holds the desk's role before it begins.
	files := small(t)
	edit(t, files, "bodies/desk.yaml", "from: 2026-01-01", "from: 2026-05-01")
	n, faults = loadSmall(t, files)
	require.Empty(t, faults)
	flowList, nobody, err := n.Route(n.System("desk_system"), "service_request", request(t, "WALK", "ROUTINE"), testNow)
	require.NoError(t, err)
	require.Empty(t, flowList)
	require.Equal(t, []exchange.Role{exchange.RoleServiceProvider}, nobody)
}

// A condition that runs into its bounds decides nothing.
func TestRouteConditionFails(t *testing.T) {
	files := small(t)
	edit(t, files, north, `record.urgency == "EMERGENCY"`, `record.urgency > 3`)
	n, faults := loadSmall(t, files)
	require.Empty(t, faults)
	_, _, err := n.Route(n.System("desk_system"), "service_request", request(t, "BED", "EMERGENCY"), testNow)
	e := exchange.AsError(err)
	require.Equal(t, exchange.CodeInvalid, e.Code)
	require.NotContains(t, err.Error(), "X-1")
}

func TestInForce(t *testing.T) {
	rome, err := time.LoadLocation("Europe/Rome")
	require.NoError(t, err)
	day := func(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, rome) }
	for name, x := range map[string]struct {
		changes []change
		want    gate.Period
	}{
		"from the last signature":      {nil, gate.Period{From: day(2026, 2, 1), Until: day(2027, 1, 1)}},
		"cut where it ended":           {[]change{{accord, "valid:", "ended: 2026-02-20\nvalid:"}}, gate.Period{From: day(2026, 2, 1), Until: day(2026, 2, 21)}},
		"ended before the last signed": {[]change{{accord, "valid:", "ended: 2026-01-20\nvalid:"}}, gate.Period{}},
		"open":                         {[]change{{accord, ", until: 2026-12-31}", "}"}}, gate.Period{From: day(2026, 2, 1)}},
		"a draft":                      {[]change{{accord, ", signed: 2026-02-01", ""}}, gate.Period{}},
		"summer time":                  {[]change{{accord, "until: 2026-12-31", "until: 2026-03-29"}}, gate.Period{From: day(2026, 2, 1), Until: day(2026, 3, 30)}},
	} {
		t.Run(name, func(t *testing.T) {
			files := small(t)
			apply(t, files, x.changes)
			n, faults := loadSmall(t, files)
			require.Empty(t, faults)
			c := n.Clause("to_house")
			require.True(t, c.InForce.From.Equal(x.want.From) && c.InForce.Until.Equal(x.want.Until), "%v", c.InForce)
			require.Equal(t, name == "a draft", c.Agreement.Draft())
			if x.want.From.IsZero() {
				require.False(t, c.InForce.Contains(testNow))
			}
		})
	}
}

func TestAdoptionGolden(t *testing.T) {
	n, faults := loadSmall(t, small(t))
	require.Empty(t, faults)
	fact := n.Adoption()
	fact.Network = exchange.Digest{} // moves with every file; TestDigest holds it
	b, err := exchange.EncodeFact(fact)
	require.NoError(t, err)
	var again exchange.AdoptionFact
	require.NoError(t, exchange.DecodeFact(b, &again))
	pretty, err := json.MarshalIndent(fact, "", " ")
	require.NoError(t, err)
	golden(t, "adoption.golden.json", append(pretty, '\n'))
}

func TestDigest(t *testing.T) {
	digest := func(files fstest.MapFS) exchange.Digest {
		n, faults := loadSmall(t, files)
		require.Empty(t, faults)
		return n.Digest
	}
	first := digest(small(t))
	require.Equal(t, first, digest(small(t)))
	dated := small(t)
	for _, f := range dated {
		f.ModTime = testNow
	}
	require.Equal(t, first, digest(dated), "times do not count")
	noted := small(t)
	noted["README.md"] = &fstest.MapFile{Data: []byte("for people")}
	noted[".git/config"] = &fstest.MapFile{Data: []byte("x")}
	require.Equal(t, first, digest(noted), "what is not read does not count")
	changed := small(t)
	edit(t, changed, "purposes.yaml", "law_ref: a law", "law_ref: the law")
	require.NotEqual(t, first, digest(changed))
	moved := small(t)
	moved["bodies/housing.yaml"] = moved["bodies/house.yaml"]
	delete(moved, "bodies/house.yaml")
	require.NotEqual(t, first, digest(moved), "paths count")
}

func BenchmarkRoute(b *testing.B) {
	n := reticulate(b)
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	desk := n.System("oss_livorno_desk")
	for _, x := range [][2]string{{"HYGIENE", "ROUTINE"}, {"BED", "EMERGENCY"}} {
		record := request(b, x[0], x[1])
		b.Run(x[0], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := n.Route(desk, "service_request", record, at); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPresent(b *testing.B) {
	n := reticulate(b)
	f := n.Flow("livorno_provider")
	record := request(b, "HYGIENE", "ROUTINE")
	b.ReportAllocs()
	for b.Loop() {
		if f.Present(record).Empty() {
			b.Fatal("nothing present")
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		reticulate(b)
	}
}
