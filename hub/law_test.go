package hub_test

import (
	"bufio"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// source is one Go file of the project and what it imports.
type source struct {
	file    string // from the module's root, with slashes
	dir     string
	test    bool
	imports []string
}

func (s source) within(dirs ...string) bool {
	return slices.ContainsFunc(dirs, func(d string) bool { return s.dir == d || strings.HasPrefix(s.dir, d+"/") })
}

// root is the module's root.
func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		require.NotEqual(t, dir, filepath.Dir(dir), "no go.mod above")
		dir = filepath.Dir(dir)
	}
}

// sources reads the imports of every Go file of the module.
func sources(t *testing.T) []source {
	t.Helper()
	top := root(t)
	var out []source
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path != top && (strings.HasPrefix(name, ".") || name == "testdata" || name == "bin") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, path)
		if err != nil {
			return err
		}
		s := source{file: filepath.ToSlash(rel), dir: filepath.ToSlash(filepath.Dir(rel)), test: strings.HasSuffix(name, "_test.go")}
		for _, i := range parsed.Imports {
			p, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			s.imports = append(s.imports, p)
		}
		out = append(out, s)
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, len(out), 300, "this is not the whole source")
	return out
}

// law is one rule of design.md section 8: whether a file may import a package.
type law struct {
	name string
	test bool // also in tests
	may  func(s source, imported string) bool
}

func under(imported string, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return imported == p || strings.HasPrefix(imported, p+"/") })
}

// reach are the packages by which something outside the process is reached, or
// that draw time and randomness from it.
var reach = []string{"os", "net", "syscall", "log", "database/sql", "crypto/rand", "math/rand", "golang.org/x/sys", "plugin", "os/exec"}

// sqlDrivers also hold database/sql itself.
var sqlDrivers = []string{"database/sql", "modernc.org/sqlite", "github.com/jackc", "github.com/lib/pq", "github.com/mattn/go-sqlite3"}

func laws() []law {
	return []law{
		{"exchange imports none of ours", true, func(s source, p string) bool {
			return !s.within("hub/exchange") || !under(p, "raccordo") || under(p, "raccordo/hub/exchange")
		}},
		{"connectors, consent and schemas import from hub only exchange and person", false, func(s source, p string) bool {
			return !s.within("connectors", "consent", "schemas") || !under(p, "raccordo/hub") || under(p, "raccordo/hub/exchange", "raccordo/hub/person")
		}},
		{"network, codec, mapping and gate do no I/O", false, func(s source, p string) bool {
			return !s.within("hub/network", "hub/codec", "hub/mapping", "hub/gate") || !under(p, reach...) || p == "net/url"
		}},
		{"only stream, intake and delivery know Watermill", false, func(s source, p string) bool {
			return s.within("hub/stream", "hub/intake", "hub/delivery") || !under(p, "github.com/ThreeDotsLabs")
		}},
		{"only stream/kafka and connectors/kafka know kafka-go", true, func(s source, p string) bool {
			return s.within("hub/stream/kafka", "connectors/kafka") || !under(p, "github.com/segmentio/kafka-go")
		}},
		{"only store and connectors/sql know SQL drivers", false, func(s source, p string) bool {
			return s.within("hub/store", "connectors/sql") || !under(p, sqlDrivers...)
		}},
		{"only keys/vault knows Vault", true, func(s source, p string) bool {
			return s.within("hub/keys/vault") || !under(p, "github.com/hashicorp/vault")
		}},
		{"nothing imports hub but cmd, demo, hubtest, and the tests of the whole", true, func(s source, p string) bool {
			return p != "raccordo/hub" || s.within("cmd", "hub/demo", "hub/hubtest") || s.test && (s.dir == "hub" || s.within("hub/crashtest"))
		}},
		{"nothing imports cmd", true, func(_ source, p string) bool { return !under(p, "raccordo/cmd") }},
		{"ledger/verify imports of the hub only exchange", false, func(s source, p string) bool {
			return !s.within("hub/ledger/verify") || !under(p, "raccordo/hub") || under(p, "raccordo/hub/exchange")
		}},
		{"kinds of connector do not know each other", true, func(s source, p string) bool {
			kind := strings.Split(strings.TrimPrefix(s.dir, "connectors/"), "/")[0]
			return !s.within("connectors") || s.within("connectors/standard") || !strings.HasPrefix(p, "raccordo/connectors/") ||
				under(p, "raccordo/connectors/connectortest", "raccordo/connectors/"+kind)
		}},
		{"what is for tests is imported by tests alone", false, func(s source, p string) bool {
			return s.within("hub/hubtest", "hub/crashtest", "connectors/connectortest", "hub/store/storetest", "hub/keys/keystest", "hub/person/persontest") ||
				!under(p, "testing", "net/http/httptest", "github.com/stretchr/testify", "pgregory.net/rapid", "github.com/rogpeppe/go-internal",
					"github.com/getkin/kin-openapi", "raccordo/hub/hubtest", "raccordo/hub/crashtest", "raccordo/connectors/connectortest")
		}},
		{"logs go through slog, errors through the standard library", false, func(s source, p string) bool {
			return (p != "log" || s.within("connectors/connectortest")) && p != "io/ioutil" && !under(p, "github.com/pkg/errors")
		}},
	}
}

// The import law of design.md section 8.
func TestImportLaw(t *testing.T) {
	all := sources(t)
	for _, l := range laws() {
		t.Run(l.name, func(t *testing.T) {
			for _, s := range all {
				if s.test && !l.test {
					continue
				}
				for _, p := range s.imports {
					if !l.may(s, p) {
						t.Errorf("%s imports %s", s.file, p)
					}
				}
			}
		})
	}
}

// A law that nothing can break is none.
func TestEveryLawCanBeBroken(t *testing.T) {
	breaks := map[string][2]string{
		"exchange imports none of ours":                                            {"hub/exchange", "raccordo/hub/person"},
		"connectors, consent and schemas import from hub only exchange and person": {"connectors/webhook", "raccordo/hub/gate"},
		"network, codec, mapping and gate do no I/O":                               {"hub/mapping", "net/http"},
		"only stream, intake and delivery know Watermill":                          {"hub", "github.com/ThreeDotsLabs/watermill/message"},
		"only stream/kafka and connectors/kafka know kafka-go":                     {"hub/stream/embedded", "github.com/segmentio/kafka-go"},
		"only store and connectors/sql know SQL drivers":                           {"hub/ledger", "database/sql"},
		"only keys/vault knows Vault":                                              {"hub/keys/local", "github.com/hashicorp/vault/api"},
		"nothing imports hub but cmd, demo, hubtest, and the tests of the whole":   {"hub/api", "raccordo/hub"},
		"nothing imports cmd":                                                      {"hub", "raccordo/cmd/raccordo"},
		"ledger/verify imports of the hub only exchange":                           {"hub/ledger/verify", "raccordo/hub/store"},
		"kinds of connector do not know each other":                                {"connectors/waas", "raccordo/connectors/mailbox"},
		"what is for tests is imported by tests alone":                             {"hub/gate", "testing"},
		"logs go through slog, errors through the standard library":                {"hub/gate", "github.com/pkg/errors"},
	}
	for _, l := range laws() {
		b, ok := breaks[l.name]
		require.True(t, ok, l.name)
		require.False(t, l.may(source{dir: b[0], file: b[0] + "/x.go"}, b[1]), l.name)
	}
}

// No further top-level folder, no package whose name says nothing, no init, and
// every package says what it is (design.md section 8).
func TestLayout(t *testing.T) {
	top := root(t)
	entries, err := os.ReadDir(top)
	require.NoError(t, err)
	allowed := append(ignored(t, top), "cmd", "connectors", "consent", "schemas", "hub", "deploy",
		"README.md", "LICENSE", "Makefile", "publiccode.yml", "go.mod", "go.sum")
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(allowed, e.Name()) {
			t.Errorf("%s has no place at the top", e.Name())
		}
	}
	documented, packages := map[string]bool{}, map[string]bool{}
	for _, s := range sources(t) {
		if slices.Contains([]string{"util", "utils", "common", "helpers", "types", "models", "misc", "shared"}, filepath.Base(s.dir)) {
			t.Errorf("%s: the name says nothing", s.dir)
		}
		if s.test {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(top, s.file), nil, parser.ParseComments|parser.SkipObjectResolution)
		require.NoError(t, err)
		packages[s.dir] = true
		if parsed.Doc != nil {
			documented[s.dir] = true
		}
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s has an init", s.file)
			}
		}
	}
	for dir := range packages {
		if !documented[dir] {
			t.Errorf("%s has no package comment", dir)
		}
	}
}

// ignored are the top-level names that git does not keep.
func ignored(t *testing.T, top string) []string {
	t.Helper()
	f, err := os.Open(filepath.Join(top, ".gitignore"))
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	var out []string
	for s := bufio.NewScanner(f); s.Scan(); {
		if name, ok := strings.CutPrefix(s.Text(), "/"); ok {
			out = append(out, strings.TrimSuffix(name, "/"))
		}
	}
	return out
}
