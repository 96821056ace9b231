package person

import (
	"slices"

	"raccordo/hub/exchange"
)

// Link says that two subject ids are one person: an officer's act, an entry of
// the ledger (protocol.md 8.1). Lanes and queues stay per id; restrictions of
// both count.
type Link struct {
	A, B exchange.SubjectID
	Seq  uint64 // of the ledger entry
}

// Group is the closure of links around s: s and everyone linked to it, directly
// or over others, in ascending order. A link that was undone is not among
// links.
func Group(links []Link, s exchange.SubjectID) []exchange.SubjectID {
	in := map[exchange.SubjectID]bool{s: true}
	for grown := true; grown; {
		grown = false
		for _, l := range links {
			if in[l.A] != in[l.B] {
				in[l.A], in[l.B], grown = true, true, true
			}
		}
	}
	out := make([]exchange.SubjectID, 0, len(in))
	for id := range in {
		out = append(out, id)
	}
	slices.SortFunc(out, compareSubjects)
	return out
}

func compareSubjects(a, b exchange.SubjectID) int { return slices.Compare(a[:], b[:]) }
