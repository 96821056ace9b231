package hub

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// maxConfig bounds a configuration file, in bytes.
const maxConfig = 1 << 20

const envPrefix = "RACCORDO_"

// commandVariables are read by commands, not by the hub.
var commandVariables = map[string]bool{"RACCORDO_CONFIG": true, "RACCORDO_URL": true, "RACCORDO_KEY": true, "RACCORDO_CA": true}

// LoadConfig decodes a file over the defaults, then the environment over that,
// and validates. Every fault of all three is reported at once, with the path of
// its key: unknown keys, keys given twice, values of another kind, a second
// document, variables that name no key (a misspelt one would otherwise do
// nothing). src may be nil. Errors: [ErrConfig], or that of reading src.
func LoadConfig(src io.Reader, environ []string) (Config, error) {
	c := DefaultConfig()
	var faults []error
	if src != nil {
		b, err := io.ReadAll(io.LimitReader(src, maxConfig+1))
		if err != nil {
			return c, fmt.Errorf("read configuration: %w", err)
		}
		if len(b) > maxConfig {
			return c, fmt.Errorf("%w: larger than 1 MiB", ErrConfig)
		}
		if faults, err = c.fromFile(b); err != nil {
			return c, fmt.Errorf("%w: not YAML: %w", ErrConfig, err) // what the file says is not known
		}
	}
	faults = append(faults, c.fromEnv(environ)...)
	faults = append(faults, c.faults()...)
	return c, configError(faults)
}

func configError(faults []error) error {
	if len(faults) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrConfig, errors.Join(faults...))
}

func (c *Config) fromFile(b []byte) ([]error, error) {
	d := yaml.NewDecoder(bytes.NewReader(b))
	var doc yaml.Node
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, err
	}
	var r configReader
	r.section(reflect.ValueOf(c).Elem(), doc.Content[0], "")
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		r.faults = append(r.faults, errors.New("one document only"))
	}
	return r.faults, nil
}

// configReader sets keys from a document and notes what is wrong with it.
type configReader struct{ faults []error }

func (r *configReader) bad(n *yaml.Node, key, what string) {
	r.faults = append(r.faults, fmt.Errorf("%s: line %d: %s", key, n.Line, what))
}

func (r *configReader) section(v reflect.Value, n *yaml.Node, path string) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" { // every key of it is commented out
		return
	}
	if n.Kind != yaml.MappingNode {
		r.bad(n, orDocument(path), "must be a list of keys and values")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		key := strings.TrimPrefix(path+"."+name.Value, ".")
		field, ok := fieldOf(v, name)
		switch {
		case !ok:
			r.bad(name, key, "no such key")
		case seen[name.Value]:
			r.bad(name, key, "is there twice")
		case field.Kind() == reflect.Struct:
			r.section(field, value, key)
		case value.Kind != yaml.ScalarNode:
			r.bad(value, key, "must be one value")
		case value.Tag == "!!null":
		default:
			if what := setText(field, value.Value); what != "" {
				r.bad(value, key, what)
			}
		}
		seen[name.Value] = true
	}
}

func orDocument(path string) string {
	if path == "" {
		return "the document"
	}
	return path
}

func fieldOf(v reflect.Value, name *yaml.Node) (reflect.Value, bool) {
	if name.Kind != yaml.ScalarNode {
		return reflect.Value{}, false
	}
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("yaml") == name.Value {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

// setText sets a key from the text of its value, "" if that is of its kind.
func setText(v reflect.Value, text string) (what string) {
	if v.Type() == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(text)
		if err != nil {
			return "must be a time with its unit, such as 30s or 72h"
		}
		v.SetInt(int64(d))
		return ""
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil {
			return "must be a whole number"
		}
		v.SetInt(n)
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return "must be a number"
		}
		v.SetFloat(f)
	default:
		return "cannot be set"
	}
	return ""
}

// fromEnv sets keys from RACCORDO_ variables. An empty one counts as not given.
func (c *Config) fromEnv(environ []string) []error {
	keys := map[string]reflect.Value{}
	envKeys(reflect.ValueOf(c).Elem(), envPrefix, keys)
	var faults []error
	for _, e := range slices.Sorted(slices.Values(environ)) {
		name, value, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, envPrefix) || commandVariables[name] {
			continue
		}
		field, ok := keys[name]
		switch {
		case !ok:
			faults = append(faults, fmt.Errorf("%s: no such key", name))
		case value == "":
		default:
			if what := setText(field, value); what != "" {
				faults = append(faults, fmt.Errorf("%s: %s", name, what))
			}
		}
	}
	return faults
}

func envKeys(v reflect.Value, prefix string, out map[string]reflect.Value) {
	for i := range v.NumField() {
		name := prefix + strings.ToUpper(v.Type().Field(i).Tag.Get("yaml"))
		if v.Field(i).Kind() == reflect.Struct {
			envKeys(v.Field(i), name+"_", out)
			continue
		}
		out[name] = v.Field(i)
	}
}
