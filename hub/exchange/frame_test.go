package exchange

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func drawName[T ~string](t *rapid.T) T {
	return T(rapid.StringMatching(`[a-z][a-z0-9_]{0,20}`).Draw(t, "name"))
}

func draw16(t *rapid.T) (out [16]byte) {
	copy(out[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
	return out
}

func drawHeader(t *rapid.T) *Header {
	h := &Header{Hub: HubID(draw16(t)), Frame: FrameID(draw16(t)), System: drawName[SystemID](t), ReceivedAt: rapid.Int64().Draw(t, "at"),
		Class: rapid.SampledFrom([]Class{ClassPrompt, ClassBulk}).Draw(t, "class"), Lane: rapid.Uint16().Draw(t, "lane"),
		Part: uint16(rapid.IntRange(1, 5).Draw(t, "part")), Parts: 5, Records: []RecordHeader{}}
	copy(h.KeyMAC[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "mac"))
	for range rapid.IntRange(0, 5).Draw(t, "records") {
		r := RecordHeader{Record: RecordID(draw16(t)), Line: rapid.Uint32().Draw(t, "line"), Type: drawName[RecordType](t), Version: "1.0.0",
			Thing: rapid.Bool().Draw(t, "thing"), Principal: SubjectID(draw16(t))}
		for range rapid.IntRange(0, 3).Draw(t, "affected") {
			r.Affected = append(r.Affected, Affected{Subject: SubjectID(draw16(t)), Place: Pointer(rapid.StringN(0, 30, 200).Draw(t, "place")),
				Alias: rapid.Bool().Draw(t, "alias")})
		}
		for range rapid.IntRange(0, 4).Draw(t, "flows") {
			r.Flows = append(r.Flows, drawName[FlowID](t))
		}
		h.Records = append(h.Records, r)
	}
	return h
}

func TestHeaderRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHeader(t)
		b, err := AppendHeader([]byte("before"), h)
		if err != nil {
			t.Fatal(err)
		}
		got, rest, err := DecodeHeader(append(b[6:], "after"...))
		if err != nil || string(rest) != "after" || !reflect.DeepEqual(got, h) {
			t.Fatalf("%+v is read as %+v, rest %q, %v", h, got, rest, err)
		}
		records := make([][]byte, len(h.Records))
		for i := range records {
			records[i] = rapid.SliceOf(rapid.Byte()).Draw(t, "sealed")
		}
		part, err := DecodePart(AppendPart(nil, b[6:], []byte("ack"), records))
		if err != nil || !reflect.DeepEqual(part.Header, h) || string(part.Acknowledgement) != "ack" || part.HeaderDigest != DigestOf(b[6:]) {
			t.Fatalf("part: %+v, %v", part, err)
		}
		for i := range records {
			if !bytes.Equal(part.Records[i], records[i]) {
				t.Fatalf("record %d of the part", i)
			}
		}
	})
}

// Every cut and every flipped bit of a header is refused, or changes only what
// it says: nothing is read that would not be written so.
func TestHeaderDamage(t *testing.T) {
	b, err := AppendHeader(nil, sampleHeader())
	if err != nil {
		t.Fatal(err)
	}
	for n := range b {
		if _, _, err := DecodeHeader(b[:n]); !errors.Is(err, ErrFrame) {
			t.Fatalf("the first %d bytes are read: %v", n, err)
		}
	}
	for i := range b {
		for bit := range 8 {
			c := bytes.Clone(b)
			c[i] ^= 1 << bit
			h, rest, err := DecodeHeader(c)
			if err != nil {
				continue
			}
			again, err := AppendHeader(nil, h)
			if err != nil || !bytes.Equal(append(again, rest...), c) {
				t.Fatalf("bit %d of byte %d: read, but not as it is written", bit, i)
			}
		}
	}
}

func TestHeaderBounds(t *testing.T) {
	for name, change := range map[string]func(*Header){
		"system":      func(h *Header) { h.System = "" },
		"system name": func(h *Header) { h.System = "A B" },
		"class":       func(h *Header) { h.Class = 0 },
		"part 0":      func(h *Header) { h.Part = 0 },
		"part n+1":    func(h *Header) { h.Part = 3 },
		"records":     func(h *Header) { h.Records = make([]RecordHeader, MaxFrameRecords+1) },
		"affected":    func(h *Header) { h.Records[0].Affected = make([]Affected, MaxAffected+1) },
		"flows":       func(h *Header) { h.Records[0].Flows = make([]FlowID, MaxRecordFlows+1) },
		"flow name":   func(h *Header) { h.Records[0].Flows[0] = "RSSMRA" },
		"type":        func(h *Header) { h.Records[0].Type = "" },
		"version":     func(h *Header) { h.Records[0].Version = "123456789012345678901234567890123" },
		"place too long": func(h *Header) {
			h.Records[0].Affected[0].Place = Pointer(bytes.Repeat([]byte("x"), MaxPointerLength+1))
		},
	} {
		h := sampleHeader()
		change(h)
		if _, err := AppendHeader(nil, h); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A count that lies must not make the reader allocate what was never sent.
func TestLyingCounts(t *testing.T) {
	b, err := AppendHeader(nil, &Header{System: "s", Class: ClassPrompt, Part: 1, Parts: 1})
	if err != nil {
		t.Fatal(err)
	}
	binary.BigEndian.PutUint16(b[len(b)-2:], 0xffff) // records
	if allocated := testing.AllocsPerRun(10, func() {
		if _, _, err := DecodeHeader(b); !errors.Is(err, ErrFrame) {
			t.Fatal(err)
		}
	}); allocated > 20 {
		t.Errorf("%.0f allocations", allocated)
	}
}

func TestPartDamage(t *testing.T) {
	header, err := AppendHeader(nil, sampleHeader())
	if err != nil {
		t.Fatal(err)
	}
	part := AppendPart(nil, header, []byte("ack"), [][]byte{[]byte("one"), []byte("two")})
	for n := range part {
		if _, err := DecodePart(part[:n]); !errors.Is(err, ErrFrame) {
			t.Fatalf("the first %d bytes are a part: %v", n, err)
		}
	}
	if _, err := DecodePart(append(part, 0)); !errors.Is(err, ErrFrame) {
		t.Errorf("a byte too many: %v", err)
	}
	if _, err := DecodePart(AppendPart(nil, header, nil, [][]byte{[]byte("one")})); !errors.Is(err, ErrFrame) {
		t.Errorf("a record too few: %v", err)
	}
}

// What binds a sealed record to its place differs in every place.
func TestAAD(t *testing.T) {
	h := sampleHeader()
	d := Digest{1}
	seen := map[string]string{}
	add := func(what string, aad []byte) {
		if other, ok := seen[string(aad)]; ok {
			t.Errorf("%s has the same place as %s", what, other)
		}
		seen[string(aad)] = what
	}
	add("record 0", RecordAAD(h, d, 0))
	add("record 1", RecordAAD(h, d, 1))
	add("another header", RecordAAD(h, Digest{2}, 0))
	add("acknowledgement", AcknowledgementAAD(h, d))
	h.Lane++
	add("another lane", RecordAAD(h, d, 0))
	h.Frame[0]++
	add("another frame", RecordAAD(h, d, 0))
	add("its acknowledgement", AcknowledgementAAD(h, d))
}

func TestAlone(t *testing.T) {
	h := sampleHeader()
	one := h.Alone(1)
	if len(one.Records) != 1 || one.Records[0].Record != h.Records[1].Record || len(h.Records) != 2 || one.Frame != h.Frame {
		t.Errorf("%+v", one)
	}
}

func FuzzDecodeHeader(f *testing.F) {
	b, _ := AppendHeader(nil, sampleHeader())
	f.Add(b)
	f.Add([]byte("RcF\x01\x00\x00\x00\x08"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, rest, err := DecodeHeader(b)
		if err != nil {
			if !errors.Is(err, ErrFrame) || h != nil {
				t.Fatal(err)
			}
			return
		}
		again, err := AppendHeader(nil, h)
		if err != nil || !bytes.Equal(append(again, rest...), b) {
			t.Fatal("read, but not as it is written")
		}
	})
}

func FuzzDecodePart(f *testing.F) {
	header, _ := AppendHeader(nil, sampleHeader())
	f.Add(AppendPart(nil, header, []byte("ack"), [][]byte{[]byte("one"), {}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := DecodePart(b)
		if err != nil {
			if !errors.Is(err, ErrFrame) {
				t.Fatal(err)
			}
			return
		}
		header, err := AppendHeader(nil, p.Header)
		if err != nil || !bytes.Equal(AppendPart(nil, header, p.Acknowledgement, p.Records), b) {
			t.Fatal("read, but not as it is written")
		}
	})
}
