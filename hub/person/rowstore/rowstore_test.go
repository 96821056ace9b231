package rowstore_test

import (
	"crypto/rand"
	"testing"

	"raccordo/hub/person"
	"raccordo/hub/person/persontest"
	"raccordo/hub/person/rowstore"
	"raccordo/hub/store/sqlite"
)

func TestConformance(t *testing.T) {
	persontest.Run(t, func(t *testing.T) person.Store {
		s, err := sqlite.Open(t.Context(), sqlite.Options{Dir: t.TempDir(), Rand: rand.Reader})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return rowstore.New(s)
	})
}
