package hub

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"raccordo/hub/access"
	"raccordo/hub/exchange"
	"raccordo/hub/keys/local"
	"raccordo/hub/network"
	"raccordo/hub/store"
	"raccordo/hub/store/sqlite"
	"raccordo/hub/stream/embedded"
	"raccordo/schemas/catalog"
)

// edge is what the API needs from files: read before anything else, so that a
// fault in them is known before anything runs.
type edge struct {
	certificate *tls.Certificate // nil: plain, on loopback
	issuer      *access.KeySet   // nil: the hub's own vouchers
}

func (h *Hub) loadEdge(context.Context) error {
	if f := h.cfg.TLS; f.Certificate != "" {
		c, err := tls.LoadX509KeyPair(f.Certificate, f.Key)
		if err != nil {
			return fmt.Errorf("%w: tls: %w", ErrConfig, err)
		}
		h.edge.certificate = &c
	}
	if v := h.cfg.Vouchers; v.Issuer != "" {
		var err error
		if h.edge.issuer, err = issuerKeys(v.JWKS); err != nil {
			return err
		}
	}
	return nil
}

func (h *Hub) loadNetwork(context.Context) error {
	var err error
	if h.catalog, err = catalog.Load(); err != nil {
		return fmt.Errorf("catalogue: %w", err)
	}
	fsys := h.opt.Network
	if fsys == nil {
		if fsys, err = NetworkFS(h.cfg.Network, h.opt.Builtin); err != nil {
			return err
		}
	}
	n, faults := network.Load(fsys, network.Options{Catalog: h.catalog, Kinds: Kinds{h.opt.Kinds}, Now: h.opt.Clock.Now()})
	if len(faults) > 0 {
		return &NetworkError{faults}
	}
	h.plan.Store(newPlan(n, func(t exchange.RecordType) string { return h.catalog.Latest(t).Version }, h.metrics))
	return nil
}

func (h *Hub) openData(ctx context.Context) error {
	if err := os.MkdirAll(h.cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("%w: data_dir: %w", ErrConfig, err)
	}
	var err error
	h.store, err = sqlite.Open(ctx, sqlite.Options{Dir: h.cfg.DataDir, Rand: h.opt.Rand, Logger: h.log})
	if errors.Is(err, store.ErrInUse) {
		return fmt.Errorf("%w: %s", ErrInUse, h.cfg.DataDir)
	}
	if err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	h.onClose("store", func(context.Context) error { return h.store.Close() })
	h.stream, err = embedded.Open(embedded.Options{Dir: filepath.Join(h.cfg.DataDir, "stream"), Hub: h.store.Hub(),
		Lanes: h.cfg.Stream.Lanes, SegmentBytes: h.cfg.Stream.SegmentBytes, MaxBytes: h.cfg.Stream.MaxBytes, Logger: h.log, Random: h.opt.Rand})
	switch {
	case errors.Is(err, embedded.ErrForeign):
		return fmt.Errorf("open stream: %w: %w", store.ErrForeign, err)
	case errors.Is(err, embedded.ErrLanes):
		return fmt.Errorf("%w: stream.lanes: %w", ErrConfig, err)
	case err != nil:
		return fmt.Errorf("open stream: %w", err)
	}
	h.onClose("stream", func(context.Context) error { return h.stream.Close() })
	return nil
}

func (h *Hub) openKeys(ctx context.Context) error {
	size, err := h.size(ctx)
	if err != nil {
		return err
	}
	origin := h.cfg.Checkpoint.Origin
	if origin == "" {
		origin = "raccordo/" + h.store.Hub().String()
	}
	// A data directory that has a ledger and no keyring has lost it: a new one
	// could open nothing of it.
	h.keys, err = local.Open(local.Options{Path: filepath.Join(h.cfg.DataDir, "keyring"), Origin: origin, MustExist: size > 0,
		Clock: h.opt.Clock.Now, Rand: h.opt.Rand})
	if errors.Is(err, local.ErrOrigin) {
		return fmt.Errorf("%w: %w; or checkpoint.origin was changed, which is fixed once the ledger has begun", store.ErrForeign, err)
	}
	if err != nil {
		return err
	}
	return nil
}

func (h *Hub) size(ctx context.Context) (n uint64, err error) {
	err = h.store.View(ctx, func(tx store.ReadTx) error {
		head, err := tx.Head()
		n = head.Size
		return err
	})
	return n, err
}
