package api

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSpectral runs spectral:oas at level warn. The tool is installed with
//
//	npm install --prefix .tools --ignore-scripts @stoplight/spectral-cli@6.16.3
func TestSpectral(t *testing.T) {
	tool, err := filepath.Abs("../../.tools/node_modules/.bin/spectral")
	require.NoError(t, err)
	if _, err := os.Stat(tool); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("spectral is not installed in .tools, and in CI it must be")
		}
		t.Skip("spectral is not installed in .tools")
	}
	if testing.Short() {
		t.Skip("spectral takes seconds")
	}
	out, err := exec.CommandContext(t.Context(), tool, "lint", "-F", "warn", "-r", "oas.yml", "openapi.yaml").CombinedOutput()
	require.NoError(t, err, string(out))
}
