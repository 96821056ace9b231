package powercut_test

import (
	"os"
	"path/filepath"
	"testing"

	"raccordo/hub/hubtest/powercut"
)

// The disk keeps what was synced and loses what was not; otherwise the tests
// that stand on it prove nothing.
func TestDiskLosesWhatWasNotSynced(t *testing.T) {
	d := powercut.New(t)
	for round := range 2 {
		for name, sync := range map[string]bool{"synced": true, "unsynced": false} {
			f, err := os.Create(filepath.Join(d.Dir(), name))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteString("content"); err != nil {
				t.Fatal(err)
			}
			if sync {
				if err := f.Sync(); err != nil {
					t.Fatal(err)
				}
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
		d.Cut()
		if _, err := os.Create(filepath.Join(d.Dir(), "after")); err == nil {
			t.Fatal("wrote without power")
		}
		d.Remount()
		if b, err := os.ReadFile(filepath.Join(d.Dir(), "synced")); err != nil || string(b) != "content" {
			t.Fatalf("round %d: what was synced is %q: %v", round, b, err)
		}
		if b, err := os.ReadFile(filepath.Join(d.Dir(), "unsynced")); err == nil && len(b) > 0 {
			t.Fatalf("round %d: what was not synced survived: no power was cut", round)
		}
	}
}

// A child's lines arrive whole, and killing it ends it.
func TestChild(t *testing.T) {
	if dir, acks, ok := powercut.InChild(); ok {
		for n := 0; ; n++ {
			if powercut.Report(acks, "%s %d", dir, n) != nil {
				return
			}
		}
	}
	c := powercut.Start(t, "somewhere")
	c.Wait(100)
	lines := c.Kill()
	if len(lines) < 100 || lines[0] != "somewhere 0" || lines[99] != "somewhere 99" {
		t.Fatalf("%d lines", len(lines))
	}
	if again := c.Kill(); len(again) != len(lines) {
		t.Fatal("lines after the end")
	}
}
