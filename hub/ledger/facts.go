package ledger

import (
	"time"

	"raccordo/consent"
	"raccordo/hub/exchange"
	"raccordo/hub/gate"
	"raccordo/hub/store"
)

// Facts are what decisions rest on, read in one transaction: it implements
// [gate.Facts]. Later items of a batch see the effects of earlier ones because
// the writer applies each change to the same Facts.
type Facts struct {
	now      time.Time
	stopped  bool
	links    map[pair]store.LinkRow
	consents map[exchange.SubjectID][]store.ConsentRow
	dossiers map[exchange.SubjectID][]store.DossierRow
	linked   map[exchange.SubjectID][]exchange.SubjectID // components, rebuilt when links change
}

type pair struct{ a, b exchange.SubjectID }

var _ gate.Facts = (*Facts)(nil)

// ReadFacts reads what is known of subjects, judged at now.
func ReadFacts(tx store.FactsReader, subjects []exchange.SubjectID, now time.Time) (*Facts, error) {
	head, err := tx.Head()
	if err != nil {
		return nil, err
	}
	f := &Facts{now: now, stopped: head.Stopped, links: map[pair]store.LinkRow{},
		consents: map[exchange.SubjectID][]store.ConsentRow{}, dossiers: map[exchange.SubjectID][]store.DossierRow{}}
	if len(subjects) == 0 {
		return f, nil
	}
	links, err := tx.Links(subjects)
	if err != nil {
		return nil, err
	}
	all := subjects
	if len(links) > 0 {
		seen := make(map[exchange.SubjectID]bool, len(subjects))
		for _, s := range subjects {
			seen[s] = true
		}
		all = append([]exchange.SubjectID(nil), subjects...)
		for _, l := range links {
			f.links[pair{l.A, l.B}] = l
			for _, s := range [2]exchange.SubjectID{l.A, l.B} {
				if !seen[s] {
					seen[s] = true
					all = append(all, s)
				}
			}
		}
	}
	f.component()
	consents, err := tx.Consents(all)
	if err != nil {
		return nil, err
	}
	for _, c := range consents {
		f.consents[c.Subject] = append(f.consents[c.Subject], c)
	}
	dossiers, err := tx.Dossiers(all)
	if err != nil {
		return nil, err
	}
	for _, d := range dossiers {
		f.dossiers[d.Subject] = append(f.dossiers[d.Subject], d)
	}
	return f, nil
}

// Now is ledger time.
func (f *Facts) Now() time.Time { return f.now }

// Stopped reports the stop switch.
func (f *Facts) Stopped() bool { return f.stopped }

// Linked reports whether an entry joined exactly these two ids.
func (f *Facts) Linked(a, b exchange.SubjectID) bool {
	_, ok := f.links[pair{a, b}]
	return ok
}

// Component is s and every id linked to it, directly or over others.
func (f *Facts) Component(s exchange.SubjectID) []exchange.SubjectID {
	if c := f.linked[s]; len(c) > 0 {
		return c
	}
	return []exchange.SubjectID{s}
}

// Consent is the standing of s's consent for a scope over linked ids.
func (f *Facts) Consent(s exchange.SubjectID, scope gate.Scope) gate.Standing {
	var states []consent.State
	for _, id := range f.Component(s) {
		for i := range f.consents[id] {
			if c := &f.consents[id][i]; c.Purpose == scope.Purpose && c.Body == scope.Body && c.Role == scope.Role {
				states = append(states, consent.State{Subject: id, Status: consent.Status(c.Status), Seq: c.Seq,
					ExpiresAt: c.ExpiresAt, Event: c.Event})
			}
		}
	}
	if len(states) == 0 {
		return gate.Standing{Reason: exchange.ReasonConsentMissing}
	}
	return standing(states, f.linksOf(s), scope.Type, f.now)
}

// standing is what the effective state of a consent says at now. Of a record
// that cannot be read nothing is permitted.
func standing(states []consent.State, links []consent.Link, typ exchange.RecordType, now time.Time) gate.Standing {
	s, ok := consent.Effective(states, links)
	if !ok {
		return gate.Standing{Reason: exchange.ReasonConsentMissing}
	}
	out := gate.Standing{Reason: s.Reason(now.UnixMilli()), Seq: s.Seq}
	if out.Reason != exchange.ReasonPermitted {
		return out
	}
	r, err := consent.DecodeEvent(s.Event)
	if err != nil || !r.Covers(typ) {
		return gate.Standing{Reason: exchange.ReasonConsentMissing, Seq: s.Seq}
	}
	out.Categories = r.Categories
	return out
}

func (f *Facts) linksOf(s exchange.SubjectID) []consent.Link {
	if len(f.links) == 0 {
		return nil
	}
	var out []consent.Link
	for _, id := range f.Component(s) {
		for p, l := range f.links {
			if p.a == id {
				out = append(out, consent.Link{A: l.A, B: l.B, Seq: l.Seq})
			}
		}
	}
	return out
}

// Dossier is the sequence of an open dossier over linked ids, 0 if none.
func (f *Facts) Dossier(s exchange.SubjectID, body exchange.BodyID, role exchange.Role, capacity string) uint64 {
	for _, id := range f.Component(s) {
		for _, d := range f.dossiers[id] {
			if d.Body == body && d.Role == role && d.Capacity == capacity && !d.Closed &&
				(d.Until == 0 || f.now.UnixMilli() < d.Until) {
				return d.Seq
			}
		}
	}
	return 0
}

// Consents are the newest events recorded under any linked id of s.
func (f *Facts) Consents(s exchange.SubjectID) []store.ConsentRow {
	var out []store.ConsentRow
	for _, id := range f.Component(s) {
		out = append(out, f.consents[id]...)
	}
	return out
}

// Dossiers are the dossiers under any linked id of s.
func (f *Facts) Dossiers(s exchange.SubjectID) []store.DossierRow {
	var out []store.DossierRow
	for _, id := range f.Component(s) {
		out = append(out, f.dossiers[id]...)
	}
	return out
}

func (f *Facts) putConsent(c store.ConsentRow) {
	rows := f.consents[c.Subject]
	for i := range rows {
		if rows[i].Consent == c.Consent {
			rows[i] = c
			return
		}
	}
	f.consents[c.Subject] = append(rows, c)
}

func (f *Facts) putDossier(d store.DossierRow) {
	rows := f.dossiers[d.Subject]
	for i := range rows {
		if rows[i].Dossier == d.Dossier {
			rows[i] = d
			return
		}
	}
	f.dossiers[d.Subject] = append(rows, d)
}

// component rebuilds the connected components of the links.
func (f *Facts) component() {
	f.linked = nil
	if len(f.links) == 0 {
		return
	}
	next := map[exchange.SubjectID][]exchange.SubjectID{}
	for p := range f.links {
		next[p.a] = append(next[p.a], p.b)
		next[p.b] = append(next[p.b], p.a)
	}
	f.linked = map[exchange.SubjectID][]exchange.SubjectID{}
	for start := range next {
		if f.linked[start] != nil {
			continue
		}
		group := []exchange.SubjectID{start}
		seen := map[exchange.SubjectID]bool{start: true}
		for i := 0; i < len(group); i++ {
			for _, n := range next[group[i]] {
				if !seen[n] {
					seen[n] = true
					group = append(group, n)
				}
			}
		}
		for _, s := range group {
			f.linked[s] = group
		}
	}
}
