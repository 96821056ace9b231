package exchange

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

func drawRow(t *rapid.T) Row {
	return Row{Record: RecordID(draw16(t)), Subject: SubjectID(draw16(t)), Flow: Number(rapid.Uint32().Draw(t, "flow")),
		Clause: Number(rapid.Uint32().Draw(t, "clause")), State: rapid.SampledFrom(States()).Draw(t, "state"),
		Mark: Mark(rapid.IntRange(0, 2).Draw(t, "mark")), Part: Part(rapid.IntRange(1, 4).Draw(t, "part")),
		Attempt: rapid.Uint16().Draw(t, "attempt"), Reason: rapid.SampledFrom(ledgerReasons[1:]).Draw(t, "reason"),
		Basis: rapid.Uint64().Draw(t, "basis"), Dossier: rapid.Uint64().Draw(t, "dossier"),
		Categories: CategorySet{rapid.Uint64().Draw(t, "c0"), rapid.Uint64().Draw(t, "c1")}, Sequence: rapid.Uint64().Draw(t, "sequence")}
}

func drawEntry(t *rapid.T) *Entry {
	e := &Entry{Seq: rapid.Uint64().Draw(t, "seq"), ID: EntryID(draw16(t)), Kind: EntryKind(rapid.IntRange(1, 14).Draw(t, "kind")),
		Time: rapid.Int64().Draw(t, "time"), System: drawName[SystemID](t), Refers: rapid.Uint64().Draw(t, "refers"),
		Rows: rapid.SliceOfN(rapid.Custom(drawRow), 0, 20).Draw(t, "rows"), Fact: rapid.SliceOf(rapid.Byte()).Draw(t, "fact")}
	for range rapid.IntRange(0, 4).Draw(t, "lanes") {
		e.Lanes = append(e.Lanes, LaneRange{Class: ClassPrompt, Lane: rapid.Uint16().Draw(t, "lane"), From: Start(),
			To: Position{Offset: rapid.Int64().Draw(t, "offset"), Passed: rapid.Uint32().Draw(t, "passed")}})
	}
	return e
}

func TestEntryRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawEntry(t)
		leaf := e.AppendLeaf(nil)
		got, err := DecodeLeaf(leaf)
		if err != nil {
			t.Fatal(err)
		}
		encoded := AppendRows(nil, e.Rows)
		rows, err := DecodeRows(encoded)
		if err != nil || len(rows) != len(e.Rows) || len(rows) > 0 && !reflect.DeepEqual(rows, e.Rows) {
			t.Fatalf("rows: %v", err)
		}
		if int(got.RowCount) != len(e.Rows) || got.RowsRoot != RowsRoot(encoded) || len(encoded) != RowSize*len(rows) {
			t.Fatal("what the header says of its rows")
		}
		if want := DigestOf(e.Fact); len(e.Fact) > 0 && got.FactDigest != want || len(e.Fact) == 0 && got.FactDigest != (Digest{}) {
			t.Fatal("what the header says of its fact")
		}
		again := got.Entry
		again.Rows, again.Fact = e.Rows, e.Fact
		if !reflect.DeepEqual(&again, e) || !bytes.Equal(again.AppendLeaf(nil), leaf) {
			t.Fatalf("%+v is read as %+v", e, again)
		}
	})
}

func TestLeafDamage(t *testing.T) {
	leaf := sampleEntry().AppendLeaf(nil)
	for n := range leaf {
		if _, err := DecodeLeaf(leaf[:n]); !errors.Is(err, ErrEntry) {
			t.Fatalf("the first %d bytes are a header: %v", n, err)
		}
	}
	if _, err := DecodeLeaf(append(bytes.Clone(leaf), 0)); !errors.Is(err, ErrEntry) {
		t.Errorf("a byte too many: %v", err)
	}
	for name, at := range map[string]int{"magic": 0, "version": 3, "kind": 28} {
		b := bytes.Clone(leaf)
		b[at] = 99
		if _, err := DecodeLeaf(b); !errors.Is(err, ErrEntry) {
			t.Errorf("%s: %v", name, err)
		}
	}
	many := sampleEntry()
	many.Rows = make([]Row, 0)
	b := many.AppendLeaf(nil)
	copy(b[len(b)-68:], []byte{0xff, 0xff, 0xff, 0xff}) // the number of rows
	if _, err := DecodeLeaf(b); !errors.Is(err, ErrEntry) {
		t.Errorf("too many rows: %v", err)
	}
}

func TestBadRows(t *testing.T) {
	good := AppendRows(nil, sampleEntry().Rows)
	for name, change := range map[string]func(b []byte) []byte{
		"short":        func(b []byte) []byte { return b[:len(b)-1] },
		"state":        func(b []byte) []byte { b[40] = 0; return b },
		"later state":  func(b []byte) []byte { b[40] = 12; return b },
		"mark":         func(b []byte) []byte { b[41] = 3; return b },
		"part":         func(b []byte) []byte { b[42] = 0; return b },
		"later part":   func(b []byte) []byte { b[42] = 5; return b },
		"reserved":     func(b []byte) []byte { b[43] = 1; return b },
		"reason":       func(b []byte) []byte { b[45] = 0; return b },
		"later reason": func(b []byte) []byte { b[44] = 9; return b },
		"too many":     func([]byte) []byte { return make([]byte, (MaxEntryRows+1)*RowSize) },
	} {
		if _, err := DecodeRows(change(bytes.Clone(good))); !errors.Is(err, ErrEntry) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if RowSize > 100 {
		t.Error("a row takes at most 100 bytes (protocol.md 4.4)")
	}
}

// stored keeps a whole tlog tree, as an independent reference.
func stored(t interface{ Fatal(...any) }, encoded []byte) (tlog.HashReader, int64) {
	var all []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			out[i] = all[x]
		}
		return out, nil
	})
	n := int64(len(encoded) / RowSize)
	for i := range n {
		h, err := tlog.StoredHashes(i, encoded[i*RowSize:(i+1)*RowSize], reader)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, h...)
	}
	return reader, n
}

// Sub-roots and row proofs are those of tlog, which anyone can check.
func TestRowProofs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOfN(rapid.Custom(drawRow), 1, 40).Draw(t, "rows")
		encoded := AppendRows(nil, rows)
		reader, n := stored(t, encoded)
		want, err := tlog.TreeHash(n, reader)
		if err != nil {
			t.Fatal(err)
		}
		root := RowsRoot(encoded)
		if root != Digest(want) {
			t.Fatal("the sub-root is not tlog's")
		}
		i := rapid.IntRange(0, len(rows)-1).Draw(t, "i")
		path, err := RowProof(encoded, i)
		if err != nil {
			t.Fatal(err)
		}
		proof, err := tlog.ProveRecord(n, int64(i), reader)
		if err != nil || len(proof) != len(path) {
			t.Fatal("another length than tlog's proof")
		}
		for j := range proof {
			if Digest(proof[j]) != path[j] {
				t.Fatal("not tlog's proof")
			}
		}
		row := encoded[i*RowSize : (i+1)*RowSize]
		if !CheckRowProof(row, i, len(rows), path, root) {
			t.Fatal("a true proof is refused")
		}
		wrong := bytes.Clone(row)
		wrong[rapid.IntRange(0, RowSize-1).Draw(t, "byte")] ^= 1
		if CheckRowProof(wrong, i, len(rows), path, root) || CheckRowProof(row, i, len(rows), path, Digest{}) ||
			len(rows) > 1 && CheckRowProof(row, (i+1)%len(rows), len(rows), path, root) {
			t.Fatal("a false proof is taken")
		}
	})
	if RowsRoot(nil) != (Digest{}) {
		t.Error("no rows have no root")
	}
	for _, i := range []int{-1, 2} {
		if _, err := RowProof(make([]byte, 2*RowSize), i); !errors.Is(err, ErrEntry) {
			t.Errorf("row %d: %v", i, err)
		}
	}
}

func TestPositions(t *testing.T) {
	order := []Position{Start(), {Offset: 0}, {Offset: 0, Passed: 1}, {Offset: 1}, {Offset: 1, Passed: 9}, {Offset: 2}}
	for i, a := range order {
		for j, b := range order {
			if a.Before(b) != (i < j) {
				t.Errorf("%v before %v: %t", a, b, a.Before(b))
			}
		}
	}
	for k := EntryKind(0); k < 20; k++ {
		if k.IsValid() != (k.String() != "invalid") {
			t.Errorf("kind %d is called %s", k, k)
		}
	}
}

func TestFacts(t *testing.T) {
	b, err := EncodeFact(StopFact{Stopped: true, Reason: "drill"})
	if err != nil {
		t.Fatal(err)
	}
	var f StopFact
	if err := DecodeFact(b, &f); err != nil || !f.Stopped || f.Reason != "drill" {
		t.Errorf("%s: %+v, %v", b, f, err)
	}
	for _, text := range []string{"", "{}", "null", `{"stopped":true,"reason":"drill"} `, `{"reason":"drill","stopped":true}`, `{"stopped":true,"reason":"drill","x":1}`,
		`{"stopped":true,"reason":"drill"}{}`, `{ "stopped":true,"reason":"drill"}`, `{"Stopped":true,"reason":"drill"}`, `{"stopped":true,"reason":"dr\u0069ll"}`} {
		if err := DecodeFact([]byte(text), &StopFact{}); !errors.Is(err, ErrEntry) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := EncodeFact(make(chan int)); err == nil {
		t.Error("a channel is a fact")
	}
}

func FuzzDecodeLeaf(f *testing.F) {
	f.Add(sampleEntry().AppendLeaf(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := DecodeLeaf(b)
		if err != nil {
			if !errors.Is(err, ErrEntry) {
				t.Fatal(err)
			}
			return
		}
		// Rows and fact stand in the header by digest, so they are put in as such.
		again := l.AppendLeaf(nil)
		again = append(again[:len(again)-68], b[len(b)-68:]...)
		if !bytes.Equal(again, b) {
			t.Fatal("read, but not as it is written")
		}
	})
}

func FuzzDecodeRows(f *testing.F) {
	f.Add(AppendRows(nil, sampleEntry().Rows))
	f.Fuzz(func(t *testing.T, b []byte) {
		rows, err := DecodeRows(b)
		if err != nil {
			if !errors.Is(err, ErrEntry) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(AppendRows(nil, rows), b) {
			t.Fatal("read, but not as it is written")
		}
	})
}
