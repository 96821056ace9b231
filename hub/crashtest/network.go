package crashtest

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteNetwork writes a network to a new directory, the leases of mailboxes
// that say nothing of them as short as they may be: what a fetch took along
// when its answer was lost is offered again soon.
// Edits replace texts wherever they stand.
func WriteNetwork(network fs.FS, dir string, edits map[string]string) error {
	return fs.WalkDir(network, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(dir, filepath.FromSlash(name))
		if d.IsDir() {
			return os.MkdirAll(to, 0o700)
		}
		b, err := fs.ReadFile(network, name)
		if err != nil {
			return err
		}
		for old, replacement := range edits {
			b = bytes.ReplaceAll(b, []byte(old), []byte(replacement))
		}
		b = bytes.ReplaceAll(b, []byte("connector: {kind: mailbox}"), []byte("connector: {kind: mailbox, settings: {lease: 10s}}"))
		return os.WriteFile(to, b, 0o600)
	})
}
