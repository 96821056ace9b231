package api

import (
	"context"
	"math"
	"net/http"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

func (a *API) readCheckpoint(ctx context.Context, _ *call) (*answer, error) {
	b, err := a.o.Ledger.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	return &answer{status: http.StatusOK, media: "text/plain; charset=utf-8", cache: noCache, body: b}, nil
}

func (a *API) readTile(ctx context.Context, c *call) (*answer, error) {
	path := c.r.PathValue("tile_path")
	// A data tile would hold whole entries; those are proved one by one.
	if tile, err := tlog.ParseTilePath("tile/" + path); err != nil || tile.L < 0 || strings.Contains(path, "data") {
		return nil, errNotFound
	}
	b, err := a.o.Ledger.Tile(ctx, path)
	if err != nil {
		return nil, err
	}
	return &answer{status: http.StatusOK, media: "application/octet-stream", cache: cacheTile, body: b}, nil
}

type proofJSON struct {
	Entry      uint64        `json:"seq"`
	TreeSize   uint64        `json:"tree_size"`
	Header     []byte        `json:"entry"`
	Hashes     [][]byte      `json:"hashes"`
	Checkpoint string        `json:"checkpoint"`
	Row        *rowProofJSON `json:"row,omitempty"`
}

type rowProofJSON struct {
	Index  int      `json:"index"`
	Row    []byte   `json:"row"`
	Hashes [][]byte `json:"hashes"`
}

// maxRow is far above the rows an entry can hold.
const maxRow = 99_999

func (a *API) proveEntry(ctx context.Context, c *call) (*answer, error) {
	seq, err := digits(c.r.PathValue("seq"))
	if err != nil || seq > maxExact {
		return nil, errNotFound
	}
	r := ProofRequest{Entry: seq}
	if r.TreeSize, _, err = c.number("tree_size", 1, maxExact); err != nil {
		return nil, err
	}
	row, there, err := c.number("row", 0, min(maxRow, math.MaxInt32))
	if err != nil {
		return nil, err
	}
	if there {
		index := int(row)
		r.Row = &index
	}
	p, err := a.o.Ledger.Proof(ctx, c.caller, r)
	if err != nil {
		return nil, err
	}
	out := proofJSON{Entry: p.Entry, TreeSize: p.TreeSize, Header: p.Header, Hashes: hashes(p.Hashes), Checkpoint: p.Checkpoint}
	if p.Row != nil {
		out.Row = &rowProofJSON{p.Row.Index, p.Row.Row, hashes(p.Row.Hashes)}
	}
	return asJSON(http.StatusOK, out)
}

func hashes(in [][]byte) [][]byte {
	if in == nil {
		return [][]byte{}
	}
	return in
}
