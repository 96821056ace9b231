package network

import "testing"

// field adds a field to the mapping that the flows house and ward share.
func field(text string) change {
	return change{askOut, "  - {to: /when, from: /requested_at}\n", "  - {to: /when, from: /requested_at}\n" + text + "\n"}
}

// inList adds a field to the items of the nested list.
func inList(text string) change {
	const line = "      - {to: /code, from: /identifiers/0/value}\n"
	return change{askOut, line, line + text + "\n"}
}

// Each of these would disclose what the clause does not permit. None of them
// may load, and the fault names the line of the mapping or flow that does it.
func TestLeaks(t *testing.T) {
	const health = "would disclose Health, which clause to_house does not permit"
	const disability = "would disclose Disability, which clause to_house does not permit"
	runBroken(t, []broken{
		{"a property", []change{field("  - {to: /note, from: /accompaniment/place}")}, askOut, "/accompaniment/place", health},
		{"a property in a nested list", []change{inList("      - {to: /name, from: /family_name}")}, askOut, "/family_name",
			"would disclose Name, which clause to_house does not permit"},
		{"from the root into a nested list", []change{inList("      - {to: /flag, from: ^/constraints/accessible, as: string}")}, askOut, "accessible", disability},
		{"a constant by a condition", []change{field("  - {to: /note, const: x, when: {path: /constraints/accessible, equals: true}}")}, askOut, "accessible", disability},
		{"a constant in a nested list by a condition", []change{inList("      - {to: /flag, const: x, when: {path: ^/constraints/accessible, equals: true}}")},
			askOut, "accessible", disability},
		{"a constant by presence", []change{field("  - {to: /note, const: x, when: {path: /accompaniment/place, present: true}}")}, askOut, "/accompaniment/place", health},
		{"a constant by absence", []change{field("  - {to: /note, const: x, when: {path: /accompaniment/place, present: false}}")}, askOut, "/accompaniment/place", health},
		{"a constant by a code that says it", []change{field("  - {to: /note, const: x, when: {path: /service, equals: CARE}}")}, askOut, "equals: CARE", health},
		{"a constant by all codes but those that do not", []change{field("  - {to: /note, const: x, when: {path: /service, not_in: [WALK, BED]}}")}, askOut, "not_in", health},
		{"a constant by a code of another list", []change{field("  - {to: /note, const: x, when: {path: /accompaniment/kind, equals: HEALTH}}")}, askOut, "equals: HEALTH", health},
		{"a choice between constants", []change{field("  - to: /note\n    choose:\n      - {const: x, when: {path: /constraints/accessible, equals: true}}\n      - {const: other}")},
			askOut, "accessible", disability},
		{"a label that one code alone has", []change{{askOut, "to: generic", "to: exact"}}, askOut, "to: exact", health},
		{"the code itself", []change{field("  - {to: /note, from: /service}")}, askOut, "/note, from: /service", health},
		{"two labels that have one code in common", []change{
			{"codelists/kinds.csv", "code,generic,exact\nBED,bed,bed\nCARE,walk,care\nWALK,walk,walk\n", "code,generic,exact\nBED,a,c\nCARE,a,d\nWALK,b,d\n"},
			{north, "services: [CARE, WALK]", "services: [BED, CARE, WALK]"},
			{north, "services: [BED]\n", "services: [BED, CARE, WALK]\n"}, // so that the way it comes tells nothing
			field("  - {to: /note, from: /service, codelist: {list: kinds, to: exact}}"),
		}, askOut, "to: exact", health},
		{"inside CEL", []change{field("  - {to: /note, cel: 'a ? \"x\" : \"x\"', reads: {a: /constraints/accessible}}")}, askOut, "accessible", disability},
		{"a whole object inside CEL", []change{field("  - {to: /note, cel: 'string(size(a))', reads: {a: /accompaniment}}")}, askOut, "/accompaniment", health},
		{"a joined text", []change{field("  - {to: /note, join: {from: [/requested_at, /accompaniment/place], with: \" \"}}")}, askOut, "/accompaniment/place", health},
		{"the first fitting item", []change{field("  - {to: /note, first: /for, where: {path: /family_name, present: true}, from: /identifiers/0/value}")}, askOut, "/family_name",
			"would disclose Name, which clause to_house does not permit"},
		{"the condition of a flow", []change{{north, `condition: record.urgency == "EMERGENCY"`, "condition: record.constraints.accessible == true"}}, north, "record.constraints",
			"house_bed_urgent discloses Disability, which clause to_house does not permit"},
		{"the whole record in the condition of a flow", []change{{north, `condition: record.urgency == "EMERGENCY"`, "condition: size(record) > 12"}}, north, "size(record)",
			"reads the whole record"},
		{"the service in the condition of a flow that carries a code that says it",
			[]change{{north, "services: [CARE, WALK]\n", "services: [CARE, WALK]\n    condition: record.service == \"CARE\"\n"}}, north, `"CARE"`,
			"reads /service, so a record that comes through flow house discloses Health"},
		{"the clause's own condition", []change{{accord, "categories: [NonPersonal, OfficialID, Social]\n", "categories: [NonPersonal, OfficialID, Social]\n    when: has(record.accompaniment)\n"}},
			accord, "has(record.accompaniment)", "discloses Health, which clause to_house does not permit"},
		{"the service that alone comes through a flow", []change{{north, "services: [CARE, WALK]", "services: [CARE]"}}, north, "services: [CARE]",
			"every service it can be (CARE) says it"},
		{"a second flow that carries all but the one", []change{{north, "  - id: ward\n", `  - id: walk
    record_type: service_request
    territory: north
    producers: [desk_system]
    clause: to_house
    recipient: house_system
    role: service_provider
    services: [WALK]
    format: ask
    mapping: ask_out
  - id: ward
`}}, north, "services: [CARE, WALK]", "every service it can be (CARE) says it"},
		{"the way in: health becomes a note", []change{{askedIn, "  - {to: /service, const: BED}", "  - {to: /service, const: BED}\n  - {to: /need_note, from: /diagnosis}"}}, askedIn, "/diagnosis",
			"/need_note of service_request does not carry that category"},
		{"the way in: health chooses the urgency", []change{{askedIn, "  - {to: /urgency, const: ROUTINE}",
			"  - to: /urgency\n    choose:\n      - {const: URGENT, when: {path: /diagnosis, equals: x}}\n      - {const: ROUTINE}"}}, askedIn, "/diagnosis",
			"/urgency of service_request does not carry that category"},
		{"a code list nobody has", []change{{"codelists/accompaniment_kinds.csv", "", ""}}, networkY, "record_types", "the code list accompaniment_kinds of /accompaniment/kind is not there"},
	})
}

// What a clause permits, or a label hides, is no leak.
func TestNoLeaks(t *testing.T) {
	for name, changes := range map[string][]change{
		"the clause permits it": {
			field("  - {to: /note, from: /accompaniment/place}"),
			{accord, "categories: [NonPersonal, OfficialID, Social]", "categories: [NonPersonal, OfficialID, Social, Health, PhysicalAddress]"},
			{accord, "purpose: services\n    basis: PUBLIC_INTEREST_TASK", "purpose: health\n    basis: RULE_OF_LAW\n    special_basis: https://w3id.org/dpv/legal/eu/gdpr#A9-2-h"},
			{desk, "      health: 00000000-0000-4000-8000-000000000024\n", ""},
		},
		"a code that says it cannot come through the flow": {
			{north, "services: [CARE, WALK]", "services: [WALK]"},
			field("  - {to: /note, from: /service}"),
		},
		"a condition that a harmless code meets too": {
			field("  - {to: /note, const: x, when: {path: /service, in: [CARE, WALK]}}"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			files := small(t)
			apply(t, files, changes)
			_, faults := loadSmall(t, files)
			for _, f := range faults {
				if f.Message != "example a walk: what comes out differs at /note" {
					t.Error(f)
				}
			}
		})
	}
}
