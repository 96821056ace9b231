package mapping

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds of a mapping file.
const (
	maxSource    = 1 << 20
	maxYAMLDepth = 32
)

// node is a place in the file with everything needed to report about it. A
// reader of the wrong kind reports and gives a zero value, so that reading
// goes on and all faults are found.
type node struct {
	*yaml.Node
	fs *faults
}

func (n node) fault(fix, format string, args ...any) { n.fs.add(n.Line, fix, format, args...) }

// readYAML reads exactly one document and refuses whatever has two readings or
// acts from afar: anchors, aliases, tags, merge keys, duplicate keys.
func readYAML(src []byte, fs *faults) (node, bool) {
	if len(src) > maxSource {
		fs.add(0, "split it", "larger than %d bytes", maxSource)
		return node{}, false
	}
	d := yaml.NewDecoder(bytes.NewReader(src))
	var doc, second yaml.Node
	if err := decodeYAML(d, &doc); err != nil {
		if errors.Is(err, io.EOF) {
			fs.add(0, "fill it or remove it", "the file is empty")
		} else {
			fs.add(yamlLine(err), "", "not YAML: %s", yamlMessage(err))
		}
		return node{}, false
	}
	if err := decodeYAML(d, &second); !errors.Is(err, io.EOF) {
		fs.add(second.Line, "put it into a file of its own", "a second document in one file")
		return node{}, false
	}
	root := node{doc.Content[0], fs}
	before := len(fs.list)
	root.refuse(0)
	return root, len(fs.list) == before
}

func decodeYAML(d *yaml.Decoder, n *yaml.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("the YAML reader failed on this file")
		}
	}()
	return d.Decode(n)
}

var yamlLineShape = regexp.MustCompile(`line ([0-9]+): `)

func yamlLine(err error) int {
	if m := yamlLineShape.FindStringSubmatch(err.Error()); m != nil {
		n, _ := strconv.Atoi(m[1])
		return n
	}
	return 0
}

func yamlMessage(err error) string {
	s := strings.TrimPrefix(err.Error(), "yaml: ")
	return strings.Join(strings.Fields(yamlLineShape.ReplaceAllString(s, "")), " ")
}

func (n node) refuse(depth int) {
	switch {
	case depth > maxYAMLDepth:
		n.fault("", "nested deeper than %d", maxYAMLDepth)
		return
	case n.Kind == yaml.AliasNode:
		n.fault("write the value out", "aliases are not read")
		return
	case n.Anchor != "":
		n.fault("write the value out where it is used", "anchors are not read")
	case n.Style&yaml.TaggedStyle != 0:
		n.fault("remove the tag", "explicit tags are not read")
	}
	if n.Kind == yaml.MappingNode {
		var seen []string
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := node{n.Content[i], n.fs}
			switch {
			case key.Kind != yaml.ScalarNode:
				key.fault("", "a key must be a word")
			case key.ShortTag() == "!!merge":
				key.fault("write the keys out", "merge keys are not read")
			case slices.Contains(seen, key.Value):
				key.fault("remove one of them", "the key %q is there twice", clip(key.Value))
			}
			if key.Anchor != "" || key.Kind == yaml.AliasNode {
				key.fault("", "anchors and aliases are not read")
			}
			seen = append(seen, key.Value)
		}
	}
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			continue
		}
		node{c, n.fs}.refuse(depth + 1)
	}
}

func (n node) given() bool { return n.Node != nil }

// object reads a mapping that has none but the given keys.
func (n node) object(known ...string) map[string]node {
	out := map[string]node{}
	if !n.given() {
		return out
	}
	if n.Kind != yaml.MappingNode {
		n.fault("", "must be a mapping of keys to values")
		return out
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i].Value
		if !slices.Contains(known, key) {
			n.fs.add(n.Content[i].Line, "known keys: "+strings.Join(known, ", "), "unknown key %q", clip(key))
			continue
		}
		out[key] = node{n.Content[i+1], n.fs}
	}
	return out
}

// list reads a sequence that is not empty.
func (n node) list() []node {
	if !n.given() {
		return nil
	}
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		n.fault("write it as a list", "must be a list that is not empty")
		return nil
	}
	out := make([]node, len(n.Content))
	for i, c := range n.Content {
		out[i] = node{c, n.fs}
	}
	return out
}

// text reads a string; words that some YAML readers take for something else
// must be quoted.
func (n node) text() string {
	if !n.given() {
		return ""
	}
	switch {
	case n.Kind != yaml.ScalarNode:
		n.fault("", "must be text")
	case n.ambiguous():
		n.fault(`quote it: "`+clip(n.Value)+`"`, "%s means different things to different YAML readers", clip(n.Value))
	case n.ShortTag() != "!!str" && n.ShortTag() != "!!timestamp":
		n.fault("quote it", "must be text")
	case n.Value == "":
		n.fault("fill it or remove the key", "must not be empty")
	default:
		return n.Value
	}
	return ""
}

func (n node) quoted() bool {
	return n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
}

var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// ambiguous reports a bare word with two readings: no is Norway or false, 012
// is ten, twelve, or the text of a code that lost its zero elsewhere.
func (n node) ambiguous() bool {
	if n.Kind != yaml.ScalarNode || n.quoted() {
		return false
	}
	switch strings.ToLower(n.Value) {
	case "yes", "no", "on", "off", "y", "n", "~":
		return true
	case "true", "false", "null":
		return n.Value != strings.ToLower(n.Value)
	}
	tag := n.ShortTag()
	if tag == "!!int" || tag == "!!float" {
		return !jsonNumber.MatchString(n.Value)
	}
	// What YAML 1.1 reads as a number and 1.2 as text.
	return tag == "!!str" && len(n.Value) > 0 && n.Value[0] >= '0' && n.Value[0] <= '9' &&
		strings.Trim(n.Value, "0123456789_:.") == ""
}

// truth reads true or false.
func (n node) truth() bool {
	if !n.given() {
		return false
	}
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" || n.ambiguous() {
		n.fault("", "must be true or false")
		return false
	}
	return n.Value == "true"
}

// number reads a whole number from low to high.
func (n node) number(low, high int) int {
	if !n.given() {
		return 0
	}
	i, err := strconv.Atoi(n.Value)
	if n.Kind != yaml.ScalarNode || n.quoted() || err != nil || n.ambiguous() || i < low || i > high {
		n.fault("", "must be a whole number from %d to %d", low, high)
		return 0
	}
	return i
}

// scalar reads a value of a record: text, number or truth value; null is none.
func (n node) scalar() (any, bool) {
	if !n.given() {
		return nil, false
	}
	if n.Kind != yaml.ScalarNode {
		n.fault("", "must be one text, number or truth value")
		return nil, false
	}
	if n.ambiguous() {
		n.fault(`quote it: "`+clip(n.Value)+`"`, "%s means different things to different YAML readers", clip(n.Value))
		return nil, false
	}
	switch n.ShortTag() {
	case "!!null":
		n.fault("leave the property out instead", "null is not a value")
		return nil, false
	case "!!bool":
		return n.Value == "true", true
	case "!!int", "!!float":
		return json.Number(n.Value), true
	}
	return n.Value, true
}

// tree reads any value as a record holds it.
func (n node) tree() any {
	switch n.Kind {
	case yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			m[n.Content[i].Value] = node{n.Content[i+1], n.fs}.tree()
		}
		return m
	case yaml.SequenceNode:
		a := make([]any, len(n.Content))
		for i, c := range n.Content {
			a[i] = node{c, n.fs}.tree()
		}
		return a
	}
	if n.ShortTag() == "!!null" && !n.ambiguous() {
		return nil
	}
	v, _ := n.scalar()
	return v
}
