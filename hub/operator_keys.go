package hub

import (
	"context"
	"slices"

	"raccordo/hub/access"
	"raccordo/hub/control"
	"raccordo/hub/exchange"
	"raccordo/hub/keys"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
)

func (o *operator) AddKey(ctx context.Context, q control.KeyRequest) (control.System, error) {
	s := o.h.Network().System(q.System)
	if s == nil || s.Client == "" {
		return control.System{}, exchange.NewError(exchange.CodeNotFound, exchange.ReasonNotFound, "the network has no such system, or it has no client id")
	}
	key, err := access.ParseKey(q.Key)
	if err != nil {
		return control.System{}, exchange.NewError(exchange.CodeInvalid, exchange.ReasonParameter,
			"the key must be an RSA public key of at least 2048 bits, as JWK or PEM").Because(err)
	}
	jwk, err := key.JWK()
	if err != nil {
		return control.System{}, err
	}
	err = o.h.store.Side(ctx, func(tx store.SideTx) error {
		return tx.PutClientKey(store.ClientKey{ClientID: s.Client, System: s.ID, KeyID: key.KID, JWK: jwk, AddedAt: o.h.opt.Clock.Now().UnixMilli()})
	})
	if err != nil {
		return control.System{}, err
	}
	list, err := o.ListSystems(ctx, control.Nothing{})
	if err != nil {
		return control.System{}, err
	}
	i := slices.IndexFunc(list.Systems, func(x control.System) bool { return x.System == q.System })
	return list.Systems[i], nil
}

func (o *operator) ListSystems(ctx context.Context, _ control.Nothing) (control.Systems, error) {
	out := control.Systems{TokenEndpoint: o.h.TokenEndpoint()}
	var rows []store.ClientKey
	err := o.h.store.View(ctx, func(tx store.ReadTx) (err error) {
		rows, err = tx.ClientKeys()
		return err
	})
	if err != nil {
		return out, err
	}
	for _, s := range o.h.Network().Systems() {
		x := control.System{System: s.ID, Body: s.Body.ID, Client: s.Client, Keys: []string{}, Produces: []string{},
			Receives: s.Connector.Kind, Purposes: map[string]string{}}
		for id, p := range s.Purposes {
			x.Purposes[id] = string(p)
		}
		for _, k := range s.Keys {
			if key, err := access.ParseKey([]byte(k)); err == nil { // else it was refused with the network
				x.Keys = append(x.Keys, key.KID)
			}
		}
		for _, k := range rows {
			if k.System == s.ID && !slices.Contains(x.Keys, k.KeyID) {
				x.Keys = append(x.Keys, k.KeyID)
			}
		}
		for t := range s.Produces {
			x.Produces = append(x.Produces, string(t))
		}
		slices.Sort(x.Produces)
		out.Systems = append(out.Systems, x)
	}
	return out, nil
}

func (o *operator) RotateKeys(ctx context.Context, q control.RotateRequest) (control.Entry, error) {
	if err := o.up(ctx); err != nil {
		return control.Entry{}, err
	}
	switch q.Keys {
	case "digest":
		_, err := o.h.keys.RotateDigest()
		return control.Entry{}, err
	case "voucher":
		return control.Entry{}, o.h.rotateVoucher()
	case "signing":
	default:
		return control.Entry{}, exchange.NewError(exchange.CodeInvalid, exchange.ReasonParameter, "keys are signing, digest or voucher")
	}
	r, err := o.h.keys.RotateSigning()
	if err != nil {
		return control.Entry{}, err
	}
	return o.h.announce(ctx, r)
}

func (h *Hub) announce(ctx context.Context, r keys.Rotation) (control.Entry, error) {
	fact, err := exchange.EncodeFact(exchange.KeyFact{Key: r.New, Announcement: r.Announcement})
	if err != nil {
		return control.Entry{}, err
	}
	res, err := h.writer.Submit(ctx, &ledger.Item{Decide: func(*ledger.State) (*ledger.Change, error) {
		return &ledger.Change{Draft: &ledger.Draft{Kind: exchange.KindSigningKey, Fact: fact}}, nil
	}})
	if err != nil {
		return control.Entry{}, err
	}
	return entry(res), h.keys.ActivateSigning(r.New)
}

func (h *Hub) rotateVoucher() error {
	if h.voucherSet == nil {
		return exchange.NewError(exchange.CodeConflict, exchange.ReasonConfiguration, "another issuer makes the vouchers; its keys are in vouchers.jwks")
	}
	if err := h.keys.RotateVoucher(); err != nil {
		return err
	}
	return h.useVoucherKeys()
}
