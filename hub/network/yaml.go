package network

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds of one YAML file.
const (
	maxFileSize  = 1 << 20
	maxYAMLDepth = 24
	maxText      = 20_000 // characters of one text
)

// value is a node with its place; every reader of a field reports its own
// faults and then returns a zero value, so that reading goes on.
type value struct {
	fs   *faults
	node *yaml.Node
	at
}

func (v value) fault(fix, format string, args ...any) { v.fs.addAt(v.at, fix, format, args...) }

func (v value) child(n *yaml.Node, path string) value {
	return value{fs: v.fs, node: n, at: at{file: v.file, line: n.Line, col: n.Column, path: path}}
}

// parseYAML reads exactly one document. ok is false if it cannot be read at
// all; the faults say why.
func parseYAML(fs *faults, file string, b []byte) (root value, ok bool) {
	v := value{fs: fs, at: at{file: file}}
	if len(b) > maxFileSize {
		v.fault("split it into several files", "the file is larger than %d bytes", maxFileSize)
		return v, false
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	var doc yaml.Node
	if err := decodeNode(d, &doc); err != nil {
		if errors.Is(err, io.EOF) {
			v.fault("remove the file or fill it", "the file is empty")
			return v, false
		}
		v.line = yamlLine(err)
		v.fault("", "not YAML: %s", yamlMessage(err))
		return v, false
	}
	var second yaml.Node
	if err := decodeNode(d, &second); !errors.Is(err, io.EOF) {
		if err != nil {
			v.line = yamlLine(err)
			v.fault("", "not YAML: %s", yamlMessage(err))
		} else {
			v.line = second.Line
			v.fault("put it into a file of its own", "a second document in one file")
		}
		return v, false
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		v.fault("remove the file or fill it", "the file holds nothing")
		return v, false
	}
	root = v.child(doc.Content[0], "")
	before := len(fs.list) + fs.skipped
	root.refuseAmbiguous(0)
	return root, len(fs.list)+fs.skipped == before
}

// decodeNode turns a panic of the YAML reader into an error: a network is
// read while a hub is running.
func decodeNode(d *yaml.Decoder, n *yaml.Node) (err error) {
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

// refuseAmbiguous reports everything that has two readings or is far from
// where it is written.
func (v value) refuseAmbiguous(depth int) {
	n := v.node
	switch {
	case depth > maxYAMLDepth:
		v.fault("", "nested deeper than %d", maxYAMLDepth)
		return
	case n.Kind == yaml.AliasNode:
		v.fault("write the value out", "aliases are not read")
		return
	case n.Anchor != "":
		v.fault("write the value out where it is used", "anchors are not read")
	case n.Style&yaml.TaggedStyle != 0:
		v.fault("remove the tag", "explicit tags are not read")
	}
	switch n.Kind {
	case yaml.MappingNode:
		seen := make(map[string]bool, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			k := v.child(n.Content[i], v.path)
			k.refuseAmbiguous(depth + 1)
			if k.node.Kind != yaml.ScalarNode {
				k.fault("", "a key must be a word")
				continue
			}
			name := k.node.Value
			switch {
			case k.node.ShortTag() == "!!merge":
				k.fault("write the keys out", "merge keys are not read")
			case seen[name]:
				k.fault("remove one of them", "key %q is there twice", clip(name))
			}
			seen[name] = true
			v.child(n.Content[i+1], join(v.path, name)).refuseAmbiguous(depth + 1)
		}
	case yaml.SequenceNode:
		for i, c := range n.Content {
			v.child(c, v.path+"["+strconv.Itoa(i)+"]").refuseAmbiguous(depth + 1)
		}
	}
}

func join(path, key string) string {
	if path == "" {
		return clip(key)
	}
	return path + "." + clip(key)
}

// clip keeps a quoted text of the file short.
func clip(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "..."
	}
	return s
}
