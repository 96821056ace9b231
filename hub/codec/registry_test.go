package codec

import (
	"testing"

	"raccordo/schemas"
)

func TestRegistry(t *testing.T) {
	gate := schemas.NewGate(schemas.DefaultLimits())
	x := siuss(t)
	r, err := NewRegistry(gate, x, lists(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := r.For("siuss_ps_psa_sina"); got != Codec(x) || got.MediaType() != "application/xml" {
		t.Error("the declared format is not XML")
	}
	other := r.For("desk_request")
	if other.MediaType() != "application/json" {
		t.Error("another format is not JSON")
	}
	if _, err := other.Decode([]byte(`{"a":1,"a":2}`)); err == nil {
		t.Error("the gate is not asked")
	}
	if _, err := NewRegistry(gate, x, siuss(t)); err == nil {
		t.Error("two declarations of one format")
	}
}
