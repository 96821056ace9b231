package verify

import (
	"bytes"

	"raccordo/consent"
	"raccordo/hub/exchange"
)

// persons are consents, dossiers and links as they stand.
type persons struct {
	consents map[exchange.SubjectID][]*held
	byID     map[exchange.ConsentID]*held
	given    map[uint64]*event // by the sequence of their entries

	cases    map[exchange.DossierID]*dossier
	dossiers map[uint64]*dossier // by the sequence of any of their entries

	links map[pair]uint64 // since which entry
	next  map[exchange.SubjectID][]exchange.SubjectID
}

type pair struct{ a, b exchange.SubjectID }

// held is one consent at its newest event.
type held struct {
	record *consent.Record
	state  consent.State
}

// event is what later entries may refer to.
type event struct {
	scope   consent.Scope
	permits bool
}

type dossier struct {
	exchange.DossierFact
	seq uint64 // of its newest entry
}

func newPersons() persons {
	return persons{consents: map[exchange.SubjectID][]*held{}, byID: map[exchange.ConsentID]*held{}, given: map[uint64]*event{},
		cases: map[exchange.DossierID]*dossier{}, dossiers: map[uint64]*dossier{},
		links: map[pair]uint64{}, next: map[exchange.SubjectID][]exchange.SubjectID{}}
}

// consent takes a consent event.
func (v *verifier) consent(e *entry) {
	v.report.Consents++
	r, err := consent.DecodeEvent(e.fact)
	if err != nil {
		v.find(e.seq, Whole, RuleFact, "not a consent event")
		return
	}
	p := &v.persons
	if r.GivenSeq != 0 {
		g := p.given[r.GivenSeq]
		if g == nil || !g.permits || g.scope != r.Scope {
			v.find(e.seq, Whole, RuleConsent, "it names entry %d as its give, which is none of the same scope", r.GivenSeq)
		}
	}
	p.given[e.Seq] = &event{scope: r.Scope, permits: r.Status.Permits()}
	h := p.byID[r.ID]
	switch {
	case h == nil:
		h = &held{}
		p.byID[r.ID] = h
		p.consents[r.Subject] = append(p.consents[r.Subject], h)
	case h.record.Scope != r.Scope:
		v.find(e.seq, Whole, RuleConsent, "a consent changes its person, purpose or recipient")
		return
	}
	h.record = r
	h.state = consent.State{Subject: r.Subject, Status: r.Status, Seq: e.Seq, ExpiresAt: r.ExpiresAt, Event: e.fact}
}

// link joins two ids, or parts them.
func (v *verifier) link(e *entry) {
	var f exchange.LinkFact
	if !v.decode(e, &f) {
		return
	}
	p := &v.persons
	key := pair{f.A, f.B}
	_, linked := p.links[key]
	if bytes.Compare(f.A[:], f.B[:]) >= 0 || linked == f.Linked {
		v.find(e.seq, Whole, RuleLink, "the two ids cannot be linked or parted so")
		return
	}
	if f.Linked {
		p.links[key] = e.Seq
		p.next[f.A] = append(p.next[f.A], f.B)
		p.next[f.B] = append(p.next[f.B], f.A)
		return
	}
	delete(p.links, key)
	p.part(f.A, f.B)
	p.part(f.B, f.A)
}

func (p *persons) part(from, to exchange.SubjectID) {
	rest := p.next[from][:0]
	for _, s := range p.next[from] {
		if s != to {
			rest = append(rest, s)
		}
	}
	if p.next[from] = rest; len(rest) == 0 {
		delete(p.next, from)
	}
}

// component is s and every id linked to it, directly or over others.
func (p *persons) component(s exchange.SubjectID) []exchange.SubjectID {
	group := []exchange.SubjectID{s}
	if len(p.next[s]) == 0 {
		return group
	}
	seen := map[exchange.SubjectID]bool{s: true}
	for i := 0; i < len(group); i++ {
		for _, n := range p.next[group[i]] {
			if !seen[n] {
				seen[n] = true
				group = append(group, n)
			}
		}
	}
	return group
}

// linksOf are the links among the ids of a component.
func (p *persons) linksOf(group []exchange.SubjectID) []consent.Link {
	if len(group) == 1 {
		return nil
	}
	var out []consent.Link
	for _, a := range group {
		for _, b := range p.next[a] {
			if seq, ok := p.links[pair{a, b}]; ok {
				out = append(out, consent.Link{A: a, B: b, Seq: seq})
			}
		}
	}
	return out
}

// effective is the consent that decides for a person (protocol.md 8.1), nil if
// nothing was ever recorded.
func (p *persons) effective(group []exchange.SubjectID, scope consent.Scope) *held {
	var states []consent.State
	var all []*held
	for _, id := range group {
		for _, h := range p.consents[id] {
			r := h.record
			if r.Purpose == scope.Purpose && r.Body == scope.Body && r.Role == scope.Role {
				states, all = append(states, h.state), append(all, h)
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	s, ok := consent.Effective(states, p.linksOf(group))
	if !ok {
		return nil
	}
	for _, h := range all {
		if h.state.Seq == s.Seq {
			return h
		}
	}
	return nil
}

// dossier opens or closes a case.
func (v *verifier) dossier(e *entry) {
	var f exchange.DossierFact
	if !v.decode(e, &f) {
		return
	}
	p := &v.persons
	d := p.cases[f.Dossier]
	if d == nil {
		d = &dossier{}
		p.cases[f.Dossier] = d
	} else if d.Subject != f.Subject || d.Body != f.Body || d.Role != f.Role || d.Capacity != f.Capacity {
		v.find(e.seq, Whole, RuleDossier, "a dossier changes its person or body")
		return
	}
	d.DossierFact, d.seq = f, e.Seq
	p.dossiers[e.Seq] = d
}
