package hub

import (
	"context"
	"errors"
	"fmt"
	"os"

	"raccordo/hub/control"
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
		return control.Exported{}, fmt.Errorf("export: %w", err)
	}
	root, err := os.OpenRoot(q.Dir)
	if err != nil {
		return control.Exported{}, fmt.Errorf("export: %w", err)
	}
	got, err := o.h.reader.Export(ctx, root)
	err = errors.Join(err, root.Close())
	vkeys := o.h.keys.VerifierKeys()
	return control.Exported{Entries: got.Entries, Key: vkeys[len(vkeys)-1]}, err
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
