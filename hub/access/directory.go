package access

import (
	"context"
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"sync/atomic"

	"raccordo/hub/exchange"
)

// ErrUnknownClient says that a client id, or a key of it, is not known.
var ErrUnknownClient = errors.New("client or key is not known")

// Client is a system as vouchers name it.
type Client struct {
	ID         string // PDND's client id, a UUID
	System     exchange.SystemID
	Body       exchange.BodyID
	ConsumerID string                        // PDND's id of the body
	Purposes   map[string]exchange.PurposeID // PDND's purposeId -> ours: what this client may ask for
	Keys       []Key                         // declared in the network; others are rows of the store
}

// Keys finds the public key under which a client signs its assertions.
// Unknown clients and unknown keys are [ErrUnknownClient]; anything else means
// that the answer is not known.
type Keys interface {
	ClientKey(ctx context.Context, clientID, kid string) (crypto.PublicKey, exchange.SystemID, error)
}

// Clients finds what a client id stands for; [ErrUnknownClient] if nothing.
type Clients interface {
	Client(ctx context.Context, clientID string) (Client, error)
}

// KeyRows reads the keys that `raccordo system add-key` stored. A system
// without that key is no error: the result is nil.
type KeyRows interface {
	SystemKey(ctx context.Context, system exchange.SystemID, kid string) (jwk []byte, err error)
}

// Directory knows the clients of one network, with the keys declared there
// and those of the store. It is safe for concurrent use.
type Directory struct {
	rows    KeyRows
	clients atomic.Pointer[map[string]Client]
}

var (
	_ Keys    = (*Directory)(nil)
	_ Clients = (*Directory)(nil)
)

// NewDirectory holds the given clients; rows may be nil where only declared
// keys count. An id that is not a UUID, or is there twice, is an error.
func NewDirectory(rows KeyRows, clients ...Client) (*Directory, error) {
	d := &Directory{rows: rows}
	return d, d.Replace(clients...)
}

// Replace swaps all clients at once, as a network reload does.
func (d *Directory) Replace(clients ...Client) error {
	m := make(map[string]Client, len(clients))
	for _, c := range clients {
		if !uuidShape.MatchString(c.ID) || !uuidShape.MatchString(c.ConsumerID) {
			return fmt.Errorf("system %s: client and consumer id must be lower-case UUIDs", c.System)
		}
		if _, twice := m[c.ID]; twice {
			return fmt.Errorf("system %s: client id is there twice", c.System)
		}
		for _, k := range c.Keys {
			if k.Public == nil || !usable(k.Public) || k.KID != Thumbprint(k.Public) {
				return fmt.Errorf("system %s: %w", c.System, ErrBadKey)
			}
		}
		m[c.ID] = c
	}
	d.clients.Store(&m)
	return nil
}

// Client implements [Clients].
func (d *Directory) Client(_ context.Context, clientID string) (Client, error) {
	c, ok := (*d.clients.Load())[clientID]
	if !ok {
		return Client{}, ErrUnknownClient
	}
	return c, nil
}

// ClientKey implements [Keys]: declared keys first, then the store's.
func (d *Directory) ClientKey(ctx context.Context, clientID, kid string) (crypto.PublicKey, exchange.SystemID, error) {
	c, err := d.Client(ctx, clientID)
	if err != nil || !kidShape.MatchString(kid) {
		return nil, "", ErrUnknownClient
	}
	for _, k := range c.Keys {
		if k.KID == kid {
			return k.Public, c.System, nil
		}
	}
	key, err := d.stored(ctx, c.System, kid)
	if err != nil {
		return nil, "", err
	}
	return key, c.System, nil
}

func (d *Directory) stored(ctx context.Context, system exchange.SystemID, kid string) (*rsa.PublicKey, error) {
	if d.rows == nil {
		return nil, ErrUnknownClient
	}
	row, err := d.rows.SystemKey(ctx, system, kid)
	if err != nil {
		return nil, fmt.Errorf("read key of system %s: %w", system, err)
	}
	if row == nil {
		return nil, ErrUnknownClient
	}
	k, err := ParseKey(row)
	if err != nil || k.KID != kid {
		return nil, fmt.Errorf("stored key of system %s: %w", system, ErrBadKey)
	}
	return k.Public, nil
}
