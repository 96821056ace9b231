package connectors

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"raccordo/hub/exchange"
)

// Key documents one key of a kind's configuration.
type Key struct {
	Path    string // dotted, list elements as []
	Type    string // text, whole number, yes or no, duration, secret reference, list, map
	Default string // empty where there is none
	Doc     string
}

// maxConfigNodes bounds a configuration; a real one has a few dozen.
const maxConfigNodes = 10_000

var (
	keyName         = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	durationType    = reflect.TypeFor[time.Duration]()
	secretType      = reflect.TypeFor[SecretRef]()
)

type validator interface{ Validate() []exchange.Fault }

// decoder walks a YAML node along a Go type. It never puts a value into a
// fault: what stands at the wrong place may be a secret.
type decoder struct {
	faults []exchange.Fault
	lines  map[exchange.Pointer]int
	nodes  int
}

// decodeStrict decodes n over *c (a pointer to a struct) and validates it.
func decodeStrict(n *yaml.Node, c any) []exchange.Fault {
	d := &decoder{lines: map[exchange.Pointer]int{}}
	if n != nil && n.Kind == yaml.DocumentNode {
		if len(n.Content) == 1 {
			n = n.Content[0]
		} else {
			n = nil
		}
	}
	if n != nil && n.Kind != 0 && n.ShortTag() != "!!null" {
		d.value(n, reflect.ValueOf(c).Elem(), "")
	}
	if len(d.faults) > 0 {
		return d.faults
	}
	if v, ok := c.(validator); ok {
		for _, f := range v.Validate() {
			if f.Line == 0 {
				f.Line = d.lineOf(f.Pointer)
			}
			d.faults = append(d.faults, f)
		}
	}
	return d.faults
}

// lineOf is the line of p or of the nearest thing around it.
func (d *decoder) lineOf(p exchange.Pointer) int {
	for {
		if l, ok := d.lines[p]; ok {
			return l
		}
		i := strings.LastIndexByte(string(p), '/')
		if i < 0 {
			return d.lines[""]
		}
		p = p[:i]
	}
}

func (d *decoder) fault(n *yaml.Node, p exchange.Pointer, rule string) {
	d.faults = append(d.faults, exchange.Fault{Pointer: p, Rule: rule, Line: n.Line})
}

func (d *decoder) value(n *yaml.Node, v reflect.Value, p exchange.Pointer) {
	if d.nodes++; d.nodes > maxConfigNodes {
		if d.nodes == maxConfigNodes+1 {
			d.fault(n, p, "the configuration is too large")
		}
		return
	}
	d.lines[p] = n.Line
	if n.Kind == yaml.AliasNode {
		d.fault(n, p, "aliases are not read here; write the value out")
		return
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		d.fault(n, p, "has no value; give one or leave the key out")
		return
	}
	if v.Type() != durationType && v.CanAddr() && v.Addr().Type().Implements(textUnmarshaler) {
		d.text(n, v, p)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.object(n, v, p)
	case reflect.Map:
		d.table(n, v, p)
	case reflect.Slice:
		d.list(n, v, p)
	default:
		d.scalar(n, v, p)
	}
}

func (d *decoder) text(n *yaml.Node, v reflect.Value, p exchange.Pointer) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		d.fault(n, p, "must be text; put it in quotes")
		return
	}
	if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.Value)); err != nil {
		rule := "not well-formed" // the error may hold the value, unless it is ours
		if v.Type() == secretType {
			rule = err.Error()
		}
		d.fault(n, p, rule)
	}
}

func (d *decoder) object(n *yaml.Node, v reflect.Value, p exchange.Pointer) {
	if n.Kind != yaml.MappingNode {
		d.fault(n, p, "must be an object of keys and values")
		return
	}
	fields, known := fieldsOf(v.Type())
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode {
			d.fault(key, p, "a key must be a plain word")
			continue
		}
		index, ok := fields[key.Value]
		switch {
		case !ok:
			// The key itself is shown only when it can be one, not when it is,
			// say, a secret that slipped to the left.
			at := p
			if keyName.MatchString(key.Value) && len(key.Value) <= 40 {
				at = p.Append(key.Value)
			}
			d.fault(key, at, "unknown key; known are "+strings.Join(known, ", "))
		case seen[key.Value]:
			d.fault(key, p.Append(key.Value), "the key is there twice")
		default:
			seen[key.Value] = true
			d.value(n.Content[i+1], v.Field(index), p.Append(key.Value))
		}
	}
}

func (d *decoder) table(n *yaml.Node, v reflect.Value, p exchange.Pointer) {
	if n.Kind != yaml.MappingNode {
		d.fault(n, p, "must be an object of keys and values")
		return
	}
	out := reflect.MakeMapWithSize(v.Type(), len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str" {
			d.fault(key, p, "a key must be text; put it in quotes")
			continue
		}
		k := reflect.ValueOf(key.Value).Convert(v.Type().Key())
		if out.MapIndex(k).IsValid() {
			d.fault(key, p, "the key is there twice")
			continue
		}
		e := reflect.New(v.Type().Elem()).Elem()
		d.value(n.Content[i+1], e, p.Append(key.Value))
		out.SetMapIndex(k, e)
	}
	v.Set(out)
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, p exchange.Pointer) {
	if n.Kind != yaml.SequenceNode {
		d.fault(n, p, "must be a list")
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, c := range n.Content {
		d.value(c, out.Index(i), p.Index(i))
	}
	v.Set(out)
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, p exchange.Pointer) {
	if n.Kind != yaml.ScalarNode {
		d.fault(n, p, "must be a single value")
		return
	}
	tag := n.ShortTag()
	switch {
	case v.Type() == durationType:
		t, err := time.ParseDuration(n.Value)
		if err != nil || tag != "!!str" {
			d.fault(n, p, `must be a duration with its unit, like "30s" or "15m"`)
			return
		}
		v.SetInt(int64(t))
	case v.Kind() == reflect.String:
		if tag != "!!str" {
			d.fault(n, p, "must be text; put it in quotes")
			return
		}
		v.SetString(n.Value)
	case v.Kind() == reflect.Bool:
		if tag != "!!bool" {
			d.fault(n, p, "must be true or false")
			return
		}
		v.SetBool(strings.EqualFold(n.Value, "true"))
	case v.Kind() == reflect.Int:
		i, err := strconv.ParseInt(n.Value, 10, strconv.IntSize)
		if err != nil || tag != "!!int" {
			d.fault(n, p, "must be a whole number")
			return
		}
		v.SetInt(i)
	default:
		d.fault(n, p, "cannot be configured")
	}
}

// fieldsOf gives the index of each key and the keys in the order of
// declaration.
func fieldsOf(t reflect.Type) (map[string]int, []string) {
	fields, known := map[string]int{}, []string{}
	for i := range t.NumField() {
		if key := t.Field(i).Tag.Get("yaml"); key != "" {
			fields[key] = i
			known = append(known, key)
		}
	}
	return fields, known
}

// keysOf documents every key of a configuration and finds what is wrong with
// its declaration.
func keysOf(c any) ([]Key, error) {
	v := reflect.ValueOf(c)
	if v.Kind() != reflect.Struct {
		return nil, errors.New("the configuration must be a struct")
	}
	var keys []Key
	var faults []error
	walkKeys(v, "", &keys, &faults)
	return keys, errors.Join(faults...)
}

func walkKeys(v reflect.Value, prefix string, keys *[]Key, faults *[]error) {
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		name, doc := f.Tag.Get("yaml"), f.Tag.Get("doc")
		switch {
		case !f.IsExported() || f.Anonymous:
			*faults = append(*faults, fmt.Errorf("field %s%s: only named exported fields can be keys", prefix, f.Name))
			continue
		case !keyName.MatchString(name):
			*faults = append(*faults, fmt.Errorf("field %s%s: its yaml tag must be lower_snake_case", prefix, f.Name))
			continue
		case doc == "":
			*faults = append(*faults, fmt.Errorf("key %s%s has no doc tag", prefix, name))
		}
		path := prefix + name
		fv := v.Field(i)
		kind, ok := typeName(f.Type)
		if !ok {
			*faults = append(*faults, fmt.Errorf("key %s: a %s cannot be configured", path, f.Type))
			continue
		}
		*keys = append(*keys, Key{Path: path, Type: kind, Default: defaultOf(fv), Doc: doc})
		switch {
		case kind == "object":
			walkKeys(fv, path+".", keys, faults)
		case kind == "list of objects":
			walkKeys(reflect.New(f.Type.Elem()).Elem(), path+"[].", keys, faults)
		}
	}
}

func typeName(t reflect.Type) (string, bool) {
	switch {
	case t == secretType:
		return "secret reference", true
	case t == durationType:
		return "duration", true
	case reflect.PointerTo(t).Implements(textUnmarshaler):
		return "text", true
	}
	switch t.Kind() {
	case reflect.String:
		return "text", true
	case reflect.Bool:
		return "true or false", true
	case reflect.Int:
		return "whole number", true
	case reflect.Struct:
		return "object", true
	case reflect.Slice, reflect.Map:
		if t.Kind() == reflect.Map && t.Key().Kind() != reflect.String {
			return "", false
		}
		e, ok := typeName(t.Elem())
		if !ok || strings.HasPrefix(e, "list") || strings.HasPrefix(e, "map") || (e == "object" && t.Kind() == reflect.Map) {
			return "", false
		}
		if e == "object" {
			return "list of objects", true
		}
		if t.Kind() == reflect.Map {
			return "map of " + e, true
		}
		return "list of " + e, true
	}
	return "", false
}

func defaultOf(v reflect.Value) string {
	if v.IsZero() || v.Kind() == reflect.Struct {
		return ""
	}
	return fmt.Sprint(v.Interface())
}
