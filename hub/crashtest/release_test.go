package crashtest_test

import (
	"os/exec"
	"strings"
	"testing"
)

// The binary that is run has no failpoints: no file that has any is compiled
// into it. Under their tag there is one, so that looking for them would find it.
func TestReleaseHasNoFailpoints(t *testing.T) {
	for tags, want := range map[string]bool{"": false, "faults": true} {
		b, err := exec.Command("go", "list", "-tags", tags, "-deps", "-f", "{{if not .Standard}}{{range .GoFiles}}{{.}} {{end}}{{end}}", "raccordo/cmd/raccordo").CombinedOutput()
		if err != nil {
			t.Fatalf("go list: %v: %s", err, b)
		}
		files := strings.Fields(string(b))
		if len(files) < 100 {
			t.Fatalf("%d files are no binary", len(files))
		}
		found := false
		for _, f := range files {
			found = found || f == "failpoint_faults.go"
		}
		if found != want {
			t.Errorf("tags %q: failpoints in the binary: %v", tags, found)
		}
	}
}
