package hub

import (
	"fmt"
	"io/fs"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"

	"raccordo/connectors"
	"raccordo/hub/exchange"
	"raccordo/hub/network"
)

// NetworkFS opens a network by what a configuration calls it: a directory, or
// builtin:NAME.
func NetworkFS(name string, builtin map[string]fs.FS) (fs.FS, error) {
	if b, ok := strings.CutPrefix(name, "builtin:"); ok {
		fsys, ok := builtin[b]
		if !ok {
			return nil, fmt.Errorf("%w: network: there is no built-in network of this name", ErrConfig)
		}
		return fsys, nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("%w: network: %w", ErrConfig, err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%w: network: %s is not a directory", ErrConfig, name)
	}
	return os.DirFS(name), nil
}

// Kinds lets a network check connector settings against a set of kinds.
type Kinds struct{ Set *connectors.Set }

var _ network.ConnectorChecker = Kinds{}

// CheckConnector reports what is wrong with the settings of a system.
func (k Kinds) CheckConnector(kind string, settings *yaml.Node) []network.Fault {
	c, ok := k.Set.Kind(kind)
	if !ok {
		return []network.Fault{{Message: "no connector kind is called " + kind,
			Fix: "use one of: " + strings.Join(k.Set.Names(), ", ")}}
	}
	_, faults := c.Decode(settings)
	return connectorFaults(settings, faults)
}

func connectorFaults(settings *yaml.Node, faults []exchange.Fault) []network.Fault {
	var out []network.Fault
	for _, f := range faults {
		nf := network.Fault{Message: "connector setting " + string(f.Pointer) + ": " + f.Rule, Line: f.Line}
		if nf.Line == 0 && settings != nil {
			nf.Line = settings.Line
		}
		out = append(out, nf)
	}
	return out
}
