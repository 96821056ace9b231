// Package networks holds the networks that come with the binary, so that a hub
// can be tried without a file at hand: a configuration names one of them as
// builtin:NAME.
//
// It guarantees that what is embedded is the directory beside this file, byte
// for byte: `raccordo check deploy/networks/reticulate` and
// `raccordo check builtin:reticulate` look at the same files. A network of
// one's own starts as a copy of such a directory; nothing is compiled again.
//
// It refuses to interpret anything: package network loads and checks.
package networks

import (
	"embed"
	"fmt"
	"io/fs"
)

//go:embed all:reticulate
var files embed.FS

// FS are the built-in networks by name, each rooted at its own directory.
func FS() (map[string]fs.FS, error) {
	out := map[string]fs.FS{}
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("built-in networks: %w", err)
	}
	for _, e := range entries {
		sub, err := fs.Sub(files, e.Name())
		if err != nil {
			return nil, fmt.Errorf("built-in network %s: %w", e.Name(), err)
		}
		out[e.Name()] = sub
	}
	return out, nil
}
