package endpoints

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"raccordo/connectors"
	"raccordo/connectors/webhook"
	"raccordo/deploy/networks"
	"raccordo/hub/exchange"
)

func reticulate(t *testing.T) fs.FS {
	t.Helper()
	all, err := networks.FS()
	require.NoError(t, err)
	return all["reticulate"]
}

func TestOverrideChangesOnlyWhatIsNamed(t *testing.T) {
	base := reticulate(t)
	called, err := Of(base)
	require.NoError(t, err)
	require.Contains(t, called, exchange.SystemID("sisoc_livorno"))
	require.NotContains(t, called, exchange.SystemID("arti_livorno"), "a mailbox is not called")

	got, err := Override(base, map[exchange.SystemID]string{"sisoc_livorno": "http://127.0.0.1:4711/in"})
	require.NoError(t, err)
	count := 0
	require.NoError(t, fs.WalkDir(got, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		before, err := fs.ReadFile(base, name)
		require.NoError(t, err)
		after, err := fs.ReadFile(got, name)
		require.NoError(t, err)
		if string(before) != string(after) {
			count++
			require.Equal(t, "bodies/comune_livorno.yaml", name)
			require.Contains(t, string(after), "endpoint: http://127.0.0.1:4711/in")
			require.NotContains(t, string(after), "sisoc.comune-livorno.example")
			require.Equal(t, strings.Count(string(before), "kind:"), strings.Count(string(after), "kind:"))
		}
		return nil
	}))
	require.Equal(t, 1, count)
}

// What comes out is accepted by the connector it is for.
func TestOverriddenSettingsAreValid(t *testing.T) {
	base := reticulate(t)
	called, err := Of(base)
	require.NoError(t, err)
	addresses := map[exchange.SystemID]string{}
	for _, id := range called {
		addresses[id] = "http://127.0.0.1:4711/" + string(id)
	}
	got, err := Override(base, addresses)
	require.NoError(t, err)
	set, err := connectors.NewSet(webhook.Kind())
	require.NoError(t, err)
	kind, _ := set.Kind("webhook")
	files, err := fs.Glob(got, "bodies/*.yaml")
	require.NoError(t, err)
	seen := 0
	for _, name := range files {
		b, err := fs.ReadFile(got, name)
		require.NoError(t, err)
		for id, n := range settings(parse(t, b)) {
			_, faults := kind.Decode(n)
			require.Empty(t, faults, id)
			seen++
		}
	}
	require.Equal(t, len(called), seen)
}

func TestOverrideRefuses(t *testing.T) {
	base := reticulate(t)
	for name, addresses := range map[string]map[exchange.SystemID]string{
		"unknown system":   {"nobody": "http://127.0.0.1:1/"},
		"not called":       {"arti_livorno": "http://127.0.0.1:1/"},
		"without a port":   {"sisoc_livorno": "http://127.0.0.1/"},
		"no URL":           {"sisoc_livorno": "here"},
		"one of two wrong": {"sisoc_livorno": "http://127.0.0.1:1/", "nobody": "http://127.0.0.1:1/"},
	} {
		_, err := Override(base, addresses)
		require.Error(t, err, name)
	}
	_, err := Override(fstest.MapFS{"bodies/a.yaml": {Data: []byte("a: [")}}, map[exchange.SystemID]string{"a": "http://127.0.0.1:1/"})
	require.Error(t, err)
}

func parse(t *testing.T, b []byte) *yaml.Node {
	t.Helper()
	var doc yaml.Node
	require.NoError(t, yaml.Unmarshal(b, &doc))
	return &doc
}
