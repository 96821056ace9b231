package persontest_test

import (
	"testing"

	"raccordo/hub/person"
	"raccordo/hub/person/persontest"
)

func TestMemory(t *testing.T) {
	persontest.Run(t, func(*testing.T) person.Store { return persontest.NewMemory() })
}
