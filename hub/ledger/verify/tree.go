package verify

import (
	"golang.org/x/mod/sumdb/tlog"

	"raccordo/hub/exchange"
)

// frontier is the right edge of a Merkle tree (RFC 6962 section 2.1): the roots
// of its complete subtrees, the largest first. It needs no other hash.
type frontier struct {
	size  int64
	edges []tlog.Hash
}

func (f *frontier) append(leaf []byte) {
	h := tlog.RecordHash(leaf)
	for n := f.size; n&1 == 1; n >>= 1 {
		last := len(f.edges) - 1
		h = tlog.NodeHash(f.edges[last], h)
		f.edges = f.edges[:last]
	}
	f.edges = append(f.edges, h)
	f.size++
}

// root is the hash of the whole tree, zero for an empty one.
func (f *frontier) root() exchange.Digest {
	if len(f.edges) == 0 {
		return exchange.Digest{}
	}
	h := f.edges[len(f.edges)-1]
	for i := len(f.edges) - 2; i >= 0; i-- {
		h = tlog.NodeHash(f.edges[i], h)
	}
	return exchange.Digest(h)
}
