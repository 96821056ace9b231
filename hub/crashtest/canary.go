package crashtest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// Needles are the forms in which canaries could come to light: plain, percent,
// JSON with everything escaped, hex, and base64 at every alignment.
func Needles(values ...string) [][]byte {
	var out [][]byte
	seen := map[string]bool{}
	add := func(s string) {
		if len(s) >= 6 && !seen[s] {
			seen[s] = true
			out = append(out, []byte(s))
		}
	}
	for _, v := range values {
		add(v)
		add(url.QueryEscape(v))
		quoted, err := json.Marshal(v)
		if err == nil {
			add(strings.Trim(string(quoted), `"`))
		}
		var escaped strings.Builder
		for _, r := range v {
			if r < 0x80 {
				escaped.WriteRune(r)
			} else {
				fmt.Fprintf(&escaped, `\u%04x`, r)
			}
		}
		add(escaped.String())
		add(hex.EncodeToString([]byte(v)))
		add(strings.ToUpper(hex.EncodeToString([]byte(v))))
		for shift := range 3 {
			// What stands before is unknown: only whole groups of the value count.
			padded := append(make([]byte, shift), v...)
			whole := len(padded) / 3 * 3
			text := base64.StdEncoding.EncodeToString(padded[:whole])
			if shift > 0 {
				text = text[4:]
			}
			add(text)
			add(strings.NewReplacer("+", "-", "/", "_").Replace(text))
		}
	}
	return out
}

// Find says which needles stand in b, by their index.
func Find(b []byte, needles [][]byte) (found []int) {
	for i, n := range needles {
		if bytes.Contains(b, n) {
			found = append(found, i)
		}
	}
	return found
}

// Scan looks into every file below a directory. The error names files and the
// index of a needle, not what was found.
func Scan(dir string, needles [][]byte) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if f := Find([]byte(d.Name()), needles); len(f) > 0 {
			return fmt.Errorf("a canary is in the name of a file in %s", filepath.Dir(path))
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if f := Find(b, needles); len(f) > 0 {
			return fmt.Errorf("canary: needles %v stand in %s", f, path)
		}
		return nil
	})
}
