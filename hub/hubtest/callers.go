package hubtest

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"raccordo/hub/client"
	"raccordo/hub/control"
	"raccordo/hub/exchange"
)

type caller struct {
	system  exchange.SystemID
	purpose exchange.PurposeID
}

// As is a client that calls in the name of a system, for the first of its
// purposes; its key is brought in at the first call.
func (h *Hub) As(system exchange.SystemID) *client.Client {
	h.tb.Helper()
	return h.AsFor(system, "")
}

// AsFor is As for one purpose.
func (h *Hub) AsFor(system exchange.SystemID, purpose exchange.PurposeID) *client.Client {
	h.tb.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	who := caller{system, purpose}
	if c := h.callers[who]; c != nil {
		return c
	}
	s := h.Network().System(system)
	require.NotNil(h.tb, s, "the network has no system %s", system)
	der, err := x509.MarshalPKIXPublicKey(h.key.Public())
	require.NoError(h.tb, err)
	_, err = control.Call[control.System](context.Background(), h.Control, "system/add-key", control.KeyRequest{System: system,
		Key: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})})
	require.NoError(h.tb, err)
	var id string
	for _, x := range slices.Sorted(maps.Keys(s.Purposes)) {
		if purpose == "" || s.Purposes[x] == purpose {
			id = x
			break
		}
	}
	require.NotEmpty(h.tb, id, "%s has no such purpose", system)
	now := time.Now
	if h.options.Clock != nil {
		now = h.options.Clock.Now
	}
	c, err := client.New(client.Options{URL: h.URL(), ClientID: s.Client, PurposeID: id, Key: h.key, Now: now, Random: rand.Reader})
	require.NoError(h.tb, err)
	h.callers[who] = c
	return c
}

// Push hands one record over, under a key of its own, and fails the test if it
// is refused.
func (h *Hub) Push(system exchange.SystemID, t exchange.RecordType, body string) exchange.RecordID {
	h.tb.Helper()
	ack, err := h.TryPush(system, t, "application/json", body)
	require.NoError(h.tb, err)
	return *ack.Lines[0].Record
}

// TryPush is Push for whoever wants the refusal, or another media type.
func (h *Hub) TryPush(system exchange.SystemID, t exchange.RecordType, media, body string) (*client.Acknowledgement, error) {
	h.tb.Helper()
	c := h.As(system)
	h.mu.Lock()
	h.pushes++
	key := fmt.Sprintf("push-%s-%d", h.run, h.pushes)
	h.mu.Unlock()
	return c.Push(context.Background(), client.Push{Type: t, Key: key, MediaType: media, Body: exchange.NewPayload([]byte(body))})
}

// Fetch takes what is in a system's mailbox and acknowledges it.
func (h *Hub) Fetch(system exchange.SystemID) []client.Item {
	h.tb.Helper()
	c := h.As(system)
	page, err := c.Fetch(context.Background(), 0)
	require.NoError(h.tb, err)
	acks := make([]client.ItemAcknowledgement, len(page.Items))
	for i, x := range page.Items {
		acks[i].Disclosure = x.Disclosure
	}
	if len(acks) > 0 {
		_, err = c.Acknowledge(context.Background(), acks...)
		require.NoError(h.tb, err)
	}
	return page.Items
}

// Call asks for an operation over the control socket and fails the test if it
// is refused.
func Call[Out, In any](h *Hub, op string, in In) Out {
	h.tb.Helper()
	out, err := control.Call[Out](context.Background(), h.Control, op, in)
	require.NoError(h.tb, err)
	return out
}
