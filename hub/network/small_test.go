package network

import (
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
)

// small is the test network as a map of files, so that a test can break one.
func small(t testing.TB) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{}
	dir := os.DirFS("testdata/small")
	require.NoError(t, fs.WalkDir(dir, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(dir, name)
		files[name] = &fstest.MapFile{Data: b}
		return err
	}))
	return files
}

var testNow = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

func loadSmall(t testing.TB, files fstest.MapFS) (*Network, []Fault) {
	t.Helper()
	return Load(files, Options{Catalog: testCatalog(t), Now: testNow})
}

// edit replaces one text of a file, which must be there exactly once, and
// answers the line it stands in.
func edit(t testing.TB, files fstest.MapFS, name, old, replacement string) int {
	t.Helper()
	f, ok := files[name]
	require.True(t, ok, "no file %s", name)
	s := string(f.Data)
	require.Equal(t, 1, strings.Count(s, old), "%q in %s", old, name)
	i := strings.Index(s, old)
	files[name] = &fstest.MapFile{Data: []byte(s[:i] + replacement + s[i+len(old):])}
	return 1 + strings.Count(s[:i], "\n")
}

func TestSmallLoads(t *testing.T) {
	n, faults := loadSmall(t, small(t))
	require.Empty(t, faults)
	require.Len(t, n.Flows(), 3)
}
