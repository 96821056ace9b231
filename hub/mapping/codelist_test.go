package mapping

import (
	"reflect"
	"strings"
	"testing"

	"raccordo/hub/exchange"
)

func TestParseCodeList(t *testing.T) {
	list := codeList(t, "desk_services.csv")
	if list.ID() != "desk_services" || list.Source() != "written for these tests" || len(list.Codes()) != 5 {
		t.Errorf("%s %q %d", list.ID(), list.Source(), len(list.Codes()))
	}
	if got := list.Codes()["ACC_SANITARIO"]; !reflect.DeepEqual(got, []string{"Health"}) {
		t.Errorf("categories %v", got)
	}
	if label, ok := list.Label("LETTO", "label_it", "2026-03-01"); !ok || label != "posto letto" {
		t.Errorf("label %q", label)
	}
	if _, ok := list.Label("NIENTE", "label_it", ""); ok {
		t.Error("label of an unknown code")
	}
	fs := &faults{}
	table := list.table("code", "service", fs)
	for day, want := range map[string]string{"2025-12-31": "BED_OLD", "2026-01-01": "BED", "1900-01-01": "BED_OLD", "2999-01-01": "BED"} {
		if got, _ := table.lookup("LETTO", day); got != want {
			t.Errorf("%s: %s", day, got)
		}
	}
}

func TestParseCodeListRefuses(t *testing.T) {
	const head = "# source: x\n"
	for name, c := range map[string]struct {
		src, want string
		line      int
	}{
		"no source":         {"code,a\n1,2\n", "where it comes from", 1},
		"no code":           {head + "id,a\n1,2\n", "column code is missing", 2},
		"empty":             {"", "where it comes from", 1},
		"no rows":           {head + "code,a\n", "no rows", 0},
		"ragged":            {head + "code,a\n1\n", "1 cells where the header has 2", 3},
		"column twice":      {head + "code,a,a\n1,2,3\n", "is there twice", 2},
		"column without":    {head + "code,\n1,2\n", "no well-formed name", 2},
		"code twice":        {head + "code,a\n1,2\n1,3\n", "stands in line 3 too", 4},
		"overlap":           {head + "code,valid_from,valid_to\n1,2025-01-01,2025-12-31\n1,2025-12-31,\n", "stands in line 3 too", 4},
		"bad day":           {head + "code,valid_from\n1,31/12/2025\n", "not a day", 3},
		"days turned":       {head + "code,valid_from,valid_to\n1,2026-01-02,2026-01-01\n", "before", 3},
		"empty code":        {head + "code,a\n,2\n", "the code is empty", 3},
		"white space":       {head + "code,a\n1, 2\n", "white space", 3},
		"quote":             {head + "code,a\n1,\"2\n", "not CSV", 3},
		"bare quote":        {head + "code,a\n1,2\"3\n", "not CSV", 3},
		"NUL":               {head + "code,a\n1,\x00\n", "not UTF-8", 0},
		"windows":           {head + "code,a\n1,\xe8\n", "not UTF-8", 0},
		"mark":              {"\xef\xbb\xbf" + head + "code\n1\n", "byte order mark", 1},
		"newline in a cell": {head + "code,a\n1,\"2\n3\"\n", "control character", 3},
		"long cell":         {head + "code,a\n1," + strings.Repeat("x", 3000) + "\n", "control character or more", 3},
		"wide":              {head + "code" + strings.Repeat(",a", 100) + "\n", "more than 64 columns", 2},
		"semicolons":        {head + "code;a\n1;2\n", "no well-formed name", 2},
	} {
		t.Run(name, func(t *testing.T) {
			list, faults := ParseCodeList([]byte(c.src), "codelists/l.csv")
			if list != nil {
				t.Fatal("read")
			}
			for _, f := range faults {
				if strings.Contains(f.Message, c.want) && f.Line == c.line {
					return
				}
			}
			t.Errorf("%q in line %d not among %v", c.want, c.line, faults)
		})
	}
	if list, faults := ParseCodeList([]byte(head+"code\n1\n"), "codelists/Bad Name.csv"); list != nil || len(faults) == 0 {
		t.Error("a file whose name is no name")
	}
}

func TestNewCodeList(t *testing.T) {
	list, faults := NewCodeList("services", "services.yaml", []string{"code", "label_it", "category"},
		[][]string{{"BED", "posto letto, \"caldo\"", ""}, {"ACCOMP_HEALTH", "x", "Health"}})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	if label, _ := list.Label("BED", "label_it", ""); label != `posto letto, "caldo"` {
		t.Errorf("label %q", label)
	}
	if _, faults := NewCodeList("services", "services.yaml", []string{"code"}, [][]string{{"A"}, {"A"}}); len(faults) == 0 {
		t.Error("a code twice")
	}
	known := map[string]exchange.Category{"Social": 1}
	if faults := list.CheckCategories(known); len(faults) != 1 || !strings.Contains(faults[0].Message, "Health") {
		t.Errorf("unknown category: %v", faults)
	}
}

func TestAmbiguousTable(t *testing.T) {
	env := testEnv(t)
	list, faults := ParseCodeList([]byte("# source: x\ncode,other,note\n1,A,x\n2,A,y2\n3,B,z\n"), "codelists/two.csv")
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	env.CodeLists["two"] = list
	src := required + "  - {to: /note, from: /urgenza, codelist: {list: two, from: other, to: note}}\n"
	_, found := Compile([]byte(src), "mappings/m.yaml", env)
	if len(found) != 1 || found[0].File != "codelists/two.csv" || found[0].Line != 4 {
		t.Errorf("%v", found)
	}
}

func FuzzParseCodeList(f *testing.F) {
	f.Add(readFile(f, "desk_services.csv"))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, faults := ParseCodeList(b, "codelists/l.csv")
		if (list == nil) == (len(faults) == 0) {
			t.Fatal("neither a list nor a fault, or both")
		}
		if list != nil {
			for code := range list.Codes() {
				if code == "" {
					t.Fatal("an empty code")
				}
			}
		}
	})
}
