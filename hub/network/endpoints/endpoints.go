// Package endpoints points recipients of a network to other addresses: those of
// simulated systems in the demo, of fakes in tests.
//
// It guarantees that nothing but the endpoint and the allow list of the named
// systems differs from the network it is given, so that what is shown or tested
// is the network as it stands in its files; the digest of the result is another
// one, because it is another network.
//
// It refuses systems that the network does not have or that are not called at
// an endpoint: an override that changed nothing would let a test call the real
// address.
package endpoints

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"raccordo/hub/exchange"
)

// Override is the network in fsys with the given systems called at other
// addresses: URLs with host and port, which may be plain http on loopback.
func Override(fsys fs.FS, addresses map[exchange.SystemID]string) (fs.FS, error) {
	out := &overlay{base: fsys, files: map[string][]byte{}}
	found := map[exchange.SystemID]bool{}
	files, err := fs.Glob(fsys, "bodies/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("override endpoints: %w", err)
	}
	for _, name := range files {
		src, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("override endpoints: %w", err)
		}
		changed, err := rewrite(src, addresses, found)
		if err != nil {
			return nil, fmt.Errorf("override endpoints: %s: %w", name, err)
		}
		if changed != nil {
			out.files[name] = changed
		}
	}
	var faults []error
	for id := range addresses {
		if !found[id] {
			faults = append(faults, fmt.Errorf("system %s is not called at an endpoint", id))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("override endpoints: %w", err)
	}
	return out, nil
}

// Of are the systems of a network that are called at an endpoint, sorted.
func Of(fsys fs.FS) ([]exchange.SystemID, error) {
	files, err := fs.Glob(fsys, "bodies/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("endpoints of the network: %w", err)
	}
	var out []exchange.SystemID
	for _, name := range files {
		src, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("endpoints of the network: %w", err)
		}
		var doc yaml.Node
		if err := yaml.Unmarshal(src, &doc); err != nil {
			return nil, fmt.Errorf("endpoints of the network: %s: not YAML", name)
		}
		for id := range settings(&doc) {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out, nil
}

// rewrite changes one body's file; nil if nothing in it is to change.
func rewrite(src []byte, addresses map[exchange.SystemID]string, found map[exchange.SystemID]bool) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(src, &doc); err != nil {
		return nil, errors.New("not YAML")
	}
	touched := false
	for id, s := range settings(&doc) {
		address, ok := addresses[id]
		if !ok {
			continue
		}
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || u.Port() == "" {
			return nil, fmt.Errorf("system %s: the address must be a URL with host and port", id)
		}
		set(s, "endpoint", &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: address})
		set(s, "allow", &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq",
			Content: []*yaml.Node{{Kind: yaml.ScalarNode, Tag: "!!str", Value: u.Host}}})
		found[id], touched = true, true
	}
	if !touched {
		return nil, nil
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(&doc); err != nil {
		return nil, fmt.Errorf("write: %w", err)
	}
	return b.Bytes(), nil
}

// settings are the connector settings with an endpoint, by system.
func settings(doc *yaml.Node) map[exchange.SystemID]*yaml.Node {
	out := map[exchange.SystemID]*yaml.Node{}
	if len(doc.Content) == 0 {
		return out
	}
	systems := member(doc.Content[0], "systems")
	if systems == nil {
		return out
	}
	for _, s := range systems.Content {
		id, connector := member(s, "id"), member(s, "connector")
		if id == nil || connector == nil {
			continue
		}
		if all := member(connector, "settings"); all != nil && member(all, "endpoint") != nil {
			out[exchange.SystemID(id.Value)] = all
		}
	}
	return out
}

func member(n *yaml.Node, key string) *yaml.Node {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func set(n *yaml.Node, key string, value *yaml.Node) {
	if old := member(n, key); old != nil {
		comment := old.LineComment
		*old = *value
		old.LineComment = comment
		return
	}
	n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, value)
}

// overlay is a file system with some files replaced.
type overlay struct {
	base  fs.FS
	files map[string][]byte
}

var _ fs.FS = (*overlay)(nil)

func (o *overlay) Open(name string) (fs.File, error) {
	b, ok := o.files[name]
	if !ok {
		return o.base.Open(name)
	}
	return &file{Reader: bytes.NewReader(b), info: info{name: path.Base(name), size: int64(len(b))}}, nil
}

type file struct {
	*bytes.Reader
	info info
}

var _ io.ReaderAt = (*file)(nil)

func (f *file) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *file) Close() error               { return nil }

type info struct {
	name string
	size int64
}

func (i info) Name() string     { return i.name }
func (i info) Size() int64      { return i.size }
func (info) Mode() fs.FileMode  { return 0o444 }
func (info) ModTime() time.Time { return time.Time{} }
func (info) IsDir() bool        { return false }
func (info) Sys() any           { return nil }
