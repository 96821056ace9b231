package verify_test

import (
	"testing"
	"testing/fstest"

	"raccordo/hub/ledger/verify"
)

// FuzzVerify reads any export without a panic, and takes none but a signed one.
func FuzzVerify(f *testing.F) {
	b, files := story(f)
	f.Add(files[entriesFile].Data, files["checkpoint"].Data)
	f.Add([]byte("{\"seq\":0,\"leaf\":\"\",\"rows\":\"\",\"fact\":\"\"}\n"), []byte("a\n0\n\n\n"))
	honest := string(files[entriesFile].Data)
	f.Fuzz(func(t *testing.T, entries, checkpoint []byte) {
		r, err := verify.Verify(fstest.MapFS{entriesFile: {Data: entries}, "checkpoint": {Data: checkpoint}}, b.keys[0].public,
			verify.Options{Checkpoint: checkpoint})
		if err != nil {
			t.Fatal(err)
		}
		if r.OK() && r.Entries != 8 && string(entries) != honest {
			t.Fatalf("nobody signed this: %+v", r)
		}
	})
}
