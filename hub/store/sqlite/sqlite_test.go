package sqlite_test

import (
	"context"
	"crypto/rand"
	"testing"

	"raccordo/hub/store"
	"raccordo/hub/store/sqlite"
	"raccordo/hub/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, storetest.Engine{New: func(t testing.TB) storetest.Opener {
		dir := t.TempDir()
		return func() (store.Store, error) {
			return sqlite.Open(context.Background(), sqlite.Options{Dir: dir, Rand: rand.Reader})
		}
	}})
}
