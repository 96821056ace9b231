package exchange

import (
	"bytes"
	"encoding/hex"
	command "flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// update writes golden files anew. They are what streams and ledgers hold: a
// change of one is a new version of the format, never an update.
var update = command.Bool("update", false, "write golden files")

func sampleHeader() *Header {
	return &Header{
		Hub: HubID{1}, Frame: FrameID{2}, System: "desk_system", KeyMAC: Digest{3}, BodyDigest: Digest{4}, Network: Digest{5},
		ReceivedAt: 1_773_489_600_123, Class: ClassBulk, Lane: 3, Part: 1, Parts: 2,
		Records: []RecordHeader{
			{Record: RecordID{6}, Line: 1, Type: "service_request", Version: "1.0.0", Principal: SubjectID{7},
				Affected: []Affected{{Subject: SubjectID{8}, Place: "/household/0"}, {Subject: SubjectID{9}, Place: "/household/0", Alias: true}},
				Flows:    []FlowID{"bed_north", "escort_north"}},
			{Record: RecordID{10}, Line: 70_000, Type: "service_places", Version: "2.1.0", Thing: true, Principal: SubjectID{11}},
		},
	}
}

func sampleEntry() *Entry {
	return &Entry{
		Seq: 4711, ID: EntryID{1, 2}, Kind: KindClaim, Time: 1_773_489_600_123, Network: Digest{5}, System: "clinic_system", Refers: 0,
		Lanes: []LaneRange{{Class: ClassPrompt, Lane: 2, From: Start(), To: Position{Offset: 41, Passed: 7}},
			{Class: ClassBulk, Lane: 0, From: Position{Offset: 1 << 40, Passed: 1}, To: Position{Offset: 1<<40 + 1}}},
		Rows: []Row{
			{Record: RecordID{6}, Subject: SubjectID{7}, Flow: FlowNumber("escort_north"), Clause: ClauseNumber("escort"), State: StateClaimed,
				Mark: MarkPossibly, Part: PartPrincipal, Attempt: 2, Reason: ReasonPermitted, Basis: 12, Dossier: 13,
				Categories: NewCategorySet(0, 63, 64, 127), Sequence: 1<<40 + 5},
			{Record: RecordID{6}, Subject: SubjectID{8}, Flow: FlowNumber("escort_north"), Clause: ClauseNumber("escort"), State: StateWithheld,
				Part: PartAffected, Attempt: 2, Reason: ReasonPruned, Sequence: 1<<40 + 5},
		},
		Fact: []byte(`{"stopped":true}`),
	}
}

// TestGolden holds the encodings to bytes written once: frames lie in streams
// and entries in ledgers that later versions must read.
func TestGolden(t *testing.T) {
	header, err := AppendHeader(nil, sampleHeader())
	if err != nil {
		t.Fatal(err)
	}
	e := sampleEntry()
	bare := &Entry{Kind: KindOrigin, Fact: []byte("{}")}
	for name, got := range map[string][]byte{
		"frame_header": header,
		"frame_part":   AppendPart(nil, header, []byte("sealed answer"), [][]byte{[]byte("one"), {}}),
		"entry_leaf":   e.AppendLeaf(nil),
		"entry_origin": bare.AppendLeaf(nil),
		"entry_rows":   AppendRows(nil, e.Rows),
	} {
		path := filepath.Join("testdata", name+".hex")
		if *update {
			if err := os.WriteFile(path, []byte(wrap(hex.EncodeToString(got))), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is\n%x\nand must be\n%x", name, got, want)
		}
	}
}

func wrap(s string) string {
	var b strings.Builder
	for len(s) > 64 {
		b.WriteString(s[:64] + "\n")
		s = s[64:]
	}
	return b.String() + s + "\n"
}

// The numbers of a ledger are for ever.
func TestFixedNumbers(t *testing.T) {
	if got := FlowNumber("bed_north"); got != 0 && got == ClauseNumber("bed_north") {
		t.Error("a flow and a clause of one name share a number")
	}
	for text, n := range map[Reason]uint16{ReasonPermitted: 1, ReasonConsentMissing: 3, ReasonStopped: 14, ReasonPruned: 16, ReasonConflictUnsolved: 35} {
		if text.Number() != n {
			t.Errorf("%s is %d, and must be %d", text, text.Number(), n)
		}
	}
	for s, n := range map[State]uint8{StatePending: 1, StateClaimed: 3, StateWithheld: 7, StateErased: 11} {
		if uint8(s) != n {
			t.Errorf("%s is %d", s, s)
		}
	}
	for k, n := range map[EntryKind]uint8{KindOrigin: 1, KindClaim: 8, KindClock: 14} {
		if uint8(k) != n {
			t.Errorf("%s is %d", k, k)
		}
	}
}
