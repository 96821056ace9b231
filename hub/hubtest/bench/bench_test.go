package bench

import (
	"encoding/json"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	duration  = flag.Duration("duration", time.Second, "how long each scenario pushes")
	scenarios = flag.String("scenarios", "single,ndjson500", "which ones, separated by commas")
	directory = flag.String("dir", "", "where data directories are made: on the disk to be measured")
	backlog   = flag.Int64("backlog", 10_000, "disclosures that may be under way; 0: as fast as intake takes them")
	out       = flag.String("out", "", "file for the reports as JSON")
)

// The path holds its balance under load, and says how fast it was. The second
// it takes by default measures little; make bench takes longer.
func TestPath(t *testing.T) {
	if testing.Short() {
		t.Skip("a benchmark")
	}
	chosen := strings.Split(*scenarios, ",")
	var reports []Report
	for _, s := range []Scenario{{"single", 1, 64}, {"ndjson500", 500, 4}} {
		if !slices.Contains(chosen, s.Name) {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			r := Run(t, s, Options{Duration: *duration, Dir: *directory, Backlog: *backlog})
			require.Positive(t, r.Records)
			reports = append(reports, r)
			t.Logf("\n%s", r)
			if *duration >= 3*time.Minute { // caches of fixed size are full by then
				require.Less(t, r.MemoryLate, r.MemoryEarly*5/4+32<<20, "memory grows while load does not")
			}
		})
	}
	require.NotEmpty(t, reports, "no such scenario: %s", *scenarios)
	if *out == "" {
		return
	}
	b, err := json.MarshalIndent(reports, "", "  ")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(*out, append(b, '\n'), 0o644))
}
