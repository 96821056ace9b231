package embedded_test

import (
	"log/slog"
	"testing"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/stretchr/testify/require"

	"raccordo/hub/exchange"
	"raccordo/hub/stream/embedded"
)

var testHub = exchange.HubID{1, 2, 3}

func openAt(t testing.TB, dir string, change ...func(*embedded.Options)) *embedded.Log {
	t.Helper()
	opt := embedded.Options{Dir: dir, Hub: testHub, SegmentBytes: 256 << 10, Logger: slog.New(slog.DiscardHandler)}
	for _, c := range change {
		c(&opt)
	}
	l, err := embedded.Open(opt)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

func subscriber(t testing.TB, l *embedded.Log, config embedded.SubscriberConfig) *embedded.Subscriber {
	t.Helper()
	s, err := l.Subscriber(config)
	require.NoError(t, err)
	return s
}

// Watermill's own suite. Delivery is at least once; there is no service to
// restart (the log lives in the process); the context of a published message is
// not stored. One message at a time is in flight for a group and topic, so the
// order holds with any number of subscribers, and is tested so.
func TestWatermillSuite(t *testing.T) {
	l := openAt(t, t.TempDir())
	withGroup := func(t *testing.T, group string) (message.Publisher, message.Subscriber) {
		return l.Publisher(), subscriber(t, l, embedded.SubscriberConfig{Group: group})
	}
	features := tests.Features{
		ConsumerGroups:  true,
		GuaranteedOrder: true,
		Persistent:      true,
	}
	t.Run("group", func(t *testing.T) {
		group := "suite-" + watermill.NewUUID()
		tests.TestPubSub(t, features, func(t *testing.T) (message.Publisher, message.Subscriber) {
			return withGroup(t, group)
		}, withGroup)
	})
	// Without a group each subscriber gets everything from the oldest message on,
	// hence in order for each of them.
	features.NewSubscriberReceivesOldMessages = true
	features.GuaranteedOrderWithSingleSubscriber = true
	t.Run("lanes", func(t *testing.T) {
		tests.TestPubSub(t, features, func(t *testing.T) (message.Publisher, message.Subscriber) {
			return l.Publisher(), subscriber(t, l, embedded.SubscriberConfig{})
		}, withGroup)
	})
}
