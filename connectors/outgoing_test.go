package connectors

import (
	"context"
	"io"
	"testing"
)

func TestOutgoing(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	b := make([]byte, 3)
	late := &outgoing{ctx: ctx, rest: []byte("record")}
	begun := &outgoing{ctx: ctx, rest: []byte("record")}
	if n, err := begun.Read(b); n != 3 || err != nil || begun.whole() {
		t.Errorf("%d bytes, %v", n, err)
	}
	if n, err := begun.Read(b); n != 3 || err != nil || !begun.whole() {
		t.Errorf("%d bytes, %v", n, err)
	}
	if _, err := begun.Read(b); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	cancel()
	if n, err := late.Read(b); n != 0 || err == nil || late.seal() {
		t.Errorf("after the time was over: %d bytes, %v", n, err)
	}
	sealed := &outgoing{ctx: context.Background(), rest: []byte("record")}
	if sealed.seal() {
		t.Error("nothing was taken")
	}
	if n, err := sealed.Read(b); n != 0 || err == nil {
		t.Errorf("after the seal: %d bytes, %v", n, err)
	}
	if !begun.seal() {
		t.Error("bytes were taken")
	}
}
