package hub

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"raccordo/hub/control"
	"raccordo/hub/exchange"
)

func (o *operator) Checkpoint(ctx context.Context, _ control.Nothing) (control.Checkpoint, error) {
	note, err := o.h.signer.Sign(ctx)
	return control.Checkpoint{Note: string(note), Keys: o.h.keys.VerifierKeys()}, err
}

func (o *operator) Export(ctx context.Context, q control.ExportRequest) (control.Exported, error) {
	if _, err := o.h.signer.Sign(ctx); err != nil {
		return control.Exported{}, err
	}
	if err := os.MkdirAll(q.Dir, 0o755); err != nil {
		return control.Exported{}, unwritable(err)
	}
	root, err := os.OpenRoot(q.Dir)
	if err != nil {
		return control.Exported{}, unwritable(err)
	}
	got, err := o.h.reader.Export(ctx, root)
	if errors.Is(err, fs.ErrExist) {
		err = exchange.NewError(exchange.CodeConflict, exchange.ReasonParameter, "the directory holds an export already; give an empty one").Because(err)
	}
	err = errors.Join(err, root.Close())
	vkeys := o.h.keys.VerifierKeys()
	return control.Exported{Entries: got.Entries, Key: vkeys[len(vkeys)-1]}, err
}

func unwritable(err error) error {
	return exchange.NewError(exchange.CodeConflict, exchange.ReasonParameter, "the hub cannot write to that directory; give a new or empty one").Because(err)
}

func (o *operator) Prove(ctx context.Context, q control.ProofRequest) (control.Proof, error) {
	p, err := o.h.reader.Prove(ctx, q.Seq, q.TreeSize, q.Row)
	if err != nil {
		return control.Proof{}, err
	}
	out := control.Proof{Seq: p.Seq, TreeSize: p.TreeSize, Leaf: p.Leaf, Hashes: hashes(p.Hashes), Checkpoint: string(p.Checkpoint)}
	if p.Row != nil {
		out.Row, out.RowHashes = p.Row.Row, hashes(p.Row.Hashes)
	}
	return out, nil
}
