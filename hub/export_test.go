package hub

import (
	"context"

	"raccordo/hub/exchange"
	"raccordo/hub/keys"
	"raccordo/hub/keys/local"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
	"raccordo/hub/stream/embedded"
)

// What tests of a whole hub look at inside.

// Tidy is one round of upkeep.
func (h *Hub) Tidy(ctx context.Context) error { return h.tidy(ctx) }

// Store is the hub's store.
func (h *Hub) Store() store.Store { return h.store }

// Stream is the hub's stream.
func (h *Hub) Stream() *embedded.Log { return h.stream }

// Keyring is the hub's keys.
func (h *Hub) Keyring() *local.Keyring { return h.keys }

// Writer is the hub's committer.
func (h *Hub) Writer() *ledger.Writer { return h.writer }

// AnnounceOnly is a rotation of the signing key that is stopped before the new
// key counts.
func (h *Hub) AnnounceOnly(ctx context.Context, r keys.Rotation) error {
	fact, err := exchange.EncodeFact(exchange.KeyFact{Key: r.New, Announcement: r.Announcement})
	if err != nil {
		return err
	}
	_, err = h.writer.Submit(ctx, &ledger.Item{Decide: func(*ledger.State) (*ledger.Change, error) {
		return &ledger.Change{Draft: &ledger.Draft{Kind: exchange.KindSigningKey, Fact: fact}}, nil
	}})
	return err
}
