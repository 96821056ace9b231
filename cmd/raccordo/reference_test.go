package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"raccordo/hub"
)

var update = flag.Bool("update", false, "write deploy/raccordo.yaml anew")

const head = `# Configuration of the hub: every key, with its default. A file needs only
# data_dir, network and what differs; unknown keys are refused, and all faults are
# listed at once. Each key can also be given as the variable named beside it,
# which counts more than the file; a secret never stands here.
#
# Try it as it is: raccordo serve --config deploy/raccordo.yaml
`

// reference is the example configuration as the Config struct describes it
// (style C10: each setting is said once, there).
func reference() string {
	c := hub.DefaultConfig()
	c.DataDir, c.Network = "raccordo-data", "builtin:reticulate"
	var b strings.Builder
	b.WriteString(head)
	writeKeys(&b, reflect.ValueOf(c), "", "RACCORDO_")
	return b.String()
}

func writeKeys(b *strings.Builder, v reflect.Value, indent, prefix string) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key, doc := f.Tag.Get("yaml"), f.Tag.Get("doc")
		name := prefix + strings.ToUpper(key)
		if indent == "" {
			b.WriteByte('\n')
		}
		if f.Type.Kind() == reflect.Struct {
			fmt.Fprintf(b, "%s\n%s%s:\n", comment(doc, indent), indent, key)
			writeKeys(b, v.Field(i), indent+"  ", name+"_")
			continue
		}
		fmt.Fprintf(b, "%s\n%s%s: %s\n", comment(doc+" ("+name+")", indent), indent, key, scalar(v.Field(i)))
	}
}

func comment(text, indent string) string {
	return indent + "# " + strings.ReplaceAll(wrap(text, 78-len(indent)), "\n", "\n"+indent+"# ")
}

func scalar(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case string:
		if x == "" {
			return `""`
		}
		return x
	case time.Duration:
		s := x.String()
		for _, zero := range []string{"m0s", "h0m"} {
			if strings.HasSuffix(s, zero) {
				s = s[:len(s)-2]
			}
		}
		return s
	}
	return fmt.Sprint(v.Interface())
}

func TestReferenceConfiguration(t *testing.T) {
	file := filepath.Join("..", "..", "deploy", "raccordo.yaml")
	want := reference()
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(want), 0o644))
	}
	got, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, want, string(got), "go test ./cmd/raccordo -run Reference -update writes it anew")
}

// The example is one that loads, and what it says is what counts without it.
func TestReferenceConfigurationLoads(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "deploy", "raccordo.yaml"))
	require.NoError(t, err)
	got, err := hub.LoadConfig(bytes.NewReader(b), nil)
	require.NoError(t, err)
	want := hub.DefaultConfig()
	want.DataDir, want.Network = "raccordo-data", "builtin:reticulate"
	require.Equal(t, want, got)
}

// Every key says what it is, and its default where there is one.
func TestEveryKeyIsDocumented(t *testing.T) {
	var walk func(v reflect.Value, path string)
	walk = func(v reflect.Value, path string) {
		for i := range v.NumField() {
			f := v.Type().Field(i)
			at := path + f.Tag.Get("yaml")
			require.Regexp(t, `^[a-z][a-z0-9_]*$`, f.Tag.Get("yaml"), at)
			doc := f.Tag.Get("doc")
			require.NotEmpty(t, doc, at)
			if f.Type.Kind() == reflect.Struct {
				walk(v.Field(i), at+".")
				continue
			}
			if v.Field(i).IsZero() {
				continue
			}
			require.Contains(t, doc, "default "+scalar(v.Field(i)), at)
		}
	}
	walk(reflect.ValueOf(hub.DefaultConfig()), "")
}
