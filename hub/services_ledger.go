package hub

import (
	"context"

	"raccordo/hub/api"
	"raccordo/hub/exchange"
)

type proofs struct{ h *Hub }

func (p proofs) Checkpoint(ctx context.Context) ([]byte, error) { return p.h.reader.Checkpoint(ctx) }

func (p proofs) Tile(ctx context.Context, path string) ([]byte, error) {
	return p.h.reader.Tile(ctx, path)
}

// Proof proves an entry to anyone, a row only to whom it concerns.
func (p proofs) Proof(ctx context.Context, c api.Caller, r api.ProofRequest) (api.Proof, error) {
	if r.Row != nil {
		row, err := p.h.reader.Row(ctx, r.Entry, *r.Row)
		if err != nil {
			return api.Proof{}, err
		}
		if !p.concerns(c, row) {
			return api.Proof{}, exchange.NewError(exchange.CodeNotFound, exchange.ReasonNotFound, "")
		}
	}
	got, err := p.h.reader.Prove(ctx, r.Entry, r.TreeSize, r.Row)
	if err != nil {
		return api.Proof{}, err
	}
	out := api.Proof{Entry: got.Seq, TreeSize: got.TreeSize, Header: got.Leaf, Hashes: hashes(got.Hashes), Checkpoint: string(got.Checkpoint)}
	if got.Row != nil {
		out.Row = &api.RowProof{Index: got.Row.Index, Row: got.Row.Row, Hashes: hashes(got.Row.Hashes)}
	}
	return out, nil
}

// concerns: a row is shown to its recipient, once something may have been
// disclosed to it. A sender would learn from it why its record was not
// released, and a recipient that there was one (protocol.md 7).
func (p proofs) concerns(c api.Caller, row exchange.Row) bool {
	switch row.State {
	case exchange.StateClaimed, exchange.StateDelivered, exchange.StatePossiblyDelivered:
	default:
		return false
	}
	f := p.h.Network().FlowByNumber(row.Flow)
	return f != nil && f.Recipient.System == c.System
}

func hashes(in []exchange.Digest) [][]byte {
	out := make([][]byte, len(in))
	for i := range in {
		out[i] = in[i][:]
	}
	return out
}
