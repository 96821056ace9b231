package crashtest_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The binary that is run has no failpoints: they exist under a build tag only.
func TestReleaseHasNoFailpoints(t *testing.T) {
	for tags, want := range map[string]bool{"": false, "faults": true} {
		out := filepath.Join(t.TempDir(), "raccordo")
		if b, err := exec.Command("go", "build", "-tags", tags, "-o", out, "raccordo/cmd/raccordo").CombinedOutput(); err != nil {
			t.Fatalf("build: %v: %s", err, b)
		}
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if got := bytes.Contains(b, []byte("FAILPOINT_FATAL_TEXT")); got != want {
			t.Errorf("tags %q: failpoints in the binary: %v", tags, got)
		}
	}
}
