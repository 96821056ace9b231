package intake_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"raccordo/hub/exchange"
	"raccordo/hub/intake"
	"raccordo/hub/person"
	"raccordo/hub/store"
)

const (
	cfMother = "RSSMRA80A41E625U"
	cfChild  = "RSSLGU15A01E625J"
	stp      = "STP0900010000123"
	otherSTP = "STP0900010000124"
)

// record pushes one record that names persons and gives its header.
func (f *fixture) header(system exchange.SystemID, persons ...string) *exchange.RecordHeader {
	f.t.Helper()
	f.clock.pass(time.Second)
	quoted := make([]string, len(persons))
	for i, p := range persons {
		quoted[i] = fmt.Sprintf("%q", p)
	}
	_, err := f.pushAs(system, "k"+f.clock.Now().String(), fmt.Sprintf(`{"id":"1","persons":[%s]}`, strings.Join(quoted, ",")))
	require.NoError(f.t, err)
	return f.last()
}

func (f *fixture) conflicts() []store.ConflictRow {
	f.t.Helper()
	var rows []store.ConflictRow
	require.NoError(f.t, f.store.View(context.Background(), func(tx store.ReadTx) (err error) {
		rows, err = tx.Conflicts(100)
		return err
	}))
	return rows
}

func pair(a, b exchange.SubjectID) [2]exchange.SubjectID {
	if string(a[:]) > string(b[:]) {
		return [2]exchange.SubjectID{b, a}
	}
	return [2]exchange.SubjectID{a, b}
}

func cf(t *testing.T, first15 string) string {
	c, err := person.CheckCharacter(first15)
	require.NoError(t, err)
	return first15 + string(c)
}

func TestPersonsAreFoundAgain(t *testing.T) {
	f := newFixture(t, withFakePlan)
	mother, child := "CF "+cf(t, cfMother[:15]), "CF "+cf(t, cfChild[:15])
	first := f.header("desk_a", mother)
	require.Equal(t, first.Principal, f.header("desk_a", mother).Principal)
	require.Equal(t, first.Principal, f.header("desk_b", mother).Principal, "another body knows the same person")
	both := f.header("desk_a", child, mother)
	require.NotEqual(t, first.Principal, both.Principal)
	require.Equal(t, []exchange.Affected{{Subject: first.Principal, Place: "/persons/1"}}, both.Affected)
	f.close()
	f.open()
	require.Equal(t, first.Principal, f.header("desk_a", mother).Principal, "after a restart")
	require.Empty(t, f.conflicts())
}

func TestLocalCodesBelongToTheirBody(t *testing.T) {
	f := newFixture(t, withFakePlan)
	a := f.header("desk_a", "LOCAL 42")
	require.Equal(t, a.Principal, f.header("desk_a", "LOCAL 42").Principal)
	require.NotEqual(t, a.Principal, f.header("desk_b", "LOCAL 42").Principal)
}

func TestAnUnknownIdentifierIsAttachedOnlyByWhoIdentifies(t *testing.T) {
	f := newFixture(t, withFakePlan)
	mother := "CF " + cf(t, cfMother[:15])
	known := f.header("desk_a", mother)
	require.Equal(t, known.Principal, f.header("desk_a", mother+"+STP "+stp).Principal)
	require.NotEqual(t, known.Principal, f.header("desk_a", "STP "+stp).Principal, "a desk's word does not join them")
	require.Equal(t, known.Principal, f.header("registry", mother+"+STP "+otherSTP).Principal)
	require.Equal(t, known.Principal, f.header("desk_a", "STP "+otherSTP).Principal, "the registry's does")
}

func TestTwoKnownIDsAreAskedAboutNotJoined(t *testing.T) {
	for _, persisted := range []bool{true, false} {
		t.Run(fmt.Sprintf("index persisted %v", persisted), func(t *testing.T) {
			f := newFixture(t, withFakePlan, func(f *fixture) { f.noIndex = !persisted })
			mother := "CF " + cf(t, cfMother[:15])
			byCF, bySTP := f.header("desk_a", mother).Principal, f.header("desk_a", "STP "+stp).Principal
			both := f.header("registry", "STP "+stp+"+"+mother)
			require.Equal(t, byCF, both.Principal, "the strongest wins")
			require.Equal(t, []exchange.Affected{{Subject: bySTP, Place: "/persons/0", Alias: true}}, both.Affected)
			child := f.header("desk_a", "LOCAL 1", mother+"+STP "+stp)
			require.Equal(t, []exchange.Affected{{Subject: byCF, Place: "/persons/1"}, {Subject: bySTP, Place: "/persons/1", Alias: true}}, child.Affected)
			if !persisted { // found again from the headers
				f.close()
				f.open()
			} else {
				f.persisted("desk_a", 3)
				f.persisted("registry", 1)
			}
			rows := f.conflicts()
			require.Len(t, rows, 1)
			require.Equal(t, pair(byCF, bySTP), [2]exchange.SubjectID{rows[0].A, rows[0].B})
			require.Equal(t, both.Record, rows[0].Record, "where it was seen first")
		})
	}
}

// TestANamedPersonIsNoMereAlias: an id that is another's alias at one place and
// a person at another must be decided as a person.
func TestANamedPersonIsNoMereAlias(t *testing.T) {
	f := newFixture(t, withFakePlan)
	mother := "CF " + cf(t, cfMother[:15])
	byCF, bySTP := f.header("desk_a", mother).Principal, f.header("desk_a", "STP "+stp).Principal
	h := f.header("desk_a", mother+"+STP "+stp, "STP "+stp)
	require.Equal(t, byCF, h.Principal)
	require.Equal(t, []exchange.Affected{{Subject: bySTP, Place: "/persons/1"}, {Subject: bySTP, Place: "/persons/0", Alias: true}}, h.Affected)
	// The principal again, with another id: that one binds the record.
	h = f.header("desk_a", mother, "STP "+stp+"+"+mother)
	require.Equal(t, byCF, h.Principal)
	require.Equal(t, []exchange.Affected{{Subject: bySTP, Place: "/persons/1", Alias: true}}, h.Affected)
	// Somebody whose other id is the principal's: the principal is asked anyway.
	h = f.header("desk_a", "STP "+stp, mother+"+STP "+stp)
	require.Equal(t, bySTP, h.Principal)
	require.Equal(t, []exchange.Affected{{Subject: byCF, Place: "/persons/1"}}, h.Affected)
}

// TestWhoStandsTwiceIsLeftOutTwice: each place is in the header, or a person
// who is pruned would stay in at the second.
func TestWhoStandsTwiceIsLeftOutTwice(t *testing.T) {
	f := newFixture(t, withFakePlan)
	h := f.header("desk_a", "LOCAL 1", "LOCAL 2", "LOCAL 3", "LOCAL 2", "LOCAL 1")
	require.Len(t, h.Affected, 3)
	require.Equal(t, h.Affected[0].Subject, h.Affected[2].Subject)
	require.Equal(t, []exchange.Pointer{"/persons/1", "/persons/2", "/persons/3"},
		[]exchange.Pointer{h.Affected[0].Place, h.Affected[1].Place, h.Affected[2].Place})
}

func TestIdentifiersThatAreNoKeys(t *testing.T) {
	f := newFixture(t, withFakePlan)
	wrongCheck := cf(t, cfMother[:15])[:15] + "Z"
	if wrongCheck == cf(t, cfMother[:15]) {
		wrongCheck = wrongCheck[:15] + "Y"
	}
	seventeen := make([]string, 17)
	for i := range seventeen {
		seventeen[i] = fmt.Sprintf("LOCAL 9%d", i)
	}
	for name, c := range map[string]struct {
		persons string
		faults  []exchange.Fault
	}{
		"wrong check character": {`"CF ` + wrongCheck + `"`, []exchange.Fault{{Pointer: "/persons/0/identifiers/0/value", Rule: "identifier_check"}}},
		"second of two":         {`"LOCAL 1+CF ` + wrongCheck + `"`, []exchange.Fault{{Pointer: "/persons/0/identifiers/1/value", Rule: "identifier_check"}}},
		"of an affected one":    {`"LOCAL 1","LOCAL 0000"`, []exchange.Fault{{Pointer: "/persons/1/identifiers/0/value", Rule: "identifier_placeholder"}}},
		"each is named":         {`"LOCAL ----","STP 1"`, []exchange.Fault{{Pointer: "/persons/0/identifiers/0/value", Rule: "identifier_placeholder"}, {Pointer: "/persons/1/identifiers/0/value", Rule: "identifier_length"}}},
		"unknown system":        {`"PASSPORT canarino"`, []exchange.Fault{{Pointer: "/persons/0/identifiers/0/value", Rule: "identifier_system"}}},
		"a permit alone":        {`"PERMIT CANARINO1"`, []exchange.Fault{{Pointer: "/persons/0", Rule: "no_identifier"}}},
		"more than 16":          {`"` + strings.Join(seventeen, "+") + `"`, []exchange.Fault{{Pointer: "/persons/0", Rule: "max_identifiers"}}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.pushFake("k", `{"id":"1","persons":[`+c.persons+`]}`)
			refused(t, err, exchange.CodeInvalid, exchange.ReasonBadIdentifier, c.faults...)
			// Nor does it cost the line beside it.
			ack, err := f.pushFakeLines("k "+name, `{"id":"1","persons":[`+c.persons+`]}`, `{"id":"2","persons":["LOCAL 7"]}`)
			require.NoError(t, err)
			require.False(t, ack.Lines[0].Accepted())
			require.True(t, ack.Lines[1].Accepted())
		})
	}
	h := f.header("desk_a", "PERMIT X1+LOCAL 7")
	require.NotEqual(t, exchange.SubjectID{}, h.Principal, "a permit beside a key does no harm")
}

func TestWhomARecordIsAbout(t *testing.T) {
	f := newFixture(t, withFakePlan)
	names := func(n int) string {
		out := make([]string, n)
		for i := range out {
			out[i] = fmt.Sprintf(`"LOCAL P%d"`, i)
		}
		return strings.Join(out, ",")
	}
	ack, err := f.pushFake("31", `{"id":"1","persons":[`+names(31)+`]}`)
	require.NoError(t, err)
	require.True(t, ack.Lines[0].Accepted())
	require.Len(t, f.last().Affected, 30)
	for body, rule := range map[string]string{
		`{"id":"1","persons":[` + names(32) + `]}`:       "max_persons",
		`{"id":"1","persons":[]}`:                        "no_person",
		`{"id":"1"}`:                                     "no_person",
		`{"id":"1","nobody":"x","persons":["LOCAL P1"]}`: "no_principal",
	} {
		_, err := f.pushFake("k", body)
		refused(t, err, exchange.CodeInvalid, exchange.ReasonSemantic, exchange.Fault{Rule: rule})
	}
	require.Len(t, f.stored(exchange.ClassPrompt), 1)
}

// TestNoRestrictionIsDroppedForWantOfRoom: a full record one of whose persons
// has a second known id.
func TestNoRestrictionIsDroppedForWantOfRoom(t *testing.T) {
	f := newFixture(t, withFakePlan)
	f.header("desk_a", "STP "+stp)
	f.header("desk_a", "LOCAL P3")
	persons := make([]string, 31)
	for i := range persons {
		persons[i] = fmt.Sprintf(`"LOCAL P%d"`, i)
	}
	persons[3] = `"LOCAL P3+STP ` + stp + `"`
	ack, err := f.pushFakeLines("k", `{"id":"1","persons":[`+strings.Join(persons, ",")+`]}`, `{"id":"2","persons":[`+strings.Join(persons[:30], ",")+`]}`)
	require.NoError(t, err)
	refused(t, ack.Lines[0].Refusal(), exchange.CodeInvalid, exchange.ReasonConflictUnsolved, exchange.Fault{Rule: "max_persons"})
	require.True(t, ack.Lines[1].Accepted())
	require.Len(t, f.last().Affected, 30)
	_, err = f.pushFake("k2", `{"id":"1","persons":[`+strings.Join(persons, ",")+`]}`)
	refused(t, err, exchange.CodeInvalid, exchange.ReasonConflictUnsolved)
	require.Equal(t, 2, f.metrics.refused[exchange.ReasonConflictUnsolved])
}

func TestThings(t *testing.T) {
	f := newFixture(t, withFakePlan)
	push := func(system exchange.SystemID, key string) *exchange.RecordHeader {
		_, err := f.intake.Push(context.Background(), intake.Push{System: system, Type: "test_place", Key: key, MediaType: "application/json", Body: exchange.NewPayload([]byte(`{"id":"1"}`))})
		require.NoError(t, err)
		return f.last()
	}
	a := push("desk_a", "1")
	require.True(t, a.Thing)
	require.NotEqual(t, exchange.SubjectID{}, a.Principal)
	require.Equal(t, a.Principal, push("desk_a", "2").Principal, "one lane, one order")
	require.NotEqual(t, a.Principal, push("desk_b", "1").Principal)
}

// TestOnePersonOneLane: whatever the request, records of a person share a lane,
// in the order of the lines.
func TestOnePersonOneLane(t *testing.T) {
	f := newFixture(t, withFakePlan)
	var lines []string
	for i := range 200 {
		lines = append(lines, fmt.Sprintf(`{"id":"%d","persons":["LOCAL P%d"]}`, i, i%20))
	}
	ack, err := f.pushFakeLines("k", lines...)
	require.NoError(t, err)
	accepted, _ := ack.Count()
	require.Equal(t, 200, accepted)
	parts := f.stored(exchange.ClassPrompt)
	require.Greater(t, len(parts), 1)
	require.LessOrEqual(t, len(parts), 4)
	lane, line := map[exchange.SubjectID]uint16{}, map[exchange.SubjectID]uint32{}
	total := 0
	for k, p := range parts {
		require.Equal(t, [2]uint16{uint16(k + 1), uint16(len(parts))}, [2]uint16{p.Header.Part, p.Header.Parts})
		require.Equal(t, k == 0, len(p.Acknowledgement) > 0, "part 1 holds the answer")
		for _, r := range p.Header.Records {
			total++
			require.Equal(t, exchange.Lane(r.Principal, 4), p.Header.Lane)
			if was, ok := lane[r.Principal]; ok {
				require.Equal(t, was, p.Header.Lane)
			}
			require.Greater(t, r.Line, line[r.Principal])
			lane[r.Principal], line[r.Principal] = p.Header.Lane, r.Line
		}
	}
	require.Equal(t, 200, total)
	require.Len(t, lane, 20)
}
