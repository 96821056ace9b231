package standard

import (
	"testing"

	"github.com/stretchr/testify/require"

	"raccordo/connectors"
	"raccordo/connectors/mailbox"
)

func TestKinds(t *testing.T) {
	set, err := connectors.NewSet(Kinds()...)
	require.NoError(t, err)
	require.Equal(t, []string{"mailbox", "waas", "webhook"}, set.Names())

	_, err = connectors.NewSet(append(Kinds(), mailbox.Kind())...)
	require.Error(t, err, "a kind of somebody else's under a name of ours")
}
