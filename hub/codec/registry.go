package codec

import (
	"fmt"

	"raccordo/hub/exchange"
	"raccordo/schemas"
)

// Codec turns one format's bytes into the tree and back.
type Codec interface {
	// Decode reads one record; errors are [*exchange.Error] and show no value.
	Decode(b []byte) (exchange.Tree, error)
	// Encode writes one record; the same tree gives the same bytes.
	Encode(t exchange.Tree) ([]byte, error)
	// MediaType is what Encode writes and Decode reads.
	MediaType() string
}

// Registry knows the codec of every format of a network. It does not change
// once made and is safe for concurrent use.
type Registry struct {
	json JSON
	xml  map[exchange.FormatID]*XML
}

// NewRegistry holds the declared XML formats; every other format is JSON and
// passes gate. Two declarations of one format are an error.
func NewRegistry(gate *schemas.Gate, declared ...*XML) (*Registry, error) {
	r := &Registry{json: NewJSON(gate), xml: make(map[exchange.FormatID]*XML, len(declared))}
	for _, x := range declared {
		if _, twice := r.xml[x.format]; twice {
			return nil, fmt.Errorf("format %s has two XML declarations", x.format)
		}
		r.xml[x.format] = x
	}
	return r, nil
}

// For is the codec of a format.
func (r *Registry) For(id exchange.FormatID) Codec {
	if x, ok := r.xml[id]; ok {
		return x
	}
	return r.json
}
