package consent

import (
	"bytes"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"flag"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"raccordo/hub/exchange"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sample has every field set.
func sample() *Record {
	return &Record{
		ID:          exchange.ConsentID{0xc0, 1},
		Scope:       Scope{exchange.SubjectID{0x5b, 2}, "health_escort", "sds_pistoiese", exchange.RoleHealthService},
		Categories:  exchange.NewCategorySet(3, 64, 127),
		RecordTypes: []exchange.RecordType{"service_request", "social_benefit"},
		Notice:      Notice{"notice_health_escort", "2026-02.1", "it", exchange.DigestOf([]byte("notice"))},
		Status:      StatusWithdrawn, By: BySubject, Method: MethodVerbalRecorded, At: 1_773_489_600_000,
		Commitment: exchange.DigestOf([]byte("evidence")), RecordedBy: "desk_livorno",
		GivenAt: 1_770_000_000_000, ExpiresAt: 1_900_000_000_000, GivenSeq: 41,
	}
}

// minimal has nothing that may be left out.
func minimal() *Record {
	return &Record{ID: exchange.ConsentID{1}, Scope: Scope{exchange.SubjectID{2}, "p", "b", exchange.RoleDeskOperator},
		Status: StatusUnknown, At: 1}
}

// TestGolden: the bytes in the ledger are for ever.
func TestGolden(t *testing.T) {
	for name, r := range map[string]*Record{"withdrawn.v1": sample(), "minimal.v1": minimal()} {
		b, err := AppendEvent(nil, r)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", name+".hex")
		if *update {
			if err := os.WriteFile(file, []byte(hex.EncodeToString(b)+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		golden, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.TrimSpace(string(golden)) != hex.EncodeToString(b) {
			t.Errorf("%s: the event has other bytes than before", name)
		}
		back, err := DecodeEvent(b)
		if err != nil || !equal(back, r) {
			t.Errorf("%s: read back as %+v, %v", name, back, err)
		}
	}
}

func equal(a, b *Record) bool {
	x, err1 := AppendEvent(nil, a)
	y, err2 := AppendEvent(nil, b)
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}

// TestEventRefuses: what may not stand in the ledger cannot be encoded, nor
// decoded.
func TestEventRefuses(t *testing.T) {
	for name, change := range map[string]func(*Record){
		"no id":            func(r *Record) { r.ID = exchange.ConsentID{} },
		"no subject":       func(r *Record) { r.Subject = exchange.SubjectID{} },
		"no purpose":       func(r *Record) { r.Purpose = "" },
		"text as purpose":  func(r *Record) { r.Purpose = "per il sig. Rossi" },
		"text as body":     func(r *Record) { r.Body = "Comune di Livorno" },
		"text as role":     func(r *Record) { r.Role = "una persona" },
		"types unsorted":   func(r *Record) { r.RecordTypes = []exchange.RecordType{"b", "a"} },
		"type twice":       func(r *Record) { r.RecordTypes = []exchange.RecordType{"a", "a"} },
		"too many types":   func(r *Record) { r.RecordTypes = make([]exchange.RecordType, MaxRecordTypes+1) },
		"no status":        func(r *Record) { r.Status = "" },
		"unknown status":   func(r *Record) { r.Status = "granted" },
		"unknown by":       func(r *Record) { r.By = "NEIGHBOUR" },
		"unknown method":   func(r *Record) { r.Method = "TELEPATHY" },
		"half a notice":    func(r *Record) { r.Notice.Version = "" },
		"text as version":  func(r *Record) { r.Notice.Version = "la seconda" },
		"language":         func(r *Record) { r.Notice.Language = "ITA" },
		"text as recorder": func(r *Record) { r.RecordedBy = "Mario Rossi" },
		"no time":          func(r *Record) { r.At = 0 },
		"negative expiry":  func(r *Record) { r.ExpiresAt = -1 },
		"give without its moment": func(r *Record) {
			r.Status, r.GivenAt, r.GivenSeq = StatusGiven, 0, 0
		},
		"give with a sequence": func(r *Record) { r.Status = StatusGiven },
	} {
		r := sample()
		change(r)
		if b, err := AppendEvent([]byte("x"), r); !errors.Is(err, ErrEvent) || string(b) != "x" {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), "ossi") {
			t.Errorf("%s: the error quotes the value", name)
		}
	}
	good, err := AppendEvent(nil, sample())
	if err != nil {
		t.Fatal(err)
	}
	for n := range good {
		if _, err := DecodeEvent(good[:n]); !errors.Is(err, ErrEvent) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := DecodeEvent(append(bytes.Clone(good), 0)); !errors.Is(err, ErrEvent) {
		t.Error("a byte after the event was accepted")
	}
	good[3] = EventVersion + 1
	if _, err := DecodeEvent(good); !errors.Is(err, ErrEvent) {
		t.Error("another version was read")
	}
}

func FuzzDecodeEvent(f *testing.F) {
	for _, r := range []*Record{sample(), minimal()} {
		b, err := AppendEvent(nil, r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := DecodeEvent(b)
		if err != nil {
			return
		}
		again, err := AppendEvent(nil, r)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("decoded from other bytes than it encodes to: %v", err)
		}
	})
}

func TestEventRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a-z][a-z0-9_]{0,62}`)
		r := sample()
		r.Purpose = exchange.PurposeID(name.Draw(t, "purpose"))
		r.Body = exchange.BodyID(name.Draw(t, "body"))
		r.RecordTypes = sorted(rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) exchange.RecordType {
			return exchange.RecordType(name.Draw(t, "type"))
		}), 0, MaxRecordTypes, rapid.ID).Draw(t, "types"))
		r.Status = rapid.SampledFrom(Statuses()).Draw(t, "status")
		r.By = rapid.SampledFrom(bys).Draw(t, "by")
		r.Method = rapid.SampledFrom(methods).Draw(t, "method")
		r.ExpiresAt = rapid.Int64Min(0).Draw(t, "expires")
		r.GivenSeq = rapid.Uint64().Draw(t, "seq")
		if r.Status.Permits() {
			r.GivenSeq = 0
		}
		b, err := AppendEvent(nil, r)
		if err != nil {
			t.Fatal(err)
		}
		back, err := DecodeEvent(b)
		if err != nil || !equal(back, r) || back.Status != r.Status || back.By != r.By || back.Method != r.Method ||
			back.ExpiresAt != r.ExpiresAt || back.Scope != r.Scope || back.GivenSeq != r.GivenSeq {
			t.Fatalf("read back as another record: %v", err)
		}
	})
}

// TestStatuses holds the words against the list of DPV terms (shared data,
// codes/consent_status_dpv.csv).
func TestStatuses(t *testing.T) {
	for _, s := range Statuses() {
		word, err1 := ParseStatus(string(s))
		iri, err2 := ParseStatus(s.IRI())
		if err1 != nil || err2 != nil || word != s || iri != s || !s.IsValid() {
			t.Errorf("%s: %v, %v", s, err1, err2)
		}
		if s.Permits() && s.Restricts() || s.Permits() != (s.Reason() == exchange.ReasonPermitted) {
			t.Errorf("%s both permits and does not", s)
		}
	}
	for _, bad := range []string{"", "granted", "Given", "https://w3id.org/dpv#ConsentRequestDeferred"} {
		if s, err := ParseStatus(bad); err == nil || s.Permits() || Status(bad).IsValid() {
			t.Errorf("read %q", bad)
		}
	}
	f, err := os.Open(sharedData(t, "codes/consent_status_dpv.csv"))
	if err != nil {
		t.Skip("the shared data are not beside the module")
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, row := range rows[1:] {
		s, err := ParseStatus(row[0])
		if err != nil {
			if !strings.HasSuffix(row[0], "ConsentRequestDeferred") {
				t.Errorf("%s is not known", row[0])
			}
			continue
		}
		seen++
		if s.Permits() != (row[1] == "yes") {
			t.Errorf("%s permits: %t, the vocabulary says %s", s, s.Permits(), row[1])
		}
	}
	if seen != len(Statuses()) {
		t.Errorf("%d of %d states are in the vocabulary", seen, len(Statuses()))
	}
}

// sharedData is the path of a file of facts beside the module.
func sharedData(t *testing.T, name string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(filepath.Dir(dir), "shared", "data", name)
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the package")
		}
		dir = filepath.Dir(dir)
	}
}

func TestCommitment(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	salt, err := NewSalt(random)
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewSalt(random)
	if err != nil {
		t.Fatal(err)
	}
	evidence := exchange.NewPayload([]byte("signed form"))
	c := Commit(salt, evidence)
	if !Proves(c, salt, evidence) {
		t.Error("the evidence does not prove itself")
	}
	if Proves(c, other, evidence) || Proves(c, salt, exchange.NewPayload([]byte("another form"))) {
		t.Error("something else proves it")
	}
	if c == exchange.DigestOf([]byte("signed form")) {
		t.Error("the digest is not salted")
	}
	if _, err := NewSalt(strings.NewReader("short")); err == nil {
		t.Error("a salt was made of too little")
	}
}
