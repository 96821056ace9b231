package network_test

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"raccordo/connectors"
	"raccordo/connectors/mailbox"
	"raccordo/connectors/waas"
	"raccordo/connectors/webhook"
	"raccordo/hub/network"
	"raccordo/schemas/catalog"
)

// kinds shows the connector kinds to the network as the hub does.
type kinds struct{ set *connectors.Set }

func (k kinds) CheckConnector(kind string, settings *yaml.Node) []network.Fault {
	found, ok := k.set.Kind(kind)
	if !ok {
		return []network.Fault{{Message: "no such kind of connector"}}
	}
	_, faults := found.Decode(settings)
	var out []network.Fault
	for _, f := range faults {
		out = append(out, network.Fault{Line: f.Line, Path: string(f.Pointer), Message: f.Rule})
	}
	return out
}

// Every connector of the built-in network has settings its kind takes.
func TestReticulateConnectors(t *testing.T) {
	set, err := connectors.NewSet(webhook.Kind(), mailbox.Kind(), waas.Kind())
	require.NoError(t, err)
	c, err := catalog.Load()
	require.NoError(t, err)
	n, faults := network.Load(os.DirFS("../../deploy/networks/reticulate"),
		network.Options{Catalog: c, Kinds: kinds{set}, Now: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)})
	for _, f := range faults {
		t.Error(f)
	}
	require.NotNil(t, n)
	for _, f := range n.Flows() {
		k, ok := set.Kind(f.RecipientSystem.Connector.Kind)
		require.True(t, ok)
		require.True(t, k.HasSink() || k.HasOutlet())
	}
}

func TestConnectorFaults(t *testing.T) {
	set, err := connectors.NewSet(mailbox.Kind())
	require.NoError(t, err)
	c, err := catalog.Load()
	require.NoError(t, err)
	n, faults := network.Load(os.DirFS("../../deploy/networks/reticulate"), network.Options{Catalog: c, Kinds: kinds{set}})
	require.Nil(t, n)
	require.NotEmpty(t, faults)
	for _, f := range faults {
		require.Equal(t, "no such kind of connector", f.Message)
		require.Regexp(t, `^bodies/.*\.yaml$`, f.File)
		require.Positive(t, f.Line)
	}
}
