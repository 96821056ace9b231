package hub

import (
	"context"

	"raccordo/connectors"
	"raccordo/hub/access"
	"raccordo/hub/exchange"
	"raccordo/hub/network"
	"raccordo/hub/store"
)

// claims defers to the deliverer, which is made after the connectors.
type claims struct{ h *Hub }

func (c claims) Fetch(ctx context.Context, r connectors.FetchRequest) (connectors.FetchResult, error) {
	if err := c.h.writable(); err != nil {
		return connectors.FetchResult{}, err
	}
	return c.h.deliverer.Fetch(ctx, r)
}

func (c claims) Acknowledge(ctx context.Context, r connectors.AckRequest) ([]connectors.AckResult, error) {
	if err := c.h.writable(); err != nil {
		return nil, err
	}
	return c.h.deliverer.Acknowledge(ctx, r)
}

// clientKeys reads systems' keys from the store.
type clientKeys struct{ store store.Store }

func (c clientKeys) SystemKey(ctx context.Context, system exchange.SystemID, kid string) ([]byte, error) {
	var out []byte
	err := c.store.View(ctx, func(tx store.ReadTx) error {
		keys, err := tx.ClientKeys()
		for _, k := range keys {
			if k.System == system && k.KeyID == kid {
				out = k.JWK
			}
		}
		return err
	})
	return out, err
}

// clients are the systems of a network as vouchers name them.
func clients(n *network.Network) []access.Client {
	var out []access.Client
	for _, s := range n.Systems() {
		if s.Client == "" {
			continue
		}
		c := access.Client{ID: s.Client, System: s.ID, Body: s.Body.ID, ConsumerID: s.Body.Consumer, Purposes: s.Purposes}
		for _, k := range s.Keys {
			if key, err := access.ParseKey([]byte(k)); err == nil {
				c.Keys = append(c.Keys, key)
			}
		}
		out = append(out, c)
	}
	return out
}
