package network

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"raccordo/hub/exchange"
)

const (
	canonicalEntry = "- {record_type: service_request, class: prompt}"
	formatEntry    = "- {record_type: service_request, class: bulk, format: asked, mapping: asked_in}"
)

// own declares places on their own line, so that a fault is held to it.
func own(entry, places string) []change {
	return []change{{desk, entry, strings.TrimSuffix(entry, "}") + ",\n        own: " + places + "}"}}
}

func TestBrokenOwn(t *testing.T) {
	runBroken(t, []broken{
		{"no list", own(formatEntry, "{path: /id, equals: D1}"), desk, "own:", "must be a list"},
		{"no path", own(formatEntry, "[{equals: D1}]"), desk, "own:", `"path" is missing`},
		{"no name", own(formatEntry, "[{path: /id}]"), desk, "own:", `"equals" is missing`},
		{"unknown key", own(formatEntry, "[{path: /id, equal: D1}]"), desk, "own:", `unknown key "equal"`},
		{"a number", own(formatEntry, "[{path: /id, equals: 49009}]"), desk, "own:", "must be text, not a number"},
		{"twice", own(formatEntry, "[{path: /id, equals: D1}, {path: /id, equals: D2}]"), desk, "own:", "there twice"},
		{"the whole record", own(formatEntry, `[{path: "", equals: D1}]`), desk, "own:", "must not be empty"},
		{"no pointer", own(formatEntry, "[{path: id, equals: D1}]"), desk, "own:", `format asked has no "id"`},
		{"unknown place", own(formatEntry, "[{path: /ente, equals: D1}]"), desk, "own:", `format asked has no "/ente"`},
		{"too long a name", own(formatEntry, "[{path: /id, equals: "+strings.Repeat("x", 33)+"}]"), desk, "own:", "it is too long"},
		{"no text", own(canonicalEntry, "[{path: /requested_by, equals: D1}]"), desk, "own:", `"/requested_by" of the canonical service_request holds no text`},
		{"a number's place", own(canonicalEntry, "[{path: /bed/nights, equals: D1}]"), desk, "own:", "holds no text"},
		{"in a list", own(canonicalEntry, "[{path: /for/*/family_name, equals: D1}]"), desk, "own:", "below a list"},
		{"not in the enumeration", own(canonicalEntry, "[{path: /urgency, equals: D1}]"), desk, "own:", "it is none of"},
		{"not of the pattern", own(canonicalEntry, "[{path: /requested_by/body/ipa_code, equals: D-1}]"), desk, "own:", "it does not match"},
	})
}

// Where a record names a body it is the sender's; where it names none, or the
// place is not declared, nothing is refused. A fault never says what was found.
func TestForeign(t *testing.T) {
	files := small(t)
	apply(t, files, own(formatEntry, "[{path: /id, equals: D1}, {path: /note, equals: N1}]"))
	n, faults := loadSmall(t, files)
	require.Empty(t, faults)
	p := n.System("desk_export").Produces["service_request"]
	for text, want := range map[string][]exchange.Pointer{
		`{"id":"D1","note":"N1"}`: nil,
		`{"id":"D1"}`:             nil,
		`{"id":"d1"}`:             {"/id"},
		`{"id":"D1 ","note":"X"}`: {"/id", "/note"},
		`{"id":"D1","note":""}`:   {"/note"},
	} {
		var faults []exchange.Fault
		for _, at := range want {
			faults = append(faults, exchange.Fault{Pointer: at, Rule: RuleNotOwnBody})
		}
		require.Equal(t, faults, p.Foreign(tree(t, text)), text)
	}
	require.Empty(t, n.System("desk_system").Produces["service_request"].Foreign(tree(t, `{"id":"D9"}`)), "nothing is declared")
}

// Every producer of the network whose format names the body says which is its own.
func TestReticulateOwn(t *testing.T) {
	places := map[exchange.FormatID]exchange.Pointer{"desk_request": "/ente", "siuss_ps_psa_sina": "/identificazione_flusso/ente/codice"}
	found := 0
	for _, s := range reticulate(t).Systems() {
		for _, p := range s.Produces {
			place, ok := places[p.Format]
			if !ok {
				require.Empty(t, p.Format, "%s: a format of which this test knows nothing", s.ID)
				continue
			}
			want := string(s.Body.ID)
			if p.Format == "siuss_ps_psa_sina" {
				if want = s.Body.Municipality; want == "" {
					want = "E202" // of the SdS Grossetana, which is no municipality
				}
			}
			require.Equal(t, []OwnName{{place, want}}, p.Own, s.ID)
			found++
		}
	}
	require.Equal(t, 7, found)
}
