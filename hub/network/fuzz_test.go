package network

import (
	"io/fs"
	"os"
	"testing"
	"testing/fstest"
)

// Whatever stands in a file of a network, loading ends without a panic, with
// either a network or faults, and every fault has a file.
func FuzzLoad(f *testing.F) {
	base := small(f)
	for name, file := range base {
		f.Add(name, file.Data)
	}
	dir := os.DirFS(reticulateDir)
	_ = fs.WalkDir(dir, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if b, err := fs.ReadFile(dir, name); err == nil {
				f.Add(name, b)
			}
		}
		return nil
	})
	for _, s := range []string{"a: &a [*a]", "a: &a {<<: *a}", "? [a]\n: b", "a: !!binary x", "--- a\n--- b", "\x00", "a: \xff", "- - - - -", "{a: 1, a: 2}", "a: *b", "%YAML 1.1\n---\na: no"} {
		f.Add("network.yaml", []byte(s))
		f.Add("bodies/x.yaml", []byte(s))
	}
	catalogue := testCatalog(f)
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		if !fs.ValidPath(name) || name == "." || len(data) > 64<<10 {
			return
		}
		files := fstest.MapFS{}
		for n, file := range base {
			files[n] = file
		}
		if _, known := base[name]; !known && len(classifyDir(name)) == 0 {
			return
		}
		files[name] = &fstest.MapFile{Data: data}
		n, faults := Load(files, Options{Catalog: catalogue, Now: testNow})
		if (n == nil) == (len(faults) == 0) {
			t.Fatalf("a network %v and %d faults", n != nil, len(faults))
		}
		for _, x := range faults {
			if x.File == "" || x.Message == "" {
				t.Fatalf("a fault says nothing: %+v", x)
			}
		}
	})
}

// classifyDir keeps the fuzzer to files that are read.
func classifyDir(name string) string {
	if k := classify(name); k == kindUnknown || k == kindIgnored {
		return ""
	}
	return name
}
