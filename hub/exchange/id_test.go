package exchange

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// textual is what every identifier can do.
type textual interface {
	String() string
	MarshalText() ([]byte, error)
}

func TestIDsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "raw"))
		again := func(name string, in textual, parse func(string) (textual, error), uuid bool) {
			s := in.String()
			if len(s) != 32 && !uuid || len(s) != 36 && uuid {
				t.Fatalf("%s: %q", name, s)
			}
			out, err := parse(s)
			if err != nil || out != in {
				t.Fatalf("%s: %q is read as %v, %v", name, s, out, err)
			}
			if b, err := in.MarshalText(); err != nil || string(b) != s {
				t.Fatalf("%s: text %q", name, b)
			}
		}
		again("hub", HubID(raw), func(s string) (textual, error) { return ParseHubID(s) }, false)
		again("frame", FrameID(raw), func(s string) (textual, error) { return ParseFrameID(s) }, true)
		again("record", RecordID(raw), func(s string) (textual, error) { return ParseRecordID(s) }, true)
		again("subject", SubjectID(raw), func(s string) (textual, error) { return ParseSubjectID(s) }, false)
		again("entry", EntryID(raw), func(s string) (textual, error) { return ParseEntryID(s) }, false)
		again("disclosure", DisclosureID(raw), func(s string) (textual, error) { return ParseDisclosureID(s) }, true)
		again("consent", ConsentID(raw), func(s string) (textual, error) { return ParseConsentID(s) }, true)
		again("dossier", DossierID(raw), func(s string) (textual, error) { return ParseDossierID(s) }, true)
	})
}

func TestIDsInJSON(t *testing.T) {
	type all struct {
		H HubID
		F FrameID
		R RecordID
		S SubjectID
		E EntryID
		D DisclosureID
		C ConsentID
		O DossierID
		X Digest
	}
	in := all{HubID{1}, FrameID{2}, RecordID{3}, SubjectID{4}, EntryID{5}, DisclosureID{6}, ConsentID{7}, DossierID{8}, Digest{9}}
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out all
	if err := json.Unmarshal(b, &out); err != nil || out != in {
		t.Errorf("%s: %v", b, err)
	}
}

func TestBadIDs(t *testing.T) {
	good := strings.Repeat("0a", 16)
	for _, s := range []string{"", "0", good[:31], good + "0", strings.ToUpper(good), "g" + good[1:], " " + good[1:],
		"0a0a0a0a-0a0a-0a0a-0a0a-0a0a0a0a0a0", "0a0a0a0a_0a0a-0a0a-0a0a-0a0a0a0a0a0a", "0A0a0a0a-0a0a-0a0a-0a0a-0a0a0a0a0a0a",
		"{0a0a0a0a-0a0a-0a0a-0a0a-0a0a0a0a0a0a}", "urn:uuid:" + good, good[:16] + "\x00" + good[17:], "０a" + good[4:]} {
		if _, err := ParseRecordID(s); !errors.Is(err, ErrBadID) {
			t.Errorf("%q: %v", s, err)
		}
		if err := new(SubjectID).UnmarshalText([]byte(s)); !errors.Is(err, ErrBadID) {
			t.Errorf("%q as text: %v", s, err)
		}
	}
	long := strings.Repeat("0a", 32)
	for _, s := range []string{"", good, long[:63], long + "0", strings.ToUpper(long), "g" + long[1:]} {
		if err := new(Digest).UnmarshalText([]byte(s)); !errors.Is(err, ErrBadID) {
			t.Errorf("digest %q: %v", s, err)
		}
	}
}

func TestDrawnIDs(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		h, err1 := NewHubID(rand.Reader)
		s, err2 := NewSubjectID(rand.Reader)
		e, err3 := NewEntryID(rand.Reader)
		c, err4 := NewConsentID(rand.Reader)
		d, err5 := NewDossierID(rand.Reader)
		if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
			t.Fatal(err)
		}
		for _, x := range []textual{h, s, e, c, d} {
			if seen[x.String()] {
				t.Fatal("drawn twice")
			}
			seen[x.String()] = true
		}
		for _, x := range []string{c.String(), d.String()} {
			if x[14] != '8' || !strings.ContainsRune("89ab", rune(x[19])) {
				t.Errorf("%s is no UUID of version 8", x)
			}
		}
	}
	for _, err := range []error{
		func() error { _, err := NewHubID(strings.NewReader("short")); return err }(),
		func() error { _, err := NewSubjectID(bytes.NewReader(nil)); return err }(),
		func() error { _, err := NewEntryID(bytes.NewReader(nil)); return err }(),
		func() error { _, err := NewConsentID(bytes.NewReader(nil)); return err }(),
		func() error { _, err := NewDossierID(bytes.NewReader(nil)); return err }(),
	} {
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("without randomness: %v", err)
		}
	}
}

func TestDerivedIDs(t *testing.T) {
	r := RecordIDFromMAC(DigestOf([]byte("a")))
	f := FrameIDFromMAC(DigestOf([]byte("a")))
	if r.String() != f.String() || r.String()[14] != '8' {
		t.Errorf("%s, %s", r, f)
	}
	one, two := NewDisclosureID(r, "flow_a"), NewDisclosureID(r, "flow_b")
	if one == two || one != NewDisclosureID(r, "flow_a") || one == NewDisclosureID(RecordID{1}, "flow_a") {
		t.Error("a disclosure id is not that of its record and flow")
	}
}

func TestNames(t *testing.T) {
	for s, ok := range map[string]bool{"a": true, "a_1": true, strings.Repeat("a", 63): true, "": false, strings.Repeat("a", 64): false,
		"1a": false, "_a": false, "A": false, "a-b": false, "a b": false, "à": false, "a\x00": false, "a.b": false} {
		if ValidName(s) != ok {
			t.Errorf("%q: %t", s, !ok)
		}
		if got, err := ParseName[FlowID](s); ok != (err == nil) || ok && string(got) != s {
			t.Errorf("%q: %q, %v", s, got, err)
		}
	}
	for _, r := range []Role{RoleSocialService, RoleRegistryOffice, RoleEmploymentService, RoleBenefitPayer, RoleHealthService,
		RoleDeskOperator, RoleServiceProvider, RoleNetworkManager, RoleObserver} {
		if !r.IsValid() || !ValidName(string(r)) {
			t.Errorf("role %s", r)
		}
	}
	if Role("mayor").IsValid() || Role("").IsValid() {
		t.Error("an unknown role is valid")
	}
	for _, c := range []Class{ClassPrompt, ClassBulk} {
		if got, err := ParseClass(c.String()); err != nil || got != c {
			t.Errorf("class %v: %v", c, err)
		}
	}
	if Class(0).String() != "invalid" || Class(3).String() != "invalid" {
		t.Error("an unknown class has a name")
	}
}

func TestLane(t *testing.T) {
	counts := make([]int, 4)
	for range 4000 {
		s, err := NewSubjectID(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		counts[Lane(s, 4)]++
	}
	for i, n := range counts {
		if n < 700 || n > 1300 {
			t.Errorf("lane %d got %d of 4000", i, n)
		}
	}
	if Lane(SubjectID{0, 0, 1, 1}, 64) != 257%64 || Lane(SubjectID{0xff, 0xff, 0xff, 0xff}, 4) != 3 {
		t.Error("a lane is the first four bytes modulo the number of lanes")
	}
}
