package network

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"raccordo/schemas/catalog"
)

const reticulateDir = "../../deploy/networks/reticulate"

func testCatalog(t testing.TB) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Load()
	require.NoError(t, err)
	return c
}

func reticulate(t testing.TB) *Network {
	t.Helper()
	n, faults := Load(os.DirFS(reticulateDir), Options{Catalog: testCatalog(t), Now: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)})
	for _, f := range faults {
		t.Error(f)
	}
	require.NotNil(t, n)
	return n
}

func TestReticulateLoads(t *testing.T) {
	n := reticulate(t)
	require.Equal(t, "reticulate", n.Name)
}
