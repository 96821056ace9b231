package networks

import (
	"io/fs"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is embedded is what stands beside this file, hidden files included.
func TestBuiltInNetworksAreTheDirectories(t *testing.T) {
	all, err := FS()
	require.NoError(t, err)
	require.Contains(t, all, "reticulate")
	for name, fsys := range all {
		read := func(fsys fs.FS) map[string]string {
			out := map[string]string{}
			require.NoError(t, fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				b, err := fs.ReadFile(fsys, p)
				out[p] = string(b)
				return err
			}))
			return out
		}
		want := read(os.DirFS(name))
		require.NotEmpty(t, want)
		require.Equal(t, want, read(fsys))
	}
}
