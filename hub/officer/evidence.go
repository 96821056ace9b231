package officer

import (
	"context"
	"errors"

	"raccordo/consent"
	"raccordo/hub/exchange"
	"raccordo/hub/keys"
	"raccordo/hub/store"
)

// EvidenceID is under which id the store keeps the evidence that a consent
// event commits to. Each event has its own: a renewal does not take the place of
// what proves the first yes. It is sealed with the commitment as additional
// data, and holds the salt (32 bytes) before the evidence.
func EvidenceID(commitment exchange.Digest) exchange.ConsentID {
	return exchange.ConsentID(commitment[:16])
}

// keepEvidence seals what proves a decision and makes it durable before the
// entry that commits to it, so that no entry lacks its evidence; only the salted
// commitment goes into the ledger. Nothing is kept for what would be refused.
func (r *Register) keepEvidence(ctx context.Context, q *consent.GiveRequest, e exchange.Payload, step transition) (exchange.Digest, error) {
	if e.Len() == 0 {
		return exchange.Digest{}, nil
	}
	f, err := r.facts(ctx, q.Scope.Subject)
	if err != nil {
		return exchange.Digest{}, err
	}
	if _, err := step(f); err != nil {
		return exchange.Digest{}, err
	}
	salt, err := consent.NewSalt(r.opt.Rand)
	if err != nil {
		return exchange.Digest{}, unavailable(err)
	}
	c := consent.Commit(salt, e)
	sealed, err := r.opt.Sealer.Seal(keys.PlaceEvidence, r.opt.Clock.Now(), append(salt[:], e.Reveal()...), c[:])
	if err != nil {
		return exchange.Digest{}, unavailable(err)
	}
	if err := r.putEvidence(ctx, c, sealed); err != nil {
		return exchange.Digest{}, unavailable(err)
	}
	q.Act.Commitment = c
	return c, nil
}

// dropEvidence empties what no entry commits to, where that is certain: the
// state had changed since it was looked at. Evidence left behind is sealed and
// nobody's, so that a failure here changes nothing.
func (r *Register) dropEvidence(ctx context.Context, c exchange.Digest, why error) {
	var e *exchange.Error
	if c == (exchange.Digest{}) || !errors.As(why, &e) || e.Code != exchange.CodeConflict && e.Code != exchange.CodeInvalid {
		return
	}
	_ = r.putEvidence(ctx, c, nil)
}

func (r *Register) putEvidence(ctx context.Context, c exchange.Digest, sealed []byte) error {
	return r.opt.Store.Side(ctx, func(tx store.SideTx) error { return tx.PutEvidence(EvidenceID(c), sealed) })
}
